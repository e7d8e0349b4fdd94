"""Keys and certificates of an organization: its CA, its node's and members' certificates (P-256), its members' signing keys.

TLS uses P-256, since gRPC refuses Ed25519 certificates; transactions are signed with Ed25519. DESIGN section 9.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nacl.signing import SigningKey

from smartcontracts.ids import member_id, organization_id

AUTHORITY_DAYS: Final = 3_650
CERTIFICATE_DAYS: Final = 365
# Clocks differ: a certificate made now is valid on a machine that is a little behind.
_BACKDATED: Final = timedelta(minutes=5)
_KEY_USAGE_NONE: Final = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


class KeyFileWrong(Exception):
    """A key or certificate file is missing, open to others, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """An organization's CA. `certificate_der` and `public_key_der` are what its ledgers hold."""

    pair: Pair
    organization_id: str

    @property
    def certificate_der(self) -> bytes:
        """The CA certificate as registered on ledgers."""
        return x509.load_pem_x509_certificate(self.pair.certificate).public_bytes(Encoding.DER)

    @property
    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo: what the organization's id derives from."""
        return _spki(x509.load_pem_x509_certificate(self.pair.certificate).public_key())


def new_authority(days: int = AUTHORITY_DAYS) -> Authority:
    """A new organization's CA; the organization's id follows from its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    organization = organization_id(_spki(key.public_key()))
    name = _common_name(organization)
    builder = _builder(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **_KEY_USAGE_NONE), critical=True
    )
    certificate = builder.sign(key, hashes.SHA256())
    return Authority(Pair(certificate.public_bytes(Encoding.PEM), _pem(key)), organization)


def load_authority(certificate: bytes, key: bytes) -> Authority:
    """A CA from its PEM files. Raises KeyFileWrong."""
    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise KeyFileWrong("the CA's certificate or key cannot be read as PEM") from error
    if _spki(private.public_key()) != _spki(public):
        raise KeyFileWrong("the CA's key does not belong to its certificate")
    return Authority(Pair(certificate, key), organization_id(_spki(public)))


def organization_of(certificate: bytes) -> str:
    """The id of the organization whose CA certificate (PEM) this is; empty where it is none."""
    try:
        return organization_id(_spki(x509.load_pem_x509_certificate(certificate).public_key()))
    except ValueError:
        return ""


def require_pair(certificate: Path, key: Path) -> None:
    """A certificate and the secret file with its key are what they should be, and belong together. Raises KeyFileWrong."""
    private_pem = read_secret(key)
    try:
        public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    except (OSError, ValueError) as error:
        raise KeyFileWrong(f"{certificate}: there is no certificate in PEM in it") from error
    try:
        private = load_pem_private_key(private_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileWrong(f"{key}: there is no unencrypted key in PEM in it") from error
    if _spki(private.public_key()) != _spki(public):
        raise KeyFileWrong(f"{key}: this is not the key of the certificate {certificate}")


def issue_member_certificate(authority: Authority, member: str, days: int = CERTIFICATE_DAYS) -> Pair:
    """A client certificate that names `member` (an id) of the authority's organization, and nothing else."""
    uri = x509.UniformResourceIdentifier(f"syngraph://{authority.organization_id}/{member}")
    return issue(authority, [uri], member, ExtendedKeyUsageOID.CLIENT_AUTH, days)


def issue_node_certificate(authority: Authority, hosts: Sequence[str], days: int = CERTIFICATE_DAYS) -> Pair:
    """A server certificate for the node that is reached under `hosts` (names or addresses)."""
    names = [_host_name(host) for host in hosts]
    return issue(authority, names, f"node of {authority.organization_id}", ExtendedKeyUsageOID.SERVER_AUTH, days)


def issue(
    authority: Authority,
    names: Sequence[x509.GeneralName],
    common_name: str,
    usage: x509.ObjectIdentifier,
    days: int = CERTIFICATE_DAYS,
) -> Pair:
    """Any leaf certificate of this CA; the two functions above are what members and nodes need."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_certificate = x509.load_pem_x509_certificate(authority.pair.certificate)
    ca_key = cast("ec.EllipticCurvePrivateKey", load_pem_private_key(authority.pair.key, None))
    builder = _builder(_common_name(common_name), ca_certificate.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=True, key_cert_sign=False, crl_sign=False, **_KEY_USAGE_NONE), critical=True
    )
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = builder.add_extension(authority_id, critical=False).sign(ca_key, hashes.SHA256())
    return Pair(certificate.public_bytes(Encoding.PEM), _pem(key))


# Signing keys


def new_signing_key() -> SigningKey:
    """A member's new Ed25519 key."""
    return SigningKey.generate()


def member_of(organization: str, key: SigningKey) -> str:
    """The id of the member of `organization` whose first key this is."""
    return member_id(organization, key.verify_key.encode())


def signing_key_pem(key: SigningKey) -> bytes:
    """The key as PKCS #8, for a file."""
    private = ed25519.Ed25519PrivateKey.from_private_bytes(key.encode())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_signing_key(pem: bytes) -> SigningKey:
    """The key out of a PKCS #8 PEM. Raises KeyFileWrong."""
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise KeyFileWrong("the signing key cannot be read as PEM") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise KeyFileWrong("the signing key is not an Ed25519 key")
    return SigningKey(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def read_signing_key(path: Path) -> SigningKey:
    """The key in this file, which only its owner may read. Raises KeyFileWrong."""
    return parse_signing_key(read_secret(path))


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600. Raises KeyFileWrong if there is one already: a key is never overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeyFileWrong(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)


def read_secret(path: Path) -> bytes:
    """The bytes of a secret file. Raises KeyFileWrong if it is missing or others may read it."""
    try:
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o177:
            raise KeyFileWrong(f"{path}: others may read or change this secret; run `chmod 600` on it")
        return path.read_bytes()
    except OSError as error:
        raise KeyFileWrong(f"{path}: {error.strerror}") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _spki(key: object) -> bytes:
    return cast("ec.EllipticCurvePublicKey", key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
