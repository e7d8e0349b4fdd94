"""A provisioning system of TM Forum shapes over TLS, with a CA of its own, that can also answer late, wrongly or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PREFIX = "/tmf-api"
# What the published files require of a request, by collection, and of what stands inside it: TMF645 4.0.1, TMF641 4.1.0, TMF653 4.2.0.
REQUIRED = {
    "checkServiceQualification": ("serviceQualificationItem",),
    "serviceOrder": ("serviceOrderItem",),
    "serviceTest": ("name", "relatedService", "testSpecification"),
}
REQUIRED_INSIDE = {
    "serviceOrderItem": ("id", "action", "service"),
    "serviceCharacteristic": ("name", "value"),
    "characteristic": ("name", "value"),
    "serviceRelationship": ("relationshipType",),
    "serviceSpecification": ("id",),
    "relatedService": ("id",),
    "testSpecification": ("id",),
}
ACTIONS = ("add", "modify", "delete", "noChange")
SERVICE_STATES = ("feasibilityChecked", "designed", "reserved", "inactive", "active", "terminated")


def problems(collection, body):
    """What a system that holds itself to the published files would answer 400 for."""
    name = collection.rpartition("/")[2]
    return [f"{name}.{key}" for key in REQUIRED[name] if not body.get(key)] + list(_problems_inside(body))


def _problems_inside(value):
    if isinstance(value, list):
        for one in value:
            yield from _problems_inside(one)
    if not isinstance(value, dict):
        return
    for key, inside in value.items():
        for one in inside if isinstance(inside, list) else [inside]:
            if isinstance(one, dict):
                yield from (f"{key}.{member}" for member in REQUIRED_INSIDE.get(key, ()) if member not in one)
                if key == "serviceOrderItem" and one.get("action") not in ACTIONS:
                    yield "serviceOrderItem.action"
                if key == "service" and one.get("state", "active") not in SERVICE_STATES:
                    yield "service.state"
        # What a characteristic holds is its owner's affair.
        if key != "value":
            yield from _problems_inside(inside)


@dataclass(frozen=True)
class Pem:
    """Paths of a certificate and its key."""

    certificate: object
    key: object


class Authority:
    """A CA that lives for a test."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        self._certificate = self._signed(self._subject, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, host="127.0.0.1"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_name(name), key, x509.BasicConstraints(ca=False, path_length=None), host)
        pem = Pem(self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key")
        pem.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pem

    def _signed(self, subject, key, constraints, host=None):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if host is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def raw(status, value=None, *, body=None, headers=()):
    body = json.dumps(value).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Stub:
    """Keeps what it is sent by collection. `decide(collection, resource)` completes it; `next` overrides whole answers."""

    def __init__(self, decide):
        self.decide = decide
        self.made = {}
        self.requests = []
        self.next = []
        self.clients = []
        self._server = None

    @contextlib.asynccontextmanager
    async def running(self, pem, *, client_ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem.certificate, pem.key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile=client_ca)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        try:
            port = server.sockets[0].getsockname()[1]
            yield f"https://127.0.0.1:{port}{PREFIX}"
        finally:
            server.close()
            for task in self.clients:
                task.cancel()
            await asyncio.gather(*self.clients, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader, writer):
        self.clients.append(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                await self._answer(reader, writer)
            finally:
                writer.transport.abort()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        method, target, _ = head[0].split(" ")
        self.requests.append((method, target, json.loads(body) if body else None, headers))
        answer = self.next.pop(0) if self.next else None
        if callable(answer):
            await answer(writer)
            return
        writer.write(answer or self._respond(method, target, body))
        await writer.drain()
        # Let the other side read all of it first.
        await reader.read()

    def _respond(self, method, target, body):
        parts = urlsplit(target)
        collection = parts.path.removeprefix(PREFIX)
        kept = self.made.setdefault(collection, [])
        if method == "GET":
            ((key, (wanted,)),) = parse_qs(parts.query).items()
            return raw(200, [one for one in kept if one.get(key) == wanted])
        request = json.loads(body)
        wrong = problems(collection, request)
        if wrong:
            return raw(400, {"code": "23", "reason": "invalid body", "message": ", ".join(wrong)})
        resource = self.decide(collection, request)
        kept.append(resource)
        return raw(201, resource)
