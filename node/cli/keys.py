"""`syngraph keys`: an organization's CA, its node's and members' certificates, its members' signing keys."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from ledgers.client.identity import (
    Authority,
    KeyFileWrong,
    Pair,
    issue_member_certificate,
    issue_node_certificate,
    load_authority,
    member_of,
    new_authority,
    new_signing_key,
    read_secret,
    read_signing_key,
    signing_key_pem,
    write_secret,
)
from node.cli.settings import Settings, common


class _Id(click.ParamType[str]):
    """An id as our commands print them: one that is mistyped would give keys that fit nobody."""

    def __init__(self, prefix: str, shown_by: str) -> None:
        self.name, self._prefix, self._shown_by = "id", prefix, shown_by

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(self._prefix + "_[a-z2-7]{32}", value, re.ASCII):
            self.fail(
                f"{value!r}: this is {self._prefix}_ and 32 letters and digits, as `{self._shown_by}` shows it.",
                param,
                ctx,
            )
        return value


class _Host(click.ParamType[str]):
    """What callers write before the colon of the node's address: a name in ASCII, or an address."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            ip_address(value)
        except ValueError:
            if len(value) > _HOST_MAX or not _HOST_NAME.fullmatch(value):
                self.fail(f"{value!r}: give a host name or an IP address, without a port.", param, ctx)
        return value


_HOST_MAX: Final = 253
_LABEL: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_ORGANIZATION = _Id("org", "syngraph keys authority")
_MEMBER = _Id("mbr", "syngraph keys signing")
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("keys")
def command() -> None:
    """Make keys and certificates. Secret files get mode 0600 and are never overwritten."""


@command.command()
@click.option("--out", type=_FOLDER, required=True, help="New folder for ca.pem and ca.key.")
@common
def authority(settings: Settings, *, out: Path) -> None:
    """Make the organization's CA. Its id, the same on every ledger, follows from the CA's key.

    \b
    Example:
      syngraph keys authority --out ca
    """
    made = new_authority()
    _write_pair(out / "ca", made.pair)
    settings.output.fields({"organization": made.organization_id, "certificate": str(out / "ca.pem")})


@command.command("node")
@click.option("--authority", "ca", type=_FOLDER, required=True, help="Folder with ca.pem and ca.key.")
@click.option(
    "--host", "hosts", type=_Host(), multiple=True, required=True, help="Name or address under which callers reach it."
)
@click.option("--out", type=_FOLDER, required=True, help="Folder for node.pem and node.key.")
@common
def node_certificate(settings: Settings, *, ca: Path, hosts: tuple[str, ...], out: Path) -> None:
    """Make the node's server certificate.

    \b
    Example:
      syngraph keys node --authority ca --host alpha.example --host 127.0.0.1 --out tls
    """
    pair = issue_node_certificate(_authority(ca), hosts)
    _write_pair(out / "node", pair)
    settings.output.fields({"certificate": str(out / "node.pem"), "key": str(out / "node.key")})


@command.command()
@click.option("--organization", type=_ORGANIZATION, required=True, help="The organization's id, org_...")
@click.option("--out", type=_FILE, required=True, help="New file for the key.")
@common
def signing(settings: Settings, *, organization: str, out: Path) -> None:
    """Make a member's signing key (Ed25519). The member's id follows from organization and key.

    \b
    Example:
      syngraph keys signing --organization org_... --out sales.signing.key
    """
    key = new_signing_key()
    _write_secret(out, signing_key_pem(key))
    _show_member(settings, organization, out)


@command.command()
@click.option("--organization", type=_ORGANIZATION, required=True, help="The organization's id, org_...")
@click.argument("file", type=_FILE)
@common
def show(settings: Settings, *, organization: str, file: Path) -> None:
    """Show the member id and public key that belong to a signing key; the key itself is not shown."""
    _show_member(settings, organization, file)


@command.command("member")
@click.option("--authority", "ca", type=_FOLDER, required=True, help="Folder with ca.pem and ca.key.")
@click.option("--member", type=_MEMBER, required=True, help="The member's id, mbr_...")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Path without ending: .pem and .key are added."
)
@common
def member_certificate(settings: Settings, *, ca: Path, member: str, out: Path) -> None:
    """Make a member's client certificate, with which it calls nodes.

    \b
    Example:
      syngraph keys member --authority ca --member mbr_... --out sales
    """
    pair = issue_member_certificate(_authority(ca), member)
    _write_pair(out, pair)
    settings.output.fields({"certificate": f"{out}.pem", "key": f"{out}.key"})


def _authority(folder: Path) -> Authority:
    try:
        certificate = (folder / "ca.pem").read_bytes()
    except OSError as error:
        raise KeyFileWrong(f"{folder / 'ca.pem'}: {error.strerror}") from error
    return load_authority(certificate, read_secret(folder / "ca.key"))


def _write_pair(path: Path, pair: Pair) -> None:
    _write_secret(path.with_name(path.name + ".key"), pair.key)
    path.with_name(path.name + ".pem").write_bytes(pair.certificate)


def _write_secret(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, data)


def _show_member(settings: Settings, organization: str, file: Path) -> None:
    key = read_signing_key(file)
    member = member_of(organization, key)
    settings.output.fields(
        {
            "signer": f"{organization}/{member}",
            "member": member,
            "public_key": key.verify_key.encode().hex(),
            "file": str(file),
        }
    )
