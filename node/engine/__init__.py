"""The consensus engine that comes with the package: CometBFT, built from the pinned Go module."""

from node.engine.pin import EngineMissing, binary

__all__ = ["EngineMissing", "binary"]
