"""HTTP/2 on the client's side, without a socket (RFC 9113, RFC 7541, RFC 8441): `connection` is
where it begins."""
