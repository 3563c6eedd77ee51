"""What no client library would send, over raw sockets to the real server: the bad input of the contract.

Each case says which status it gets. None is a 5xx, each is answered within 100 ms, each refusal is a problem
with the headers of every answer, and afterwards the server still serves.
"""

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from pathlib import Path
from time import clock_gettime, monotonic, sleep
from typing import Any, cast, override

import pytest

from kernel.servers.postgres import Server, _database

SRC = Path(__file__).parents[4] / "src"

IN_TIME = 0.1  # seconds
ANSWERED = 5  # seconds; what takes longer is not waited for
TRIES = 5  # one in time is enough

ON_EVERY_ANSWER = {
    "cache-control",
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
    "traceresponse",
    "date",
}

# --- the server -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    """The server, and what stands for the names between @ in the bytes of a case."""

    port: int
    pid: int
    log: Path
    names: dict[bytes, bytes]

    def filled_in(self, sent: bytes) -> bytes:
        for name, value in self.names.items():
            sent = sent.replace(name, value)
        return sent

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWERED) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection

    @contextmanager
    def stopwatch(self) -> Iterator[list[float]]:
        """The seconds that went by; on a busy machine those that the server itself was at work."""
        stopped: list[float] = []
        begun, worked = monotonic(), self._worked()
        yield stopped
        passed = monotonic() - begun
        stopped.append(self._worked() - worked if IN_TIME < passed < 10 * IN_TIME else passed)

    def _worked(self) -> float:
        """Its CPU time, as clock_getcpuclockid(3) has it."""
        return clock_gettime(~self.pid << 3 | 2) if sys.platform == "linux" else monotonic()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def serving(database_url: str, folder: Path, *command: str) -> Iterator[Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "PYTHONPATH": os.pathsep.join([str(SRC), str(SRC.parent / "tests")]),
        "LOG_FORMAT": "json",
        "KEEP_ALIVE_SECONDS": "2",
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=output, stderr=output
        ) as process,
    ):
        service = Service(port, process.pid, log, {})
        try:
            until = monotonic() + 60
            while True:
                with suppress(ConnectionError):
                    answers(service, get("/health/live"))
                    break
                assert process.poll() is None, log.read_text()
                assert monotonic() < until, log.read_text()
                sleep(0.05)
            yield service
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
async def database_of_ours(postgres: Server, template_database: str, worker_id: str) -> AsyncIterator[str]:
    """The other tests empty theirs while this server is up."""
    async with _database(postgres, f"{postgres.run}_{worker_id}_raw", template_database) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def service(database_of_ours: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The server, with somebody who has logged in and has a specimen order."""
    with serving(
        database_of_ours, tmp_path_factory.mktemp("raw"), "-m", "kernel.servers.specimen"
    ) as service:
        person = {"email": "ada@example.com", "password": "violet kettle hums at dawn"}

        def made(path: str, body: object, *headers: str) -> Any:
            answer = answers(service, post(path, json.dumps(body).encode(), *headers))
            assert answer.status < 300, answer
            return answer.json

        made("/v1/auth/register", {**person, "display_name": "Ada"})
        token = made("/v1/auth/login", person)["access_token"]
        authorization = f"Authorization: Bearer {token}"
        key = 'Idempotency-Key: "{}"'
        workspace = made("/v1/workspaces", {"name": "Looms"}, authorization, key.format(1))
        specimen_orders = f"/v1/workspaces/{workspace['id']}/specimen_orders"
        specimen_order = made(specimen_orders, {"title": "Weave"}, authorization, key.format(2))
        names = {
            b"@TOKEN@": authorization.encode(),
            b"@SPECIMEN_ORDERS@": specimen_orders.encode(),
            b"@SPECIMEN_ORDER@": f"/v1/specimen_orders/{specimen_order['id']}".encode(),
        }
        yield replace(service, names=names)


# --- what is sent, and what comes back ------------------------------------------------------------


def sent(method: str, target: str, *headers: str | bytes, body: bytes = b"") -> bytes:
    """A request with a Host, which is right but for what the case makes wrong."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return b"\r\n".join([*encoded, b"", body])


def get(target: str, *headers: str | bytes) -> bytes:
    return sent("GET", target, *headers)


def mine(target: str, *headers: str | bytes) -> bytes:
    return sent("GET", target, "@TOKEN@", *headers)


def post(target: str, body: bytes, *headers: str | bytes) -> bytes:
    of_the_body = "Content-Type: application/json", f"Content-Length: {len(body)}"
    return sent("POST", target, *of_the_body, *headers, body=body)


def create(body: bytes, *headers: str | bytes) -> bytes:
    """A new specimen order, or it would be one."""
    return post("@SPECIMEN_ORDERS@", body, "@TOKEN@", *headers)


def titled(title: str) -> bytes:
    return create(b'{"title": "' + title.encode() + b'"}')


def described(description: str) -> bytes:
    return create(as_json(title="x", description=description))


def person(**given: str) -> bytes:
    """Somebody who registers."""
    right = {"email": "eve@example.com", "password": "violet kettle hums at dawn", "display_name": "Eve"}
    return post("/v1/auth/register", as_json(**right | given))


def as_json(**members: object) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode()


def form(body: bytes) -> bytes:
    return sent("POST", "/v1/auth/token", FORM, f"Content-Length: {len(body)}", body=body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return unended(CHUNKED) + pieces + end


def unended(*headers: str | bytes) -> bytes:
    return sent("POST", "@SPECIMEN_ORDERS@", "@TOKEN@", "Content-Type: application/json", *headers)


class Bytes(io.RawIOBase):
    """What arrives at a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        return self._connection.recv_into(buffer)


class Received(io.BufferedReader):
    """The same, kept beyond the answer that is read: another one may have come in the same packet."""

    def makefile(self, _mode: str) -> "Received":
        return self

    @override
    def close(self) -> None: ...


RECEIVED: dict[socket.socket, Received] = {}


def read(connection: socket.socket, method: str = "GET") -> Answer:
    if connection not in RECEIVED:
        RECEIVED[connection] = Received(Bytes(connection))
    received = RECEIVED[connection]
    response = HTTPResponse(cast("socket.socket", received), method=method)
    try:
        response.begin()
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
    finally:
        response.close()


def answers(service: Service, request: bytes) -> Answer:
    """What the server answers to these very bytes."""
    with service.connection() as connection:
        with suppress(ConnectionError):  # it need not wait for the end of what it refuses
            connection.sendall(service.filled_in(request))
        return read(connection, request.partition(b" ")[0].decode("latin-1"))


def is_right(answer: Answer) -> bool:
    """It has what every answer has, and if it is a refusal it is a problem."""
    assert answer.headers.keys() >= ON_EVERY_ANSWER
    assert "server" not in answer.headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceresponse"])
    assert re.fullmatch(r"[\w.:+/=@-]{1,128}", answer.headers["x-request-id"])
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.body) < 100_000
        if answer.body:  # none for HEAD
            problem = answer.json
            assert problem["status"] == answer.status
            assert problem.keys() >= {"type", "title", "detail", "instance"}
            assert problem["trace_id"] == answer.headers["traceresponse"].split("-")[1]
            assert len(problem.get("errors", ())) <= 20
    return True


# --- the cases ------------------------------------------------------------------------------------

type Case = tuple[str, bytes, int]

MARKS = "\u0301\u0316" * 250_000
CHUNKED, FORM = "Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"

BODIES: list[Case] = [
    ("nothing", create(b""), 400),
    ("truncated", create(b'{"title": "x"'), 400),
    ("malformed", create(b"{'title': 'x'}"), 400),
    ("two documents", create(b'{"title": "x"} {}'), 400),
    ("NaN", create(b'{"title": NaN}'), 422),
    ("NaN in an unknown member", create(b'{"title": "x", "extra": NaN}'), 422),
    ("1e400", create(b'{"title": 1e400}'), 422),
    ("a 5,000-digit integer", create(b'{"title": ' + b"9" * 5_000 + b"}"), 400),
    ("a 1,000,000-digit integer", create(b'{"title": ' + b"9" * 1_000_000 + b"}"), 400),
    ("a 1,000,000-digit fraction", create(b'{"title": 0.' + b"9" * 1_000_000 + b"}"), 422),
    ("64 levels", create(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"), 422),
    ("65 levels", create(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"), 400),
    ("64 levels and brackets in a text", create(b'{"a[\\"[":' + b"[" * 63 + b"]" * 63 + b"}"), 422),
    ("100,000 levels", create(b"[" * 100_000), 400),
    ("100,000 levels that end", create(b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400),
    ("100,000 objects in each other", create(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400),
    ("10,000 brackets in a text", create(b'{"title": "' + b"[{" * 5_000 + b'"}'), 422),
    ("UTF-16", create('{"title": "x"}'.encode("utf-16")), 400),
    ("UTF-16 without a mark", create('{"title": "x"}'.encode("utf-16-le")), 400),
    ("UTF-32", create('{"title": "x"}'.encode("utf-32")), 400),
    ("a byte order mark", create('{"title": "x"}'.encode("utf-8-sig")), 400),
    ("no UTF-8", create(b'{"title": "\xff\xfe"}'), 400),
    ("a lone surrogate", titled(r"\ud800"), 400),
    ("a lone surrogate in UTF-8", create(b'{"title": "\xed\xa0\x80"}'), 400),
    ("surrogates the wrong way round", titled(r"\udc00\ud800"), 400),
    ("a surrogate in a name", create(b'{"\\ud800": 1}'), 400),
    ("an escaped NUL", titled(r"a\u0000b"), 422),
    ("a raw NUL", titled("a\0b"), 400),
    ("NUL in a name", create(b'{"title": "x", "a\\u0000": 1}'), 422),
    ("an escaped line break", titled(r"a\r\nSet-Cookie: a=b"), 422),
    ("raw line breaks", titled("a\r\nb"), 400),
    ("duplicate members", create(b'{"title": "first", "title": "last"}'), 201),
    ("100,000 duplicate members", create(b"{" + b'"title":1,' * 100_000 + b'"title":"x"}'), 422),
    ("50,000 unknown members", create(json.dumps({f"n{i}": i for i in range(50_000)}).encode()), 422),
    ("9,000 unknown members", create(json.dumps({f"n{i}": i for i in range(9_000)}).encode()), 422),
    ("500,000 wrong items", create(b'{"title": "x", "labels": [' + b"1," * 499_000 + b"1]}"), 422),
    ("9,000 wrong items", create(b'{"title": "x", "labels": [' + b"1," * 9_000 + b"1]}"), 422),
    ("300,000 empty lists", create(b'{"title": "x", "a": [' + b"[]," * 300_000 + b"1]}"), 422),
    ("500,000 quotes", create(b'"",' * 349_000), 422),
    ("a name of 1 MB", create(b'{"' + b"n" * 1_000_000 + b'": 1}'), 422),
    ("a text of 1 MB", titled("x" * 1_000_000), 422),
    ("1 MB of backslashes", titled("\\" * 1_000_000), 422),
    ("1 MB of escapes", titled(r"\u0301" * 170_000), 422),
    ("500,000 combining marks", titled(MARKS), 422),
    ("40,000 combining marks in prose", described("\u0301\u0316" * 20_000), 422),
    ("20,000 marks without a class", described("\u0f73" * 20_000), 422),
    ("combining marks for a name", person(display_name=MARKS), 422),
    ("combining marks for an address", person(email=MARKS), 422),
    ("combining marks for a password", person(password=MARKS), 422),
    ("combining marks to log in", post("/v1/auth/login", as_json(email=MARKS, password="x")), 401),
    ("right to left", titled("\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"), 201),
    ("text that turns the rest round", titled("\u202egnp.exe"), 422),
    ("combining text", titled("e\u0301 n\u0303"), 201),
    ("no media type", sent("POST", "@SPECIMEN_ORDERS@", "@TOKEN@", "Content-Length: 2", body=b"{}"), 415),
    (
        "another media type",
        sent("POST", "@SPECIMEN_ORDERS@", "@TOKEN@", FORM, "Content-Length: 2", body=b"{}"),
        415,
    ),
    ("a gzipped body", create(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"), 415),
    ("a form of 1 MB", form(b"grant_type=" + b"%ff" * 300_000), 400),
    ("a form of 5,000 fields", form(b"a&" * 5_000), 400),
]  # fmt: skip

SIZES: list[Case] = [
    ("a body of 1 MiB and a byte", create(b" " * (2**20 + 1)), 413),
    ("a declared terabyte", unended(f"Content-Length: {2**40}") + b"{}", 413),
    ("2 MiB in chunks", chunked(*[b" " * 65_536] * 32), 413),
    ("chunks that never end", chunked(*[b" " * 65_536] * 17, end=b""), 413),
    ("400,000 chunks of a byte", chunked(*[b" "] * 400_000), 400),
    ("900 chunks of a byte", chunked(*[b" "] * 900, b'{"title": "x"}'), 201),
    ("an endless chunk extension", unended(CHUNKED) + b"1;" + b"x" * 200_000, 431),
    ("endless trailers", chunked(b"{", end=b"0\r\n" + b"X-Trailer: x\r\n" * 20_000), 431),
    ("an endless trailer", chunked(b"{", end=b"0\r\nX-Trailer: " + b"x" * 200_000), 431),
    ("a 64 KB header", mine("/v1/me", "X-Long: " + "a" * 65_536), 431),
    ("a token of 64 KB", get("/v1/me", "Authorization: Bearer " + "a" * 65_536), 431),
    ("a token of 30 KB", get("/v1/me", "Authorization: Bearer " + "a" * 30_000), 401),
    ("a cookie of 30 KB", get("/v1/auth/cookie", "Cookie: " + "a=b; " * 6_000), 401),
    ("a header that never ends", sent("GET", "/v1/me", "X-Long: " + "a" * 1_000_000)[:-4], 431),
    ("10,000 headers", mine("/v1/me", *["X-Many: a"] * 10_000), 431),
    ("2,500 headers", mine("/v1/me", *["X-Many: a"] * 2_500), 200),
    ("a path of 64 KB", mine("/" + "a" * 65_536), 414),
    ("a path of 30 KB", mine("/" + "%ff" * 10_000), 404),
    ("30,000 slashes", mine("/" * 30_000), 404),
    ("a query of 64 KB", mine("@SPECIMEN_ORDERS@?q=" + "a" * 65_536), 414),
    ("10,000 query parameters", mine("@SPECIMEN_ORDERS@?" + "a&" * 10_000), 422),
    ("10,000 query parameters with values", mine("@SPECIMEN_ORDERS@?" + "a=1&" * 10_000), 414),
    ("900 query parameters", mine("@SPECIMEN_ORDERS@?" + "a=1&" * 900), 422),
    ("900 times a filter", mine("@SPECIMEN_ORDERS@?" + "status=open&" * 900), 422),
    ("a cursor of 10 KB", mine("@SPECIMEN_ORDERS@?cursor=" + "a" * 10_000), 422),
    ("a method of 100 KB", b"A" * 100_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("a version of 100 KB", b"GET / HTTP/1." + b"1" * 100_000 + b"\r\nHost: x\r\n\r\n", 400),
    ("100 KB of empty lines", b"\r\n" * 50_000, 431),
]

TARGETS: list[Case] = [
    ("NUL in a path", mine("/v1/specimen_orders/%00"), 422),
    ("a raw NUL in a path", mine("/v1/me\0"), 400),
    ("NUL in a query", mine("@SPECIMEN_ORDERS@?q=a%00b"), 422),
    ("NUL in the name of a parameter", mine("@SPECIMEN_ORDERS@?q%00=a"), 422),
    ("a raw NUL in a query", mine("@SPECIMEN_ORDERS@?q=a\0"), 400),
    ("NUL in a cursor", mine("@SPECIMEN_ORDERS@?cursor=%00"), 422),
    ("NUL within a cursor", mine("@SPECIMEN_ORDERS@?cursor=AAAA"), 400),
    ("rubbish in a cursor", mine("@SPECIMEN_ORDERS@?cursor=%ff%fe.."), 400),
    ("a duplicate parameter", mine("@SPECIMEN_ORDERS@?limit=1&limit=2"), 422),
    ("duplicate cursors", mine("@SPECIMEN_ORDERS@?cursor=a&cursor=b"), 422),
    ("CR and LF in a query", mine("@SPECIMEN_ORDERS@?q=a%0d%0aX-Injected:%20b"), 200),
    ("CR and LF in a cursor", mine("@SPECIMEN_ORDERS@?cursor=a%0d%0aX-Injected:%20b"), 400),
    ("CR and LF in a path", mine("/v1/specimen_orders/a%0d%0aX-Injected:%20b"), 422),
    ("CR and LF in a path that is none", mine("/a%0d%0aX-Injected:%20b"), 404),
    ("no UTF-8 in a query", mine("@SPECIMEN_ORDERS@?q=%ff%fe"), 200),
    ("a lone surrogate in a query", mine("@SPECIMEN_ORDERS@?q=%ed%a0%80"), 200),
    ("right to left in a query", mine("@SPECIMEN_ORDERS@?q=%d7%a9%d7%9c%e2%80%ae"), 200),
    ("half an escape in a query", mine("@SPECIMEN_ORDERS@?q=%"), 200),
    ("raw bytes in a query", mine("@SPECIMEN_ORDERS@?q=\u00e9"), 400),
    ("a number of 5,000 digits in a query", mine("@SPECIMEN_ORDERS@?limit=" + "9" * 5_000), 422),
    ("the digits of another script", mine("@SPECIMEN_ORDERS@?limit=%d9%a1"), 422),
    ("an instant that is none", mine("@SPECIMEN_ORDERS@?due_after=9999-12-31T23:59:59-23:59"), 422),
    ("SQL in a sort", mine("@SPECIMEN_ORDERS@?sort=id;drop%20table%20specimen_orders"), 422),
    (
        "a search of nothing but operators",
        mine("@SPECIMEN_ORDERS@?q=%22%22%20-%20or%20%26%7c!:*()%27%5c"),
        200,
    ),
    ("the way up", mine("/v1/../../etc/passwd"), 404),
    ("the way up, escaped", mine("/v1/%2e%2e/%2e%2e/etc/passwd"), 404),
    ("the way up, escaped twice", mine("/v1/%252e%252e/etc/passwd"), 404),
    ("the way up, with escaped slashes", mine("/v1/docs/..%2f..%2f..%2fetc%2fpasswd"), 404),
    ("the way up, with backslashes", mine("/v1/docs/..\\..\\etc\\passwd"), 404),
    ("the way up without a slash", mine("../../etc/passwd"), 400),
    ("two slashes", mine("//v1/me"), 404),
    ("a slash at the end", mine("/v1/me/"), 404),
    ("a path in capitals", mine("/V1/ME"), 404),
    ("a parameter of a path", mine("/v1/me;a=b"), 404),
    ("a fragment", mine("/v1/me#fragment"), 200),
    ("a whole address", mine("http://localhost/v1/me"), 200),
    ("another's address", mine("http://evil.example/v1/me"), 200),
    ("an address without a path", mine("http://localhost"), 400),
    ("a scheme without a host", mine("http:///v1/me"), 400),
    ("a host and a port", mine("localhost:80"), 400),
    ("a star", sent("OPTIONS", "*"), 404),
    ("a tunnel", sent("CONNECT", "localhost:80"), 400),
    ("a tunnel to a path", sent("CONNECT", "/v1/me"), 405),
    ("no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("an empty target", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("blanks in a target", b"GET /v1/me or /v1/you HTTP/1.1\r\nHost: x\r\n\r\n", 400),
]

METHODS: list[Case] = [
    ("a method that there is not", sent("BREW", "/v1/me"), 400),
    ("a method of WebDAV", sent("PROPFIND", "/v1/me"), 405),
    ("TRACE", sent("TRACE", "/v1/me"), 405),
    ("a method in small letters", sent("get", "/v1/me"), 400),
    ("no method", b" /v1/me HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("method override", mine("@SPECIMEN_ORDER@?_method=DELETE", "X-HTTP-Method-Override: DELETE"), 200),
    ("method override of a POST", create(b'{"title": "x"}', "X-HTTP-Method-Override: DELETE"), 201),
    ("HEAD of what there is not", sent("HEAD", "/nothing"), 404),
    ("GET with a body", mine("/v1/me", "Content-Length: 4") + b"body", 200),
    ("DELETE with a body that is none", sent("DELETE", "/problems", "Content-Length: 4", body=b"body"), 405),
    ("HTTP/0.9", b"GET /v1/me\r\n\r\n", 400),
    ("HTTP/1.0", b"GET /health/live HTTP/1.0\r\n\r\n", 200),
    ("HTTP/2.0 as text", b"GET /v1/me HTTP/2.0\r\nHost: x\r\n\r\n", 401),
    ("HTTP/2 as it begins", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP/9.9", b"GET /v1/me HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    ("HTTP/x", b"GET /v1/me HTTP/x\r\nHost: x\r\n\r\n", 400),
    ("no version", b"GET /v1/me \r\nHost: x\r\n\r\n", 400),
    ("rubbish", b"\x00\xff\xfe rubbish\r\n\r\n", 400),
    ("the hello of TLS", bytes.fromhex("16030100c8010000c40303") + b"\0" * 200, 400),
    ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", 400),
    ("the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
]  # fmt: skip

HEADERS: list[Case] = [
    ("no Host", b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", get("/health/live", "Host: localhost"), 400),
    ("two different Hosts", get("/health/live", "Host: evil.example"), 400),
    ("a raw NUL in a header", get("/v1/me", b"X-Odd: a\0b"), 400),
    ("NUL in a token", get("/v1/me", b"Authorization: Bearer a\0b"), 400),
    ("a lone CR in a header", get("/v1/me", b"X-Odd: a\rb"), 400),
    ("CR and LF escaped in a header", mine("/v1/me", "X-Request-ID: a%0d%0aX-Injected: b"), 200),
    ("a folded header", get("/v1/me", b"X-Odd: a\r\n b"), 400),
    ("a blank before the colon", get("/v1/me", "X-Odd : a"), 400),
    ("a header without a name", get("/v1/me", ": a"), 400),
    ("a header without a colon", get("/v1/me", "X-Odd"), 400),
    ("a name in UTF-8", get("/v1/me", "X-\u00c9: a"), 400),
    ("a header that ends in LF", b"GET /v1/me HTTP/1.1\nHost: x\n\n", 400),
    ("two lengths", create(b"{}", "Content-Length: 3"), 400),
    ("two equal lengths", create(b"{}", "Content-Length: 2"), 400),
    ("a list of lengths", unended("Content-Length: 2, 2") + b"{}", 400),
    ("a length below 0", unended("Content-Length: -1"), 400),
    ("a length with a sign", unended("Content-Length: +2") + b"{}", 400),
    ("a length in hexadecimal", unended("Content-Length: 0x2") + b"{}", 400),
    ("a length of 30 digits", unended("Content-Length: " + "9" * 30) + b"{}", 400),
    ("a length that is none", unended("Content-Length: two") + b"{}", 400),
    ("a length and chunks", unended("Content-Length: 4", CHUNKED) + b"0\r\n\r\nGET /", 400),
    ("chunks and a length", unended(CHUNKED, "Content-Length: 4") + b"0\r\n\r\nGET /", 400),
    ("chunks within gzip", unended("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400),
    ("a transfer that is none", unended("Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400),
    ("a transfer that is folded", unended(b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n", 400),
    ("two transfers", unended(CHUNKED, "Transfer-Encoding: identity") + b"0\r\n\r\n", 400),
    ("chunks in HTTP/1.0", chunked(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"), 422),
    ("a size of a chunk that is none", unended(CHUNKED) + b"zz\r\n{}\r\n", 400),
    ("a size of a chunk below 0", unended(CHUNKED) + b"-2\r\n{}\r\n", 400),
    ("a size of a chunk in 0x", unended(CHUNKED) + b"0x2\r\n{}\r\n0\r\n\r\n", 400),
    ("a size of a chunk of 30 digits", unended(CHUNKED) + b"f" * 30 + b"\r\n{}", 400),
    ("a chunk longer than it says", unended(CHUNKED) + b"1\r\n{}\r\n0\r\n\r\n", 400),
    ("chunks that end in LF", unended(CHUNKED) + b"2\n{}\n0\n\n", 400),
    ("truncated JSON in chunks", chunked(b'{"a":'), 400),
    ("a trailer that would be a header", chunked(b"{}", end=b"0\r\nContent-Encoding: gzip\r\n\r\n"), 422),
    ("an expectation", create(b'{"title": "x"}', "Expect: the-unexpected"), 201),
    ("another protocol", mine("/v1/me", "Connection: Upgrade", "Upgrade: websocket"), 200),
    ("HTTP/2 by upgrade", mine("/v1/me", "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AA"), 200),
    ("a body for another protocol", create(b"{}", "Connection: Upgrade", "Upgrade: h2c"), 400),
    ("chunks for another protocol", unended(CHUNKED, "Connection: Upgrade", "Upgrade: h2c"), 400),
    ("nothing but XML is accepted", mine("/v1/me", "Accept: application/xml"), 200),
    ("nothing is accepted", mine("/v1/me", "Accept: */*;q=0"), 200),
    ("a rubbish Accept", mine("/v1/me", "Accept: ;;;,=\xff"), 200),
    ("a rubbish tag for a GET", mine("@SPECIMEN_ORDER@", "If-None-Match: rubbish, \", W/"), 200),
    (
        "a rubbish tag for a change",
        sent("DELETE", "@SPECIMEN_ORDER@", "@TOKEN@", 'If-Match: W/"", rubbish "'),
        400,
    ),
    ("a tag of another version", sent("DELETE", "@SPECIMEN_ORDER@", "@TOKEN@", 'If-Match: "999"'), 412),
    ("a rubbish key", create(b'{"title": "x"}', 'Idempotency-Key: "unended'), 400),
    ("an empty key", create(b'{"title": "x"}', 'Idempotency-Key: ""'), 400),
    ("a key of 10 KB", create(b'{"title": "x"}', "Idempotency-Key: " + "a" * 10_000), 400),
    ("a key beyond ASCII", create(b'{"title": "x"}', "Idempotency-Key: \u00e9"), 400),
    ("two keys", create(b'{"title": "x"}', "Idempotency-Key: a", "Idempotency-Key: b"), 400),
    ("a range", mine("/v1/docs", "Range: bytes=9-1,a"), 200),
    ("a language", mine("/v1/me", "Accept-Language: " + "x-" * 5_000), 200),
    ("no token", get("@SPECIMEN_ORDERS@"), 401),
    ("a token that is none", get("/v1/me", "Authorization: Bearer " + "." * 1_000), 401),
    ("a token beyond ASCII", get("/v1/me", "Authorization: Bearer \u00e9"), 401),
    ("two tokens", mine("/v1/me", "Authorization: Bearer other"), 200),
    ("a cookie beyond ASCII", get("/v1/auth/cookie", "Cookie: __Host-session=\u00e9; =; ;;a"), 401),
    ("a rubbish address of the client", mine("/v1/me", "X-Forwarded-For: ''; \u00e9", "Forwarded: ;"), 200),
]  # fmt: skip

CASES = [*BODIES, *SIZES, *TARGETS, *METHODS, *HEADERS]


@pytest.mark.parametrize(
    ("sent", "status"), [pytest.param(sent, status, id=name) for name, sent, status in CASES]
)
def test_it_is_answered_at_once_and_blames_the_request(service: Service, sent: bytes, status: int) -> None:
    took: list[float] = []
    while not took or (took[-1] > IN_TIME and len(took) < TRIES):
        with service.stopwatch() as stopped:
            answer = answers(service, sent)
        took += stopped
        assert answer.status == status, answer
        assert is_right(answer)
        assert "x-injected" not in answer.headers
    assert took[-1] < IN_TIME, took
    assert answers(service, get("/health/live")).status == 200


# --- more than one request on a connection --------------------------------------------------------


def to_the_end(service: Service, request: bytes) -> list[int]:
    """The status of each answer, in order, until the server closes the connection."""
    with service.connection() as connection:
        connection.sendall(service.filled_in(request))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


LAST = get("/nothing", "Connection: close")
BAD_CHUNK = unended(CHUNKED) + b"zz\r\n"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        pytest.param(mine("/v1/me") + get("/v1/me") + LAST, [200, 401, 404], id="three in a row"),
        pytest.param(mine("/v1/me") + b"rubbish\r\n\r\n", [200, 400], id="rubbish after a good one"),
        pytest.param(mine("/v1/me") * 3 + b"rubbish\r\n\r\n", [200, 200, 200, 400], id="rubbish after three"),
        pytest.param(mine("/v1/me") + BAD_CHUNK + LAST, [200, 400], id="a bad chunk after a good one"),
        pytest.param(mine("/v1/me") * 3 + BAD_CHUNK, [200, 200, 200, 400], id="a bad chunk after three"),
        pytest.param(BAD_CHUNK + LAST, [400], id="nothing counts after a bad chunk"),
        pytest.param(
            mine("/v1/me") + get("/v1/me", "Host: b") + LAST, [200, 400], id="two Hosts in the second"
        ),
        pytest.param(
            unended("Content-Length: 5", CHUNKED) + b"0\r\n\r\n" + LAST,
            [400],
            id="smuggling",
        ),
        pytest.param(
            unended("Content-Length: 5", "Content-Length: 0") + b"0\r\n\r\n" + LAST, [400], id="two lengths"
        ),
        pytest.param(
            mine("/v1/me", f"Content-Length: {len(LAST)}") + LAST + LAST, [200, 404], id="GET with a body"
        ),
        pytest.param(
            chunked(b"{}", end=b"0\r\nAuthorization: Bearer x\r\n\r\n") + LAST, [422, 404], id="a trailer"
        ),
        pytest.param(get("/nothing") + b"\r\n\r\n" + LAST, [404, 404], id="empty lines between"),
        pytest.param(create(b"\x00" * 2**21) + LAST, [413, 404], id="too large, and then another"),
        pytest.param(
            chunked(*[b" " * 65_536] * 32) + LAST, [413, 404], id="too large in chunks, and another"
        ),
    ],
)
def test_each_request_has_its_answer_and_none_has_anothers(
    service: Service, sent: bytes, statuses: list[int]
) -> None:
    assert to_the_end(service, sent) == statuses


def test_a_body_is_asked_for_before_it_is_sent(service: Service) -> None:
    body = b'{"title": "x"}'
    head = unended(f"Content-Length: {len(body)}", "Expect: 100-continue")
    with service.connection() as connection:
        connection.sendall(service.filled_in(head))
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read(connection, "POST").status == 201
    for refused, status in (
        (head.replace(b"@TOKEN@", b"X-Token: none"), 401),
        (unended(f"Content-Length: {2**40}", "Expect: 100-continue"), 413),
    ):
        with service.connection() as connection:
            connection.sendall(service.filled_in(refused))
            assert read(connection, "POST").status == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Request-ID", "a" * 129),
        ("X-Request-ID", "a b"),
        ("X-Request-ID", "<script>"),
        ("X-Request-ID", "\u00e9"),
        ("X-Request-ID", ""),
        ("traceparent", "00-" + "0" * 32 + "-" + "1" * 16 + "-01"),
        ("traceparent", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"),
        ("traceparent", "00-" + "g" * 32 + "-" + "1" * 16 + "-01"),
        ("traceparent", "00-" + "1" * 64),
    ],
)
def test_an_identifier_that_is_none_is_not_repeated(service: Service, name: str, value: str) -> None:
    for request in (mine("/v1/me", f"{name}: {value}"), get("/v1/me", f"{name}: {value}", "Host: b")):
        answer = answers(service, request)
        assert is_right(answer)
        assert value not in answer.headers["x-request-id"] or not value
        assert "1" * 32 not in answer.headers["traceresponse"]


def test_a_refusal_of_the_server_itself_keeps_the_identifiers_it_was_told(service: Service) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    told = f"traceparent: 00-{trace}-00f067aa0ba902b7-01"
    answer = answers(service, get("/v1/me", "Host: b", "X-Request-ID: mine", told))
    assert (answer.status, answer.headers["x-request-id"], answer.json["trace_id"]) == (400, "mine", trace)
    assert answer.headers["connection"] == "close"


def test_nothing_failed_and_no_secret_was_logged(service: Service) -> None:
    """The last of the cases: of all that was sent the log has a line, and no failure."""
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert {line["status"] for line in lines if line["event"] == "request"} >= {200, 400}
    assert [
        line for line in lines if line.get("status", 0) >= 500 or line["level"] in {"error", "critical"}
    ] == []
    assert "violet kettle" not in service.log.read_text()


# --- what never ends ------------------------------------------------------------------------------

IMPATIENT = """
from entrypoints.http.kernel.server import process, protocol
from entrypoints.settings import Settings
protocol.REQUEST_SECONDS = 0.5
process.serve("kernel.servers.specimen:create_app", Settings, [])
"""


def test_the_body_of_a_request_is_no_request(service: Service) -> None:
    """Where another protocol is asked for, the parser does not read the body (request smuggling)."""
    inner = service.filled_in(mine("@SPECIMEN_ORDER@"))
    asks = sent("GET", "@SPECIMEN_ORDERS@", "@TOKEN@", "Connection: Upgrade", "Upgrade: h2c")
    outer = service.filled_in(asks[:-2] + f"Content-Length: {len(inner)}\r\n\r\n".encode())
    with service.connection() as connection:
        connection.sendall(outer)
        sleep(0.05)
        with suppress(ConnectionError):
            connection.sendall(inner)
        assert read(connection).status == 400
        with suppress(ConnectionError):
            assert connection.recv(1_000) == b""


def test_a_head_is_bounded_behind_another_request_too(service: Service) -> None:
    long = mine("@SPECIMEN_ORDERS@", *(f"X-{number}: {'a' * 10_000}" for number in range(10)))
    with service.connection() as connection:
        connection.sendall(service.filled_in(mine("@SPECIMEN_ORDERS@") + long[:-10]))
        sleep(0.05)
        with suppress(ConnectionError):
            connection.sendall(long[-10:])
        sleep(0.2)  # both answers have arrived
        assert read(connection).status == 200
        assert read(connection).status == 431


def test_whoever_does_not_read_their_answer_is_let_go(database_of_ours: str, tmp_path: Path) -> None:
    with serving(database_of_ours, tmp_path, "-c", IMPATIENT) as service, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(get("/v1/docs/swagger-ui-bundle.js") * 10)
        sleep(3)
        connection.settimeout(10)
        got = 0
        with suppress(ConnectionError):
            while some := connection.recv(1_000_000):
                got += len(some)
        assert got < 10 * 1_000_000  # bytes: ten answers would be more than 14 MB


def test_empty_lines_keep_no_connection(service: Service) -> None:
    with service.connection() as connection:
        connection.sendall(get("/v1/me"))
        assert read(connection).status == 401
        started = monotonic()
        connection.settimeout(0.5)
        while monotonic() - started < 15:
            with suppress(TimeoutError):
                connection.sendall(b"\r\n")
                if connection.recv(1_000) == b"":
                    break
        assert monotonic() - started < 10  # seconds; KEEP_ALIVE_SECONDS is 2


def test_nobody_is_waited_for_endlessly(database_of_ours: str, tmp_path: Path) -> None:
    with serving(database_of_ours, tmp_path, "-c", IMPATIENT) as service:
        for begun, status in (
            (b"", None),
            (b"\r\n", None),
            (b"GET /v1/m", 408),
            (get("/v1/me")[:-2], 408),
            (post("/v1/auth/login", b"{}")[:-1], 408),
            (sent("POST", "/v1/workspaces", "Content-Length: 9") + b"{", 401),  # no need for the rest of it
        ):
            with service.connection() as connection:
                connection.sendall(begun)
                started = monotonic()
                if status is None:
                    assert connection.recv(1_000) == b""
                else:
                    answer = read(connection)
                    assert answer.status == status
                    assert is_right(answer)
                    assert connection.recv(1_000) == b""
                assert 0.4 < monotonic() - started < 5

        with service.connection() as connection:  # a byte now and then is no request either
            with suppress(ConnectionError):
                for byte in get("/v1/me"):
                    connection.sendall(bytes([byte]))
                    sleep(0.05)
            assert read(connection).status == 408

        with service.connection() as connection:  # what is in time is not cut short by what was before it
            for _ in range(4):
                for part in (get("/v1/me")[:9], get("/v1/me")[9:]):
                    sleep(0.15)
                    connection.sendall(part)
                assert read(connection).status == 401
