"""The outermost layer: identifiers, headers, the line in the log, and problems for what nobody answered."""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from starlette.responses import PlainTextResponse, StreamingResponse
from structlog.testing import capture_logs
from structlog.typing import EventDict

from entrypoints.http.kernel.server.edge import ARRIVED, LEFT, ON_LEAVING, Edge
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.world.builders import Team

TRACE = "0af7651916cd43dd8448eb211c80319c"


def the_line(logs: list[EventDict]) -> EventDict:
    (line,) = [event for event in logs if event["event"] == "request"]
    return line


async def test_every_answer_carries_the_same_headers(
    member: AsyncClient, specimen_order: SpecimenOrder
) -> None:
    for path in (f"/v1/specimen_orders/{specimen_order.id}", "/health/live", "/nowhere"):
        headers = (await member.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in headers
        assert "access-control-allow-origin" not in headers


async def test_over_https_the_browser_is_told_to_stay_there(client: AsyncClient) -> None:
    answer = await client.get("https://localhost/health/live")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_request_keeps_the_id_that_it_came_with(client: AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"x-request-id": "order-17/a.b:c=1"})
    assert answer.headers["x-request-id"] == "order-17/a.b:c=1"


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "a\tb", "é", "x" * 129, "{}"])
async def test_an_id_that_could_disturb_a_log_is_replaced(client: AsyncClient, given: str) -> None:
    answer = await client.get("/health/live", headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_a_trace_is_continued(client: AsyncClient) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    missing = await client.get("/nowhere", headers={"traceparent": parent})
    assert missing.json()["trace_id"] == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", missing.headers["traceresponse"])
    assert "b7ad6b7169203331" not in missing.headers["traceresponse"]


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
    ],
)
async def test_a_broken_trace_is_not_continued(client: AsyncClient, parent: str) -> None:
    missing = await client.get("/nowhere", headers={"traceparent": parent})
    assert re.fullmatch("[0-9a-f]{32}", missing.json()["trace_id"])
    assert missing.json()["trace_id"] not in {TRACE, "0" * 32}


async def test_a_request_is_one_line_in_the_log(
    member: AsyncClient, specimen_order: SpecimenOrder, team: Team
) -> None:
    with capture_logs(processors=[_merge]) as logs:
        answer = await member.get(
            f"/v1/specimen_orders/{specimen_order.id}?x=1", headers={"x-request-id": "r1"}
        )
    line = the_line(logs)
    assert line.pop("duration_ms") > 0
    assert re.fullmatch("[0-9a-f]{32}", line.pop("trace_id"))
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/v1/specimen_orders/{specimen_order_id}",
        "status": 200,
        "bytes": len(answer.content),
        "request_id": "r1",
        "client": "127.0.0.1",
        "user_id": str(team.member.user_id),
        "session_id": line["session_id"],
        "workspace_id": None,
        "limit_class": "default",
    }
    assert UUID(str(line["session_id"])).version == 7


async def test_the_line_names_the_workspace(member: AsyncClient, team: Team) -> None:
    with capture_logs() as logs:
        await member.get(f"/v1/workspaces/{team.workspace.id}")
        await member.get("/v1/workspaces/" + "x" * 60_000)
    named = [event["workspace_id"] for event in logs if event["event"] == "request"]
    assert named == [str(team.workspace.id), "x" * 36]


async def test_the_line_says_neither_a_path_that_does_not_exist_nor_who_asked_before(
    client: AsyncClient, member: AsyncClient
) -> None:
    await member.get("/v1/me")
    with capture_logs(processors=[_merge]) as logs:
        await client.get("/password=secret")
    line = the_line(logs)
    assert (line["route"], line["status"], line["user_id"]) == (None, 404, None)
    assert "secret" not in str(line)


async def test_a_poll_of_health_is_not_logged_and_what_is_no_poll_is(client: AsyncClient) -> None:
    with capture_logs() as logs:
        await client.get("/health/live")
        await client.get("/health/ready")
        await client.put("/health/live")
    assert [event["status"] for event in logs if event["event"] == "request"] == [405]


def _merge(_: object, __: str, event: EventDict) -> EventDict:
    from structlog.contextvars import merge_contextvars

    return merge_contextvars(None, "", event)


async def test_a_defect_is_a_500_that_says_nothing_and_a_log_that_says_all(
    app: FastAPI, client: AsyncClient
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    with capture_logs() as logs:
        answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert "secret" not in answer.text
    (failure,) = [event for event in logs if event["event"] == "request failed"]
    assert failure["exc_info"]
    assert the_line(logs)["status"] == 500


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "about:blank"),
        (403, "about:blank"),
        (404, "/problems/path-not-found"),
        (413, "/problems/content-too-large"),
        (418, "about:blank"),
        (499, "about:blank"),
        (500, "/problems/internal-error"),
        (599, "about:blank"),
    ],
)
async def test_an_error_from_another_layer_becomes_a_problem(
    app: FastAPI, client: AsyncClient, status: int, expected: str
) -> None:
    headers = {"x-kept": "yes", "etag": '"of the text"'}
    app.add_route("/plain", lambda _: PlainTextResponse("secret detail", status, headers))
    answer = await client.get("/plain")
    assert (answer.status_code, answer.json()["type"]) == (status, expected)
    assert (answer.headers["x-kept"], "etag" in answer.headers) == ("yes", False)
    assert "secret" not in answer.text


async def test_a_head_is_a_get_without_its_body(member: AsyncClient, specimen_order: SpecimenOrder) -> None:
    for path in (
        f"/v1/specimen_orders/{specimen_order.id}",
        "/health/live",
        "/v1/docs",
        "/v1/openapi.json",
        "/nowhere",
    ):
        got = await member.get(path)
        with capture_logs() as logs:
            head = await member.head(path)
        assert head.status_code == got.status_code
        assert head.headers.keys() == got.headers.keys()
        if path != "/nowhere":  # which repeats the trace id, of another length or not
            assert head.headers["content-length"] == got.headers["content-length"]
        assert all((event["method"], event["bytes"]) == ("HEAD", 0) for event in logs)


async def test_an_answer_that_breaks_off_is_broken_for_the_client_too(app: FastAPI) -> None:
    async def half() -> Any:
        yield b"half"
        raise ZeroDivisionError

    app.add_route("/half", lambda _: StreamingResponse(half(), media_type="text/plain"))
    sent: list[Any] = []
    with pytest.raises(ZeroDivisionError), capture_logs() as logs:
        await app(_scope("/half"), _nothing, _collect(sent))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]
    assert the_line(logs)["status"] == 200


async def test_a_client_that_leaves_is_no_failure(app: FastAPI) -> None:
    async def leave() -> Any:
        return {"type": "http.disconnect"}

    scope = _scope("/v1/auth/login") | {"method": "POST"}
    scope["headers"] = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    with capture_logs() as logs:
        await app(scope, leave, _collect([]))
    assert the_line(logs)["status"] == 499
    assert not [event for event in logs if event["log_level"] == "error"]


async def test_what_breaks_below_before_anything_is_sent_is_still_a_problem() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    sent: list[Any] = []
    await Edge(broken)(_scope("/"), _nothing, _collect(sent))
    assert (sent[0]["status"], len(sent)) == (500, 2)


async def test_what_is_not_http_passes_through() -> None:
    seen = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await Edge(inner)({"type": "websocket"}, _nothing, _collect([]))
    assert seen == ["websocket"]


def _scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": [],
    }


async def _nothing() -> Any:
    """A client that has sent all it has to say, and waits."""
    await asyncio.Event().wait()


def _collect(sent: list[Any]) -> Callable[[Any], Any]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


# ── requests that end early ──────────────────────────────────────────────────────────────────────


async def _stuck(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_without_an_answer_in_time_is_a_504(method: str) -> None:
    sent: list[Any] = []
    with capture_logs() as logs:
        await Edge(_stuck, seconds=0.01)(_scope("/") | {"method": method}, _nothing, _collect(sent))
    assert (sent[0]["status"], (b"retry-after", b"1") in sent[0]["headers"]) == (504, True)
    assert b"/problems/deadline-exceeded" in sent[1]["body"]
    assert the_line(logs)["status"] == 504
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # whatever uses the task from here on is not cancelled


async def test_what_begins_to_answer_when_its_time_is_over_is_too_late() -> None:
    """A stream is sent by a task of its own, which hears of the end a moment later."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        try:
            await _stuck(scope, receive, send)
        finally:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []
    await Edge(late, seconds=0.01)(_scope("/"), _nothing, _collect(sent))
    assert [message.get("status", message.get("more_body")) for message in sent] == [504, False]


async def test_the_time_counts_from_the_arrival_of_the_head() -> None:
    sent: list[Any] = []
    arrived = asyncio.get_running_loop().time() - 3600
    async with asyncio.timeout(60):
        await Edge(_stuck, seconds=3600)(_scope("/") | {ARRIVED: arrived}, _nothing, _collect(sent))
    assert sent[0]["status"] == 504


async def test_an_answer_that_has_begun_has_no_deadline() -> None:
    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"late"})

    sent: list[Any] = []
    await Edge(slowly, seconds=0.01)(_scope("/"), _nothing, _collect(sent))
    assert [sent[0]["status"], sent[1]["body"]] == [200, b"late"]


@pytest.mark.parametrize(
    ("method", "finished", "line"),
    [
        ("GET", False, {"status": 499}),
        ("HEAD", False, {"status": 499}),
        ("POST", True, {"status": 499, "unsent_status": 201}),
        ("DELETE", True, {"status": 499, "unsent_status": 201}),
    ],
)
async def test_a_read_ends_with_its_client_and_a_command_goes_on(
    method: str, finished: bool, line: dict[str, int]
) -> None:
    done: list[str] = []

    async def work(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(known[ON_LEAVING])
        await asyncio.sleep(0.05)
        done.append(method)
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    known = _scope("/") | {"method": method}
    with capture_logs() as logs:
        await Edge(work)(known, _nothing, _collect([]))
    assert bool(done) == finished
    assert line.items() <= the_line(logs).items()
    assert ON_LEAVING not in known


async def test_what_was_left_before_it_began_never_begins() -> None:
    begun = []

    async def work(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope)

    with capture_logs() as logs:
        await Edge(work)(_scope("/") | {"method": "POST", LEFT: True}, _nothing, _collect([]))
    assert (begun, the_line(logs)["status"]) == ([], 499)


async def test_a_server_that_stops_is_told_so_also_when_the_time_is_over() -> None:
    sent: list[Any] = []
    task = asyncio.create_task(Edge(_stuck, seconds=0.02)(_scope("/"), _nothing, _collect(sent)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"/problems/shutting-down" in sent[1]["body"]
