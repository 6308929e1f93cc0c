"""Does a copy of this request go to the mirror's pool?"""

from veloflux.core.model.policies import Mirror

# Seconds that a copy may take, whatever the pool allows: nobody waits for its answer.
LONGEST_S = 30.0


def is_chosen(mirror: Mirror, luck: float) -> bool:
    """Whether the request is one of the share; `luck` is at least 0 and below 1."""
    return luck < mirror.percent / 100


def has_room(mirror: Mirror, under_way: int, length: int | None) -> bool:
    """Whether one more copy may be begun, beside `under_way` others, of a request with a body of
    `length` bytes, None if it is not known."""
    return under_way < mirror.max_requests and fits(mirror, length or 0)


def fits(mirror: Mirror, size: int) -> bool:
    """Whether a body of `size` bytes, perhaps not yet whole, can be kept until it is."""
    return size <= mirror.max_body_bytes


def total_s(pool_s: float) -> float:
    """The seconds that a copy may take all in all; `pool_s` is what its pool allows, 0 for any."""
    return min(pool_s, LONGEST_S) if pool_s else LONGEST_S
