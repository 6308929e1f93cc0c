"""The whole configuration file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from veloflux.config.fields import FilledText, ListenAddress, Text
from veloflux.config.http_fields import Network
from veloflux.config.listeners import Listener
from veloflux.config.policies import Origin
from veloflux.config.pools import Pool
from veloflux.config.routes import Route
from veloflux.config.section import Section, option
from veloflux.config.tls import ListenerTls
from veloflux.config.wording import kind, quote
from veloflux.core.model import traffic

MAX_WORKERS = 1024


def _workers(value: object) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int):
        wrong = f"must be auto or a whole number, not {kind(value)}"
        raise ValueError(wrong)  # noqa: TRY004  # pydantic collects ValueErrors only
    if not 1 <= value <= MAX_WORKERS:
        raise ValueError(
            f"{value} is out of range; write auto, or a number from 1 to {MAX_WORKERS}"
        )
    return value


def _username(text: str) -> str:
    # RFC 7617, section 2: the first colon ends the user's name.
    if ":" in text or len(text) > 128:
        raise ValueError(
            f"{quote(text)} is no user name; it has no colon and 128 characters at most"
        )
    return text


def _password(text: str) -> str:
    if len(text) > 1024:
        raise ValueError("is too long; 1024 characters at most")
    return text


def _page_origin(text: str) -> str:
    if "*" in text or text == "null":
        raise ValueError(
            f"{quote(text)} is too wide for an API that changes things; name each origin, such as "
            "https://app.example.org"
        )
    return text


PageOrigin = Annotated[Origin, AfterValidator(_page_origin)]


class BackendNetworks(Section):
    """Where backends may be, whoever adds them. Names are judged by the addresses they lead to,
    each time; the admin listener itself is never a backend."""

    allow: list[Network] = option([], "Nowhere else; empty: anywhere.", max_length=10_000)
    deny: list[Network] = option(
        list(traffic.BackendNetworks().deny),
        "Nowhere here. The default keeps out cloud metadata, link-local, unspecified and multicast "
        "addresses.",
        max_length=10_000,
    )


_EVERYWHERE = BackendNetworks()


class Admin(Section):
    """The listener for the admin API and `/metrics`."""

    address: ListenAddress = option("127.0.0.1:9090", "Where to listen.")
    insecure_admin: bool = option(
        False,
        "Allow an address that is not loopback although there is no TLS: passwords then cross the "
        "network in clear text.",
    )
    auth_enabled: bool = option(True, "Whether the API asks who is there.")
    username: Annotated[FilledText, AfterValidator(_username)] = option(
        "admin", "The operator, for Basic authentication and for login."
    )
    password: Annotated[Text, AfterValidator(_password)] = option(
        "",
        "Empty: a random one is made at the first start, kept hashed, and written once to "
        "`admin-password` in `data_dir`. Better from the environment than in the file.",
        examples=["${VELOFLUX_ADMIN_PASSWORD:-}"],
    )
    cors_origins: list[PageOrigin] = option(
        [], "Other origins whose pages may use the API, each by its name: none stands for several."
    )
    tls: ListenerTls | None = option(None, "null: clear text.")
    backend_networks: BackendNetworks = Field(
        default_factory=lambda: _EVERYWHERE, description="Where backends may be."
    )


class Metrics(Section):
    """Where Prometheus asks."""

    address: ListenAddress | None = option(
        None, "One more listener, for `/metrics` alone; null: none, the admin listener has it."
    )


class AccessLog(Section):
    """One line for each request."""

    path: FilledText | None = option(
        None, "A file, relative to the configuration's directory; null: standard output."
    )
    format: Literal["json", "combined"] = option("json", "JSON lines, or as Apache and nginx do.")


class Logging(Section):
    """What is written down."""

    access: AccessLog | None = Field(
        default_factory=AccessLog, description="The access log; null: none is written."
    )
    level: Literal["debug", "info", "warn", "error", "critical"] = option(
        "info", "The least important events of the daemon itself that are logged."
    )
    tracing: bool = option(
        False,
        "Begin a trace (W3C `traceparent`) for requests that bring none from a trusted proxy, and "
        "log each request's.",
    )


class Configuration(Section):
    """The configuration of VeloFlux."""

    workers: Annotated[
        int | str,
        PlainValidator(_workers),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "auto"},
                    {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS},
                ]
            }
        ),
    ] = option("auto", "Processes that serve traffic; `auto`: one for each processor.")
    data_dir: FilledText = option(
        "var",
        "Directory for state and secrets, relative to this file's; made with mode 0700.",
    )
    authority: Literal["store", "file"] = option(
        "store",
        "`store`: this file seeds an empty store, then the API rules; a reload takes the file as a "
        "new revision when it has changed. `file`: this file rules, and the API may read the "
        "configuration but not write it.",
    )
    admin: Admin = Field(default_factory=Admin, description="The admin listener.")
    metrics: Metrics = Field(default_factory=Metrics, description="A listener for metrics.")
    listeners: list[Listener] = Field(
        min_length=1, max_length=1000, description="What clients connect to; at least one."
    )
    pools: list[Pool] = option([], "Groups of backends.", max_length=10_000)
    routes: list[Route] = option(
        [],
        "Which requests go to which pool; without any, all are answered 404.",
        max_length=50_000,
    )
    logging: Logging = Field(default_factory=Logging, description="Logs.")
