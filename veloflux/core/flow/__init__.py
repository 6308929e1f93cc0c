"""The life of one request, joining wire and policy."""
