"""A fresh proof of who sends a request, for changes to the ways to log in and to who else may.

An access token is no such proof: it may have been stolen. What counts is the password, for which there is a
token of a few minutes, or a log-in at a provider that is not longer ago than that.
"""

from dataclasses import dataclass, fields
from datetime import timedelta

from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.callers import Caller, Reauthenticated
from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import Clock


@dataclass(frozen=True, slots=True)
class ReauthenticationToken:
    """What shows with further requests of this session that the password was given.

    `expires_in` counts the seconds for which it does.
    """

    token: str
    expires_in: int


class Reauthentication:
    """Makes and knows the proofs; each is good for `lifetime`.

    Nothing is stored: a token is a sealed text, bound to one user and one session of theirs. It is good for
    several requests, and for nothing without an access token of that session.
    """

    def __init__(self, passwords: PasswordLogin, seal: Seal, clock: Clock, *, lifetime: timedelta) -> None:
        self._passwords = passwords
        self._seal = seal
        self._clock = clock
        self._lifetime = lifetime

    async def confirm(self, actor: Caller, /, *, password: str) -> ReauthenticationToken:
        """Everybody who has a password may prove with it that it is they who send requests.

        The token goes along as `Reauthentication-Token` with requests that ask for a fresh proof. After too
        many wrong passwords it has to wait.
        """
        await self._passwords.confirm(actor, password=password)
        expires_at = self._clock() + self._lifetime
        sealed = self._seal.seal(repr(expires_at.timestamp()), name=_name(actor))
        return ReauthenticationToken(sealed, int(self._lifetime.total_seconds()))

    def of(self, actor: Caller, token: str | None) -> Caller:
        """The caller as a `Reauthenticated` one, where the token or a log-in at a provider proves it."""
        if self._is_recent(actor) or (token is not None and self._is_good(actor, token)):
            return Reauthenticated(**{field.name: getattr(actor, field.name) for field in fields(actor)})
        return actor

    def _is_recent(self, actor: Caller) -> bool:
        at = actor.authenticated_at
        return at is not None and self._clock() < at + self._lifetime

    def _is_good(self, actor: Caller, token: str) -> bool:
        expires_at = self._seal.unseal(token, name=_name(actor))
        return expires_at is not None and self._clock().timestamp() < float(expires_at)


def _name(actor: Caller) -> str:
    """Whose token it is: a user's in one session, or with the tokens of one account of a provider."""
    return fingerprint("\0".join((str(actor.user_id), str(actor.session_id), actor.issuer, actor.subject)))
