"""Standing: one change to a good certificate or membership, and it proves nothing."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledgers.client.identity import issue, issue_member_certificate, new_authority
from node.standing import Membership, Standings, Untrusted, identify, is_authority_of
from syngraph.v1.membership_pb2 import Member, Organization

MEMBER = "mbr_" + "m" * 32
# Certificates are made while tests run, minutes after this file was read perhaps: all are looked at from an hour later.
NOW = datetime.now(UTC) + timedelta(hours=1)
ALPHA, BRAVO = new_authority(), new_authority()


def organization(authority=ALPHA, **changes):
    given = {"id": authority.organization_id, "status": "active", "ca_certificate": authority.certificate_der}
    return Organization(**{**given, **changes})


def member(**changes):
    return Member(**{"id": MEMBER, "organization_id": ALPHA.organization_id, "status": "active", **changes})


def membership(alpha=None, person=None):
    return Membership.of([alpha or organization(), organization(BRAVO)], [person or member()])


GOOD = issue_member_certificate(ALPHA, MEMBER).certificate


def uri(authority, name=MEMBER):
    return x509.UniformResourceIdentifier(f"syngraph://{authority.organization_id}/{name}")


def leaf(authority, names, usage=ExtendedKeyUsageOID.CLIENT_AUTH, days=1):
    return issue(authority, names, "x", usage, days).certificate


def test_a_good_certificate_names_its_member():
    identity, until = identify(GOOD, membership(), NOW)
    assert str(identity) == f"{ALPHA.organization_id}/{MEMBER}"
    assert until > NOW


@pytest.mark.parametrize(
    ("certificate", "ledger", "now"),
    [
        (b"", membership(), NOW),
        (b"x" * 20_000, membership(), NOW),
        (ALPHA.pair.certificate, membership(), NOW),
        (leaf(BRAVO, [uri(ALPHA)]), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA), uri(BRAVO)]), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA), x509.DNSName("alpha")]), membership(), NOW),
        (leaf(ALPHA, [x509.DNSName("alpha")]), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA, "a/b")]), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA, "")]), membership(), NOW),
        (leaf(ALPHA, [x509.UniformResourceIdentifier(f"http://{ALPHA.organization_id}/{MEMBER}")]), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA)], ExtendedKeyUsageOID.SERVER_AUTH), membership(), NOW),
        (leaf(ALPHA, [uri(ALPHA)]), membership(), NOW + timedelta(days=2)),
        (leaf(ALPHA, [uri(ALPHA)]), membership(), NOW - timedelta(days=1)),
        (GOOD, membership(alpha=organization(status="removed")), NOW),
        (GOOD, membership(alpha=organization(ca_certificate=BRAVO.certificate_der)), NOW),
        (GOOD, membership(alpha=organization(ca_certificate=b"junk")), NOW),
        (GOOD, membership(person=member(status="revoked")), NOW),
        (GOOD, membership(person=member(organization_id=BRAVO.organization_id)), NOW),
        (GOOD, membership(person=member(id="mbr_other")), NOW),
        (GOOD, Membership.of([], []), NOW),
    ],
)
def test_one_change_and_it_proves_nothing(certificate, ledger, now):
    with pytest.raises(Untrusted):
        identify(certificate, ledger, now)


def test_a_verdict_is_forgotten_when_the_membership_changes():
    standings = Standings()
    standings.replace(membership())
    standings.identify(GOOD, NOW)
    standings.replace(membership(person=member(status="revoked")))
    with pytest.raises(Untrusted):
        standings.identify(GOOD, NOW)


def test_a_remembered_verdict_does_not_outlive_the_certificate():
    standings, short = Standings(), leaf(ALPHA, [uri(ALPHA)])
    standings.replace(membership())
    standings.identify(short, NOW)
    with pytest.raises(Untrusted):
        standings.identify(short, NOW + timedelta(days=2))


def test_a_remembered_verdict_does_not_outlive_the_ca():
    authority = new_authority(days=1)
    mine = organization(authority)
    ledger = Membership.of([mine], [member(organization_id=authority.organization_id)])
    standings, certificate = Standings(), leaf(authority, [uri(authority)], days=9)
    standings.replace(ledger)
    standings.identify(certificate, NOW)
    with pytest.raises(Untrusted):
        standings.identify(certificate, NOW + timedelta(days=2))


def test_an_authority_under_another_organizations_name_is_left_out_of_the_handshake():
    """With the same subject twice, the handshake could look for a leaf's issuer at the wrong one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ALPHA.organization_id)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert not is_authority_of(certificate, ALPHA.organization_id)
    assert not is_authority_of(certificate, BRAVO.organization_id)
    assert is_authority_of(ALPHA.certificate_der, ALPHA.organization_id)
    found = Membership.of([organization(), organization(BRAVO, ca_certificate=certificate)], [])
    assert found.authorities() == (ALPHA.certificate_der,)


UNREADABLE = {
    # Key usage written as basic constraints, which are there already.
    "an extension twice": ("551d0f", "551d13"),
    "a curve that nobody knows": ("2a8648ce3d030107", "2a8648ce3d030177"),
    "a kind of key that nobody knows": ("2a8648ce3d0201", "2a8648ce3d0277"),
    "a version that does not exist": ("a003020102", "a003020107"),
}


def spoilt(der, change):
    before, after = (bytes.fromhex(each) for each in change)
    assert before in der
    return der.replace(before, after)


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_a_ca_certificate_of_somebodys_own_making_takes_nobody_else_out_of_the_handshake(change):
    """It raised what is no ValueError, at every handshake of every node of the ledger."""
    certificate = spoilt(BRAVO.certificate_der, change)
    assert not is_authority_of(certificate, BRAVO.organization_id)
    found = Membership.of([organization(), organization(BRAVO, ca_certificate=certificate)], [])
    assert found.authorities() == (ALPHA.certificate_der,)
    with pytest.raises(Untrusted):
        identify(GOOD, membership(alpha=organization(ca_certificate=spoilt(ALPHA.certificate_der, change))), NOW)


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_a_certificate_of_somebodys_own_making_gets_the_answer_of_a_stranger(change):
    der = x509.load_pem_x509_certificate(GOOD).public_bytes(Encoding.DER)
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(spoilt(der, change)) + b"-----END CERTIFICATE-----\n"
    with pytest.raises(Untrusted):
        identify(pem, membership(), NOW)
