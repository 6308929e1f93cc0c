"""The control plane: what the daemon's own process does for people."""
