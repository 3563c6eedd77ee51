"""What the service writes to people: plain text, with a link where there is a front end to link to."""

from dataclasses import dataclass
from datetime import datetime

from application.kernel.ports.mail import Mail, MailKind
from domain.kernel.memberships import Role
from domain.kernel.users import Email

_NOT_YOU = "If it was not you, change your password at once, and see who is logged in and what is linked."


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """In the name of `service`. Without `app_url`, mails tell the request to make below `api_url` instead.

    A secret stands in the fragment of a link: browsers send that to no server, so it is in no log.
    """

    service: str
    app_url: str
    api_url: str

    def verify_email(self, to: Email, *, token: str) -> Mail:
        how = self._how(
            page="verify-email",
            request="auth/email-verification/confirmation",
            body=f'{{"token": "{token}"}}',
            token=token,
            logged_in=True,
        )
        return Mail(
            to=to,
            subject=f"{self.service}: is this your address?",
            text=(
                f"Someone, most likely you, gave this address to {self.service}.\n\n"
                f"To say that it is yours, while you are logged in there:\n\n{how}\n\n"
                "This is good for 24 hours, once. If it was not you, there is nothing to do.\n"
            ),
        )

    def reset_password(self, to: Email, *, token: str) -> Mail:
        how = self._how(
            page="reset-password",
            request="auth/password-reset/confirmation",
            body=f'{{"token": "{token}", "password": "…"}}',
            token=token,
        )
        return Mail(
            to=to,
            subject=f"{self.service}: a new password",
            text=(
                f"Someone, most likely you, wants a new password at {self.service}.\n\n"
                f"To choose one:\n\n{how}\n\n"
                "This is good for one hour, once. If it was not you, there is nothing to do:\n"
                "your password stays as it is.\n"
            ),
            kind=MailKind.WAY_IN,
        )

    def invitation(
        self, to: Email, *, workspace: str, inviter: str, role: Role, expires_at: datetime, token: str
    ) -> Mail:
        how = self._how(
            page="accept-invitation",
            request="invitations/acceptance",
            body=f'{{"token": "{token}"}}',
            token=token,
            logged_in=True,
        )
        # Names that people chose are in the text alone: in a subject, they would say what a stranger likes.
        return Mail(
            to=to,
            subject=f"{self.service}: an invitation",
            text=(
                f"{inviter} invites you to the workspace {workspace} at {self.service}.\n"
                f"You would have the role {role} there.\n\n"
                f"To accept, while you are logged in with this address and have verified it:\n\n{how}\n\n"
                f"This is good until {expires_at:%d %B %Y, %H:%M} UTC, once. If you do not know who that is,"
                " there is\nnothing to do.\n"
            ),
        )

    def password_changed(self, to: Email, *, proved: bool = True) -> Mail:
        """`proved` says whether the address is known to be the account's owner's."""
        return Mail(
            to=to,
            subject=f"{self.service}: your password was changed",
            text=(
                f"Your password at {self.service} was changed just now, and other sessions were ended.\n\n"
                "If that was not you, ask for a new password at once: that logs the other person out.\n"
            ),
            # An account of a stranger that only claims the address must not use up what its owner is told.
            kind=MailKind.NOTICE if proved else MailKind.ORDINARY,
        )

    def email_change_requested(self, to: Email, *, pending: Email, token: str) -> Mail:
        how = self._how(
            page="undo-email-change",
            request="auth/email-change/reversal",
            body=f'{{"token": "{token}"}}',
            token=token,
        )
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: your address is to be changed",
            text=(
                f"Someone, most likely you, wants {pending} to be the address of your account at\n"
                f"{self.service}. Until that is confirmed from there, this one stays.\n\n"
                f"If it was not you, keep this address, or have it again:\n\n{how}\n\n"
                "This is good for seven days, also after the change. Then choose a new password at once:\n"
                "the other person is logged in and may know yours.\n"
            ),
        )

    def email_changed(self, to: Email) -> Mail:
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: your address was changed",
            text=(
                f"Your account at {self.service} has another address now, and this one no longer belongs\n"
                "to it.\n\n"
                "If that was not you: the mail that told you of the change before has what undoes it.\n"
            ),
        )

    def account_deleted(self, to: Email) -> Mail:
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: your account was deleted",
            text=(
                f"Your account at {self.service} was deleted just now. Your address is no longer known\n"
                "there, and what you wrote for others no longer bears your name. This cannot be undone.\n\n"
                "If it was not you, tell those who look after the service.\n"
            ),
        )

    def identity_linked(self, to: Email, *, issuer: str) -> Mail:
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: one more way to log in",
            text=(
                f"From now on an account of the provider {issuer}\n"
                f"logs in to your account at {self.service}.\n\n"
                f"{_NOT_YOU}\n"
            ),
        )

    def identity_unlinked(self, to: Email, *, issuer: str) -> Mail:
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: a way to log in was removed",
            text=(
                f"An account of the provider {issuer}\n"
                f"no longer logs in to your account at {self.service}.\n\n"
                f"{_NOT_YOU}\n"
            ),
        )

    def sessions_ended(self, to: Email) -> Mail:
        return Mail(
            to=to,
            kind=MailKind.NOTICE,
            subject=f"{self.service}: you were logged out elsewhere",
            text=f"Sessions of your account at {self.service} were ended just now.\n\n{_NOT_YOU}\n",
        )

    def _how(self, *, page: str, request: str, body: str, token: str, logged_in: bool = False) -> str:
        if self.app_url:
            return f"{self.app_url}/{page}#token={token}"
        bearer = "Authorization: Bearer …\n" if logged_in else ""
        return f"POST {self.api_url}/{request}\nContent-Type: application/json\n{bearer}\n{body}"
