"""Mail by SMTP (RFC 5321), to the server that the settings name."""

import asyncio
import ssl
from contextlib import nullcontext
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Literal

import aiosmtplib
import structlog
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPTimeoutError,
)

from application.kernel.ports.mail import Mail, sender_address
from application.kernel.ports.storing import Clock
from application.kernel.ports.tracing import Tracing
from application.kernel.ports.world import NotNow, TimedOut, Unavailable
from domain.kernel.errors import Invalid
from domain.kernel.users import email_address

log = structlog.get_logger(__name__)

type Security = Literal["starttls", "tls", "none"]

CLOSING = 421  # RFC 5321 §3.8: about the server, not about the mail
_SPAN = {"network.protocol.name": "smtp"}

PERMANENT = 500  # RFC 5321 §4.2.1: the same again will be refused again


class SmtpMailer:
    """A Mailer. It takes `seconds` at most for a mail, from the connection to the server's receipt.

    `starttls` and `tls` send nothing to a server whose certificate does not prove its name; `starttls` is
    required, not tried. Without `username` it does not log in.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Security,
        username: str,
        password: str,
        sender: str,
        clock: Clock,
        seconds: float = 5.0,
        trusted: ssl.SSLContext | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`trusted` says whose certificates are good, by default those of the machine's authorities.

        Raises ValueError for a `sender` that `sender_address` refuses.
        """
        self._host = host
        self._port = port
        self._security = security
        self._username = username
        self._password = password
        self._sender = sender_address(sender)
        self._clock = clock
        self._seconds = seconds
        self._trusted = trusted
        self._tracing = tracing

    async def send(self, mail: Mail, /) -> bool:
        """Raises TimedOut, Unavailable, and NotNow where it is this mail that is not taken now.

        A mail that this server will never take is logged and dropped.

        So is one to an address that was accepted once and no longer would be: what it says to us and to mail
        software may differ.
        """
        message = self._message(mail)
        try:
            email_address(mail.to)
        except Invalid:
            log.warning("mail not sent, as its address is no longer accepted", subject=mail.subject)
            return True
        try:
            async with asyncio.timeout(self._seconds):
                with self._tracing.calling("SMTP send", _SPAN) if self._tracing else nullcontext():
                    await self._hand_over(message, mail.to)
        except (TimeoutError, SMTPTimeoutError) as error:
            raise TimedOut("The mail server took too long.") from error
        except (SMTPRecipientsRefused, SMTPDataError) as error:
            refusals = error.recipients if isinstance(error, SMTPRecipientsRefused) else [error]
            codes = sorted(refusal.code for refusal in refusals)
            if codes[0] == CLOSING:
                raise Unavailable("The mail server does not take the mail.") from error
            if codes[0] < PERMANENT:
                raise NotNow("The mail server does not take the mail now.") from error
            # Neither the address nor what the server said of it: the log is no list of people.
            log.warning("mail refused permanently", subject=mail.subject, codes=codes)
        except (SMTPException, OSError, ssl.SSLError) as error:
            raise Unavailable("The mail server does not take the mail.") from error
        return True

    async def _hand_over(self, message: EmailMessage, to: str) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username or None,
            password=self._password or None,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._trusted,
            timeout=self._seconds,
        )
        async with client:
            # Told whom it is for, the library does not look for that in the headers, by a grammar of its own.
            await client.send_message(message, sender=self._sender.addr_spec, recipients=[to])

    def _message(self, mail: Mail) -> EmailMessage:
        """Line breaks in headers are a ValueError, so no value can add a header."""
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = _address(mail.to)
        message["Subject"] = _undecodable(mail.subject)
        message["Date"] = format_datetime(self._clock())
        message["Message-ID"] = make_msgid(domain=self._sender.domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies, please
        message.set_content(mail.text)
        return message


def _address(text: str) -> Address:
    """The address made of its two parts; as one text the library would parse it anew."""
    if "\r" in text or "\n" in text:
        raise ValueError("An address may not contain linefeed or carriage return characters.")
    local, _, host = text.rpartition("@")
    return Address(username=local, domain=host)


def _undecodable(text: str) -> str:
    """The text with nothing in it that would be read as an encoded word (RFC 2047 §2)."""
    return text.replace("=?", "= ?")
