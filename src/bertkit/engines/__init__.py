"""Engines: a packed batch in, arrays out, as fast as one framework can."""
