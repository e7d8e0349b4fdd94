"""Keys and certificates: ids follow from keys, secrets are closed to others and never overwritten."""

from __future__ import annotations

import stat

import pytest
from cryptography import x509

from ledgers.client.identity import (
    KeyFileWrong,
    issue_member_certificate,
    load_authority,
    member_of,
    new_authority,
    new_signing_key,
    parse_signing_key,
    read_secret,
    read_signing_key,
    signing_key_pem,
    write_secret,
)
from smartcontracts.ids import member_id, organization_id


def test_the_organizations_id_follows_from_its_authoritys_key():
    authority = new_authority()
    assert authority.organization_id == organization_id(authority.public_key_der)
    certificate = x509.load_der_x509_certificate(authority.certificate_der)
    assert certificate.subject.rfc4514_string() == f"CN={authority.organization_id}"
    assert load_authority(authority.pair.certificate, authority.pair.key) == authority


def test_a_member_certificate_names_the_member_and_nothing_else():
    authority = new_authority()
    pair = issue_member_certificate(authority, "mbr_x")
    names = (
        x509.load_pem_x509_certificate(pair.certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert [name.value for name in names] == [f"syngraph://{authority.organization_id}/mbr_x"]


def test_an_authority_with_anothers_key_is_refused():
    one, two = new_authority(), new_authority()
    with pytest.raises(KeyFileWrong):
        load_authority(one.pair.certificate, two.pair.key)


def test_a_signing_key_survives_its_file(tmp_path):
    key, path = new_signing_key(), tmp_path / "sales.key"
    write_secret(path, signing_key_pem(key))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(path) == key
    assert member_of("org_x", key) == member_id("org_x", key.verify_key.encode())


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "key"
    write_secret(path, b"first")
    with pytest.raises(KeyFileWrong):
        write_secret(path, b"second")
    assert path.read_bytes() == b"first"


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "key"
    write_secret(path, b"secret")
    path.chmod(0o640)
    with pytest.raises(KeyFileWrong, match="chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("pem", [b"", b"no key", new_authority().pair.key])
def test_what_is_no_signing_key_is_refused(pem):
    with pytest.raises(KeyFileWrong):
        parse_signing_key(pem)
