"""Engines: each runs packed batches in one framework, and returns arrays."""
