"""A server for every task: a queue that batches requests, and HTTP routes of several protocols."""
