"""Sentence embeddings: read the configuration files of sentence-transformers, and compute the vector of a text."""

from bertkit.tasks.embedding.files import MODULES, read_recipe, weights_place, write_mean, write_recipe
from bertkit.tasks.embedding.recipe import Dense, Normalize, Pooling, Recipe, unit

__all__ = [
    "MODULES",
    "Dense",
    "Normalize",
    "Pooling",
    "Recipe",
    "read_recipe",
    "unit",
    "weights_place",
    "write_mean",
    "write_recipe",
]
