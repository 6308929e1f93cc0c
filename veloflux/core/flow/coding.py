"""What a compressed answer says of itself, joining the policy with the heads on both sides.

Sources: RFC 9110 sections 8.8.1 (weak validators) and 12.5.5 (Vary), RFC 9530 (digests).
"""

from veloflux.core.flow.exchange import Relay
from veloflux.core.policy.compression import IDENTITY, Rule, forbids
from veloflux.core.wire.fields import without
from veloflux.core.wire.grammar import ANY_FIELD
from veloflux.core.wire.http1 import RequestHead, ResponseHead

# What is said of the bytes before they were compressed; the last two are RFC 3230's and RFC 1864's.
_DIGESTS = (b"content-digest", b"repr-digest", b"digest", b"content-md5")
# A range of these bytes cannot be asked for: they are made anew each time.
_GONE = frozenset((b"content-encoding", b"accept-ranges", *_DIGESTS))
_VARY = b"Vary: Accept-Encoding\r\n"


def judge(rule: Rule, request: RequestHead, answer: ResponseHead) -> bytes | None:
    """The coding for the body of `answer`, IDENTITY when it goes as it is though another client
    would get one, None when nobody would. What HEAD says is what GET would."""
    if not rule.covers(answer.status, answer.fields.length, answer.fields.kept):
        return None
    return wanted(rule, request)


def wanted(rule: Rule, request: RequestHead) -> bytes:
    """The coding for the answers that the rule covers, IDENTITY for none."""
    fields = request.fields
    if not fields.minor:
        # HTTP/1.0 knows no chunks, and without them a broken end looks like a good one.
        return IDENTITY
    coding = rule.choose(fields.value(b"accept-encoding"))
    return IDENTITY if coding and forbids(fields.value(b"cache-control")) else coding


def recoded(relay: Relay) -> Relay:
    """How a compressed answer is passed on: its length is known when all of it is gone."""
    if relay.body is None:
        return relay._replace(framing=b"")
    return relay._replace(framing=b"Transfer-Encoding: chunked\r\n", chunked=True)


def described(lines: bytes, coding: bytes) -> bytes:
    """The field lines of an answer that is compressed with `coding`, or could be (IDENTITY)."""
    if coding != IDENTITY:
        lines = _recoded_lines(lines) + b"Content-Encoding: %b\r\n" % coding
    values = [match[2] for match in ANY_FIELD.finditer(lines) if match[1].lower() == b"vary"]
    varies = {name.strip(b" \t").lower() for name in b",".join(values).split(b",")}
    return lines if varies & {b"*", b"accept-encoding"} else lines + _VARY


def trailers(lines: bytes) -> bytes:
    """The trailers of a compressed body."""
    return without(lines, _DIGESTS) if lines else lines


def _recoded_lines(lines: bytes) -> bytes:
    """`lines` without what is no longer so. The same tag on other bytes can only be a weak one;
    one that is malformed goes, for nothing before it would make it good."""
    kept = []
    for match in ANY_FIELD.finditer(lines):
        name = match[1].lower()
        if name == b"etag":
            tag = match[2].strip(b" \t")
            if tag.startswith(b'"'):
                kept.append(b"ETag: W/%b\r\n" % tag)
            elif tag.startswith(b'W/"'):
                kept.append(match[0])
        elif name not in _GONE:
            kept.append(match[0])
    return b"".join(kept)
