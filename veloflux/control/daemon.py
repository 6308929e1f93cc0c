"""The metrics that the daemon knows by itself: of backends, workers, itself and its processes."""

import platform
import ssl
from collections.abc import Callable, Sequence

from twisted.copyright import version as twisted_version

from veloflux import __version__
from veloflux.control.exposition import Labels, Value
from veloflux.control.metrics import Families
from veloflux.control.procfs import usage
from veloflux.control.services.alerts.alerts import Alert
from veloflux.control.services.alerts.conditions import SEVERITIES
from veloflux.control.services.certificates import Certificate
from veloflux.control.services.status import BackendState, Status
from veloflux.core.model import metrics

_STATES: tuple[BackendState, ...] = (
    "healthy", "unhealthy", "unknown", "ejected", "draining", "disabled",
)  # fmt: skip


def own_families(
    status: Status, shown: Sequence[Certificate] = (), alerts: Sequence[Alert] = ()
) -> Callable[[], Families]:
    """Take what must be taken now, and return what reads the rest, which may take a while."""
    in_force = status.in_force
    backends = status.backends()
    workers = status.fleet.status()
    serving = status.serving
    restarts = status.fleet.restarts
    is_good = status.is_last_reload_good
    certificates: dict[Labels, Value] = {}
    for each in shown:
        # Two of one name: the one that ends first is the one to renew.
        known = certificates.get((each.name,), each.not_after)
        assert isinstance(known, float)
        certificates[each.name,] = min(known, each.not_after)
    severities = [alert.severity for alert in alerts]

    def read() -> Families:
        used = usage([worker.pid for worker in workers if worker.pid])
        states: dict[Labels, Value] = {
            (pool, backend, state): float(state == actual)
            for pool, backend, actual in backends
            for state in _STATES
        }
        version = (str(in_force.snapshot.revision), in_force.digest)
        build = (__version__, platform.python_version(), twisted_version, ssl.OPENSSL_VERSION)
        return (
            (metrics.UPSTREAM_STATE, states),
            (metrics.CONFIG_INFO, {version: 1.0}),
            (metrics.CONFIG_RELOAD_SUCCESS, {(): float(is_good)}),
            (metrics.CONFIG_RELOAD_TIME, {(): in_force.at}),
            (metrics.WORKERS, {(): float(serving)}),
            (metrics.WORKER_RESTARTS, {(): float(restarts)}),
            (metrics.CERTIFICATE_EXPIRY, certificates),
            (metrics.ALERTS, {(each,): float(severities.count(each)) for each in SEVERITIES}),
            (metrics.BUILD_INFO, {build: 1.0}),
            (metrics.PROCESS_CPU, {(): used.cpu_s}),
            (metrics.PROCESS_MEMORY, {(): float(used.memory_bytes)}),
            (metrics.PROCESS_FDS, {(): float(used.descriptors)}),
            (metrics.PROCESS_START, {(): used.started}),
        )

    return read
