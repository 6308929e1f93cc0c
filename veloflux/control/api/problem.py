"""Errors as problem details (RFC 9457), with the members that older clients read beside them."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

CONTENT_TYPE = b"application/problem+json"


class Problem(Exception):  # noqa: N818  # RFC 9457's word for it
    """An answer that is no success; `detail` is for the caller to read, and gives nothing away."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[bytes, bytes] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def body(self, instance: str) -> bytes:
        """Write it for the request with this id."""
        return msgspec.json.encode(
            {
                "type": "about:blank",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "instance": instance,
                "errors": [],
                "error": HTTPStatus(self.status).phrase,
                "message": self.detail,
                "code": self.status,
            }
        )
