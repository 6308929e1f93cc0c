"""The words of the access log, once: every field of a JSON line, and what may stand in it.

The reference page is made from these, and tests hold them against what is written.
"""

# In the order of a line; `t.` and `tls.` are objects.
FIELDS = {
    "ts": "When the line's request or connection ended, UTC.",
    "request_id": "Its `X-Request-ID`, of the client's answer and of what the backend got.",
    "trace_id": "Its trace (W3C `traceparent`), with `tracing`.",
    "listener": "The listener's name.",
    "client_ip": "The client, by the word of trusted proxies if there are any.",
    "peer_ip": "Who connected.",
    "tls.version": "What the TLS handshake agreed on; `tls` is left out in clear text.",
    "tls.cipher": "The same, the cipher suite.",
    "tls.sni": "The host that the client named in the handshake.",
    "method": "The request's method; `-` where no head could be read.",
    "scheme": "`http`, `https`, or `tcp` for a relayed connection.",
    "host": "The host it is for, in lower case and without port.",
    "path": "The path as it was routed, normalised; at most 1,024 characters.",
    "query_len": "The bytes of the query with its `?`; what it says is not logged.",
    "protocol": "`HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `TCP`.",
    "status": "The status that the client got; 0 for none.",
    "bytes_in": "Bytes of the request's body.",
    "bytes_out": "Bytes of the answer's body as it was sent; 0 for answers that are made here.",
    "route": "The id of the route that took it; empty when none did.",
    "pool": "The pool it went to; empty when it was answered before.",
    "backend": "The last backend that was tried.",
    "pick_reason": "By what that backend was picked: see below.",
    "ratelimit": "`allowed` or `limited`, where the route has a limit.",
    "attempts": "How often a backend was tried; 2 and more are retries.",
    "t.queue_ms": "Milliseconds it waited for a backend to be free.",
    "t.connect_ms": "Milliseconds until it had a connection, failed attempts included.",
    "t.ttfb_ms": "Milliseconds from the request sent to the head of the answer.",
    "t.total_ms": "Milliseconds in all.",
    "termination": "How it ended, and in which phase: see below.",
    "error": "What was wrong; empty if nothing was: see below.",
    "config_version": "The configuration in force when it ended.",
}

# Beside the names of the algorithms.
PICK_REASONS = {
    "": "No backend was picked.",
    "sticky": "The client's cookie named it (`sticky_sessions`).",
    "backup": "The algorithm's pick among the backups: no other backend can be used.",
    "panic": "The algorithm's pick among all: too few are healthy (`panic_percent`), or none is "
    "left that was not ejected.",
}

# Who ended it: C client, S server (backend), P proxy, R resources, L answered here; small for a
# timeout. Then the phase: R request, Q queue, C connect, H head of the answer, D data.
TERMINATIONS = {
    "--": "All went well: the answer is whole, or both ends of a tunnel had finished.",
    "LR": "Answered here, as it should be: a redirect, what a browser asks beforehand, or an "
    "`OPTIONS` that may go no further.",
    "PR": "Refused here: the request is not valid, or a route, a limit or an address was in the "
    "way; `error` says which. Also a client whose head did not come in time (408), and the end of "
    "the process.",
    "CR": "The client left before its request was whole.",
    "cR": "The client's body came too slowly.",
    "CQ": "The client left while its request waited for a backend.",
    "RQ": "Too many requests were under way or waiting (`max_requests`, `max_pending`), or none "
    "may wait (`queue: 0s`).",
    "sQ": "No backend was free in time (`timeouts.queue`).",
    "PC": "The pool's circuit was open: its backends had failed too often.",
    "CC": "The client of a relayed connection left before there was a backend.",
    "SC": "No backend took the connection, or none could be used.",
    "sC": "No backend could be connected to in time (`timeouts.connect`).",
    "RC": "The proxy had no descriptor or port left for a connection.",
    "CH": "The client left while its answer was awaited.",
    "SH": "The backend closed without an answer, or answered with a status that is a failure "
    "(`retries.statuses`) where there was no other answer to give.",
    "sH": "No answer came in time (`timeouts.first_byte`, `timeouts.total`).",
    "PH": "The backend's answer is not valid. Also the end of the process.",
    "CD": "The client left before the answer's end, or the end of a tunnel.",
    "cD": "The client took nothing more (`write_timeout`), or a tunnel was silent for too long.",
    "SD": "The backend left before the answer's end, or the end of a tunnel.",
    "sD": "The backend sent nothing more, or took nothing more, in time (`timeouts.idle`, "
    "`timeouts.total`).",
    "PD": "The proxy ended it: the process went, or the request's body proved invalid after the "
    "answer had begun.",
}

# The `error` of what is answered here, without a backend.
REFUSALS = {
    "address": "The route is not open to the client's address (403).",
    "body": "The body is over the limit (413).",
    "body_timeout": "The body came too slowly (408).",
    "chunk": "A chunked body is malformed (400).",
    "expect": "An `Expect` that is not `100-continue` (417).",
    "field": "A header line is malformed (400).",
    "framing": "The length of the body is said twice, in two ways, or is no number (400).",
    "grammar": "The bytes are not an HTTP/1.1 request (400).",
    "headers": "Too many headers, or too long (431).",
    "host": "`Host` is missing, twice there or malformed (400).",
    "max_forwards": "An `OPTIONS` that may go no further (204).",
    "method": "`TRACE` and `CONNECT` are not served (501).",
    "misdirected": "The connection's certificate is for other hosts; or it has none, and "
    "the target is an `https` URI (421).",
    "path": "The path is malformed or ambiguous (400).",
    "preflight": "What a browser asks beforehand, answered (204).",
    "rate_limit": "The route's limit is used up (429).",
    "redirect": "The route sends clients elsewhere (301 to 308).",
    "request-line": "The first line is malformed (400).",
    "route": "No route takes it (404).",
    "target": "The target is malformed (400) or too long (414).",
    "timeout": "The head did not come in time (408).",
    "upgrade": "A WebSocket handshake is malformed (400), or of another version (426).",
    "version": "Neither HTTP/1.0 nor HTTP/1.1 (505).",
}
