"""Which engine and precision suits a model, a text and a machine: speed, memory and agreement, measured."""
