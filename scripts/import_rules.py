"""An import rule that import-linter has no contract for: a kernel imports nothing outside of a kernel."""

from collections.abc import Iterator
from typing import override

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class Kernel(Contract):
    """Every module below a package `kernel`, and below the other packages named, imports only such modules.

    So what upstream writes works in a fork that has deleted everything else. External packages are not its
    business.
    """

    roots = fields.ListField(subfield=fields.StringField())
    kernel_packages = fields.ListField(subfield=fields.StringField())

    @override
    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        broken = sorted(self._broken(graph))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    @override
    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, line in check.metadata["broken"]:
            output.print_error(f"{importer} imports {imported} (l. {line})", bold=False)

    def _broken(self, graph: ImportGraph) -> Iterator[tuple[str, str, int]]:
        for importer in filter(self._is_kernel, graph.modules):
            for imported in graph.find_modules_directly_imported_by(importer):
                if imported.split(".")[0] in self.roots and not self._is_kernel(imported):  # type: ignore[operator]
                    details = graph.get_import_details(importer=importer, imported=imported)
                    yield importer, imported, min(detail["line_number"] for detail in details)

    def _is_kernel(self, module: str) -> bool:
        named: list[str] = self.kernel_packages  # type: ignore[assignment]  # import-linter fills the field
        return "kernel" in module.split(".") or any(
            f"{module}.".startswith(f"{package}.") for package in named
        )
