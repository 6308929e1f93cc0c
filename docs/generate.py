"""Writes docs/reference/ from the code: `make docs`.

Each page comes from the same source as what it describes, so it cannot say anything else. A test
fails when a page is behind.
"""

from collections.abc import Callable
from pathlib import Path

from veloflux.config.reference import markdown
from veloflux.core.model.metrics import FAMILIES

REFERENCE = Path(__file__).parent / "reference"
METRICS = """\
# Metrics

<!-- Made from the families by `make docs`. Change veloflux/core/model/metrics.py instead. -->

At `/metrics` on the admin listener, in the Prometheus text format, summed over all workers.
"""


def metrics() -> str:
    """Every family, and the buckets of the histograms."""
    lines = ["| family | kind | labels | |", "|---|---|---|---|"]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    lines.append("")
    for family in FAMILIES:
        if family.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
            lines.append(f"Buckets of `{family.name}`, in seconds: {bounds}.\n")
    return METRICS + "\n" + "\n".join(lines).rstrip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": markdown,
    "metrics.md": metrics,
}


def main() -> None:
    """Write every page, and say which."""
    REFERENCE.mkdir(exist_ok=True)
    for page, write in PAGES.items():
        (REFERENCE / page).write_text(write())
        print(f"docs/reference/{page}")


if __name__ == "__main__":
    main()
