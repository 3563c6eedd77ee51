"""Mail for development: it stays on this terminal, secrets and all, for the developer to use."""

import sys

from application.kernel.ports.mail import Mail


class ConsoleMailer:
    """A Mailer that prints. Nothing is redacted: the link in the mail is what it is read for."""

    async def send(self, mail: Mail, /) -> bool:
        lines = [f"To: {mail.to}", f"Subject: {mail.subject}", "", *mail.text.splitlines()]
        frame = "─" * 72
        sys.stdout.write("\n".join([frame, *lines, frame, ""]))
        sys.stdout.flush()
        return True
