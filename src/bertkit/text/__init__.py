"""The tokenizers."""
