"""Ledgers of a client that hold what a test puts there: read by get, page and list as the real ones are."""

from __future__ import annotations

from types import SimpleNamespace

from ledgers.client import RefusalDetail, Refused


def unknown():
    return Refused(
        RefusalDetail(code=8003, name="DOCUMENT_UNKNOWN", sentence="There is none.", field="id"), "NOT_FOUND"
    )


class Shelf:
    """`documents`: (kind, record, related ids)."""

    def __init__(self, ledger_id, kind, *documents, name=""):
        self.id = ledger_id
        self.kind = kind
        self.name = name or ledger_id
        self._documents = list(documents)

    def put(self, kind, record, *related):
        self._documents.append((kind, record, related))

    async def get(self, kind, document_id, height=0):
        for found, record, _ in self._documents:
            if (found, record.id) == (kind, document_id):
                return SimpleNamespace(body=record)
        raise unknown()

    async def page(self, kind, *, related="", page_size=100):
        found = [
            SimpleNamespace(body=r)
            for k, r, words in self._documents
            if k == kind and (not related or related in words)
        ]
        return SimpleNamespace(documents=tuple(found[:page_size]))

    async def list(self, kind):
        for document in (await self.page(kind, page_size=10_000)).documents:
            yield document
