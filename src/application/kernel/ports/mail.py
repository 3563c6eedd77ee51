"""Mail to people."""

from dataclasses import dataclass
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
