"""What the server writes of an answer is what uvicorn would have written, however it is put together."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from entrypoints.http.kernel.server.edge import LINES
from entrypoints.http.kernel.server.protocol import Cycle

OWN = [(b"x-frame-options", b"DENY"), (b"x-request-id", b"17")]
JSON = (b"content-type", b"application/json")


class Wire:
    """A transport that keeps what is written, each write by itself."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing is read here."""

    resume_reading = pause_reading


def cycle_of(kind: type[RequestResponseCycle], wire: Any, *, method: str, keep_alive: bool) -> Any:
    scope: Any = {"type": "http", "method": method, "path": "/", "headers": []}
    return kind(
        scope=scope,
        transport=wire,
        flow=FlowControl(wire),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[(b"date", b"now")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


async def answered(
    kind: type[RequestResponseCycle],
    status: int,
    headers: list[tuple[bytes, bytes]],
    *parts: bytes,
    method: str = "GET",
    keep_alive: bool = True,
) -> Wire:
    wire = Wire()
    cycle = cycle_of(kind, wire, method=method, keep_alive=keep_alive)
    start: dict[str, Any] = {"type": "http.response.start", "status": status}
    if kind is Cycle:
        lines = b"".join(b"%s: %s\r\n" % own for own in OWN)
        await cycle.send({**start, "headers": headers, LINES: lines})
    else:
        await cycle.send({**start, "headers": [*headers, *OWN]})
    for number, part in enumerate(parts, start=1):
        more = number < len(parts)
        await cycle.send({"type": "http.response.body", "body": part, "more_body": more})
    assert cycle.response_complete
    return wire


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("status", "headers", "parts"),
    [
        (200, [JSON, (b"content-length", b"2")], [b"{}"]),
        (200, [JSON, (b"content-length", b"0")], [b""]),
        (200, [JSON, (b"content-length", b"4")], [b"{}", b"[]"]),
        (200, [JSON], [b"{}", b"[]"]),
        (200, [JSON, (b"content-length", b"2"), (b"connection", b"close")], [b"{}"]),
        (204, [], [b""]),
        (304, [(b"etag", b'"1"')], [b""]),
    ],
    ids=["whole", "empty", "in two parts", "in chunks", "and then closed", "no content", "not modified"],
)
async def test_it_writes_what_uvicorn_writes(
    status: int, headers: list[tuple[bytes, bytes]], parts: list[bytes], method: str, *, keep_alive: bool
) -> None:
    if method == "HEAD":
        parts = [b"" for _ in parts]

    ours, theirs = [
        await answered(kind, status, headers, *parts, method=method, keep_alive=keep_alive)
        for kind in (Cycle, RequestResponseCycle)
    ]

    def told(wire: Wire) -> tuple[bytes, set[bytes], bytes]:
        head, _, body = b"".join(wire.written).partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        return first, {*lines}, body

    assert told(ours) == told(theirs)
    assert ours.closed == theirs.closed


async def test_a_whole_answer_is_one_write() -> None:
    wire = await answered(Cycle, 200, [JSON, (b"content-length", b"2")], b"{}")
    assert len(wire.written) == 1


@pytest.mark.parametrize("header", [(b"location", b"/a\r\nset-cookie: a=b"), (b"x\r\ny", b"z")])
async def test_a_header_cannot_bring_another_one(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(RuntimeError, match="Invalid HTTP header"):
        await answered(Cycle, 200, [header, (b"content-length", b"2")], b"{}")


@pytest.mark.parametrize("body", [b"{", b"{}}"], ids=["less", "more"])
async def test_a_body_of_another_length_is_refused(body: bytes) -> None:
    with pytest.raises(RuntimeError, match="Content-Length"):
        await answered(Cycle, 200, [(b"content-length", b"2")], body)
