"""The optimizer and the learning rate schedule of TensorFlow scripts for BERT."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("bertkit")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from 0 during the warmup, and then follows another schedule.

    >>> schedule = WarmUp(1e-3, keras.optimizers.schedules.PolynomialDecay(1e-3, 100, 0.0), warmup_steps=10)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_schedule_fn: Callable[[Any], Any],
        warmup_steps: int,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.initial_learning_rate, self.decay_schedule_fn = initial_learning_rate, decay_schedule_fn
        self.warmup_steps, self.power, self.name = warmup_steps, power, name

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step."""
        step = ops.cast(step, "float32")
        risen = self.initial_learning_rate * (step / max(self.warmup_steps, 1)) ** self.power
        decayed = self.decay_schedule_fn(ops.maximum(step - self.warmup_steps, 0.0))
        return ops.where(step < self.warmup_steps, risen, decayed)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        names = ("initial_learning_rate", "decay_schedule_fn", "warmup_steps", "power", "name")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Create the schedule from `get_config`."""
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


@keras.saving.register_keras_serializable("bertkit")
class AdamWeightDecay(keras.optimizers.Adam):
    """Adam with weight decay that is not part of the gradient, and that can leave out parameters.

    include_in_weight_decay, exclude_from_weight_decay: patterns for paths of variables, such as "LayerNorm". The first has
    priority.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay_rate: float = 0.0,
        include_in_weight_decay: Sequence[str] | None = None,
        exclude_from_weight_decay: Sequence[str] | None = None,
        name: str = "AdamWeightDecay",
        **options: Any,
    ) -> None:
        options.pop("weight_decay", None)
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay=weight_decay_rate or None,
            name=name,
            **options,
        )
        self.weight_decay_rate = weight_decay_rate
        self.included, self.excluded = list(include_in_weight_decay or ()), list(exclude_from_weight_decay or ())

    def build(self, variables: Sequence[Any]) -> None:
        """Create the moments, and choose which variables decay by their whole paths. Keras would match only the last part."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=[v for v in variables if not self.decays(v.path)])
        super().build(variables)

    def decays(self, path: str) -> bool:
        """Whether the variable with this path decays."""
        if any(re.search(part, path) for part in self.included):
            return True
        return not any(re.search(part, path) for part in self.excluded)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        own = {"include_in_weight_decay": self.included, "exclude_from_weight_decay": self.excluded}
        return {**super().get_config(), "weight_decay_rate": self.weight_decay_rate, **own}


def create_optimizer(
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    min_lr_ratio: float = 0.0,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    adam_epsilon: float = 1e-8,
    adam_clipnorm: float | None = None,
    adam_global_clipnorm: float | None = None,
    weight_decay_rate: float = 0.0,
    power: float = 1.0,
    include_in_weight_decay: Sequence[str] | None = None,
) -> tuple[keras.optimizers.Optimizer, Any]:
    """An optimizer and its learning rate, which rises during the warmup and then falls until the last step.

    >>> optimizer, schedule = create_optimizer(5e-5, num_train_steps=100, num_warmup_steps=10, weight_decay_rate=0.01)
    >>> type(optimizer).__name__, round(float(schedule(10)), 6)
    ('AdamWeightDecay', 5e-05)

    Biases and norms do not decay. Without weight decay the optimizer is Keras's Adam.
    """
    schedule: Any = keras.optimizers.schedules.PolynomialDecay(
        init_lr, num_train_steps - num_warmup_steps, init_lr * min_lr_ratio, power=power
    )
    if num_warmup_steps:
        schedule = WarmUp(init_lr, schedule, num_warmup_steps)
    betas: dict[str, Any] = {"beta_1": adam_beta1, "beta_2": adam_beta2, "epsilon": adam_epsilon}
    clipped: dict[str, Any] = {"clipnorm": adam_clipnorm, "global_clipnorm": adam_global_clipnorm}
    if weight_decay_rate <= 0:
        return keras.optimizers.Adam(schedule, **betas, **clipped), schedule
    return AdamWeightDecay(
        schedule,
        **betas,
        **clipped,
        weight_decay_rate=weight_decay_rate,
        include_in_weight_decay=include_in_weight_decay,
        exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
    ), schedule
