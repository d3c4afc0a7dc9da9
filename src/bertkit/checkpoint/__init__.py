"""Files <-> {name in the parameter table: array}, for every format that BERT's weights have ever been kept in."""

from bertkit.checkpoint.conversion import convert
from bertkit.checkpoint.inspection import Inspection, inspect
from bertkit.checkpoint.load import LoadReport, load_checkpoint
from bertkit.checkpoint.save import save_checkpoint

__all__ = ["Inspection", "LoadReport", "convert", "inspect", "load_checkpoint", "save_checkpoint"]
