"""BERT's forward pass and losses in plain NumPy: what every faster implementation is compared with."""

from bertkit.reference.inputs import Inputs
from bertkit.reference.model import OUTPUTS, activate, classification_loss, cross_entropy, encode, forward, pool, zeroed

__all__ = [
    "OUTPUTS",
    "Inputs",
    "activate",
    "classification_loss",
    "cross_entropy",
    "encode",
    "forward",
    "pool",
    "zeroed",
]
