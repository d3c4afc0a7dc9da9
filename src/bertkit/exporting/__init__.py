"""Exporting: a model as a file for another runtime, compared with the original before it is kept."""

from bertkit.exporting.base import FORMATS, PRECISIONS
from bertkit.exporting.folder import Exported, export

__all__ = ["FORMATS", "PRECISIONS", "Exported", "export"]
