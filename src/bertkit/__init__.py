"""BERT, whole.

Public names are imported when they are first asked for, so that `import bertkit` costs nothing and needs no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertkit.checkpoint import Inspection as Inspection
    from bertkit.checkpoint import LoadReport as LoadReport
    from bertkit.checkpoint import convert as convert
    from bertkit.checkpoint import inspect as inspect
    from bertkit.checkpoint import load_checkpoint as load_checkpoint
    from bertkit.checkpoint import save_checkpoint as save_checkpoint
    from bertkit.config import AutoConfig as AutoConfig
    from bertkit.config import BertConfig as BertConfig
    from bertkit.errors import BertkitError as BertkitError
    from bertkit.hub import locate as locate
    from bertkit.pipelines import Pipeline as Pipeline
    from bertkit.pipelines import pipeline as pipeline
    from bertkit.text.auto import AutoTokenizer as AutoTokenizer
    from bertkit.text.batch_encoding import BatchEncoding as BatchEncoding
    from bertkit.text.tokenizer import BertTokenizer as BertTokenizer
    from bertkit.text.tokenizer import BertTokenizerFast as BertTokenizerFast

    from . import metrics as metrics

__version__ = "0.1.0"

_HOMES = {
    "AutoConfig": "config",
    "AutoTokenizer": "text.auto",
    "BatchEncoding": "text.batch_encoding",
    "BertConfig": "config",
    "BertTokenizer": "text.tokenizer",
    "BertTokenizerFast": "text.tokenizer",
    "BertkitError": "errors",
    "Inspection": "checkpoint",
    "LoadReport": "checkpoint",
    "Pipeline": "pipelines",
    "convert": "checkpoint",
    "inspect": "checkpoint",
    "load_checkpoint": "checkpoint",
    "locate": "hub",
    "pipeline": "pipelines",
    "save_checkpoint": "checkpoint",
}
_ROOMS = ("metrics",)  # with public names of their own
__all__ = sorted([*_HOMES, *_ROOMS])


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"bertkit.{name}")
    value = globals()[name] = getattr(import_module(f"bertkit.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
