"""Keyset pages: every way of walking a list shows all of it, once, and no cursor does harm."""

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, permutations, product
from typing import Any, Protocol
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from adapters.postgres.kernel.tables.mapping import column_names
from adapters.postgres.kernel.tables.paging import Listing, by_text
from application.kernel.paging import InvalidCursor, Page, PageRequest, Sort
from application.kernel.unit_of_work import Begin
from domain.kernel.memberships import Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from kernel.servers.backends import ByHand
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrder, SpecimenOrderPriority, SpecimenOrderStatus
from kernel.specimen.postgres.specimen_orders import specimen_orders as specimen_orders_table
from kernel.specimen.queries.specimen_orders import (
    SpecimenOrderFilter,
    SpecimenOrderSortKey,
    SpecimenOrderView,
)
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_membership,
    a_user,
    a_workspace,
    a_workspace_id,
    store,
)
from kernel.world.refusals import refused

type Order = Sequence[Sort[SpecimenOrderSortKey]]

ANOTHER_LIST = "It belongs to another list, filter or sort; start at the first page."
DAMAGED = "It is damaged; start at the first page."
FAR = datetime(9999, 12, 31, tzinfo=UTC)
RANK = {priority: rank for rank, priority in enumerate(SpecimenOrderPriority)}
KEYS: tuple[SpecimenOrderSortKey, ...] = ("created_at", "due_at", "priority", "title")
VALUES: dict[SpecimenOrderSortKey, Callable[[SpecimenOrder | SpecimenOrderView], Any]] = {
    "created_at": lambda specimen_order: specimen_order.created_at,
    "due_at": lambda specimen_order: specimen_order.due_at or FAR,
    "priority": lambda specimen_order: RANK[specimen_order.priority],
    "title": lambda specimen_order: specimen_order.title,
}
EVERYTHING = SpecimenOrderFilter()


class Viewed(Protocol):
    @property
    def id(self) -> UUID: ...


# Few values, so that many are equal; letters that every collation sorts alike.
few_instants = st.integers(0, 2).map(lambda days: NOW + timedelta(days=days))
specifications = st.fixed_dictionaries(
    {
        "title": st.text("abc", min_size=1, max_size=2),
        "priority": st.sampled_from(SpecimenOrderPriority),
        "due_at": st.none() | few_instants | st.just(FAR),
        "created_at": few_instants,
    }
)
orders = st.lists(
    st.builds(Sort, st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=4, unique_by=lambda by: by.key
)
page_sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def in_order[T: (SpecimenOrder, SpecimenOrderView)](specimen_orders: Sequence[T], order: Order) -> list[T]:
    """What the database should do: the sort is stable, so the last key is sorted by first."""
    ordered = sorted(
        specimen_orders, key=lambda specimen_order: specimen_order.id, reverse=order[0].descending
    )
    for by in reversed(order):
        ordered = sorted(ordered, key=VALUES[by.key], reverse=by.descending)
    return ordered


async def walk[View](
    ask: Callable[[PageRequest], Awaitable[Page[View]]], sizes: Sequence[int], *, most: int = 200
) -> list[View]:
    """All pages one after the other, each but the last one full."""
    found: list[View] = []
    cursor = None
    for _, limit in zip(range(most), cycle(sizes), strict=False):
        page = await ask(PageRequest(limit=limit, cursor=cursor))
        found += page.items
        if page.next is None:
            assert len(page.items) <= limit
            return found
        assert len(page.items) == limit
        cursor = page.next
    pytest.fail("The list has no end.")


def specimen_order_pages(
    queries: Queries,
    viewer: UserId,
    workspace_id: WorkspaceId,
    order: Order,
    where: SpecimenOrderFilter = EVERYTHING,
) -> Callable[[PageRequest], Awaitable[Page[SpecimenOrderView]]]:
    return lambda page: queries.specimen_orders.page(viewer, workspace_id, where, order, page)


async def another_workspace(begin: Begin[UnitOfWork], team: Team) -> WorkspaceId:
    """An empty one, of the same owner."""
    workspace = a_workspace()
    membership = a_membership(
        workspace_id=workspace.id, user_id=team.owner.user_id, role=Role.OWNER, joined_at=NOW
    )
    await store(begin, workspace, membership)
    return workspace.id


def specimen_orders_of(
    team: Team, workspace_id: WorkspaceId, specified: Sequence[dict[str, Any]]
) -> list[SpecimenOrder]:
    return [
        a_specimen_order(workspace_id=workspace_id, created_by=team.owner.user_id, **values)
        for values in specified
    ]


# ── specimen orders, whose list has every kind of sorting ────────────────────────────────────────────────


@given(specified=st.lists(specifications, max_size=20), order=orders, sizes=page_sizes)
async def test_the_pages_of_a_list_together_are_the_sorted_list(
    *,
    begin: Begin[UnitOfWork],
    queries: Queries,
    team: Team,
    specified: list[dict[str, Any]],
    order: Order,
    sizes: list[int],
) -> None:
    workspace_id = await another_workspace(begin, team)
    specimen_orders = specimen_orders_of(team, workspace_id, specified)
    await store(begin, *specimen_orders)

    found = await walk(specimen_order_pages(queries, team.owner.user_id, workspace_id, order), sizes)

    assert [view.id for view in found] == [
        specimen_order.id for specimen_order in in_order(specimen_orders, order)
    ]


async def test_every_sort_and_every_pair_of_sorts_works_in_every_direction(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    numbers = count()
    specimen_orders = specimen_orders_of(
        team,
        team.workspace.id,
        [
            {"title": title, "priority": priority, "due_at": due_at, "created_at": NOW + timedelta(days=day)}
            for title, priority, due_at in product(
                "ab", (SpecimenOrderPriority.LOW, SpecimenOrderPriority.URGENT), (None, NOW)
            )
            for day in (next(numbers) % 3,)
        ],
    )
    await store(begin, *specimen_orders)
    sorts = [(key,) for key in KEYS] + list(permutations(KEYS, 2))
    for keys in sorts:
        for directions in product((False, True), repeat=len(keys)):
            order = [Sort(key, down) for key, down in zip(keys, directions, strict=True)]
            found = await walk(
                specimen_order_pages(queries, team.owner.user_id, team.workspace.id, order), [3]
            )
            assert [view.id for view in found] == [
                specimen_order.id for specimen_order in in_order(specimen_orders, order)
            ], order


@given(
    specified=st.lists(specifications, min_size=1, max_size=15),
    order=orders,
    sizes=page_sizes,
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 14), specifications), min_size=1, max_size=8),
)
async def test_rows_that_come_and_go_during_a_walk_neither_repeat_nor_hide_another(
    *,
    begin: Begin[UnitOfWork],
    queries: Queries,
    team: Team,
    specified: list[dict[str, Any]],
    order: Order,
    sizes: list[int],
    changes: list[tuple[bool, int, dict[str, Any]]],
) -> None:
    workspace_id = await another_workspace(begin, team)
    before = specimen_orders_of(team, workspace_id, specified)
    await store(begin, *before)
    removed: list[SpecimenOrder] = []
    added: list[SpecimenOrder] = []
    remaining = iter(changes)

    async def then_change(page: PageRequest) -> Page[SpecimenOrderView]:
        answer = await queries.specimen_orders.page(team.owner.user_id, workspace_id, EVERYTHING, order, page)
        match next(remaining, None):
            case (True, number, _) if (gone := before[number % len(before)]) not in removed:
                async with begin() as uow:
                    await uow.specimen_orders.remove(gone)
                removed.append(gone)
            case (False, _, values):
                added.extend(specimen_orders_of(team, workspace_id, [values]))
                await store(begin, added[-1])
        return answer

    found = [view.id for view in await walk(then_change, sizes)]

    assert len(found) == len(set(found))
    assert {specimen_order.id for specimen_order in before if specimen_order not in removed} <= set(found)
    known = {specimen_order.id: specimen_order for specimen_order in (*before, *added)}
    assert found == [specimen_order.id for specimen_order in in_order([known[id] for id in found], order)]


@given(
    titles=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8), max_size=12
    ),
    descending=st.booleans(),
    sizes=page_sizes,
)
async def test_whatever_letters_titles_have_their_list_is_whole(
    *,
    begin: Begin[UnitOfWork],
    queries: Queries,
    team: Team,
    by_hand: ByHand,
    titles: list[str],
    descending: bool,
    sizes: list[int],
) -> None:
    workspace_id = await another_workspace(begin, team)
    await store(begin, *specimen_orders_of(team, workspace_id, [{"title": title} for title in titles]))

    pages = specimen_order_pages(queries, team.owner.user_id, workspace_id, [Sort("title", descending)])
    found = await walk(pages, sizes)

    down = "DESC" if descending else "ASC"
    in_sql = f"SELECT id FROM specimen_orders WHERE workspace_id = $1 ORDER BY title {down}, id {down}"  # noqa: S608
    assert [view.id for view in found] == [row["id"] for row in await by_hand.fetch(in_sql, workspace_id)]


async def test_a_filter_holds_on_every_page(begin: Begin[UnitOfWork], queries: Queries, team: Team) -> None:
    specimen_orders = specimen_orders_of(
        team,
        team.workspace.id,
        [{"priority": priority, "labels": ("deep",)} for priority in SpecimenOrderPriority for _ in range(3)],
    )
    await store(begin, *specimen_orders)
    where = SpecimenOrderFilter(
        priority=[SpecimenOrderPriority.LOW, SpecimenOrderPriority.URGENT],
        label="deep",
        status=[SpecimenOrderStatus.OPEN],
    )
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("created_at")], where)

    found = await walk(pages, [2])

    assert [view.id for view in found] == [
        specimen_order.id
        for specimen_order in in_order(specimen_orders, [Sort("created_at")])
        if specimen_order.priority in where.priority
    ]


@pytest.mark.parametrize(("there", "more"), [(2, False), (3, False), (4, True)])
async def test_there_is_a_next_page_exactly_when_something_is_left(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, there: int, more: bool
) -> None:
    await store(begin, *specimen_orders_of(team, team.workspace.id, [{}] * there))
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("created_at")])

    page = await pages(PageRequest(limit=3))

    assert len(page.items) == min(there, 3)
    assert (page.next is not None) is more


async def test_a_cursor_whose_row_has_gone_continues_where_it_was(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_orders = specimen_orders_of(team, team.workspace.id, [{}] * 4)
    await store(begin, *specimen_orders)
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("created_at")])
    first, second, *others = in_order(specimen_orders, [Sort("created_at")])
    cursor = (await pages(PageRequest(limit=2))).next
    async with begin() as uow:
        await uow.specimen_orders.remove(second)

    page = await pages(PageRequest(limit=2, cursor=cursor))

    assert [view.id for view in page.items] == [specimen_order.id for specimen_order in others]
    assert page.next is None
    assert first.id not in {view.id for view in page.items}


async def test_the_page_after_the_last_row_is_empty_when_the_rest_has_gone(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_orders = specimen_orders_of(team, team.workspace.id, [{}] * 3)
    await store(begin, *specimen_orders)
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("created_at")])
    cursor = (await pages(PageRequest(limit=2))).next
    async with begin() as uow:
        await uow.specimen_orders.remove(in_order(specimen_orders, [Sort("created_at")])[2])

    assert await pages(PageRequest(limit=2, cursor=cursor)) == Page(items=[], next=None, total=None)


# ── a list that others write to meanwhile ────────────────────────────────────────────────────────

STAYING = 40
COMING_AND_GOING = 8  # at most, of each writer
WRITERS = 3
FIVE_DAYS = [NOW + timedelta(days=days) for days in range(5)]


def matches(where: SpecimenOrderFilter, specimen_order: SpecimenOrder | SpecimenOrderView) -> bool:
    """The filters of the test below, once more."""
    due = specimen_order.due_at is not None and (
        where.due_before is None or specimen_order.due_at < where.due_before
    )
    return (not where.priority or specimen_order.priority in where.priority) and (
        where.due_before is None or due
    )


class Meddlers:
    """Others who write specimen orders, over connections of their own, until they are told to stop."""

    def __init__(self, begin: Begin[UnitOfWork], team: Team, seed: int) -> None:
        self._begin, self._team = begin, team
        self._chance = random.Random(seed)
        self._wrote = asyncio.Condition()
        self.writes = 0
        self.moved: set[UUID] = set()
        self.stopped = False

    def anything(self) -> dict[str, Any]:
        """A few values, so that many rows share them."""
        return {
            "title": self._chance.choice("abc") + self._chance.choice("ab"),
            "priority": self._chance.choice(list(SpecimenOrderPriority)),
            "due_at": self._chance.choice([None, *FIVE_DAYS]),
            "created_at": self._chance.choice(FIVE_DAYS),
        }

    async def write(self) -> None:
        mine: list[SpecimenOrder] = []
        while not self.stopped:
            self._chance.shuffle(mine)
            deed = self._chance.choice(("add", "move", "remove"))
            async with self._begin() as uow:
                if not mine or (deed == "add" and len(mine) < COMING_AND_GOING):
                    mine += [
                        await uow.specimen_orders.add(
                            specimen_orders_of(self._team, self._team.workspace.id, [self.anything()])[0]
                        )
                    ]
                elif deed == "remove":
                    await uow.specimen_orders.remove(mine.pop())
                else:
                    mine.append(await uow.specimen_orders.save(replace(mine.pop(), **self.anything())))
                    self.moved.add(mine[-1].id)
            async with self._wrote:
                self.writes += 1
                self._wrote.notify_all()

    async def await_write(self) -> None:
        """Returns when one more of their writes was committed."""
        async with self._wrote:
            await self._wrote.wait()


WALKS: dict[str, tuple[Order, SpecimenOrderFilter]] = {
    "-created_at": ([Sort("created_at", descending=True)], EVERYTHING),
    "due_at": ([Sort("due_at")], EVERYTHING),
    "-due_at, filtered": (
        [Sort("due_at", descending=True)],
        SpecimenOrderFilter(priority=[SpecimenOrderPriority.LOW, SpecimenOrderPriority.URGENT]),
    ),
    "title, filtered": ([Sort("title")], SpecimenOrderFilter(due_before=FIVE_DAYS[3])),
    "priority,title": ([Sort("priority"), Sort("title")], EVERYTHING),
    "-priority,due_at": ([Sort("priority", descending=True), Sort("due_at")], EVERYTHING),
    "title,-due_at, filtered": (
        [Sort("title"), Sort("due_at", descending=True)],
        SpecimenOrderFilter(priority=[SpecimenOrderPriority.NORMAL]),
    ),
    "due_at,-priority,title,created_at": (
        [Sort("due_at"), Sort("priority", descending=True), Sort("title"), Sort("created_at")],
        EVERYTHING,
    ),
}


@pytest.mark.parametrize("name", WALKS)
async def test_while_others_write_a_walk_shows_once_what_stays_and_nothing_out_of_order(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, name: str
) -> None:
    """Between any two pages somebody writes. A row that somebody moves meanwhile may be met at both places,
    and one that moves the other way at none; but nothing comes twice at the same place.
    """
    order, where = WALKS[name]
    meddlers = Meddlers(begin, team, seed=len(name))
    staying = specimen_orders_of(team, team.workspace.id, [meddlers.anything() for _ in range(STAYING)])
    await store(begin, *staying)
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, order, where)

    async def then_let_them_write(page: PageRequest) -> Page[SpecimenOrderView]:
        answer = await pages(page)
        await meddlers.await_write()
        return answer

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(meddlers.write())
        walks = [group.create_task(walk(then_let_them_write, [limit], most=1000)) for limit in (1, 2, 7, 100)]
        try:
            walked = [await each for each in walks]
        finally:
            meddlers.stopped = True

    expected = [
        specimen_order.id for specimen_order in in_order(staying, order) if matches(where, specimen_order)
    ]
    for found in walked:
        assert [view.id for view in found if view.id in {*expected}] == expected
        assert found == in_order(found, order)
        assert all(matches(where, view) for view in found)
        places = Counter((view.id, *(VALUES[by.key](view) for by in order)) for view in found)
        assert max(places.values()) == 1
        twice = {id for id, times in Counter(view.id for view in found).items() if times > 1}
        assert twice <= meddlers.moved
    assert meddlers.writes >= len(walked[0])


# ── how many there are ───────────────────────────────────────────────────────────────────────────


@given(
    specified=st.lists(specifications, max_size=12),
    order=orders,
    limit=st.integers(1, 5),
    where=st.sampled_from(
        [
            EVERYTHING,
            SpecimenOrderFilter(priority=[SpecimenOrderPriority.LOW]),
            SpecimenOrderFilter(due_before=NOW + timedelta(days=1)),
        ]
    ),
)
async def test_the_total_is_of_the_whole_list_on_every_page(
    *,
    begin: Begin[UnitOfWork],
    queries: Queries,
    team: Team,
    specified: list[dict[str, Any]],
    order: Order,
    limit: int,
    where: SpecimenOrderFilter,
) -> None:
    workspace_id = await another_workspace(begin, team)
    specimen_orders = specimen_orders_of(team, workspace_id, specified)
    await store(begin, *specimen_orders)
    pages = specimen_order_pages(queries, team.owner.user_id, workspace_id, order, where)
    matching = [
        specimen_order.id
        for specimen_order in in_order(specimen_orders, order)
        if matches(where, specimen_order)
    ]

    async def counted(page: PageRequest) -> Page[SpecimenOrderView]:
        answer = await pages(replace(page, counted=True))
        assert answer.total == len(matching)
        return answer

    assert [view.id for view in await walk(counted, [limit])] == matching


async def test_a_total_can_be_asked_for_on_any_page_and_the_limit_can_change(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, *specimen_orders_of(team, team.workspace.id, [{}] * 5))
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("title")])

    first = await pages(PageRequest(limit=2))
    second = await pages(PageRequest(limit=1, cursor=first.next, counted=True))
    third = await pages(PageRequest(limit=100, cursor=second.next))

    assert [page.total for page in (first, second, third)] == [None, 5, None]
    assert [len(page.items) for page in (first, second, third)] == [2, 1, 2]


async def test_a_page_beyond_the_end_has_a_total_and_so_has_a_list_of_nothing(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_orders = specimen_orders_of(team, team.workspace.id, [{}] * 3)
    await store(begin, *specimen_orders)
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("created_at")])
    cursor = (await pages(PageRequest(limit=2))).next
    async with begin() as uow:
        await uow.specimen_orders.remove(in_order(specimen_orders, [Sort("created_at")])[2])

    counted = PageRequest(limit=2, cursor=cursor, counted=True)
    assert await pages(counted) == Page(items=[], next=None, total=2)
    nothing = Page[Any](items=[], next=None, total=0)
    assert await queries.workspaces.page(a_user().id, PageRequest(counted=True)) == nothing
    assert (
        await queries.invitations.page(team.owner.user_id, team.workspace.id, PageRequest(counted=True))
        == nothing
    )


async def test_to_a_stranger_nothing_is_counted(queries: Queries, team: Team) -> None:
    pages = specimen_order_pages(queries, team.stranger.user_id, team.workspace.id, [Sort("title")])
    with refused(WorkspaceNotFound):
        await pages(PageRequest(counted=True))


async def test_the_total_and_the_page_are_of_the_same_instant(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    meddlers = Meddlers(begin, team, seed=0)
    pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, [Sort("title")])
    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(meddlers.write())
        try:
            for _ in range(25):
                await meddlers.await_write()
                for _ in range(4):
                    page = await pages(PageRequest(limit=100, counted=True))
                    assert page.total == len(page.items)
        finally:
            meddlers.stopped = True


@pytest.mark.parametrize("counted", [False, True])
async def test_counting_is_part_of_the_one_statement_and_is_not_done_unasked(
    queries: Queries, team: Team, statements: list[str], *, counted: bool
) -> None:
    team_page = PageRequest(counted=counted)
    pages = [
        queries.specimen_orders.page(
            team.owner.user_id, team.workspace.id, EVERYTHING, [Sort("title")], team_page
        ),
        queries.workspaces.page(team.owner.user_id, team_page),
    ]
    for page in pages:
        await asyncio.sleep(0)  # the driver tells of a statement a moment after it ended
        statements.clear()
        await page
        await asyncio.sleep(0)
        assert len(statements) == 1
        assert ("count(" in statements[0].lower()) is counted


# ── a list whose views lack the id that it is sorted by last ─────────────────────────────────────


@pytest.mark.parametrize("sizes", [[1], [2, 3], [7], [100]])
async def test_members_who_joined_at_one_instant_are_in_the_order_of_their_memberships(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, sizes: list[int]
) -> None:
    users = [a_user() for _ in range(7)]
    joined = [
        a_membership(
            workspace_id=team.workspace.id, user_id=user.id, joined_at=NOW + timedelta(days=number % 3)
        )
        for number, user in enumerate(users)
    ]
    await store(begin, *users, *joined)

    found = await walk(
        lambda page: queries.memberships.page(team.viewer.user_id, team.workspace.id, page), sizes
    )

    everybody = sorted([*joined, *team.memberships.values()], key=lambda each: (each.joined_at, each.id))
    assert [view.user_id for view in found] == [each.user_id for each in everybody]


# ── what is declared, and what is written ────────────────────────────────────────────────────────


@pytest.mark.parametrize("change", ["too few", "too many"])
@pytest.mark.parametrize("what", ["sorts", "filters"])
def test_a_list_whose_sql_differs_from_what_is_declared_is_refused_at_once(what: str, change: str) -> None:
    sorts: dict[str, Any] = {key: by_text(specimen_orders_table.c.title) for key in KEYS}
    filters: dict[str, Any] = {
        field.name: specimen_orders_table.c.title == "a" for field in fields(SpecimenOrderFilter)
    }
    changed = {"sorts": sorts, "filters": filters}[what]
    if change == "too few":
        told = f"{changed.popitem()[0]} is declared, and has no SQL"
    else:
        changed["colour"] = next(iter(changed.values()))
        told = "colour has SQL, and is not declared"

    with pytest.raises(TypeError, match=rf"^The {what} of SpecimenOrderView differ: {told}\.$"):
        Listing(
            SpecimenOrderView,
            select(*(specimen_orders_table.c[name] for name in column_names(SpecimenOrderView))),
            id=specimen_orders_table.c.id,
            sorts=sorts,
            sorted_by=SpecimenOrderSortKey,
            filters=filters,
            filtered_by=SpecimenOrderFilter,
        )


# ── cursors that are not what we gave out ────────────────────────────────────────────────────────

BY_EVERYTHING: Order = [Sort("created_at"), Sort("due_at"), Sort("priority"), Sort("title")]


@pytest.fixture
async def pages(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> Callable[[PageRequest], Awaitable[Page[SpecimenOrderView]]]:
    """A list of two specimen orders that is sorted by every type there is."""
    await store(begin, *specimen_orders_of(team, team.workspace.id, [{"title": "bébé"}, {"due_at": NOW}]))
    return specimen_order_pages(queries, team.owner.user_id, team.workspace.id, BY_EVERYTHING)


@pytest.fixture
async def cursor(pages: Callable[[PageRequest], Awaitable[Page[SpecimenOrderView]]]) -> str:
    cursor = (await pages(PageRequest(limit=1))).next
    assert cursor is not None
    return cursor


type Pages = Callable[[PageRequest], Awaitable[Page[SpecimenOrderView]]]


def opened(cursor: str) -> list[Any]:
    opened = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert isinstance(opened, list)
    return opened


def shut(content: Any) -> str:
    return encoded(json.dumps(content).encode())


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_a_cursor_can_stand_in_an_address_as_it_is(cursor: str) -> None:
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert cursor.isascii()


@given(cursor=st.text() | st.binary().map(encoded) | st.text(st.characters(codec=None)))
@example(cursor="")
@example(cursor="=")
@example(cursor="A")
@example(cursor="\0")
@example(cursor="\ud800")
@example(cursor="ÿ" * 9)
@example(cursor="A" * 1_000_000)
@example(cursor=encoded(b"[" * 100_000))
@example(cursor=encoded(b'{"a":' * 100_000))
@example(cursor=encoded(b'["' + b"9" * 10_000))
@example(cursor=encoded(b"[" + b"9" * 10_000 + b"]"))
@example(cursor=encoded(b"\xff\xfe[\0]\0"))
@example(cursor=encoded(b"\xef\xbb\xbf[]"))
async def test_an_arbitrary_cursor_is_refused(pages: Pages, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await pages(PageRequest(limit=1, cursor=cursor))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(content=json_values)
@example(content=[])
@example(content={})
@example(content=[[]])
@example(content="text")
@example(content=float("nan"))
@example(content=10**400)
async def test_a_cursor_of_arbitrary_json_is_refused(pages: Pages, content: Any) -> None:
    with pytest.raises(InvalidCursor):
        await pages(PageRequest(limit=1, cursor=shut(content)))


async def test_a_truncated_cursor_is_refused(pages: Pages, cursor: str) -> None:
    for length in range(len(cursor)):
        with pytest.raises(InvalidCursor):
            await pages(PageRequest(limit=1, cursor=cursor[:length]))


@given(position=st.integers(0), bit=st.integers(0, 6))
async def test_a_cursor_with_a_flipped_bit_is_refused_or_points_elsewhere(
    pages: Pages, cursor: str, position: int, bit: int
) -> None:
    position %= len(cursor)
    flipped = chr(ord(cursor[position]) ^ 1 << bit)
    try:
        page = await pages(PageRequest(limit=1, cursor=cursor[:position] + flipped + cursor[position + 1 :]))
    except InvalidCursor:
        return
    assert len(page.items) <= 1


@given(edits=st.lists(st.tuples(st.integers(0), st.binary(max_size=3), st.integers(0, 2)), min_size=1))
async def test_a_cursor_with_bytes_put_in_and_taken_out_is_refused_or_points_elsewhere(
    pages: Pages, cursor: str, edits: list[tuple[int, bytes, int]]
) -> None:
    raw = json.dumps(opened(cursor)).encode()
    for number, put_in, taken_out in edits:
        position = number % (len(raw) or 1)
        raw = raw[:position] + put_in + raw[position + taken_out :]
    try:
        page = await pages(PageRequest(limit=1, cursor=encoded(raw)))
    except InvalidCursor:
        return
    assert len(page.items) <= 1


@given(position=st.integers(0, 4), value=json_values)
async def test_a_forged_value_in_a_cursor_is_refused_or_points_elsewhere(
    pages: Pages, cursor: str, position: int, value: Any
) -> None:
    mark, *values = opened(cursor)
    values[position] = value
    try:
        page = await pages(PageRequest(limit=1, cursor=shut([mark, *values])))
    except InvalidCursor:
        return
    assert len(page.items) <= 1


WRONG: dict[int, list[Any]] = {
    0: [  # an instant
        *(None, True, 0, 1e300, "", "now", [], {}, "2026-11-02", "2026-11-02T09:30:15", "infinity"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999-00:01"),
        *("10000-01-01T00:00:00+00:00", "2026-11-02T09:30:15+24:00", "2026-13-02T09:30:15Z", "\0", "\ud800"),
        *("2026-11-02 09:30:15Z", "20261102T093015Z", "2026-11-02T09:30:15+01:99", "2026-11-02T24:00:00Z"),
        *("2026-W45-1T09:30:15Z", "2026-11-02T09:30:15+01:00:30", "2026-11-02T09:30:60Z", "2026-11-02T09Z"),
    ],
    2: [None, True, False, 1.0, "1", 1 << 31, -(1 << 31) - 1, 10**4000, [1], float("inf"), float("nan")],
    3: [None, 1, True, [], {}, "\0", "a\0b", "\ud800", "a\udfff"],  # a text
    4: [None, 1, True, [], {}, "", "0", "\0", "\ud800", "00000000-0000-0000-0000-00000000000g", "9" * 40],
}


@pytest.mark.parametrize(
    ("position", "value"),
    [(place, each) for place in WRONG for each in WRONG[place]],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_value_of_the_wrong_kind_in_a_cursor_is_refused(
    pages: Pages, cursor: str, position: int, value: Any
) -> None:
    mark, *values = opened(cursor)
    values[position] = value
    with refused(InvalidCursor, DAMAGED):
        await pages(PageRequest(limit=1, cursor=shut([mark, *values])))


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "0001-01-01T00:00:00+00:00"),
        (0, "9999-12-31T23:59:59.999999+00:00"),
        (0, "9999-12-31T23:59:59+14:00"),
        (2, -(1 << 31) + 1),
        (2, (1 << 31) - 1),
        (3, ""),
        (3, "\U0010ffff" * 1000),
        (4, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ],
)
async def test_the_utmost_values_in_a_cursor_point_at_the_ends_of_the_list(
    pages: Pages, cursor: str, position: int, value: Any
) -> None:
    mark, *values = opened(cursor)
    values[position] = value
    assert len((await pages(PageRequest(limit=9, cursor=shut([mark, *values])))).items) in {0, 1, 2}


@pytest.mark.parametrize("more_or_less", [-1, 1])
async def test_a_cursor_with_another_number_of_values_is_refused(
    pages: Pages, cursor: str, more_or_less: int
) -> None:
    content = opened(cursor)
    with refused(InvalidCursor, ANOTHER_LIST):
        await pages(PageRequest(cursor=shut(content[:-1] if more_or_less < 0 else [*content, "more"])))


async def test_a_cursor_of_another_sort_is_refused(
    queries: Queries, team: Team, pages: Pages, cursor: str
) -> None:
    others: list[Order] = [
        [Sort("created_at")],
        [Sort("created_at", descending=True), *BY_EVERYTHING[1:]],
        BY_EVERYTHING[::-1],
    ]
    for order in others:
        with refused(InvalidCursor, ANOTHER_LIST):
            await specimen_order_pages(queries, team.owner.user_id, team.workspace.id, order)(
                PageRequest(cursor=cursor)
            )


async def test_a_cursor_of_another_filter_is_refused(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, *specimen_orders_of(team, team.workspace.id, [{}] * 2))
    filters = [
        EVERYTHING,
        SpecimenOrderFilter(status=[SpecimenOrderStatus.OPEN]),
        SpecimenOrderFilter(status=[SpecimenOrderStatus.OPEN, SpecimenOrderStatus.DONE]),
        SpecimenOrderFilter(priority=[SpecimenOrderPriority.NORMAL]),
        SpecimenOrderFilter(q="patterns"),
    ]
    owner, workspace_id = team.owner.user_id, team.workspace.id
    for given_for, used_for in permutations(filters, 2):
        page = await specimen_order_pages(queries, owner, workspace_id, BY_EVERYTHING, given_for)(
            PageRequest(limit=1)
        )
        assert page.next is not None
        with refused(InvalidCursor, ANOTHER_LIST):
            await specimen_order_pages(queries, owner, workspace_id, BY_EVERYTHING, used_for)(
                PageRequest(limit=1, cursor=page.next)
            )


async def test_a_cursor_with_a_filter_that_has_no_form_in_unicode_is_refused(
    queries: Queries, team: Team, cursor: str
) -> None:
    for where in (SpecimenOrderFilter(q="\ud800"), SpecimenOrderFilter(label="a\udfff")):
        pages = specimen_order_pages(queries, team.owner.user_id, team.workspace.id, BY_EVERYTHING, where)
        with pytest.raises(InvalidCursor):
            await pages(PageRequest(cursor=cursor))


async def test_values_of_a_filter_mean_the_same_in_any_order(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, *specimen_orders_of(team, team.workspace.id, [{}] * 2))
    one = SpecimenOrderFilter(status=[SpecimenOrderStatus.OPEN, SpecimenOrderStatus.DONE])
    same = SpecimenOrderFilter(
        status=[SpecimenOrderStatus.DONE, SpecimenOrderStatus.OPEN, SpecimenOrderStatus.OPEN]
    )
    owner, workspace_id = team.owner.user_id, team.workspace.id
    page = await specimen_order_pages(queries, owner, workspace_id, BY_EVERYTHING, one)(PageRequest(limit=1))

    rest = await specimen_order_pages(queries, owner, workspace_id, BY_EVERYTHING, same)(
        PageRequest(cursor=page.next)
    )

    assert len(rest.items) == 1


async def test_a_cursor_of_another_workspace_is_refused(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, cursor: str
) -> None:
    workspace_id = await another_workspace(begin, team)
    with refused(InvalidCursor, ANOTHER_LIST):
        await specimen_order_pages(queries, team.owner.user_id, workspace_id, BY_EVERYTHING)(
            PageRequest(cursor=cursor)
        )


async def test_a_cursor_of_another_viewer_is_refused(queries: Queries, team: Team, cursor: str) -> None:
    with refused(InvalidCursor, ANOTHER_LIST):
        await specimen_order_pages(queries, team.admin.user_id, team.workspace.id, BY_EVERYTHING)(
            PageRequest(cursor=cursor)
        )


async def test_a_cursor_opens_no_list_to_a_stranger(queries: Queries, team: Team, cursor: str) -> None:
    mark, *values = opened(cursor)
    assert mark
    for workspace_id in (team.workspace.id, a_workspace_id()):
        with pytest.raises(InvalidCursor):
            await specimen_order_pages(queries, team.stranger.user_id, workspace_id, BY_EVERYTHING)(
                PageRequest(cursor=shut([mark, *values]))
            )
