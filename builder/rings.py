"""The source of a resource in each ring. Imports that a resource does not need, `ruff` takes out again."""

from textwrap import indent

from builder.kinds import Kind, kind_of
from builder.spec import Field, Resource, camel, reference

ROLES = {"member": "MEMBERS", "admin": "ADMINS", "owner": "OWNERS"}
WHO = {
    "member": "Any member but a viewer",
    "admin": "An admin or an owner of the workspace",
    "owner": "An owner of the workspace",
}
EVENTS = {"create": "Created", "edit": "Edited", "delete": "Deleted"}


def kinds(it: Resource) -> list[tuple[Field, Kind]]:
    """In the order of their declaration, those without a default first."""
    found = [(field, kind_of(field, it)) for field in it.fields]
    return sorted(found, key=lambda pair: pair[1].default is not None)


def article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def taken(it: Resource, field: Field) -> str:
    """The error of a value that another one has."""
    return f"{it.entity}{camel(field.name)}Taken"


def unknown(it: Resource, field: Field) -> str:
    """The error of a reference to what the workspace does not have."""
    return f"{it.entity}{camel(field.stem)}Unknown"


def imported_ids(it: Resource) -> str:
    """The types of what it refers to."""
    return "".join(f"from domain.{each.plural} import {each.entity}Id\n" for each in it.targets)


def errors(it: Resource) -> list[str]:
    """What a change can be refused for."""
    return [
        *(taken(it, field) for field in it.of("unique")),
        *(unknown(it, field) for field, _ in it.references),
    ]


def declared(pairs: list[tuple[Field, Kind]], *, defaults: bool = True) -> str:
    return "\n".join(
        f"{field.name}: {kind.hint}" + (f" = {kind.default}" if defaults and kind.default is not None else "")
        for field, kind in pairs
    )


def _given(pairs: list[tuple[Field, Kind]]) -> str:
    """As arguments of a signature."""
    return "".join(
        f"        {field.name}: {kind.hint}{f' = {kind.default}' if kind.default is not None else ''},\n"
        for field, kind in pairs
    )


def domain(it: Resource) -> str:
    pairs, x = kinds(it), it.name
    constants = "\n".join(line for _, kind in pairs for line in kind.constants)
    enums = "".join(f"\n\n{kind.enum}\n" for _, kind in pairs if kind.enum)
    unique = "".join(
        f'''

class {taken(it, field)}(Conflict):
    """Another {it.label} of the workspace has this {field.label}."""
'''
        for field in it.of("unique")
    )
    unique += "".join(
        f'''

class {unknown(it, field)}(Invalid):
    """The workspace has no such {target.label}."""
'''
        for field, target in it.references
    )
    events = "".join(
        f"""

@dataclass(frozen=True, slots=True, kw_only=True)
class {it.entity}{name}(Event):
    {x}_id: {it.entity}Id
    workspace_id: WorkspaceId
    by: UserId
"""
        for verb, name in EVENTS.items()
        if verb in it.verbs
    )
    rules = "".join(
        f"""

def _valid_{field.name}({field.name}: {kind.hint}) -> {kind.hint}:
{indent(_rule(field, kind), "    ")}
"""
        for field, kind in pairs
        if kind.rule
    )
    changes = f'''

class {it.entity}Changes(TypedDict, total=False):
    """What of {article(it.label)} can be edited; what is absent stays{
        ", and `None` takes the value away" if any(field.nullable for field, _ in pairs) else ""
    }."""

{indent(declared(pairs, defaults=False), "    ")}
'''
    made = "".join(
        f"            {field.name}={_checked(field, kind, field.name)},\n" for field, kind in pairs
    )
    event = "at=at, {x}_id={id}, workspace_id={workspace}, by=by"
    created = event.format(x=x, id="id", workspace="workspace_id")
    existing = event.format(x=x, id="self.id", workspace="self.workspace_id")
    edits = "".join(
        f"""        if "{field.name}" in changes:
            changes["{field.name}"] = {_checked(field, kind, f'changes["{field.name}"]')}
"""
        for field, kind in pairs
        if kind.rule
    )
    ruled = [field.name for field, kind in pairs if kind.rule]
    table = ""
    if len(ruled) > _RULES_MOST and "edit" in it.verbs:
        rows = "".join(f'    "{name}": _valid_{name},\n' for name in ruled)
        table = f"\n\n_RULES: Mapping[str, Callable[[Any], object]] = MappingProxyType({{\n{rows}}})\n"
        edits = """        checked: dict[str, Any] = {
            name: _RULES[name](value) if name in _RULES else value for name, value in changes.items()
        }
"""
    changed = "checked" if table else "changes"
    edit = f'''
    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[{it.entity}Changes]) -> Self:
        """The {it.label} with its changes; unchanged, and without an event, where they change nothing."""
{edits}        edited = replace(self, **{changed})
        if edited == self:
            return self
        return replace(edited, updated_at=at).recording({it.entity}Edited({existing}))
'''
    delete = f"""
    def delete(self, *, by: UserId, at: datetime) -> Self:
        return self.recording({it.entity}Deleted({existing}))
"""
    return f'''"""{it.labels.capitalize()} of a workspace."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NewType, Self, TypedDict, Unpack
from uuid import UUID

{imported_ids(it)}from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Invalid, NotFound
from domain.kernel.text import line, prose, web_address
from domain.kernel.users import UserId, email_address
from domain.kernel.workspaces import WorkspaceId

{it.entity}Id = NewType("{it.entity}Id", UUID)

{constants}
{enums}

class {it.entity}NotFound(NotFound, of={it.entity}Id):
    """There is no such {it.label}, or it is not in a workspace of yours."""
{unique}{events}{changes if "edit" in it.verbs else ""}{rules}{table}

@dataclass(frozen=True, slots=True, kw_only=True)
class {it.entity}(Aggregate):
    id: {it.entity}Id
    workspace_id: WorkspaceId
{indent(declared(pairs), "    ")}
    created_by: UserId
    created_at: datetime
    updated_at: datetime

    @classmethod
    def create(
        cls,
        *,
        id: {it.entity}Id,
        workspace_id: WorkspaceId,
{_given(pairs)}        by: UserId,
        at: datetime,
    ) -> Self:
        return cls(
            id=id,
            workspace_id=workspace_id,
{made}            created_by=by,
            created_at=at,
            updated_at=at,
            events=({it.entity}Created({created}),),
        )
{edit if "edit" in it.verbs else ""}{delete if "delete" in it.verbs else ""}'''


_RULES_MOST = 6
"""More of them are a table: a chain of conditions would be too long for the linter, and for readers."""


def _rule(field: Field, kind: Kind) -> str:
    """The rule; what is not there is not checked."""
    if not field.nullable:
        return kind.rule
    if kind.rule.startswith("return "):
        return f"return None if {field.name} is None else {kind.rule.removeprefix('return ')}"
    return f"if {field.name} is None:\n    return None\n{kind.rule}"


def _checked(field: Field, kind: Kind, value: str) -> str:
    """The value after its rule, where it has one."""
    return f"_valid_{field.name}({value})" if kind.rule else value


def commands(it: Resource) -> str:
    pairs, x, who = kinds(it), it.name, WHO[it.role]
    permission = f"WRITE_{it.plural.upper()}"
    signature = "".join(
        f"    {field.name}: {kind.hint}{f' = {kind.default}' if kind.default is not None else ''},\n"
        for field, kind in pairs
    )
    passed = "".join(f"            {field.name}={field.name},\n" for field, _ in pairs)
    names = [it.entity, f"{it.entity}Id", f"{it.entity}NotFound"]
    names += [f"{it.entity}Changes"] if "edit" in it.verbs else []
    names += [kind.hint.removesuffix(" | None") for _, kind in pairs if kind.enum]
    edit = f'''

async def edit_{x}(uow: UnitOfWork, actor: Caller, {x}_id: {it.entity}Id, **changes: Unpack[{it.entity}Changes]) -> {it.entity}:
    """{who} may edit {article(it.label)}."""
    {x} = await _admitted(uow, actor, {x}_id)
    edited = {x}.edit(by=actor.user_id, at=uow.now, **changes)
    return {x} if edited is {x} else await uow.{it.plural}.save(edited)
'''
    delete = f'''

async def delete_{x}(uow: UnitOfWork, actor: Caller, {x}_id: {it.entity}Id) -> None:
    """{who} may delete {article(it.label)}."""
    {x} = await _admitted(uow, actor, {x}_id)
    await uow.{it.plural}.remove({x}.delete(by=actor.user_id, at=uow.now))
'''
    admitted = f'''

async def _admitted(uow: UnitOfWork, actor: Caller, {x}_id: {it.entity}Id) -> {it.entity}:
    """The {it.label}, if the actor may write it; others learn nothing but that it is not theirs."""
    {x} = await uow.{it.plural}.get({x}_id)
    await admit(uow, actor, {x}.workspace_id, {permission}, otherwise={it.entity}NotFound)
    return {x}
'''
    changing = {"edit", "delete"} & {*it.verbs}
    return f'''"""What members do with {it.labels}."""

from datetime import date, datetime
from decimal import Decimal
from typing import Unpack

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from application.permissions import {permission}
from application.unit_of_work import UnitOfWork
from domain.{it.plural} import {", ".join(names)}
{imported_ids(it)}from domain.kernel.aggregate import new_id
from domain.kernel.workspaces import WorkspaceId


async def create_{x}(
    uow: UnitOfWork,
    actor: Caller,
    workspace_id: WorkspaceId,
    *,
{signature}) -> {it.entity}:
    """{who} may create {article(it.label)}."""
    await admit(uow, actor, workspace_id, {permission})
    return await uow.{it.plural}.add(
        {it.entity}.create(
            id={it.entity}Id(new_id(uow.now)),
            workspace_id=workspace_id,
{passed}            by=actor.user_id,
            at=uow.now,
        )
    )
{edit if "edit" in it.verbs else ""}{delete if "delete" in it.verbs else ""}{admitted if changing else ""}'''


def sort_keys(it: Resource) -> list[str]:
    return ["created_at", *(field.name for field in it.of("sort"))]


def filters(it: Resource) -> list[tuple[Field, tuple[str, str, str, str]]]:
    return [(field, one) for field in it.of("filter") for one in kind_of(field, it).filters]


def queries(it: Resource) -> str:
    pairs, x = kinds(it), it.name
    view = indent("\n".join(f"{field.name}: {kind.view}" for field, kind in pairs), "    ")
    asked = "".join(
        f'    {name}: {hint} = {"()" if "Sequence" in hint else "None"}\n    """{sentence}"""\n\n'
        for _, (name, hint, sentence, _) in filters(it)
    )
    if it.of("search"):
        words = " or ".join(field.label for field in it.of("search"))
        asked += f'''    q: Annotated[str | None, Length(200)] = None
    """Words in {words}, in the manner of a web search: `"exact words"`, `-without`, `or`."""

'''
    where = f'''

@dataclass(frozen=True, slots=True, kw_only=True)
class {it.entity}Filter:
    """Which {it.labels}. All filters that are given have to hold; of several values any will do."""

{asked.rstrip()}
'''
    keys = ", ".join(f'"{key}"' for key in sort_keys(it))
    page = f'''
    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
{f"        where: {it.entity}Filter," if asked else ""}
        sort: Sequence[Sort[{it.entity}SortKey]],
        page: PageRequest,
        /,
    ) -> Page[{it.entity}View]:
        """Sorted by `sort` and then by id; raises WorkspaceNotFound, InvalidCursor."""
'''
    listed = "list" in it.verbs
    names = ", ".join(
        [f"{it.entity}Id", *(kind.hint.removesuffix(" | None") for _, kind in pairs if kind.enum)]
        + [line.split(" = ")[0] for _, kind in pairs for line in kind.constants]
    )
    return f'''"""What a member can ask about {it.labels}."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Length, Page, PageRequest, Sort
from domain.{it.plural} import {names}
{imported_ids(it)}from domain.kernel.users import EMAIL_MOST, UserId
from domain.kernel.workspaces import WorkspaceId


@dataclass(slots=True)
class {it.entity}View:
    """{article(it.label).capitalize()}. Times are UTC."""

    id: {it.entity}Id
    workspace_id: WorkspaceId
{view}
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    version: int
{where if asked and listed else ""}
{f'type {it.entity}SortKey = Annotated[Literal[{keys}], Sort("created_at", descending=True)]' if listed else ""}


class {it.entity}Queries(Protocol):
    async def get(self, viewer: UserId, {x}_id: {it.entity}Id, /) -> {it.entity}View:
        """Raises {it.entity}NotFound, also for a viewer who is not a member of the workspace."""
{page if listed else ""}'''


def is_filtered(it: Resource) -> bool:
    return bool(it.of("filter") or it.of("search"))


def postgres(it: Resource) -> str:
    pairs, x, t = kinds(it), it.name, it.plural
    columns = indent("".join(f"{kind.column},\n" for _, kind in pairs), "    ")
    checks = indent("".join(f"{check},\n" for _, kind in pairs for check in kind.checks), "    ")
    uniques = "".join(f'    UniqueConstraint("workspace_id", "{field.name}"),\n' for field in it.of("unique"))
    listed = "list" in it.verbs
    indexes = "".join(f'    Index(None, "workspace_id", "{key}", "id"),\n' for key in sort_keys(it))
    if not listed:
        indexes = '    Index(None, "workspace_id"),\n' if not uniques else ""
    indexes += "".join(f"    {index},\n" for _, kind in pairs for index in kind.indexes)
    words = ", ".join(f'"{field.name}"' for field in it.of("search"))
    search = f"_WORDS = words_of({words})\n" if words and listed else ""
    if search:
        indexes += f'    Index("ix_{t}_words", _WORDS, postgresql_using="gin"),\n'
    conflicts = "".join(
        f'        "uq_{t}_workspace_id_{field.name}": {taken(it, field)},\n' for field in it.of("unique")
    )
    conflicts += "".join(
        f'''        "{reference(it, field)}": lambda: {unknown(it, field)}(
            "Choose one of this workspace.", field="{field.name}"
        ),
'''
        for field, _ in it.references
    )
    sorts = "".join(
        f'        "{field.name}": {kind.sorter}({t}.c.{field.name}),\n'
        for field, kind in pairs
        if "sort" in field.modifiers
    )
    conditions = "".join(
        f'        "{name}": {t}.c.{field.name} {condition},\n'
        for field, (name, _, _, condition) in filters(it)
    )
    if search:
        conditions += '        "q": have_words(_WORDS, bindparam("q", type_=Text)),\n'
    filtered = (
        f"    filters={{\n{conditions}    }},\n    filtered_by={it.entity}Filter,\n" if conditions else ""
    )
    page = f"""
_PAGE = Listing(
    {it.entity}View,
    _VIEW.where({t}.c.workspace_id == bindparam("workspace_id")),
    id={t}.c.id,
    sorts={{
        "created_at": by_time({t}.c.created_at),
{sorts}    }},
    sorted_by={it.entity}SortKey,
{filtered}    gate=seen_by_viewer(bindparam("workspace_id", type_=Uuid)),
    missing=WorkspaceNotFound,
)"""
    answer = f"""
    @override
    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
{f"        where: {it.entity}Filter," if filtered else ""}
        sort: Sequence[Sort[{it.entity}SortKey]],
        page: PageRequest,
        /,
    ) -> Page[{it.entity}View]:
        scope = {{"viewer": viewer, "workspace_id": workspace_id}}
        return await _PAGE.page(self._source, scope, page, sort=sort{", where=where" if filtered else ""})
"""
    names = [it.entity, f"{it.entity}Id", f"{it.entity}NotFound", *errors(it)]
    names += [kind.hint.removesuffix(" | None") for _, kind in pairs if kind.enum]
    names += [line.split(" = ")[0] for _, kind in pairs for line in kind.constants]
    tables = "".join(f"from adapters.postgres.{each.plural} import {each.plural}\n" for each in it.targets)
    asked = [f"{it.entity}Queries", f"{it.entity}View"]
    asked += [f"{it.entity}SortKey"] if listed else []
    asked += [f"{it.entity}Filter"] if filtered and listed else []
    return f'''"""{it.labels.capitalize()} in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Sequence
from typing import ClassVar, override

from sqlalchemy import (
    Boolean, CheckConstraint, Column, Date, DateTime, ForeignKey, ForeignKeyConstraint, Index, Integer, Numeric,
    Table, Text, UniqueConstraint, Uuid, any_, bindparam, select
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import (
    Listing, by_date, by_decimal, by_flag, by_number, by_text, by_time
)
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import (
    between, day, decimal, document, flag, instant, key, metadata, money, number, one_of, text, version, within
)
from adapters.postgres.kernel.tables.searching import have_words, words_of
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
{tables}from application.kernel.paging import Page, PageRequest, Sort
from application.queries.{t} import {", ".join(asked)}
from domain.{t} import {", ".join(names)}
from domain.kernel.text import URL_MOST
from domain.kernel.users import EMAIL_MOST, UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound

{search}
{t} = Table(
    "{t}",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
{columns}    Column("created_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("updated_at"),
    version(),
{uniques}{checks}    Index(None, "created_by"),
{indexes})


class Postgres{camel(t)}(PostgresRepository[{it.entity}, {it.entity}Id]):
    table, entity, missing = {t}, {it.entity}, {it.entity}NotFound
    conflicts: ClassVar[Conflicts] = {{
        "fk_{t}_workspace_id_workspaces": WorkspaceNotFound,
{conflicts}    }}


_VIEW = select(*({t}.c[name] for name in column_names({it.entity}View)))
_GET = Statement(_VIEW.where({t}.c.id == bindparam("{x}_id"), seen_by_viewer({t}.c.workspace_id).exists())){page if listed else ""}
_view = loader({it.entity}View)


class Postgres{it.entity}Queries(PostgresQueries, {it.entity}Queries):
    @override
    async def get(self, viewer: UserId, {x}_id: {it.entity}Id, /) -> {it.entity}View:
        return await self._one(_GET, {{"viewer": viewer, "{x}_id": {x}_id}}, _view, {it.entity}NotFound)
{answer if listed else ""}'''


def routes(it: Resource) -> str:
    pairs, x, t = kinds(it), it.name, it.plural
    aliases = "".join(f"{_alias(it, field)} = {kind.alias}\n" for field, kind in pairs if kind.alias)
    new = indent(
        "\n".join(
            f"{field.name}: {_sent(it, field, kind) if kind.default is not None else f'Required[{_sent(it, field, kind)}]'}"
            for field, kind in pairs
        ),
        "    ",
    )
    patch = indent("\n".join(f"{field.name}: {_sent(it, field, kind)}" for field, kind in pairs), "    ")
    refused = "".join(f", {error}" for error in errors(it))
    refuses = f"(*NOT_ADMITTED{refused})" if refused else "NOT_ADMITTED"
    away = [field.label for field in it.fields if field.nullable]
    patched = f'''

@strict
class {it.entity}Patch(TypedDict, total=False):
    """What of {article(it.label)} is to change{f"; `null` takes {_listed(away)} away" if away else ""}."""

{patch}
'''
    listing = f'''

@router.get("/workspaces/{{workspace_id}}/{t}")
async def list_{t}(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[{f"{it.entity}Filter" if is_filtered(it) else "None"}, {it.entity}SortKey], Query()],
) -> Page[{it.entity}View]:
    """Any member may list the {it.labels}."""
    return await ask.{t}.page(actor.user_id, workspace_id, {"query.where, " if is_filtered(it) else ""}query.sort, query.page)
'''
    edit = f"""

@router.patch(
    "/{t}/{{{x}_id}}",
    use_case=commands.edit_{x},
    changes={it.entity},
    response_model={it.entity}View,
    refuses={refuses},
)
async def edit_{x}({x}_id: {it.entity}Id, actor: Actor, run: Run, body: Annotated[{it.entity}Patch, Body()]) -> {it.entity}:
    return await run(commands.edit_{x}, actor, {x}_id, **body)
"""
    delete = f"""

@router.delete("/{t}/{{{x}_id}}", use_case=commands.delete_{x}, changes={it.entity}, refuses=NOT_ADMITTED)
async def delete_{x}({x}_id: {it.entity}Id, actor: Actor, run: Run) -> None:
    await run(commands.delete_{x}, actor, {x}_id)
"""
    names = [it.entity, f"{it.entity}Id", *errors(it)]
    names += [kind.hint.removesuffix(" | None") for _, kind in pairs if kind.enum]
    names += [line.split(" = ")[0] for _, kind in pairs for line in kind.constants]
    asked = [f"{it.entity}View"] + ([f"{it.entity}SortKey"] if "list" in it.verbs else [])
    asked += [f"{it.entity}Filter"] if "list" in it.verbs and is_filtered(it) else []
    return f'''"""{it.labels.capitalize()} of a workspace."""

from decimal import Decimal
from typing import Annotated, Required, TypedDict

from fastapi import Body, Query
from pydantic import Field

from application.commands import {t} as commands
from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.queries.{t} import {", ".join(asked)}
from domain.{t} import {", ".join(names)}
{imported_ids(it)}from domain.kernel.text import URL_MOST
from domain.kernel.users import EMAIL_MOST
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import (
    Day, Instant, JsonObject, Money, decimal_text, strict, text, whole
)
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="{it.labels}")

{aliases}

@strict
class New{it.entity}(TypedDict, total=False):
    """{article(it.label).capitalize()} to create."""

{new}
{patched if "edit" in it.verbs else ""}

@router.post(
    "/workspaces/{{workspace_id}}/{t}",
    use_case=commands.create_{x},
    response_model={it.entity}View,
    location="/{t}/{{id}}",
    refuses={refuses},
)
async def create_{x}(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[New{it.entity}, Body()]
) -> {it.entity}:
    return await run(commands.create_{x}, actor, workspace_id, **body)
{listing if "list" in it.verbs else ""}

@router.get("/{t}/{{{x}_id}}")
async def get_{x}({x}_id: {it.entity}Id, actor: Actor, ask: Ask) -> {it.entity}View:
    """Any member may see {article(it.label)}."""
    return await ask.{t}.get(actor.user_id, {x}_id)
{edit if "edit" in it.verbs else ""}{delete if "delete" in it.verbs else ""}'''


_IMPORTED = frozenset(
    {"Actor", "Annotated", "Ask", "Body", "Day", "Decimal", "Field", "Instant", "Money", "Page", "Query"}
    | {"Required", "Router", "Run", "ListQuery", "JsonObject", "TypedDict"}
)


def _alias(it: Resource, field: Field) -> str:
    """The name of the type that clients send: the field's, unless the module has that already."""
    name = camel(field.name)
    is_taken = name in _IMPORTED or name.startswith((it.entity, "New"))
    return f"{it.entity}{name}" if is_taken else name


def _sent(it: Resource, field: Field, kind: Kind) -> str:
    return kind.body.replace(camel(field.name), _alias(it, field), 1) if kind.alias else kind.body


def _listed(words: list[str]) -> str:
    named = [f"the {word}" for word in words]
    if len(named) > 3:
        return "what may be missing"
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
