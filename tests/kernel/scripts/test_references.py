"""References of `make resource`: what can be referred to, what changes there, and that it goes again.

That both servers of data answer a foreign tenant's id alike is seen by `make test-fork`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.operations.ops import (
    AddColumnOp,
    CreateIndexOp,
    CreateTableOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
)
from builder.lists import NoPlace
from builder.references import forget, index_of, refer, targets
from builder.spec import Refused, Resource, Target, read, resolved
from sqlalchemy import Column, Uuid

from adapters.postgres.kernel.migrating.concurrently import ConcurrentIndexOp, made_concurrently

CUSTOMER = Target(name="customer", plural="customers", entity="Customer")
TITLE = "title:str(40)"


def an_invoice(fields: str = "customer:ref(customer)", **more: str) -> Resource:
    return read(name="invoice", fields=f"{TITLE} {fields}", **more)


# ── what can be referred to ──────────────────────────────────────────────────────────────────────


def test_a_reference_is_known_by_its_column_and_asked_for_by_its_name() -> None:
    it = an_invoice("customer:ref(customer)?", filter="customer")
    (_, field) = it.fields
    assert (field.name, field.stem, field.label, field.nullable) == (
        "customer_id",
        "customer",
        "customer",
        True,
    )
    assert it == an_invoice("customer:ref(customer)?!filter")
    (found,) = resolved(it, {"customer": CUSTOMER}, {}).references
    assert found[1] == CUSTOMER


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("supplier", "customer: there is no resource 'supplier' to refer to. There is: customer, site."),
        ("remark", "customer: remark belongs to a row of posts: add the column by hand."),
    ],
)
def test_what_cannot_be_referred_to_is_refused(name: str, said: str) -> None:
    it = an_invoice(f"customer:ref({name})")
    with pytest.raises(Refused) as refused:
        resolved(it, {"site": CUSTOMER, "customer": CUSTOMER}, {"remark": "belongs to a row of posts"})
    assert str(refused.value) == said


def test_the_name_of_a_foreign_key_has_an_end() -> None:
    far = Target(name="x" * 20, plural="x" * 33, entity="X")
    with pytest.raises(Refused, match="is longer than the 63 characters"):
        resolved(an_invoice(f"{'y' * 20}:ref(x)"), {"x": far}, {})


def a_table(table: str, entity: str, *keys: tuple[str, list[str]], **columns: bool) -> dict[str, Any]:
    """As `builder.references` prints it; of the columns whether they are nullable."""
    return {
        "module": f"adapters.postgres.{table}",
        "entity": entity,
        "table": table,
        "columns": {"workspace_id": False, "created_by": False, **columns},
        "keys": [["workspaces", ["workspace_id"]], ["users", ["created_by"]], *map(list, keys)],
    }


TABLES = [
    a_table("sites", "Site", ("big_customers", ["workspace_id", "customer_id"]), customer_id=False),
    a_table("big_customers", "BigCustomer", ("sites", ["workspace_id", "site_id"]), site_id=True),
    a_table("lines", "Line", ("sites", ["site_id"]), site_id=False),
    a_table("line_notes", "LineNote", ("lines", ["workspace_id", "line_id"]), line_id=False),
    a_table("bare", "Bare"),
    a_table("nodes", "Node", ("nodes", ["workspace_id", "parent_id"]), parent_id=False),
    a_table("plain", "Plain") | {"columns": {"workspace_id": False}},
    a_table("users", "User") | {"module": "adapters.postgres.kernel.users"},
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for table, name in {"sites": "site", "big_customers": "big_customer", "lines": "line"}.items():
        write(
            tmp_path, f"tests/resources/{table}.py", f'def a_{name}(): ...\nFILL = {{\n    "{table}": """\n'
        )
    write(tmp_path, "src/application/commands/sites.py", "async def delete_site(): ...\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, "utf-8")


def test_what_can_be_referred_to_is_of_a_workspace_and_needs_only_what_can_be_referred_to(tree: Path) -> None:
    found, unfit = targets(TABLES, tree)
    customer = Target(name="big_customer", plural="big_customers", entity="BigCustomer", deleted=False)
    site = Target(name="site", plural="sites", entity="Site", needs=(("customer_id", customer),))
    assert found == {"site": site, "big_customer": customer}
    assert unfit == {
        "line": "belongs to a row of sites",
        "line_note": "belongs to a row of lines",
        "node": "belongs to a row of nodes",
        "bare": "has no def a_bare( … in tests/resources/bare.py, which tests need",
        "plain": "is not of a workspace, or of nobody there",
    }


# ── what changes there ───────────────────────────────────────────────────────────────────────────

INDEX = index_of("customers")
DOMAIN = "src/domain/customers.py"
TABLE = "src/adapters/postgres/customers.py"
ROUTES = "src/entrypoints/http/v1/customers.py"
FILES = {
    DOMAIN: """from domain.kernel.errors import NotFound


class CustomerNotFound(NotFound, of=CustomerId):
    \"\"\"There is no such customer.\"\"\"


class Customer(Aggregate):
    id: CustomerId
""",
    TABLE: """from sqlalchemy import Table

from domain.customers import Customer

customers = Table(
    "customers",
    metadata,
    key(),
    version(),
)


class PostgresCustomers(PostgresRepository[Customer, CustomerId]):
    conflicts: ClassVar[Conflicts] = {
        "fk_customers_workspace_id_workspaces": WorkspaceNotFound,
    }
""",
    ROUTES: """from domain.customers import Customer

@router.delete("/customers/{customer_id}", use_case=commands.delete_customer, refuses=NOT_ADMITTED)
async def delete_customer() -> None: ...
""",
}
BY_HAND = [
    (TABLE, "    version(),\n", "    version(),  # of the row\n    # and its rules\n"),
    (TABLE, "    version(),\n)", "    version())"),
    (TABLE, ": WorkspaceNotFound,\n", ": WorkspaceNotFound,  # gone\n        # more\n"),
    (TABLE, "    conflicts:", "    def none(self) -> None: ...\n\n    conflicts:"),
    (DOMAIN, "class Customer(", "@final\nclass Customer("),
    (ROUTES, "refuses=NOT_ADMITTED", "refuses=(*NOT_ADMITTED, CustomerOwes)"),
    (ROUTES, "refuses=NOT_ADMITTED", "refuses=(\n    *NOT_ADMITTED,\n    CustomerOwes,\n)"),
]
NO_PLACE = [
    (TABLE, '"customers",', '"clients",', f"Add this to it:\n    {INDEX}"),
    (
        TABLE,
        "conflicts:",
        "refusals:",
        '    "fk_invoices_workspace_id_customer_id_customers": CustomerInUse,',
    ),
    (DOMAIN, "class CustomerNotFound(", "class Missing(", "class CustomerInUse(Conflict):"),
    (ROUTES, "commands.delete_customer", "remove", "refuses=(*NOT_ADMITTED, CustomerInUse)"),
]


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def texts(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text("utf-8") for name in FILES}


def referring(fields: str = "customer:ref(customer)", target: Target = CUSTOMER) -> Resource:
    return resolved(an_invoice(fields), {"customer": target}, {})


@pytest.mark.parametrize(("name", "before", "after"), [(TABLE, "", ""), *BY_HAND])
def test_what_is_referred_to_knows_it_and_loses_nothing(
    name: str, before: str, after: str, customers: Path
) -> None:
    write(customers, name, FILES[name].replace(before, after, 1))
    old = texts(customers)
    refer(referring("customer:ref(customer) payer:ref(customer)?"), customers)
    new = texts(customers)
    for file, text in new.items():
        compile(text, file, "exec")
        kept = [line.strip(" ,)") for line in old[file].splitlines() if "refuses=" not in line]
        assert [line for line in kept if line not in text] == []
    assert new[DOMAIN].count("class CustomerInUse(Conflict):") == 1
    assert new[TABLE].count(INDEX) == 1
    for field in ("customer_id", "payer_id"):
        assert new[TABLE].count(f'"fk_invoices_workspace_id_{field}_customers": CustomerInUse') == 1
    assert ", CustomerInUse)" in new[ROUTES].replace("\n", " ").replace("( ", "(")
    refer(referring("customer:ref(customer) payer:ref(customer)?"), customers)
    assert texts(customers) == new


@pytest.mark.parametrize("change", NO_PLACE, ids=lambda change: change[2])
def test_where_there_is_no_place_nothing_is_written_and_the_line_is_told(
    change: tuple[str, str, str, str], customers: Path
) -> None:
    name, before, after, said = change
    write(customers, name, FILES[name].replace(before, after, 1))
    old = texts(customers)
    with pytest.raises(NoPlace) as refused:
        refer(referring(), customers)
    assert said in str(refused.value)
    assert texts(customers) == old


def test_what_nobody_can_delete_is_never_in_use(customers: Path) -> None:
    kept = Target(name="customer", plural="customers", entity="Customer", deleted=False)
    refer(referring(target=kept), customers)
    new = texts(customers)
    assert INDEX in new[TABLE]
    assert "InUse" not in "".join(new.values())


def test_it_is_forgotten_with_the_last_that_referred_to_it(customers: Path) -> None:
    old = texts(customers)
    line = "[customers.c.workspace_id, customers.c.id]\n"
    write(customers, "src/adapters/postgres/invoices.py", line)
    refer(referring(), customers)
    orders = resolved(
        read(name="receipt", fields=f"{TITLE} customer:ref(customer)"), {"customer": CUSTOMER}, {}
    )
    write(customers, "src/adapters/postgres/receipts.py", line)
    refer(orders, customers)

    (customers / "src/adapters/postgres/receipts.py").unlink()
    forget("receipts", customers)
    left = texts(customers)
    assert "fk_receipts" not in left[TABLE]
    assert '"fk_invoices_workspace_id_customer_id_customers": CustomerInUse' in left[TABLE]
    assert INDEX in left[TABLE]
    assert "CustomerInUse)" in left[ROUTES]

    (customers / "src/adapters/postgres/invoices.py").unlink()
    forget("invoices", customers)
    imports = ("from sqlalchemy", "from domain")  # which `ruff` takes out again

    def without_imports(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith(imports)]

    assert {name: without_imports(text) for name, text in texts(customers).items()} == {
        name: without_imports(text) for name, text in old.items()
    }


# ── its migration ────────────────────────────────────────────────────────────────────────────────


def an_index(name: str, *columns: str, unique: bool) -> CreateIndexOp:
    return CreateIndexOp(name, "customers", columns, unique=unique)


def changing(*operations: MigrateOperation) -> ModifyTableOps:
    return ModifyTableOps("customers", operations)


def told(operations: list[MigrateOperation]) -> list[str]:
    def name(each: MigrateOperation) -> str:
        if isinstance(each, ConcurrentIndexOp):
            return f"{type(each.inner).__name__} {each.inner.index_name}"
        return type(each).__name__

    return [name(each) for each in operations]


DROPPED: Callable[[CreateIndexOp], MigrateOperation] = lambda made: made.reverse()  # noqa: E731


def test_a_unique_index_is_there_before_the_table_that_refers_to_it() -> None:
    made = made_concurrently(
        [
            CreateTableOp("invoices", [Column("id", Uuid)]),
            changing(
                an_index("plain", "name", unique=False), an_index("key", "workspace_id", "id", unique=True)
            ),
        ]
    )
    assert told(made) == ["CreateIndexOp key", "CreateTableOp", "CreateIndexOp plain"]
    assert isinstance(made[0], ConcurrentIndexOp)
    assert isinstance(made[0].inner, CreateIndexOp)
    assert made[0].inner.if_not_exists  # when what follows failed, and is tried again
    assert told([each.reverse() for each in reversed(made)]) == [
        "DropIndexOp plain",
        "DropTableOp",
        "DropIndexOp key",
    ]


def test_and_goes_after_it() -> None:
    plain, key = an_index("plain", "name", unique=False), an_index("key", "workspace_id", "id", unique=True)
    dropped = made_concurrently([changing(DROPPED(key), DROPPED(plain))], [DropTableOp("invoices")])
    assert told(dropped) == ["DropIndexOp plain", "DropTableOp", "DropIndexOp key"]


def test_one_on_a_new_column_is_made_when_that_is_there() -> None:
    made = made_concurrently(
        [changing(AddColumnOp("customers", Column("number", Uuid)), an_index("key", "number", unique=True))]
    )
    assert told(made) == ["ModifyTableOps", "CreateIndexOp key"]


def test_a_drop_alone_is_one() -> None:
    assert isinstance(DROPPED(an_index("plain", "name", unique=False)), DropIndexOp)
