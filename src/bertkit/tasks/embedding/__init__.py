"""One vector for a text: how the files of sentence-transformers describe it, and the steps that they name."""

from bertkit.tasks.embedding.files import MODULES, read_recipe, weights_place, write_recipe
from bertkit.tasks.embedding.recipe import Dense, Normalize, Pooling, Recipe, unit

__all__ = ["MODULES", "Dense", "Normalize", "Pooling", "Recipe", "read_recipe", "unit", "weights_place", "write_recipe"]
