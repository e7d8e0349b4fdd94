"""One request over TLS and its answer: HTTP/1.1 read by h11, everything bounded in bytes and in time.

The server's certificate is always verified, name included; an own one is shown where the server wants it.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import h11

from node.agents.provisioning import ProvisioningBroken
from smartcontracts.canonical_json import JSON_BYTES_MAX

ANSWER_BYTES_MAX: Final = JSON_BYTES_MAX
HEAD_BYTES_MAX: Final = 32 * 1024
TIMEOUT_MS: Final = 10_000
_READ_BYTES: Final = 64 * 1024
_RETRY_AFTER_S_MAX: Final = 3_600


class Unreachable(Exception):
    """No answer, or none yet: asking again later may help. `after_ms` is what the server wished, 0 for nothing."""

    def __init__(self, what: str, after_ms: int = 0) -> None:
        """Keep both."""
        super().__init__(what)
        self.after_ms = after_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and a body. `after_ms` is the Retry-After, 0 for none."""

    status: int
    body: bytes
    after_ms: int = 0


class Transport(Protocol):
    """Carries requests to one system."""

    async def exchange(self, method: str, target: str, body: bytes = b"") -> Answer:
        """The answer to a request for `target`, a path below the system's. Raises Unreachable, ProvisioningBroken."""


def tls_context(ca_certificates: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Trust in these CAs only; `certificate` and `key` (PEM) are shown to the server. Raises ProvisioningBroken."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cafile=ca_certificates)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise ProvisioningBroken(f"A certificate or key for the provisioning system can't be used: {error}.") from error
    return context


class TlsTransport:
    """`Transport` to one host. A connection serves one request: calls are rare, and idle ones would have to be watched."""

    def __init__(self, url: str, context: ssl.SSLContext, *, timeout_ms: int = TIMEOUT_MS) -> None:
        """`url` is https://host[:port][/path]. Raises ProvisioningBroken."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ProvisioningBroken(f"{url}: {error}.") from error
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
            raise ProvisioningBroken(f"{url}: give https://host[:port][/path].")
        self._host = parts.hostname
        self._port = 443 if port is None else port
        self._authority = parts.netloc
        self._path = parts.path.rstrip("/")
        self._context = context
        self._timeout_ms = timeout_ms

    async def exchange(self, method: str, target: str, body: bytes = b"") -> Answer:
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                return await self._exchange(method, target, body)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self._timeout_ms} ms") from error
        except ssl.SSLCertVerificationError as error:
            raise ProvisioningBroken(f"The system's certificate is not trusted: {error.verify_message}.") from error
        except OSError as error:
            raise Unreachable(f"no connection: {error}") from error

    async def _exchange(self, method: str, target: str, body: bytes) -> Answer:
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._context, server_hostname=self._host
        )
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
            writer.write(self._request(connection, method, target, body))
            await writer.drain()
            return await _read_answer(connection, reader)
        except h11.RemoteProtocolError as error:
            raise ProvisioningBroken(f"The system does not speak HTTP/1.1 as expected: {error}.") from error
        finally:
            # All is read that counts; a polite end would wait for a server that may not answer.
            writer.transport.abort()

    def _request(self, connection: h11.Connection, method: str, target: str, body: bytes) -> bytes:
        headers = [
            ("Host", self._authority),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
        ]
        if body:
            headers.append(("Content-Type", "application/json;charset=utf-8"))
        head = connection.send(h11.Request(method=method, target=self._path + target, headers=headers))
        return (
            (head or b"") + (connection.send(h11.Data(data=body)) or b"") + (connection.send(h11.EndOfMessage()) or b"")
        )


async def _read_answer(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, after_ms, received, body = 0, 0, 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_READ_BYTES)
            received += len(data)
            if received > ANSWER_BYTES_MAX + 2 * HEAD_BYTES_MAX:
                raise ProvisioningBroken(f"An answer has more than {ANSWER_BYTES_MAX} bytes.")
            if not data and connection.their_state is not h11.SEND_BODY:
                raise Unreachable("the connection was closed before an answer")
            connection.receive_data(data)
            if not data:
                return _ended_answer(connection, status, bytes(body), after_ms)
        elif isinstance(event, h11.Response):
            status, after_ms = event.status_code, _retry_after_ms(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > ANSWER_BYTES_MAX:
                raise ProvisioningBroken(f"An answer has more than {ANSWER_BYTES_MAX} bytes.")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status=status, body=bytes(body), after_ms=after_ms)


def _ended_answer(connection: h11.Connection, status: int, body: bytes, after_ms: int) -> Answer:
    """The answer, if the end of the connection is its end too: one with a length is not whole."""
    try:
        connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Unreachable("the connection was closed in the middle of an answer") from error
    return Answer(status=status, body=body, after_ms=after_ms)


def _retry_after_ms(response: h11.Response) -> int:
    """Seconds only: a date would be the server's clock."""
    for name, value in response.headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 10:
            return 1_000 * min(int(value), _RETRY_AFTER_S_MAX)
    return 0
