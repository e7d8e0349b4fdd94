"""Whom the handshake lets in: the CAs of organizations registered on this node's ledgers, and the node's own.

The bundle follows the membership: it is asked for at each handshake. What it lets in has no standing yet; that is judged
on each call (`node.standing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from node.ledger_link import LedgerLink


class Trust:
    """Makes the server's credentials. Reads `links` from gRPC's own thread; a ledger's membership is replaced as a whole."""

    def __init__(self, key: bytes, certificate: bytes, authority: bytes, links: Mapping[str, LedgerLink]) -> None:
        """`key`, `certificate` and `authority` (the own CA's certificate) in PEM."""
        self._pair = [(key, certificate)]
        self._authority = authority
        self._links = links
        self._handed_out = b""

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that ask for a client's certificate and check it against the current bundle."""
        self._handed_out = self.bundle()
        first = grpc.ssl_server_certificate_configuration(self._pair, root_certificates=self._handed_out)
        return grpc.dynamic_ssl_server_credentials(first, self._current, require_client_authentication=True)

    def bundle(self) -> bytes:
        """CA certificates in PEM, each once."""
        found = {self._authority.strip() + b"\n"}
        for link in tuple(self._links.values()):
            for der in link.standings.membership.authorities():
                found.add(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        return b"".join(sorted(found))

    def _current(self) -> Any:
        """Called by gRPC at each handshake; None is "as before"."""
        bundle = self.bundle()
        if bundle == self._handed_out:
            return None
        self._handed_out = bundle
        return grpc.ssl_server_certificate_configuration(self._pair, root_certificates=bundle)
