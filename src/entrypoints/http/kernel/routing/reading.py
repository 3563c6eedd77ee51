"""What an endpoint is called with, read from the request.

The body is validated as the bytes that arrived, by pydantic's own JSON parser. Being strict then costs no
convenience: a text is no number, but the text of a UUID or an instant is one. It refuses by itself what is
not UTF-8, lone surrogates and endless digits. Where a member comes twice the last counts.

What is read is bounded before it is read, as each error costs a microsecond and a body has room for 500,000.
"""

import re
from array import array
from collections.abc import Callable, Coroutine, Sequence
from inspect import iscoroutinefunction
from itertools import accumulate
from typing import Any, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from domain.kernel.errors import Forbidden, Unauthenticated
from entrypoints.http.kernel.routing.answers import JSON
from entrypoints.http.kernel.routing.field_errors import FieldError, field_errors, pointer
from entrypoints.http.kernel.routing.limits import RouteLimit
from entrypoints.http.kernel.routing.media_types import in_utf_8
from entrypoints.http.kernel.routing.problems import InvalidRequest, MalformedBody, UnsupportedMediaType

# Levels of a body, its members and items together, and the parameters of a query.
DEPTH_MOST = 64
VALUES_MOST = 10_000
PARAMETERS_MOST = 1_000

_JSON = re.compile(rb"application/([\w.+-]+\+)?json")
_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")

# What leads into a level is one byte up, what leads out of it one down.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STEPS = bytes(set(range(256)) - set(b"[{]}"))

# PostgreSQL cannot store this character, and no keyboard types it.
_NUL_REFUSED = "It must not contain the character NUL."


class Reader:
    """The arguments of one endpoint: dependencies first, so that a stranger learns nothing else.

    Then the request is counted by its `limit`, if it has one, before the rest of it is looked at.
    """

    def __init__(self, dependant: Dependant, limit: RouteLimit | None = None) -> None:
        """Raises TypeError where the endpoint asks for something that is not read here."""
        self._dependencies = [_dependency(found) for found in dependant.dependencies]
        self._limit = limit
        self._path = dependant.path_params
        self._query = _Query(dependant) if dependant.query_params else None
        self._body = _Body(dependant) if dependant.body_params else None
        unread = {
            "headers": dependant.header_params,
            "cookies": dependant.cookie_params,
            "a second body": dependant.body_params[1:],
            "the request": dependant.request_param_name or dependant.http_connection_param_name,
            "the response": dependant.response_param_name,
            "background tasks": dependant.background_tasks_param_name,
            "a thread, as it is not async": not iscoroutinefunction(dependant.call),
        }
        if asked := [what for what, found in unread.items() if found]:
            raise TypeError(
                f"{dependant.call} asks for {asked}: use a dependency, or FastAPI's own APIRouter."
            )

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Raises InvalidRequest with all that is wrong, or what a dependency or the limit raises."""
        try:
            values: dict[str, Any] = {name: await call(request) for name, call in self._dependencies}
        except (Unauthenticated, Forbidden):
            if self._limit is not None:
                await self._limit.refused(request)
            raise
        if self._limit is not None:
            await self._limit(request)
        wrong: list[FieldError] = []
        for field in self._path:
            values[field.name], errors = field.validate(request.path_params[field.alias], loc=(field.alias,))
            if errors:
                wrong += field_errors(errors, where=("path",))
        if self._query is not None:
            values[self._query.name] = self._query.read(request, wrong)
        if self._body is not None:
            values[self._body.name] = await self._body.read(request, wrong)
        if wrong:
            raise InvalidRequest(wrong)
        return values


class _Query:
    """The query as one pydantic model, where a name that does not exist is refused."""

    def __init__(self, dependant: Dependant) -> None:
        parameter = dependant.query_params[0]
        model = parameter.field_info.annotation
        if len(dependant.query_params) > 1 or not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{dependant.call} asks for query parameters that are not one pydantic model.")
        self.name = parameter.name
        self._validate = model.model_validate
        self._known = list(model.model_fields)
        fields = model.model_fields.items()
        self._lists = {name for name, field in fields if get_origin(field.annotation) in {list, tuple}}

    def read(self, request: Request, wrong: list[FieldError]) -> object:
        text: str = request.scope["query_string"].decode("latin-1")
        if text.count("&") >= PARAMETERS_MOST:
            wrong.append(_too_many("#/query", f"It must have at most {PARAMETERS_MOST:,} parameters."))
            return None
        given: dict[str, Any] = {}
        refused: dict[str, tuple[str, str]] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if "\0" in value:
                refused[name] = "nul", _NUL_REFUSED
            if name in self._lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                refused[name] = "repeated", "It must come once."
            else:
                given[name] = value
        for name, (code, detail) in refused.items():
            wrong.append(FieldError(pointer=pointer(("query", name)), code=code, detail=detail))
        try:
            return self._validate(given)
        except ValidationError as invalid:
            wrong += field_errors(_told(invalid), where=("query",), known=self._known)
            return None


class _Body:
    """The JSON body, as whatever type the endpoint asks for."""

    def __init__(self, dependant: Dependant) -> None:
        parameter = dependant.body_params[0]
        shape: Any = parameter.field_info.annotation
        self.name = parameter.name
        self._validate = TypeAdapter[Any](shape).validate_json
        self._known = list(get_type_hints(shape)) if isinstance(shape, type) else []

    async def read(self, request: Request, wrong: list[FieldError]) -> object:
        media_type = b""
        for name, value in request.scope["headers"]:
            if name == b"content-type":
                media_type = value
            elif name == b"content-encoding":
                raise UnsupportedMediaType("Send it without a Content-Encoding.")
        if media_type != JSON and not _JSON.fullmatch(in_utf_8(media_type) or b""):
            raise UnsupportedMediaType("Send it as application/json, in UTF-8.")
        raw = await _received(request)
        if raw.count(b"[") + raw.count(b"{") + raw.count(b",") >= DEPTH_MOST and _is_crowded(raw):
            wrong.append(_too_many("#", f"It must have at most {VALUES_MOST:,} members and items."))
            return None
        try:
            body: object = self._validate(raw)
        except ValidationError as invalid:
            errors = _told(invalid)
            if errors[0]["type"] == "json_invalid":
                raise MalformedBody(f"{errors[0]['msg']}.") from None
            wrong += field_errors(errors, known=self._known)
            return None
        # The escape can be any string's part, and so can an escaped backslash before it.
        if b"\\u0000" in raw and _NUL.search(raw):
            wrong.append(FieldError(pointer="#", code="nul", detail=_NUL_REFUSED))
        return body


async def _received(request: Request) -> bytes:
    """The whole body; raises ClientDisconnect. Most come in one piece, for which Starlette's generators cost
    several times as much."""
    message = await request.receive()
    raw: bytes = message.get("body", b"")
    if message["type"] == "http.request" and message.get("more_body", False):
        parts = [raw]
        while message["type"] == "http.request" and message.get("more_body", False):
            message = await request.receive()
            parts.append(message.get("body", b""))
        raw = b"".join(parts)
    if message["type"] != "http.request":
        raise ClientDisconnect
    request._body = raw  # noqa: SLF001 (for who asks for it once more: the fingerprint of a keyed request)
    return raw


def _is_crowded(raw: bytes) -> bool:
    """Whether it has too many members and items; raises MalformedBody where it has too many levels."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of a crowd the first are enough: a value has two texts at most, and a level is left once it was entered.
    parts = raw.split(b'"', 4 * VALUES_MOST)
    outside = b"".join(parts[: 4 * VALUES_MOST : 2])
    steps = array("b", outside.translate(_STEPS, _NO_STEPS)[: 2 * VALUES_MOST])
    if max(accumulate(steps), default=0) > DEPTH_MOST:
        raise MalformedBody(f"It must have at most {DEPTH_MOST} levels.")
    values = outside.count(b",") + outside.count(b"[") + outside.count(b"{")
    return values > VALUES_MOST or len(parts) > 4 * VALUES_MOST


def _too_many(where: str, detail: str) -> FieldError:
    return FieldError(pointer=where, code="too-many", detail=detail)


def _told(invalid: ValidationError) -> Sequence[Any]:
    return invalid.errors(include_url=False, include_context=False, include_input=False)


def _dependency(found: Dependant) -> tuple[str, Callable[[Request], Coroutine[Any, Any, Any]]]:
    """The name of an argument, and what provides it: an async function of the request and nothing else.

    A dependency of a dependency costs 6 µs a level, and one that is not async a thread for each request.
    """
    call = found.call
    is_async = iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    more = found.dependencies or found.path_params or found.query_params or found.header_params
    if not (found.name and call and is_async and found.request_param_name) or more:
        raise TypeError(f"{call} is no dependency for here: make it an async function of the request alone.")
    return found.name, call
