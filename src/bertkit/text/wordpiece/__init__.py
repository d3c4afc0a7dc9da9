"""The engine: texts -> pieces of words."""
