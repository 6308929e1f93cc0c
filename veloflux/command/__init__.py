"""What the verbs of the `veloflux` command do."""
