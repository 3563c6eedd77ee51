"""Responses that are finished bytes."""

from collections.abc import Iterable
from typing import override

from fastapi import Response

JSON = b"application/json"

type Header = tuple[bytes, bytes]


class Answer(Response):
    """Starlette's response, without the work that finished bytes and headers do not need."""

    def __init__(
        self, status: int, body: bytes, *, media_type: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]


class NoContent(Response):
    """A 204, which has neither a body nor a length."""

    @override
    def __init__(self, headers: Iterable[Header] = ()) -> None:
        self.status_code = 204
        self.body = b""
        self.background = None
        self.raw_headers = [*headers]


class Redirect(Response):
    """A 302 to an address in ASCII."""

    @override
    def __init__(self, address: str, headers: Iterable[Header] = ()) -> None:
        self.status_code = 302
        self.body = b""
        self.background = None
        self.raw_headers = [(b"location", address.encode("ascii")), (b"content-length", b"0"), *headers]
