"""Every type of column that has a helper, from a request into a table and back in every answer."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations
from operator import attrgetter
from typing import Annotated, Any, Literal, NewType, TypedDict
from uuid import UUID

import asyncpg
import msgspec
import pytest
from fastapi import Body, FastAPI, Query
from httpx2 import AsyncClient
from pydantic import Field, TypeAdapter
from sqlalchemy import Boolean, Date, MetaData, Numeric, Table, bindparam, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateTable

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.tables import schema
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import Listing, by_date, by_decimal, by_flag, by_number
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import (
    day,
    decimal,
    flag,
    key,
    metadata,
    money,
    number,
    version,
    within,
)
from application.kernel.paging import InvalidCursor, Page, PageRequest, Sort
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.errors import NotFound
from entrypoints.http.kernel.document.openapi import openapi_document
from entrypoints.http.kernel.routing.inputs import (
    Day,
    JsonObject,
    Money,
    PageQuery,
    decimal_text,
    sort_by,
    strict,
    whole,
)
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.settings import Settings

SpecimenBobbinId = NewType("SpecimenBobbinId", UUID)


class SpecimenBobbinNotFound(NotFound, of=SpecimenBobbinId):
    """The specimen_bobbin does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenBobbin(Aggregate):
    id: SpecimenBobbinId
    price: Decimal
    weight: Decimal
    ships_on: date
    insured: bool
    pieces: int
    customs: dict[str, object]
    stops: list[object]
    discount: Decimal | None = None
    arrives_on: date | None = None
    fragile: bool | None = None
    storey: int | None = None
    notes: dict[str, object] | None = None


@dataclass(slots=True)
class SpecimenBobbinView:
    """A specimen_bobbin."""

    id: SpecimenBobbinId
    price: Decimal
    weight: Decimal
    ships_on: date
    insured: bool
    pieces: int
    customs: dict[str, object]
    stops: list[object]
    discount: Decimal | None
    arrives_on: date | None
    fragile: bool | None
    storey: int | None
    notes: dict[str, object] | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenBobbinFilter:
    price_least: Decimal | None = None
    ships_on: date | None = None
    insured: bool | None = None
    customs: dict[str, object] | None = None


type SpecimenBobbinSortKey = Annotated[
    Literal["price", "weight", "ships_on", "insured", "pieces"], Sort("price")
]
KEYS: Sequence[SpecimenBobbinSortKey] = ("price", "weight", "ships_on", "insured", "pieces")

specimen_bobbins = Table(
    "specimen_bobbins",
    MetaData(naming_convention=metadata.naming_convention),
    key(),
    money("price"),
    decimal("weight", 8, 3),
    day("ships_on"),
    flag("insured"),
    number("pieces"),
    schema.document("customs"),
    schema.document("stops"),
    money("discount", nullable=True),
    day("arrives_on", nullable=True),
    flag("fragile", nullable=True),
    number("storey", nullable=True),
    schema.document("notes", nullable=True),
    version(),
    within("weight", Decimal("0.001")),
    within("pieces", 1, 1000),
    within("ships_on", date(2000, 1, 1), date(2099, 12, 31)),
)


class PostgresSpecimenBobbins(PostgresRepository[SpecimenBobbin, SpecimenBobbinId]):
    table, entity, missing = specimen_bobbins, SpecimenBobbin, SpecimenBobbinNotFound


_LISTED = [specimen_bobbins.c[name] for name in column_names(SpecimenBobbinView)]
LISTING = Listing(
    SpecimenBobbinView,
    select(*_LISTED),
    id=specimen_bobbins.c.id,
    sorts={
        "price": by_decimal(specimen_bobbins.c.price),
        "weight": by_decimal(specimen_bobbins.c.weight),
        "ships_on": by_date(specimen_bobbins.c.ships_on),
        "insured": by_flag(specimen_bobbins.c.insured),
        "pieces": by_number(specimen_bobbins.c.pieces),
    },
    sorted_by=SpecimenBobbinSortKey,
    filters={
        "price_least": specimen_bobbins.c.price >= bindparam("price_least", type_=Numeric),
        "ships_on": specimen_bobbins.c.ships_on == bindparam("ships_on", type_=Date),
        "insured": specimen_bobbins.c.insured == bindparam("insured", type_=Boolean),
        "customs": specimen_bobbins.c.customs.contains(bindparam("customs", type_=JSONB)),
    },
    filtered_by=SpecimenBobbinFilter,
)

Weight = Annotated[Decimal, decimal_text(8, 3, least=Decimal("0.001"), most=1000)]


@strict
class NewSpecimenBobbin(TypedDict):
    """A specimen_bobbin to send."""

    price: Money
    weight: Weight
    ships_on: Day
    insured: bool
    pieces: Annotated[int, whole(least=1, most=1000)]
    customs: JsonObject
    stops: Annotated[list[object], Field(max_length=9)]


class SpecimenBobbinQuery(PageQuery):
    price_least: Money | None = None
    """At this price or a higher one."""

    ships_on: Day | None = None
    """Shipped on this day."""

    insured: bool | None = None
    """Insured or not."""

    sort: Annotated[tuple[Sort[SpecimenBobbinSortKey], ...], sort_by(SpecimenBobbinSortKey)] = (
        Sort("price"),
    )
    """Names separated by commas."""


NEW: dict[str, Any] = {
    "price": "12.5",
    "weight": "0.125",
    "ships_on": "2026-11-30",
    "insured": True,
    "pieces": 3,
    "customs": {"value": {"amount": 1.5, "exact": 7}, "codes": ["ä", None, False]},
    "stops": ["Bern", {"via": []}],
}


@pytest.fixture(autouse=True)
async def table(empty_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The table for as long as the test lasts."""
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("DROP TABLE IF EXISTS specimen_bobbins")
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    await connection.execute(str(CreateTable(specimen_bobbins).compile(dialect=dialect)))
    yield connection
    await connection.execute("DROP TABLE specimen_bobbins")
    await connection.close()


async def store(database: Database, *some: SpecimenBobbin) -> None:
    begin = PostgresTransactions(database, lambda: datetime.now(UTC), KernelUnitOfWork, {})
    async with begin.open() as transaction:
        for specimen_bobbin in some:
            await PostgresSpecimenBobbins(transaction).add(specimen_bobbin)


@pytest.fixture
def app(app: FastAPI, database: Database) -> FastAPI:
    """The service with a resource that has a column of every type."""
    router = Router(tag="specimen_bobbins")
    get = Statement(select(*_LISTED).where(specimen_bobbins.c.id == bindparam("specimen_bobbin_id")))
    load = loader(SpecimenBobbinView)

    @router.post(
        "/specimen_bobbins", response_model=SpecimenBobbinView, location="/specimen_bobbins/{id}", public=True
    )
    async def create_specimen_bobbin(body: Annotated[NewSpecimenBobbin, Body()]) -> SpecimenBobbin:
        """Sends it."""
        specimen_bobbin = SpecimenBobbin(id=SpecimenBobbinId(new_id(datetime.now(UTC))), **body)
        await store(database, specimen_bobbin)
        return specimen_bobbin

    @router.get("/specimen_bobbins/{specimen_bobbin_id}", public=True)
    async def get_specimen_bobbin(specimen_bobbin_id: SpecimenBobbinId) -> SpecimenBobbinView:
        """Shows it."""
        row = await database.fetchrow(get, {"specimen_bobbin_id": specimen_bobbin_id})
        if row is None:
            raise SpecimenBobbinNotFound
        return load(row)

    @router.get("/specimen_bobbins", public=True)
    async def list_specimen_bobbins(
        query: Annotated[SpecimenBobbinQuery, Query()],
    ) -> Page[SpecimenBobbinView]:
        """Shows them."""
        where = SpecimenBobbinFilter(
            price_least=query.price_least, ships_on=query.ships_on, insured=query.insured
        )
        return await LISTING.page(database, {}, query.page, sort=query.sort, where=where)

    app.router.routes.extend(router.routes)
    return app


@pytest.fixture
def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    return openapi_document("v1", app.routes, settings)


async def test_what_was_sent_is_answered_stored_and_shown_alike(
    client: AsyncClient, document: dict[str, Any], table: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    created = await client.post("/v1/specimen_bobbins", json=NEW)

    assert created.status_code == 201, created.text
    body = created.json()
    unset = dict.fromkeys(("discount", "arrives_on", "fragile", "storey", "notes"))
    assert body == {**NEW, "price": "12.50", **unset, "id": body["id"], "version": 1}
    shown = await client.get(created.headers["location"])
    assert (shown.content, shown.headers["etag"]) == (created.content, created.headers["etag"])
    assert (await client.get("/v1/specimen_bobbins")).json()["items"] == [body]
    row = await table.fetchrow(
        "SELECT *, jsonb_typeof(customs) AS kind, notes IS NULL AS bare FROM specimen_bobbins"
    )
    assert row is not None
    assert (row["price"], row["ships_on"], row["insured"]) == (Decimal("12.50"), date(2026, 11, 30), True)
    assert (row["kind"], row["bare"]) == ("object", True)


async def test_an_aggregate_comes_back_equal_and_with_the_same_types(database: Database) -> None:
    specimen_bobbin = SpecimenBobbin(
        id=SpecimenBobbinId(new_id(datetime.now(UTC))),
        price=Decimal("-999999999999.99"),
        weight=Decimal("0.001"),
        ships_on=date(2099, 12, 31),
        insured=False,
        pieces=1000,
        customs={},
        stops=["a", 1, None, {"b": [2.5]}],
        discount=Decimal("0.00"),
        arrives_on=date(1, 1, 1),
        fragile=True,
        storey=-(1 << 31),
        notes={"a text": "\U0001f9f6 \\u0041"},
    )
    await store(database, specimen_bobbin)

    begin = PostgresTransactions(database, lambda: datetime.now(UTC), KernelUnitOfWork, {})
    async with begin.open() as transaction:
        loaded = await PostgresSpecimenBobbins(transaction).get(specimen_bobbin.id)

    assert loaded == specimen_bobbin
    for name in column_names(SpecimenBobbin):
        assert isinstance(getattr(loaded, name), type(getattr(specimen_bobbin, name))), name


@pytest.mark.parametrize(
    "change",
    [{"weight": Decimal("0.0004")}, {"pieces": 0}, {"pieces": 1001}, {"ships_on": date(1999, 12, 31)}],
    ids=str,
)
async def test_the_table_checks_its_ranges(database: Database, change: dict[str, Any]) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=f"ck_specimen_bobbins_{next(iter(change))}_range"):
        await store(database, a_specimen_bobbin(**change))


def a_specimen_bobbin(**change: Any) -> SpecimenBobbin:
    values: dict[str, Any] = {
        "price": Decimal("1.00"),
        "weight": Decimal("1.000"),
        "ships_on": date(2026, 1, 1),
        "insured": False,
        "pieces": 1,
        "customs": {},
        "stops": [],
        **change,
    }
    return SpecimenBobbin(id=SpecimenBobbinId(new_id(datetime.now(UTC))), **values)


# Two values of each column, each of them several times, in an order that is nobody's.
CROWD = [
    a_specimen_bobbin(
        price=Decimal("0.10") if n % 2 else Decimal("-3.00"),
        weight=Decimal("0.001") if n % 3 else Decimal("10.000"),
        ships_on=date(2026, 1, 31) if n % 5 else date(2026, 2, 1),
        insured=n % 3 == 1,
        pieces=2 if n % 4 else 10,
        customs={"n": n % 2},
    )
    for n in range(12)
]


@pytest.mark.parametrize("keys", [*((key,) for key in KEYS), *permutations(KEYS, 2)], ids=str)
@pytest.mark.parametrize("signs", [("", ""), ("-", "-"), ("-", "")], ids=str)
async def test_a_list_is_sorted_by_each_and_continued_among_equals(
    client: AsyncClient, database: Database, keys: Sequence[SpecimenBobbinSortKey], signs: Sequence[str]
) -> None:
    await store(database, *CROWD)
    sort = ",".join(sign + key for sign, key in zip(signs, keys, strict=False))
    found: list[dict[str, Any]] = []
    following = "/v1/specimen_bobbins?limit=5&sort=" + sort
    while following:
        page = await client.get(following)
        assert page.status_code == 200, page.text
        found += page.json()["items"]
        following = page.links["next"]["url"] if page.json()["next"] else ""

    expected = sorted(CROWD, key=lambda specimen_bobbin: specimen_bobbin.id, reverse=signs[0] == "-")
    for sign, name in reversed(list(zip(signs, keys, strict=False))):
        expected.sort(key=attrgetter(name), reverse=sign == "-")
    assert [item["id"] for item in found] == [str(specimen_bobbin.id) for specimen_bobbin in expected]


@pytest.mark.parametrize(
    ("query", "keep"),
    [
        ("price_least=0.1", lambda specimen_bobbin: specimen_bobbin.price > 0),
        ("price_least=-3", lambda specimen_bobbin: True),
        ("ships_on=2026-02-01", lambda specimen_bobbin: specimen_bobbin.ships_on == date(2026, 2, 1)),
        ("insured=true", lambda specimen_bobbin: specimen_bobbin.insured),
        ("insured=false&ships_on=2026-01-31", lambda one: not one.insured and one.ships_on.day == 31),
    ],
)
async def test_a_list_is_filtered(client: AsyncClient, database: Database, query: str, keep: Any) -> None:
    await store(database, *CROWD)
    found = [item["id"] for item in (await client.get(f"/v1/specimen_bobbins?{query}")).json()["items"]]
    assert sorted(found) == sorted(
        str(specimen_bobbin.id) for specimen_bobbin in CROWD if keep(specimen_bobbin)
    )
    assert found


async def test_a_document_is_a_bound_value_too(database: Database) -> None:
    await store(database, *CROWD)
    where = SpecimenBobbinFilter(customs={"n": 1})
    page = await LISTING.page(database, {}, PageRequest(50), sort=(), where=where)
    assert {str(item.customs) for item in page.items} == {"{'n': 1}"}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("price", ["NaN", "Infinity", "1e3", " 1", "1_0", "\u0661", "", 1, 1.5, None, True, "1" * 201]),
        ("weight", ["-NaN", "sNaN", "1E+1000", "+1", [], "1.", ".5", "1\n"]),
        ("ships_on", ["2026-02-30", "20260201", "2026-W01-1", "0000-01-01", "\u0662026-01-01", 1, None]),
        ("insured", [1, 0, "true", None, []]),
    ],
)
async def test_a_damaged_cursor_is_refused(
    database: Database, key: SpecimenBobbinSortKey, values: Sequence[object]
) -> None:
    await store(database, *CROWD)
    sort = (Sort[SpecimenBobbinSortKey](key),)

    async def after(cursor: str | None) -> str:
        page = await LISTING.page(
            database, {}, PageRequest(1, cursor), sort=sort, where=SpecimenBobbinFilter()
        )
        assert page.next is not None
        return page.next

    good = json.loads(base64.urlsafe_b64decode((await after(None)) + "=="))
    assert await after(base64.urlsafe_b64encode(json.dumps(good).encode()).decode().rstrip("="))
    for value in values:
        bad = json.dumps([good[0], value, good[2]]).encode()
        with pytest.raises(InvalidCursor, match="damaged"):
            await after(base64.urlsafe_b64encode(bad).decode().rstrip("="))


@pytest.mark.parametrize("text", ["0E-10", "1E-7", "1234567890123456789012345678.000000001", "-0.1", "1E+3"])
def test_any_decimal_of_the_database_survives_in_a_cursor(text: str) -> None:
    written = msgspec.json.encode(Decimal(text)).decode()
    assert str(by_decimal(specimen_bobbins.c.price).read(json.loads(written))) == text


BAD: list[tuple[str, str]] = [
    *(
        ("price", bad)
        for bad in (
            '"1e3"',
            '" 1 "',
            '"1 "',
            '"\u0661"',
            '"1_0"',
            '"+1"',
            '"01"',
            '"1."',
            '".5"',
            '"1,5"',
            '"1.005"',
            '"1000000000000.00"',
            '"NaN"',
            '"-Infinity"',
            '""',
            '"1\\n"',
            "12.5",
            "12",
            "1e400",
            "NaN",
            "null",
            "true",
            "[]",
        )
    ),
    *(("weight", bad) for bad in ('"0"', '"-0.001"', '"0.0001"', '"1000.001"', '"1e2"', "1")),
    *(
        ("ships_on", bad)
        for bad in (
            '"2026-02-30"',
            '"2026-2-3"',
            '"20260203"',
            '"2026-W01-1"',
            '"2026-11-30T00:00:00Z"',
            '" 2026-11-30"',
            '"\u0662026-11-30"',
            '"0000-01-01"',
            "1764460800",
            "null",
        )
    ),
    *(("insured", bad) for bad in ("1", "0", '"true"', '"yes"', "null", "1.0")),
    *(
        ("pieces", bad)
        for bad in ("true", "0", "1001", '"3"', "3.0", "1e2", "1e400", "NaN", "1" + "0" * 400, "null")
    ),
    *(
        ("customs", bad)
        for bad in (
            "[]",
            '"{}"',
            "null",
            '{"a": NaN}',
            '{"a": [{"b": -Infinity}]}',
            '{"a": 1e400}',
            '{"a": 9007199254740992}',
            '{"a": -1e300}',
            '{"a": "' + "ä" * 8192 + '"}',
            "{" + ",".join(f'"{n}": 1' for n in range(101)) + "}",
        )
    ),
]


@pytest.mark.parametrize(("member", "bad"), BAD, ids=lambda value: value[:30])
async def test_a_bad_value_is_refused_where_it_is(client: AsyncClient, member: str, bad: str) -> None:
    good = {name: json.dumps(value) for name, value in NEW.items()}
    raw = ",".join(f'"{name}": {value}' for name, value in {**good, member: bad}.items())
    refused = await client.post(
        "/v1/specimen_bobbins", content=f"{{{raw}}}".encode(), headers={"content-type": "application/json"}
    )
    assert refused.status_code == 422, refused.text
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"#/{member}"]
    assert (await client.get("/v1/specimen_bobbins")).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    ["price_least=1e3", "price_least=%201", "price_least=%D9%A1", "ships_on=2026-02-30", "insured=2"],
)
async def test_a_bad_filter_is_refused_where_it_is(client: AsyncClient, query: str) -> None:
    refused = await client.get(f"/v1/specimen_bobbins?{query}")
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert error["pointer"] == f"#/query/{query.partition('=')[0]}"


def test_the_document_says_what_is_read_and_what_is_shown(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    asked, shown = schemas["NewSpecimenBobbin"]["properties"], schemas["SpecimenBobbinView"]["properties"]
    assert asked["price"] == {
        "type": "string",
        "format": "decimal",
        "pattern": r"^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?$",
        "x-minimum": "-999999999999.99",
        "x-maximum": "999999999999.99",
    }
    assert (asked["weight"]["x-minimum"], asked["weight"]["x-maximum"]) == ("0.001", "1000.000")
    assert asked["ships_on"] == {"type": "string", "format": "date"}
    assert asked["insured"] == {"type": "boolean"}
    assert asked["pieces"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert asked["customs"] == {"type": "object", "additionalProperties": True, "maxProperties": 100}
    assert shown["price"] == {"type": "string"}
    assert shown["ships_on"] == {"type": "string", "format": "date"}
    parameters = document["paths"]["/v1/specimen_bobbins"]["get"]["parameters"]
    found = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert (found["price_least"], found["ships_on"]) == (asked["price"], asked["ships_on"])


def test_an_amount_fits_into_its_column() -> None:
    schema = TypeAdapter(Money).json_schema()
    most = Decimal(schema["x-maximum"])
    assert str(specimen_bobbins.c.price.type) == "NUMERIC(14, 2)"
    assert most == Decimal("999999999999.99") == -Decimal(schema["x-minimum"])


@pytest.mark.parametrize("places", [-1, 7, 9])
def test_a_scale_that_python_writes_with_an_exponent_is_refused(places: int) -> None:
    with pytest.raises(ValueError, match="0 to 6"):
        decimal("rate", 8, places)
    with pytest.raises(ValueError, match="0 to 6"):
        decimal_text(8, places)
    assert str(Decimal("0.000001")) == "0.000001"
    assert str(Decimal("0.0000001")) == "1E-7"


def test_a_list_whose_source_selects_other_columns_than_its_view_shows_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"SpecimenBobbinView has the fields .* and its source selects .*"):
        Listing(SpecimenBobbinView, select(*reversed(_LISTED)), id=specimen_bobbins.c.id, sorts={})
