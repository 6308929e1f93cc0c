"""Which of several workers is to have the next connection?

The kernel chooses by a hash of both addresses (SO_REUSEPORT). That is even for very many, but of 64
connections the busier of two workers has 35 on average, and more than 38 once in ten times; and it
does not know that a worker has begun anew, with none. So whoever is handed a connection and is
ahead of another passes it on.
"""

# To be ahead by one is the rule where numbers are odd. Of many, some percent do not matter, and to
# pass one on costs something.
_UNIT = 1
_PART = 32
# Connections that live for less than this on average are not worth it. There may always be a few.
_LIFE_S = 0.25
_FEW = 8


def is_ahead(mine: int, least: int) -> bool:
    """Whether one with `mine` connections has too many beside the one with the `least`."""
    return mine - least > _UNIT + mine // _PART


def is_worth_it(taken: int, seconds: float, mine: int) -> bool:
    """Whether connections live long enough; `taken` came in so many seconds, `mine` are there.

    By Little's law, what is there is what comes in a second times how long it stays.
    """
    return taken * _LIFE_S <= mine * seconds + _FEW
