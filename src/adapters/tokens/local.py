"""The built-in provider's access tokens: JWTs under RFC 9068, signed with ES256."""

from typing import Any, Final
from uuid import UUID, uuid4

from joserfc import jwt

from adapters.tokens.claims import Expected, check_claims, instant, text
from adapters.tokens.compact import BadTokenError, Compact
from adapters.tokens.keyring import ALGORITHM, KeyRing
from application.kernel.ports.callers import Claims
from application.kernel.ports.sessions import AccessToken
from application.kernel.ports.storing import Clock
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import UserId

TYPE: Final = "at+jwt"


class LocalTokenIssuer:
    """Issues what LocalIssuer, or anybody with the published keys, verifies."""

    def __init__(
        self, ring: KeyRing, *, issuer: str, audience: str, lifetime_seconds: int, clock: Clock
    ) -> None:
        self._ring = ring
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime_seconds
        self._clock = clock

    async def issue(self, user_id: UserId, /, *, session_id: SessionId) -> AccessToken:
        """A token that is good from now on, for as long as its session lasts; raises Unavailable."""
        kid, key = await self._ring.signing()
        now = int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": str(user_id),
            "aud": self._audience,
            "exp": now + self._lifetime,
            "iat": now,
            "jti": uuid4().hex,
            "client_id": self._audience,  # the service logs its users in itself: no other client takes part
            "sid": str(session_id),
        }
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": kid}
        return AccessToken(
            value=jwt.encode(header, claims, key, algorithms=[ALGORITHM]), expires_in=self._lifetime
        )


class LocalIssuer:
    """An Issuer that trusts what LocalTokenIssuer issues. The longest lifetime is in seconds."""

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str, longest_lifetime: float) -> None:
        self._ring = ring
        self._expected = Expected(issuer, audience, longest_lifetime)

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self._expected.issuer})

    async def read(self, _: str, read: Compact, /, *, now: float) -> Claims:
        """What the token says; raises BadTokenError, and Unavailable where the keys cannot be read."""
        await self._check_signature(read)
        claims = read.payload
        expires = check_claims(claims, self._expected, now=now)
        return Claims(
            issuer=self._expected.issuer,
            subject=str(_id_in(claims, "sub")),
            issued_at=instant(claims, "iat"),
            expires_at=expires,
            client=text(claims.get("client_id")),
            scopes=frozenset((text(claims.get("scope")) or "").split()),
            session_id=SessionId(_id_in(claims, "sid")),
        )

    async def _check_signature(self, read: Compact) -> None:
        if read.header.get("typ") != TYPE:
            raise BadTokenError("not an access token", came=read.header.get("typ", "no typ"), wanted=TYPE)
        if read.header.get("alg") != ALGORITHM:
            raise BadTokenError("another algorithm", came=read.header.get("alg"), wanted=ALGORITHM)
        kid = read.header.get("kid")
        key = await self._ring.verifying(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadTokenError("an unknown key", came=kid, wanted="a key of this service")
        key.check(read, ALGORITHM)


def _id_in(claims: dict[str, Any], name: str) -> UUID:
    """Ids of ours have one canonical spelling; raises BadTokenError for everything else."""
    value = claims.get(name)
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or str(found) != value:
        raise BadTokenError(f"{name} is no id")
    return found
