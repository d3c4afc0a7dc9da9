"""What a model has so that transformers and peft take it for one of theirs."""

from __future__ import annotations

from typing import Any

from bertkit.interop import PassesForTheirs


class PassesForPreTrainedModel(PassesForTheirs):
    """A model that is an instance of transformers' PreTrainedModel, where that is imported."""

    _theirs = ("transformers.modeling_utils", "PreTrainedModel")
    accepts_loss_kwargs = False  # losses are means: transformers' Trainer divides those of accumulated steps

    # What they ask a model for.

    @classmethod
    def is_remote_code(cls) -> bool:
        """No code comes with a model's files."""
        return False

    @classmethod
    def is_custom_code(cls) -> bool:
        """The class is not one of transformers' own: none of its renamings of weights apply."""
        return True

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """The second name of each tied parameter, and the first: a model ties its own."""
        return {}

    def _initialize_weights(self, module: Any, is_remote_code: bool = False) -> None:
        """Part of a model of transformers, whose parts draw their weights when all of it is made: ours are drawn already."""

    def _can_set_attn_implementation(self) -> bool:
        return False

    def _can_set_experts_implementation(self) -> bool:
        return False
