"""Decisions: no sockets, no reactor, no clock, no files. Time and luck are arguments."""
