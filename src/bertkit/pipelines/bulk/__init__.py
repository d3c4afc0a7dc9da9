"""Bulk jobs: the answers to a stream of examples in a file, in constant memory. An interrupted job can be resumed."""
