"""Measurements beside peers; `python -m bench --help`. Never part of the tests."""
