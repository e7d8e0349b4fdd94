"""`syngraph tx`: sign and submit transactions, and show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from ledgers.client import PlainInvalid, SigningMember, make_from_plain
from ledgers.client.identity import read_signing_key
from node.cli.query import parse_id
from node.cli.settings import Settings, common

FILE_BYTES_MAX: Final = 1024 * 1024

_signers = click.option(
    "--signer",
    "signers",
    multiple=True,
    metavar="ORGANIZATION/MEMBER=KEYFILE",
    help="Who signs (default: the configured member); several for an act that several sign at once.",
)


@click.group("tx")
def command() -> None:
    """Sign and submit transactions.

    \b
    A file of messages is a JSON list; each entry names one command with its fields, bytes in hex:
      [{"set_node_ids": {"node_ids": ["4f2a..."]}}]
    All messages of a file are one transaction: all take effect or none.
    """


@command.command()
@click.argument("ledger")
@click.argument("file", type=click.File("rb"))
@_signers
@click.option("--ttl-s", type=click.IntRange(1, 600), default=120, show_default=True, help="Seconds until it expires.")
@click.option("--wait/--no-wait", default=True, help="Wait for the block and show the receipt (default), or only send.")
@common
def submit(
    settings: Settings, *, ledger: str, file: BinaryIO, signers: tuple[str, ...], ttl_s: int, wait: bool
) -> None:
    """Sign the messages in FILE ("-" is standard input), submit them, and show the receipt.

    \b
    Examples:
      syngraph tx submit acme-alpha acts.json
      echo '[{"revoke_member": {"member_id": "mbr_..."}}]' | syngraph tx submit omni -
    """
    messages, members = read_json(file), _signing_members(settings, signers)
    with settings.connect() as client:
        target = client.ledger(ledger)
        signed = make_from_plain(target.id, messages, members, ttl_s * 1_000)
        if wait:
            settings.output.fields(target.submit_signed(signed))
        else:
            settings.output.fields({"transaction_id": target.send(signed)})


@command.command()
@click.argument("ledger")
@click.argument("file", type=click.File("rb"))
@_signers
@common
def simulate(settings: Settings, *, ledger: str, file: BinaryIO, signers: tuple[str, ...]) -> None:
    """Show the receipt that the messages in FILE would get now; nothing is sent to the ledger.

    Exit code 0 also where the receipt holds a refusal: the question was answered.
    """
    messages, members = read_json(file), _signing_members(settings, signers)
    with settings.connect() as client:
        target = client.ledger(ledger)
        settings.output.fields(target.simulate(make_from_plain(target.id, messages, members)))


@command.command()
@click.argument("ledger")
@click.argument("transaction_id", metavar="TRANSACTION")
@common
def show(settings: Settings, *, ledger: str, transaction_id: str) -> None:
    """Show a committed transaction (its id in hex) and its receipt."""
    with settings.connect() as client:
        body, receipt = client.ledger(ledger).transaction(parse_id(transaction_id))
    settings.output.fields({"body": body, "receipt": receipt})


def read_json(file: BinaryIO) -> Any:
    """What a person typed for a ledger, strictly: no name twice, whole numbers only. Raises PlainInvalid."""
    data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise PlainInvalid("", f"a file of messages has at most {FILE_BYTES_MAX} bytes")
    try:
        return json.loads(data, object_pairs_hook=_no_doubles, parse_float=_no_floats, parse_constant=_no_floats)
    except (ValueError, RecursionError) as error:
        raise PlainInvalid("", f"this is not JSON: {error}") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PlainInvalid("", "a name is there twice in one object")
    return found


def _no_floats(text: str) -> Any:
    raise PlainInvalid("", f"{text}: ledgers know integers only")


def _signing_members(settings: Settings, signers: tuple[str, ...]) -> list[SigningMember]:
    if not signers:
        return [settings.signer()]
    members = []
    for signer in signers:
        name, separator, path = signer.partition("=")
        if not separator:
            raise click.BadParameter("write ORGANIZATION/MEMBER=KEYFILE", param_hint="--signer")
        members.append(SigningMember(name, read_signing_key(Path(path))))
    return members
