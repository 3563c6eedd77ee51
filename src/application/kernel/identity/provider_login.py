"""Logging in through a provider: the way there, the way back, and the session of ours that it ends in."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Self
from urllib.parse import urlencode

from application.kernel.identity import attempts as limits
from application.kernel.identity.cookie_sessions import CookieSessions, SessionCookie
from application.kernel.identity.failures import Failures
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.identity.sessions import TokenPair, TokenSessions
from application.kernel.ports.attempts import Attempts, Limit, Peer
from application.kernel.ports.callers import Accounts, Caller, Claims
from application.kernel.ports.logins import LoginProvider, LoginSecrets, ProviderAnswer, Seal
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import WorldError
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.errors import DomainError, Invalid, Stale
from domain.kernel.identity.credentials import (
    ExchangeRefused,
    LoginDenied,
    LoginNotBegun,
    LoginProviderNotFound,
    LoginRefused,
    LoginUsed,
    TooManyAttempts,
)
from domain.kernel.identity.one_time_tokens import OneTimeToken, OneTimeTokenId, OneTimeTokenNotFound, Purpose
from domain.kernel.users import UserId

LOGIN_LIFETIME = timedelta(minutes=10)
ATTEMPT_KEPT = timedelta(days=1)  # by the browser: a user who comes back too late is told so by a page
EXCHANGE_LIFETIME = timedelta(seconds=60)
RETURN_MOST = 1000  # with the rest of what a browser keeps of a log-in, below the 4096 of a cookie

# RFC 3986 without user information and fragments: neither has a place in an address to return to, and no
# browser reads what is left in another way than we do (no backslashes, no control characters, no spaces).
# The origin is whatever a ReadOrigin can read, and the browser is sent to what it has read.
_ADDRESS = re.compile(
    r"(?P<origin>(?i:https?)://[^\x00-\x20\x7f/?#@\\]+)(?P<rest>([/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?)"
)
_CHALLENGE = re.compile("[A-Za-z0-9_-]{43,128}")
_VERIFIER = re.compile("[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


type ReadOrigin = Callable[[str], str | None]
"""The one spelling of an origin (RFC 6454), and `None` for what is none."""


class Mode(StrEnum):
    """What a log-in ends in."""

    TOKENS = "tokens"
    """A code, which the application exchanges for tokens."""

    COOKIE = "cookie"
    """A session cookie."""


class ResponseMode(StrEnum):
    """Which part of the address tells the application how it went."""

    FRAGMENT = "fragment"
    """No server sees it, nor any log."""

    QUERY = "query"
    """For an application whose server takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLogin:
    """A log-in that a browser has begun. `expires_at` is in Unix seconds."""

    provider: str
    state: str
    nonce: str
    verifier: str
    return_to: str
    mode: str
    response_mode: str
    challenge: str | None
    expires_at: float

    @property
    def secrets(self) -> LoginSecrets:
        return LoginSecrets(state=self.state, nonce=self.nonce, verifier=self.verifier)

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self | None:
        """`None` for a log-in that another version of the service wrote."""
        try:
            return cls(**json.loads(text))
        except TypeError:
            return None

    def returning(self, **told: str) -> str:
        """The address to return to, with what the application is told there."""
        if not told:
            return self.return_to
        mark = "#" if self.response_mode == ResponseMode.FRAGMENT else "&" if "?" in self.return_to else "?"
        return f"{self.return_to}{mark}{urlencode(told)}"


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what it keeps until it is back, by the name of `state`."""

    address: str
    state: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Return:
    """Where the browser goes when it is back: with a cookie, a code in the address, or an error there."""

    address: str
    cookie: SessionCookie | None = None
    error: str | None = None


async def use_up_state(uow: KernelUnitOfWork, *, state: str) -> None:
    """A browser comes back from a provider once with each state; raises LoginUsed after that."""
    await uow.one_time_tokens.add(
        OneTimeToken(
            id=OneTimeTokenId(new_id(uow.now)),
            purpose=Purpose.LOG_IN,
            user_id=None,
            token_hash=fingerprint(state),
            created_at=uow.now,
            expires_at=uow.now + LOGIN_LIFETIME,
        )
    )


async def make_exchange_code(
    uow: KernelUnitOfWork, user_id: UserId, *, code: str, challenge: str, authenticated_at: datetime
) -> None:
    """Opens a session for a user whom a provider vouched for, in exchange for `code`, once and soon."""
    await uow.one_time_tokens.add(
        OneTimeToken(
            id=OneTimeTokenId(new_id(uow.now)),
            purpose=Purpose.EXCHANGE,
            user_id=user_id,
            token_hash=fingerprint(code),
            challenge=challenge,
            created_at=uow.now,
            expires_at=uow.now + EXCHANGE_LIFETIME,
            authenticated_at=authenticated_at,
        )
    )


async def redeem_exchange_code(
    uow: KernelUnitOfWork, *, code: str, verifier: str
) -> tuple[UserId, datetime | None]:
    """Anybody who has the code and began the log-in may, once.

    Returns whose it is, and when a provider let them in.
    """
    token = await uow.one_time_tokens.with_token(fingerprint(code))
    if (
        token.purpose is not Purpose.EXCHANGE
        or token.user_id is None
        or token.challenge is None
        or uow.now >= token.expires_at
        or not _answers(token.challenge, verifier)
    ):
        raise ExchangeRefused
    await uow.one_time_tokens.remove(token)
    return token.user_id, token.authenticated_at


class ProviderLogin:
    """The log-in through any of `providers`, by their names. It leads back to pages of `origins` alone."""

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        providers: Mapping[str, LoginProvider],
        *,
        accounts: Accounts,
        failures: Failures,
        token_sessions: TokenSessions,
        cookie_sessions: CookieSessions,
        attempts: Attempts,
        seal: Seal,
        clock: Clock,
        origins: Collection[str],
        read_origin: ReadOrigin = str,
    ) -> None:
        """`origins` are in the spelling of `read_origin`; by default any other spelling is another origin."""
        self._run = run
        self._providers = providers
        self._accounts = accounts
        self._failures = failures
        self._token_sessions = token_sessions
        self._cookie_sessions = cookie_sessions
        self._attempts = attempts
        self._seal = seal
        self._clock = clock
        self._origins = frozenset(origins)
        self._read_origin = read_origin

    @property
    def providers(self) -> Mapping[str, LoginProvider]:
        return self._providers

    async def begin(
        self,
        name: str,
        *,
        return_to: str,
        mode: Mode,
        response_mode: ResponseMode = ResponseMode.FRAGMENT,
        challenge: str | None = None,
        fresh: bool = False,
    ) -> Departure:
        """Anybody may log in; refused where the way back does not lead to our own front end.

        With tokens, `challenge` is the S256 of a secret that the application keeps (RFC 7636 §4.2). A `fresh`
        log-in asks the provider not to let anybody in who is only logged in there from before.
        """
        provider = self._provider(name)
        return_to = self._checked(return_to)
        _check_challenge(mode, challenge)
        secrets = LoginSecrets(state=new_secret(), nonce=new_secret(), verifier=new_secret())
        pending = PendingLogin(
            provider=name,
            state=secrets.state,
            nonce=secrets.nonce,
            verifier=secrets.verifier,
            return_to=return_to,
            mode=mode,
            response_mode=response_mode,
            challenge=challenge,
            expires_at=(self._clock() + LOGIN_LIFETIME).timestamp(),
        )
        address = await provider.address(secrets, fresh=fresh)
        return Departure(address, secrets.state, self._seal.seal(pending.dump()))

    async def finish(self, client: Peer, name: str, *, answer: ProviderAnswer, sealed: str | None) -> Return:
        """Leads the browser back to where it began, once; what went wrong is told to the application.

        That is also that it began more than ten minutes ago, or has been finished before. Refused where this
        browser has not begun it: then there is no page to tell. After too many failures from one network
        address the provider is not asked, and the application is told that it has to wait.
        """
        provider = self._provider(name)
        pending = self._pending(name, answer.state, sealed)
        if self._clock().timestamp() >= pending.expires_at:
            return Return(pending.returning(error="login_expired"), error="login_expired")
        bounds = limits.of_provider_log_in(client)
        try:
            await self._attempts.check(bounds)
            await self._run(use_up_state, state=pending.state)
            proof = await self._redeemed(provider, answer, pending.secrets, bounds)
            identity = await self._accounts.recognise(proof)
            return await self._welcome(client, pending, identity)
        except LoginUsed as refusal:
            error = "login_used"
            await self._failures.of_provider(name, refusal)
        except (WorldError, TooManyAttempts):
            error = "temporarily_unavailable"
        except DomainError as refusal:
            error = "access_denied" if isinstance(refusal, LoginDenied) else "login_failed"
            await self._failures.of_provider(name, refusal)
        return Return(pending.returning(error=error), error=error)

    async def exchange(self, client: Peer, /, *, code: str, verifier: str) -> TokenPair:
        """The code of a log-in is good for one use, within a minute, by the client that began it."""
        try:
            user_id, at = await self._run(redeem_exchange_code, code=code, verifier=verifier)
        except (OneTimeTokenNotFound, Stale) as lost:  # stale: another use at the same time was first
            await self._failures.of_code()
            raise ExchangeRefused from lost
        except ExchangeRefused:
            await self._failures.of_code()
            raise
        return await self._token_sessions.open(user_id, agent=client.agent, authenticated_at=at)

    async def _redeemed(
        self, provider: LoginProvider, answer: ProviderAnswer, secrets: LoginSecrets, bounds: Sequence[Limit]
    ) -> Claims:
        try:
            return await provider.redeem(answer, secrets)
        except LoginRefused:
            await self._attempts.count(bounds)
            raise

    async def _welcome(self, client: Peer, pending: PendingLogin, caller: Caller) -> Return:
        # A provider that does not say when it asked for a password may have done so just now.
        at = caller.authenticated_at or self._clock()
        if pending.mode == Mode.COOKIE:
            cookie = await self._cookie_sessions.open(client, caller.user_id, authenticated_at=at)
            return Return(pending.returning(), cookie)
        code = new_secret()
        await self._run(
            make_exchange_code,
            caller.user_id,
            code=code,
            challenge=pending.challenge or "",
            authenticated_at=at,
        )
        return Return(pending.returning(code=code))

    def _provider(self, name: str) -> LoginProvider:
        if name not in self._providers:
            raise LoginProviderNotFound
        return self._providers[name]

    def _pending(self, name: str, state: str, sealed: str | None) -> PendingLogin:
        text = self._seal.unseal(sealed) if sealed is not None else None
        pending = PendingLogin.load(text) if text is not None else None
        if (
            pending is None
            or not compare_digest(pending.state.encode(), state.encode("utf-8", "surrogatepass"))
            or pending.provider != name
        ):
            raise LoginNotBegun("")
        return pending

    def _checked(self, address: str) -> str:
        """The address, with its origin as the settings spell it: so a browser goes where we have looked."""
        read = _ADDRESS.fullmatch(address)
        if read is None or len(address) > RETURN_MOST:
            raise Invalid(
                "It must be a whole address such as https://app.example.com/welcome, without a fragment.",
                field="return_to",
            )
        origin = self._read_origin(read["origin"])
        if origin is None or origin not in self._origins:
            raise Invalid("It must be on one of the origins that the settings allow.", field="return_to")
        return origin + read["rest"]


def _check_challenge(mode: Mode, challenge: str | None) -> None:
    if mode is Mode.TOKENS and (challenge is None or not _CHALLENGE.fullmatch(challenge)):
        detail = "It must be the base64url of a SHA-256 (RFC 7636, S256) where the log-in ends in tokens."
        raise Invalid(detail, field="challenge")
    if mode is Mode.COOKIE and challenge is not None:
        raise Invalid("There is nothing to exchange where the log-in ends in a cookie.", field="challenge")


def _answers(challenge: str, verifier: str) -> bool:
    """RFC 7636 §4.6."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=")
    return compare_digest(made, challenge.encode())
