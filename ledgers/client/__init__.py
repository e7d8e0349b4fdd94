"""The client library: connect to a node, submit, read, prove, follow. The command line uses nothing else.

Documented names are importable from here; the modules beneath may be rearranged.
"""

from ledgers.client.client import Client
from ledgers.client.connection import Connection, Credentials
from ledgers.client.errors import ClientError, NodeUnreachable, RefusalDetail, Refused, TimedOut
from ledgers.client.ledger import Ledger
from ledgers.client.plain import PlainInvalid, from_plain, to_plain
from ledgers.client.proofs import ProofFile, ProofFileInvalid, verify_proof
from ledgers.client.records import Document, LedgerEvent, LedgerStatus, NodeStatus, Page
from ledgers.client.sync import SyncClient
from ledgers.client.transactions import SignedBytes, SigningMember, make, make_from_plain, sign
from ledgers.receipts import Receipt
from ledgers.transaction import Act

__all__ = [
    "Act",
    "Client",
    "ClientError",
    "Connection",
    "Credentials",
    "Document",
    "Ledger",
    "LedgerEvent",
    "LedgerStatus",
    "NodeStatus",
    "NodeUnreachable",
    "Page",
    "PlainInvalid",
    "ProofFile",
    "ProofFileInvalid",
    "Receipt",
    "RefusalDetail",
    "Refused",
    "SignedBytes",
    "SigningMember",
    "SyncClient",
    "TimedOut",
    "from_plain",
    "make",
    "make_from_plain",
    "sign",
    "to_plain",
    "verify_proof",
]
