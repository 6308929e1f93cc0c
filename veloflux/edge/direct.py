"""The shortest way between sockets and protocols: compiled, if there was a C compiler when VeloFlux
was installed; in Python without one, and where the environment has VELOFLUX_PURE."""

import os
from contextlib import suppress

__all__ = ["Direct", "accept", "dispatch", "is_compiled"]

is_compiled = False

if not os.environ.get("VELOFLUX_PURE"):
    with suppress(ImportError):
        from veloflux.edge.compiled import Direct, accept, dispatch

        is_compiled = True

if not is_compiled:
    from veloflux.edge.pure import Direct, accept, dispatch
