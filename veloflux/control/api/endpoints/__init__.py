"""The endpoints, as tables of rows."""
