"""Mail as it leaves: on the terminal, and to real mail servers, good ones and others."""

import asyncio
import email
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any, override

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.mail.console import ConsoleMailer
from adapters.mail.smtp import Security, SmtpMailer
from application.kernel.ports.mail import Mail
from application.kernel.ports.world import TimedOut, Unavailable
from domain.kernel.errors import Invalid
from domain.kernel.users import Email, email_address
from kernel.world.builders import NOW

MAIL = Mail(
    to=Email("ada@example.com"),
    subject="Loomworks: a new password for größer",
    text="Choose one:\n\nhttps://app.example/reset-password#token=s3cret\n\nGrüße\n.\nlast line\n",
)
USERNAME, PASSWORD = "loomworks", "käse und brot"


# ── on the terminal ──────────────────────────────────────────────────────────────────────────────


async def test_on_the_terminal_a_mail_is_complete_secret_and_all(capsys: pytest.CaptureFixture[str]) -> None:
    await ConsoleMailer().send(MAIL)
    shown = capsys.readouterr().out.splitlines()
    for line in ("To: ada@example.com", f"Subject: {MAIL.subject}", *MAIL.text.splitlines()):
        assert line in shown


# ── a mail server ────────────────────────────────────────────────────────────────────────────────


@dataclass
class Postbox:
    """What a server took, and with which words it refuses recipients or mails."""

    taken: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str | None, list[str]]] = field(default_factory=list)
    authenticated: list[bool] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    recipient: str = ""
    data: str = ""

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient:
            return self.recipient
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data:
            return self.data
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        self.authenticated.append(session.authenticated is True)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


def _knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    known = (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@asynccontextmanager
async def serving(
    make: Callable[[], asyncio.BaseProtocol], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port of a server on this machine."""
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(60):  # by then the client has closed its connections, and so this its own
            await server.wait_closed()
        await asyncio.sleep(0.01)


def a_mailer(
    port: int,
    *,
    security: Security = "none",
    username: str = "",
    password: str = "",
    sender: str = "Loomworks <no-reply@loomworks.example>",
    seconds: float = 5,
    trusted: ssl.SSLContext | None = None,
    host: str = "localhost",
) -> SmtpMailer:
    return SmtpMailer(
        host=host,
        port=port,
        security=security,
        username=username,
        password=password,
        sender=sender,
        clock=lambda: NOW,
        seconds=seconds,
        trusted=trusted,
    )


async def test_a_mail_arrives_as_it_was_written(postbox: Postbox) -> None:
    async with serving(lambda: SMTP(postbox)) as port:
        await a_mailer(port).send(MAIL)
    (message,) = postbox.taken
    assert postbox.envelopes == [("no-reply@loomworks.example", ["ada@example.com"])]
    assert message["From"] == "Loomworks <no-reply@loomworks.example>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == MAIL.subject
    assert message["Date"].datetime == NOW.replace(microsecond=0)
    assert message["Message-ID"].endswith("@loomworks.example>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().replace("\r\n", "\n") == MAIL.text


async def test_each_mail_has_an_id_of_its_own(postbox: Postbox) -> None:
    async with serving(lambda: SMTP(postbox)) as port:
        mailer = a_mailer(port)
        await asyncio.gather(*(mailer.send(MAIL) for _ in range(3)))
    assert len({message["Message-ID"] for message in postbox.taken}) == 3


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r"])
async def test_no_value_can_add_a_header(break_: str, postbox: Postbox) -> None:
    mails = [
        Mail(to=MAIL.to, subject=f"Hello{break_}Bcc: eve@example.com", text=""),
        Mail(to=Email(f"ada@example.com{break_}Bcc: eve@example.com"), subject="Hello", text=""),
    ]
    async with serving(lambda: SMTP(postbox)) as port:
        for mail in mails:
            with pytest.raises(ValueError, match=r"(?i)linefeed|carriage return|newline"):
                await a_mailer(port).send(mail)
    assert postbox.taken == []


# ── what mail software reads in it ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?x=40evil=2eexample=3e?=a@victim.example",
        "=?utf-8?b?eEBldmlsLmV4YW1wbGU+?=@victim.example",
        "x@evil.example,ada@victim.example",
        "<x@evil.example>ada@victim.example",
        "ada",
    ],
)
async def test_an_address_that_reads_as_another_gets_no_mail_and_nobody_else_does(
    address: str, postbox: Postbox
) -> None:
    """Such as one that was registered before it was refused."""
    async with serving(lambda: SMTP(postbox)) as port:
        with capture_logs() as logs:
            await a_mailer(port).send(replace(MAIL, to=Email(address)))
    assert postbox.envelopes == []
    assert logs == [
        {
            "event": "mail not sent, as its address is no longer accepted",
            "log_level": "warning",
            "subject": MAIL.subject,
        }
    ]


@given(local=st.text(ascii_lowercase + digits + ".!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=64))
@settings(max_examples=50, deadline=None)
async def test_every_address_that_is_accepted_is_the_recipient_inside_and_outside(local: str) -> None:
    with suppress(Invalid):
        address = email_address(f"{local}@{'x' * 63}.{'y' * 57}.example")
        postbox = Postbox()
        async with serving(lambda: SMTP(postbox)) as port:
            await a_mailer(port).send(replace(MAIL, to=address))
        assert [recipients for _, recipients in postbox.envelopes] == [[address]]
        assert [one.addr_spec for one in postbox.taken[0]["To"].addresses] == [address]


async def test_the_recipient_is_not_read_from_the_headers(
    postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the library reads other people in them."""
    monkeypatch.setattr("aiosmtplib.smtp.extract_recipients", lambda _: ["x@evil.example"])
    monkeypatch.setattr("aiosmtplib.smtp.extract_sender", lambda _: "y@evil.example")
    async with serving(lambda: SMTP(postbox)) as port:
        await a_mailer(port).send(MAIL)
    assert postbox.envelopes == [("no-reply@loomworks.example", ["ada@example.com"])]


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("=?utf-8?q?Buy_now?=", "= ?utf-8?q?Buy_now?="),
        ("Größe =?utf-8?b?eA==?= " * 5 + ".", "Größe = ?utf-8?b?eA== ?= " * 5 + "."),
        ("a=b? c", "a=b? c"),
    ],
)
async def test_nothing_in_a_subject_is_decoded(subject: str, shown: str, postbox: Postbox) -> None:
    async with serving(lambda: SMTP(postbox)) as port:
        await a_mailer(port).send(replace(MAIL, subject=subject))
    assert postbox.taken[0]["Subject"] == shown


@pytest.mark.parametrize(
    "sender", ["", "Loomworks", "a@example.com, b@example.com", "a@example.com\nBcc: b@example.com", "a@b@c"]
)
def test_a_sender_is_one_address(sender: str) -> None:
    with pytest.raises(ValueError, match="one address such as"):
        a_mailer(25, sender=sender)


# ── who the server is, and who we are ────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Certificate:
    """A server's, and what a client has to trust to believe it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("certificate")
    pem = folder / "certificate.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return Certificate(server, ssl.create_default_context(cafile=str(pem)))


async def test_starttls_encrypts_before_anything_is_said(postbox: Postbox, certificate: Certificate) -> None:
    def server() -> SMTP:
        return SMTP(postbox, tls_context=certificate.server, require_starttls=True)

    async with serving(server) as port:
        await a_mailer(port, security="starttls", trusted=certificate.client).send(MAIL)
    assert postbox.encrypted == [True]


async def test_starttls_is_required_and_not_tried(postbox: Postbox) -> None:
    async with serving(lambda: SMTP(postbox)) as port:
        with pytest.raises(Unavailable):
            await a_mailer(port, security="starttls").send(MAIL)
    assert postbox.taken == []


async def test_tls_from_the_start(postbox: Postbox, certificate: Certificate) -> None:
    async with serving(lambda: SMTP(postbox), tls=certificate.server) as port:
        await a_mailer(port, security="tls", trusted=certificate.client).send(MAIL)
    assert len(postbox.taken) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["nobody signed it", "for another name"])
async def test_a_server_that_does_not_prove_its_name_gets_nothing(
    security: Security, wrong: str, postbox: Postbox, certificate: Certificate
) -> None:
    tls = certificate.server if security == "tls" else None

    def server() -> SMTP:
        return SMTP(postbox, tls_context=certificate.server)

    trusted, host = (None, "localhost") if wrong == "nobody signed it" else (certificate.client, "127.0.0.1")
    async with serving(server, tls=tls) as port:
        with pytest.raises(Unavailable):
            await a_mailer(port, security=security, trusted=trusted, host=host).send(MAIL)
    assert postbox.taken == []


@pytest.mark.parametrize(("password", "taken"), [(PASSWORD, [True]), ("wrong", [])])
async def test_a_server_may_want_to_know_who_sends(
    password: str, taken: list[bool], postbox: Postbox, certificate: Certificate
) -> None:
    def server() -> SMTP:
        return SMTP(postbox, tls_context=certificate.server, auth_required=True, authenticator=_knows)

    async with serving(server) as port:
        mailer = a_mailer(
            port, security="starttls", trusted=certificate.client, username=USERNAME, password=password
        )
        if taken:
            await mailer.send(MAIL)
        else:
            with pytest.raises(Unavailable):
                await mailer.send(MAIL)
    assert postbox.authenticated == taken


async def test_a_server_that_wants_a_name_takes_nothing_without_one(
    postbox: Postbox, certificate: Certificate
) -> None:
    def server() -> SMTP:
        return SMTP(postbox, tls_context=certificate.server, auth_required=True, authenticator=_knows)

    async with serving(server) as port:
        with pytest.raises(Unavailable):
            await a_mailer(port, security="starttls", trusted=certificate.client).send(MAIL)
    assert postbox.taken == []


# ── servers in trouble ───────────────────────────────────────────────────────────────────────────


async def test_a_server_that_is_down_is_unavailable() -> None:
    async with serving(lambda: SMTP(Postbox())) as port:
        pass
    with pytest.raises(Unavailable):
        await a_mailer(port).send(MAIL)


async def test_a_name_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await a_mailer(25, host="mail.invalid").send(MAIL)


@pytest.mark.parametrize("greeting", [b"", b"220 "])
async def test_a_server_that_hangs_is_given_up_in_time(greeting: bytes) -> None:
    class Silent(asyncio.Protocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(greeting)

    loop = asyncio.get_running_loop()
    async with serving(Silent) as port:
        started = loop.time()
        with pytest.raises(TimedOut):
            await a_mailer(port, seconds=0.2).send(MAIL)
        assert loop.time() - started < 2


async def test_a_server_that_is_slow_at_each_step_is_given_up_in_time() -> None:
    class Slow(asyncio.Protocol):
        """Agrees to everything, a while later."""

        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.WriteTransport)
            self.transport = transport
            self.say_later(b"220 here\r\n")

        @override
        def data_received(self, data: bytes) -> None:
            self.say_later(b"250 fine\r\n")

        def say_later(self, words: bytes) -> None:
            asyncio.get_running_loop().call_later(0.2, self.transport.write, words)

    loop = asyncio.get_running_loop()
    async with serving(Slow) as port:
        started = loop.time()
        with pytest.raises(TimedOut):
            await a_mailer(port, seconds=0.5).send(MAIL)
        assert loop.time() - started < 0.9


async def test_what_speaks_another_language_is_unavailable() -> None:
    class Web(asyncio.Protocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            transport.close()

    async with serving(Web) as port:
        with pytest.raises(Unavailable):
            await a_mailer(port).send(MAIL)


@pytest.mark.parametrize("answer", ["451 try again later", "421 too busy"])
async def test_a_server_that_refuses_for_now_is_unavailable(answer: str) -> None:
    for postbox in (Postbox(recipient=answer), Postbox(data=answer)):
        async with serving(lambda postbox=postbox: SMTP(postbox)) as port:  # type: ignore[misc]
            with pytest.raises(Unavailable):
                await a_mailer(port).send(MAIL)


async def test_an_address_that_is_refused_for_good_is_a_line_in_the_log_without_the_address() -> None:
    async with serving(lambda: SMTP(Postbox(recipient="550 no such user ada@example.com"))) as port:
        with capture_logs() as logs:
            await a_mailer(port).send(MAIL)
    assert logs == [
        {"event": "mail refused permanently", "log_level": "warning", "subject": MAIL.subject, "codes": [550]}
    ]


async def test_a_mail_that_is_refused_for_good_is_not_sent_for_ever() -> None:
    async with serving(lambda: SMTP(Postbox(data="554 no spam please"))) as port:
        with capture_logs() as logs:
            await a_mailer(port).send(MAIL)
    assert [entry["codes"] for entry in logs] == [[554]]
