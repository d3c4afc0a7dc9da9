"""What one BERT and a pair of BERTs share: facts about their parameters, saving, and gradient checkpointing."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bertkit.errors import UsageError
from bertkit.hub.saving import PushesToHub
from bertkit.models.torch.arrays import dtype_of
from bertkit.models.torch.interop import PassesForPreTrainedModel


class SharedMethods(PassesForPreTrainedModel, PushesToHub, nn.Module):
    """The methods of every model that do not depend on its parts."""

    base_model_prefix: str
    get_input_embeddings: Any
    set_attn_implementation: Any
    _write: Any  # of a folder, a state dict, the largest size of a file, and a variant

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    @property
    def base_model(self) -> Any:
        """The BertModel of the class, or the model itself if it is one."""
        return getattr(self, self.base_model_prefix, self)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters, as single numbers."""
        tables = [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]
        left_out = set(map(id, tables)) if exclude_embeddings else set()
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if (parameter.requires_grad or not only_trainable) and id(parameter) not in left_out
        )

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the class has a `generate` method."""
        return hasattr(cls, "generate")

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the parameters, and of the buffers unless return_buffers is False."""
        tensors = itertools.chain(self.parameters(), self.buffers() if return_buffers else ())
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    # Making, saving.

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        attn_implementation: str | None = None,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        trust_remote_code: bool = False,
    ) -> Any:
        """A model with random weights. trust_remote_code has no effect: no code of a model is ever run."""
        dtype = dtype if torch_dtype is None else torch_dtype
        model: Any = cls(copy.deepcopy(config))
        if attn_implementation:
            model.set_attn_implementation(attn_implementation)
        if dtype is not None:
            model.to(dtype_of(dtype))
            model.config.dtype = str(dtype_of(dtype)).removeprefix("torch.")
        return model

    _from_config = from_config

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        *,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        save_function: Callable[..., Any] | None = None,
        token: str | bool | None = None,
        save_peft_format: bool = True,
        repo_id: str | None = None,
    ) -> None:
        """Write `config.json`, `model.safetensors` and settings of `generate` into a folder, which is created if necessary.

        state_dict: weights to write in place of the model's, by the names of `state_dict()`.
        max_shard_size: larger weights are split into several files with an index.
        push_to_hub, repo_id, token: also push the model to a repository of the Hub, by default with the name of the folder.
        save_function and save_peft_format have no effect. For other formats see `bertkit.convert`.
        """
        if not safe_serialization:
            raise UsageError(
                "safe_serialization=False would write a pickle, which is unsafe to load: leave it out, or use bertkit.convert."
            )
        if not is_main_process:
            return
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, token=token, max_shard_size=max_shard_size)
        self._write(
            Path(save_directory), self.state_dict() if state_dict is None else state_dict, max_shard_size, variant
        )

    def _save_files(self, folder: Path, max_shard_size: int | str, safe_serialization: bool) -> None:
        self.save_pretrained(folder, max_shard_size=max_shard_size, safe_serialization=safe_serialization)

    # Gradient checkpointing.

    supports_gradient_checkpointing = True

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether the backward pass recomputes layers."""
        return any(encoder.computed_again for encoder in self._encoders())

    def _encoders(self) -> list[Any]:
        return [module for module in self.modules() if hasattr(module, "computed_again")]

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Recompute layers, or every n-th, in the backward pass: less memory for up to a third more time.

        gradient_checkpointing_kwargs has no effect: checkpointing is always non-reentrant.
        """
        if offload:
            raise UsageError("offload=True is not supported: leave it out.")
        if not isinstance(every_n_layers, int) or every_n_layers < 1:
            raise UsageError(
                f"every_n_layers is {every_n_layers!r}, and must be 1 for all layers, 2 for every second layer, and so on."
            )
        for encoder in self._encoders():
            encoder.computed_again = every_n_layers

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations for the backward pass again."""
        for encoder in self._encoders():
            encoder.computed_again = 0

    @property
    def is_activation_checkpointing(self) -> bool:
        """The same as `is_gradient_checkpointing`, by the name of transformers 5."""
        return self.is_gradient_checkpointing

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """The same as `gradient_checkpointing_enable`, by the name of transformers 5."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)

    def activation_checkpointing_disable(self) -> None:
        """The same as `gradient_checkpointing_disable`, by the name of transformers 5."""
        self.gradient_checkpointing_disable()

    def enable_input_require_grads(self) -> None:
        """Make the outputs of frozen embeddings require gradients, which adapters with gradient checkpointing need."""
        self.disable_input_require_grads()
        self._require_grads_hook = self.get_input_embeddings().register_forward_hook(_require_grad)

    def disable_input_require_grads(self) -> None:
        """Undo `enable_input_require_grads`."""
        hook = vars(self).pop("_require_grads_hook", None)
        if hook is not None:
            hook.remove()


def _require_grad(module: nn.Module, given: Any, output: Tensor) -> None:
    output.requires_grad_(True)
