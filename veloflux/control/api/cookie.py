"""The cookie in which a browser keeps a refresh token for the page that signed in.

Scripts cannot read it, and pages of other sites cannot have it sent. It goes to where tokens are
renewed and nowhere else.
"""

from veloflux.control.services.identity.sessions import LIFETIME_S

NAME = "veloflux_refresh"
_PATH = "/api/auth"


def keeping(token: str, is_secure: bool) -> str:
    """Have the browser keep it; with `is_secure` it came over TLS, and goes over nothing else."""
    return _written(token, int(LIFETIME_S), is_secure)


def forgetting(is_secure: bool) -> str:
    """Have the browser forget it."""
    return _written("", 0, is_secure)


def _written(value: str, seconds: int, is_secure: bool) -> str:
    end = "; Secure" if is_secure else ""
    return f"{NAME}={value}; Path={_PATH}; Max-Age={seconds}; HttpOnly; SameSite=Strict{end}"
