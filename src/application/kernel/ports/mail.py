"""Mail to people."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.policy import SMTP
from enum import StrEnum
from typing import Protocol

from domain.kernel.users import Email


class MailKind(StrEnum):
    """Who can cause a mail, which decides what it is counted with (docs/limits.md)."""

    ORDINARY = "ordinary"
    """Anybody: it asks for a proof, or invites."""

    WAY_IN = "way in"
    """Anybody, and the owner may need it to get into their account: other mails leave room for it."""

    NOTICE = "notice"
    """The person who is in an account; it tells the owner of a proved address what was done there.
    No stranger can cause one, so none can use up its count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message in plain text to one address."""

    to: Email
    subject: str
    text: str
    kind: MailKind = MailKind.ORDINARY


class Mailer(Protocol):
    async def send(self, mail: Mail, /) -> bool:
        """True when another server has taken the mail over, False when its recipient has had too many.

        One that was withheld is not to be tried again. Raises WorldError.
        """


def sender_address(text: str) -> Address:
    """Whom mails come from, written as `Shop <no-reply@shop.example>` or without the name.

    Raises ValueError for anything but one mailbox (RFC 5322 §3.4).
    """
    read = SMTP.header_factory("From", text)
    addresses: tuple[Address, ...] = read.addresses
    if read.defects or len(addresses) != 1 or not (addresses[0].username and addresses[0].domain):
        message = "It must be one address such as no-reply@example.com, or Shop <no-reply@example.com>."
        raise ValueError(message)
    return addresses[0]
