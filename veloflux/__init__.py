"""VeloFlux: a programmable, multi-tenant load balancer and API gateway."""

__version__ = "0.1.0"
