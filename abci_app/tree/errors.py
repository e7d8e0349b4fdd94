"""What can go wrong with the tree: questions that have no answer, and damage that stops a ledger."""

from __future__ import annotations


class TreeError(Exception):
    """Base of the errors of the tree."""


class VersionNotRetained(TreeError):
    """The version was pruned, or never was."""


class EmptyTree(TreeError):
    """An empty tree has no proof of absence (ICS-23)."""


class TreeDamaged(TreeError):
    """A page that must be there is missing or unreadable: the store is damaged; stop the ledger."""
