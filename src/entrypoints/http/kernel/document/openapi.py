"""The OpenAPI document of one version of the API: what FastAPI writes of its routes, made whole."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import getdoc
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.routing import BaseRoute

from application.kernel.ports.limits import QuotaExceeded
from entrypoints.http.kernel.document.authorize import log_in_schemes
from entrypoints.http.kernel.document.documentation import COOKIE_SCHEME
from entrypoints.http.kernel.document.examples import add_examples
from entrypoints.http.kernel.routing.inputs import CURSOR_PATTERN
from entrypoints.http.kernel.routing.problems import MEDIA_TYPE, PAGES, Problem, kind_of, kinds
from entrypoints.kernel.service import SERVICE_DESCRIPTION, SERVICE_LICENSE, SERVICE_TITLE, SERVICE_VERSION
from entrypoints.kernel.settings import KernelSettings

type Document = dict[str, Any]

_WITHOUT_NUL = r"^[^\u0000]*$"
_TOLD = frozenset({"pattern", "enum", "const"})
_FREE = (None, "password")  # formats without a grammar

OPENAPI_VERSION = "3.1.0"

_LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "description": (
            "The policies that the request is counted by: `q` requests in any `w` seconds "
            "(draft-ietf-httpapi-ratelimit-headers-11)."
        ),
        "schema": {"type": "string"},
        "example": '"default";q=600;w=60',
    },
    "RateLimit": {
        "description": "What is left of each: `r` requests for the next `t` seconds; then there are more.",
        "schema": {"type": "string"},
        "example": '"default";r=599;t=60',
    },
}

_INTRODUCTION = """\
**Logging in.** Send `Authorization: Bearer …` with the `access_token` of a log-in. It is good for minutes;
`POST /{version}/auth/refresh` has the next one. Pages in browsers can use a session cookie instead.

**Refusals.** Every answer from 400 on is a problem ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) in
`application/problem+json`. Decide by its `type`, which is the address of a page about it; [here]({pages}) are
all. There may be new ones at any time: treat a `type` that you do not know like its status. Quote `trace_id`
when you report one. Beside what an operation names, any request can end in 405, 408, 413, 414, 421 or 431.

**Lists** come in pages. Ask for the next one with `cursor`, the `next` of the page before, and with the same
filters and sort; or follow `Link: <…>; rel="next"`. A cursor is opaque.

**Changes.** What has a `version` comes with an `ETag`. Send it back as `If-Match`, and the change is refused
with 412 if it was changed since; as `If-None-Match`, and a read is answered with 304 if nothing changed.

**Trying again.** `GET`, `DELETE`, and `PATCH` with `If-Match` may be sent again, and a `POST` that carries an
`Idempotency-Key`: it is then done once, and answered alike. After 429, 503 and 504 wait for the seconds of
`Retry-After`; what is refused with 409, 412 or 422 has to change first, unless a key is in use: then wait.

**Limits.** `RateLimit` says how many requests of this kind you may send for how long, and `RateLimit-Policy`
by which policies. A request beyond that is a 429 with `Retry-After`, and does not count.

**Compatibility.** Within a version there may be new operations, optional parameters, and members and values
of enumerations in answers; be ready for those that you do not know. Nothing else changes.
"""

# Words of operation ids that are written in capitals.
_CAPITALS = frozenset({"csrf"})


def openapi_document(version: str, routes: Iterable[BaseRoute], settings: KernelSettings) -> Document:
    """The document of `/{version}/…`; nothing of it depends on anything but its arguments."""
    routes = [route for route in routes if getattr(route, "path", "").startswith(f"/{version}/")]
    routes.sort(key=_place)
    documented = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    document = get_openapi(
        openapi_version=OPENAPI_VERSION,
        title=SERVICE_TITLE,
        version=SERVICE_VERSION,
        summary=SERVICE_DESCRIPTION,
        description=_INTRODUCTION.format(version=version, pages=settings.public_url + PAGES),
        contact={
            "name": SERVICE_TITLE,
            **({"url": f"{settings.public_url}/{version}/docs"} if settings.docs_served else {}),
        },
        license_info={"name": SERVICE_LICENSE, "identifier": SERVICE_LICENSE},
        servers=[{"url": settings.public_url}],
        tags=_tags(documented),
        external_docs={"description": "Every kind of problem", "url": settings.public_url + PAGES},
        routes=routes,
    )
    _drop_titles(document["components"])
    _drop_titles(document["paths"])
    _add_problems(document)
    _add_limits(document)
    _name_pages(document)
    _add_log_in(document, log_in_schemes(settings))
    _tell_of_cursors(document)
    for operation in _operations(document):
        words = operation["operationId"].split("_")
        summary = " ".join(word.upper() if word in _CAPITALS else word for word in words)
        operation["summary"] = summary[0].upper() + summary[1:]
        for parameter in operation.get("parameters", ()):
            _tidy_parameter(parameter)
    _tell_of_nul(document)
    _drop_unused(document)
    add_examples(document, documented)
    _add_links(document)
    return document


def _place(route: BaseRoute) -> tuple[str, int]:
    """By path and then by method, whichever package a route is of: so two that are new merge."""
    order = ("GET", "POST", "PATCH", "DELETE")
    known = [order.index(method) for method in getattr(route, "methods", None) or () if method in order]
    return getattr(route, "path", ""), min(known, default=9)


def _operations(document: Document) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _tags(routes: Iterable[APIRoute]) -> list[dict[str, str]]:
    """What the first line of a module says is what its routes are about."""
    found: dict[str, str] = {}
    for route in routes:
        module = sys.modules[route.endpoint.__module__]
        for tag in route.tags:
            found.setdefault(str(tag), (getdoc(module) or "").partition("\n")[0])
    return [{"name": name, "description": found[name]} for name in sorted(found)]


# ── problems, and ways to log in ─────────────────────────────────────────────────────────────────


def _add_problems(document: Document) -> None:
    """The schema of a problem, with every kind that there is."""
    schema = TypeAdapter(Problem).json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization"
    )
    _drop_titles(schema)
    schemas = document["components"]["schemas"]
    schemas.update(schema.pop("$defs"))
    schemas["Problem"] = schema | {
        "x-problems": [{"type": kind.type, "status": kind.status, "title": kind.title} for kind in kinds()]
    }


def _add_limits(document: Document) -> None:
    """What is left of a quota: told once, and named where a client reads it, in successes and in a 429."""
    document["components"]["headers"] = _LIMIT_HEADERS
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMIT_HEADERS}
    for operation in _operations(document):
        responses = operation["responses"]
        if not _is_limited(responses):
            continue
        for status, response in responses.items():
            if status < "400" or status == "429":
                response.setdefault("headers", {}).update(told)


def _is_limited(responses: Mapping[str, Any]) -> bool:
    kinds = responses.get("429", {}).get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    return kind_of(QuotaExceeded).code in kinds


def _add_log_in(document: Document, schemes: Mapping[str, Any]) -> None:
    """Further ways to get a token, which every operation with a bearer token takes."""
    components = document["components"]
    # The page shows them in this order.
    components["securitySchemes"] = {**schemes, **components["securitySchemes"]}
    ways: list[dict[str, list[str]]] = [{name: []} for name in ("bearer", COOKIE_SCHEME, *schemes)]
    for operation in _operations(document):
        if {"bearer": []} in operation.get("security", ()):
            operation["security"] = ways


# ── formats that no type says ────────────────────────────────────────────────────────────────────


def _tell_of_cursors(document: Document) -> None:
    """The `next` of a page is what a `cursor` looks like."""
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Page") and "next" in schema.get("properties", {}):
            for option in schema["properties"]["next"]["anyOf"]:
                if option == {"type": "string"}:
                    option["pattern"] = CURSOR_PATTERN


def _tell_of_nul(document: Document) -> None:
    """No text that is sent has the character NUL; the formats that have a grammar leave no room for it."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    seen = set[str]()
    parts: list[Any] = list(_sent(document))
    while parts:
        schema = parts.pop()
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            parts.append(schemas[name])
        if schema.get("type") == "string" and schema.get("format") in _FREE and not _TOLD & schema.keys():
            schema["pattern"] = _WITHOUT_NUL
        inside = [schema.get(part) for part in ("items", "additionalProperties")]
        inside += [option for part in ("anyOf", "oneOf", "allOf") for option in schema.get(part, ())]
        inside += schema.get("properties", {}).values()
        parts += [part for part in inside if isinstance(part, dict)]


def _sent(document: Document) -> Iterator[dict[str, Any]]:
    """The schemas of all queries and of all bodies of JSON."""
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                yield parameter["schema"]
        if body := operation.get("requestBody", {}).get("content", {}).get("application/json"):
            yield body["schema"]


# ── names that a person would give ───────────────────────────────────────────────────────────────


def _name_pages(document: Document) -> None:
    """`Page_BookView_` is a name for no type of a client's; `BookViewPage` is."""
    schemas = document["components"]["schemas"]
    names = {name: re.sub(r"^Page_(\w+)_$", r"\1Page", name) for name in schemas}
    document["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    prefix = "#/components/schemas/"

    def rename(part: object) -> None:
        for member in _members(part):
            if isinstance(member, dict) and str(member.get("$ref", "")).startswith(prefix):
                member["$ref"] = prefix + names[member["$ref"].removeprefix(prefix)]
            rename(member)

    rename(document)


def _members(part: object) -> Sequence[object]:
    return list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else ()


def _drop_titles(part: object) -> None:
    """pydantic's titles repeat the name beside them, and generators name types after them."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        part = [member for name, member in part.items() if name not in {"example", "examples"}]
    for member in _members(part):
        _drop_titles(member)


def _tidy_parameter(parameter: dict[str, Any]) -> None:
    """A parameter can be left out, and cannot be null; and pydantic shows a sort as what it is read as."""
    name, schema = parameter["name"], parameter["schema"]
    if parameter["in"] == "path":
        noun, is_id, _ = name.replace("_", " ").partition(" id")
        parameter.setdefault("description", f"The id of the {noun}." if is_id else f"Its {noun}.")
    schema.pop("description", None)
    options = [option for option in schema.pop("anyOf", ()) if option != {"type": "null"}]
    if options:
        (option,) = options
        schema.update(option)
    default = schema.get("default")
    if default is None or default == []:
        schema.pop("default", None)
    elif schema.get("type") == "string" and isinstance(default, list):
        schema["default"] = ",".join(f"{'-' * sort['descending']}{sort['key']}" for sort in default)


def _drop_unused(document: Document) -> None:
    """Schemas that were only there for what has been tidied."""
    schemas = document["components"]["schemas"]
    while unused := schemas.keys() - set(_references(document)):
        for name in unused:
            del schemas[name]


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict) and "$ref" in part:
        yield str(part["$ref"]).rpartition("/")[2]
    for member in _members(part):
        yield from _references(member)


# ── links ────────────────────────────────────────────────────────────────────────────────────────


def _add_links(document: Document) -> None:
    """From what creates a thing to all that can be done with it: what is at its `Location`, or below."""
    paths: dict[str, dict[str, Any]] = document["paths"]
    for operation in _operations(document):
        created = operation["responses"].get("201", {})
        location = created.get("headers", {}).get("Location", {}).pop("x-template", None)
        names = re.findall(r"{(\w+)}", location or "")
        if not names:
            continue
        pattern = re.compile(re.sub(r"\\{\w+\\}", r"{(\\w+)}", re.escape(location)) + r"(/[^{}]*)?")
        created["links"] = {
            found["operationId"]: {
                "operationId": found["operationId"],
                "parameters": {
                    parameter: f"$response.body#/{name}"
                    for parameter, name in zip(match.groups()[: len(names)], names, strict=True)
                },
            }
            for path, operations in paths.items()
            if (match := pattern.fullmatch(path))
            for found in operations.values()
        }
