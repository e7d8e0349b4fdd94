"""Who has a standing on a ledger, and whether a certificate proves to be one of them.

TLS shows only that some registered CA signed a certificate. So each call is judged here: the leaf must be issued by the
CA that the organization named in it has registered on the very ledger asked for, and the member must be active there.
DESIGN section 9; hazard B5.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smartcontracts.ids import organization_id
from syngraph.v1.membership_pb2 import Member, Organization

ACTIVE: Final = "active"
URI_SCHEME: Final = "syngraph://"
LEAF_BYTES_MAX: Final = 16 * 1024
_VERDICTS_MAX: Final = 4_096
_DER: Final = Encoding.DER
_SPKI: Final = PublicFormat.SubjectPublicKeyInfo
# All that reading a certificate of somebody's own making can raise; most are no ValueError, and parts are read lazily.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Untrusted(Exception):
    """The certificate does not prove that its bearer is an active member; the text is for the node's own log."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The member that a certificate names. `leaf_sha256` tells certificates apart."""

    organization: str
    member: str
    leaf_sha256: str

    def __str__(self) -> str:
        """As signers are written, "organization/member"."""
        return f"{self.organization}/{self.member}"


@dataclass(frozen=True, slots=True)
class Membership:
    """A ledger's organizations and members at a height."""

    organizations: Mapping[str, Organization]
    members: Mapping[str, Member]

    @classmethod
    def of(cls, organizations: Iterable[Organization], members: Iterable[Member]) -> Membership:
        """From the documents as read."""
        return cls(MappingProxyType({o.id: o for o in organizations}), MappingProxyType({m.id: m for m in members}))

    def node_ids(self) -> frozenset[str]:
        """Engines that may be peers: those of active organizations."""
        return frozenset(node_id for o in self.organizations.values() if o.status == ACTIVE for node_id in o.node_ids)

    def authorities(self) -> tuple[bytes, ...]:
        """DER of the CAs of active organizations, for the handshake, sorted by organization."""
        return tuple(
            o.ca_certificate
            for _, o in sorted(self.organizations.items())
            if o.status == ACTIVE and is_authority_of(o.ca_certificate, o.id)
        )


EMPTY: Final = Membership(MappingProxyType({}), MappingProxyType({}))


class Standings:
    """Verdicts on certificates on one ledger, remembered until the membership changes."""

    def __init__(self) -> None:
        """Nobody has a standing yet, and `known` says that it is not known who has."""
        self.membership = EMPTY
        self.known = False
        self._verdicts: dict[bytes, tuple[Identity, datetime.datetime]] = {}

    def replace(self, membership: Membership) -> None:
        """Judge by `membership` from now on."""
        self.membership = membership
        self.known = True
        self._verdicts.clear()

    def identify(self, leaf_pem: bytes, now: datetime.datetime) -> Identity:
        """The active member whose certificate this is. Raises Untrusted."""
        known = self._verdicts.get(leaf_pem)
        if known is not None and now <= known[1]:
            return known[0]
        identity, valid_until = identify(leaf_pem, self.membership, now)
        if len(self._verdicts) >= _VERDICTS_MAX:
            self._verdicts.clear()
        self._verdicts[leaf_pem] = (identity, valid_until)
        return identity


def identify(leaf_pem: bytes, membership: Membership, now: datetime.datetime) -> tuple[Identity, datetime.datetime]:
    """The active member whose certificate this is, and until when that holds. Raises Untrusted with the first reason."""
    leaf = _read_leaf(leaf_pem)
    organization_name, member_name = named_member(leaf)
    organization = membership.organizations.get(organization_name)
    if organization is None or organization.status != ACTIVE:
        raise Untrusted("the organization that the certificate names is not active on this ledger")
    if not is_authority_of(organization.ca_certificate, organization.id):
        raise Untrusted("the registered CA certificate is not one of this organization")
    authority = x509.load_der_x509_certificate(organization.ca_certificate)
    _check_issued(leaf, authority)
    _check_validity(leaf, now)
    _check_validity(authority, now)
    _check_use(leaf)
    member = membership.members.get(member_name)
    if member is None or member.organization_id != organization.id:
        raise Untrusted("the member that the certificate names is not on this ledger")
    if member.status != ACTIVE:
        raise Untrusted("the member is revoked on this ledger")
    digest = hashlib.sha256(leaf.public_bytes(_DER)).hexdigest()
    until = min(leaf.not_valid_after_utc, authority.not_valid_after_utc)
    return Identity(organization.id, member.id, digest), until


def named_member(leaf: x509.Certificate) -> tuple[str, str]:
    """Organization and member of the one URI that the certificate names. Raises Untrusted."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except _UNREADABLE as error:
        raise Untrusted("the certificate has no readable subjectAltName") from error
    if len(uris) != 1 or len(names) != 1:
        raise Untrusted("the certificate must name exactly one URI and nothing else")
    organization, separator, member = uris[0].removeprefix(URI_SCHEME).partition("/")
    if not uris[0].startswith(URI_SCHEME) or not separator or not organization or not member or "/" in member:
        raise Untrusted("the URI is not syngraph://organization/member")
    return organization, member


def is_authority_of(certificate_der: bytes, organization: str) -> bool:
    """Whether these bytes are a CA certificate whose key gives the organization's id and whose subject is that id.

    The subject counts, too: with a foreign name in it, the handshake could take one organization's CA for another's.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        subjects = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = certificate.public_key().public_bytes(_DER, _SPKI)
    except _UNREADABLE:
        return False
    named = len(subjects) == 1 and len(certificate.subject) == 1 and subjects[0].value == organization
    return basic.ca and named and organization_id(key) == organization


def _read_leaf(pem: bytes) -> x509.Certificate:
    if len(pem) > LEAF_BYTES_MAX:
        raise Untrusted("the certificate is too long")
    try:
        return x509.load_pem_x509_certificate(pem)
    except _UNREADABLE as error:
        raise Untrusted("the certificate cannot be read") from error


def _check_issued(leaf: x509.Certificate, authority: x509.Certificate) -> None:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, *_UNREADABLE) as error:
        raise Untrusted("the certificate was not issued by the CA of the organization that it names") from error


def _check_validity(certificate: x509.Certificate, now: datetime.datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Untrusted("the certificate, or its CA's, is not valid now")


def _check_use(leaf: x509.Certificate) -> None:
    """A leaf, for clients: neither a CA nor a server's certificate."""
    try:
        extensions = leaf.extensions
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except _UNREADABLE as error:
        raise Untrusted("the certificate does not say what it may be used for") from error
    if basic.ca:
        raise Untrusted("this is the certificate of a CA")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in uses:
        raise Untrusted("the certificate is not for clients")
