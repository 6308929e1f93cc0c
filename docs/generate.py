"""Writes docs/reference/ from the code: `make docs`.

Each page comes from the same source as what it describes, so it cannot say anything else. A test
fails when a page is behind.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

from veloflux.config.reference import markdown
from veloflux.control.api.endpoint import OPEN
from veloflux.control.api.endpoints.core import ROWS
from veloflux.core.model.metrics import FAMILIES

REFERENCE = Path(__file__).parent / "reference"
METRICS = """\
# Metrics

<!-- Made from the families by `make docs`. Change veloflux/core/model/metrics.py instead. -->

At `/metrics` on the admin listener, in the Prometheus text format, summed over all workers.
"""

ADMIN_API = """\
# The admin API

<!-- Made from the rows by `make docs`. Change veloflux/control/api/endpoints/ instead. -->

On `admin.address`, loopback unless told otherwise. Whoever needs a permission signs in with HTTP
Basic, as `admin.username`:

```console
$ curl -u "admin:$(cat var/admin-password)" http://127.0.0.1:9090/api/status
```

A path under `/api/` also answers under `/api/v1/`. Errors are `application/problem+json` (RFC
9457). Every answer has an `X-Request-ID`; a well-formed one of the caller's is kept.
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


def admin_api() -> str:
    """Every endpoint."""
    lines = ["| | path | needs | |", "|---|---|---|---|"]
    for row in ROWS:
        summary = (inspect.getdoc(row.answer) or "").partition("\n")[0]
        needs = "nothing" if row.permission == OPEN else f"`{row.permission}`"
        lines.append(f"| {row.method} | `{row.path}` | {needs} | {summary} |")
    return ADMIN_API + "\n" + "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "admin-api.md": admin_api,
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
