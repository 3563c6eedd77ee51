"""The source of a resource's tests: its facts, which the kernel's suites use, and a suite in each ring."""

from collections.abc import Mapping
from textwrap import fill, indent
from types import MappingProxyType

from builder.kinds import Kind
from builder.rings import (
    EVENTS,
    article,
    filters,
    imported_ids,
    is_filtered,
    kinds,
    sort_keys,
    taken,
    unknown,
)
from builder.spec import Field, Resource, Target

WEAK = {"member": "viewer", "admin": "member", "owner": "admin"}
ROLES = ("viewer", "member", "admin", "owner")

_MADE = {
    "str": "str(next(_NUMBERS))",
    "email": 'f"{next(_NUMBERS)}@example.com"',
    "url": 'f"https://example.com/{next(_NUMBERS)}"',
    "slug": 'f"slug-{next(_NUMBERS)}"',
}


def facts(it: Resource, revision: str) -> str:
    pairs, x, t = kinds(it), it.name, it.plural
    unique = bool(it.of("unique"))
    signature = "".join(f"    {field.name}: {_builder_hint(field, kind)},\n" for field, kind in pairs)
    passed = "".join(f"        {field.name}={field.name}{_or_made(field, kind)},\n" for field, kind in pairs)
    first = "".join(
        f"        {field.name}={_value(field, kind, f'around.{field.stem}.id')},\n" for field, kind in pairs
    )
    second = "".join(
        f"        {field.name}="
        f"{'None' if field.nullable else _value(field, kind, f'around.other_{field.stem}.id', other=True)},\n"
        for field, kind in pairs
    )
    body = ", ".join(
        f"{field.name}=" + (f'"<{x}_{field.name}>"' if field.target else kind.first.sent)
        for field, kind in pairs
        if kind.default is None
    )
    arguments = _arguments(it, "of(it.world).around.{}.id")
    required = [field for field, _ in it.references if not field.nullable]
    around = "".join(f", {field.name}=around.{field.stem}.id" for field in required)
    crowd = "".join(f", {field.name}=of(world).around.{field.stem}.id" for field in required)
    surroundings = _around(it) if it.references else ""
    changed_field, changed = edited(it)
    names = ["create", *(verb for verb in ("edit", "delete") if verb in it.verbs)]
    matrix = [
        f'"POST /v1/workspaces/{{workspace_id}}/{t}": in_a_workspace("{it.role}", 201, '
        f'weak=("{WEAK[it.role]}", 403), send=json({body}))',
        f'"GET /v1/{t}/{{{x}_id}}": in_a_workspace("viewer", weak=None)',
    ]
    commands = [
        f'"create_{x}": (2, lambda it: it.run(create_{x}, it.team.{it.role}, it.team.workspace.id, {arguments}))',
        f'# standing\n    "create_{x}, refused": (1, _refused)',
    ]
    if "list" in it.verbs:
        matrix.append(f'"GET /v1/workspaces/{{workspace_id}}/{t}": in_a_workspace("viewer", weak=None)')
    of = f"of(it.world).{x}"
    if "edit" in it.verbs:
        matrix.append(
            f'"PATCH /v1/{t}/{{{x}_id}}": in_a_workspace("{it.role}", weak=("{WEAK[it.role]}", 403), '
            f"send=json({changed_field.name}={changed.second.sent}))"
        )
        name = changed_field.name
        commands += [
            f'# {it.label}, standing, change\n    "edit_{x}": (3, lambda it: it.run(edit_{x}, '
            f"it.team.{it.role}, {of}.id, {name}={changed.second.python}))",
            f'"edit_{x}, the same": (2, lambda it: it.run(edit_{x}, it.team.{it.role}, {of}.id, '
            f"{name}={of}.{name}))",
        ]
    if "delete" in it.verbs:
        matrix.append(
            f'"DELETE /v1/{t}/{{{x}_id}}": in_a_workspace("{it.role}", 204, weak=("{WEAK[it.role]}", 403))'
        )
        commands.append(f'"delete_{x}": (3, lambda it: it.run(delete_{x}, it.team.{it.role}, {of}.id))')
    where = f"{it.entity}Filter(), " if is_filtered(it) else ""
    questions = [f'"{t}.get": (1, lambda it: it.ask.{t}.get(it.team.viewer.user_id, {of}.id))']
    if "list" in it.verbs:
        questions.append(
            f'"{t}.page": (1, lambda it: it.ask.{t}.page(it.team.viewer.user_id, it.team.workspace.id, '
            f'{where}[Sort("created_at")], PageRequest(limit=20)))'
        )
    names_of_columns = ", ".join(
        [
            "id",
            "workspace_id",
            *(field.name for field, _ in pairs),
            "created_by",
            "created_at",
            "updated_at",
            "version",
        ]
    )
    columns = fill(f"({names_of_columns})", 95, initial_indent=" " * 12, subsequent_indent=" " * 13)
    rows = ",\n               ".join(kind.rows for _, kind in pairs)
    enums = [kind.hint.removesuffix(" | None") for _, kind in pairs if kind.enum]
    listed = f'''
LISTS = {{
    "{t}": Listed(
        table="{t}",
        ask=lambda world, sort, page: world.ask.{t}.page(
            world.team.viewer.user_id, world.team.workspace.id, {where}sort, page
        ),
        sorts={{
{indent("".join(f'"{key}": lambda view: view.{key},' + chr(10) for key in sort_keys(it)), "            ")}        }},
    ),
}}
'''
    nothing = "\nLISTS: dict[str, Listed[Any]] = {}\n"
    filled = f'''
FILL = {{
    "{t}": """
        INSERT INTO {t}
{columns}
        SELECT gen_random_uuid(), :workspace,
               {rows},
               :owner, :at, :now, 1
        FROM generate_series(1, 10000) AS n
    """,
}}
'''
    filling = rows.replace(":now", "now()").replace(":workspace", "numbered.workspace_id")
    return f'''"""{it.labels.capitalize()}: all that the suites need to know of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from application.commands.{t} import {", ".join(f"{name}_{x}" for name in names)}
from application.kernel.admission import NotPermitted
from application.kernel.paging import PageRequest, Sort
{f"from application.queries.{t} import {it.entity}Filter" if is_filtered(it) else ""}
from domain.{t} import {", ".join([it.entity, f"{it.entity}Id", f"{it.entity}NotFound", *enums])}
{_imported_targets(it)}from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.world.builders import NOW, a_team, a_user_id, a_workspace_id
from kernel.world.resources import (
    Example, Listed, Matrix, Places, Stage, Statements, World, in_a_workspace, json
)

{"_NUMBERS = count(1)" if unique else ""}


def a_{x}(
    *,
    id: {it.entity}Id | None = None,
    workspace_id: WorkspaceId | None = None,
{signature}    created_by: UserId | None = None,
    created_at: datetime = NOW,
    updated_at: datetime | None = None,
) -> {it.entity}:
    return {it.entity}(
        id=id or {it.entity}Id(new_id(NOW)),
        workspace_id=workspace_id or a_workspace_id(),
{passed}        created_by=created_by or a_user_id(),
        created_at=created_at,
        updated_at=updated_at or created_at,
    )

{surroundings}

LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def {x}_example() -> Example:
    team = a_team()
{f"    around = a_surrounding(team.workspace.id, team.owner.user_id){chr(10)}" if it.references else ""}    {
        x
    } = a_{x}(
        workspace_id=team.workspace.id,
{first}        created_by=team.owner.user_id,
        updated_at=LATER,
    )
    changed = replace(
        {x},
{second}        updated_at=LATER + timedelta(days=1),
    )
    return Example({"(*team.aggregates, *around.all)" if it.references else "team.aggregates"}, {
        x
    }, changed, {it.entity}NotFound)


EXAMPLES = [{x}_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    {x}: {it.entity}
{"    around: Surrounding" if it.references else ""}


def of(world: World) -> Made:
    """{article(it.label).capitalize()} of the member's."""
{_made(it, around)}

def stored(world: World) -> Sequence[Aggregate]:
    return [{"*of(world).around.all, " if it.references else ""}of(world).{x}]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return [a_{x}(workspace_id=world.workspace_id, created_by=world.owner{crowd}) for _ in range(count)]


def places(world: World) -> Places:
    return {{"{x}_id": of(world).{x}.id{
        "".join(f', "{x}_{field.name}": str(of(world).around.{field.stem}.id)' for field in required)
    }}}


PEOPLE: list[str] = []

MATRIX: Matrix = {{
    {",".join(chr(10) + "    " + row for row in matrix)},
}}


# ── statements ───────────────────────────────────────────────────────────────────────────────────


async def _refused(it: Stage) -> None:
    with pytest.raises(NotPermitted):
        await it.run(create_{x}, it.team.{WEAK[it.role]}, it.team.workspace.id, {arguments})


COMMANDS: Statements = {{
    # standing, change
    {("," + chr(10) + "    ").join(commands)},
}}

QUERIES: Statements = {{
    {("," + chr(10) + "    ").join(questions)},
}}

FILLINGS = {{
    "{revision}": """
        INSERT INTO {t}
{columns}
        SELECT gen_random_uuid(), workspace_id,
               {filling},
               user_id, now(), now(), 1
        FROM (SELECT *, (row_number() OVER (ORDER BY id))::int AS n FROM memberships) AS numbered
    """,
}}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────
{filled}{listed if "list" in it.verbs else nothing}'''


def _defaults(pairs: list[tuple[Field, Kind]]) -> str:
    """That what was made has what it has where nothing is said."""
    return "".join(
        f"    assert made.{each.name} == {made.default}\n".replace("== None", "is None")
        .replace("== True", "is True")
        .replace("== False", "is False")
        for each, made in pairs
        if made.default is not None
    )


def _value(field: Field, kind: Kind, reference: str, *, other: bool = False) -> str:
    """What a test gives the field, as Python: of a reference what is said."""
    if field.target is not None:
        return reference
    return kind.second.python if other else kind.first.python


def _arguments(it: Resource, reference: str, *, given: Mapping[str, str] = MappingProxyType({})) -> str:
    """What is required as arguments; `reference` has a place for the name of what is referred to, and
    `given` is said of columns instead."""
    return ", ".join(
        f"{field.name}={given.get(field.name) or _value(field, kind, reference.format(field.stem))}"
        for field, kind in kinds(it)
        if kind.default is None or field.name in given
    )


def _imported_targets(it: Resource) -> str:
    every = {each.name: each for _, target in it.references for each in _with_needs(target)}
    return "".join(
        f"from domain.{each.plural} import {each.entity}, {each.entity}Id\n"
        f"from resources.{each.plural} import a_{each.name}\n"
        for each in every.values()
    )


def _with_needs(target: Target) -> list[Target]:
    return [target, *(each for _, needed in target.needs for each in _with_needs(needed))]


def _around(it: Resource) -> str:
    """What a resource refers to in tests: two of each, and what these need."""
    before: list[str] = []

    def made(name: str, target: Target) -> str:
        needed = ""
        for column, each in target.needs:
            inner = f"{name}_{column.removesuffix('_id')}"
            if f"    {inner} = " not in "".join(before):
                line = f"    {inner} = {made(inner, each)}\n"
                before.append(line)
            needed += f", {column}={inner}.id"
        return (
            f'a_{target.name}(id={target.entity}Id(id("{name}")), workspace_id=workspace_id, '
            f"created_by=by{needed})"
        )

    names = [(f"{start}{field.stem}", target) for field, target in it.references for start in ("", "other_")]
    given = "".join(f"        {name}={made(name, target)},\n" for name, target in names)
    needed = ", ".join(line.split(" = ")[0].strip() for line in before)
    fields = "".join(f"    {name}: {target.entity}\n" for name, target in names)
    every = ", ".join(f"self.{name}" for name, _ in names)
    return f'''

@dataclass(frozen=True, kw_only=True)
class Surrounding:
    """What {article(it.label)} refers to, and another of each; `before` is what these refer to."""

    before: Sequence[Aggregate]
{fields}
    @property
    def all(self) -> Sequence[Aggregate]:
        return [*self.before, {every}]


def a_surrounding(
    workspace_id: WorkspaceId, by: UserId, *, id: Callable[[str], UUID] = lambda _: new_id(NOW)
) -> Surrounding:
    """`id` makes the ids, by the names of the fields."""
{"".join(before)}    return Surrounding(
        before=[{needed}],
{given}    )
'''


def _made(it: Resource, around: str) -> str:
    """The body of `of`."""
    x = it.name
    if not it.references:
        return f'''    return world.once(
        Made,
        lambda: Made(
            a_{x}(
                id={it.entity}Id(world.id("{x}")), workspace_id=world.workspace_id, created_by=world.member
            )
        ),
    )
'''
    return f'''
    def make() -> Made:
        around = a_surrounding(world.workspace_id, world.member, id=lambda name: world.id(f"{x}: {{name}}"))
        {x} = a_{x}(
            id={it.entity}Id(world.id("{x}")), workspace_id=world.workspace_id, created_by=world.member{around}
        )
        return Made({x}, around)

    return world.once(Made, make)
'''


def edited(it: Resource) -> tuple[Field, Kind]:
    """The field that the suites change: the first that has many values."""
    plain = ("str", "text", "int", "decimal", "money", "date", "datetime", "email", "url", "slug")
    return next((field, kind) for field, kind in kinds(it) if field.type in plain)


def _builder_hint(field: Field, kind: Kind) -> str:
    if field.unique or (field.type in {"json", "ref"} and not field.nullable):
        return f"{kind.hint.removesuffix(' | None')} | None = None"
    return f"{kind.hint} = {kind.default or kind.first.python}"


def _or_made(field: Field, kind: Kind) -> str:
    if field.type == "json" and not field.nullable:
        return f" or {kind.first.python}"
    if field.target is not None and not field.nullable:
        return f" or {field.target.entity}Id(new_id(NOW))"
    if not field.unique:
        return ""
    return " or " + _MADE.get(field.type, f"{field.bounds[0] if field.bounds else 0} + next(_NUMBERS)")


def of_domain(it: Resource) -> str:
    pairs, x = kinds(it), it.name
    field, kind = edited(it)
    required = "".join(
        f'    "{each.name}": {made.first.python},\n' for each, made in pairs if made.default is None
    )
    given = "".join(f"        {each.name}={made.first.python},\n" for each, made in pairs)
    defaults = _defaults(pairs)
    wrong = "".join(f'    ("{each.name}", {value}),\n' for each, made in pairs for value in made.wrong)
    most = "".join(f'    ("{each.name}", {made.most}),\n' for each, made in pairs if made.most)
    constants = [
        line.split(" = ")[0]
        for _, made in pairs
        for line in made.constants
        if line.split(" = ")[0] in " ".join([*made.wrong, made.most])
    ]
    enums = [made.hint.removesuffix(" | None") for _, made in pairs if made.enum]
    events = [f"{it.entity}{EVENTS[verb]}" for verb in EVENTS if verb in it.verbs]
    refusing = f"""

WRONG: list[tuple[str, Any]] = [
{wrong}]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_what_is_wrong_is_refused_with_its_name(field: str, value: object) -> None:
    with pytest.raises(Invalid) as refused:
        {it.entity}.create(**ABOUT, **(REQUIRED | {{field: value}}))
    assert refused.value.field == field
    assert refused.value.detail
"""
    longest = f"""

MOST: list[tuple[str, Any]] = [
{most}]


@pytest.mark.parametrize(("field", "value"), MOST)
def test_the_longest_that_may_be_is_taken(field: str, value: object) -> None:
    assert getattr({it.entity}.create(**ABOUT, **(REQUIRED | {{field: value}})), field) == value
"""
    on_edit = """    changes: dict[str, Any] = {field: value}
    with pytest.raises(Invalid) as refused:
        MADE.edit(by=SOMEBODY, at=LATER, **changes)
    assert refused.value.field == field
"""
    same = "".join(f"        {each.name}={made.second.python},\n" for each, made in pairs)
    edit = f"""

def test_an_edit_changes_what_it_names_and_says_so() -> None:
    edited = MADE.edit(by=SOMEBODY, at=LATER, {field.name}={kind.second.python})
    (*before, event) = edited.events
    assert replace(edited, events=tuple(before)) == replace(MADE, {field.name}={kind.second.python}, updated_at=LATER)
    assert event == {it.entity}Edited(
        at=LATER, {x}_id=MADE.id, workspace_id=MADE.workspace_id, by=SOMEBODY
    )


def test_everything_can_be_edited() -> None:
    edited = MADE.edit(
        by=SOMEBODY,
        at=LATER,
{same}    )
    assert replace(edited, events=()) == replace(
        MADE,
{same}        updated_at=LATER,
        events=(),
    )


def test_an_edit_that_changes_nothing_is_none() -> None:
    assert MADE.edit(by=SOMEBODY, at=LATER, {field.name}=MADE.{field.name}) is MADE
"""
    delete = f"""

def test_a_deletion_says_who_did_it() -> None:
    *_, event = MADE.delete(by=SOMEBODY, at=LATER).events
    assert event == {it.entity}Deleted(
        at=LATER, {x}_id=MADE.id, workspace_id=MADE.workspace_id, by=SOMEBODY
    )
"""
    nullable = [each for each, _ in pairs if each.nullable]
    away = "".join(f"{each.name}=None, " for each in nullable)
    taken_away = f"""

def test_what_may_be_missing_can_be_taken_away() -> None:
    full = {it.entity}.create(
        **ABOUT,
{given}    )
    edited = full.edit(by=SOMEBODY, at=LATER, {away})
    assert replace(edited, events=()) == replace(full, {away}updated_at=LATER, events=())
"""
    return f'''"""The rules of {it.labels}."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.{it.plural} import {", ".join([it.entity, f"{it.entity}Id", *events, *enums, *constants])}
{imported_ids(it)}from domain.kernel.aggregate import new_id
from domain.kernel.errors import Invalid
from kernel.world.builders import NOW, a_user_id, a_workspace_id

SOMEBODY = a_user_id()
LATER = NOW + timedelta(hours=1)
ABOUT: dict[str, Any] = {{
    "id": {it.entity}Id(new_id(NOW)),
    "workspace_id": a_workspace_id(),
    "by": SOMEBODY,
    "at": NOW,
}}
REQUIRED: dict[str, Any] = {{
{required}}}
MADE = {it.entity}.create(**ABOUT, **REQUIRED)


def test_it_is_created_with_what_it_was_given() -> None:
    made = {it.entity}.create(
        **ABOUT,
{given}    )
    assert replace(made, events=()) == {it.entity}(
        id=ABOUT["id"],
        workspace_id=ABOUT["workspace_id"],
{given}        created_by=SOMEBODY,
        created_at=NOW,
        updated_at=NOW,
    )
    assert made.events == (
        {it.entity}Created(at=NOW, {x}_id=made.id, workspace_id=made.workspace_id, by=SOMEBODY),
    )


def test_what_is_not_said_has_its_default() -> None:
    made = {it.entity}.create(**ABOUT, **REQUIRED)
    assert (made.created_at, made.updated_at) == (NOW, NOW)
{defaults}{refusing + (on_edit if "edit" in it.verbs else "") if wrong else ""}{longest if most else ""}{edit if "edit" in it.verbs else ""}{taken_away if nullable and "edit" in it.verbs else ""}{delete if "delete" in it.verbs else ""}'''


def of_application(it: Resource) -> str:
    pairs, x, t = kinds(it), it.name, it.plural
    arguments = _arguments(it, "around.{}.id")
    field, kind = edited(it)
    on_one = {}
    if "edit" in it.verbs:
        on_one["edit"] = f"run(edit_{x}, actor, {x}.id, {field.name}={kind.second.python})"
    if "delete" in it.verbs:
        on_one["delete"] = f"run(delete_{x}, actor, {x}.id)"
    rows = "".join(f'    "{name}": lambda run, actor, {x}: {call},\n' for name, call in on_one.items())
    of_the_made = {each.name: f"{x}.{each.name}" for each, _ in it.references if not each.nullable}
    create = (
        f"lambda run, actor, {x}: run(create_{x}, actor, {x}.workspace_id, "
        f"{_arguments(it, '', given=of_the_made)})"
    )
    required = [each for each, _ in it.references if not each.nullable]
    around = "    around = a_surrounding(team.workspace.id, team.owner.user_id)\n" if required else ""
    given = "".join(f", {each.name}=around.{each.stem}.id" for each in required)
    stored_around = f"{around}    await store(transactions, *around.all)\n" if required else ""
    surrounded = (
        "    around = a_surrounding(team.workspace.id, team.owner.user_id)\n"
        "    await store(transactions, *around.all)\n"
        if it.references
        else ""
    )
    everything = _arguments(
        it,
        "around.{}.id",
        given={each.name: _value(each, made, f"around.{each.stem}.id") for each, made in pairs},
    )
    held = "".join(
        f"        {each.name}={_value(each, made, f'around.{each.stem}.id')},\n" for each, made in pairs
    )
    defaults = _defaults(pairs)
    creating = f"""

async def test_it_is_made_of_what_was_given(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
{surrounded}    made = await run(create_{x}, team.{it.role}, team.workspace.id, {everything})
    assert isinstance(made.id, UUID)
    async with transactions() as uow:
        assert await uow.{t}.get(made.id) == made
    assert replace(made, version=0) == {it.entity}(
        id=made.id,
        workspace_id=team.workspace.id,
{held}        created_by=team.{it.role}.user_id,
        created_at=NOW,
        updated_at=NOW,
        version=0,
    )
"""
    if defaults:
        creating += f"""

async def test_what_is_not_said_has_its_default(
    run: Runner[UnitOfWork], {"transactions: MemoryTransactions[UnitOfWork], " if required else ""}team: Team
) -> None:
{stored_around}    made = await run(create_{x}, team.{it.role}, team.workspace.id, {arguments})
{defaults}"""
    elsewhere_tried = "".join(
        f"""    with refused({unknown(it, each)}, "Choose one of this workspace.", field="{each.name}"):
        await run(
            create_{x}, team.{it.role}, team.workspace.id, {
            _arguments(it, "around.{}.id", given={each.name: f"foreign.{each.stem}.id"})
        }
        )
"""
        for each, _ in it.references
    )
    foreign = f"""

async def test_what_it_refers_to_is_of_its_workspace(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    elsewhere = a_team()
    around = a_surrounding(team.workspace.id, team.owner.user_id)
    foreign = a_surrounding(elsewhere.workspace.id, elsewhere.owner.user_id)
    await store(transactions, *around.all, *elsewhere.aggregates, *foreign.all)
{elsewhere_tried}    assert transactions.events == []
"""
    able = ROLES[ROLES.index(it.role) :]
    weak = ROLES[: ROLES.index(it.role)]
    enums = [made.hint.removesuffix(" | None") for _, made in pairs if made.enum]
    events = [f"{it.entity}{EVENTS[verb]}" for verb in EVENTS if verb in it.verbs]
    elsewhere = f"""

@pytest.mark.parametrize("attempt", ON_ONE)
async def test_to_a_stranger_it_does_not_exist(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    made, elsewhere = await a_stored_{x}(transactions, team), a_team()
    await store(transactions, *elsewhere.aggregates)
    with refused({it.entity}NotFound):
        await ON_ONE[attempt](run, elsewhere.owner, made)
"""
    same = f"""

async def test_an_edit_that_changes_nothing_writes_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    made = await a_stored_{x}(transactions, team)
    same = await run(edit_{x}, team.{it.role}, made.id, {field.name}=made.{field.name})
    assert (same.version, transactions.events) == (made.version, [])
"""
    return f'''"""What members do with {it.labels}."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from application.commands.{t} import {", ".join(f"{name}_{x}" for name in ("create", *on_one))}
from application.kernel.admission import NotPermitted
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from application.unit_of_work import UnitOfWork
from domain.{t} import {
        ", ".join(
            [
                it.entity,
                f"{it.entity}NotFound",
                *events,
                *enums,
                *(unknown(it, each) for each, _ in it.references),
            ]
        )
    }
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.fakes import MemoryTransactions
from kernel.world.refusals import refused
from resources.{t} import a_{x}{", a_surrounding" if it.references else ""}

type Attempt = Callable[[Runner[UnitOfWork], Caller, {it.entity}], Awaitable[object]]

ON_ONE: Mapping[str, Attempt] = {{
{rows}}}
EVERYTHING: Mapping[str, Attempt] = {{
    **ON_ONE,
    "create": {create},
}}
EVENTS = {{{", ".join(f'"{verb}": {it.entity}{EVENTS[verb]}' for verb in EVENTS if verb in it.verbs)}}}


async def a_stored_{x}(transactions: MemoryTransactions[UnitOfWork], team: Team) -> {it.entity}:
{around}    made = a_{x}(workspace_id=team.workspace.id, created_by=team.owner.user_id{given})
    await store(transactions, {"*around.all, " if around else ""}made)
    async with transactions() as uow:
        return await uow.{t}.get(made.id)


@pytest.mark.parametrize("role", [{", ".join(f"Role.{role.upper()}" for role in able)}])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_who_may_write_may_do_everything(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    made = await a_stored_{x}(transactions, team)
    await EVERYTHING[attempt](run, team[role], made)
    (event,) = transactions.events
    assert isinstance(event, {" | ".join(events)})
    assert (type(event), event.by, event.at) == (EVENTS[attempt], team[role].user_id, NOW)


@pytest.mark.parametrize("role", [{", ".join(f"Role.{role.upper()}" for role in weak)}])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_the_others_may_only_look(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    made = await a_stored_{x}(transactions, team)
    with refused(NotPermitted, f"The role {{role}} lacks the permission {t}:write."):
        await EVERYTHING[attempt](run, team[role], made)
    assert transactions.events == []
{creating}{elsewhere if on_one else ""}

async def test_a_stranger_creates_none(run: Runner[UnitOfWork], team: Team) -> None:
{around}    with refused(WorkspaceNotFound):
        await run(create_{x}, team.stranger, team.workspace.id, {arguments})


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_in_an_archived_workspace_nothing_changes(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], archived_team: Team
) -> None:
    made = await a_stored_{x}(transactions, archived_team)
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await EVERYTHING[attempt](run, archived_team.{it.role}, made)
{same if "edit" in it.verbs else ""}{foreign if it.references else ""}'''


def of_http(it: Resource) -> str:
    pairs, t = kinds(it), it.plural
    body = "".join(f'    "{field.name}": {kind.first.sent},\n' for field, kind in pairs)
    shown = "".join(f'    "{field.name}": {kind.first.shown},\n' for field, kind in pairs)
    least = "".join(
        f'    "{field.name}": {kind.first.sent},\n' for field, kind in pairs if kind.default is None
    )
    second = "".join(f'    "{field.name}": {kind.second.sent},\n' for field, kind in pairs)
    second_shown = "".join(f'    "{field.name}": {kind.second.shown},\n' for field, kind in pairs)
    patch = f"""
    patched = await {it.role}.patch(address, json=OTHER)
    assert patched.status_code == 200, patched.text
    assert patched.json() == created.json() | OTHER_SHOWN | {{
        "updated_at": patched.json()["updated_at"],
        "version": 2,
    }}
"""
    listing = f"""
    listed = await viewer.get({t})
    assert [each["id"] for each in listed.json()["items"]] == [created.json()["id"]]
"""
    delete = f"""
    assert (await {it.role}.delete(address)).status_code == 204
    assert (await viewer.get(address)).status_code == 404
"""
    unique = "".join(
        f"""

async def test_{field.name}_is_unique_in_its_workspace({it.role}: AsyncClient, {t}: str) -> None:
    first = await {it.role}.post({t}, json=FULL)
    assert first.status_code == 201, first.text
    taken = await {it.role}.post({t}, json={_only(it, field)})
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/{_kebab(taken(it, field))}")
"""
        for field in it.of("unique")
    )
    unique += _of_references(it)
    asked = _asked(it)
    filtered = f"""

@pytest.mark.parametrize(("query", "names"), [
{asked}])
async def test_a_filter_lets_through_what_it_names(
    query: str, names: bool, {it.role}: AsyncClient, {t}: str
) -> None:
    created = await {it.role}.post({t}, json=FULL)
    assert created.status_code == 201, created.text
    found = await {it.role}.get(f"{{{t}}}?{{query}}")
    assert found.status_code == 200, found.text
    assert bool(found.json()["items"]) is names
"""
    show_listed = "list" in it.verbs
    return f'''"""{it.labels.capitalize()} over HTTP."""

from typing import Any
from uuid import UUID

import pytest
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.kernel.aggregate import new_id
from kernel.world.builders import NOW, Team, a_team, store
{f"from resources.{t} import a_surrounding" if it.references else ""}

FULL: dict[str, Any] = {{
{body}}}
SHOWN: dict[str, Any] = {{
{shown}}}
LEAST: dict[str, Any] = {{
{least}}}
{f"OTHER: dict[str, Any] = {{{chr(10)}{second}}}{chr(10)}OTHER_SHOWN: dict[str, Any] = {{{chr(10)}{second_shown}}}" if "edit" in it.verbs else ""}


@pytest.fixture
def {t}(team: Team) -> str:
    return f"/v1/workspaces/{{team.workspace.id}}/{t}"

{_stored(it) if it.references else ""}
async def test_it_is_created_and_shown(
    {it.role}: AsyncClient, viewer: AsyncClient, {t}: str
) -> None:
    created = await {it.role}.post({t}, json=FULL)
    assert created.status_code == 201, created.text
    assert created.json() == created.json() | SHOWN
    address = created.headers["location"]
    assert (await viewer.get(address)).json() == created.json()
{listing if show_listed else ""}{patch if "edit" in it.verbs else ""}{delete if "delete" in it.verbs else ""}

@pytest.mark.parametrize("missing", LEAST)
async def test_what_is_required_must_be_sent(missing: str, {it.role}: AsyncClient, {t}: str) -> None:
    assert (await {it.role}.post({t}, json=LEAST)).status_code == 201
    sent = {{name: value for name, value in LEAST.items() if name != missing}}
    refused = await {it.role}.post({t}, json=sent)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{{missing}}")
{unique}{filtered if asked and show_listed else ""}'''


def _stored(it: Resource) -> str:
    numbers = {
        name: number
        for place, (field, _) in enumerate(it.references)
        for name, number in ((field.stem, 2 * place + 1), (f"other_{field.stem}", 2 * place + 2))
    }
    ids = ", ".join(f'"{name}": UUID(int={number})' for name, number in numbers.items())
    return f"""
@pytest.fixture(autouse=True)
async def around(begin: Begin[UnitOfWork], team: Team) -> None:
    ids = {{{ids}}}
    surrounding = a_surrounding(
        team.workspace.id, team.owner.user_id, id=lambda name: ids.get(name) or new_id(NOW)
    )
    await store(begin, *surrounding.all)

"""


def _of_references(it: Resource) -> str:
    t, role = it.plural, it.role
    tests = "".join(
        f"""

async def test_{field.name}_names_one_of_the_workspace(
    begin: Begin[UnitOfWork], {role}: AsyncClient, {t}: str
) -> None:
    elsewhere = a_team()
    foreign = a_surrounding(elsewhere.workspace.id, elsewhere.owner.user_id)
    await store(begin, *elsewhere.aggregates, *foreign.all)
    for strange in (foreign.{field.stem}.id, new_id(NOW)):
        refused = await {role}.post({t}, json=FULL | {{"{field.name}": str(strange)}})
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/{_kebab(unknown(it, field))}")
        assert refused.json()["errors"][0]["pointer"] == "#/{field.name}"
"""
        for field, _ in it.references
    )
    return tests + "".join(
        f"""

async def test_a_{target.name}_that_is_in_use_stays(owner: AsyncClient, {role}: AsyncClient, {t}: str) -> None:
    created = await {role}.post({t}, json=FULL)
    assert created.status_code == 201, created.text
    refused = await owner.delete(f"/v1/{target.plural}/{{FULL["{field.name}"]}}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/{_kebab(target.in_use)}")
"""
        for field, target in {target.name: (field, target) for field, target in it.references}.values()
        if target.deleted
    )


def _asked(it: Resource) -> str:
    """For each filter a query that what was sent passes, and one that it does not."""
    by_name, rows = {each.name: made for each, made in kinds(it)}, []
    for field, (name, _, _, _) in filters(it):
        kind = by_name[field.name]
        match field.type:
            case "int":
                low, high = kind.second.sent, kind.first.sent  # the least, and the most of all
                rows += [(f"{name}={high}", True)]
                rows += [(f"{name}={low}", name.endswith("_least"))]
            case "decimal" | "money":
                far = "0" if name.endswith("_most") else "9"  # beside 1 and its places
                rows += [(f"{name}={_bare(kind.first.sent)}", True), (f"{name}={far}", False)]
            case "date":
                far = "2026-11-29" if name.endswith("_until") else "2026-12-01"
                rows += [(f"{name}=2026-11-30", True), (f"{name}={far}", False)]
            case "datetime":
                before = name.endswith("_before")
                rows += [
                    (f"{name}=2026-11-30T17:00:00.000005Z", not before),
                    (f"{name}=2026-11-30T17:00:00.000006Z", before),
                ]
            case "bool":
                rows += [
                    (f"{name}={kind.first.sent.lower()}", True),
                    (f"{name}={kind.second.sent.lower()}", False),
                ]
            case _:
                rows += [
                    (f"{name}={_bare(kind.first.sent)}", True),
                    (f"{name}={_bare(kind.second.sent)}", False),
                ]
    for field in it.of("search")[:1]:
        kind = by_name[field.name]
        word = _bare(kind.first.sent).split()[0].lower()
        rows += [(f"q={word}", True), ("q=nowhere", False)]
    return "".join(f'    ("{query.replace(chr(92) + "n", " ")}", {names}),\n' for query, names in rows)


def _bare(sent: str) -> str:
    return sent.strip('"')


def _only(it: Resource, field: Field) -> str:
    """A body that has another value wherever that is to be unique, but not in this field."""
    others = "".join(
        f'"{each.name}": {kind.second.sent}, '
        for each, kind in kinds(it)
        if each.unique and each.name != field.name
    )
    return f"FULL | {{{others}}}" if others else "FULL"


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
