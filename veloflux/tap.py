"""The `veloflux` subcommand of twistd."""

import os
import sys
from time import monotonic
from typing import NoReturn

from twisted.application.service import IService
from twisted.internet import epollreactor, main
from twisted.python import usage

DEFAULT_CONFIG = "veloflux.yaml"


class Options(usage.Options):
    """What stands after `twistd veloflux`."""

    synopsis = "[--config FILE]"
    longdesc = "Load balancer and API gateway. `kill -HUP` reloads the file, `kill -TERM` drains."
    optParameters = [
        ["config", "c", DEFAULT_CONFIG, "The configuration file."],
    ]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.yaml")})

    def postOptions(self) -> None:
        """Find the file before twistd goes to another directory."""
        path = os.path.abspath(self["config"])
        if not os.path.exists(path):
            _refuse(
                f"there is no {path}; write one (etc/veloflux.yaml in the source shows all keys) "
                "or name yours: twistd veloflux --config FILE"
            )
        self["config"] = path


def makeService(options: Options) -> IService:
    """Make the service, or tell the operator why not and exit."""
    _install_reactor()
    # Only now: the admin API's library picks a reactor when it is imported.
    from twisted.internet import reactor  # noqa: TID251  # a process's main may know it

    from veloflux.application import build
    from veloflux.config.problem import ConfigError
    from veloflux.control.store.store import StoreError
    from veloflux.fleet.bind import ListenError

    try:
        return build(reactor, options["config"])
    except ConfigError as error:
        _refuse(
            *(
                f"warning: {problem}" if problem.code == "advice" else str(problem)
                for problem in error.problems
            )
        )
    except ListenError as error:
        _refuse(f"{options['config']}: {error}")
    except StoreError as error:
        _refuse(f"{options['config']}: data_dir: {error}")


class _Reactor(epollreactor.EPollReactor):
    """Measures intervals on a clock that nobody can set.

    A stepped wall clock must neither fire nor delay timeouts. The data plane's own reactor does the
    same for the workers.
    """

    def seconds(self) -> float:
        return monotonic()


def _install_reactor() -> None:
    """Install our reactor, unless `twistd --reactor` has chosen another."""
    if "twisted.internet.reactor" not in sys.modules:
        main.installReactor(_Reactor())


def _refuse(*lines: str) -> NoReturn:
    """Say what is wrong, without the usage text that would push it off the screen; exit code 1."""
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1)
