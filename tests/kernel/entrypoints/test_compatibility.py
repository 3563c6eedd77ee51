"""What breaks a client and what does not: each rule with the change that it is for, and chance beyond it."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.kernel.tools.compatibility import breaches

ABSENT = object()

LOOM = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^[a-z]+$"},
        "kind": {"type": "string", "enum": ["hand", "power"], "default": "hand"},
        "width": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"type": "null"}]},
        "tags": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
    },
}
SORT = "^-?({0})(,-?({0}))*$"
BEFORE: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/looms/{id}": {
            "patch": {
                "operationId": "edit_loom",
                "security": [{"bearer": []}, {"cookie": []}],
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 50}},
                    {"name": "If-Match", "in": "header", "schema": {"type": "string"}},
                    {
                        "name": "sort",
                        "in": "query",
                        "schema": {"type": "string", "pattern": SORT.format("name|at")},
                    },
                ],
                "requestBody": {
                    "required": False,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Edit"}}},
                },
                "responses": {
                    "200": {
                        "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Loom"}}},
                    },
                    "204": {},
                    "404": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
                },
            },
            "get": {"operationId": "get_loom", "security": [], "responses": {"200": {}}},
        }
    },
    "components": {
        "schemas": {
            "Edit": deepcopy(LOOM),
            "Loom": deepcopy(LOOM),
            "Problem": {"type": "object", "x-problems": [{"type": "/problems/loom-not-found"}]},
        },
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}, "cookie": {"type": "apiKey"}},
    },
}
PATCH = ("paths", "/looms/{id}", "patch")
PARAMETERS = (*PATCH, "parameters")
BODY = (*PATCH, "requestBody")
ANSWER = (*PATCH, "responses", "200")
EDIT = ("components", "schemas", "Edit")
SENT, GOT = (*EDIT, "properties"), ("components", "schemas", "Loom", "properties")


def changed(*changes: tuple[tuple[str | int, ...], object]) -> dict[str, Any]:
    """BEFORE with other values at these places; ABSENT takes one away."""
    document = deepcopy(BEFORE)
    for place, value in changes:
        part: Any = document
        for step in place[:-1]:
            part = part[step]
        if value is ABSENT:
            del part[place[-1]]
        elif isinstance(part, list) and place[-1] == len(part):
            part.append(value)
        else:
            part[place[-1]] = value
    return document


BREAKING: dict[str, tuple[tuple[str | int, ...], object, str]] = {
    "a problem is called otherwise": (
        ("components", "schemas", "Problem", "x-problems"),
        [{"type": "/problems/no-such-loom"}],
        "it is gone, and clients decide by it.",
    ),
    "a default in a body is another": ((*SENT, "kind", "default"), "power", "default was 'hand'"),
    # ── operations ──
    "a path is gone": (("paths", "/looms/{id}"), {}, "it is gone."),
    "an operation is gone": (PATCH, ABSENT, "it is gone."),
    "an operation is renamed": ((*PATCH, "operationId"), "patch_loom", "operationId was 'edit_loom'"),
    "one way in is gone": ((*PATCH, "security"), [{"bearer": []}], "cookie is not accepted any more."),
    "a way in asks for more": (
        (*PATCH, "security"),
        [{"bearer": [], "csrf": []}, {"cookie": []}],
        "bearer is not accepted any more.",
    ),
    "a way in asks for a scope": (
        (*PATCH, "security"),
        [{"bearer": ["write"]}, {"cookie": []}],
        "bearer is not accepted any more.",
    ),
    "what was open is closed": (
        ("paths", "/looms/{id}", "get", "security"),
        [{"bearer": []}],
        "nothing is not accepted any more.",
    ),
    "a way in is of another type": (
        ("components", "securitySchemes", "bearer", "type"),
        "oauth2",
        "type was 'http' and is 'oauth2'.",
    ),
    "a schema is renamed": (("components", "schemas", "Other"), ABSENT, "name a type after it"),
    # ── parameters ──
    "a parameter is gone": ((*PARAMETERS, 1), ABSENT, "the parameter limit (query) is gone."),
    "a header is gone": ((*PARAMETERS, 2), ABSENT, "the parameter If-Match (header) is gone."),
    "a parameter is renamed": ((*PARAMETERS, 0, "name"), "loom_id", "the parameter id (path) is gone."),
    "a parameter is required": ((*PARAMETERS, 1, "required"), True, "(query) is required now."),
    "a header is required": ((*PARAMETERS, 2, "required"), True, "(header) is required now."),
    "a new parameter is required": (
        (*PARAMETERS, 3),
        {"name": "q", "in": "query", "required": True, "schema": {}},
        "q (query) is new, and required.",
    ),
    "a parameter is narrower": ((*PARAMETERS, 1, "schema", "maximum"), 9, "and is 9."),
    "a parameter is of another type": ((*PARAMETERS, 1, "schema", "type"), "boolean", "must not be integer"),
    "a list sorts by less": ((*PARAMETERS, 3, "schema", "pattern"), SORT.format("name"), "pattern was"),
    "a parameter has another pattern": ((*PARAMETERS, 3, "schema", "pattern"), "^(name|at)$", "pattern was"),
    "a parameter is written otherwise": ((*PARAMETERS, 1, "explode"), False, "explode was not there"),
    "a default is another": ((*PARAMETERS, 1, "schema", "default"), 20, "default was 50 and is 20."),
    # ── bodies ──
    "a body is required": ((*BODY, "required"), True, "it wants a body now."),
    "no body is taken": (BODY, ABSENT, "it takes no body any more."),
    "a body is of another media type": (
        (*BODY, "content"),
        {"text/csv": {}},
        "the body is not application/json any more.",
    ),
    "a member sent is required": ((*EDIT, "required"), ["name", "kind"], "member kind is required now."),
    "a new member is required": ((*EDIT, "required"), ["name", "new"], "member new is new, and required."),
    "a member sent is gone": ((*SENT, "kind"), ABSENT, "has no member kind any more."),
    "a member sent is longer at least": ((*SENT, "name", "minLength"), 2, "minLength was 1 and is 2."),
    "a member sent is shorter at most": ((*SENT, "name", "maxLength"), 8, "maxLength was 9 and is 8."),
    "a member sent has another pattern": ((*SENT, "name", "pattern"), "^[a-f]+$", "pattern was"),
    "a member sent has a format": ((*SENT, "name", "format"), "email", "format was not there"),
    "a member sent is of another type": ((*SENT, "name", "type"), "integer", "must not be string any more"),
    "a value sent is gone": ((*SENT, "kind", "enum"), ["hand"], "must not be 'power' any more."),
    "a text sent becomes one of few": ((*SENT, "name", "enum"), ["a"], "must be one of ['a'] now."),
    "null is not taken": ((*SENT, "width"), {"type": "integer"}, "must not be null any more."),
    "fewer items may be sent": ((*SENT, "tags", "maxItems"), 2, "maxItems was 3 and is 2."),
    "items sent are narrower": ((*SENT, "tags", "items", "maxLength"), 5, "tags[]: maxLength"),
    "a word that nobody knows": ((*SENT, "name", "not"), {"const": "a"}, "not was not there"),
    # ── answers ──
    "a success is gone": ((*PATCH, "responses", "204"), ABSENT, "the answer 204 is gone."),
    "an answer has a body": (
        (*PATCH, "responses", "204", "content"),
        {"application/json": {}},
        "the answer 204 has a body now.",
    ),
    "an answer is of another media type": (
        (*ANSWER, "content"),
        {"text/csv": {}},
        "the answer 200 is not application/json any more.",
    ),
    "a problem is of another media type": (
        (*PATCH, "responses", "404", "content"),
        {"text/plain": {}},
        "the answer 404 is not application/problem+json any more.",
    ),
    "a header of an answer is gone": ((*ANSWER, "headers"), {}, "has no header ETag any more."),
    "a header may be absent": ((*ANSWER, "headers", "ETag", "required"), False, "without the header ETag"),
    "a header is of another type": (
        (*ANSWER, "headers", "ETag", "schema", "type"),
        "integer",
        "header ETag may be integer now.",
    ),
    "a member got is gone": ((*GOT, "kind"), ABSENT, "has no member kind any more."),
    "a member got may be absent": (
        ("components", "schemas", "Loom", "required"),
        [],
        "may be without the member name now.",
    ),
    "a member got is of another type": ((*GOT, "name", "type"), "integer", "name may be integer now."),
    "a member got may be null": ((*GOT, "name", "type"), ["string", "null"], "name may be null now."),
    "a member got is longer": ((*GOT, "name", "maxLength"), 10, "maxLength was 9 and is 10."),
    "a member got is unbounded": ((*GOT, "name", "maxLength"), ABSENT, "and is not there."),
    "one of few becomes any text": ((*GOT, "kind", "enum"), ABSENT, "kind may be anything now."),
    "all values got are others": ((*GOT, "kind", "enum"), ["steam"], "is nothing that it was any more"),
    "items got are others": ((*GOT, "tags", "items", "type"), "integer", "tags[] may be integer now."),
}  # fmt: skip

ADDITIVE: dict[str, tuple[tuple[str | int, ...], object]] = {
    "a new path": (("paths", "/wheels"), {"get": {"operationId": "list_wheels", "responses": {}}}),
    "a new operation": (("paths", "/looms/{id}", "delete"), {"operationId": "delete", "responses": {}}),
    "a new parameter": ((*PARAMETERS, 4), {"name": "q", "in": "query", "schema": {"type": "string"}}),
    "a header in other letters": ((*PARAMETERS, 2, "name"), "if-match"),
    "a further way in": ((*PATCH, "security"), [{"bearer": []}, {"cookie": []}, {"basic": []}]),
    "nothing is asked for": ((*PATCH, "security"), []),
    "a new schema": (("components", "schemas", "New"), {"type": "string"}),
    "a parameter is wider": ((*PARAMETERS, 0, "schema", "type"), ["string", "integer"]),
    "a list sorts by more": ((*PARAMETERS, 3, "schema", "pattern"), SORT.format("name|width|at")),
    "a further media type of bodies": ((*BODY, "content", "text/csv"), {}),
    "a new member may be sent": ((*SENT, "new"), {"type": "string"}),
    "what was required need not be sent": ((*EDIT, "required"), []),
    "a further value may be sent": ((*SENT, "kind", "enum"), ["hand", "power", "steam"]),
    "null may be sent": ((*SENT, "name"), {"anyOf": [LOOM["properties"]["name"], {"type": "null"}]}),  # type: ignore[index]  # it has them
    "longer texts may be sent": ((*SENT, "name", "maxLength"), 99),
    "anything else may be sent": ((*EDIT, "additionalProperties"), True),
    "a new success": ((*PATCH, "responses", "202"), {"content": {"application/json": {}}}),
    "a new problem": ((*PATCH, "responses", "429"), {}),
    "a problem fewer": ((*PATCH, "responses", "404"), ABSENT),
    "a new header of an answer": ((*ANSWER, "headers", "Link"), {"schema": {"type": "string"}}),
    "a new member is got": ((*GOT, "new"), {"type": "string"}),
    "a member is always got": (("components", "schemas", "Loom", "required"), ["name", "kind"]),
    "a further value is got": ((*GOT, "kind", "enum"), ["hand", "power", "steam"]),
    "null is never got": ((*GOT, "width"), {"type": "integer", "minimum": 1, "maximum": 4}),
    "words for people": ((*GOT, "name", "description"), "What it is called."),
    "a member is deprecated": ((*GOT, "name", "deprecated"), True),
    "what only we read": ((*GOT, "name", "x-note"), "what only we read"),
}  # fmt: skip


@pytest.mark.parametrize("rule", BREAKING)
def test_a_change_that_breaks_a_client_is_told_where_it_is(rule: str) -> None:
    place, value, told = BREAKING[rule]
    before = deepcopy(BEFORE)
    if rule == "a schema is renamed":
        before["components"]["schemas"]["Other"] = {}
        found = breaches(before, BEFORE)
    else:
        found = breaches(before, changed((place, value)))
    assert any(told in str(breach) for breach in found), found
    wheres = {breach.where for breach in found}
    assert wheres <= {
        "PATCH /looms/{id}",
        "GET /looms/{id}",
        "security scheme bearer",
        "schema Other",
        "problem /problems/loom-not-found",
    }


@pytest.mark.parametrize("addition", ADDITIVE)
def test_an_addition_breaks_nothing(addition: str) -> None:
    assert breaches(BEFORE, changed(ADDITIVE[addition])) == []


def test_an_addition_taken_back_breaks_what_was_added() -> None:
    quiet = {"words for people", "what only we read", "a member is deprecated", "a header in other letters"}
    symmetric = {"a problem fewer", "a new problem", "a further value is got"}
    for addition, change in ADDITIVE.items():
        if addition not in quiet | symmetric:
            assert breaches(changed(change), BEFORE), addition


def test_a_schema_that_contains_itself_is_compared_once() -> None:
    tree = {"type": "array", "items": {"$ref": "#/components/schemas/Loom"}}
    assert breaches(changed(((*GOT, "parts"), tree)), changed(((*GOT, "parts"), tree))) == []
    narrower = changed(((*GOT, "parts"), tree), ((*GOT, "name", "type"), "integer"))
    found = [str(breach) for breach in breaches(changed(((*GOT, "parts"), tree)), narrower)]
    assert any("member name may be integer now." in one for one in found)


def test_all_of_is_one_schema() -> None:
    more = {"type": "object"}

    def loom(*required: str) -> dict[str, Any]:
        return {"required": [*required], "properties": {"a": {"type": "string"}}}

    together = getting({"allOf": [loom("a"), more]})
    assert breaches(together, getting({**loom("a"), **more})) == []
    assert breaches(getting({**loom("a"), **more}), together) == []
    assert breaches(together, getting({"allOf": [loom(), more]})) != []


# ── beyond the table ─────────────────────────────────────────────────────────────────────────────


def bounded(kind: str, least: str, most: str, *, low: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(low, 3), st.integers(3, 6))
    both = bounds.map(lambda pair: {"type": kind, least: pair[0], most: pair[1]})
    return st.one_of(st.just({"type": kind}), both)


def objects(members: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from("abc"), members, max_size=3).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or ["a"])).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & properties.keys()),
                "additionalProperties": False,
            }
        )
    )


scalars = st.one_of(
    bounded("string", "minLength", "maxLength"),
    bounded("integer", "minimum", "maximum", low=-3),
    st.just({"type": "boolean"}),
    st.sets(st.sampled_from(["a", "b", "c"]), min_size=1).map(lambda values: {"enum": sorted(values)}),
)
schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        objects(inner),
        st.tuples(inner, st.integers(0, 3)).map(
            lambda pair: {"type": "array", "items": pair[0], "maxItems": pair[1]}
        ),
        inner.map(lambda one: {"anyOf": [one, {"type": "null"}]}),
    ),
    max_leaves=5,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit."""
    if "anyOf" in schema:
        return st.one_of([values(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _VALUES[schema["type"]](schema)


def members(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    found = {name: values(member) for name, member in schema["properties"].items()}
    needed = {name: found.pop(name) for name in schema["required"]}
    return st.fixed_dictionaries(needed, optional=found)


_VALUES: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
    "string": lambda schema: st.text(
        "xy", min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 9)
    ),
    "integer": lambda schema: st.integers(schema.get("minimum", -9), schema.get("maximum", 9)),
    "array": lambda schema: st.lists(values(schema["items"]), max_size=schema["maxItems"]),
    "object": members,
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
}


AT_MOST = {"maxLength", "maximum", "maxItems"}


@st.composite
def evolved(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema may have become in a release: the same, or different somewhere in it."""
    other = deepcopy(schema)
    word = draw(st.sampled_from(sorted(other)))
    value = other[word]
    if draw(st.integers(0, 7)) == 0:
        return {"anyOf": [other, {"type": "null"}]}
    if isinstance(value, int) and not isinstance(value, bool):
        moved = value + draw(st.sampled_from([-1, 1]))
        other[word] = max(moved, 0 if word == "maxItems" else 3) if word in AT_MOST else min(moved, 3)
        other[word] = other[word] if word == "minimum" else max(other[word], 0)
        if word != "maxItems" and draw(st.booleans()):
            del other[word]
    elif word == "enum":
        other[word] = draw(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, unique=True))
    elif word == "properties" and draw(st.booleans()):
        value["d"] = draw(scalars)
    elif word == "properties" and value:
        name = draw(st.sampled_from(sorted(value)))
        value[name] = draw(evolved(value[name]))
    elif word == "required":
        other[word] = draw(st.lists(st.sampled_from(sorted(other["properties"]) or ["a"]), unique=True))
        other[word] = [name for name in other[word] if name in other["properties"]]
    elif word == "items":
        other[word] = draw(evolved(value))
    elif word == "anyOf":
        other[word] = [draw(evolved(value[0])), *draw(st.sampled_from([[], value[1:]]))]
    return other


def sending(schema: dict[str, Any]) -> dict[str, Any]:
    return changed((EDIT, schema))


def getting(schema: dict[str, Any]) -> dict[str, Any]:
    return changed((("components", "schemas", "Loom"), schema))


pairs = schemas.flatmap(lambda old: st.tuples(st.just(old), evolved(old)))


def tolerant(schema: Any) -> Any:
    """What a client understands that ignores members and values which it does not know."""
    if isinstance(schema, dict):
        kept = {name: tolerant(part) for name, part in schema.items() if name != "additionalProperties"}
        return {"type": "string"} if "enum" in schema else kept
    return [tolerant(part) for part in schema] if isinstance(schema, list) else schema


@given(schemas)
def test_nothing_breaks_where_nothing_changes(schema: dict[str, Any]) -> None:
    assert breaches(sending(schema), sending(deepcopy(schema))) == []
    assert breaches(getting(schema), getting(deepcopy(schema))) == []


@settings(max_examples=200)
@given(pairs, st.data())
def test_what_breaks_nothing_takes_all_that_was_taken(
    pair: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    old, new = pair
    if not breaches(sending(old), sending(new)):
        jsonschema_rs.validate(new, data.draw(values(old)))


@settings(max_examples=200)
@given(pairs, st.data())
def test_what_breaks_nothing_gives_only_what_is_understood(
    pair: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    old, new = pair
    if not breaches(getting(old), getting(new)):
        jsonschema_rs.validate(tolerant(old), data.draw(values(new)))


@pytest.mark.parametrize(
    ("word", "value", "sent", "got"),
    [
        ("x-minimum", "10.00", True, False),
        ("x-minimum", "2.00", False, True),
        ("x-maximum", "10.00", True, False),
        ("x-maximum", "200.00", False, True),
        ("x-minimum", "9", False, False),
        ("x-anything", "1", False, False),
    ],
)
def test_the_bounds_of_a_decimal_are_compared_as_numbers(
    word: str, value: str, sent: bool, got: bool
) -> None:
    before, after = deepcopy(BEFORE), deepcopy(BEFORE)
    decimal = {"type": "string", "x-minimum": "9.00", "x-maximum": "100.00"}
    for name, breaks in (("Edit", sent), ("Loom", got)):
        before["components"]["schemas"][name]["properties"]["price"] = decimal
        after["components"]["schemas"] = deepcopy(before["components"]["schemas"])
        after["components"]["schemas"][name]["properties"]["price"] = {**decimal, word: value}
        assert bool(breaches(before, after)) == breaks, name
