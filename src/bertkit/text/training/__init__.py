"""New vocabularies."""
