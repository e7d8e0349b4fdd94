"""Answers from what was committed: documents, lists, proofs, receipts, events, status, simulation."""
