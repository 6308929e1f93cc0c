"""The nodes that work together. There is one: this."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from veloflux import __version__
from veloflux.control.services.moments import moment
from veloflux.control.services.status import Condition, Status


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node; `address` is that of its admin API."""

    id: str
    address: str
    role: Literal["leader", "follower"]
    status: Condition
    last_seen: datetime
    is_healthy: bool
    version: str
    config_revision: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """All nodes; `term` counts elections, of which a node that is alone has none."""

    enabled: bool
    local_node: str
    is_leader: bool
    term: int
    nodes: tuple[NodeState, ...]


def cluster(status: Status, address: str, now: float) -> Cluster:
    """This node alone; `now` is Unix time."""
    condition = status.condition()
    node = NodeState(
        id=status.node_id,
        address=address,
        role="leader",
        status=condition,
        last_seen=moment(now),
        is_healthy=condition != "unhealthy",
        version=__version__,
        config_revision=status.summary().config_revision,
    )
    return Cluster(False, status.node_id, True, 0, (node,))
