"""The words every part speaks: frozen values."""
