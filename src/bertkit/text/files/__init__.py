"""The files of a tokenizer, in and out."""
