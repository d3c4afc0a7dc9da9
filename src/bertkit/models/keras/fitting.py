"""compile, fit, evaluate and predict: the model's own loss, or a loss and metrics of Keras.

Labels are among the inputs, `fit({"input_ids": ids, "labels": labels})`, or separate, `fit(inputs, labels)`. The default loss is
the model's own, which a forward with labels computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from bertkit.errors import UsageError
from bertkit.heads import HEADS
from bertkit.models.keras.inputs import Tensor

OWN_LOSS = (None, "auto", "auto_with_warning", "passthrough")
"""Values of `compile(loss=...)` for the model's own loss."""


class FittedModel(keras.Model):
    """A Keras model whose forward can compute its own loss."""

    _head: ClassVar[str | None] = None

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None, **options: Any) -> None:
        """The same as keras.Model.compile. The default loss is the model's own, which needs labels.

        metrics: a list applies to each output that has labels.
        jit_compile: False by default, as XLA compiles once for each shape of a batch.
        """
        uses_own = loss is None or (isinstance(loss, str) and loss in OWN_LOSS)
        options = {"jit_compile": False, **options}
        if isinstance(metrics, (list, tuple)) and len(self._labels) > 1:
            given = metrics
            metrics = {output: [_copy(metric) for metric in given] for output in HEADS[str(self._head)].outputs}
        super().compile(optimizer=optimizer, loss=None if uses_own else loss, metrics=metrics, **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as it was compiled when it was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile`, for saving."""
        found: dict[str, Any] | None = super().get_compile_config()
        return found

    def train_step(self, data: Any) -> Any:
        """One step of training."""
        return super().train_step(self._with_labels(data))

    def test_step(self, data: Any) -> Any:
        """One step of evaluation."""
        return super().test_step(self._with_labels(data))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The loss of `compile`, or the mean of the loss that the forward computed."""
        if self._compile_loss is not None:
            y, y_pred = self._matched(x, y, y_pred)
            return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        loss = y_pred.get("loss") if isinstance(y_pred, Mapping) else y_pred[0]
        if loss is None:
            names = " and ".join(self._labels) or "labels"
            raise UsageError(
                f"{type(self).__name__} computes no loss without labels: pass {names} to fit, or a loss of Keras to compile."
            )
        if sample_weight is not None:
            if loss.shape == (1,):
                raise UsageError(
                    "sample_weight needs a loss for each row, and the model's own is one number: pass a loss of Keras to compile."
                )
            loss = loss * ops.cast(sample_weight, loss.dtype)
        return ops.mean(loss) + sum(self.losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The metrics of `compile`, from each label and the output that belongs to it."""
        y, y_pred = self._matched(x, y, y_pred)
        if y is None:
            return self.get_metrics_result()
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def _labels(self) -> Sequence[str]:
        """The label arguments of the class."""
        return tuple(HEADS[self._head].labels) if self._head else ()

    def _with_labels(self, data: Any) -> Any:
        """The batch with its labels also among the inputs, where the forward needs them for the loss."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None or self._compile_loss is not None or not self._labels:
            return data
        if not isinstance(y, Mapping):
            y = dict(zip(self._labels, y if isinstance(y, (list, tuple)) else [y], strict=False))
        if not isinstance(x, Mapping):
            names = self._call_signature.parameters
            x = dict(zip(names, x if isinstance(x, (list, tuple)) else [x], strict=False))
        return {**x, **y}, y, weight

    def _matched(self, x: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
        """Labels and the outputs that belong to them: tensors for one label, dicts for several."""
        if not isinstance(y_pred, Mapping) or not self._labels:
            return y, y_pred
        outputs = list(HEADS[self._head].outputs) if self._head else []
        if y is None and isinstance(x, Mapping):
            y = {name: x[name] for name in self._labels if name in x}
        if isinstance(y, (list, tuple)):
            y = dict(zip(outputs, y, strict=True))
        if isinstance(y, Mapping):
            of = dict(zip(self._labels, outputs, strict=True))
            y = {of.get(name, name): value for name, value in y.items()}
            if len(y) != 1:
                return (y or None), {name: y_pred[name] for name in y}
            name, y = next(iter(y.items()))
            return y, y_pred[name]
        return y, (None if y is None else y_pred[outputs[0]])


def _copy(metric: Any) -> Any:
    """A metric with the same configuration and its own state."""
    return metric.from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric
