"""The certified provider of `server.mjs`: started on loopback, logged in at, and given other keys."""

import asyncio
import base64
import hashlib
import json
import random
import re
import secrets
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from httpx2 import AsyncClient, Response
from joserfc.jwk import ECKey, RSAKey

SERVER: Final = Path(__file__).with_name("server.mjs")

AUDIENCE: Final = "https://api.example.com"
"""What our service is called there (RFC 8707); and the name of a client, whose ID tokens have it as `aud`."""

RS256: Final = "machine"
ES256: Final = "machine-es256"
BROWSER: Final = "browser"
PORTAL: Final = "portal"
PORTAL_SECRET: Final = "with: some % + / of the characters & that need = encoding"
SECRET: Final = "a secret of a test"
CALLBACK: Final = "http://127.0.0.1:1/callback"  # nobody listens: the code is read from the redirect

PEOPLE: Final[dict[str, dict[str, Any]]] = {
    "subject-of-ada": {"email": "ada@example.com", "email_verified": True, "name": "Ada"},
    "subject-of-bob": {"email": "bob@example.com", "email_verified": False, "name": "Bob"},
    "subject-of-eve": {"email": "eve@example.com", "email_verified": True, "name": "Eve", "roles": ["root"]},
}

MOST_STEPS: Final = 12  # a log-in takes seven


def free_port() -> int:
    """None of those that outgoing connections are given: such a one could be taken before it is served on."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("There is no free port.")


def some_keys() -> list[dict[str, Any]]:
    """Private keys, one for each algorithm; their names differ from call to call."""
    name = secrets.token_hex(4)
    return [
        RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": f"rsa-{name}"}).as_dict(private=True),
        ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256", "kid": f"ec-{name}"}).as_dict(
            private=True
        ),
    ]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a log-in ended in."""

    access: str
    id: str


@dataclass(slots=True)
class OpenIdProvider:
    """One that runs. `url` is where it listens, and its issuer's name unless something stands in front."""

    issuer: str
    url: str
    keys: list[dict[str, Any]]
    process: Process

    async def publish(self, keys: Sequence[dict[str, Any]]) -> None:
        """Of each kind the first key signs; all are published."""
        await self._command({"keys": keys})
        self.keys = list(keys)

    async def machine_token(
        self, client: str = RS256, *, resource: str | None = AUDIENCE, scope: str = "service"
    ) -> str:
        """Of a client that acts for no person; without a resource it is opaque."""
        form = {"grant_type": "client_credentials"}
        if resource is not None:
            form |= {"resource": resource, "scope": scope}
        async with AsyncClient(timeout=60) as http:
            answer = await http.post(f"{self.url}/token", data=form, auth=(client, SECRET))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def log_in(self, subject: str, *, client: str = BROWSER, resource: str | None = AUDIENCE) -> Tokens:
        """Authorization code with PKCE, through the forms that a person would see."""
        verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "client_id": client,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid email profile service" if resource else "openid email profile",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            **({"resource": resource} if resource else {}),
        }
        async with AsyncClient(timeout=60) as http:
            answer = await http.get(f"{self.url}/auth", params=asked)
            code = await follow_forms(http, answer, subject, until=CALLBACK)
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": CALLBACK,
                "client_id": client,
                "code_verifier": verifier,
            }
            answer = await http.post(f"{self.url}/token", data=form)
        assert answer.status_code == 200, answer.text
        return Tokens(access=answer.json()["access_token"], id=answer.json()["id_token"])

    async def _command(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()
        await self._said(b"done")

    async def _said(self, word: bytes) -> None:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line.strip() == word, line


async def follow_forms(http: AsyncClient, answer: Response, subject: str, *, until: str) -> str:
    """The code in the redirect to `until`, after logging in and consenting as `subject`."""
    for _ in range(MOST_STEPS):
        if answer.is_redirect:
            location = str(answer.url.join(answer.headers["location"]))
            if location.startswith(until):
                said = parse_qs(urlsplit(location).query)
                assert "code" in said, said
                return said["code"][0]
            answer = await http.get(location)
        else:
            assert answer.status_code == 200, answer.text
            action = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action is not None
            assert prompt is not None
            answer = await http.post(
                str(answer.url.join(action[1])),
                data={"prompt": prompt[1], "login": subject, "password": "any will do"},
            )
    raise AssertionError("The log-in does not end.")


@asynccontextmanager
async def an_openid_provider(
    *,
    port: int | None = None,
    issuer: str | None = None,
    keys: Sequence[dict[str, Any]] | None = None,
    redirects: Sequence[str] = (),
) -> AsyncIterator[OpenIdProvider]:
    """`redirects` are pages that the clients for people may return to, beside CALLBACK."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    issuer = issuer or url
    published = list(keys or some_keys())
    machine = {"client_secret": SECRET, "grant_types": ["client_credentials"], "response_types": []}
    person = {"token_endpoint_auth_method": "none", "redirect_uris": [CALLBACK, *redirects]}
    settings = {
        "port": port,
        "issuer": issuer,
        "keys": published,
        "people": PEOPLE,
        "clients": [
            *({"client_id": name, "redirect_uris": [], **machine} for name in (RS256, ES256)),
            *({"client_id": name, **person} for name in (BROWSER, AUDIENCE)),
            {"client_id": PORTAL, "client_secret": PORTAL_SECRET, "redirect_uris": [CALLBACK, *redirects]},
        ],
    }
    process = await asyncio.create_subprocess_exec(
        "node", str(SERVER), json.dumps(settings), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    provider = OpenIdProvider(issuer, url, published, process)
    try:
        await provider._said(b"serving")
        yield provider
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
