"""Examples in the OpenAPI document, made of its schemas and the types behind them.

An `Example` where a member is declared comes first, or the `examples` of its schema; for the members of the
kernel's own types then the table here, by their names; for all others a value that the type, the format and
the bounds let in. What an operation leaves behind stands at its route, as `example=`. All are of one small
world: an id is the same wherever its type is, so those of a request, its path and its answer belong together.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType, UnionType
from typing import (
    Annotated,
    Any,
    NewType,
    NotRequired,
    Required,
    TypeAliasType,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from fastapi.routing import APIRoute
from pydantic import BaseModel

from application.kernel.example import Example
from application.kernel.paging import Page
from entrypoints.http.kernel.routing.problems import MEDIA_TYPE

type Schema = Mapping[str, Any]

PASSWORD = "violet kettle hums at dawn"  # noqa: S105 (an example's)
TOKEN = "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"  # noqa: S105 (an example's)
INSTANT = "2026-11-02T09:30:15Z"

_BY_FORMAT: Mapping[str, str] = MappingProxyType(
    {
        "date-time": INSTANT,
        "date": INSTANT[:10],
        "time": INSTANT[11:],
        "duration": "PT1H30M",
        "email": "ada@example.com",
        "uri": "https://app.example.com",
        "uri-reference": "/",
    }
)
_BY_TYPE: Mapping[str, object] = MappingProxyType({"boolean": False, "null": None})
_PRICE = Decimal("12.50")


def example_id(noun: str) -> str:
    """The UUIDv7 of the one thing of this kind: `book`, `user`, …"""
    chance = blake2b(noun.encode(), digest_size=10).hexdigest()
    return f"019a43bc-{chance[:4]}-7{chance[4:7]}-8{chance[7:10]}-{chance[8:20]}"


# What the name of a member of the kernel's types says; `Schema.member` where it means different things.
BY_NAME: Mapping[str, object] = MappingProxyType(
    {
        "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
        "Introspection.active": True,
        "agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
        "archived_at": None,
        "aud": "https://api.example.com",
        "challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "client_id": "9b2fbe7c",
        "code": "SplxlOBeZQQYbYS6WxSbIA",
        "csrf_token": "5f1d7a84db00d2fce00b31a7fc73224f",
        "current": True,
        "cursor": "eyJjIjoiMjAyNi0xMS0wMiJ9",
        "display_name": "Ada Lovelace",
        "email": "ada@example.com",
        "InvitationView.email": "grace@example.com",
        "email_verified": True,
        "exp": 1793611815,
        "expires_at": "2026-12-02T09:30:15Z",
        "expires_in": 600,
        "grant_type": "password",
        "iat": 1793611215,
        "iss": "https://api.example.com",
        "issuer": "https://login.example.com",
        "mode": "cookie",
        "name": "Analytical Engines",
        "LoginProviderView.name": "example",
        "next": None,
        "password": PASSWORD,
        "new_password": "amber teapot sings at dusk",
        "refresh_token": f"{example_id('session').replace('-', '')}.{TOKEN}",
        "role": "member",
        "roles": ["support"],
        "Profile.roles": [],
        "sid": example_id("session"),
        "slug": "analytical-engines",
        "state": "af0ifjsldkjxyz0123456",
        "sub": example_id("user"),
        "subject": "248289761001",
        "suspended_at": None,
        "deleted_at": None,
        "token": TOKEN,
        "token_type_hint": "refresh_token",
        "token_type": "Bearer",
        "total": None,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "username": "ada@example.com",
        "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "version": 1,
        "workspace_name": "Analytical Engines",
    }
)


def add_examples(document: dict[str, Any], routes: Iterable[APIRoute]) -> None:
    """Gives every operation an example of its body, of its path and of each of its answers.

    Raises TypeError, which names the member, where a text has to match a pattern and has no example.
    """
    problems = document["components"].setdefault("examples", {})
    by_name = {route.name: route for route in routes}
    examples = _Examples(document["components"]["schemas"], _classes(by_name.values()), problems)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            examples.add(path, operation, by_name[operation["operationId"]])


def _classes(routes: Iterable[APIRoute]) -> dict[str, type]:
    """The classes of which routes read and show objects, by the names of their schemas."""
    found: dict[str, type] = {}
    waiting: list[Any] = []
    for route in routes:
        waiting += [route.response_model, *get_type_hints(route.endpoint, include_extras=True).values()]
    while waiting:
        hint = waiting.pop()
        waiting += get_args(hint)
        if isinstance(hint, TypeAliasType):
            waiting.append(hint.__value__)
        if get_origin(hint) is Page:
            found[f"{get_args(hint)[0].__name__}Page"] = Page
        if isinstance(hint, type) and found.get(hint.__name__) is not hint and _has_members(hint):
            found[hint.__name__] = hint
            waiting += get_type_hints(hint, include_extras=True).values()
    return found


def _has_members(kind: type) -> bool:
    return is_dataclass(kind) or is_typeddict(kind) or issubclass(kind, BaseModel)


def _is_of_kernel(module: str) -> bool:
    return "kernel" in module.split(".")


class _Examples:
    def __init__(
        self, schemas: Mapping[str, Schema], classes: Mapping[str, type], problems: dict[str, Any]
    ) -> None:
        self._schemas = schemas
        self._classes = classes
        self._hints = {name: get_type_hints(kind, include_extras=True) for name, kind in classes.items()}
        self._problems = problems
        self._entered: list[str] = []

    def add(self, path: str, operation: dict[str, Any], route: APIRoute) -> None:
        self._known_module = route.endpoint.__module__
        hints = get_type_hints(route.endpoint, include_extras=True)
        given: dict[str, Any] = {}
        for parameter in operation.get("parameters", ()):
            name, schema = parameter["name"], parameter["schema"]
            if parameter["in"] == "path" or (parameter["required"] and parameter["in"] == "query"):
                given[name] = parameter["example"] = self.of(schema, name=name, hint=hints.get(name))
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["example"] = self.of(content["schema"])
        left = operation.pop("x-example", {})
        for answer in operation["responses"].values():
            self.complete(answer, path.format_map(given), operation, left)

    def of(self, schema: Schema, *, name: str = "", owner: str = "", hint: object = None) -> object:
        """A value that fits; `name` is the member's, `owner` that of the schema which has it."""
        parts = list(_parts(hint))
        said = [part.value for part in parts if isinstance(part, Example)]
        for value in (*said, *schema.get("examples", ()), *self._known(name, owner), *schema.get("enum", ())):
            return value
        if "const" in schema:
            return schema["const"]
        if "$ref" in schema:
            referred = schema["$ref"].rpartition("/")[2]
            self._entered.append(referred)
            value = self.of(self._schemas[referred], owner=referred)
            self._entered.pop()
            return value
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0], name=name, owner=owner, hint=hint)
        return self._of_type(schema, name, owner, parts)

    def _known(self, name: str, owner: str) -> Iterator[object]:
        """What the table has; only of the kernel's types, as others may mean something else by a name."""
        module = self._classes[owner].__module__ if owner in self._classes else self._known_module
        if _is_of_kernel(module):
            yield from (BY_NAME[key] for key in (f"{owner}.{name}", name) if key in BY_NAME)

    def _of_type(self, schema: Schema, name: str, owner: str, parts: list[object]) -> object:
        kind = schema.get("type", "")
        if kind == "object":
            return self._of_object(schema, owner)
        if kind == "array":
            return self._of_array(schema, name, owner, parts)
        if kind in {"integer", "number"}:
            return _number(schema)
        return _BY_TYPE[kind] if kind in _BY_TYPE else self._text(schema, name, owner, parts)

    def _of_array(self, schema: Schema, name: str, owner: str, parts: list[object]) -> list[object]:
        items = schema.get("items", {})
        if items.get("$ref", "").rpartition("/")[2] in self._entered:  # a tree ends somewhere
            return []
        hint = next((get_args(part)[0] for part in parts if get_origin(part) in {list, tuple}), None)
        item = self.of(items, name=name.removesuffix("s"), owner=owner, hint=hint)
        return [item] * max(1, schema.get("minItems", 1))

    def _text(self, schema: Schema, name: str, owner: str, parts: list[object]) -> str:
        if schema.get("format") == "uuid":
            typed = next((part.__name__ for part in parts if isinstance(part, NewType)), None)
            return example_id(_noun(typed or (name if name != "id" else owner)))
        if schema.get("format") == "decimal" or Decimal in parts:
            return str(_decimal(schema))
        text = _BY_FORMAT.get(schema.get("format", "")) or name.replace("_", " ").capitalize() or "Text"
        if len(text) < schema.get("minLength", 0):
            text = (text + " ").ljust(schema["minLength"], "x")
        text = text[: schema.get("maxLength")]
        if "pattern" in schema and not re.search(schema["pattern"], text):
            raise TypeError(
                f"{owner or 'A parameter'}: {name} has to match a pattern. Say what it looks like where it "
                f"is declared: Annotated[…, Example(…)]."
            )
        return text

    def _of_object(self, schema: Schema, owner: str) -> dict[str, object]:
        if "properties" in schema:
            hints = self._hints.get(owner, {})
            return {
                name: self.of(member, name=name, owner=owner, hint=hints.get(name))
                for name, member in schema["properties"].items()
            }
        others, names = schema.get("additionalProperties"), schema.get("propertyNames", {})
        while "$ref" in names:
            names = self._schemas[names["$ref"].rpartition("/")[2]]
        least = [f"name{number}" for number in range(schema.get("minProperties", 0))]
        value = self.of(others if isinstance(others, dict) else {})
        return dict.fromkeys(names.get("enum", least), value)

    def complete(
        self, answer: dict[str, Any], path: str, operation: Mapping[str, Any], left: Mapping[str, object]
    ) -> None:
        """Adds what depends on the operation: `path` is that of its example, `left` what it leaves behind."""
        for media_type, content in answer.get("content", {}).items():
            if media_type != MEDIA_TYPE:
                content["example"] = self.of(content["schema"])
                if unknown := left.keys() - content["example"].keys():
                    raise TypeError(
                        f"{operation['operationId']}: example= has {sorted(unknown)}, its answer not."
                    )
                content["example"] |= left
                continue
            for code, example in content["examples"].items():
                if code not in self._problems:  # one of each kind is enough, wherever it happened
                    more = {"errors": [self._error(operation)]} if code == "invalid-request" else {}
                    value = {**example["value"], "instance": path, "trace_id": BY_NAME["trace_id"], **more}
                    self._problems[code] = {**example, "value": value}
            content["examples"] = {
                code: {"$ref": f"#/components/examples/{code}"} for code in content["examples"]
            }
        headers = answer.get("headers", {})
        if "Location" in headers and "x-template" in headers["Location"]:
            shown = next(iter(answer["content"].values()))["example"]
            headers["Location"]["example"] = headers["Location"]["x-template"].format_map(shown)
        if "Link" in headers:
            headers["Link"]["example"] = f'<{path}?cursor={BY_NAME["cursor"]}>; rel="next"'

    def _error(self, operation: Mapping[str, Any]) -> dict[str, str]:
        """What could be wrong with a request: its body's first member, or else a parameter."""
        for content in operation.get("requestBody", {}).get("content", {}).values():
            member = next(iter(content["example"]))
            return {"pointer": f"#/{member}", "code": "string-type", "detail": "It must be a text."}
        for parameter in operation["parameters"]:
            pointer = f"#/{parameter['in']}/{parameter['name']}"
            if parameter["schema"].get("format") == "uuid":
                return {"pointer": pointer, "code": "uuid-parsing", "detail": "It must be a UUID."}
            if parameter["name"] == "limit":
                most = parameter["schema"]["maximum"]
                detail = f"It must be less than or equal to {most}."
                return {"pointer": pointer, "code": "less-than-equal", "detail": detail}
        parameter = operation["parameters"][-1]
        pointer = f"#/{parameter['in']}/{parameter['name']}"
        return {"pointer": pointer, "code": "missing", "detail": "It is required."}


def _parts(hint: object) -> Iterator[object]:
    """A member's type without what stands around it, and all that is said of it on the way."""
    yield hint
    if isinstance(hint, TypeAliasType):
        yield from _parts(hint.__value__)
    elif get_origin(hint) in {Annotated, Required, NotRequired}:
        inner, *said = get_args(hint)
        yield from said
        yield from _parts(inner)
    elif get_origin(hint) in {Union, UnionType}:
        yield from (found for part in get_args(hint) for found in _parts(part))
    elif isinstance(hint, NewType):
        yield hint.__supertype__


def _number(schema: Schema) -> int | float:
    """The number within the bounds that is nearest to 1."""
    step = schema.get("multipleOf", 1)
    beyond, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least = schema.get("minimum") if beyond is None else beyond + step
    most = schema.get("maximum") if below is None else below - step
    value = 1 if most is None else min(1, most)
    value = value if least is None else max(value, least)
    value = -(-value // step) * step if "multipleOf" in schema else value
    return int(value) if schema["type"] == "integer" else value  # FastAPI writes all bounds as floats


def _decimal(schema: Schema) -> Decimal:
    if "x-minimum" not in schema:
        return _PRICE
    least, most = Decimal(schema["x-minimum"]), Decimal(schema["x-maximum"])
    return min(max(_PRICE, least), most).quantize(least)


def _noun(name: str) -> str:
    """What an id is of, in small letters: a `PurchaseOrderId` is a purchase_order's, and a view's as well."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return words.removesuffix("_id").removesuffix("_view")
