"""BERT in each framework."""
