"""Tests of veloflux.demo."""
