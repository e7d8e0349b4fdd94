"""The register's composite scenarios, one module each, on real processes with agents deciding. scripts/story/catalogue.py lists them."""

from __future__ import annotations

from importlib import import_module

from scripts.story.catalogue import find
from scripts.story.scenarios.base import Scenario
from scripts.story.telling import StepFailed


def scenario(name: str) -> Scenario:
    """The scenario of this name. Raises StepFailed for a name that the catalogue does not have."""
    entry = find(name)
    if entry is None:
        raise StepFailed("a scenario of the catalogue", name)
    found: Scenario = import_module(f"scripts.story.scenarios.{entry.module}").SCENARIO
    return found
