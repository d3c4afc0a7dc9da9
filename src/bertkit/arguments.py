"""Arguments of from_pretrained that code for other libraries passes along, and that BERT has no use for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertkit.errors import Setting, UsageError

_MEANINGLESS = frozenset(
    [
        "_commit_hash",
        "_fast_init",
        "_from_auto",
        "_from_pipeline",
        "low_cpu_mem_usage",
        "max_memory",
        "offload_buffers",
        "offload_folder",
        "offload_state_dict",
        "resume_download",
        "trust_remote_code",
        "weights_only",
    ]
)
"""Nothing would be different: no code and no pickle is ever run, memory is spared, and downloads are resumed, in any case."""

_INSTEAD = {
    "adapter_kwargs": "an adapter is loaded by peft.PeftModel.from_pretrained(model, adapter)",
    "device_mesh": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "disable_mmap": "files are mapped; copy.deepcopy(model) has its own memory",
    "distributed_config": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "fusion_config": "layers are computed as they are",
    "generation_config": "give the settings of generation to generate",
    "gguf_file": "convert the file to safetensors first",
    "key_mapping": "give state_dict with the names that are meant",
    "load_in_4bit": "weights are not quantized here; write dtype='bfloat16'",
    "load_in_8bit": "weights are not quantized here; write dtype='bfloat16'",
    "mirror": "set the environment variable HF_ENDPOINT",
    "proxies": "set the environment variable HTTPS_PROXY",
    "quantization_config": "weights are not quantized here; write dtype='bfloat16'",
    "tp_plan": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "tp_size": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "use_kernels": "attn_implementation='sdpa' is fused already",
}
"""What cannot be honoured, and what to write in its place. None, False and nothing are no wishes."""


def without_defaults(given: Mapping[str, Any]) -> tuple[dict[str, Any], str | bool | None]:
    """The arguments that say something, and the token by its older name, `use_auth_token`.

    >>> without_defaults({"num_labels": 3, "quantization_config": None, "_fast_init": True, "use_auth_token": None})
    ({'num_labels': 3}, None)
    >>> without_defaults({"mirror": "tuna"})
    Traceback (most recent call last):
    ...
    bertkit.errors.UsageError: mirror='tuna' cannot be honoured: set the environment variable HF_ENDPOINT.
    """
    left = {}
    for name, value in given.items():
        if name in _INSTEAD and value not in (None, False, {}):
            raise UsageError(Setting(name, value, f"{value!r:.60}"), f" cannot be honoured: {_INSTEAD[name]}.")
        if name not in _INSTEAD and name not in _MEANINGLESS and name != "use_auth_token":
            left[name] = value
    return left, given.get("use_auth_token")
