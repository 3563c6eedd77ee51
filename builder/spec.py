"""What is asked for: a resource and its fields, read from words such as `number:str(40)!unique notes:text?`.

Whatever cannot be built is refused here, before a file is written, in a sentence that names the remedy.
"""

import json
import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NAME_MOST = 40  # with the names of its columns it is part of names of constraints, which have 63 at most

TYPES = (
    "str(n)",
    "text",
    "email",
    "url",
    "slug",
    "int(a..b)",
    "decimal(p,s)",
    "money",
    "bool",
    "date",
    "datetime",
    "enum(a,b,…)",
    "json",
    "list(str)",
    "ref(x)",
)
MODIFIERS = ("unique", "sort", "filter", "search")
VERBS = ("create", "edit", "delete", "get", "list")
ROLES = ("member", "admin", "owner")

_FIELD = re.compile(
    r"(?P<name>[^:]*):(?P<type>[a-z]+)(\((?P<args>[^)]*)\))?(?P<optional>\?)?"
    r"(=(?P<default>[^!]*))?(?P<modifiers>(![a-z]+)*)"
)
_HELD = frozenset({"id", "workspace_id", "created_by", "created_at", "updated_at", "version", "events"})
"""Fields that every resource has."""

_PARAMETERS = frozenset(
    {"limit", "cursor", "count", "sort", "q", "uow", "actor", "by", "at", "cls", "self"}
) | {"use_case"}
_METHODS = frozenset({"create", "edit", "delete", "recording"})
_PYTHON = frozenset(
    {
        "bool",
        "bytes",
        "date",
        "datetime",
        "decimal",
        "dict",
        "float",
        "int",
        "line",
        "list",
        "object",
        "prose",
    }
    | {"re", "replace", "set", "str", "text", "tuple", "type"}
)
_CALLED = frozenset({"admit", "email_address", "new_id", "web_address"})
"""Functions that are called where a field is an argument."""

_IMPORTED = frozenset({
    "Actor", "Aggregate", "Annotated", "Any", "Ask", "Attempt", "Body", "Boolean", "Caller", "Column",
    "Conflict", "Conflicts", "Date", "Day", "Decimal", "Event", "Example", "Field", "Index", "Instant",
    "Integer", "Invalid", "Length", "Listed", "Listing", "Literal", "Made", "Mapping", "Matrix",
    "Money", "Numeric", "Page", "Places", "Protocol", "Query", "Repository", "Required", "Role",
    "Router", "Run", "Runner", "Self", "Sequence", "Sort", "Stage", "Statement", "Statements", "Table",
    "Team", "Text", "Uuid", "World",
})  # fmt: skip
"""Classes that the modules of a resource, and of its tests, import under these names."""

_ENUMS = frozenset(
    {"Changes", "Created", "Deleted", "Edited", "Filter", "Id", "NotFound", "Patch", "Queries"}
) | {
    "SortKey",
    "View",
}
"""What the classes of every resource are called, after its own name."""

_MODULE = frozenset({"commands", "key", "metadata", "router", "select"})
"""What a module called after the plural has under that name."""

_IDENTIFIER_MOST = 63  # bytes of a name in PostgreSQL
_SORTED = frozenset({"str", "email", "slug", "int", "decimal", "money", "bool", "date", "datetime"})
_FILTERED = _SORTED | {"enum", "ref"}
_UNIQUE = frozenset({"str", "email", "url", "slug", "int"})
_WORDED = frozenset({"str", "text"})
_DEFAULTED = frozenset({"str", "int", "decimal", "money", "bool", "enum"})
_MANY = frozenset({"str", "text", "email", "url", "slug", "int", "decimal", "money", "date", "datetime"})
_NEEDED = 10_000  # values of a unique field: the tests of lists have so many rows


_KERNEL = (
    "domain/kernel",
    "application/kernel/commands",
    "application/kernel/queries",
    "adapters/postgres/kernel",
    "entrypoints/http/kernel/v1",
)
"""Where the kernel's own resources have their names."""


class Refused(Exception):
    """It cannot be built. The message says why, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource that another one can refer to. `needs` are its own references that must be there, by the
    names of their columns; `deleted` says whether there is a command that deletes one."""

    name: str
    plural: str
    entity: str
    needs: "tuple[tuple[str, Target], ...]" = ()
    deleted: bool = True

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")

    @property
    def in_use(self) -> str:
        """The error of one that something refers to."""
        return f"{self.entity}InUse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field, as it was asked for. `bounds` are of a text its length, of a number its least and its most,
    of a decimal its digits and its places. `customer:ref(customer)` has the name `customer_id`, and its
    `target` once the resources that are there are known."""

    name: str
    type: str
    bounds: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    optional: bool = False
    default: str | None = None
    modifiers: frozenset[str] = frozenset()
    target: Target | None = None

    @property
    def unique(self) -> bool:
        return "unique" in self.modifiers

    @property
    def nullable(self) -> bool:
        """Whether it can be `None`; a text that may be left out is empty then, and so is a list."""
        return self.optional and self.type not in {"text", "list"}

    @property
    def stem(self) -> str:
        """What of the name is words: of a reference without `_id`."""
        return self.name.removesuffix("_id") if self.type == "ref" else self.name

    @property
    def label(self) -> str:
        return self.stem.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    name: str
    plural: str
    fields: tuple[Field, ...]
    verbs: tuple[str, ...] = VERBS
    role: str = "member"

    @property
    def entity(self) -> str:
        return camel(self.name)

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")

    @property
    def labels(self) -> str:
        return self.plural.replace("_", " ")

    def of(self, modifier: str) -> list[Field]:
        return [field for field in self.fields if modifier in field.modifiers]

    @property
    def references(self) -> list[tuple[Field, Target]]:
        """Those that may be left out last, as the code has them."""
        found = [(field, field.target) for field in self.fields if field.target is not None]
        return sorted(found, key=lambda pair: pair[0].nullable)

    @property
    def targets(self) -> list[Target]:
        """What it refers to, each once."""
        return list({target.name: target for _, target in self.references}.values())


def read(
    *,
    name: str,
    fields: str,
    plural: str = "",
    can: str = "",
    role: str = "",
    sort: str = "",
    filter: str = "",
    search: str = "",
) -> Resource:
    """The resource that the words describe; raises `Refused`."""
    _ensure_name(name, "a resource")
    plural = plural or plural_of(name)
    _ensure_name(plural, "the plural of a resource")
    if plural == name:
        raise Refused(f"{name} is its own plural, and both need a name: say plural={name}_list.")
    if camel(name) in _IMPORTED or plural in _MODULE:
        raise Refused(f"{name} is a name of the house's own, {camel(name)}: choose one like sales_{name}.")
    verbs = tuple(_words(can)) or VERBS
    _ensure_known(verbs, VERBS, "can")
    if "create" not in verbs or "get" not in verbs:
        raise Refused("can= needs create and get: without them nothing could be made, or looked at.")
    role = role or "member"
    _ensure_known((role,), ROLES, "role")
    found = [_field(word, name) for word in fields.split()]
    if not found:
        raise Refused(
            'It needs a field at least: fields="title:str(80)". There is: ' + ", ".join(TYPES) + "."
        )
    names = [field.name for field in found]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise Refused(f"{twice[0]} is asked for twice: leave one out.")
    columns = {field.stem: field.name for field in found}
    marked = {
        modifier: [columns.get(word, word) for word in _words(words)]
        for modifier, words in (("sort", sort), ("filter", filter), ("search", search))
    }
    for modifier, wanted in marked.items():
        known = [*names, "created_at"] if modifier == "sort" else names
        _ensure_known(wanted, known, modifier)
        found = [
            replace(field, modifiers=field.modifiers | {modifier}) if field.name in wanted else field
            for field in found
        ]
    for field in found:
        _ensure_possible(field)
    if not any(field.type in _MANY and not field.optional and field.default is None for field in found):
        raise Refused("A field must be required, without a default, and no flag: add title:str(80).")
    it = Resource(name=name, plural=plural, fields=tuple(found), verbs=verbs, role=role)
    ensure_names_differ(it)
    return it


def ensure_names_differ(it: Resource) -> None:
    for field in it.fields:
        if field.type == "enum" and camel(field.name) in _ENUMS:
            raise Refused(
                f"{it.entity}{camel(field.name)} is a class of every resource: rename {field.name}."
            )
        for made in (
            f"ix_{it.plural}_workspace_id_{field.name}_id",
            f"fk_{it.plural}_workspace_id_workspaces",
        ):
            if len(made) > _IDENTIFIER_MOST:
                raise Refused(f"{made} is longer than the 63 characters of a name in PostgreSQL: shorten it.")
    asked: list[str] = []
    for field in it.of("filter"):
        asked += [f"{field.name}{suffix}" for suffix in _SUFFIXES.get(field.type, ("",))]
    if twice := sorted({name for name in asked if asked.count(name) > 1}):
        raise Refused(f"Two filters would be called {twice[0]}: rename a field.")


_SUFFIXES = {
    "int": ("_least", "_most"),
    "decimal": ("_least", "_most"),
    "money": ("_least", "_most"),
    "date": ("_from", "_until"),
    "datetime": ("_after", "_before"),
}
"""Behind the name of a field, where it is filtered by a range."""


def resolved(resource: Resource, targets: Mapping[str, Target], unfit: Mapping[str, str]) -> Resource:
    """The resource, which knows what it refers to. `unfit` says why others cannot be referred to.

    Raises `Refused`.
    """
    fields = []
    for field in resource.fields:
        if field.type == "ref":
            (wanted,) = field.values
            if wanted in unfit:
                raise Refused(f"{field.stem}: {wanted} {unfit[wanted]}: add the column by hand.")
            if wanted not in targets:
                raise Refused(
                    f"{field.stem}: there is no resource {wanted!r} to refer to. There is: "
                    f"{', '.join(sorted(targets)) or 'none'}."
                )
            known = replace(field, target=targets[wanted])
            if len(made := reference(resource, known)) > _IDENTIFIER_MOST:
                raise Refused(f"{made} is longer than the 63 characters of a name in PostgreSQL: shorten it.")
            fields.append(known)
        else:
            fields.append(field)
    return replace(resource, fields=tuple(fields))


def reference(resource: Resource, field: Field) -> str:
    """The name of the foreign key."""
    target = field.target
    return f"fk_{resource.plural}_workspace_id_{field.name}_{target.plural if target else ''}"


def ensure_free(resource: Resource, root: Path) -> None:
    """Raises `Refused` where a name is taken, and says by what."""
    for folder in ("src/domain", "src/application/commands", "src/entrypoints/http/v1"):
        for name in (resource.name, resource.plural):
            if (root / folder / f"{name}.py").exists():
                raise Refused(f"{folder}/{name}.py is there already: choose another name.")
    kernel = {path.stem for folder in _KERNEL for path in (root / "src" / folder).rglob("*.py")}
    if taken := sorted({resource.name, resource.plural, f"{resource.name}s"} & kernel):
        raise Refused(f"{taken[0]} is a name of the kernel: choose another one, such as own_{resource.name}.")
    document = json.loads((root / "openapi/v1.json").read_text("utf-8"))
    schemas = document["components"]["schemas"]
    for schema in (f"{resource.entity}View", f"New{resource.entity}", f"{resource.entity}Patch"):
        if schema in schemas:
            raise Refused(f"The schema {schema} is in openapi/v1.json already: choose another name.")
    if any(path.split("/")[-1] == resource.plural for path in document["paths"]):
        raise Refused(f"A path of openapi/v1.json ends in /{resource.plural} already: choose another plural.")
    names = {resource.entity, *(f"{resource.entity}{camel(field.name)}" for field in resource.fields)}
    pattern = re.compile(rf"^class ({'|'.join(sorted(names))})\b", re.MULTILINE)
    for path in sorted((root / "src/domain").rglob("*.py")):
        if match := pattern.search(path.read_text("utf-8")):
            raise Refused(f"{path.relative_to(root)} has a class {match[1]} already: choose another name.")
    for path in sorted((root / "src/adapters/postgres").rglob("*.py")):
        if re.search(rf'Table\(\s*"{resource.plural}"', path.read_text("utf-8")):
            raise Refused(f"{path.relative_to(root)} has the table {resource.plural} already.")


def plural_of(name: str) -> str:
    """As the plural of most English words is made; what it gets wrong, `plural=` says."""
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    if re.search(r"(series|species)$", name):
        return name
    return f"{name}es" if re.search(r"(s|x|z|ch|sh)$", name) else f"{name}s"


def _field(word: str, resource: str) -> Field:
    match = _FIELD.fullmatch(word)
    if match is None:
        raise Refused(
            f"{word} is no field: write it like due_on:date? or status:enum(draft,sent)=draft!filter."
        )
    name, kind, given = match["name"], match["type"], match["args"]
    _ensure_name(name, "a field")
    if name in _HELD or name == f"{resource}_id":
        raise Refused(f"Every resource has the field {name} already: leave it out, or choose another name.")
    if name in _PARAMETERS | _METHODS | _CALLED:
        raise Refused(
            f"{name} is a parameter of every list, or a function: choose another name for the field."
        )
    known = {each.partition("(")[0] for each in TYPES}
    if kind not in known:
        raise Refused(f"{kind} is no type. There is: {', '.join(TYPES)}.")
    modifiers = [each for each in match["modifiers"].split("!") if each]
    _ensure_known(modifiers, MODIFIERS, name)
    bounds, values = _arguments(name, kind, given)
    if kind == "ref":
        if name.endswith("_id"):
            raise Refused(f"{name}: write {name.removesuffix('_id')}:ref({values[0]}), its column is {name}.")
        name = f"{name}_id"
        if name in _HELD or values[0] == resource or name == f"{resource}_id":
            raise Refused(
                f"{name}: a resource cannot refer to its workspace, which it has already, nor to itself: "
                "add such a column by hand."
            )
    default = match["default"]
    field = Field(
        name=name,
        type=kind,
        bounds=bounds,
        values=values,
        optional=match["optional"] is not None,
        default=default,
        modifiers=frozenset(modifiers),
    )
    if default is not None:
        _ensure_default(field, default)
    return field


def _arguments(name: str, kind: str, given: str | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    form = next(each for each in TYPES if each.partition("(")[0] == kind)
    if ("(" in form) != (given is not None):
        raise Refused(f"{name}: write its type as {form}.")
    if given is None or (kind, given) == ("list", "str"):
        return (), ()
    match kind:
        case "str":
            if not given.isdecimal() or not 1 <= int(given) <= 10_000:
                raise Refused(f"{name}: a str has 1 to 10,000 characters at most, as in str(80).")
            return (int(given),), ()
        case "int":
            ends = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", given)
            if ends is None or not -(1 << 31) <= int(ends[1]) < int(ends[2]) < 1 << 31:
                raise Refused(f"{name}: an int has 32 bits, and its least comes first, as in int(1..100).")
            return (int(ends[1]), int(ends[2])), ()
        case "decimal":
            sizes = re.fullmatch(r"(\d+),(\d+)", given)
            if sizes is None or not 1 <= int(sizes[1]) <= 38 or int(sizes[2]) > min(6, int(sizes[1]) - 1):
                raise Refused(
                    f"{name}: a decimal has up to 38 digits, up to 6 of them behind the point and one before "
                    "it, as in decimal(12,2)."
                )
            return (int(sizes[1]), int(sizes[2])), ()
        case "ref":
            _ensure_name(given, "a resource", word=False)
            return (), (given,)
        case "list":
            raise Refused(f"{name}: there are lists of texts alone, list(str). For others take json.")
        case _:
            values = tuple(given.split(","))
            for value in values:
                _ensure_name(value, f"a value of {name}", word=False)
            if len(values) < 2 or len(set(values)) < len(values):
                raise Refused(f"{name}: an enum has two values at least, each once, as in enum(draft,sent).")
            return (), values


def _ensure_default(field: Field, default: str) -> None:
    kind = field.type
    if kind not in _DEFAULTED:
        raise Refused(f"{field.name}: a {kind} has no default. It may be left out, as {field.name}:{kind}?.")
    if field.optional:
        raise Refused(f"{field.name}: it has a default or may be left out (?), not both.")
    wrong = f"{field.name}: {default!r} is no value of it."
    match kind:
        case "enum" if default not in field.values:
            raise Refused(f"{wrong} There is: {', '.join(field.values)}.")
        case "bool" if default not in {"true", "false"}:
            raise Refused(f"{wrong} Write true or false.")
        case "int":
            if not re.fullmatch(r"-?\d+", default) or not field.bounds[0] <= int(default) <= field.bounds[1]:
                raise Refused(f"{wrong} Write a number from {field.bounds[0]} to {field.bounds[1]}.")
        case "decimal" | "money":
            digits, places = field.bounds or (14, 2)
            try:
                _, figures, exponent = Decimal(default).as_tuple()
                behind = -exponent if isinstance(exponent, int) else places + 1
            except InvalidOperation:
                figures, behind = (), places + 1
            if behind > places or behind < 0 or len(figures) - behind > digits - places:
                raise Refused(f"{wrong} Write one with at most {places} places, such as 1.{'0' * places}.")
        case "str" if not re.fullmatch(r"[A-Za-z0-9._-]+", default) or len(default) > field.bounds[0]:
            raise Refused(f"{wrong} Write one word of at most {field.bounds[0]} letters and digits.")
        case _:
            pass


def _ensure_possible(field: Field) -> None:
    of = f"{field.name}: a {field.type}"
    if "sort" in field.modifiers and (field.type not in _SORTED or field.nullable):
        raise Refused(f"{of} that may be left out, or of this type, sorts no list: leave !sort out.")
    if "filter" in field.modifiers and field.type not in _FILTERED:
        raise Refused(f"{of} filters no list: leave !filter out.")
    if "search" in field.modifiers and (field.type not in _WORDED or field.nullable):
        raise Refused(f"{of} has no words to search, or may be left out: take text?, or leave !search out.")
    if field.unique and field.type not in _UNIQUE:
        raise Refused(f"{of} cannot be unique. These can: {', '.join(sorted(_UNIQUE))}.")
    if field.unique and field.default is not None:
        raise Refused(f"{field.name}: what is unique has no default, which two would share.")
    if field.unique and field.type == "int" and field.bounds[1] - field.bounds[0] < _NEEDED:
        raise Refused(
            f"{field.name}: a unique int needs a range of {_NEEDED:,} at least, as in int(1..1000000)."
        )
    if field.unique and field.type == "str" and field.bounds[0] < len(str(_NEEDED)):
        raise Refused(f"{field.name}: a unique str needs {len(str(_NEEDED))} characters at least.")


def _ensure_name(name: str, what: str, *, word: bool = True) -> None:
    if not NAME.fullmatch(name) or len(name) > NAME_MOST:
        raise Refused(
            f"{name!r} is no name of {what}: lower-case letters and digits, single underscores between "
            f"words, a letter first, at most {NAME_MOST} characters, as in purchase_order."
        )
    if keyword.iskeyword(name) or (word and name in _PYTHON):
        raise Refused(f"{name} is a word of Python: choose another name, such as {name}_code.")
    if word and name in RESERVED_WORDS:
        raise Refused(f"{name} is a word of SQL: choose another name, such as {name}_code.")


def _ensure_known(given: Collection[str], known: Collection[str], what: str) -> None:
    for each in given:
        if each not in known:
            raise Refused(f"{what}: there is no {each!r}. There is: {', '.join(known)}.")


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
