"""`make resource`: what it refuses, and where it puts lines into files that a service has changed by hand.

That what it writes passes every check and every test is seen by `make test-fork`, with every type.
"""

import ast
import subprocess
from pathlib import Path

import pytest
from builder.__main__ import asked, main
from builder.lists import NoPlace, add_to_lists
from builder.spec import Refused, Resource, ensure_free, plural_of, read

from entrypoints.kernel.service import ROOT

TITLE = "title:str(40)"

REFUSED = [
    # names
    ({"name": "class"}, "class is a word of Python"),
    ({"name": "order"}, "order is a word of SQL"),
    ({"name": "user"}, "user is a word of SQL"),
    ({"name": "Invoice2"}, "'Invoice2' is no name of a resource"),
    ({"name": "café"}, "'café' is no name of a resource"),
    ({"name": "2nd"}, "is no name of a resource"),
    ({"name": "a__b"}, "is no name of a resource"),
    ({"name": ""}, "is no name of a resource"),
    ({"name": "x" * 60}, "at most 40 characters"),
    ({"name": "series"}, "series is its own plural, and both need a name: say plural=series_list."),
    ({"name": "invoice", "plural": "Invoices"}, "is no name of the plural of a resource"),
    ({"name": "date"}, "date is a word of Python"),
    ({"name": "page"}, "page is a name of the house's own, Page: choose one like sales_page."),
    ({"name": "team"}, "team is a name of the house's own, Team"),
    ({"name": "datum", "plural": "metadata"}, "datum is a name of the house's own"),
    ({"name": "x" * 36}, "is longer than the 63 characters of a name in PostgreSQL: shorten it."),
    # fields
    ({"fields": ""}, 'It needs a field at least: fields="title:str(80)".'),
    ({"fields": "title"}, "title is no field: write it like"),
    ({"fields": "title:str(40)x"}, "title:str(40)x is no field"),
    ({"fields": "Title:str(40)"}, "'Title' is no name of a field"),
    ({"fields": f"{TITLE} title:text"}, "title is asked for twice"),
    ({"fields": f"{TITLE} created_at:date"}, "has the field created_at already"),
    ({"fields": f"{TITLE} invoice_id:text"}, "has the field invoice_id already"),
    ({"fields": f"{TITLE} cursor:text"}, "cursor is a parameter of every list, or a function"),
    ({"fields": f"{TITLE} by:text"}, "by is a parameter"),
    ({"fields": f"{TITLE} edit:bool"}, "edit is a parameter of every list, or a function"),
    ({"fields": f"{TITLE} use_case:text"}, "use_case is a parameter"),
    ({"fields": f"{TITLE} email_address:email"}, "email_address is a parameter of every list, or a function"),
    ({"fields": f"{TITLE} {'y' * 40}:text"}, "is longer than the 63 characters"),
    ({"fields": f"{TITLE} view:enum(one,two)"}, "InvoiceView is a class of every resource: rename view."),
    (
        {"fields": f"{TITLE} size:int(1..9)!filter size_most:bool!filter"},
        "Two filters would be called size_most",
    ),
    ({"fields": f"{TITLE} note:text=none"}, "note: a text has no default."),
    ({"fields": f"{TITLE} date:date"}, "date is a word of Python"),
    ({"fields": f"{TITLE} limit:date"}, "limit is a word of SQL"),
    ({"fields": f"{TITLE} user:text"}, "user is a word of SQL"),
    # types
    ({"fields": "title:varchar(40)"}, "varchar is no type. There is: str(n), text, email,"),
    (
        {"fields": f"{TITLE} customer_id:ref(customer)"},
        "customer_id: write customer:ref(customer), its column",
    ),
    ({"fields": f"{TITLE} customer:ref"}, "customer: write its type as ref(x)."),
    ({"fields": f"{TITLE} customer:ref()"}, "'' is no name of a resource"),
    ({"fields": f"{TITLE} customer:ref(Customer)"}, "'Customer' is no name of a resource"),
    (
        {"fields": f"{TITLE} workspace:ref(customer)"},
        "workspace_id: a resource cannot refer to its workspace",
    ),
    ({"fields": f"{TITLE} invoice:ref(customer)"}, "invoice_id: a resource cannot refer to its workspace"),
    ({"fields": f"{TITLE} parent:ref(invoice)?"}, "parent_id: a resource cannot refer to its workspace"),
    ({"fields": "title:str"}, "title: write its type as str(n)."),
    ({"fields": "title:text(40)"}, "title: write its type as text."),
    ({"fields": "title:str(0)"}, "title: a str has 1 to 10,000 characters at most"),
    ({"fields": "title:str(x)"}, "title: a str has 1 to 10,000 characters at most"),
    ({"fields": "size:int(5..1)"}, "size: an int has 32 bits, and its least comes first"),
    ({"fields": "size:int(1..9999999999)"}, "size: an int has 32 bits"),
    ({"fields": "size:int(1)"}, "size: an int has 32 bits"),
    ({"fields": "weight:decimal(3,3)"}, "weight: a decimal has up to 38 digits"),
    ({"fields": "weight:decimal(12,7)"}, "weight: a decimal has up to 38 digits"),
    ({"fields": "state:enum(open)"}, "state: an enum has two values at least"),
    ({"fields": "state:enum(open,open)"}, "state: an enum has two values at least"),
    ({"fields": "state:enum(open,Closed)"}, "'Closed' is no name of a value of state"),
    ({"fields": "state:enum(open,class)"}, "class is a word of Python"),
    ({"fields": "tags:list(int)"}, "tags: there are lists of texts alone, list(str)"),
    # defaults and modifiers
    ({"fields": f"{TITLE} state:enum(open,closed)=shut"}, "state: 'shut' is no value of it. There is: open,"),
    ({"fields": f"{TITLE} done:bool=maybe"}, "done: 'maybe' is no value of it. Write true or false."),
    ({"fields": f"{TITLE} size:int(1..9)=10"}, "size: '10' is no value of it. Write a number from 1 to 9."),
    ({"fields": f"{TITLE} fee:money=1.005"}, "fee: '1.005' is no value of it."),
    ({"fields": f"{TITLE} fee:money=much"}, "fee: 'much' is no value of it."),
    ({"fields": f"{TITLE} due:date=today"}, "due: a date has no default."),
    ({"fields": f"{TITLE} size:int(1..9)?=3"}, "it has a default or may be left out (?), not both"),
    (
        {"fields": "title:str(40)!shiny"},
        "title: there is no 'shiny'. There is: unique, sort, filter, search.",
    ),
    ({"fields": f"{TITLE} note:text!unique"}, "note: a text cannot be unique."),
    ({"fields": f"{TITLE} rank:int(1..9)!unique"}, "rank: a unique int needs a range of 10,000 at least"),
    ({"fields": f"{TITLE} mark:str(2)!unique"}, "mark: a unique str needs 5 characters at least"),
    ({"fields": f"{TITLE} mark:str(9)=x!unique"}, "mark: what is unique has no default"),
    (
        {"fields": f"{TITLE} due:date?!sort"},
        "due: a date that may be left out, or of this type, sorts no list",
    ),
    ({"fields": f"{TITLE} more:json!filter"}, "more: a json filters no list"),
    ({"fields": f"{TITLE} customer:ref(customer)=x"}, "customer_id: a ref has no default."),
    (
        {"fields": f"{TITLE} customer:ref(customer)!sort"},
        "customer_id: a ref that may be left out, or of this",
    ),
    ({"fields": f"{TITLE} customer:ref(customer)!unique"}, "customer_id: a ref cannot be unique."),
    ({"fields": f"{TITLE} customer:ref(customer)!search"}, "customer_id: a ref has no words to search"),
    ({"fields": "customer:ref(customer)"}, "A field must be required, without a default, and no flag"),
    ({"fields": f"{TITLE} size:int(1..9)!search"}, "size: a int has no words to search"),
    ({"fields": "done:bool"}, "A field must be required, without a default, and no flag"),
    ({"fields": "title:str(40)?"}, "A field must be required"),
    # the rest
    ({"can": "create,get,fly"}, "can: there is no 'fly'. There is: create, edit, delete, get, list."),
    ({"can": "list"}, "can= needs create and get"),
    ({"role": "king"}, "role: there is no 'king'. There is: member, admin, owner."),
    ({"sort": "colour"}, "sort: there is no 'colour'. There is: title, created_at."),
    ({"filter": "created_at"}, "filter: there is no 'created_at'. There is: title."),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_built_is_refused_with_its_remedy(options: dict[str, str], said: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**({"name": "invoice", "fields": TITLE} | options))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("workspace", "workspaces is a name of the kernel"),
        ("membership", "memberships is a name of the kernel"),
        ("session", "sessions is a name of the kernel"),
        ("invitation", "invitations is a name of the kernel"),
        ("error", "errors is a name of the kernel"),
    ],
)
def test_names_of_the_kernel_are_taken(name: str, said: str) -> None:
    it = read(name=name, fields=TITLE)
    with pytest.raises(Refused) as refused:
        ensure_free(it, ROOT)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "plural", "said"),
    [
        ("profile", "", "The schema ProfilePatch is in openapi/v1.json already"),
        ("seat", "members", "A path of openapi/v1.json ends in /members already"),
        ("purpose", "", "has a class Purpose already"),
        ("parcel", "outbox", "has the table outbox already"),
    ],
)
def test_a_schema_a_path_a_class_and_a_table_are_taken_once(name: str, plural: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        ensure_free(read(name=name, plural=plural, fields=TITLE), ROOT)
    assert said in str(refused.value)


def test_what_is_not_said_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["city", "", "name:str(80)!unique", "founded_on:date?", "", "create,get,list", ""])
    asked_for: list[str] = []

    def answer(question: str) -> str:
        asked_for.append(question)
        return next(answers)

    monkeypatch.setattr("builtins.input", answer)
    options = asked(
        dict.fromkeys(("name", "fields", "plural", "can", "role", "sort", "filter", "search"), "")
    )
    assert read(**options) == read(
        name="city", fields="name:str(80)!unique founded_on:date?", can="create,get,list", role="member"
    )
    assert asked_for[1] == "And in the plural [cities]: "
    monkeypatch.setattr("builtins.input", lambda _: (_ for _ in ()).throw(EOFError))
    with pytest.raises(Refused, match="It needs a field at least"):
        read(**asked(options | {"fields": ""}))


def test_plurals_of_most_words() -> None:
    words = {"invoice": "invoices", "city": "cities", "day": "days", "box": "boxes", "batch": "batches"}
    assert {word: plural_of(word) for word in words} == words


def test_a_modifier_can_be_said_on_both_sides() -> None:
    one = read(name="invoice", fields="title:str(40)!sort due:date?", filter="due", search="title")
    other = read(name="invoice", fields="title:str(40)!search!sort due:date?!filter")
    assert one == other


# ── the lists ────────────────────────────────────────────────────────────────────────────────────

FILES = {
    "src/application/unit_of_work.py": '''"""One transaction."""

from application.kernel.unit_of_work import KernelUnitOfWork
from application.queries import Queries


class UnitOfWork(KernelUnitOfWork):
    ask: Queries
''',
    "src/application/queries/__init__.py": '''"""What people can ask."""

from dataclasses import dataclass

from application.kernel.queries import KernelQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(KernelQueries):
    """Everything that can be asked."""
''',
    "src/application/permissions.py": '"""What may be done."""\n',
    "tests/application/test_permissions.py": "LEAST = {WRITE_BOOKS: Role.MEMBER}\n",
}
EXPECTED = {
    "src/application/unit_of_work.py": "    invoices: Repository[Invoice, InvoiceId]",
    "src/application/queries/__init__.py": "    invoices: InvoiceQueries",
    "src/application/permissions.py": 'WRITE_INVOICES = Permission("invoices:write", MEMBERS)',
    "tests/application/test_permissions.py": " WRITE_INVOICES: Role.MEMBER",
}

# What people do to such files: each is (file, what is there, what they made of it).
UNIT, ASKED, MAY, LEAST = FILES
BY_HAND = [
    (UNIT, "    ask: Queries\n", "    # what can be asked\n    ask: Queries  # of this\n\n    def now_and_then(self) -> int:\n        return 1\n"),
    (UNIT, "    ask: Queries\n", '    """Ours."""\n\n    ask: Queries\n\n\nclass Other:\n    ask: Queries\n'),
    (UNIT, "    ask: Queries\n", "    books: Repository[\n        Book,\n        BookId,\n    ]\n"),
    (UNIT, "class UnitOfWork", "class Books:\n    more: int\n\n\nclass UnitOfWork"),
    (UNIT, "from application.queries import Queries\n", "from application.queries import (\n    Queries,  # all\n)\n"),
    (UNIT, "    ask: Queries\n", "    ask: Queries"),
    (UNIT, '"""One transaction."""\n', "# © Example Ltd\n"),
    (ASKED, '    """Everything that can be asked."""\n', "    books: BookQueries\n\n    # the rest\n    pages: PageQueries\n"),
    (ASKED, "@dataclass(frozen=True, slots=True, kw_only=True)", "@some.decorator\n@dataclass(kw_only=True)"),
    (ASKED, "class Queries(KernelQueries):", "class Queries(KernelQueries, Other):"),
    (MAY, '"""What may be done."""\n', ""),
    (MAY, '"""What may be done."""\n', '"""What may be done."""\n\nfrom application.kernel.permissions import ADMINS, Permission\n\nREAD_ALL = Permission("all:read", ADMINS)  # of everything\n'),
    (MAY, '"""What may be done."""\n', '"""What may be done."""\n\nfrom application.kernel.permissions import (\n    MEMBERS,\n    Permission,\n)\n\nWRITE_BOOKS: Permission = Permission(\n    "books:write",\n    MEMBERS,\n)\n\n\ndef may() -> bool:\n    return True\n'),
    (LEAST, "LEAST = {WRITE_BOOKS: Role.MEMBER}", "LEAST: dict[Permission, Role] = {\n    WRITE_BOOKS: Role.MEMBER,  # said «so»\n}"),
    (LEAST, "LEAST = {WRITE_BOOKS: Role.MEMBER}", "ÄRGER = 1\nLEAST = {ÄRGER: 1, WRITE_BOOKS: Role.MEMBER}"),
    (LEAST, "LEAST = {WRITE_BOOKS: Role.MEMBER}", "OTHER = {1: 2}\nLEAST = {WRITE_BOOKS: Role.MEMBER}\n\n\ndef test() -> None: ..."),
]  # fmt: skip
NO_PLACE = [
    (UNIT, "class UnitOfWork", "class Ours", "    invoices: Repository[Invoice, InvoiceId]"),
    (
        UNIT,
        "    ask: Queries\n",
        "    def nothing(self) -> None: ...\n",
        "invoices: Repository[Invoice, InvoiceId]",
    ),
    (UNIT, "class UnitOfWork", "class UnitOfWork(", "cannot be read"),
    (ASKED, "class Queries(KernelQueries)", "class Asked(KernelQueries)", "    invoices: InvoiceQueries"),
    (LEAST, "LEAST = {WRITE_BOOKS: Role.MEMBER}", "LEAST = least()", "    WRITE_INVOICES: Role.MEMBER"),
    (LEAST, "LEAST = {WRITE_BOOKS: Role.MEMBER}", "LEAST = {}", "    WRITE_INVOICES: Role.MEMBER"),
]


@pytest.fixture
def it() -> Resource:
    return read(name="invoice", fields=TITLE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def texts(tree: Path) -> dict[str, str]:
    return {name: (tree / name).read_text("utf-8") for name in FILES if (tree / name).exists()}


@pytest.mark.parametrize(("name", "before", "after"), [(UNIT, "", ""), *BY_HAND])
def test_lines_are_added_and_none_is_touched(
    name: str, before: str, after: str, tree: Path, it: Resource
) -> None:
    (tree / name).write_text(FILES[name].replace(before, after, 1), "utf-8")
    old = texts(tree)
    add_to_lists(it, tree)
    for file, text in texts(tree).items():
        ast.parse(text)
        assert EXPECTED[file] in text
        new = [line for line in text.splitlines() if line and line not in old[file].splitlines()]
        gone = [line for line in old[file].splitlines() if line not in text.splitlines()]
        assert gone == [] or file == LEAST  # its line is longer
        assert len(new) <= 3
    module = ast.parse(texts(tree)[UNIT])
    (ours,) = (each for each in module.body if isinstance(each, ast.ClassDef) and each.name == "UnitOfWork")
    assert "invoices" in {ast.unparse(each.target) for each in ours.body if isinstance(each, ast.AnnAssign)}


@pytest.mark.parametrize("change", NO_PLACE, ids=lambda change: change[2])
def test_where_there_is_no_place_nothing_is_written_and_the_line_is_told(
    change: tuple[str, str, str, str], tree: Path, it: Resource
) -> None:
    name, before, after, said = change
    (tree / name).write_text(FILES[name].replace(before, after, 1), "utf-8")
    old = texts(tree)
    with pytest.raises(NoPlace) as refused:
        add_to_lists(it, tree)
    assert name in str(refused.value)
    assert said in str(refused.value)
    assert texts(tree) == old


def test_a_tree_with_changes_is_not_touched(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builder.__main__.ROOT", tree)
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    assert main(["--name", "invoice", "--fields", TITLE]) == 2
    assert "not committed" in capsys.readouterr().out
    assert main(["--name", "invoice", "--fields", "title:what"]) == 2
    assert "what is no type." in capsys.readouterr().out
