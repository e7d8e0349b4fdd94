"""The plain reference of the state: every document of every height in dictionaries, found by looking at all of them."""

from __future__ import annotations

from abci_app.state.documents import TERMS, read_document
from abci_app.store.filing import unfile
from abci_app.store.keys import DEADLINES, DOCUMENTS, INDEX, NUMBER_BYTES, parse_deadline_key, past_end
from smartcontracts.verify.hashing import document_commitment, document_salt
from tests.abci_app.reference_tree import leaves_of, root_of


class ReferenceState:
    """Follows an application block by block, from what its store says was written, and answers by scanning."""

    def __init__(self):
        self.heights = {}

    def follow(self, committed):
        """Take all documents as they stand after a block."""
        self.heights[committed.height] = {
            key[1:].decode(): unfile(committed.reader, value[NUMBER_BYTES:])
            for key, value in committed.reader.scan(DOCUMENTS, past_end(DOCUMENTS))
        }

    def get(self, key, height):
        return self.heights[height].get(key)

    def find(self, kind, term, value, height):
        """Ids, sorted."""
        found = []
        for key, stored in self.heights[height].items():
            name, _, document_id = key.partition("/")
            if name == kind.name:
                document = read_document(kind, document_id, stored)
                if (term, value) in document.terms:
                    found.append(document_id)
        return sorted(found)

    def root(self, height, secret):
        """The root, from nothing but the documents."""
        leaves = {}
        for name, stored in self.heights[height].items():
            key = name.encode()
            leaves[key] = document_commitment(document_salt(secret, key), stored)
        return root_of(leaves_of(leaves))


def rebuilt_index(committed):
    """What the index and the queue of deadlines must hold, worked out from the documents alone."""
    index, queue = set(), set()
    for key, value in committed.reader.scan(DOCUMENTS, past_end(DOCUMENTS)):
        name, _, document_id = key[1:].decode().partition("/")
        kind = committed.table.kinds.get(name)
        if kind is None or name == "sys":
            continue
        document = read_document(kind, document_id, unfile(committed.reader, value[NUMBER_BYTES:]))
        index |= {(name, term, value_, document_id) for term, value_ in document.terms}
        if document.key not in committed.quarantined:
            queue |= set(document.deadlines)
    return index, queue


def stored_index(committed):
    """What they do hold."""
    index = set()
    for key, _ in committed.reader.scan(INDEX, past_end(INDEX)):
        name, term, value, document_id = (part.decode() for part in key[1:].split(b"\x00"))
        assert term in TERMS
        index.add((name, term, value, document_id))
    queue = {parse_deadline_key(key) for key, _ in committed.reader.scan(DEADLINES, past_end(DEADLINES))}
    return index, queue
