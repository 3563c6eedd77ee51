"""`make field`: what it adds is what the templates would have written at once, in files that people have changed.

That what it writes passes every check and every test is seen by `make test-fork`.
"""

import ast
import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path

import asyncpg
import pytest
from builder import field as command
from builder import suites
from builder.__main__ import git, sources
from builder.field import Change, changed, main, resource_named, tidied
from builder.inferred import inferred
from builder.lists import add_to_lists
from builder.spec import Refused, Target, read, resolved

from entrypoints.kernel.service import ROOT

type NewDatabase = Callable[..., Awaitable[str]]

PERMISSIONS = "src/application/permissions.py"
DOMAIN, COMMANDS = "src/domain/invoices.py", "src/application/commands/invoices.py"
TABLE, ROUTES = "src/adapters/postgres/invoices.py", "src/entrypoints/http/v1/invoices.py"
VIEWS, FACTS = "src/application/queries/invoices.py", "tests/resources/invoices.py"
OF_DOMAIN, OF_HTTP = "tests/domain/test_invoices.py", "tests/entrypoints/http/v1/test_invoices.py"

REQUIRED = (
    "code:slug!unique!sort!filter title:str(40)!unique!sort!filter!search body:text!search mail:email!unique "
    "home:url size:int(-1..10)!sort!filter weight:decimal(8,3)!sort!filter cost:money!filter done:bool!filter "
    "day:date!sort starts_at:datetime!filter kind:enum(a,b)!filter extra:json tags:list(str)"
)
OTHERS = (
    "backup:email? page:url?!unique share:decimal(3,2)?!filter fee:money=1.50!sort!filter active:bool=true!sort "
    "maybe:bool? due_on:date?!filter ends_at:datetime?!filter state:enum(open,closed)=open!filter grade:enum(a,b)? "
    "more:json? words:list(str)? note:text?!search nick:str(12)=x!search level:int(-3..3)=-1!filter alias:slug?"
)
SMALL, ADDED = "number:str(40)!unique total:money", "paid_at:datetime?!filter status:enum(draft,sent)=draft"


REGION = Target(name="region", plural="regions", entity="Region", deleted=False)
CUSTOMER = Target(name="customer", plural="customers", entity="Customer", needs=(("region_id", REGION),))
KNOWN = {"region": REGION, "customer": CUSTOMER}


@cache
def referred_to() -> Mapping[str, str]:
    """The files of what the references of these tests are to."""
    region = read(name="region", fields="title:str(9)", can="create,get")
    customer = read(name="customer", fields="title:str(9) region:ref(region)")
    return sources(region) | sources(resolved(customer, KNOWN, {}))


@cache
def tree(fields: str, can: str = "") -> Mapping[str, str]:
    """The files of a resource, as `make resource` writes them."""
    it = resolved(read(name="invoice", fields=fields, can=can), KNOWN, {})
    texts = tidied(sources(it) | {FACTS: suites.facts(it, "abc")}, ROOT)
    return texts | {PERMISSIONS: 'WRITE_INVOICES = Permission("invoices:write", MEMBERS)\n'}


def added(files: Mapping[str, str], add: str) -> dict[str, str]:
    there = {**referred_to(), **files}
    change = Change("invoices", add, there.get, lambda it: resolved(it, KNOWN, {}))
    return changed(change, there.get, ROOT)


def comparable(texts: Mapping[str, str]) -> dict[str, str]:
    """Without what a column that is added has, and one that was there from the beginning has not."""
    table = re.sub(r', server_default="[^"]*"', "", texts[TABLE])
    facts = re.sub(r"FILLINGS = \{.*?\n\}\n", "", texts[FACTS], flags=re.DOTALL)
    return {**texts, **tidied({TABLE: table}, ROOT), FACTS: facts}


def compared(found: Mapping[str, str], fields: str, can: str = "") -> None:
    wanted, found = comparable(tree(fields, can)), comparable(found)
    for name, text in found.items():
        assert text == wanted[name], name


# ── what is read from the code ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [
        {"fields": f"{REQUIRED} {OTHERS}", "role": "admin"},
        {"fields": f"note:text?!search {SMALL} flag:bool=false!sort", "sort": "total", "search": "number"},
        {"fields": "amount:int(-5..5)", "can": "create,get", "role": "owner"},
    ],
    ids=["all", "mixed", "few"],
)
def test_a_resource_is_read_from_its_code(options: dict[str, str]) -> None:
    it = read(name="purchase_order", **options)
    group = {"member": "MEMBERS", "admin": "ADMINS", "owner": "OWNERS"}[it.role]
    permission = f'WRITE_PURCHASE_ORDERS = Permission("purchase_orders:write", {group})'
    texts = sources(it) | {PERMISSIONS: permission}
    found = inferred("purchase_orders", texts.__getitem__)
    assert {each.name: each for each in found.resource.fields} == {each.name: each for each in it.fields}
    assert (found.resource.name, found.resource.verbs, found.resource.role) == (it.name, it.verbs, it.role)
    assert sources(found.resource) == sources(it)
    assert found.there >= {each.name for each in it.fields}


def test_references_are_read_with_what_they_need() -> None:
    asked = {
        "regions": read(name="region", fields="title:str(9)", can="create,get"),
        "customers": read(name="customer", fields="title:str(9) region:ref(region) near:ref(region)?"),
        "invoices": read(
            name="invoice",
            fields="payer:ref(customer)?!filter title:str(9) customer:ref(customer)!filter region:ref(region)",
        ),
    }
    its = {plural: resolved(it, KNOWN, {}) for plural, it in asked.items()}
    texts = {name: text for it in its.values() for name, text in sources(it).items()} | {PERMISSIONS: ""}
    for plural, it in its.items():
        found = inferred(plural, texts.__getitem__).resource
        assert {each.name: each for each in found.fields} == {each.name: each for each in it.fields}
        assert sources(found) == sources(it)
        assert suites.facts(found, "1") == suites.facts(it, "1")


def test_a_reference_to_itself_that_was_written_by_hand_is_read_to_an_end() -> None:
    texts = dict(sources(read(name="invoice", fields="title:str(9)"))) | {PERMISSIONS: ""}
    for name, before, after in (
        (
            DOMAIN,
            "    title: str\n    created_by",
            "    title: str\n    parent_id: InvoiceId\n    created_by",
        ),
        (
            TABLE,
            '    Index(None, "created_by"),\n',
            '    Column("parent_id", Uuid, nullable=False),\n    ForeignKeyConstraint(["workspace_id", '
            '"parent_id"], ["invoices.c.workspace_id", invoices.c.id]),\n    Index(None, "created_by"),\n',
        ),
    ):
        assert before in texts[name]
        texts[name] = texts[name].replace(before, after, 1)
    found = inferred("invoices", texts.__getitem__).resource
    assert [each.name for each in found.fields] == ["title", "parent_id"]


def test_a_reference_that_is_written_in_another_way_is_left_alone() -> None:
    it = resolved(
        read(name="invoice", fields="title:str(9) customer:ref(customer)"),
        {"customer": Target(name="customer", plural="customers", entity="Customer")},
        {},
    )
    texts = sources(it) | {PERMISSIONS: ""}

    def there(name: str) -> str:
        if name not in texts:
            raise Refused(f"There is no {name}.")
        return texts[name]

    assert [each.name for each in inferred("invoices", there).resource.fields] == ["title"]


# ── what is written ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "add", "can"),
    [
        (SMALL, ADDED, ""),
        (REQUIRED, OTHERS, ""),
        ("note:text?!search title:str(9)!search", "nick:str(12)=x!search!sort backup:email?", ""),
        ("title:str(80)", OTHERS, ""),
        ("amount:int(-5..5)", "paid:bool=false seen_on:date? handle:slug?!unique", "create,get"),
        (SMALL, "customer:ref(customer)?!filter", ""),
        (f"{SMALL} customer:ref(customer)", "paid_at:date? payer:ref(customer)? region:ref(region)?", ""),
        (SMALL, "customer:ref(customer)?", "create,get"),
    ],
    ids=["small", "all", "search", "many", "few", "reference", "references", "reference without a list"],
)
def test_what_is_added_is_what_would_have_been_written_at_once(fields: str, add: str, can: str) -> None:
    compared(added(tree(fields, can), add), f"{fields} {add}", can)


def test_one_is_added_after_another() -> None:
    files = {**tree(SMALL), **added(tree(SMALL), ADDED)}
    table = 'text("status", server_default="draft")'
    assert files[TABLE].count(table) == 1
    files |= added(files, "note:text? rank:int(1..9)=3!sort")
    assert files[TABLE].count(table) == 1
    compared(files, f"{SMALL} {ADDED} note:text? rank:int(1..9)=3!sort")


def test_what_filled_the_table_before_fills_it_still() -> None:
    found = added(tree("title:str(80)"), OTHERS)[FACTS]
    filling = re.search(r"FILLINGS = \{.*?\n\}\n", tree("title:str(80)")[FACTS], re.DOTALL)
    assert filling is not None
    assert filling[0] in found


def test_a_column_has_what_the_release_before_does_not_write() -> None:
    text = added(tree("title:str(80)"), OTHERS)[TABLE]
    columns = re.findall(r'^    \w+\("(\w+)".*server_default="(.*)"\),$', text, re.MULTILINE)
    assert dict(columns) == {
        "fee": "1.50", "active": "true", "state": "open", "words": "{}", "note": "", "nick": "x", "level": "-1",
    }  # fmt: skip


RULE = """
    def cancel(self, *, by: UserId, at: datetime) -> Self:
        \"\"\"Only what is not paid.\"\"\"
        return self.delete(by=by, at=at)
"""
BY_HAND = {
    "methods, rules and words": [
        (DOMAIN, "\n    def delete(self", f"{RULE}\n    def delete(self"),
        (DOMAIN, "most=NUMBER_MOST)", "most=NUMBER_MOST).upper()"),
        (DOMAIN, "NUMBER_MOST = 40", "NUMBER_MOST = 25  # as in the ledger"),
        (DOMAIN, "absent stays, and", "absent stays as it was, and"),
        (DOMAIN, "    sent_on: date | None = None\n    created_by", "    # by post\n    sent_on: date | None = None\n    created_by"),
        (COMMANDS, "    edited = invoice.edit(", "    if actor.user_id != invoice.created_by:\n        raise InvoiceNotFound\n    edited = invoice.edit("),
        (TABLE, '    Index(None, "created_by"),\n', '    Index(None, "created_by"),\n    Index("ix_invoices_total", "total"),\n'),
        (ROUTES, '@router.get("/invoices/{invoice_id}")', '@router.get("/invoices/{invoice_id}", deprecated=True)'),
        (OF_DOMAIN, "\ndef test_everything_can", "\ndef test_of_our_own() -> None:\n    assert MADE\n\n\ndef test_everything_can"),
    ],
    "the line before": [
        (DOMAIN, "    sent_on: date | None = None\n    created_by", "    sent_on: date | None = None  # by post\n    created_by"),
        (DOMAIN, "from datetime import date, datetime\n", "from datetime import date, datetime, timedelta\n"),
        (DOMAIN, "NUMBER_MOST = 40\n", "NUMBER_MOST = 40\nDUE = timedelta(days=14)\n"),
        (VIEWS, "class InvoiceFilter:", "class InvoiceFilter:  # asked for by the ledger"),
    ],
    "the line behind": [
        (DOMAIN, "    created_by: UserId\n    created_at", "    # standing\n    created_by: UserId  # once\n    created_at"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("change", BY_HAND)
def test_what_was_changed_by_hand_stays(change: str) -> None:
    """The files are those that would have been written at once, with the same change by hand."""
    fields = f"{SMALL} sent_on:date?!filter"
    files, wanted = dict(tree(fields)), dict(tree(f"{fields} {ADDED}"))
    for name, before, after in BY_HAND[change]:
        assert files[name].count(before) == 1, before
        files[name] = files[name].replace(before, after)
        at_once, by_hand = (AT_ONCE.sub(AND_THESE, text) for text in (before, after))
        assert wanted[name].count(at_once) == 1, at_once
        wanted[name] = wanted[name].replace(at_once, by_hand)
    found = comparable(added(files, ADDED))
    for name, text in found.items():
        assert text == comparable(wanted)[name], name


AT_ONCE = re.compile(r"(    sent_on: date \| None = None.*\n)(?=    created_by)")
AND_THESE = r"\1    paid_at: datetime | None = None\n    status: InvoiceStatus = InvoiceStatus.DRAFT\n"
"""In the entity the fields that are added stand between these."""


def test_words_of_somebodys_own_stay() -> None:
    said = "What of an invoice can be edited; what is absent stays."
    files = {name: text.replace(said, "What an accountant can mend.") for name, text in tree(SMALL).items()}
    found = added(files, ADDED)[DOMAIN]
    assert found.count("What an accountant can mend.") == 1
    assert "    paid_at: datetime | None\n" in found


def test_what_was_put_in_another_order_stays_there() -> None:
    files = dict(tree(SMALL))
    create, edit = (re.search(rf"    (@classmethod\n    )?def {name}\(.*?(?=\n\n|\Z)", files[DOMAIN], re.DOTALL) for name in ("create", "edit"))  # fmt: skip
    assert create is not None
    assert edit is not None
    moved = files[DOMAIN].replace(f"{create[0]}\n\n{edit[0]}", f"{edit[0]}\n\n{create[0]}")
    changes = re.search(r"class InvoiceChanges.*?\n\n\n", moved, re.DOTALL)
    assert changes is not None
    files[DOMAIN] = f"{moved.replace(changes[0], '')}\n\n{changes[0].rstrip()}\n"
    found = added(files, ADDED)[DOMAIN]
    names = [each.name for each in ast.parse(found).body if isinstance(each, ast.ClassDef)]
    assert names[-2:] == ["Invoice", "InvoiceChanges"]
    assert found.index("def edit") < found.index("def create")
    assert sorted(found.split()) == sorted(tree(f"{SMALL} {ADDED}")[DOMAIN].split())


COLUMN = '    Column("customer_id", Uuid, nullable=True),\n'
REFERENCE = [
    (DOMAIN, "\n    total: Decimal\n    created_by", "\n    total: Decimal\n    customer_id: UUID | None = None\n    created_by"),
    (DOMAIN, "\n    total: Decimal\n\n", "\n    total: Decimal\n    customer_id: UUID | None\n\n"),
    (DOMAIN, "        total: Decimal,\n", "        total: Decimal,\n        customer_id: UUID | None = None,\n"),
    (DOMAIN, "            total=total,\n", "            total=total,\n            customer_id=customer_id,\n"),
    (TABLE, '    money("total"),\n', f'    money("total"),\n{COLUMN}'),
    (FACTS, "    total: Decimal = Decimal(\"1.05\"),\n", "    total: Decimal = Decimal(\"1.05\"),\n    customer_id: UUID | None = None,\n"),
    (FACTS, "        total=total,\n", "        total=total,\n        customer_id=customer_id,\n"),
    (FACTS, "(id, workspace_id, number, total, created_by", "(id, workspace_id, number, total, customer_id, created_by"),
    (FACTS, "               (n / 2 * 7919 % 5000),\n", "               (n / 2 * 7919 % 5000),\n               NULL,\n"),
]  # fmt: skip


def test_what_the_templates_do_not_know_stays_beside_it() -> None:
    """A column that was written by hand, in the very places where another is to be added."""
    files, wanted = dict(tree(SMALL)), dict(tree(f"{SMALL} {ADDED}"))
    for name, before, after in REFERENCE:
        assert before in files[name]
        files[name] = files[name].replace(before, after)
    found = added(files, ADDED)
    for name in (DOMAIN, TABLE, FACTS):
        plain, fields = comparable(wanted)[name], re.compile(r"customer_id|\(id, workspace_id|^ {13}|NULL")
        lines = [line for line in comparable(found)[name].splitlines() if not fields.search(line)]
        assert lines == [line for line in plain.splitlines() if not fields.search(line)]
        assert found[name].count("customer_id") == files[name].count("customer_id")
    columns = "(id, workspace_id, number, total, customer_id, paid_at, status, created_by, created_at,"
    assert columns in " ".join(found[FACTS].partition("\nFILL =")[2].split())


# ── what is for a person ─────────────────────────────────────────────────────────────────────────

PLACES = {
    "the entity": (
        [(DOMAIN, "    total: Decimal\n    created_by: UserId\n    created_at", "    total: Decimal  # gross\n    created_by: UserId | None\n    created_at")],
        DOMAIN, "Invoice", "@dataclass", ["+    paid_at: datetime | None = None", "+    status: InvoiceStatus = InvoiceStatus.DRAFT"],
    ),
    "the table": (
        [(TABLE, '    money("total"),\n    Column("created_by", Uuid, ', '    money("total", nullable=False),\n    Column("created_by", UUID, ')],
        TABLE, "invoices", "invoices = Table(", ['+    text("status", server_default="draft"),'],
    ),
    "the creation": (
        [(COMMANDS, "            number=number,\n            total=total,\n            by=actor.user_id,\n", "            **about(number, total, actor),\n")],
        COMMANDS, "create_invoice", "async def create_invoice", ["+            paid_at=paid_at,"],
    ),
    "a class of another name": (
        [(DOMAIN, "InvoiceChanges", "Changes"), (COMMANDS, "InvoiceChanges", "Changes")],
        DOMAIN, "InvoiceChanges", None, ["+    paid_at: datetime | None"],
    ),
    "a test": (
        [(OF_HTTP, '    "number": "First number",\n    "total": "1.05",\n}', "    **ABOUT\n}"), (OF_HTTP, "FULL: dict", "ABOUT: dict[str, Any] = {}\nFULL: dict")],
        OF_HTTP, "FULL", "FULL: dict", ['+    "paid_at": "2026-11-30T18:00:00.000005+01:00",'],
    ),
    "a name that is taken": (
        [(DOMAIN, "NUMBER_MOST = 40", "InvoiceStatus = int\nNUMBER_MOST = 40")],
        DOMAIN, "InvoiceStatus", "InvoiceStatus = int", ['+    DRAFT = "draft"'],
    ),
}  # fmt: skip


def rewritten(what: str) -> dict[str, str]:
    files = dict(tree(SMALL))
    for name, before, after in PLACES[what][0]:
        assert before in files[name]
        files[name] = files[name].replace(before, after)
        ast.parse(files[name])
    return files


@pytest.mark.parametrize("what", PLACES)
def test_a_place_that_was_rewritten_is_told_with_the_lines_to_add(what: str) -> None:
    files = rewritten(what)
    with pytest.raises(Refused) as refused:
        added(files, ADDED)
    _, name, definition, begins, lines = PLACES[what]
    said = str(refused.value)
    assert said.startswith("Nothing was written, since these places were rewritten by hand.")
    for line in lines:
        assert f"    {line}" in said.splitlines()
    if begins is None:
        assert f"{name} (there is none by this name), {definition}:" in said
    else:
        at = re.search(rf"{name}:(\d+), {definition}:\n", said)
        assert at is not None
        assert files[name].splitlines()[int(at[1]) - 1].startswith(begins)


def test_what_somebody_has_written_by_hand_is_not_written_again() -> None:
    files = rewritten("the creation")
    with pytest.raises(Refused) as refused:
        added(files, ADDED)
    assert re.findall(r"\S+\.py", str(refused.value)) == [COMMANDS]
    by_hand = "            **about(number, total, actor),\n"
    files[COMMANDS] = files[COMMANDS].replace(
        by_hand, f"            paid_at=paid_at,\n            status=status,\n{by_hand}"
    )
    found = added(files, ADDED)
    assert found[COMMANDS].count("paid_at=paid_at") == found[COMMANDS].count("status=status") == 1
    assert "    paid_at: datetime | None = None,\n" in found[COMMANDS]
    assert found[DOMAIN] == tree(f"{SMALL} {ADDED}")[DOMAIN]


def test_a_field_that_is_in_the_entity_and_the_table_is_added_everywhere_else() -> None:
    files = rewritten("the entity")
    by_hand = "    paid_at: datetime | None = None\n    status: InvoiceStatus = InvoiceStatus.DRAFT\n"
    gross = "    total: Decimal  # gross\n"
    files[DOMAIN] = files[DOMAIN].replace(gross, f"{gross}{by_hand}")
    columns = '    instant("paid_at", nullable=True),\n    text("status", server_default="draft"),\n'
    files[TABLE] = files[TABLE].replace('    money("total"),\n', f'    money("total"),\n{columns}')
    found, wanted = added(files, ADDED), tree(f"{SMALL} {ADDED}")
    assert found[DOMAIN].replace("  # gross", "").replace("by: UserId | None", "by: UserId") == wanted[DOMAIN]
    assert sorted(comparable(found)[TABLE]) == sorted(wanted[TABLE])


def test_lists_in_another_order_are_no_hindrance() -> None:
    files = dict(tree("number:str(40)!sort total:money!sort"))
    keys = '"created_at", "number", "total"'
    assert keys in files[VIEWS]
    files[VIEWS] = files[VIEWS].replace(keys, '"created_at", "total", "number"')
    assert "paid_at: datetime | None" in added(files, ADDED)[VIEWS]


def test_a_module_is_imported_beside_imports_of_somebodys_own() -> None:
    files = dict(tree(SMALL))
    files[DOMAIN] = files[DOMAIN].replace("import datetime\n", "import datetime, timedelta\n", 1)
    found = added(files, "code:slug?")[DOMAIN]
    assert found.count("import re\n") == 1
    files[DOMAIN] = files[DOMAIN].replace("from dataclasses", "import re\nfrom dataclasses", 1)
    files[DOMAIN] = files[DOMAIN].replace("NUMBER_MOST = 40\n", "NUMBER_MOST = 40\nFORM = re.compile('x')\n")
    assert added(files, "code:slug?")[DOMAIN].count("import re\n") == 1


def test_tests_that_were_deleted_stay_deleted() -> None:
    small = tree(f"{SMALL} sent_on:date?!filter")
    files = {name: text for name, text in small.items() if name != OF_DOMAIN}
    files[OF_HTTP] = re.sub(r"@pytest.mark.parametrize.*\Z", "", files[OF_HTTP], flags=re.DOTALL)
    found = added(files, "paid_at:datetime?!filter")
    assert OF_DOMAIN not in found
    assert '"paid_at"' in found[OF_HTTP]
    assert "test_a_filter_lets" not in found[OF_HTTP]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

REFUSED = [
    ("", 'Say which field: make field resource=invoice add="paid_at:datetime?"'),
    ("paid_at", "paid_at is no field: write it like"),
    ("paid_at:when?", "when is no type. There is:"),
    ("total:money=1", "invoices have a field total already: choose another name."),
    ("created_at:datetime?", "Every resource has the field created_at already"),
    ("paid_at:datetime? paid_at:date?", "paid_at is asked for twice"),
    ("paid_at:datetime", "paid_at: the rows that are there have none."),
    ("note:text", "note: the rows that are there have none."),
    ("code:slug!unique", "code: the rows that are there have none."),
    ("code:str(9)=x!unique", "code: what is unique has no default"),
    ("customer:ref(customer)", "customer: the rows that are there have none."),
    ("due_on:date?!sort", "due_on: a date that may be left out, or of this type, sorts no list"),
    ("status:enum(draft,sent)=paid", "status: 'paid' is no value of it."),
    ("size_most:bool?!filter", "Two filters would be called size_most: rename a field."),
    ("view:enum(one,two)?", "InvoiceView is a class of every resource: rename view."),
]


@pytest.mark.parametrize(("add", "said"), REFUSED)
def test_what_cannot_be_added_is_refused_with_its_remedy(add: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        Change("invoices", add, tree(f"{SMALL} size:int(1..9)!filter").get)
    assert said in str(refused.value)


def test_a_list_that_is_not_there_has_no_order_and_no_filter() -> None:
    with pytest.raises(Refused, match="paid_at: invoices have no list: leave !filter out"):
        Change("invoices", "paid_at:datetime?!filter", tree(SMALL, "create,get").get)


@pytest.mark.parametrize("gone", [DOMAIN, TABLE, ROUTES, PERMISSIONS, FACTS])
def test_a_resource_without_one_of_its_files_is_refused(gone: str) -> None:
    files = {name: text for name, text in tree(SMALL).items() if name != gone}
    with pytest.raises(Refused, match=f"There is no {gone}"):
        added(files, ADDED)


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        (DOMAIN, "(Aggregate)", "(Thing)", f"{DOMAIN} has no entity"),
        (TABLE, '    "invoices",\n', '    "bills",\n', f"{TABLE} has no table invoices"),
        (DOMAIN, "class Invoice", "class (Invoice", f"{DOMAIN} cannot be read"),
        (OF_HTTP, "LEAST: dict", "LEAST dict", f"{OF_HTTP} cannot be read"),
    ],
)
def test_what_is_no_resource_is_refused(name: str, before: str, after: str, said: str) -> None:
    assert before in tree(SMALL)[name]
    with pytest.raises(Refused, match=said):
        added({**tree(SMALL), name: tree(SMALL)[name].replace(before, after)}, ADDED)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "Say which: make field resource=invoice"),
        ("bill", "There is no resource bill. There is: invoices."),
        ("user", "user is of the kernel, which upstream changes."),
        ("memberships", "memberships is of the kernel, which upstream changes."),
    ],
)
def test_a_resource_that_is_not_the_services_own_is_refused(name: str, said: str, fork: Path) -> None:
    with pytest.raises(Refused) as refused:
        resource_named(name, fork)
    assert str(refused.value).startswith(said)
    assert resource_named("invoice", fork) == resource_named("invoices", fork) == "invoices"


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """A repository with a resource."""
    folder = tmp_path / "fork"
    files = rewritten("the creation")
    kernel = {f"src/domain/kernel/{name}.py": "" for name in ("users", "memberships")}
    for name, text in (files | kernel | {"pyproject.toml": (ROOT / "pyproject.toml").read_text()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git("init", "--quiet", cwd=folder)
    committed(folder)
    return folder


def committed(folder: Path) -> None:
    git("add", "--all", cwd=folder)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    git(*who, "commit", "--quiet", "--allow-empty", "-m", "As it is", cwd=folder)


def test_a_tree_that_has_changes_or_was_rewritten_stays_as_it_is(
    fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", fork)
    assert main(["--resource", "invoice", "--add", ADDED]) == 2
    assert "+            paid_at=paid_at," in capsys.readouterr().out
    assert git("status", "--porcelain", cwd=fork) == ""

    (fork / DOMAIN).write_text((fork / DOMAIN).read_text() + "\n\nX = 1\n")
    assert main(["--resource", "invoice", "--add", ADDED]) == 2
    assert "There are changes that are not committed" in capsys.readouterr().out
    assert git("status", "--porcelain", cwd=fork) == f" M {DOMAIN}\n"


# ── on a database with rows ──────────────────────────────────────────────────────────────────────

PEOPLE = """
    INSERT INTO users (id, email, display_name, created_at, version)
    SELECT gen_random_uuid(), 'weaver-' || n || '@example.com', 'Weaver', now(), 1 FROM generate_series(1, 20) AS n;
    INSERT INTO workspaces (id, name, slug, created_at, version)
    VALUES (gen_random_uuid(), 'Looms', 'looms', now(), 1);
    INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
    SELECT gen_random_uuid(), workspaces.id, users.id, 'member', now(), 1 FROM users, workspaces
"""


async def test_the_release_before_works_on_the_rows_of_the_one_after(
    new_database: NewDatabase, migrated_database: str, tmp_path: Path
) -> None:
    """Its inserts do not name the columns that are new; what it has written stays, on the way up and back."""
    url = await new_database(migrated_database)
    for name in ("src", "scripts", "pyproject.toml"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, tmp_path / name)
    files = dict(tree(f"{SMALL} remark:text?!search"))
    written(tmp_path, files, without=PERMISSIONS)
    add_to_lists(read(name="invoice", fields=SMALL), tmp_path)
    await asyncio.to_thread(run, tmp_path, url, "-m", "entrypoints.cli", "migration", "add invoices")
    connection = await asyncpg.connect(url)
    await connection.execute(PEOPLE)
    filling = re.search(r'FILLINGS = {\n    "\w+": """(.*?)"""', files[FACTS], re.DOTALL)
    assert filling is not None
    await connection.execute(filling[1])
    before = await connection.fetch("SELECT * FROM invoices ORDER BY id")
    known = {*(tmp_path / APP).glob("*.py")}

    add = f"{OTHERS} {ADDED} label:str(9)?!unique"
    written(tmp_path, added(files, add))
    # It goes up, down, and up again.
    await asyncio.to_thread(run, tmp_path, url, "-m", "entrypoints.cli", "migration", "add fields")
    await asyncio.to_thread(run, tmp_path, url, "scripts/lint_migrations.py")
    await asyncio.to_thread(run, tmp_path, url, "-m", "entrypoints.cli", "check-migrations")

    assert len({*(tmp_path / APP).glob("*.py")} - known) == 3
    old = ", ".join(before[0].keys())
    assert await connection.fetch(f"SELECT {old} FROM invoices ORDER BY id") == before  # noqa: S608 (of columns)
    await connection.execute(filling[1].replace("'Number '", "'Later '"))
    rows = await connection.fetch("SELECT * FROM invoices")
    assert len(rows) == 2 * len(before) == 40
    wanted = {"state": "open", "level": -1, "active": True, "note": "", "words": [], "status": "draft"}
    wanted |= {"fee": Decimal("1.50"), "nick": "x", "paid_at": None, "page": None, "label": None}
    assert all({name: row[name] for name in wanted} == wanted for row in rows)
    for wrong in ("status = 'gone'", "level = 9", "nick = ''", "label = 'one'"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(f"UPDATE invoices SET {wrong}")  # noqa: S608 (of this test)
    await connection.close()


APP = "src/adapters/postgres/migrations/app"


def written(folder: Path, files: Mapping[str, str], *, without: str = "") -> None:
    for name, text in files.items():
        if name != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def run(folder: Path, url: str, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
