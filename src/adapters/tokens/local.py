"""The built-in provider's access tokens: JWTs under RFC 9068, signed with ES256."""

import hashlib
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from adapters.tokens.claims import Expected, check_claims
from adapters.tokens.compact import BadTokenError, Compact, read_compact
from adapters.tokens.verified import VerifiedTokens
from application.ports import AccessToken, Clock, Identity
from domain.errors import Unauthenticated
from domain.users import UserId

ALGORITHM: Final = "ES256"
TYPE: Final = "at+jwt"

log = structlog.get_logger(__name__)


def signing_key(pem: str | None) -> ECKey:
    """The key in `pem`, a private one of EC P-256; or without one, a new one that nobody will see again."""
    if pem is not None:
        return ECKey.import_key(pem)
    log.warning(
        "tokens are signed with a key that ends with this process; "
        "set AUTH_SIGNING_KEY to keep users logged in across restarts"
    )
    return ECKey.generate_key("P-256")


def key_id(key: ECKey) -> str:
    """RFC 7638: the same key has the same id everywhere, and another key another."""
    return key.thumbprint()


class LocalTokenIssuer:
    """Issues what LocalTokenVerifier, or anybody with the public key, verifies."""

    def __init__(
        self, key: ECKey, *, issuer: str, audience: str, lifetime_seconds: int, clock: Clock
    ) -> None:
        self._key = key
        self._header = {"alg": ALGORITHM, "typ": TYPE, "kid": key_id(key)}
        self._issuer = issuer
        self._audience = audience
        self._lifetime = lifetime_seconds
        self._clock = clock

    def issue(self, user_id: UserId, /) -> AccessToken:
        """A token that is good from now on."""
        now = int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": str(user_id),
            "aud": self._audience,
            "exp": now + self._lifetime,
            "iat": now,
            "jti": uuid4().hex,
            "client_id": self._audience,  # the service logs its users in itself: no other client takes part
        }
        token = jwt.encode(dict(self._header), claims, self._key, algorithms=[ALGORITHM])
        return AccessToken(value=token, expires_in=self._lifetime)


class LocalTokenVerifier:
    """Verifies what LocalTokenIssuer issued, under any of `keys`: while keys rotate there are several."""

    def __init__(
        self,
        keys: Collection[ECKey],
        *,
        issuer: str,
        audience: str,
        longest_lifetime_seconds: int,
        cached: int,
        clock: Clock,
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._expected = Expected(issuer, audience, longest_lifetime_seconds)
        self._signatures = jws.JWSRegistry(algorithms=[ALGORITHM])
        self._verified = VerifiedTokens(cached)
        self._clock = clock

    async def verify(self, token: str, /) -> Identity:
        """Who the bearer is; raises Unauthenticated, with the same words for every kind of bad token."""
        now = self._clock().timestamp()
        key = self._verified.key(token)
        identity = self._verified.get(key, now=now)
        if identity is None:
            identity, expires = self._read(token, now)
            self._verified.put(key, identity, expires=expires)
        return identity

    def _read(self, token: str, now: float) -> tuple[Identity, float]:
        claims: dict[str, Any] = {}
        try:
            read = read_compact(token)
            claims = read.payload
            self._check_signature(token, read)
            expires = check_claims(claims, self._expected, now=now)
            user_id = _user_id(claims.get("sub"))
        except BadTokenError as reason:
            log.debug("access token refused", reason=str(reason), jti_sha256=_hashed(claims.get("jti")))
            raise Unauthenticated("The access token is not valid.") from None
        return Identity(user_id=user_id, issuer=self._expected.issuer, subject=str(user_id)), expires

    def _check_signature(self, token: str, read: Compact) -> None:
        if read.header.get("typ") != TYPE:
            raise BadTokenError("not an access token")
        if read.header.get("alg") != ALGORITHM:
            raise BadTokenError("another algorithm")
        kid = read.header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadTokenError("an unknown key")
        try:
            jws.deserialize_compact(token, key, registry=self._signatures)
        except JoseError as error:
            raise BadTokenError(f"signature: {type(error).__name__}") from None


def _user_id(subject: object) -> UserId:
    """Our subjects are ids of users, in their one canonical spelling."""
    try:
        user_id = UUID(subject) if isinstance(subject, str) else None
    except ValueError:
        user_id = None
    if user_id is None or str(user_id) != subject:
        raise BadTokenError("the subject is no user id")
    return UserId(user_id)


def _hashed(jti: object) -> str | None:
    return hashlib.sha256(jti.encode("utf-8", "surrogatepass")).hexdigest() if isinstance(jti, str) else None
