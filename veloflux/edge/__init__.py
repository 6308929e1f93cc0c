"""The data plane: all that a worker process runs."""
