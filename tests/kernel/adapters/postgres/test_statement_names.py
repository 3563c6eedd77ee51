"""What statements are called in logs, metrics and traces."""

import gc
from collections import defaultdict

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.tables.repository import PostgresRepository
from kernel.specimen.postgres import specimen_orders


def test_every_statement_that_a_module_has_is_called_after_its_variable() -> None:
    import_tables()
    by_name: defaultdict[str, set[int]] = defaultdict(set)
    for each in gc.get_objects():
        if isinstance(each, Statement) and each._module.startswith("adapters."):
            by_name[each.name].add(id(each))
    assert {"users.profile", "delivery.claim", "audit.note", "identities.remove_all"} <= by_name.keys()
    assert [name for name in by_name if name.endswith(".statement")] == []
    # A change and the same with its entry in the audit log are two statements of one name.
    assert {name: len(ids) for name, ids in by_name.items() if len(ids) > 2} == {}


def test_those_of_a_repository_are_called_after_its_table_and_what_they_do() -> None:
    for repository in PostgresRepository.registry:
        table = repository.table.name
        changes = repository._add, repository._save, repository._remove
        assert repository._get.name == f"{table}.get"
        assert [change.audited.name for change in changes] == [
            f"{table}.add",
            f"{table}.save",
            f"{table}.remove",
        ]
    assert specimen_orders._GET.name == "specimen_orders.get"
    assert specimen_orders._PAGE._statement_name == "specimen_orders.SpecimenOrderView.page"
