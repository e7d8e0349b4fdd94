"""An import-linter contract: of some packages, a module may import only what is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph


def _inside(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


class OnlyAllowedContract(Contract):
    """`source` and what is under it import, of `within`, only `allowed` (nothing if not given). `exempt` modules are free.

    Unlike import-linter's own "forbidden", it looks at direct imports only, and names of modules that are not written yet
    are no error: a rule can be stated before there is code to break it.
    """

    source = fields.StringField()
    within = fields.SetField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField(), required=False)
    exempt = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001  (import-linter's signature)
        """Collect every direct import that the contract forbids, with its line numbers."""
        del verbose
        broken = []
        for importer in sorted(graph.modules):
            if not _inside(importer, {str(self.source)}) or _inside(importer, self._set("exempt")):
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if not self._refuses(imported):
                    continue
                lines = [d["line_number"] for d in graph.get_import_details(importer=importer, imported=imported)]
                broken.append((importer, imported, lines))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each forbidden import."""
        for importer, imported, lines in check.metadata["broken"]:
            places = ", ".join(map(str, lines))
            output.print_error(f"{importer} imports {imported} (line {places})")

    def _set(self, name: str) -> set[str]:
        value = getattr(self, name, None)
        return {str(item) for item in value} if isinstance(value, (set, list, tuple, frozenset)) else set()

    def _refuses(self, imported: str) -> bool:
        return _inside(imported, self._set("within")) and not _inside(imported, self._set("allowed"))
