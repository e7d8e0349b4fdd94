"""The house rules of contract code: every rule refuses its examples, and the form that should be used instead passes."""

import textwrap

import pytest

from scripts.check_determinism import RULES, faults, main

BAD = [
    ("float", "X = 0.5"),
    ("float", "X = 1e3"),
    ("float", "X = 2j"),
    ("float", "def f(n: int) -> float: return n"),
    ("float", "def f(n: int): return float(n)"),
    ("true-division", "def f(a: int, b: int): return a / b"),
    ("true-division", "def f(a, b):\n    a /= b"),
    ("negative-power", "def f(n: int): return 10 ** -n"),
    ("set-order", "def f():\n    for x in {1, 2}: pass"),
    ("set-order", "def f(xs):\n    for x in set(xs): pass"),
    ("set-order", "def f(xs: frozenset[str]): return [x for x in xs]"),
    ("set-order", "def f(xs):\n    seen = set(xs)\n    return list(seen)"),
    ("set-order", "def f(xs, ys):\n    seen = set(xs)\n    return tuple(seen | ys)"),
    ("set-order", "def f(xs):\n    seen = set(xs)\n    return ','.join(seen)"),
    ("set-order", "def f(xs):\n    seen = set(xs)\n    return seen.pop()"),
    ("set-order", "def f(xs):\n    return [*frozenset(xs)]"),
    ("set-order", "def f(xs):\n    first, second = set(xs)\n    return first"),
    ("set-order", "def f(xs):\n    return f'{set(xs)}'"),
    ("set-order", "class C:\n    grants: frozenset[str]\n    def f(self): return list(self.grants)"),
    ("set-order", "def f(xs, ys): return list(set(xs).union(ys))"),
    ("set-order", "NAMES = frozenset({'a', 'b'})\ndef f(): return {n: 1 for n in NAMES}"),
    ("builtin", "def f(x): return hash(x)"),
    ("builtin", "def f(x): return id(x)"),
    ("builtin", "def f(x): return eval(x)"),
    ("builtin", "def f(xs): return sorted(xs, key=id)"),
    ("builtin", "def f(x): print(x)"),
    ("builtin", "def f(x): return open(x)"),
    ("round", "def f(x): return round(x)"),
    ("broad-except", "def f():\n    try: pass\n    except Exception: pass"),
    ("broad-except", "def f():\n    try: pass\n    except: pass"),
    ("broad-except", "def f():\n    try: pass\n    except (KeyError, BaseException): pass"),
    ("assert", "def f(x):\n    assert x"),
    ("unicode-table", "def f(s): return s.isalnum()"),
    ("unicode-table", "def f(s): return s.isdigit()"),
    ("unicode-table", "def f(s): return s.isprintable()"),
    ("unicode-table", "def f(s): return s.lower()"),
    ("unicode-table", "def f(s): return s.upper()"),
    ("unicode-table", "def f(s): return s.casefold()"),
    ("unicode-table", "def f(s): return s.strip()"),
    ("unicode-table", "def f(s): return s.split()"),
    ("unicode-table", "def f(s): return s.isprintable() and s.isascii()"),
    ("unicode-table", "def f(s, t): return t.isascii() and s.isprintable()"),
    ("unicode-table", "def f(names): return sorted(names, key=str.lower)"),
    ("regex", "import re\nX = re.compile('[0-9]+')"),
    ("regex", "import re\nX = re.compile('[a-z]+', re.IGNORECASE)"),
    ("regex", "import re\ndef f(s): return re.fullmatch(r'\\d', s)"),
    ("json-numbers", "import json\ndef f(s): return json.loads(s)"),
    ("json-numbers", "import json\ndef f(s, hook): return json.loads(s, parse_float=hook, parse_constant=hook)"),
    ("global", "COUNT = 0\ndef f():\n    global COUNT"),
    ("mutable-state", "CACHE = {}"),
    ("mutable-state", "SEEN = set()"),
    ("mutable-state", "from collections import defaultdict\nX = defaultdict(int)"),
    ("mutable-state", "class C:\n    kinds = ['a']"),
    ("import", "import time"),
    ("import", "import random"),
    ("import", "import unicodedata"),
    ("import", "import os.path"),
    ("import", "from datetime import datetime"),
    ("import", "from math import sqrt"),
    ("import", "import math"),
    ("import", "import nacl.utils"),
    ("import", "from nacl import utils"),
    ("import", "from . import kernel"),
    ("import", "from smartcontracts.kernel import *"),
    ("import", "import plyvel"),
    ("decimal-context", "from decimal import getcontext"),
    ("decimal-context", "import decimal\ndef f(): return decimal.getcontext()"),
    ("decimal-context", "import decimal\ndef f(): return decimal.localcontext()"),
    ("unchecked-number", "def f(text: str): return int(text)"),
    ("unchecked-number", "def f(text: str): return int(text[1:])"),
    ("unchecked-number", "def f(text: str): return int(text, 16)"),
    ("unchecked-number", "def f(data): return int(data.decode('ascii'))"),
    ("unchecked-number", "from decimal import Decimal\ndef f(text: str): return Decimal(text)"),
]

GOOD = """
    '''A contract's helpers, each in the form that the rules ask for.'''
    from __future__ import annotations

    import json
    import re
    from collections.abc import Iterable
    from dataclasses import dataclass, field
    from decimal import ROUND_HALF_EVEN, Context, Decimal
    from fractions import Fraction
    from math import gcd
    from types import MappingProxyType
    from typing import Final

    from smartcontracts.kernel import Rejected
    from syngraph.v1 import common_pb2

    __all__ = ["Names"]
    DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
    BYTES: Final = re.compile(b"[a-z]+")
    KINDS: Final = frozenset({"quote", "order"})
    TABLE: Final = MappingProxyType({"a": 1})
    CONTEXT: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)

    @dataclass(frozen=True)
    class Names:
        id: str
        hash: bytes
        items: frozenset[str] = field(default_factory=frozenset)

        def listed(self) -> list[str]:
            return sorted(self.items)

    def amount(text: str) -> int:
        if not DIGITS.fullmatch(text):
            raise Rejected("amount")
        return int(text)

    def third(total: int) -> Fraction:
        return Fraction(total, 3)

    def halves(total: int) -> tuple[int, int]:
        return total // 2, total % 2

    def product(a: Decimal, b: Decimal) -> Decimal:
        return CONTEXT.divide(a, b)

    def overlap(left: Iterable[str], right: Iterable[str]) -> bool:
        seen = set(left)
        return any(name in seen for name in right) and len(seen) > 2 and sorted(seen) != [] and "a" in seen

    def all_known(names: set[str]) -> bool:
        return all(name in KINDS for name in names)

    def plain(text: str) -> bool:
        return text.isascii() and text.isprintable()

    def refuse_float(value: object) -> bool:
        return isinstance(value, float) or isinstance(value, (float, complex))

    def parse(text: str, refuse, pairs):
        return json.loads(text, parse_float=refuse, parse_constant=refuse, object_pairs_hook=pairs)

    def words(text: str) -> list[str]:
        return [word.strip(" ") for word in text.split(",")]

    def find(id: str, hash: bytes) -> tuple[str, bytes]:
        return id, hash

    def careful() -> None:
        try:
            find("a", b"")
        except (KeyError, ValueError):
            raise Rejected("a") from None

    def name(kind: type) -> str:
        return kind.__name__.upper()  # deterministic: names of classes are ASCII
"""


def written(tmp_path, text):
    path = tmp_path / "contract.py"
    path.write_text(textwrap.dedent(text) + "\n")
    return path


@pytest.mark.parametrize(("rule", "text"), BAD)
def test_a_bad_example_is_refused_for_its_rule_alone(tmp_path, rule, text):
    assert {fault.rule for fault in faults(written(tmp_path, text))} == {rule}


def test_every_rule_has_a_bad_example():
    assert {rule for rule, _ in BAD} == set(RULES)


def test_the_good_forms_pass(tmp_path):
    assert faults(written(tmp_path, GOOD)) == []


def test_a_waiver_without_a_reason_waives_nothing(tmp_path):
    assert [f.rule for f in faults(written(tmp_path, "X = 0.5  # deterministic:"))] == ["float"]


def test_the_recipe_names_file_line_and_rule_and_fails(tmp_path, capsys, monkeypatch):
    path = written(tmp_path, "\nX = 0.5")
    monkeypatch.setattr("sys.argv", ["check_determinism.py", str(tmp_path)])
    assert main() == 1
    assert f"{path}:2:5: float: " in capsys.readouterr().out


def test_a_folder_without_files_is_no_success(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["check_determinism.py", str(tmp_path)])
    assert main() == 1
