"""The grammar of HTTP/1.1 heads, as compiled expressions (RFC 9110 section 5, RFC 9112).

The strict grammar is the smuggling defence: what does not match is refused, so no other reader of
the same bytes can see another message in them. Classes are disjoint and quantifiers possessive:
no input makes a match backtrack.
"""

import re
from functools import lru_cache

_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = _TCHAR + rb"++"
# Twice what any registered method has.
LONGEST_METHOD = 64
# obs-text is allowed in values, as RFC 9110 section 5.5 does; no other control than HTAB is.
_LINE = TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"

FIELD = re.compile(_LINE)

# A field block is cut out with the line feed that ends the first line and up to the empty line:
# then every field begins after a line feed. Lines begin with a name, so folding cannot match.
FIELDS = re.compile(rb"\n(?:" + _LINE + rb")*+\r\n")
REQUEST_LINE = re.compile(
    b"(%b{1,%d}+)" % (_TCHAR, LONGEST_METHOD) + rb" ([\x21-\x7e]++) HTTP/1\.([01])"
)
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*+)?")

# The fields a proxy has to look at; every other line is forwarded as it came. A name with an
# underscore is one of them: some backends read it as a hyphen, so it would be a second spelling.
# The look-ahead leaves most lines at their first letter.
REQUEST_MATTERS = re.compile(
    rb"\n(?=[cefhkptux]|[^:_\r\n]*+_)(connection|keep-alive|proxy-connection|proxy-authorization|te|transfer-encoding|upgrade"
    rb"|content-length|host|expect|http2-settings|forwarded|x-forwarded-[^:]*+"
    rb"|x-real-ip|x-request-id|traceparent|tracestate|[^:_\r\n]*+_[^:\r\n]*+):([^\r]*+)\r",
    re.IGNORECASE,
)
RESPONSE_MATTERS = re.compile(
    rb"\n(?=[cdkptuxs])(connection|keep-alive|proxy-connection|proxy-authenticate|transfer-encoding|upgrade"
    rb"|content-length|date|x-request-id|sec-websocket-accept):([^\r]*+)\r",
    re.IGNORECASE,
)
ANY_FIELD = re.compile(rb"([^:\r\n]++):([^\r]*+)\r\n")

# A backend's answer carries no length over 18 digits and no sign, space or underscore; int() would
# take all of those.
CONTENT_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")

# A head still incomplete is refused at its first impossible byte rather than at a deadline.
BROKEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")


def tokens(value: bytes) -> tuple[bytes, ...]:
    """The lower-case members of a comma-separated list of tokens (RFC 9110 section 5.6.1)."""
    # A client's long lists must not fill the memory of those that come again.
    return _remembered(value) if len(value) <= 128 else _tokens(value)


def _tokens(value: bytes) -> tuple[bytes, ...]:
    return tuple(value.lower().replace(b"\t", b"").replace(b" ", b"").split(b","))


_remembered = lru_cache(maxsize=256)(_tokens)
