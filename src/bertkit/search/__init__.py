"""Choosing the words that a decoder writes, without a framework: settings, changes of scores, and the searches."""
