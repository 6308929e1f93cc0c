"""Adds `veloflux` to the subcommands of twistd."""

from twisted.application.service import ServiceMaker

veloflux = ServiceMaker("VeloFlux", "veloflux.tap", "A load balancer and API gateway.", "veloflux")
