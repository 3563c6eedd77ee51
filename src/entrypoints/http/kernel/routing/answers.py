"""Responses that are finished bytes."""

from collections.abc import Iterable
from typing import override

from fastapi import Response
from starlette.types import Receive, Scope, Send

JSON = b"application/json"

type Header = tuple[bytes, bytes]


class Finished(Response):
    """Starlette's response, without the work that finished bytes and headers do not need."""

    def __init__(self, status: int, body: bytes, headers: Iterable[Header]) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [*headers]

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class Answer(Finished):
    """A body, with its type and its length."""

    def __init__(
        self, status: int, body: bytes, *, media_type: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        described = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        super().__init__(status, body, [*described, *headers])


class NoContent(Finished):
    """A 204, which has neither a body nor a length."""

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        super().__init__(204, b"", headers)


class NotModified(Finished):
    """A 304: the client has it already (RFC 9110 §15.4.5)."""

    def __init__(self, headers: Iterable[Header]) -> None:
        super().__init__(304, b"", headers)


class Redirect(Finished):
    """A 302 to an address in ASCII."""

    def __init__(self, address: str, headers: Iterable[Header] = ()) -> None:
        where = [(b"location", address.encode("ascii")), (b"content-length", b"0")]
        super().__init__(302, b"", [*where, *headers])
