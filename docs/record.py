"""Records one real answer of each endpoint, for the reference: `make docs-record`.

A daemon before two backends is started, given some traffic, and asked once by each row of the
table. What a call needs beside its row is in CALLS; a body that is not there is made from the
document's examples. docs/recordings/ has a file for each group; a test fails when a row has none.
"""

import base64
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from veloflux.control.api.endpoint import Endpoint
from veloflux.control.api.table import ROWS

RECORDINGS = Path(__file__).parent / "recordings"
CONFIGURATION = """
workers: 1
admin: {{address: "localhost:0", password: "${{PASSWORD}}"}}
listeners: [{{name: web, address: "127.0.0.1:0"}}]
pools:
  - name: app
    backends: [{{address: "127.0.0.1:{0}"}}, {{address: "127.0.0.1:{1}"}}]
    health_check: {{interval: 1s, path: /}}
routes: [{{id: app, pool: app}}]
"""
# Longer answers show how they begin.
MAX_ITEMS = 2
MAX_LINES = 60
# Without workers the others of its group have little to show.
LAST = ("/api/system/drain",)
_KEPT = ("Content-Type", "ETag", "Location")
_LONG = re.compile(r"[A-Za-z0-9_.=-]{60,}")


# Gives the answer to a method, a path and a body at that moment.
Ask = Callable[[str, str, Any], Any]
# Who asks: a name and a password.
OPERATOR = ("admin", "correct horse battery staple")
ADA = ("ada@example.org", "an engine of analysis")


@dataclass(frozen=True)
class Asking:
    """What a call has beside its method. A parameter of the path that is not here is that of what
    was made before, or 1. What can be called gives the thing itself."""

    path: Mapping[str, str | Callable[[Ask], str]] = field(default_factory=dict)
    query: str = ""
    body: Any = None
    by: tuple[str, str] = OPERATOR


@dataclass(frozen=True)
class Recording:
    """One call and its answer; `answer` is text as it came, or JSON."""

    method: str
    path: str
    body: Any
    status: int
    headers: Mapping[str, str]
    answer: Any


def _first(ask: Ask) -> str:
    found: str = ask("GET", "/api/backends", None)[0]["id"]
    return found


def _exported(ask: Ask) -> Any:
    return ask("GET", "/api/config/export", None)["config"]


def _transaction(ask: Ask) -> str:
    found: str = ask("POST", "/api/config/transactions", {})["id"]
    return found


def _refresh(ask: Ask) -> Any:
    return {"refresh_token": ask("POST", "/api/auth/login", _LOGIN)["refresh_token"]}


_LOGIN = {"email": ADA[0], "password": ADA[1]}
_USER = {"email": "grace@example.org", "password": "a bug in a relay", "role": "viewer"}
_BACKEND = {"address": "127.0.0.3:9002", "weight": 2}
_ROUTE = {"host": "shop.example.org", "path_prefix": "/cart", "pool": "app"}

# By the names of operations. Others are called as they are, with a body made of examples.
CALLS: dict[str, Asking] = {
    "post_api_pools": Asking(
        body={"name": "canary", "algorithm": "least_conn", "backends": [{"address": "127.0.0.3:1"}]}
    ),
    "post_api_pools_by_name_backends": Asking({"name": "app"}, body=_BACKEND),
    "put_api_pools_by_name": Asking(body={"algorithm": "round_robin"}),
    "post_api_backends": Asking(body={"address": "127.0.0.3:9003", "pool": "app"}),
    "put_api_backends_by_id": Asking(body={"weight": 3}),
    "delete_api_backends_by_pool_by_address": Asking({"pool": "app", "address": "127.0.0.3:9002"}),
    "post_api_backends_by_id_drain": Asking({"id": _first}, body={"deadline": "30s"}),
    "get_api_backends_by_id_drain": Asking({"id": _first}),
    "delete_api_backends_by_id_drain": Asking({"id": _first}),
    "post_api_routes": Asking(body=_ROUTE),
    "put_api_routes_by_id": Asking(body={"path_prefix": "/basket"}),
    "put_api_config": Asking(query="?reason=as+it+was", body=_exported),
    "post_api_config_validate": Asking(body={"pools": []}),
    "post_api_config_import": Asking(body=lambda ask: {"config": _exported(ask)}),
    "get_api_config_revisions_by_number_diff": Asking(query="?to=2"),
    "get_api_explain": Asking(query="?host=shop.example.org&path=/cart"),
    "get_api_analytics": Asking(query="?period=1h&group_by=route"),
    "post_api_config_transactions_by_id_commit": Asking({"id": _transaction}, body={}),
    "get_api_config_transactions_by_id_diff": Asking({"id": _transaction}),
    "put_api_config_transactions_by_id_changes": Asking(
        {"id": _transaction}, body=lambda ask: {"config": _exported(ask)}
    ),
    "post_api_backup_restore": Asking(
        query="?dry_run=true", body=lambda ask: ask("GET", "/api/backup/create", None)
    ),
    "post_api_auth_login": Asking(body=_LOGIN),
    "post_api_auth_refresh": Asking(body=_refresh),
    "put_api_profile": Asking(body={"first_name": "Ada"}, by=ADA),
    "get_api_profile": Asking(by=ADA),
    "post_api_auth_keys": Asking(body={"name": "deployment", "permissions": ["pools:read"]}),
    "post_api_users": Asking(body=_USER),
    "put_api_users_by_user_id": Asking(body={"role": "member"}),
    "post_api_system_drain": Asking(body={"deadline": "30s"}),
    "get_api_system_logs": Asking(query="?level=info&limit=2"),
}


def order(rows: Sequence[Endpoint]) -> list[Endpoint]:
    """Groups in their order; in each what makes things first, and what removes them last."""
    groups = list(dict.fromkeys(row.tag for row in rows))
    steps = ("POST", "GET", "PUT", "PATCH", "DELETE")
    return sorted(
        rows, key=lambda row: (groups.index(row.tag), row.path in LAST, steps.index(row.method))
    )


def record() -> Iterator[tuple[Endpoint, Recording]]:
    """Ask for each row once."""
    with ExitStack() as stack:
        ports = [_backend(stack) for _ in range(2)]
        daemon = Daemon(CONFIGURATION.format(*ports), environ={"PASSWORD": OPERATOR[1]})
        stack.enter_context(daemon)
        time.sleep(2.0)  # for the health checks, and for what is measured by the second
        for _ in range(50):
            urllib.request.urlopen(f"http://127.0.0.1:{daemon.port()}/").read()
        time.sleep(2.0)
        user = {"email": ADA[0], "password": ADA[1], "role": "operator"}
        _ask(daemon.admin, "POST", "/api/users", user)
        made = {"directory": str(daemon.directory)}
        document = json.loads(_ask(daemon.admin, "GET", "/api/openapi.json", None)[2])
        for row in order(ROWS):
            yield row, _call(daemon, row, document, made)


def _backend(stack: ExitStack) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    directory = Path(__file__).parent / "recordings"
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    process = subprocess.Popen(command, cwd=directory, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return port


def _call(
    daemon: Daemon, row: Endpoint, document: dict[str, Any], made: dict[str, str]
) -> Recording:
    asking = CALLS.get(row.name, Asking())
    operation = document["paths"][row.path][row.method.lower()]

    def ask(method: str, path: str, body: Any) -> Any:
        return json.loads(_ask(daemon.admin, method, path, body)[2])

    body = asking.body(ask) if callable(asking.body) else asking.body
    if body is None and "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = sample(document, schema)
    path = row.path
    for name in re.findall(r"\{(\w+)\}", row.path):
        value = asking.path.get(name) or made.get(row.path, "1")
        path = path.replace(f"{{{name}}}", value(ask) if callable(value) else value)
    path += asking.query
    status, headers, content = _ask(daemon.admin, row.method, path, body, asking.by)
    if status == 201 and "Location" in headers:
        # Who is asked about next is who was made.
        prefix, _, last = headers["Location"].rpartition("/")
        for other in ROWS:
            if re.fullmatch(re.escape(prefix) + r"/\{\w+\}", other.path):
                made[other.path] = last
    return Recording(row.method, path, body, status, headers, _cleaned(headers, content, made))


def _ask(
    admin: str, method: str, path: str, body: Any, by: tuple[str, str] = OPERATOR
) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(f"http://{admin}{path}", method=method)
    token = base64.b64encode(":".join(by).encode()).decode()
    request.add_header("Authorization", f"Basic {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _kept(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, _kept(error.headers), error.read().decode()


def _kept(headers: Any) -> dict[str, str]:
    return {name: headers[name] for name in _KEPT if headers[name]}


def sample(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A value of the kind that a schema describes: its own example, or one made of its parts."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for key in ("const", "default"):
        if key in schema and "examples" not in schema:
            return schema[key]
    if schema.get("examples") or schema.get("enum"):
        return [*schema.get("examples", []), *schema.get("enum", [])][0]
    for choice in schema.get("anyOf", schema.get("oneOf", [])):
        if choice.get("type") != "null":
            return sample(document, choice)
    kind = schema.get("type")
    if kind == "object":
        known = schema.get("properties", {})
        wanted = {name for name, each in known.items() if "examples" in each}
        names = [name for name in known if name in {*schema.get("required", ()), *wanted}]
        return {name: sample(document, known[name]) for name in names}
    if kind == "array":
        return [sample(document, schema["items"])] if schema.get("minItems") else []
    return {"integer": schema.get("minimum", 1), "number": 1, "boolean": True}.get(kind, "example")


def _cleaned(headers: Mapping[str, str], content: str, made: Mapping[str, str]) -> Any:
    """The answer without what is of this machine alone, and not longer than it need be."""
    content = content.replace(made["directory"], "/var/lib/veloflux")
    content = content.replace(socket.gethostname(), "proxy-1")
    if "json" in headers.get("Content-Type", ""):
        return _short(json.loads(content))
    lines = content.splitlines()
    return "\n".join(lines[:MAX_LINES] + (["…"] if len(lines) > MAX_LINES else []))


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value[:MAX_ITEMS]]
    if isinstance(value, str):
        return _LONG.sub(lambda match: match[0][:12] + "…", value)
    return value


def main() -> None:
    """Record all, and say what went wrong."""
    groups: dict[str, dict[str, Any]] = {}
    RECORDINGS.mkdir(exist_ok=True)
    refused = []
    for row, recording in record():
        groups.setdefault(row.tag, {})[row.name] = asdict(recording)
        if recording.status >= 300:
            refused.append(f"{row.name}: {recording.status} {json.dumps(recording.answer)[:300]}")
    for file in RECORDINGS.glob("*.json"):
        file.unlink()
    for tag, recordings in groups.items():
        text = json.dumps(recordings, indent=1, ensure_ascii=False)
        (RECORDINGS / f"{tag}.json").write_text(text + "\n")
    print(*refused, sep="\n")
    if refused:
        raise SystemExit("these calls need an entry in CALLS of docs/record.py, or examples")


if __name__ == "__main__":
    main()
