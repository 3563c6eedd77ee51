"""Sessions of browsers: one secret in a cookie that no script can read, good until the session ends."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest, digest

from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.identity.sessions import open_session
from application.kernel.ports.attempts import Peer
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.identity.sessions import SessionKind
from domain.kernel.users import UserId


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The value of a cookie, and for how long the browser keeps it.

    `device_token` is what the browser is known by when it logs in again with a password.
    """

    value: str
    lifetime: timedelta
    device_token: str | None = None


class CookieSessions:
    """Opens the sessions that a `CookieVerifier` knows again."""

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        passwords: PasswordLogin,
        *,
        lifetime: timedelta,
        idle: timedelta | None = None,
        most: int | None = None,
    ) -> None:
        self._run = run
        self._passwords = passwords
        self._lifetime = lifetime
        self._idle = idle
        self._most = most

    async def log_in(
        self, client: Peer, /, *, email: str, password: str, device_token: str = ""
    ) -> SessionCookie:
        """As the built-in provider's log-in, with the same refusals, for a browser."""
        user_id, password_hash = await self._passwords.read(
            client, email=email, password=password, device_token=device_token
        )
        cookie = await self.open(client, user_id, password_hash=password_hash)
        device_token = self._passwords.device_token(user_id, password_hash=password_hash)
        return replace(cookie, device_token=device_token)

    async def open(
        self,
        client: Peer,
        user_id: UserId,
        *,
        password_hash: str | None = None,
        authenticated_at: datetime | None = None,
    ) -> SessionCookie:
        """For a user who has just proved who they are; raises as `open_session` does."""
        secret = new_secret()
        session = await self._run(
            open_session,
            user_id,
            token_hash=fingerprint(secret),
            lifetime=self._lifetime,
            idle=self._idle,
            most=self._most,
            kind=SessionKind.COOKIE,
            agent=client.agent,
            password_hash=password_hash,
            authenticated_at=authenticated_at,
        )
        return SessionCookie(f"{session.id.hex}.{secret}", self._lifetime)


def csrf_token(cookie: str) -> str:
    """What scripts of our own pages send along, to show that they could read an answer of ours.

    It follows from the cookie's 256 random bits, which it does not tell: a party without the cookie
    cannot make it, and it is good for this session alone.
    """
    made = digest(cookie.encode("utf-8", "surrogatepass"), b"csrf", sha256)
    return urlsafe_b64encode(made).rstrip(b"=").decode()


def is_csrf_token(token: str, cookie: str) -> bool:
    """In constant time: how much of a wrong one is right cannot be measured."""
    return compare_digest(token.encode("utf-8", "surrogatepass"), csrf_token(cookie).encode())
