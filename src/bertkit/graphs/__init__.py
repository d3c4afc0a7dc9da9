"""Graphs: BERT in the formats of other runtimes, made directly from the arrays of the parameters."""
