"""The engine: texts to pieces of words."""
