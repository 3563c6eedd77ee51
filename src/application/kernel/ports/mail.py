"""Mail to people."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.policy import SMTP
from typing import Protocol

from domain.kernel.users import Email


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message in plain text to one address."""

    to: Email
    subject: str
    text: str


class Mailer(Protocol):
    async def send(self, mail: Mail, /) -> None:
        """Returns when another server has taken the mail over; raises WorldError."""


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
