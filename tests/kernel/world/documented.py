"""Holds answers against the OpenAPI document: what a client was told is what it gets, and nothing more."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from httpx2 import Response
from starlette.routing import Match

PROBLEM = "application/problem+json"
ON_EVERY_ANSWER = {
    "cache-control",
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "traceresponse",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
}
# Headers that tell a client something which the answer's body does not.
TELLING = {
    "content-disposition",
    "deprecation",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "retry-after",
    "sunset",
    "www-authenticate",
}


class Contract:
    """An application, and the document that describes it."""

    def __init__(self, app: FastAPI, document: dict[str, Any]) -> None:
        self._app = app
        self.document = document

    def check(self, response: Response, body: bytes) -> None:
        """Fails where the answer is not as documented, or lacks what every answer has."""
        assert response.headers.keys() >= ON_EVERY_ANSWER
        assert "server" not in response.headers
        media_type = response.headers.get("content-type")
        if response.status_code >= 400:
            assert media_type == PROBLEM
        if response.request.method == "HEAD":
            assert body == b""
            return
        problem = json.loads(body) if response.status_code >= 400 else {}
        if problem:
            self.conforms(problem, {"$ref": "#/components/schemas/Problem"})
            assert problem["status"] == response.status_code
        operation = self._operation(response)
        if operation is None:
            return
        documented = operation["responses"].get(str(response.status_code))
        assert documented is not None, f"{response.status_code} is not documented"
        announced = {name.lower() for name in documented.get("headers", ())}
        assert not TELLING & response.headers.keys() - announced
        content = documented.get("content", {})
        if problem:
            kinds = content[PROBLEM]["examples"]
            assert problem["type"].removeprefix("/problems/") in kinds, f"{problem['type']} is not documented"
        if response.status_code == 204 or (response.status_code < 400 and response.is_redirect):
            assert (body, content) == (b"", {})
        elif response.status_code < 400:
            assert media_type == "application/json"
            assert int(response.headers["content-length"]) == len(body)
            self.conforms(json.loads(body), content[media_type]["schema"])

    def conforms(self, value: object, schema: Mapping[str, Any]) -> None:
        """Fails with the first place where a value is not what the schema says."""
        wrong = next(self._errors(value, schema, "#"), None)
        assert wrong is None, wrong

    def _operation(self, response: Response) -> dict[str, Any] | None:
        method, asked = response.request.method, response.request.url.path
        if (
            asked in self.document["paths"]
        ):  # it comes before whatever template matches (OpenAPI, Paths Object)
            named: dict[str, Any] | None = self.document["paths"][asked].get(method.lower())
            return named
        scope = {"type": "http", "method": method, "path": asked, "headers": []}
        for route in self._app.routes:
            if route.matches(scope)[0] is Match.FULL:
                path = self.document["paths"].get(getattr(route, "path", ""), {})
                operation: dict[str, Any] | None = path.get(method.lower())
                return operation
        return None

    def _errors(self, value: object, schema: Mapping[str, Any], at: str) -> Iterator[str]:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/components/schemas/")
            schema = self.document["components"]["schemas"][name]
        if "anyOf" in schema:
            if all(list(self._errors(value, option, at)) for option in schema["anyOf"]):
                yield f"{at}: {value!r} is none of {schema['anyOf']}"
            return
        if not TYPES[schema.get("type", "")](value):
            yield f"{at}: {value!r} is no {schema['type']}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is not in {schema['enum']}"
        if isinstance(value, str) and not FORMATS.get(schema.get("format", ""), bool)(value or "-"):
            yield f"{at}: {value!r} is no {schema['format']}"
        if isinstance(value, dict) and schema:
            yield from self._errors_of_object(value, schema, at)
        if isinstance(value, list):
            for position, item in enumerate(value):
                yield from self._errors(item, schema.get("items", {}), f"{at}/{position}")

    def _errors_of_object(self, value: dict[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        others = schema.get("additionalProperties") if not properties else None
        names: Sequence[str] = schema.get("propertyNames", {}).get("enum", [])
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}: {name} is missing"
        for name, member in value.items():
            if name in properties:
                yield from self._errors(member, properties[name], f"{at}/{name}")
            elif others is True:
                continue
            elif isinstance(others, dict) and (not names or name in names):
                yield from self._errors(member, others, f"{at}/{name}")
            else:
                yield f"{at}/{name}: is not documented"


def _utc(text: str) -> bool:
    return text.endswith("Z") and datetime.fromisoformat(text).utcoffset() == timedelta(0)


def _is_read_by(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return str(read(text)) == text
        except ValueError:
            return False

    return check


TYPES: Mapping[str, Callable[[object], bool]] = {
    "": lambda value: True,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in {int, float},
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
}
FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date": _is_read_by(date.fromisoformat),
    "date-time": _utc,
    "uuid": _is_read_by(UUID),
    "email": lambda text: re.fullmatch(r"[^@]+@[^@]+", text) is not None,
}
