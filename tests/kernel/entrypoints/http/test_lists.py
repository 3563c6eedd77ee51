"""What all lists share over HTTP: what can be asked for, what is refused, how a page leads to the next."""

import importlib
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Never, get_args, get_type_hints
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from httpx2 import AsyncClient
from pydantic import SecretStr, ValidationError

import adapters.postgres
import kernel.specimen.postgres
from adapters.postgres.kernel.tables.paging import Listing
from application.kernel.paging import Length, PageRequest, Sort, sorts_of
from application.kernel.queries.audit import AuditEntry, WorkspaceAuditEntry
from application.kernel.unit_of_work import Begin
from entrypoints.http.kernel.document.documentation import is_page
from entrypoints.http.kernel.routing.inputs import PageQuery
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Route
from entrypoints.settings import Settings
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderPriority, SpecimenOrderStatus
from kernel.specimen.service import Container, UnitOfWork, create_app
from kernel.world.builders import Team, a_workspace_id, store

SHARED = {"limit", "cursor", "count"}


def routes() -> list[Route]:
    settings = Settings(_env_file=None, database_url=SecretStr("postgresql://nobody@localhost/nothing"))
    service = create_app(Container(settings=settings))
    return [route for route in service.routes if isinstance(route, Route)]


ROUTES = routes()


def queries() -> dict[str, type[PageQuery]]:
    """The path of each list, and what can be asked of it."""
    found: dict[str, type[PageQuery]] = {}
    for route in ROUTES:
        if is_page(route.response_model):
            query = route.dependant.query_params[0].field_info.annotation
            assert isinstance(query, type)
            assert issubclass(query, PageQuery)
            found[route.path] = query
    return found


QUERIES = queries()


def listings() -> list[Listing[Any]]:
    """The lists as SQL knows them."""
    modules = [
        importlib.import_module(each.name)
        for package in (adapters.postgres, kernel.specimen.postgres)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not each.ispkg and ".migrations" not in each.name
    ]
    return [thing for module in modules for thing in vars(module).values() if isinstance(thing, Listing)]


def sorted_by(query: type[PageQuery]) -> Any:
    """The whitelist of a list's sorts, if it has any to choose from."""
    return query.sorted_by if issubclass(query, ListQuery) else None


def filtered_by(query: type[PageQuery]) -> Any:
    """The dataclass of a list's filters, if it has any."""
    return query.filtered_by if issubclass(query, ListQuery) else None


# ── what is declared once ────────────────────────────────────────────────────────────────────────


def test_there_are_lists() -> None:
    assert len(QUERIES) >= 8


def test_what_lists_are_sorted_and_filtered_by_over_http_is_what_sql_was_written_for() -> None:
    in_sql = {(each.sorted_by, each.filtered_by) for each in listings()}
    assert {(sorted_by(query), filtered_by(query)) for query in QUERIES.values()} == in_sql
    assert len(in_sql) >= 3


@pytest.mark.parametrize("path", QUERIES)
def test_every_filter_can_be_asked_for_and_whatever_is_asked_for_filters(path: str) -> None:
    query = QUERIES[path]
    wanted = set() if filtered_by(query) is None else {field.name for field in fields(filtered_by(query))}
    assert query.model_fields.keys() - SHARED - {"sort"} == wanted
    for name in wanted:
        values: dict[str, Any] = {name: "asked for"}
        asked: Any = query.model_construct(_fields_set={name}, **values)
        where = asdict(asked.where)
        assert where.pop(name) == "asked for"
        assert set(where.values()) <= {None, ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFilter:
    """What a list could be filtered by."""

    title: Annotated[str | None, Length(5)] = None
    """How it begins."""

    shelf: Annotated[Sequence[int], Length(2, least=1)] = (1,)
    """On any of these shelves,
    from 1."""

    lent_before: datetime | None = None
    """Lent before this instant."""

    price_most: Decimal | None = None
    """For this price or a lower one."""


type BookSortKey = Annotated[Literal["title", "shelf"], Sort("shelf", descending=True), Sort("title")]


def test_a_query_is_made_of_what_is_declared() -> None:
    query: Any = ListQuery[BookFilter, BookSortKey]
    assert query is ListQuery[BookFilter, BookSortKey]
    described = {name: field.description for name, field in query.model_fields.items()}
    assert [described[name] for name in ("title", "shelf", "lent_before")] == [
        "How it begins.",
        "On any of these shelves,\nfrom 1.",
        "Lent before this instant.",
    ]
    assert str(described["sort"]).endswith("Default: `-shelf,title`.")
    asked = query.model_validate({})
    assert asked.where == BookFilter()
    assert asked.sort == (Sort("shelf", descending=True), Sort("title"))
    assert asked.page == PageRequest()
    asked = query.model_validate(
        {"title": "", "shelf": ["3", "4"], "lent_before": "2026-11-30T17:00:00+01:00", "sort": ["title"]}
    )
    assert asked.where == BookFilter(shelf=(3, 4), lent_before=datetime(2026, 11, 30, 16, tzinfo=UTC))
    assert query.model_validate({"price_most": "12.5"}).where == BookFilter(price_most=Decimal("12.5"))
    assert asked.sort == (Sort("title"),)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"title": "longer"}, "string_too_long"),
        ({"shelf": []}, "too_short"),
        ({"shelf": ["1", "2", "3"]}, "too_long"),
        ({"price_most": "12,5"}, "decimal"),
        ({"price_most": "1e3"}, "decimal"),
        ({"price_most": "0.0000001"}, "decimal"),
        ({"lent_before": "2026-11-30"}, "instant"),
        ({"lent_before": "1796058000"}, "instant"),
        ({"lent_before": "2026-11-30T17:00:00+01:60"}, "instant"),
        ({"lent_before": "2026-11-30T17:00:60Z"}, "instant"),
        ({"colour": "red"}, "extra_forbidden"),
        ({"sort": ["colour"]}, "sort"),
    ],
)
def test_what_is_out_of_bounds_is_refused(given: dict[str, Any], code: str) -> None:
    query: Any = ListQuery[BookFilter, BookSortKey]
    with pytest.raises(ValidationError) as refused:
        query.model_validate(given)
    assert [error["type"] for error in refused.value.errors()] == [code]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        *(("cafe\u0301", "café"), (" loom\u00a0", "loom"), ("\u212b\r\n", "\u00c5"), ("a\x1b\x85b", "a  b")),
        *((" \t", None), ("\u3000", None), ("\x1b", None)),
    ],
)
def test_a_text_is_read_as_in_a_body(sent: str, read: str | None) -> None:
    query: Any = ListQuery[BookFilter, BookSortKey]
    assert query.model_validate({"title": sent}).where == BookFilter(title=read)


def test_a_text_that_no_body_could_have_is_refused() -> None:
    query: Any = ListQuery[BookFilter, BookSortKey]
    with pytest.raises(ValidationError) as refused:
        query.model_validate({"title": "x" + "\u0316" * 31})
    (error,) = refused.value.errors()
    assert (error["type"], error["msg"]) == ("invalid", "It must have at most 30 marks on one letter.")


async def test_what_is_looked_for_need_not_be_spelled_with_the_same_code_points(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    await store(
        begin,
        a_specimen_order(workspace_id=team.workspace.id, created_by=team.owner.user_id, title="Café/Bar"),
    )
    for asked in ("cafe\u0301", "CAFE\u0301", " bar "):
        found = await member.get(f"/v1/workspaces/{team.workspace.id}/specimen_orders", params={"q": asked})
        assert [each["title"] for each in found.json()["items"]] == ["Café/Bar"]


def test_a_list_can_have_filters_alone_or_sorts_alone() -> None:
    filters: Any = ListQuery[BookFilter, Never]
    assert filters.model_fields.keys() == SHARED | {"title", "shelf", "lent_before", "price_most"}
    sorts: Any = ListQuery[None, BookSortKey]
    assert sorts.model_fields.keys() == SHARED | {"sort"}
    assert sorts.model_validate({}).where is None


def test_a_filter_needs_a_default_and_a_sentence() -> None:
    @dataclass(frozen=True, slots=True)
    class Needed:
        title: str
        """How it begins."""

    @dataclass(frozen=True, slots=True)
    class Silent:
        title: str | None = None

    for declared in (Needed, Silent):
        with pytest.raises(TypeError, match=rf"{declared.__name__}.title needs a default, and a docstring"):
            ListQuery[declared, Never]  # type: ignore[valid-type]


type Unordered = Literal["title", "shelf"]
type Wrong = Annotated[Literal["title", "shelf"], Sort("colour")]


def test_sorts_have_an_order_that_is_one_of_them() -> None:
    for declared in (Unordered, Wrong):
        with pytest.raises(TypeError, match=f"{declared} has no order: write"):
            sorts_of(declared)


@pytest.mark.parametrize("path", [path for path, query in QUERIES.items() if sorted_by(query)])
def test_every_sort_that_is_declared_can_be_asked_for(path: str) -> None:
    query = QUERIES[path]
    names, _ = sorts_of(sorted_by(query))
    for name in names:
        asked: Any = query.model_validate({"sort": [f"-{name}"]})
        assert asked.sort == (Sort(name, descending=True),)


@pytest.mark.parametrize("path", QUERIES)
async def test_what_there_is_not_is_refused_and_what_there_is_told(member: AsyncClient, path: str) -> None:
    query = QUERIES[path]
    address = re.sub(r"{\w+}", str(a_workspace_id()), path)  # a request is read before anything is looked up
    refused = await member.get(f"{address}?colour=red&sort=colour&count=about&limit=0")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")
    told = {error["pointer"]: error["detail"] for error in refused.json()["errors"]}
    assert told.keys() == {f"#/query/{name}" for name in ("colour", "sort", "count", "limit")}
    there_are = f"There is no such name. There are: {', '.join(sorted(query.model_fields))}."
    assert told["#/query/colour"] == there_are
    assert told["#/query/count"] == "It must be 'exact'."
    if sorts := sorted_by(query):
        names = ", ".join(sorts_of(sorts)[0])
        assert told["#/query/sort"].startswith(f"It sorts by {names}, each")
    else:
        assert told["#/query/sort"] == there_are


# ── from page to page ────────────────────────────────────────────────────────────────────────────


async def test_whoever_follows_the_links_sees_all_pages_of_what_they_asked_for(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    about: dict[str, Any] = {"workspace_id": team.workspace.id, "created_by": team.owner.user_id}
    wanted = [
        a_specimen_order(**about, title=f"wool & loom {number}", labels=("a-b",), status=status)
        for number, status in enumerate([SpecimenOrderStatus.OPEN, SpecimenOrderStatus.DONE] * 3)
    ]
    others = [
        a_specimen_order(**about, title="wool & spinning wheel", labels=("a-b",)),
        a_specimen_order(**about),
    ]
    await store(begin, *wanted, *others)
    asked: list[tuple[str, str | int | float | bool | None]] = [
        ("sort", "-title"),
        ("q", '"wool loom" -"spinning wheel" or grün+50% &#?/<>'),
        ("status", "open"),
        ("status", "done"),
        ("priority", SpecimenOrderPriority.NORMAL),
        ("label", "a-b"),
        ("count", "exact"),
        ("limit", "2"),
    ]
    address, seen, pages = f"/v1/workspaces/{team.workspace.id}/specimen_orders", [], 0
    page = await member.get(address, params=asked)
    while True:
        assert page.status_code == 200
        pages += 1
        seen += [item["title"] for item in page.json()["items"]]
        assert page.json()["total"] == len(wanted)
        if "next" not in page.links:
            break
        following = page.links["next"]["url"]
        assert re.fullmatch(r"[!#-;=?-Z\[\]_a-z~%]+", following)  # RFC 3986, and nothing that ends a link
        assert urlsplit(following).path == address
        assert parse_qsl(urlsplit(following).query) == [*asked, ("cursor", page.json()["next"])]
        page = await member.get(following)
    assert page.json()["next"] is None
    assert seen == sorted((specimen_order.title for specimen_order in wanted), reverse=True)
    assert pages == 3


async def test_a_link_has_one_cursor_however_the_one_before_was_written(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    specimen_orders = [
        a_specimen_order(workspace_id=team.workspace.id, created_by=team.owner.user_id) for _ in range(4)
    ]
    await store(begin, *specimen_orders)
    address = f"/v1/workspaces/{team.workspace.id}/specimen_orders?limit=1"
    first = await member.get(address)
    for name in ("cursor", "%63ursor", "cur%73%6Fr"):
        second = await member.get(f"{address}&{name}={first.json()['next']}")
        query = parse_qs(urlsplit(second.links["next"]["url"]).query)
        assert query == {"limit": ["1"], "cursor": [second.json()["next"]]}


async def test_a_list_is_counted_when_it_is_asked_to_be(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    specimen_orders = [
        a_specimen_order(workspace_id=team.workspace.id, created_by=team.owner.user_id) for _ in range(3)
    ]
    await store(begin, *specimen_orders)
    address = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    plain = await member.get(address, params={"limit": 2})
    assert plain.json()["total"] is None
    counted = await member.get(address, params={"limit": 1, "count": "exact", "cursor": plain.json()["next"]})
    assert (counted.status_code, counted.json()["total"], len(counted.json()["items"])) == (200, 3, 1)
    nothing = await member.get("/v1/invitations?count=exact")
    assert nothing.json() == {"items": [], "next": None, "total": 0}


# ── what one thing of a list is ──────────────────────────────────────────────────────────────────


def test_what_is_created_can_be_read_where_the_answer_says() -> None:
    read = {re.sub(r"{\w+}", "{}", route.path) for route in ROUTES if route.methods == {"GET"}}
    located = [route.shape.location for route in ROUTES if route.shape.location]
    assert len(located) >= 7
    for location in located:
        assert re.sub(r"{\w+}", "{}", location) in read, location


NEVER_CHANGED = {AuditEntry, WorkspaceAuditEntry}


def test_everything_that_can_be_changed_shows_its_version() -> None:
    """In a list too, so that a change can name the version that it is made to: `If-Match: "7"`."""
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    shown = 0
    for path, there in by_path.items():
        for route in there:
            model = route.response_model
            if is_page(model):
                (item,) = get_args(model)
                if item not in NEVER_CHANGED:
                    assert "version" in get_type_hints(item), path
                    shown += 1
        if any(route.shape.changes for route in there):
            getting = [route for route in there if route.methods == {"GET"}]
            # A sub-resource is no thing of its own: what it changes is shown one level up.
            of_what = getting or [
                route for route in by_path[path.rpartition("/")[0]] if route.methods == {"GET"}
            ]
            assert of_what, path
            assert all(route.shape.tagged for route in of_what), path
            shown += 1
    assert shown >= 20
