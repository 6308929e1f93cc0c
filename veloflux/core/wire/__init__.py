"""Bytes to events and back, strictly."""
