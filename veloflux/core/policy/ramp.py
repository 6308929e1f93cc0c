"""How much does a backend get that has just come (back)? A share that grows from 10 % to all.

Slow start, as in HAProxy (`slowstart`), nginx (`slow_start`) and Envoy with an aggression of 1: the
share is the age over the time it takes. A process that is cold, with empty caches and few
connections, would drown in its full share at once, all the more under algorithms that love an idle
backend.
"""

# Weights are counted in hundredths, so that the share of the lightest can grow, too. All backends
# of a pool with slow start go through `ramp`: its numbers compare with each other alone.
_PARTS = 100
# The least share, in percent. From nothing, there would be no traffic to warm it up, and in a pool
# where all are new the first would get everything; Envoy's min_weight_percent is the same.
_FLOOR = 10
# How often the weights are computed until they are whole: a picker is made anew each time.
STEPS = 20


def ramp(weight: int, age_s: float, slow_start_s: float) -> int:
    """The weight in force, in hundredths of `weight`'s unit, `age_s` after it began.

    Never less than it was at a younger age. A weight of 0 stays 0, and with no `slow_start_s` all
    of it is there from the start.
    """
    if slow_start_s <= 0 or age_s >= slow_start_s:
        return weight * _PARTS
    return weight * max(int(_PARTS * max(age_s, 0.0) / slow_start_s), _FLOOR)
