"""Something to see: two small backends, and one command that runs them behind VeloFlux."""
