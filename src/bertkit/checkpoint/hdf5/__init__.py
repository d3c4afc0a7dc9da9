"""HDF5 files (`tf_model.h5`), as far as Keras uses the format: `layout` describes it."""

from bertkit.checkpoint.hdf5.keras import keras_attributes
from bertkit.checkpoint.hdf5.reader import read
from bertkit.checkpoint.hdf5.writer import write

__all__ = ["keras_attributes", "read", "write"]
