"""What setup.cfg cannot say: that a part is compiled, where there is a compiler."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("veloflux.edge.compiled", ["veloflux/edge/compiled.pyx"], optional=True),
    ]
)
