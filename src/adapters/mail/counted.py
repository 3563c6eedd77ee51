"""The one place where mail leaves, whatever has caused it: no mailbox gets more than its share."""

import structlog

from application.kernel.identity import attempts as limits
from application.kernel.ports.attempts import Attempts
from application.kernel.ports.mail import Mail, Mailer
from domain.kernel.identity.credentials import TooManyAttempts

log = structlog.get_logger(__name__)


class CountedMailer:
    """A Mailer that withholds, and logs, what is over the limits of its recipient and its kind."""

    def __init__(self, mailer: Mailer, attempts: Attempts) -> None:
        """`attempts` commit by themselves, whatever becomes of the mail."""
        self._mailer = mailer
        self._attempts = attempts

    async def send(self, mail: Mail, /) -> bool:
        """Counts no mail but those that another server has taken over, or may have."""
        bounds = limits.of_mail(mail)
        try:
            await self._attempts.count(bounds)
        except TooManyAttempts as over:
            await self._attempts.take_back(bounds)
            # Not the address: the log is no list of people.
            log.warning("mail withheld", kind=mail.kind, subject=mail.subject, seconds=over.retry_after)
            return False
        try:
            return await self._mailer.send(mail)
        except Exception:
            await self._attempts.take_back(bounds)
            raise
