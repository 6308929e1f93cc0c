"""Where the daemon has its configurations from: the file, the store, and whom a signal asks."""

import os
from collections.abc import Mapping
from contextlib import suppress

from twisted.internet.defer import Deferred

from veloflux.config.reader import Reader
from veloflux.config.written import open_file
from veloflux.control.services.configuration.configuration import BY_FILE, Configuration
from veloflux.control.services.configuration.opening import Opening, open_with, where
from veloflux.control.services.configuration.transactions import Transactions
from veloflux.control.services.drains import Drains
from veloflux.control.services.errors import Refusal
from veloflux.control.store.file import NAME
from veloflux.control.store.sqlite import SqliteStore
from veloflux.control.store.store import StoreError
from veloflux.control.store.thread import Thread
from veloflux.fleet.daemon import StartError


def open_store(
    path: str, reader: Reader, environ: Mapping[str, str], database: Thread, now: float
) -> tuple[Opening, SqliteStore]:
    """Read what there is, the file and the store; what cannot be used leaves no trace.

    Raises ConfigError and StoreError.
    """
    written = open_file(path)
    directory = os.path.join(os.path.dirname(path), where(written, environ)[0])
    if not os.path.exists(os.path.join(directory, NAME)):
        opening = open_with(written, reader, environ, None, now)
        return opening, SqliteStore(opening.loaded.node.data_dir, database)
    store = SqliteStore(os.path.normpath(directory), database)
    return store.now(lambda found: open_with(written, reader, environ, found, now)), store


class Source:
    """Brings them into force, with what goes on from before the start."""

    def __init__(
        self, configuration: Configuration, drains: Drains, transactions: Transactions
    ) -> None:
        self._configuration = configuration
        self._drains = drains
        self._transactions = transactions

    async def start(self) -> None:
        """Bring the first into force; raises StartError, ListenError or RolloutError."""
        try:
            await self._configuration.start()
            await self._drains.start()
            await self._transactions.start()
        except StoreError as error:
            raise StartError(str(error)) from error

    def reload(self) -> Deferred[None]:
        """Take the file; the log says why not, if not."""
        return Deferred.fromCoroutine(self._reload())

    async def _reload(self) -> None:
        with suppress(Refusal):
            await self._configuration.reload(BY_FILE)
