"""Load, save, convert and inspect checkpoints of BERT in every format."""

from bertkit.checkpoint.conversion import convert
from bertkit.checkpoint.inspection import Inspection, inspect
from bertkit.checkpoint.load import LoadReport, load_checkpoint
from bertkit.checkpoint.save import save_checkpoint

__all__ = ["Inspection", "LoadReport", "convert", "inspect", "load_checkpoint", "save_checkpoint"]
