"""What is wrong with a message, in words for a person and a kind for a counter."""


class ProtocolError(Exception):
    """A message that must not be forwarded; `status` is the answer it gets.

    `lines` are further header lines of that answer.
    """

    def __init__(self, status: int, kind: str, detail: str, lines: bytes = b"") -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.lines = lines


class DeclinedError(ProtocolError):
    """A request with which nothing is wrong, but which its route does not take from this client."""


def bad_request(kind: str, detail: str) -> ProtocolError:
    return ProtocolError(400, kind, detail)


def bad_answer(kind: str, detail: str) -> ProtocolError:
    """A backend's message that breaks the rules: the client gets 502."""
    return ProtocolError(502, kind, detail)
