"""Somebody has stolen an access token, and tries to take the account or to lock it: on the running service.

Server and worker are processes of their own; mail goes to a mail server, and the thief has an account at a
provider whose tokens are good. Nothing of it is told by the code: what counts is what the owner can still do.
"""

import asyncio
import email
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from httpx2 import AsyncClient, Response
from joserfc.jwk import ECKey

from kernel.servers.backends import PATIENCE, ByHand, eventually
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker, logged
from kernel.world.people import PASSWORD
from kernel.world.provider import ProviderServer, a_forger, public

OWNER, THIEF = "owner@example.com", "thief@example.com"
NEXT = "a drawer full of seashells"
KEY = ECKey.generate_key("P-256")


@dataclass
class Mailboxes:
    """What the mail server took, in order; `opened` is how many of them a test has looked at."""

    taken: list[EmailMessage] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        async with self.arrived:
            self.taken.append(message)
            self.arrived.notify_all()
        return "250 OK"

    async def next(self, subject: str) -> EmailMessage:
        """The mail with this in its subject, which nobody has read yet."""

        def found() -> list[EmailMessage]:
            return [mail for mail in self.taken if subject in mail["subject"]]

        async with asyncio.timeout(PATIENCE), self.arrived:
            await self.arrived.wait_for(found)
        mail = found()[0]
        self.taken.remove(mail)
        return mail


def secret_in(mail: EmailMessage) -> str:
    return str(mail.get_content()).partition("#token=")[2].split()[0]


@dataclass
class Person:
    """Whoever sends requests with these tokens."""

    client: AsyncClient
    tokens: dict[str, Any]

    async def ask(self, method: str, path: str, *, proof: str | None = None, **body: Any) -> Response:
        headers = {"authorization": f"Bearer {self.tokens['access_token']}"}
        if proof is not None:
            headers["reauthentication-token"] = proof
        return await self.client.request(method, path, json=body or None, headers=headers)

    async def prove(self) -> str:
        answer = await self.ask("POST", "/v1/auth/reauthentication", password=PASSWORD)
        return str(answer.json()["token"])

    async def everything(self) -> list[Any]:
        """What the account is: its profile, its ways in, and who is in."""
        read = [
            (await self.ask("GET", path)).json()
            for path in ("/v1/me", "/v1/me/identities", "/v1/auth/sessions")
        ]
        for session in read[2]["items"]:
            del session["current"]
        return read


@dataclass
class Stage:
    client: AsyncClient
    mail: Mailboxes
    provider: ProviderServer
    by_hand: ByHand

    async def mail_about(self, subject: str) -> EmailMessage:
        """The next one, once its secret is good, which is stored when the mail was handed over."""
        mail = await self.mail.next(subject)

        async def delivered() -> bool:
            return not await self.by_hand.fetch("SELECT FROM outbox UNION ALL SELECT FROM deliveries")

        await eventually(delivered)
        return mail

    async def register(self, address: str) -> None:
        person = {"email": address, "password": PASSWORD, "display_name": "Ada Lovelace"}
        assert (await self.client.post("/v1/auth/register", json=person)).status_code == 201

    async def log_in(self, address: str, password: str = PASSWORD) -> Person:
        credentials = {"email": address, "password": password}
        answer = await self.client.post("/v1/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        return Person(self.client, answer.json())

    def token_of_the_provider(self, subject: str, **claims: Any) -> str:
        now = int(datetime.now(UTC).timestamp())
        forge = a_forger(self.provider.issuer, KEY, stranger=KEY, algorithm="ES256", kid="k1")
        return forge.with_claim(sub=subject, iat=now, exp=now + 600, **claims)


@pytest.fixture
async def stage(empty_database_url: str) -> AsyncIterator[Stage]:
    mail, provider = Mailboxes(), ProviderServer()
    async with AsyncExitStack() as stack:
        await provider.start()
        stack.push_async_callback(provider.stop)
        provider.publish(public(KEY, "k1", alg="ES256", use="sig"))
        smtp = await asyncio.get_running_loop().create_server(lambda: SMTP(mail), "127.0.0.1", 0)
        stack.callback(smtp.close)
        settings = {
            "APP_URL": "http://localhost:3000",
            "AUTH_PROVIDER": "oidc",
            "AUTH_TRUST_LOCAL": "true",
            "AUTH_RECHECK_SECONDS": "0",
            "OIDC_ISSUER": provider.issuer,
            "OIDC_AUDIENCE": "shop",
            "MAILER": "smtp",
            "MAIL_FROM": "service@example.com",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(smtp.sockets[0].getsockname()[1]),
            "SMTP_SECURITY": "none",
        }
        worker = await stack.enter_async_context(
            a_worker(empty_database_url, module="kernel.specimen.worker", **settings)
        )
        await logged(worker, "worker started")
        client, _ = await stack.enter_async_context(serving(environment_of(empty_database_url, **settings)))
        by_hand: ByHand = await asyncpg.connect(empty_database_url)
        stack.push_async_callback(by_hand.close)
        yield Stage(client, mail, provider, by_hand)


@pytest.fixture
async def owner(stage: Stage) -> Person:
    """Somebody with a proved address, and an account of the provider that is linked; on their phone."""
    await stage.register(OWNER)
    owner = await stage.log_in(OWNER)
    secret = secret_in(await stage.mail_about("is this your address"))
    confirmed = await owner.ask("POST", "/v1/auth/email-verification/confirmation", token=secret)
    assert confirmed.status_code == 204
    return owner


async def link(stage: Stage, owner: Person) -> str:
    """The path of the link that the owner has made."""
    token = stage.token_of_the_provider("owner")
    made = await owner.ask("POST", "/v1/me/identities", proof=await owner.prove(), token=token)
    assert made.status_code == 201, made.text
    assert (await stage.mail_about("one more way to log in"))["to"] == OWNER
    return str(made.headers["location"])


async def test_a_stolen_token_neither_takes_the_account_nor_locks_it(stage: Stage, owner: Person) -> None:
    links = await link(stage, owner)
    laptop = await stage.log_in(OWNER)
    thief = Person(stage.client, laptop.tokens)  # a moment after the password was given there
    thiefs_own = await _thief_at_home(stage)
    before = await owner.everything()
    phone = next(each["id"] for each in before[2]["items"] if each["id"] != _session_of(thief))
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "/v1/me", {"email": THIEF}),
        ("PATCH", "/v1/me", {"email": THIEF, "display_name": "Eve"}),
        ("POST", "/v1/me/identities", {"token": stage.token_of_the_provider("thief")}),
        ("DELETE", links, {}),
        ("POST", "/v1/auth/logout/all", {}),
        ("DELETE", f"/v1/auth/sessions/{phone}", {}),
    ]
    for proof in (None, "guess", thief.tokens["access_token"], await thiefs_own.prove()):
        for method, path, body in attempts:
            refused = await thief.ask(method, path, proof=proof, **body)
            assert (refused.status_code, refused.json()["type"]) == (
                403,
                "/problems/reauthentication-required",
            ), (method, path, refused.text)
    for path, body in (
        ("/v1/me/password", {"current_password": "guess", "new_password": NEXT}),
        ("/v1/auth/reauthentication", {"password": "guess"}),
    ):
        assert (await thief.ask("POST", path, **body)).json()["type"] == "/problems/wrong-password"
    last = [await thief.ask("POST", "/v1/auth/reauthentication", password="guess") for _ in range(10)][-1]
    assert last.json()["type"] == "/problems/too-many-attempts"
    assert (await thief.ask("POST", "/v1/auth/email-verification")).status_code == 409
    asked = await stage.client.post("/v1/auth/password-reset", json={"email": OWNER})
    assert asked.status_code == 204
    reset = await stage.mail_about("a new password")
    assert reset["to"] == OWNER  # and not to the thief

    assert await owner.everything() == before
    await stage.log_in(OWNER)
    ended = await owner.ask("DELETE", f"/v1/auth/sessions/{_session_of(thief)}", proof=await owner.prove())
    assert ended.status_code == 204
    assert (await stage.mail_about("logged out elsewhere"))["to"] == OWNER
    assert (await thief.ask("GET", "/v1/me")).status_code == 401
    assert (await owner.ask("GET", "/v1/me")).status_code == 200
    assert stage.mail.taken == []


async def test_who_has_the_password_as_well_is_told_of_and_what_they_did_can_be_undone(
    stage: Stage, owner: Person
) -> None:
    thief = await stage.log_in(OWNER)
    proof = await thief.prove()
    assert (await thief.ask("PATCH", "/v1/me", proof=proof, email=THIEF)).status_code == 200
    told = await stage.mail_about("to be changed")
    assert (told["to"], THIEF in told.get_content()) == (OWNER, True)
    shown = (await owner.ask("GET", "/v1/me")).json()
    assert (shown["email"], shown["email_verified"], shown["pending_email"]) == (OWNER, True, THIEF)
    await stage.log_in(OWNER)  # still the way in

    change = {"current_password": PASSWORD, "new_password": NEXT}
    assert (await thief.ask("POST", "/v1/me/password", **change)).status_code == 204
    assert (await stage.mail_about("password was changed"))["to"] == OWNER
    stale = secret_in(await stage.mail_about("is this your address"))
    confirm = "/v1/auth/email-verification/confirmation"
    assert (await thief.ask("POST", confirm, token=stale)).status_code == 404  # void with the old password
    assert (await thief.ask("POST", "/v1/auth/email-verification")).status_code == 204
    secret = secret_in(await stage.mail_about("is this your address"))
    assert (await thief.ask("POST", confirm, token=secret)).status_code == 204
    assert (await stage.mail_about("address was changed"))["to"] == OWNER
    await stage.register(OWNER)  # so that the owner's address is taken: the thief cannot prove it
    squatting = await stage.mail_about("is this your address")
    assert squatting["to"] == OWNER

    undone = await stage.client.post("/v1/auth/email-change/reversal", json={"token": secret_in(told)})
    assert undone.status_code == 204, undone.text
    assert (await thief.ask("GET", "/v1/me")).status_code == 401
    refresh = {"refresh_token": thief.tokens["refresh_token"]}
    assert (await stage.client.post("/v1/auth/refresh", json=refresh)).status_code == 401
    asked = await stage.client.post("/v1/auth/password-reset", json={"email": OWNER})
    assert asked.status_code == 204
    reset = {
        "token": secret_in(await stage.mail_about("a new password")),
        "password": "quarter past the well",
    }
    confirmed = await stage.client.post("/v1/auth/password-reset/confirmation", json=reset)
    assert confirmed.status_code == 204
    back = await stage.log_in(OWNER, "quarter past the well")
    after = (await back.ask("GET", "/v1/me")).json()
    assert (after["id"], after["email"], after["email_verified"]) == (shown["id"], OWNER, True)
    assert after["pending_email"] is None


async def _thief_at_home(stage: Stage) -> Person:
    """The thief's own account, with a fresh proof of its own."""
    await stage.register(THIEF)
    assert (await stage.mail_about("is this your address"))["to"] == THIEF
    return await stage.log_in(THIEF)


def _session_of(person: Person) -> str:
    found = person.tokens["refresh_token"].split(".")[0]
    return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:]}"
