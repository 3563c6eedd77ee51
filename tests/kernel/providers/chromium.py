"""A real browser without a window, driven by the DevTools protocol over a pipe: no driver, no library."""

import asyncio
import base64
import fcntl
import itertools
import json
import os
import shutil
import sys
import tempfile
from asyncio import Future, StreamReader, StreamWriter, Task
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
WAIT_SECONDS: Final = 20.0
LONGEST_MESSAGE: Final = 64 * 1024 * 1024  # a screenshot is one

# The protocol speaks through the file descriptors 3 and 4.
_START: Final = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def chromium() -> str | None:
    """Where the browser is, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """`complaints` are, by page, the errors in its console: what a policy has blocked is one."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.complaints: defaultdict[str, list[str]] = defaultdict(list)
        self._writer = writer
        self._reader = reader
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self.listening: Task[None] = asyncio.create_task(self._listen())

    async def ask(self, method: str, *, session: str | None = None, **arguments: Any) -> dict[str, Any]:
        """The answer to a command; fails where the browser does not carry it out."""
        id = next(self._ids)
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        message = {"id": id, "method": method, "params": arguments}
        if session is not None:
            message["sessionId"] = session
        self._writer.write(json.dumps(message).encode() + b"\0")
        await self._writer.drain()
        said = await asyncio.wait_for(answer, WAIT_SECONDS)
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, url: str) -> "Page":
        target = await self.ask("Target.createTarget", url="about:blank")
        page = await self.attach(target["targetId"])
        await self.ask("Page.navigate", session=page.session, url=url)
        return page

    async def window_at(self, beginning: str) -> "Page":
        """The window, opened by a page, whose address begins so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for target in (await self.ask("Target.getTargets"))["targetInfos"]:
                    if target["type"] == "page" and target["url"].startswith(beginning):
                        return await self.attach(target["targetId"])
                await asyncio.sleep(0.1)

    async def attach(self, target: str) -> "Page":
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable", session=page.session)
        return page

    async def _listen(self) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if "id" in message:
                    self._waiting.pop(message["id"]).set_result(message)
                else:
                    complaints = self.complaints[message.get("sessionId", "")]
                    complaints += _complaint(message["method"], message["params"])


def _complaint(event: str, told: Any) -> list[str]:
    match event:
        case "Log.entryAdded" if told["entry"]["level"] == "error":
            return [told["entry"]["text"]]
        case "Runtime.consoleAPICalled" if told["type"] == "error":
            return [json.dumps(told["args"])]
        case "Runtime.exceptionThrown":
            return [json.dumps(told["exceptionDetails"])]
    return []


@dataclass(frozen=True, slots=True)
class Page:
    """One tab or window. What is looked for in it is an expression of JavaScript."""

    browser: Browser
    session: str

    @property
    def complaints(self) -> list[str]:
        return self.browser.complaints[self.session]

    async def value(self, expression: str) -> Any:
        """What it is worth, after a promise has been kept. It counts as a gesture of the user's."""
        said = await self.browser.ask(
            "Runtime.evaluate",
            session=self.session,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in said, (expression, said["exceptionDetails"])
        return said["result"].get("value")

    async def until(self, expression: str) -> None:
        """Returns once it is true, or there; fails after a while."""
        for _ in range(int(WAIT_SECONDS * 10)):
            if await self.value(f"Boolean({expression})"):
                return
            await asyncio.sleep(0.1)
        shown = str(await self.value("document.body.innerText"))[:3000]
        raise AssertionError(f"{expression} is never true in:\n{shown}\n{self.complaints}")

    async def click(self, element: str) -> None:
        await self.until(element)
        await self.value(f"({element}).click()")

    async def type(self, element: str, text: str) -> None:
        await self.until(element)
        await self.value(f"({element}).focus()")
        await self.browser.ask("Input.insertText", session=self.session, text=text)

    async def screenshot(self) -> bytes:
        """What it shows now, as PNG."""
        shot = await self.browser.ask("Page.captureScreenshot", session=self.session)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """Started with a profile of its own, which goes when it ends."""
    program = chromium()
    assert program is not None
    commands, answers = os.pipe(), os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands[0], answers[1])]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--no-first-run",
            "--disable-gpu",
            "--window-size=1200,1400",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # which it cannot build as root
        ]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _START, *map(str, ends), program, *flags),
            pass_fds=ends,
            stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        for end in (*ends, commands[0], answers[1]):
            os.close(end)
        browser = Browser(await _reader(answers[0]), await _writer(commands[1]))
        try:
            yield browser
        finally:
            with suppress(Exception):
                await browser.ask("Browser.close")
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
            browser.listening.cancel()
            browser._writer.close()


async def _reader(descriptor: int) -> StreamReader:
    reader = StreamReader(limit=LONGEST_MESSAGE)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _writer(descriptor: int) -> StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
    return StreamWriter(transport, protocol, None, loop)
