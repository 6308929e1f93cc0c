"""Clients that speak HTTP/2: a connection, its streams, and how such a connection is known."""
