"""The call of a tokenizer: inputs and options -> rows -> columns.

inputs.py checks the texts, options.py the options. rows.py puts the pieces of all texts into one flat buffer, cutting.py
truncates rows that are too long, and columns.py makes the columns from the buffer.
"""

from bertkit.tensors import tensor_kind, to_tensor
from bertkit.text.call.encoding import Encoding
from bertkit.text.call.inputs import read
from bertkit.text.call.options import Options
from bertkit.text.call.rows import Encodings, encodings

__all__ = ["Encoding", "Encodings", "Options", "encodings", "read", "tensor_kind", "to_tensor"]
