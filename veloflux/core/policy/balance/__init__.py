"""Which backend: one file an algorithm."""
