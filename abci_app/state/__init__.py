"""A ledger's state as transitions see it: documents, the committed view, layers of writes over it."""
