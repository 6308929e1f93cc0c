"""Writes docs/reference/ from the code: `make docs`.

Each page comes from the same source as what it describes, so it cannot say anything else. A test
fails when a page is behind.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from docs import admin_api, streams
from veloflux.cli import SECTIONS
from veloflux.command.exits import MEANINGS
from veloflux.config.reference import markdown
from veloflux.core.flow import exchange
from veloflux.core.model import access_log
from veloflux.core.model.metrics import FAMILIES
from veloflux.core.model.traffic import Algorithm

REFERENCE = Path(__file__).parent / "reference"
METRICS = """\
# Metrics

<!-- Made from the families by `make docs`. Change veloflux/core/model/metrics.py instead. -->

At `/metrics` on the admin listener, in the Prometheus text format, summed over all workers.
"""

ACCESS_LOG = """\
# The access log

<!-- Made from its words by `make docs`. Change veloflux/core/model/access_log.py instead. -->

One line for each request and each relayed connection, when it is over, as a JSON object (or in the
combined format, which has fewer fields). What does not apply is empty or 0. Nothing in a value can
end its string or the line. Queries, cookies and `Authorization` are never logged.
[How to read it](../howto/why-there.md).
"""


def access_log_page() -> str:
    """Every field, and all that may stand in those with words of their own."""
    parts = [ACCESS_LOG, _table("field", access_log.FIELDS), TERMINATION]
    parts.append(_table("code", access_log.TERMINATIONS))
    parts.append("## `pick_reason`\n\nThe name of an algorithm when it had its way (")
    parts[-1] += ", ".join(f"`{name}`" for name in get_args(Algorithm)) + "), or:\n"
    parts.append(_table("reason", access_log.PICK_REASONS))
    parts.append("## `error`\n\nOf a request that was answered here:\n")
    parts.append(_table("error", access_log.REFUSALS))
    parts.append("Of one for which no backend gave a good answer:\n")
    failures = [each for each in vars(exchange).values() if isinstance(each, exchange.Failure)]
    lines = ["| error | status | termination | |", "|---|---|---|---|"]
    for each in failures:
        lines.append(f"| `{each.reason}` | {each.status} | `{each.termination}` | {each.detail} |")
    parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


TERMINATION = """\
## `termination`

Two letters, as users of HAProxy know them. The first says who ended it: `C` the client, `S` the
server, which is the backend, `P` the proxy, `R` that a resource was used up, `L` that it was
answered here; a small letter is a timeout. The second says in which phase: `R` the request, `Q` the
queue, `C` connecting to a backend, `H` waiting for the head of the answer, `D` data.
"""


def _table(name: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | |", "|---|---|"]
    for word, meaning in rows.items():
        lines.append(f"| {f'`{word}`' if word else '(empty)'} | {meaning} |")
    return "\n".join(lines) + "\n"


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


COMMAND = """\
# The `veloflux` command

<!-- Made from its verbs by `make docs`. Change veloflux/cli.py and veloflux/command/ instead. -->

`veloflux VERB --help` says more of each, with examples. Verbs that ask a daemon take `--server`,
`--token-file`, `--user`, `--password-file` and `--ca`, or `VELOFLUX_SERVER`, `VELOFLUX_TOKEN`,
`VELOFLUX_TOKEN_FILE`, `VELOFLUX_USER`, `VELOFLUX_PASSWORD`, `VELOFLUX_PASSWORD_FILE` and
`VELOFLUX_CA` from the environment. Without any of these they ask http://127.0.0.1:9090, as the
operator if a password file of a daemon is where they run. `-o table|json|yaml` is how they answer;
colours are for terminals, and for none with `NO_COLOR`.
"""


def command() -> str:
    """Every verb, and what the exit statuses mean."""
    parts = [COMMAND]
    for title, verbs in SECTIONS.items():
        summaries = {f"veloflux {name}": verb.summary for name, verb in verbs.items()}
        parts.append(f"## {title}\n\n{_table('verb', summaries)}")
    meanings = {str(status): meaning for status, meaning in MEANINGS.items()}
    parts.append("## Exit status\n\n" + _table("status", meanings))
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "access-log.md": access_log_page,
    "admin-api.md": admin_api.page,
    "command.md": command,
    "configuration.md": markdown,
    "metrics.md": metrics,
    "streams.md": streams.page,
}


def main() -> None:
    """Write every page, and say which."""
    REFERENCE.mkdir(exist_ok=True)
    for page, write in PAGES.items():
        (REFERENCE / page).write_text(write())
        print(f"docs/reference/{page}")


if __name__ == "__main__":
    main()
