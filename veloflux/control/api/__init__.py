"""The admin API, on Klein."""
