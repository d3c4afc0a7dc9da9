"""Models of every class, to export."""

from __future__ import annotations

from pathlib import Path

import pipeline_cases
import tiny
from pipeline_models import tokenizer

from bertkit.checkpoint import save_checkpoint
from bertkit.config import BertConfig


def of_head(head: str, target: Path) -> Path:
    """Save a small model of a class with the tokenizer of the tests, and return its folder."""
    config = BertConfig.from_dict(pipeline_cases.config("masked").to_dict(), is_decoder=head == "LMHeadModel")
    save_checkpoint(target, tiny.trained(config, head), config, head)
    tokenizer().save_pretrained(target)
    return target
