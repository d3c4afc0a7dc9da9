"""What a call takes and returns: inputs and options, rows, columns."""
