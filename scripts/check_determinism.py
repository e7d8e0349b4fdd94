"""Refuses in contract code what could differ between two nodes, as far as the syntax shows it.

usage: python scripts/check_determinism.py PATH...

Every node must compute the same bytes from the same block. This reads the syntax tree, so it sees a float literal or a loop over
a set display, but not the type of what a function returns: types and tests must hold the rest. Each rule has bad examples in
tests/scripts/test_check_determinism.py, which must be refused for that rule and for nothing else.

Where the syntax looks wrong and the value is right, a comment at the end of the line says why: `# deterministic: reason`.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RULES: Final = {
    "float": "a float rounds as the platform likes; use integers, Fraction, or Decimal under an explicit context",
    "true-division": "`/` makes floats of integers; use //, Fraction(a, b), or a context's divide",
    "negative-power": "an integer to a negative power is a float; use Fraction",
    "set-order": "the order of a set changes with the hash seed; sort it first",
    "builtin": "this depends on the process, the machine or the outside world",
    "round": "round() rounds halves to even in silence; use money's rounding, which names its mode",
    "broad-except": "this would hide our own bugs on some nodes; catch what is expected by name",
    "assert": "gone under `python -O`; raise a refusal, or call a check that always runs",
    "unicode-table": "the tables of Unicode change with the Python version; compare with ASCII sets",
    "regex": "without re.ASCII a pattern follows the tables of Unicode",
    "json-numbers": "json.loads makes floats, NaN and double keys; give parse_float, parse_constant and object_pairs_hook",
    "global": "a contract has no state of its own",
    "mutable-state": "a mutable value of a module or class lives on between blocks; use a tuple, frozenset or MappingProxyType",
    "import": "not on the list of what a contract may import",
    "decimal-context": "a context that belongs to the thread; create a Context and use its methods",
    "unchecked-number": "int() and Decimal() take blanks, underscores, NaN and other scripts' digits; match the text in full first",
}

# Whole modules, by first name or in full; math by member, since most of it is floats.
ALLOWED_IMPORTS: Final = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "dataclasses", "decimal", "enum", "fractions", "functools",
    "google.protobuf", "hashlib", "heapq", "hmac", "itertools", "json", "nacl", "operator", "re", "smartcontracts", "string", "struct",
    "syngraph", "types", "typing",
})  # fmt: skip
ALLOWED_MEMBERS: Final = {"math": frozenset({"comb", "gcd", "isqrt", "lcm", "prod"})}
REFUSED_IMPORTS: Final = frozenset({"nacl.utils"})

BUILTINS: Final = frozenset({
    "__import__", "breakpoint", "compile", "dir", "eval", "exec", "globals", "hash", "id", "input", "locals", "open", "print", "vars",
})  # fmt: skip
UNICODE_METHODS: Final = frozenset({
    "capitalize", "casefold", "isalnum", "isalpha", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable",
    "isspace", "istitle", "isupper", "lower", "splitlines", "swapcase", "title", "upper",
})  # fmt: skip
BLANK_METHODS: Final = frozenset({"lstrip", "rsplit", "rstrip", "split", "strip"})
REGEX_FUNCTIONS: Final = frozenset({"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"})
ORDER_TAKERS: Final = frozenset({"dict", "enumerate", "filter", "iter", "list", "map", "repr", "reversed", "str", "tuple", "zip"})
SET_TYPES: Final = frozenset({"AbstractSet", "FrozenSet", "MutableSet", "Set", "frozenset", "set"})
SET_METHODS: Final = frozenset({"difference", "intersection", "symmetric_difference", "union"})
MUTABLE_TYPES: Final = frozenset({"Counter", "OrderedDict", "bytearray", "defaultdict", "deque", "dict", "list", "set"})
THREAD_CONTEXT: Final = frozenset({"BasicContext", "DefaultContext", "ExtendedContext", "getcontext", "localcontext", "setcontext"})
TEXT_METHODS: Final = frozenset({"decode", "group", "join", "partition", "replace", "rpartition", "rsplit", "split", "strip"})
WAIVER: Final = re.compile(r"# deterministic: \S+ \S+")
JSON_HOOKS: Final = frozenset({"object_pairs_hook", "parse_constant", "parse_float"})

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Finding = tuple[ast.AST, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that breaks a rule."""

    path: Path
    line: int
    column: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.rule}: {RULES[self.rule]}"


class Names:
    """What the text of one file tells about its names: the scope of a node, names bound there, names that hold sets."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.set_fields = {
            node.target.id
            for kind in ast.walk(tree)
            if isinstance(kind, ast.ClassDef)
            for node in kind.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _names_set(node.annotation)
        }

    def scopes(self, node: ast.AST) -> Iterator[ast.Module | Function]:
        """The functions around `node`, innermost first, and then the module."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, Function | ast.Module):
                yield node

    def inside(self, scope: ast.Module | Function) -> Iterator[ast.AST]:
        """Everything whose nearest function is `scope`."""
        return (node for node in ast.walk(scope) if next(self.scopes(node), None) is scope)

    def is_bound(self, name: ast.Name) -> bool:
        """Whether the file gives this name a meaning of its own."""
        for scope in self.scopes(name):
            if any(argument.arg == name.id for argument in _arguments(scope)):
                return True
            for node in self.inside(scope):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name.id:
                    return True
                if isinstance(node, ast.FunctionDef) and node.name == name.id:
                    return True
        return False

    def is_set(self, node: ast.AST) -> bool:
        """Whether `node` is a set, as far as the text shows."""
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub):
            return self.is_set(node.left) or self.is_set(node.right)
        if isinstance(node, ast.Call):
            made = _called(node) in {"set", "frozenset"}
            method = node.func if isinstance(node.func, ast.Attribute) else None
            return made or (method is not None and method.attr in SET_METHODS and self.is_set(method.value))
        if isinstance(node, ast.Attribute):
            return node.attr in self.set_fields
        return isinstance(node, ast.Name) and self._holds(node, _names_set, self.is_set)

    def is_text(self, node: ast.AST) -> bool:
        """Whether `node` is text from elsewhere, as far as the text shows."""
        if isinstance(node, ast.JoinedStr):
            return True
        if isinstance(node, ast.Subscript):
            return self.is_text(node.value)
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Attribute) and node.func.attr in TEXT_METHODS
        return isinstance(node, ast.Name) and self._holds(node, _names_text, self.is_text)

    def _holds(
        self, name: ast.Name, by_annotation: Callable[[ast.expr | None], bool], by_value: Callable[[ast.AST], bool]
    ) -> bool:
        for scope in self.scopes(name):
            for argument in _arguments(scope):
                if argument.arg == name.id:
                    return by_annotation(argument.annotation)
            found = [node for node in self.inside(scope) if name.id in _targets(node)]
            if found:
                return any(_bound_to(node, name, by_annotation, by_value) for node in found)
        return False


def _bound_to(
    node: ast.AST, name: ast.Name, by_annotation: Callable[[ast.expr | None], bool], by_value: Callable[[ast.AST], bool]
) -> bool:
    if isinstance(node, ast.AnnAssign) and by_annotation(node.annotation):
        return True
    value = getattr(node, "value", None)
    refers_to_itself = any(isinstance(part, ast.Name) and part.id == name.id for part in ast.walk(value)) if value else True
    return value is not None and not refers_to_itself and by_value(value)


def _targets(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign | ast.NamedExpr):
        return {node.target.id} if isinstance(node.target, ast.Name) else set()
    return set()


def _arguments(scope: ast.AST) -> list[ast.arg]:
    if not isinstance(scope, Function):
        return []
    given = scope.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]


def _called(node: ast.Call) -> str | None:
    return node.func.id if isinstance(node.func, ast.Name) else None


def _first_name(annotation: ast.expr | None) -> str | None:
    """`frozenset` of `collections.abc.frozenset[str]`, and the like."""
    if isinstance(annotation, ast.Subscript):
        if _first_name(annotation.value) == "Final":
            return _first_name(annotation.slice)
        return _first_name(annotation.value)
    if isinstance(annotation, ast.Attribute):
        return annotation.attr
    return annotation.id if isinstance(annotation, ast.Name) else None


def _names_set(annotation: ast.expr | None) -> bool:
    return _first_name(annotation) in SET_TYPES


def _names_text(annotation: ast.expr | None) -> bool:
    return _first_name(annotation) in {"str", "bytes"}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# One function a rule or a family of rules: nodes of one file in, findings out.


def _floats(node: ast.AST, names: Names) -> Iterator[Finding]:
    if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
        yield node, "float"
    if isinstance(node, ast.Name) and node.id in {"float", "complex"}:
        parent = names.parents[node]
        in_tuple = isinstance(parent, ast.Tuple | ast.BinOp)
        call = names.parents[parent] if in_tuple else parent
        # Asking whether something is a float, to refuse it, is the one use that makes none.
        if not (isinstance(call, ast.Call) and _called(call) == "isinstance"):
            yield node, "float"
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        yield node, "true-division"
    power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and node.right
    if isinstance(power, ast.UnaryOp) and isinstance(power.op, ast.USub):
        yield node, "negative-power"


def _sets(node: ast.AST, names: Names) -> Iterator[Finding]:
    walked: list[ast.AST] = []
    if isinstance(node, ast.For | ast.AsyncFor):
        walked.append(node.iter)
    if isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp) and not _order_is_lost(node, names):
        walked += [generator.iter for generator in node.generators]
    if isinstance(node, ast.Starred | ast.FormattedValue):
        walked.append(node.value)
    if isinstance(node, ast.Assign) and any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
        walked.append(node.value)
    if isinstance(node, ast.Call):
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if _called(node) in ORDER_TAKERS or method in {"join", "extend"}:
            walked += node.args
        if isinstance(node.func, ast.Attribute) and method == "pop" and not node.args:
            walked.append(node.func.value)
    yield from ((place, "set-order") for place in walked if names.is_set(place))


def _order_is_lost(node: ast.AST, names: Names) -> bool:
    """Whether a generator goes straight into something that gives the same for any order."""
    parent = names.parents[node]
    return isinstance(parent, ast.Call) and _called(parent) in {"all", "any", "frozenset", "len", "set", "sorted"}


def _builtins(node: ast.AST, names: Names) -> Iterator[Finding]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in BUILTINS and not names.is_bound(node):
        yield node, "builtin"
    if isinstance(node, ast.Call) and _called(node) == "round":
        yield node, "round"


def _statements(node: ast.AST, names: Names) -> Iterator[Finding]:
    if isinstance(node, ast.ExceptHandler):
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(kind is None or _dotted(kind) in {"Exception", "BaseException"} for kind in caught):
            yield node, "broad-except"
    if isinstance(node, ast.Assert):
        yield node, "assert"
    if isinstance(node, ast.Global):
        yield node, "global"
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(names.parents[node], ast.Module | ast.ClassDef):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        is_language = all(isinstance(target, ast.Name) and target.id.startswith("__") for target in targets)
        if node.value is not None and not is_language and _is_mutable(node.value):
            yield node, "mutable-state"


def _is_mutable(value: ast.expr) -> bool:
    made = _dotted(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
    literal = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(value, literal) or made in MUTABLE_TYPES


def _text(node: ast.AST, names: Names) -> Iterator[Finding]:
    if isinstance(node, ast.Attribute) and node.attr in UNICODE_METHODS and not _after_isascii(node, names):
        yield node, "unicode-table"
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute) and node.func.attr in BLANK_METHODS and not node.args and not node.keywords:
        yield node, "unicode-table"
    name = _dotted(node.func)
    if name.startswith("re.") and name[3:] in REGEX_FUNCTIONS and not _is_ascii_pattern(node):
        yield node, "regex"
    if name in {"json.loads", "json.load", "json.JSONDecoder"} and not {k.arg for k in node.keywords} >= JSON_HOOKS:
        yield node, "json-numbers"
    if name.rpartition(".")[2] in {"int", "Decimal"} and node.args and names.is_text(node.args[0]):
        scope = next(names.scopes(node))
        matched = (n for n in ast.walk(scope) if isinstance(n, ast.Attribute) and n.attr == "fullmatch")
        if isinstance(scope, ast.Module) or not any(matched):
            yield node, "unchecked-number"


def _after_isascii(method: ast.Attribute, names: Names) -> bool:
    """Whether this is the later part of `text.isascii() and text.method()`."""
    condition = names.parents[names.parents[method]]
    if not (isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And)):
        return False
    asked = f"{ast.unparse(method.value)}.isascii()"
    here = (method.lineno, method.col_offset)
    return any(ast.unparse(part) == asked and (part.lineno, part.col_offset) < here for part in condition.values)


def _is_ascii_pattern(call: ast.Call) -> bool:
    pattern = call.args[0] if call.args else None
    if isinstance(pattern, ast.Constant) and (isinstance(pattern.value, bytes) or str(pattern.value).startswith("(?a")):
        return True
    flags = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    return any(_dotted(part) in {"re.ASCII", "re.A"} for flag in flags for part in ast.walk(flag) if isinstance(part, ast.expr))


def _imports(node: ast.AST, names: Names) -> Iterator[Finding]:
    del names
    if isinstance(node, ast.Import):
        yield from ((node, "import") for alias in node.names if not _may_import(alias.name))
    if isinstance(node, ast.ImportFrom):
        if node.module in ALLOWED_MEMBERS:
            allowed = all(alias.name in ALLOWED_MEMBERS[node.module] for alias in node.names)
        else:
            wanted = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            allowed = node.level == 0 and _may_import(wanted[0]) and REFUSED_IMPORTS.isdisjoint(wanted)
        if not allowed or any(alias.name == "*" for alias in node.names):
            yield node, "import"
        yield from ((node, "decimal-context") for a in node.names if node.module == "decimal" and a.name in THREAD_CONTEXT)
    if isinstance(node, ast.Attribute) and _dotted(node) in {f"decimal.{name}" for name in THREAD_CONTEXT}:
        yield node, "decimal-context"


def _may_import(module: str) -> bool:
    parts = module.split(".")
    heads = {".".join(parts[: length + 1]) for length in range(len(parts))}
    return not heads.isdisjoint(ALLOWED_IMPORTS) and heads.isdisjoint(REFUSED_IMPORTS)


CHECKS: Final = (_floats, _sets, _builtins, _statements, _text, _imports)


def faults(path: Path) -> list[Fault]:
    """Every place in the file that breaks a rule and gives no reason, in order of lines."""
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text, str(path))
    names = Names(tree)
    found = {
        Fault(path, getattr(place, "lineno", 0), getattr(place, "col_offset", 0) + 1, rule)
        for node in ast.walk(tree)
        for check in CHECKS
        for place, rule in check(node, names)
        if not WAIVER.search(lines[getattr(place, "lineno", 1) - 1])
    }
    return sorted(found, key=lambda fault: (fault.line, fault.column, fault.rule))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/check_determinism.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, help="a file, or a folder with all its .py files")
    options = parser.parse_args()
    files = [file for path in options.paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    found = [fault for file in files for fault in faults(file)]
    for fault in found:
        print(fault)
    print(f"{len(files)} files, {len(found)} faults, {len(RULES)} rules")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
