"""What holds of any TLS that the proxy speaks, on either side: an `ssl.SSLContext` in our terms.

`ssl` reads a certificate and its key from files alone. Here they are in memory, and the file is
this process's own, without a name, and seen by no disk.
"""

import os
import ssl
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from veloflux.core.model.tls import Document, Version

# Forward secrecy and authenticated encryption only; TLS 1.3 knows no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_Context = TypeVar("_Context", bound=ssl.SSLContext)
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(kind: type[_Context], min_version: Version) -> _Context:
    """For connections from clients."""
    context = _context(kind, ssl.PROTOCOL_TLS_SERVER, min_version)
    # All that are left are good: a client knows which its processor is fast at.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def client_context() -> ssl.SSLContext:
    """For connections to backends: the chain and the name are verified, the latter by the names
    that a certificate is for alone (RFC 9525)."""
    context = _context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT, "1.2")
    context.hostname_checks_common_name = False
    return context


def _context(kind: type[_Context], protocol: int, min_version: Version) -> _Context:
    context = kind(protocol)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def present(context: ssl.SSLContext, cert: Document, key: Document) -> x509.Certificate:
    """Show a certificate with its chain, and return it. Raises ValueError or ssl.SSLError."""
    chain = x509.load_pem_x509_certificates(cert.content)
    content = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
    # Nobody is asked for a password: a key that needs one is refused.
    with open(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:
        file.write(content + key.content)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")
    return chain[0]


def trust(context: ssl.SSLContext, authorities: Document) -> list[x509.Certificate]:
    """Believe these and no others, roots or not. Raises ValueError or ssl.SSLError."""
    found = x509.load_pem_x509_certificates(authorities.content)
    context.load_verify_locations(
        cadata=b"".join(each.public_bytes(Encoding.DER) for each in found)
    )
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return found


def words(problem: Exception) -> str:
    """What OpenSSL says is wrong."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {problem.verify_message}"
    reason = getattr(problem, "reason", None)
    return reason.lower().replace("_", " ") if reason else str(problem)
