"""What one daemon needs beside its traffic: processes, places, the admin listener."""

from dataclasses import dataclass
from typing import Literal

from veloflux.core.model.address import Address
from veloflux.core.model.tls import ListenerTls
from veloflux.core.model.traffic import BACKEND_NETWORKS, BackendNetworks, Snapshot


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin listener; `password` empty means one is made at the first start.

    `insecure_admin` allows it in clear text on an address that is not loopback. Pages of
    `cors_origins` may use the API. `tls` None means clear text.
    """

    address: Address = Address("127.0.0.1", 9090)
    auth_enabled: bool = True
    username: str = "admin"
    password: str = ""
    insecure_admin: bool = False
    cors_origins: tuple[str, ...] = ()
    tls: ListenerTls | None = None
    backend_networks: BackendNetworks = BACKEND_NETWORKS


@dataclass(frozen=True, slots=True)
class Node:
    """The whole configuration; `workers` is a resolved count, `data_dir` an absolute path.

    `authority` is who changes what is about traffic: the API by the store, or the file.
    """

    workers: int
    data_dir: str
    admin: Admin
    metrics_address: Address | None
    log_level: str
    snapshot: Snapshot
    authority: Literal["store", "file"] = "store"
