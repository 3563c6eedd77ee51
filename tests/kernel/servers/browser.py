"""A browser, as far as cookies go: it keeps them as Chromium does, and sends them without being asked."""

from typing import Any

from httpx2 import AsyncClient, Response


class Browser:
    """Somebody's, on a page of `origin`. It takes no cookie that breaks the rules of its name's prefix."""

    def __init__(self, client: AsyncClient, *, origin: str | None = None) -> None:
        self.client = client
        self.origin = origin
        self.cookies: dict[str, str] = {}

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Response:
        """Browsers name the origin of a page with all but the safe methods (Fetch §3.2)."""
        sent = dict(headers or {})
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.origin is not None and method not in {"GET", "HEAD"}:
            sent.setdefault("origin", self.origin)
        raw = {name.encode(): value.encode() for name, value in sent.items()}
        response = await self.client.request(method, path, headers=raw, follow_redirects=False, **more)
        for line in response.headers.get_list("set-cookie"):
            self._keep(line)
        return response

    async def get(self, path: str, **more: Any) -> Response:
        return await self.send("GET", path, **more)

    async def csrf_token(self) -> str:
        answer = await self.get("/v1/auth/cookie")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["csrf_token"])

    def _keep(self, line: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        said = {key.lower(): text for key, _, text in (one.partition("=") for one in attributes)}
        assert name.startswith("__Host-"), line
        assert "secure" in said, line
        assert "httponly" in said, line
        assert said["path"] == "/", line
        assert "domain" not in said, line
        assert said["samesite"] in {"Lax", "Strict", "None"}, line
        assert len(line) <= 4096, "no browser keeps it"
        if int(said["max-age"]) > 0:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)
