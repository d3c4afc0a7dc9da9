"""What a model has so that transformers and peft take it for one of theirs."""

from __future__ import annotations

from typing import Any

from bertkit.interop import PassesForTheirs


class PassesForPreTrainedModel(PassesForTheirs):
    """A model that is an instance of transformers' PreTrainedModel, where that is imported."""

    _theirs = ("transformers.modeling_utils", "PreTrainedModel")
    accepts_loss_kwargs = False  # losses are means: transformers' Trainer divides those of accumulated steps

    # Methods that they call.

    @classmethod
    def is_remote_code(cls) -> bool:
        """False: a model has no code in its files."""
        return False

    @classmethod
    def is_custom_code(cls) -> bool:
        """True: the class is not one of transformers, whose renamings of weights do not apply."""
        return True

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Empty: `tie_weights` ties the parameters."""
        return {}

    def _initialize_weights(self, module: Any, is_remote_code: bool = False) -> None:
        """Do nothing. As a part of a model of transformers, our weights are initialized already."""

    def _can_set_attn_implementation(self) -> bool:
        return False

    def _can_set_experts_implementation(self) -> bool:
        return False
