"""Every refusal of the contracts is expected by a test: one that nobody has ever seen may never come."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import smartcontracts
from smartcontracts.kernel import Rejected

TESTS = Path(__file__).parents[1]


def refusals():
    """Every class of refusal that a module of the contracts defines."""
    for module in walk_packages(smartcontracts.__path__, "smartcontracts."):
        import_module(module.name)
    found, waiting = {}, [Rejected]
    while waiting:
        for each in waiting.pop().__subclasses__():
            waiting.append(each)
            if each.__module__.startswith("smartcontracts."):
                found[f"{each.__module__}.{each.__name__}"] = each
    return [found[name] for name in sorted(found)]


class Used(ast.NodeVisitor):
    """Collects names, last parts of dotted names, and texts. An import, or what an `except` catches, expects nothing."""

    def __init__(self):
        self.words = set()

    def visit_Name(self, node):
        self.words.add(node.id)

    def visit_Attribute(self, node):
        self.words.add(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.words.add(node.value)

    def visit_ExceptHandler(self, node):
        for each in node.body:
            self.visit(each)


def used_in(source):
    found = Used()
    found.visit(ast.parse(source))
    return found.words


def expected():
    """What the tests use."""
    files = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    return frozenset().union(*(used_in(path.read_text(encoding="utf-8")) for path in files))


def test_each_refusal_is_expected_by_a_test():
    known = refusals()
    assert len(known) > 350
    used = expected()
    missing = [f"{r.__module__}.{r.__name__}" for r in known if not {r.__name__, r.refusal_name()} & used]
    assert missing == []


def test_an_import_or_a_handler_is_no_expectation():
    source = "from x import Gone\ntry:\n    f()\nexcept Passed:\n    pass\nwith raises(m.Seen):\n    g('SEEN_TOO')\n"
    assert used_in(source) & {"Gone", "Passed", "Seen", "SEEN_TOO"} == {"Seen", "SEEN_TOO"}
