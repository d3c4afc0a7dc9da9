"""The names of transformers' classes and its configuration, and the parameters of their methods, are here or documented."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch_models import CLASSES, ours, settings, theirs

import bertkit
from bertkit import BertConfig

PAGE = (Path(__file__).parents[4] / "docs" / "names.md").read_text(encoding="utf-8")

NOT_HERE = {
    # Adapters by transformers itself: peft.get_peft_model and PeftModel.from_pretrained do the same for any model.
    "active_adapters", "add_adapter", "delete_adapter", "disable_adapters", "enable_adapters", "enable_peft_hotswap",
    "get_adapter_state_dict", "load_adapter", "set_adapter",
    # Several devices, compiled kernels and quantizers.
    "barrier_after_gathered_checkpoint_save", "dequantize", "ep_plan", "fsdp_plan", "fsdp_size",
    "gather_sharded_state_dict_for_save", "get_compiled_call", "init_parallel_plans", "is_backend_compatible",
    "is_distributed_loading_by_transformers", "kernel_config", "maybe_distribute_model", "pp_plan", "prepare_distribute_model",
    "save_distributed_checkpoint", "set_use_kernels", "should_save_on_this_rank", "supports_context_parallel",
    "supports_pp_plan", "supports_tp_plan", "tp_plan", "tp_size", "use_kernels",
    # Mixtures of experts, other inputs than text, encoders with decoders, positions that BERT does not resize.
    "get_correct_experts_implementation", "get_experts_implementation", "set_experts_implementation", "input_modalities",
    "get_decoder", "get_encoder", "set_decoder", "set_encoder", "get_position_embeddings", "resize_position_embeddings",
    # Remote code, model cards, and what its own loading is made of.
    "register_for_auto_class", "add_model_tags", "model_tags", "all_tied_weights_keys", "can_record_outputs", "dummy_inputs",
    "generation_config_class", "gradient_checkpointing",
    "get_correct_attn_implementation", "get_init_context", "get_parameter_or_buffer",
    "initialize_weights", "loss_function", "loss_type", "mark_tied_weights_as_initialized", "named_non_persistent_buffers",
    "retrieve_modules_from_names", "warn_if_padding_and_no_attention_mask",
}  # fmt: skip
NOT_IN_CONFIGURATIONS = {
    # Layers that differ from each other, rotary positions, several parts and devices, remote code, its own machinery.
    "allow_global_per_layer_attribute_access", "attribute_map", "base_config_key", "base_model_ep_plan", "base_model_fsdp_plan",
    "base_model_pp_plan", "base_model_tp_plan", "convert_rope_params_to_dict", "default_config_fields", "default_rope_type",
    "default_theta", "dict_dtype_to_str", "extra_config_files", "extra_files", "get_mtp_config",
    "ignore_keys_at_rope_validation", "is_custom_code", "is_heterogeneous", "is_remote_code", "nested_rope_parameter_keys",
    "per_layer_attributes", "per_layer_config", "register_for_auto_class", "rope_scaling", "serialize_explicit_per_layer_config",
    "standardize_rope_params", "sub_configs", "sub_configs_defaults", "transformers_version", "validate_architecture",
    "validate_layer_type", "validate_output_attentions", "validate_rope", "validate_token_ids",
}  # fmt: skip
GENERATION = {
    "adjust_generation_fn", "continuous_batching_context_manager",
    "destroy_cached_continuous_batching_manager", "generate_batch", "heal_tokens",
    "init_continuous_batching", "load_custom_generate", "output_modalities",
}  # fmt: skip
"""What the methods of generation do not include: docs/generation.md has what they do."""

OF_PAIRS = {"init_weights", "post_init"}
"""What an EncoderDecoderModel does not have beyond NOT_HERE and GENERATION: its parts initialize themselves."""

NOT_TAKEN = {
    "from_pretrained": {"fusion_config", "disable_mmap"},  # see arguments.py
    # They are among the settings by name, and raise unless their value changes nothing.
    "generate": {"assistant_model", "custom_generate", "negative_prompt_attention_mask", "negative_prompt_ids",
                 "prefix_allowed_tokens_fn", "synced_gpus"},
    "get_encoder": {"modality"},
    "prepare_inputs_for_generation": {"next_sequence_length", "inputs_embeds", "is_first_iteration"},
    "save_pretrained": {"save_original_format", "distributed_checkpoint"},
    "set_attn_implementation": {"allow_all_kernels"},
    "tie_weights": {"missing_keys", "recompute_mapping"},
}  # fmt: skip
"""Method -> parameters that ours has not."""


def public(model: Any) -> set[str]:
    return {name for name in dir(model) if not name.startswith("_")}


def methods(their: Any, our: Any) -> list[tuple[str, Any, Any]]:
    """The methods that both have and that are not those of nn.Module."""
    found = []
    for name in [*sorted(public(their) & public(our)), "_init_weights", "_from_config", "__call__"]:
        pair = getattr(type(their), name, None), getattr(type(our), name, None)
        of_module = inspect.getattr_static(torch.nn.Module, name, None) is inspect.getattr_static(type(their), name, 0)
        if all(map(inspect.isroutine, pair)) and not of_module:
            found.append((name, *pair))
    return found


def named(method: Any) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(method).parameters.items()
    return {name: p for name, p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def check_parameters(their: Any, our: Any) -> None:
    """All parameters are here by their names, with the same defaults."""
    for name, *pair in methods(their, our):
        there, here = map(named, pair)
        if name not in ("get_config_dict", "__init__"):  # what says where files are goes through **options
            assert there.keys() - here.keys() <= NOT_TAKEN.get(name, set()), name
        for key in there.keys() & here.keys() - {"max_shard_size"}:  # "5GB", as in transformers 4
            assert there[key].default == here[key].default, (name, key)


@pytest.mark.parametrize("name", CLASSES)
def test_names_of_models(name: str) -> None:
    absent = public(theirs(name)) - public(ours(name))
    assert absent <= NOT_HERE | (GENERATION if name == "BertLMHeadModel" else set())
    check_parameters(theirs(name), ours(name))
    their, our = (list(inspect.signature(model.forward).parameters) for model in (theirs(name), ours(name)))
    shared = [parameter for parameter in their if parameter in our]
    assert [parameter for parameter in our if parameter in shared] == shared
    assert set(their) - set(shared) <= {"kwargs"}


def test_names_of_encoder_decoders() -> None:
    def model(library: Any) -> Any:
        parts = (library.BertConfig(**settings("BertModel")) for _ in range(2))
        return library.EncoderDecoderModel(library.EncoderDecoderConfig.from_encoder_decoder_configs(*parts))

    their, own = model(transformers), model(bertkit)
    assert public(their) - public(own) <= NOT_HERE | GENERATION | OF_PAIRS
    check_parameters(their, own)
    absent = inspect.signature(their.forward).parameters.keys() - inspect.signature(own.forward).parameters.keys()
    assert absent <= {"kwargs"}


def test_names_of_configurations() -> None:
    their, our = transformers.BertConfig(), BertConfig()
    assert public(their) - public(our) <= NOT_IN_CONFIGURATIONS
    check_parameters(their, our)
    fields = inspect.signature(transformers.BertConfig).parameters.keys() - {"kwargs", "transformers_version"}
    assert len(fields) > 25 and all(hasattr(our, name) for name in fields)
    assert BertConfig(**{name: getattr(our, name) for name in fields - {"is_encoder_decoder"}}) == our


def test_what_is_absent_is_documented() -> None:
    absent = NOT_HERE | NOT_IN_CONFIGURATIONS
    assert [name for name in sorted(absent) if f"`{name}`" not in PAGE] == []
    everywhere = set.intersection(*(public(ours(kind)) for kind in CLASSES))
    assert NOT_HERE & everywhere == set() == NOT_IN_CONFIGURATIONS & public(BertConfig())
