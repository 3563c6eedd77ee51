"""What a resource that is there was asked for as: a `Resource`, read from its code.

What nobody would have asked for, such as a column that was written by hand, is left out: the templates do not
know it, and what they write does not touch it.
"""

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from builder.kinds import kind_of
from builder.rings import ROLES
from builder.spec import Field, Refused, Resource, Target, camel

_COLUMNS = {
    "text": "str", "decimal": "decimal", "money": "money", "day": "date", "flag": "bool", "number": "int",
    "document": "json", "instant": "datetime", "Column": "list",
}  # fmt: skip
"""By the function that makes a column, what its type may be; a text may be any that is stored as one."""

_HELD = frozenset({"id", "workspace_id", "created_by", "created_at", "updated_at", "version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """A resource as it is.

    `there` are the names that are a field of the entity, a column and a member of the view, known or not.
    """

    resource: Resource
    there: frozenset[str]


def inferred(plural: str, text: Callable[[str], str], *, besides: Collection[str] = ()) -> Inferred:
    """The resource whose files `text` gives by their names, without the fields `besides`.

    Raises `Refused` where it has no entity, no table or no views.
    """
    domain = _Module(f"src/domain/{plural}.py", text)
    commands = _Module(f"src/application/commands/{plural}.py", text)
    asked = _Module(f"src/application/queries/{plural}.py", text)
    postgres = _Module(f"src/adapters/postgres/{plural}.py", text)
    entity = _entity(domain, commands)
    name = _named(entity.name, commands)
    parts = _table(postgres, plural)
    columns = {_column(call): call for call in parts if _is_of_one(call)}
    members = _annotated(entity)
    views = _annotated(asked.classes.get(f"{entity.name}View"))
    modifiers = _modifiers(entity.name, asked, postgres, parts)
    references = _references(parts)
    fields = []
    for each, (hint, default) in members.items():
        if each in references and each not in besides:
            target = _target(references[each], text)
            marks = frozenset({"filter"} if each in modifiers["filter"] else ())
            fields += [] if target is None else [_reference(each, hint, target, marks)]
        if each in columns and each not in _HELD and each not in besides:
            found = _field(each, hint, default, columns[each], parts, domain)
            marks = frozenset(mark for mark, names in modifiers.items() if each in names)
            fields += [] if found is None else [replace(found, modifiers=marks)]
    resource = Resource(
        name=name,
        plural=plural,
        fields=_in_order(fields, modifiers),
        verbs=tuple(
            verb
            for verb in ("create", "edit", "delete", "get", "list")
            if verb in {"create", "get"}
            or f"{verb}_{name}" in commands.functions
            or (verb == "list" and f"{entity.name}SortKey" in asked.assigned)
        ),
        role=_role(plural, text),
    )
    return Inferred(
        resource=resource,
        there=frozenset({*members} & {*_all_columns(parts)} & {*views}),
    )


class _Module:
    def __init__(self, name: str, text: Callable[[str], str]) -> None:
        self.name = name
        try:
            self.body = ast.parse(text(name)).body
        except SyntaxError as error:
            raise Refused(f"{name} cannot be read: {error.msg} in line {error.lineno}.") from None
        self.classes = {each.name: each for each in self.body if isinstance(each, ast.ClassDef)}
        self.functions = {
            each.name: each for each in self.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self.assigned: dict[str, ast.expr] = {}
        for each in self.body:
            match each:
                case ast.Assign(targets=[ast.Name(id=target)], value=value):
                    self.assigned[target] = value
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
                    self.assigned[target] = value
                case ast.TypeAlias(name=ast.Name(id=target), value=value):
                    self.assigned[target] = value
                case _:
                    pass

    def number(self, name: str) -> int | None:
        try:
            value = ast.literal_eval(self.assigned[name])
        except (KeyError, ValueError):
            return None
        return value if isinstance(value, int) else None


def _entity(domain: _Module, commands: _Module) -> ast.ClassDef:
    """The aggregate, of several the one that is created."""
    created = {camel(each) for each in _created(commands)}
    found = [
        each
        for each in domain.classes.values()
        if any(ast.unparse(base) == "Aggregate" for base in each.bases)
    ]
    if not found:
        raise Refused(f"{domain.name} has no entity, a class (Aggregate): this adds a field to one.")
    return next((each for each in found if each.name in created), found[0])


def _named(entity: str, commands: _Module) -> str:
    """The entity's name in small letters: as it is created, or as its words are."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", entity).lower()
    return next((each for each in _created(commands) if camel(each) == entity), words)


def _created(commands: _Module) -> list[str]:
    return [each.removeprefix("create_") for each in commands.functions if each.startswith("create_")]


def _annotated(of: ast.ClassDef | None) -> dict[str, tuple[str, str | None]]:
    """The annotated members of a class: what they are, and their default."""
    return {
        each.target.id: (ast.unparse(each.annotation), ast.unparse(each.value) if each.value else None)
        for each in (of.body if of else ())
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


def _table(postgres: _Module, plural: str) -> list[ast.Call]:
    for value in postgres.assigned.values():
        match value:
            case ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(value=str(name)), _, *parts]) if (
                name == plural
            ):
                return [part for part in parts if isinstance(part, ast.Call)]
    raise Refused(f"{postgres.name} has no table {plural}, as `make resource` writes it.")


def _references(parts: list[ast.Call]) -> dict[str, str]:
    """The tables that columns refer to within a workspace, as the templates do."""
    found = {}
    for call in parts:
        match call:
            case ast.Call(
                func=ast.Name(id="ForeignKeyConstraint"),
                args=[
                    ast.List(elts=[ast.Constant(value="workspace_id"), ast.Constant(value=str(column))]),
                    ast.List(elts=[_, ast.Attribute(attr="id") as key]),
                ],
                keywords=[],
            ):
                found[column] = ast.unparse(key).removesuffix(".c.id")
    return found


def _target(
    plural: str, text: Callable[[str], str], *, within: frozenset[str] = frozenset()
) -> Target | None:
    """What is referred to; nothing where it was not made as the templates do, or is `within` itself."""
    if plural in within:
        return None
    try:
        domain, commands = (
            _Module(f"src/{ring}/{plural}.py", text) for ring in ("domain", "application/commands")
        )
        parts = _table(_Module(f"src/adapters/postgres/{plural}.py", text), plural)
        entity = _entity(domain, commands).name
    except Refused:
        return None
    name = _named(entity, commands)
    optional = {_column(call) for call in parts if "nullable=True" in ast.unparse(call)}
    needs = {
        column: _target(referred, text, within=within | {plural})
        for column, referred in _references(parts).items()
        if column not in optional
    }
    return Target(
        name=name,
        plural=plural,
        entity=entity,
        needs=tuple((column, each) for column, each in needs.items() if each is not None),
        deleted=f"delete_{name}" in commands.functions,
    )


def _reference(column: str, hint: str, target: Target, marks: frozenset[str]) -> Field:
    return Field(
        name=column,
        type="ref",
        values=(target.name,),
        optional=hint.endswith(" | None"),
        modifiers=marks,
        target=target,
    )


def _is_of_one(call: ast.Call) -> bool:
    """Whether it makes a column as the templates do."""
    match call:
        case ast.Call(func=ast.Name(id="Column"), args=[_, kind]):
            return ast.unparse(kind) == "ARRAY(Text)"
        case ast.Call(func=ast.Name(id=function), args=[ast.Constant(value=str()), *_]):
            return function in _COLUMNS and function != "Column"
    return False


def _column(call: ast.Call) -> str:
    return ast.unparse(call.args[0]).strip("'")


def _all_columns(parts: list[ast.Call]) -> list[str]:
    return [_column(each) for each in parts if ast.unparse(each.func) in _COLUMNS and each.args]


def _called(parts: list[ast.Call], function: str) -> list[list[str]]:
    """The arguments, as source, of each part of the table that this function makes."""
    return [
        [ast.unparse(each) for each in call.args]
        for call in parts
        if isinstance(call.func, ast.Name) and call.func.id == function
    ]


def _modifiers(
    entity: str, asked: _Module, postgres: _Module, parts: list[ast.Call]
) -> Mapping[str, list[str]]:
    """By each modifier the names of the fields, in the order in which they were asked for."""
    sorts = re.findall(r"'(\w+)'", _source(asked.assigned.get(f"{entity}SortKey")).partition("]")[0])
    filters = []
    for each in _annotated(asked.classes.get(f"{entity}Filter")):
        filters += [each, re.sub(r"_(least|most|from|until|after|before)$", "", each)]
    words = _source(postgres.assigned.get("_WORDS"))
    unique = [pair[1].strip("'") for pair in _called(parts, "UniqueConstraint") if len(pair) == 2]
    return {
        "sort": sorts,
        "filter": [*dict.fromkeys(filters)],
        "search": re.findall(r"'(\w+)'", words) if words.startswith("words_of(") else [],
        "unique": unique,
    }


def _source(expression: ast.expr | None) -> str:
    return ast.unparse(expression) if expression else ""


def _field(  # noqa: PLR0917 (what is known of it, from each place)
    name: str,
    hint: str,
    default: str | None,
    column: ast.Call,
    parts: list[ast.Call],
    domain: _Module,
) -> Field | None:
    """The field, or nothing where the templates would not have written it like this."""
    bare, is_nullable = hint.removesuffix(" | None"), hint.endswith(" | None")
    kind, values = _COLUMNS[ast.unparse(column.func)], tuple[str, ...]()
    bounds: tuple[int | None, ...] = ()
    match kind:
        case "str":
            kind, bounds, values = _of_text(name, bare, parts, domain)
        case "int":
            bounds = (domain.number(f"{name.upper()}_LEAST"), domain.number(f"{name.upper()}_MOST"))
        case "decimal":
            bounds = tuple(
                each.value
                for each in column.args[1:3]
                if isinstance(each, ast.Constant) and isinstance(each.value, int)
            )
    if None in bounds:
        return None
    made = Field(
        name=name,
        type=kind,
        bounds=tuple(each for each in bounds if each is not None),
        values=values,
        optional=is_nullable or (kind in {"text", "list"} and default is not None),
        default=_said(kind, values, default) if default is not None and not is_nullable else None,
    )
    return made if _is_said(made, default) else None


def _is_said(made: Field, default: str | None) -> bool:
    """Whether the default in the code is the one that the templates would write."""
    it = Resource(name="it", plural="its", fields=(made,))
    try:
        wanted = kind_of(made, it).default
    except (ValueError, IndexError):
        return False
    if made.type == "enum" and wanted is not None and default is not None:
        return wanted.rpartition(".")[2] == default.rpartition(".")[2]
    return (wanted or "").replace('"', "'") == (default or "").replace('"', "'")


def _of_text(
    name: str, hint: str, parts: list[ast.Call], domain: _Module
) -> tuple[str, tuple[int | None, ...], tuple[str, ...]]:
    """What of the types that are stored as a text."""
    enum = domain.classes.get(hint)
    if enum is not None:
        values = [each.value for each in enum.body if isinstance(each, ast.Assign)]
        found = tuple(str(each.value) for each in values if isinstance(each, ast.Constant))
        return "enum", () if found else (None,), found
    most = next((each[2] for each in _called(parts, "between") if each[0] == repr(name)), "")
    rule = domain.functions.get(f"_valid_{name}")
    if most in {"EMAIL_MOST", "URL_MOST"}:
        return most.removesuffix("_MOST").lower(), (), ()
    if f"{name.upper()}_PATTERN" in domain.assigned:
        return "slug", (), ()
    if rule is not None and "prose(" in ast.unparse(rule):
        return "text", (), ()
    return "str", (domain.number(most or f"{name.upper()}_MOST"),), ()


def _said(kind: str, values: tuple[str, ...], default: str) -> str | None:
    """The default as it is asked for."""
    match kind:
        case "text" | "list":
            return None
        case "enum":
            return next((value for value in values if default.endswith(f".{value.upper()}")), None)
        case "decimal" | "money":
            return default.removeprefix("Decimal(").removesuffix(")").strip("'")
        case "bool":
            return default.lower()
        case _:
            return default.strip("'")


def _in_order(fields: list[Field], modifiers: Mapping[str, list[str]]) -> tuple[Field, ...]:
    """As they were asked for, as far as it can be seen: the code has those without a default first, and each
    list has its own in the order of the words."""
    by_name = {each.name: each for each in fields}
    is_required = {each.name: each.default is None and not each.optional for each in fields}
    chains = [[each for each in by_name if is_required[each] is wanted] for wanted in (True, False)]
    chains += [[each for each in names if each in by_name] for names in modifiers.values()]
    before: dict[str, set[str]] = {each: set() for each in by_name}
    for chain in chains:
        for first, second in pairwise(chain):
            before[second].add(first)
    try:
        return tuple(by_name[each] for each in TopologicalSorter(before).static_order())
    except CycleError:  # the lists were put in another order by hand
        return tuple(fields)


def _role(plural: str, text: Callable[[str], str]) -> str:
    permissions = _Module("src/application/permissions.py", text)
    said = _source(permissions.assigned.get(f"WRITE_{plural.upper()}"))
    return next((role for role, group in ROLES.items() if said.endswith(f", {group})")), "member")
