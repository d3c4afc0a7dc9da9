"""Other names of options, and arguments of from_pretrained that other libraries have and bertkit ignores or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertkit.errors import Setting, UsageError


class Also(tuple[str, ...]):
    """Other names of an option on the command line, in an annotation: `Annotated[float, "...", Also("rate")]`."""

    __slots__ = ()

    def __new__(cls, *names: str) -> Also:
        """Return the names."""
        return super().__new__(cls, names)


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
"""Arguments without an effect. bertkit never runs code or pickles, always saves memory and always resumes downloads."""

_INSTEAD = {
    "adapter_kwargs": "an adapter is loaded by peft.PeftModel.from_pretrained(model, adapter)",
    "device_mesh": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "disable_mmap": "files are mapped; copy.deepcopy(model) has its own memory",
    "distributed_config": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "fusion_config": "layers are not fused here; leave it out",
    "generation_config": "pass the generation settings to generate",
    "gguf_file": "convert the file to safetensors first",
    "key_mapping": "pass state_dict with renamed keys",
    "load_in_4bit": "weights are not quantized here; write dtype='bfloat16'",
    "load_in_8bit": "weights are not quantized here; write dtype='bfloat16'",
    "mirror": "set the environment variable HF_ENDPOINT",
    "proxies": "set the environment variable HTTPS_PROXY",
    "quantization_config": "weights are not quantized here; write dtype='bfloat16'",
    "tp_plan": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "tp_size": "a model is on one device; torch.distributed.fsdp.fully_shard shards it",
    "use_kernels": "attn_implementation='sdpa' is fused already",
}
"""Unsupported arguments, and what to do instead. The values None, False and {} are accepted and ignored."""


def without_defaults(given: Mapping[str, Any]) -> tuple[dict[str, Any], str | bool | None]:
    """Return the arguments that have an effect, and the value of `use_auth_token`, the older name of `token`.

    >>> without_defaults({"num_labels": 3, "quantization_config": None, "_fast_init": True, "use_auth_token": None})
    ({'num_labels': 3}, None)
    >>> without_defaults({"mirror": "tuna"})
    Traceback (most recent call last):
    ...
    bertkit.errors.UsageError: mirror='tuna' is not supported: set the environment variable HF_ENDPOINT.
    """
    left = {}
    for name, value in given.items():
        if name in _INSTEAD and value not in (None, False, {}):
            raise UsageError(Setting(name, value, f"{value!r:.60}"), f" is not supported: {_INSTEAD[name]}.")
        if name not in _INSTEAD and name not in _MEANINGLESS and name != "use_auth_token":
            left[name] = value
    return left, given.get("use_auth_token")
