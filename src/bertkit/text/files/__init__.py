"""Reading and writing the files of a tokenizer."""

from bertkit.text.files.description import TokenizerFiles
from bertkit.text.files.read import read_files
from bertkit.text.files.write import check_folder, write_files

__all__ = ["TokenizerFiles", "check_folder", "read_files", "write_files"]
