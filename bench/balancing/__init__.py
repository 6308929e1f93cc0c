"""The balancing algorithms against each other: simulated, and with real processes."""
