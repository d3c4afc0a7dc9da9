"""What a call takes and returns: inputs and options, rows, columns.

Inputs are checked (inputs.py), options too (options.py); their pieces become rows in one flat buffer (rows.py), cut where
they are too long (cutting.py), and the buffer becomes columns (columns.py).
"""

from bertkit.tensors import tensor_kind, to_tensor
from bertkit.text.call.encoding import Encoding
from bertkit.text.call.inputs import read
from bertkit.text.call.options import Options
from bertkit.text.call.rows import Encodings, encodings

__all__ = ["Encoding", "Encodings", "Options", "encodings", "read", "tensor_kind", "to_tensor"]
