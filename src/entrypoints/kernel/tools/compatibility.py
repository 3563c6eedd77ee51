"""What of a change to the OpenAPI document would break a client that was written against the one before.

    what a client sends    all that was accepted must be accepted still, and nothing more be asked for
    what a client gets     nothing must be missing, or be of another kind than was announced

A client has to bear further members and further values of an enumeration in an answer, further problems, and
further successes; so these break nothing (docs/decisions/0016). What is not understood counts as breaking.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any, cast, override

type Json = Mapping[str, Any]
type Schema = Json | bool

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_ABSENT = object()

# Words of JSON Schema that say nothing about what is valid.
_ANNOTATIONS = frozenset(
    {"title", "description", "example", "examples", "default", "deprecated", "discriminator", "$comment"}
)
_LEAST = frozenset({"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties", "x-minimum"})
_MOST = frozenset({"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties", "x-maximum"})
# A decimal's bounds, which JSON Schema has no word for, as its value is a text.
_DECIMAL = frozenset({"x-minimum", "x-maximum"})
_PARTS = frozenset(
    {"type", "enum", "properties", "required", "additionalProperties", "propertyNames", "items"}
)


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing on which clients relied, and where: an operation, or a part of the whole document."""

    where: str
    what: str

    @override
    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def breaches(before: Json, after: Json) -> list[Breach]:
    """All of them, in the order of the document before."""
    return list(dict.fromkeys(_breaches(_expanded(before, before), _expanded(after, after))))


def _expanded[Part](part: Part, document: Json, within: tuple[str, ...] = ()) -> Part:
    """The part with what its references stand for; one within itself stays a reference."""
    expanded: Any = part
    if isinstance(part, list):
        expanded = [_expanded(item, document, within) for item in part]
    elif isinstance(part, Mapping):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference not in within:
            found: Any = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step.replace("~1", "/").replace("~0", "~")]
            beside = {name: value for name, value in part.items() if name != "$ref"}
            expanded = _expanded({**found, **beside}, document, (*within, reference))
        else:
            expanded = {name: _expanded(value, document, within) for name, value in part.items()}
    return cast("Part", expanded)


def _breaches(before: Json, after: Json) -> Iterator[Breach]:
    has = dict(_operations(after))
    for where, operation in _operations(before):
        if where not in has:
            yield Breach(where, "it is gone.")
        else:
            yield from (Breach(where, what) for what in _of_operation(operation, has[where]))
    had, has = before.get("components", {}), after.get("components", {})
    for name, scheme in had.get("securitySchemes", {}).items():
        other = has.get("securitySchemes", {}).get(name, {})
        for word in ("type", "in", "name", "scheme"):
            if other and scheme.get(word) != other.get(word):
                yield Breach(f"security scheme {name}", _was(word, scheme, other))
    there = {problem["type"] for problem in _problems(after)}
    for problem in _problems(before):
        if problem["type"] not in there:
            yield Breach(f"problem {problem['type']}", "it is gone, and clients decide by it.")
    for name in had.get("schemas", {}):
        if name not in has.get("schemas", {}):
            yield Breach(f"schema {name}", "it is gone, and generated clients name a type after it.")


def _problems(document: Json) -> Sequence[Json]:
    schemas: Json = document.get("components", {}).get("schemas", {})
    found: Sequence[Json] = schemas.get("Problem", {}).get("x-problems", ())
    return found


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                asked = operation.get("security", document.get("security", ()))
                yield f"{method.upper()} {path}", {**operation, "parameters": parameters, "security": asked}


def _of_operation(old: Json, new: Json) -> Iterator[str]:
    if old.get("operationId") != new.get("operationId"):
        yield f"{_was('operationId', old, new)} Generated clients name a function after it."
    ways = [*_ways_in(new)]
    for way in _ways_in(old):
        if not any(other <= way for other in ways):
            yield f"{' with '.join(sorted(way)) or 'nothing'} is not accepted any more."
    yield from _of_parameters(old, new)
    yield from _of_body(old.get("requestBody"), new.get("requestBody"))
    answers = new.get("responses", {})
    for status, answer in old.get("responses", {}).items():
        if status in answers:
            yield from _of_answer(answer, answers[status], f"the answer {status}")
        elif status < "4":
            yield f"the answer {status} is gone."


def _ways_in(operation: Json) -> Iterator[frozenset[str]]:
    """The sets of schemes, with their scopes, of which any one lets a client in; an empty one lets all in."""
    for way in operation["security"] or [{}]:
        yield frozenset(" ".join([name, *sorted(scopes)]) for name, scopes in way.items())


def _of_parameters(old: Json, new: Json) -> Iterator[str]:
    had, has = _parameters(old), _parameters(new)
    for key, parameter in had.items():
        at = f"the parameter {parameter['name']} ({parameter['in']})"
        other = has.get(key)
        if other is None:
            yield f"{at} is gone."
            continue
        if other.get("required") and not parameter.get("required"):
            yield f"{at} is required now."
        for word in ("style", "explode"):
            if parameter.get(word) != other.get(word):
                yield f"{at}: {_was(word, parameter, other)}"
        yield from _of_schema(parameter.get("schema", {}), other.get("schema", {}), at, sent=True)
    for key, parameter in has.items():
        if key not in had and parameter.get("required"):
            yield f"the parameter {parameter['name']} ({parameter['in']}) is new, and required."


def _parameters(operation: Json) -> dict[tuple[str, str], Json]:
    found = {}
    for parameter in operation["parameters"]:
        place, name = parameter["in"], parameter["name"]
        found[place, name.lower() if place == "header" else name] = parameter  # RFC 9110 §5.1
    return found


def _of_body(old: Json | None, new: Json | None) -> Iterator[str]:
    if new is None:
        if old is not None:
            yield "it takes no body any more."
    elif new.get("required") and not (old or {}).get("required"):
        yield "it wants a body now."
    if old is not None and new is not None:
        yield from _of_content(old["content"], new["content"], "the body", sent=True)


def _of_answer(old: Json, new: Json, at: str) -> Iterator[str]:
    headers = {name.lower(): header for name, header in new.get("headers", {}).items()}
    for name, header in old.get("headers", {}).items():
        other = headers.get(name.lower())
        if other is None:
            yield f"{at} has no header {name} any more."
            continue
        if header.get("required") and not other.get("required"):
            yield f"{at} may be without the header {name} now."
        yield from _of_schema(
            header.get("schema", {}), other.get("schema", {}), f"{at}, header {name}", sent=False
        )
    content = new.get("content", {})
    if content and not old.get("content"):
        yield f"{at} has a body now."
    yield from _of_content(old.get("content", {}), content, at, sent=False)


def _of_content(old: Json, new: Json, at: str, *, sent: bool) -> Iterator[str]:
    for media_type, content in old.items():
        if media_type not in new:
            yield f"{at} is not {media_type} any more."
        else:
            schemas = content.get("schema", {}), new[media_type].get("schema", {})
            yield from _of_schema(*schemas, at, sent=sent)


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────


def _of_schema(old: Schema, new: Schema, at: str, *, sent: bool) -> Iterator[str]:
    """What a value of the one may be that the other does not know.

    What is sent goes from a client that knows `old` to a service that knows `new`; what is got, back.
    """
    olds, news = [*_alternatives(old)], [*_alternatives(new)]
    for value in olds if sent else news:
        pairs = product([value], news) if sent else product(olds, [value])
        known = news if sent else olds
        found = [
            [*_of_alternative(*pair, at, sent=sent)]
            for pair, other in zip(pairs, known, strict=True)
            if _is_of_type(value, other)
        ]
        if not found:
            kind = value.get("type", "anything")
            yield f"{at} must not be {kind} any more." if sent else f"{at} may be {kind} now."
        else:
            yield from min(found, key=len)


def _alternatives(schema: Schema) -> Iterator[Json]:
    """The schemas, each of one type, of which a value has to fit one."""
    if isinstance(schema, bool):
        yield from [{}] if schema else []
        return
    for word in ("anyOf", "oneOf"):
        if word in schema:
            beside = {name: value for name, value in schema.items() if name != word}
            for one in schema[word]:
                yield from _alternatives(_merged({"allOf": [beside, one]}))
            return
    if "allOf" in schema:
        yield from _alternatives(_merged(schema))
        return
    if "const" in schema:
        schema = {**schema, "enum": [schema["const"]]}
    types = schema.get("type")
    for name in types if isinstance(types, list) else [types]:
        yield {**schema, "type": name} if name else schema


def _merged(schema: Json) -> Json:
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        merged = {
            **merged,
            **part,
            "properties": {**merged.get("properties", {}), **part.get("properties", {})},
            "required": [*merged.get("required", ()), *part.get("required", ())],
        }
    return merged


def _is_of_type(value: Json, known: Json) -> bool:
    types = value.get("type"), known.get("type")
    return types[1] in {None, types[0]} or types == ("integer", "number")


def _of_alternative(old: Json, new: Json, at: str, *, sent: bool) -> Iterator[str]:
    value, known = (old, new) if sent else (new, old)
    for word in sorted(known.keys() - _PARTS - _ANNOTATIONS - {"const"}):
        if word.startswith("x-") and word not in _DECIMAL:
            continue
        least, limit = value.get(word), known[word]
        if word in _DECIMAL and least is not None:
            least, limit = Decimal(least), Decimal(limit)
        kept = least == limit or (
            least is not None
            and (
                (word in _LEAST and least >= limit)
                or (word in _MOST and least <= limit)
                or (word == "pattern" and _sorts(least) <= _sorts(limit))
            )
        )
        if not kept and not (word in {"minLength", "minItems", "minProperties"} and not limit):
            yield f"{at}: {_was(word, old, new)}"
    if sent and old.get("default") is not None and old["default"] != new.get("default"):
        yield f"{at}: {_was('default', old, new)}"
    yield from _of_values(old, new, at, sent=sent)
    yield from _of_members(old, new, at, sent=sent)
    for word, step in (("items", "[]"), ("propertyNames", " (names)")):
        if word in known:
            yield from _of_schema(old.get(word, {}), new.get(word, {}), f"{at}{step}", sent=sent)


def _sorts(pattern: str) -> set[str]:
    """By what a list sorts, where the pattern is that of `sort`; of another pattern nothing but itself."""
    found = re.fullmatch(r"\^-\?\(([\w|]+)\)\(,-\?\(\1\)\)\*\$", pattern)
    return set(found[1].split("|")) if found else {pattern}


def _of_values(old: Json, new: Json, at: str, *, sent: bool) -> Iterator[str]:
    value, known = (old, new) if sent else (new, old)
    if "enum" not in known:
        return
    if "enum" not in value:
        yield f"{at} must be one of {new['enum']} now." if sent else f"{at} may be anything now."
        return
    unknown = [one for one in value["enum"] if one not in known["enum"]]
    if sent and unknown:
        yield f"{at} must not be {' or '.join(map(repr, unknown))} any more."
    elif len(unknown) == len(value["enum"]):
        yield f"{at} is nothing that it was any more, but {' or '.join(map(repr, unknown))}."


def _of_members(old: Json, new: Json, at: str, *, sent: bool) -> Iterator[str]:
    had, has = old.get("properties", {}), new.get("properties", {})
    for name, member in had.items():
        if name in has:
            yield from _of_schema(member, has[name], f"{at}, member {name}", sent=sent)
        else:
            yield f"{at} has no member {name} any more."
    wanted, given = set(new.get("required", ())), set(old.get("required", ()))
    for name in sorted(wanted - given) if sent else ():
        yield f"{at}: the member {name} is {'required now' if name in had else 'new, and required'}."
    for name in sorted((given - wanted) & has.keys()) if not sent else ():
        yield f"{at} may be without the member {name} now."
    others = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if sent and others[1] is False and others[0] is not False:
        yield f"{at} takes no other members any more."
    elif any(isinstance(one, Mapping) for one in others) and not any(one is False for one in others):
        yield from _of_schema(*others, f"{at}, other members", sent=sent)


def _was(word: str, old: Json, new: Json) -> str:
    said = [repr(schema[word]) if word in schema else "not there" for schema in (old, new)]
    return f"{word} was {said[0]} and is {said[1]}."
