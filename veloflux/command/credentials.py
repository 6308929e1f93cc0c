"""Who asks a daemon: found in options, the environment, or the daemon's own files."""

import os
from base64 import b64encode

import click

from veloflux.command.daemon import DEFAULT_SERVER


def basic(user: str, password: str) -> str:
    """The header of a name and a password (RFC 7617)."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> str:
    """The header of a token or an API key (RFC 6750)."""
    return f"Bearer {token}"


def read_secret(path: str) -> str:
    """Return the first line of a file, or of standard input for `-`."""
    try:
        with click.open_file(path) as file:
            line: str = file.readline()
            return line.strip()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} holds no text; name the file with the secret") from None


# Where a daemon on this machine writes the operator's password at its first start.
_PASSWORDS = ("var/admin-password", "/var/lib/veloflux/admin-password")


def authorization(
    token_file: str | None, user: str | None, password_file: str | None, server: str
) -> str:
    """Find who asks: from the options, else the environment, else a daemon's own password file."""
    if token_file is None and user is None and password_file is None:
        token = os.environ.get("VELOFLUX_TOKEN")
        if token:
            return bearer(token)
    if token_file is not None and user is None:
        return bearer(read_secret(token_file))
    if password_file is not None:
        return basic(user or "admin", read_secret(password_file))
    password = os.environ.get("VELOFLUX_PASSWORD")
    if password is not None:
        return basic(user or "admin", password)
    if user is not None:
        typed: str = click.prompt("Password", hide_input=True, err=True)
        return basic(user, typed)
    if server == DEFAULT_SERVER or server.startswith("unix:"):
        for path in _PASSWORDS:
            if os.access(path, os.R_OK):
                return basic("admin", read_secret(path))
    return ""
