"""bertkit's results for the calls of `tokenizer_cases`, and their accepted differences from transformers 4.57.6."""

from __future__ import annotations

import json
from typing import Any

import tokenizer_cases

from bertkit.text import tokenizer


def ours(name: str) -> dict[bool, Any]:
    """A tokenizer of bertkit, without and with added tokens."""
    pair = {added: getattr(tokenizer, name)(tokenizer_cases.VOCABULARY) for added in (False, True)}
    pair[True].add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    pair[True].add_tokens(["xyzzy"])
    return pair


def agree(name: str, case: dict[str, Any], theirs: Any, ours: Any) -> bool:
    """Whether our result equals theirs, or the difference is accepted."""
    theirs, ours = (json.loads(json.dumps(value)) for value in (theirs, ours))
    if theirs == ours:
        return True
    if case["method"] == "__call__" and case["given"][1:] in ([""], [[]]) and name == "BertTokenizerFast":
        return True  # which takes an empty second text for none, but not so in a batch
    slow = name == "BertTokenizer" or case["method"] in ("prepare_for_model", "truncate_sequences")
    failed, refused = _is_error(theirs), _is_error(ours)
    if failed and refused:
        return True
    if refused:
        return _may_refuse(case, theirs)
    if failed:
        return _may_answer(case, slow)
    if not isinstance(theirs, dict):
        return case["method"] == "truncate_sequences" and _removes_all(case)
    return _same_columns(case, theirs, ours, slow)


def _is_error(value: Any) -> bool:
    return isinstance(value, dict) and "error" in value


def _removes_all(case: dict[str, Any]) -> bool:
    """The tokenizers of transformers then do not change the ids."""
    return case["options"]["num_tokens_to_remove"] >= min(map(len, case["given"]))


def _may_refuse(case: dict[str, Any], theirs: Any) -> bool:
    """The tokenizers of transformers do not truncate such rows, and make arrays of lists."""
    if case["method"] == "truncate_sequences":
        return _removes_all(case)
    tensors = case["options"].get("return_tensors")
    ragged = tensors and any(kind in json.dumps(theirs) for kind in ('"object"', '"float32"'))
    return bool(ragged) or _wide_stride(case, 3) or _too_long(case, theirs)


def _wide_stride(case: dict[str, Any], special: int) -> bool:
    """Whether `stride` is as large as the window, which transformers detects only for long texts."""
    options = case["options"]
    windows = options.get("return_overflowing_tokens") and case["method"] == "__call__"
    return bool(windows) and options.get("stride", 0) >= options.get("max_length", case["model_max_length"]) - special


def _too_long(case: dict[str, Any], answer: Any) -> bool:
    """Whether truncated rows are still too long."""
    rows = answer["columns"]["input_ids"] if isinstance(answer, dict) and "columns" in answer else []
    rows = rows["values"] if isinstance(rows, dict) else rows
    rows = [rows] if rows and isinstance(rows[0], int) else rows
    most = case["options"].get("max_length", case["model_max_length"])
    asked = case["options"].get("truncation", True) not in (False, "do_not_truncate")
    return asked and any(len(row) > most for row in rows)


def _may_answer(case: dict[str, Any], slow: bool) -> bool:
    """The tokenizers of transformers refuse some valid offsets and types, and fail for an unused stride and empty inputs."""
    options = case["options"]
    no_offsets = slow and "return_offsets_mapping" in options
    no_types = slow and options.get("return_token_type_ids") and options.get("add_special_tokens") is False
    idle_stride = not slow and options.get("stride", 0) > 0 and not options.get("return_overflowing_tokens")
    no_words = slow and options.get("is_split_into_words")
    no_limit = slow and options.get("return_overflowing_tokens") and "max_length" not in options
    idle_stride = idle_stride or (not slow and _wide_stride(case, 2))
    no_mask = case["method"] == "prepare_for_model" and options.get("return_special_tokens_mask")
    return bool(no_offsets or no_types or idle_stride or no_words or no_limit or no_mask)


def _same_columns(case: dict[str, Any], theirs: dict[str, Any], ours: dict[str, Any], slow: bool) -> bool:
    """Both classes of bertkit have rows; transformers' slow tokenizer orders columns differently."""
    if slow and theirs["columns"]["input_ids"] == []:
        return not any(ours["columns"].get("attention_mask", []))  # which theirs leaves unpadded, but not so in a batch
    if slow:
        return theirs["columns"] == ours["columns"] or (_too_long(case, theirs) and not _too_long(case, ours))
    return all(theirs.get(part) == ours.get(part) for part in ("columns", "order", "rows"))
