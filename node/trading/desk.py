"""What every trade command needs: the pair's ledger, its agreement, who signs, durations, and waiting for a document."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from ledgers.client import SigningMember
from ledgers.kinds import BILATERAL
from ledgers.receipts import Receipt
from ledgers.transaction import Act
from node.cli.output import Unfit
from node.cli.settings import Settings
from node.sonata import SALT_BYTES, withheld_file
from smartcontracts.agreement import Agreement
from smartcontracts.kernel import Rejected

FILE_BYTES_MAX: Final = 1024 * 1024
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)", re.ASCII)
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType[int]):
    """`90s`, `10m`, `2h`, `1d`: milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds. Fails with what a duration looks like."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(f"{value!r}: write a number and its unit, like 90s, 10m, 2h, 1d", param, ctx)
        if not int(found[1]):
            self.fail(f"{value!r}: nothing is that short; leave the option out for its default", param, ctx)
        return int(found[1]) * _UNIT_MS[found[2]]


DURATION: Final = Duration()


@dataclass(frozen=True, slots=True)
class Desk:
    """A member at work on one bilateral ledger, with one of the pair's two organizations behind it."""

    settings: Settings
    ledger: Any
    organization: str
    signer: SigningMember

    def agreement(self, name: str = "") -> Agreement:
        """The agreement in force, the one called `name` where several are. Raises click.ClickException."""
        found: list[Agreement] = [
            document.body
            for document in self.ledger.list("agreement")
            if self.organization in document.body.parties and name in ("", document.body.terms.name)
        ]
        if len(found) == 1:
            return found[0]
        what = f"named {name!r} of yours" if name else "of yours, or several"
        there = sorted(document.body.terms.name for document in self.ledger.list("agreement"))
        hint = (
            f"there are: {', '.join(there)}" if there else "`syngraph trade agreement --help` says how to come to one"
        )
        raise click.ClickException(f"{self.ledger.name or self.ledger.id} has no agreement {what}; {hint}.")

    def other(self, agreement: Agreement) -> str:
        """The other party's organization id."""
        return next(party for party in agreement.parties if party != self.organization)

    def act(self, message: str, command: object) -> Receipt:
        """Sign one command, submit it, and wait for its receipt. Raises Refused."""
        receipt: Receipt = self.ledger.submit([Act(name=message, command=command)], [self.signer])
        return receipt

    def read(self, receipt: Receipt, kind: str) -> Any:
        """The document of `kind` that an act wrote, as it stands now."""
        document_id = next(one.id for one in receipt.documents if one.kind == kind)
        return self.ledger.get(kind, document_id).body

    def settled(self, kind: str, document_id: str, is_settled: Callable[[Any], bool]) -> Any:
        """The document once `is_settled`: read again in each block with events.

        What answers it is an event of the answer, not of the document: a quote's, say, which changes its inquiry, too.
        """
        height, _ = self.ledger.app_hash()
        record = self.ledger.get(kind, document_id).body
        if is_settled(record):
            return record
        try:
            for event in self.ledger.events(after=f"{height}/0"):
                if event.height > height:
                    height = event.height
                    record = self.ledger.get(kind, document_id).body
                    if is_settled(record):
                        return record
        except KeyboardInterrupt:
            # It stands, and who waited may not have seen its name yet.
            click.echo(f"no longer waited for: {kind} {document_id}", err=True)
            raise
        raise click.ClickException("The node ended the stream of events; ask again.")

    def show(self, record: object) -> None:
        """Print a document."""
        self.settings.output.fields(record)


@contextmanager
def at(settings: Settings, ledger: str, kind: str = BILATERAL) -> Iterator[Desk]:
    """A desk on the ledger with this name or id; closes the connection. Raises click.UsageError for one of another kind."""
    with settings.connect() as client:
        organization = client.node_status().organization_id
        found = client.ledger(ledger)
        if found.kind != kind:
            example = "acme-alpha" if kind == BILATERAL else "alpha-internal"
            raise click.UsageError(
                f"{ledger} is {found.kind}: this command needs a ledger that is {kind}, like {example}."
            )
        yield Desk(settings, found, organization, settings.signer())


def read_file(file: BinaryIO) -> bytes:
    """A request's bytes. Raises click.UsageError where there are too many."""
    data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise click.UsageError(f"A request has at most {FILE_BYTES_MAX} bytes.")
    return data


@contextmanager
def sentences() -> Iterator[None]:
    """A request that can't be used is told by its refusal's sentence, name and field, with exit code 2."""
    try:
        yield
    except Rejected as rejected:
        raise Unfit(rejected.sentence, rejected.refusal_name(), rejected.field) from rejected


def new_secret() -> bytes:
    """The secret under which everything withheld from one request is salted."""
    return secrets.token_bytes(SALT_BYTES)


def keep_withheld(folder: Path, document_id: str, withheld: Mapping[str, bytes], secret: bytes) -> Path | None:
    """Write what did not go onto the ledger, with the salts that open its hashes, for the owner's eyes; None if nothing."""
    if not withheld:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{document_id}.json"
    path.touch(mode=0o600)
    path.write_text(withheld_file(document_id, withheld, secret))
    return path


def _writable(_: click.Context, parameter: click.Parameter, folder: Path) -> Path:
    """The folder, if files can be put there: once the request is on a ledger, the salts of what was cut from it exist only here."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise click.BadParameter(f"nothing can be kept in {folder}.", param=parameter)
    return folder


keeping = click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_writable,
    default="withheld",
    show_default=True,
    help="Where contacts, notes and names stay that are cut from the request.",
)
waiting = click.option("--wait", is_flag=True, help="Wait until it has its answer, or its window has ended.")
