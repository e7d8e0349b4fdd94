"""The authenticated tree: a Jellyfish Merkle tree kept in pages, by version, over any key-value reader.

What it hashes is in `smartcontracts.verify.hashing`; how it is stored is a matter of this package
alone and shows in no root and no proof. Public names: `Tree`, `TreeUpdate`, `NodeReader`, and the
errors.
"""

from abci_app.tree.errors import EmptyTree, TreeDamaged, TreeError, VersionNotRetained
from abci_app.tree.store import NodeReader
from abci_app.tree.tree import Tree, TreeUpdate

__all__ = [
    "EmptyTree",
    "NodeReader",
    "Tree",
    "TreeDamaged",
    "TreeError",
    "TreeUpdate",
    "VersionNotRetained",
]
