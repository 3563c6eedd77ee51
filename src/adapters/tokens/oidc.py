"""Tokens of an external provider: access tokens for this service, and ID tokens while somebody logs in."""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from adapters.tokens.claims import audiences, check_times
from adapters.tokens.compact import BadTokenError, Compact, read_compact
from adapters.tokens.discovery import Discovery
from adapters.tokens.presets import AT_JWT, Preset, Subject
from adapters.tokens.proofs import (
    check_marker,
    check_person,
    read_client,
    read_proof,
    read_scopes,
    roles_left_out,
)
from adapters.tokens.providers import Provider
from application.kernel.ports.callers import Claims
from application.kernel.ports.tracing import Tracing

KEEP_KEYS_SECONDS: Final = 24 * 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IdToken:
    """Who logged in, and everything else that the provider said of it."""

    proof: Claims
    claims: Mapping[str, Any]


class OidcIssuer:
    """An Issuer with its keys at an OpenID provider. Its addresses have to be https: ValueError otherwise.

    Its keys are kept for `keep_keys_seconds` after the provider was last heard.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        allow_loopback_http: bool = False,
        keep_keys_seconds: float = KEEP_KEYS_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        tracing: Tracing | None = None,
    ) -> None:
        self.provider = provider
        self.discovery = Discovery(
            provider,
            allow_loopback_http=allow_loopback_http,
            keep_seconds=keep_keys_seconds,
            monotonic=monotonic,
            tracing=tracing,
        )
        self.tracing = tracing
        self._told_of_roles = False

    @property
    def names(self) -> Collection[str]:
        return (self.provider.issuer, *self.provider.kind.names)

    async def read(self, token: str, read: Compact, /, *, now: float) -> Claims:
        """What the access token says; raises BadTokenError, and Unavailable where the keys cannot be had."""
        provider, claims = self.provider, read.payload
        if not provider.kind.access_tokens:
            raise BadTokenError("this provider's access tokens are for others")
        _check_length(token, provider)
        if _type(read.header) not in provider.types:
            raise BadTokenError(
                "not an access token",
                came=read.header.get("typ", "no typ"),
                wanted=["no typ" if kind is None else kind for kind in provider.types],
            )
        await self._check_signature(read)
        self._check_issuer(claims)
        check_marker(claims, provider.marker)
        _check_audience(claims, provider)
        expires = check_times(claims, longest_lifetime=provider.longest_lifetime, now=now)
        if not self._told_of_roles and roles_left_out(claims, provider.role_paths):
            self._told_of_roles = True
            log.warning("a provider left roles out of a token for want of room", issuer=provider.issuer)
        proof = read_proof(
            claims,
            provider,
            subject=provider.kind.subject,
            expires_at=expires,
            client=read_client(claims, provider),
            scopes=read_scopes(claims, provider),
        )
        check_person(claims, provider)
        return proof

    async def verify_id_token(
        self, token: str, *, client_id: str, nonce: str, now: float, access_token: str | None = None
    ) -> IdToken:
        """Who logged in to the client (OpenID Connect Core §3.1.3.7); raises BadTokenError, and Unavailable.

        `nonce` is what the client sent with the request, and `access_token` what came with the ID token.
        """
        provider = self.provider
        _check_length(token, provider)
        read = read_compact(token, longest=provider.token_limit)
        claims = read.payload
        if _type(read.header) == AT_JWT:
            raise BadTokenError("not an ID token")
        await self._check_signature(read)
        self._check_issuer(claims)
        check_marker(claims, provider.kind.id_marker)
        _check_authorized_party(claims, client_id)
        expires = check_times(claims, longest_lifetime=provider.longest_lifetime, now=now)
        if not _same_text(claims.get("nonce"), nonce):
            raise BadTokenError("of another request")
        if access_token is not None and "at_hash" in claims:
            _check_access_token_hash(claims["at_hash"], access_token, read.header["alg"])
        subject = _id_subject(provider.kind)
        proof = read_proof(
            claims, provider, subject=subject, expires_at=expires, client=client_id, scopes=frozenset()
        )
        return IdToken(proof, claims)

    async def close(self) -> None:
        await self.discovery.close()

    async def _check_signature(self, read: Compact) -> None:
        algorithm, key_id = read.header.get("alg"), read.header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self.provider.allowed_algorithms:
            raise BadTokenError("another algorithm", came=algorithm, wanted=self.provider.allowed_algorithms)
        if "kid" in read.header and not isinstance(key_id, str):
            raise BadTokenError("an unknown key", came=key_id, wanted="a text")
        keys = await self.discovery.keys(wanted=key_id)
        keys.find(key_id, algorithm).check(read, algorithm)

    def _check_issuer(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") not in self.names:
            raise BadTokenError("another issuer", came=claims.get("iss"), wanted=self.names)


def _check_length(token: str, provider: Provider) -> None:
    if len(token) > provider.token_limit:
        raise BadTokenError(f"longer than {provider.token_limit} bytes")


def _type(header: Mapping[str, Any]) -> str | None:
    """The token's type, or None where there is none.

    A media type is the same in capitals and without `application/` (RFC 7515 §4.1.9, RFC 9068 §4), and the
    signature covers it: no more than spelling is forgiven.
    """
    value = header.get("typ")
    if not isinstance(value, str):
        return None if "typ" not in header else ""
    return value.lower().removeprefix("application/")


def _check_audience(claims: Mapping[str, Any], provider: Provider) -> None:
    if "aud" not in claims and provider.kind.audience_optional:
        if not provider.clients:  # which `read_client` holds the token against
            raise BadTokenError("without an audience", wanted=provider.audiences)
    elif provider.audiences.isdisjoint(audiences(claims)):
        raise BadTokenError("for another audience", came=claims["aud"], wanted=provider.audiences)


def _check_authorized_party(claims: Mapping[str, Any], client_id: str) -> None:
    """Rules 3 to 5 of §3.1.3.7: for this client, and where it is for several, issued to this one."""
    for_whom = audiences(claims)
    if client_id not in for_whom:
        raise BadTokenError("for another audience", came=for_whom, wanted=client_id)
    if (len(for_whom) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise BadTokenError("of another client", came=claims.get("azp"), wanted=client_id)


def _check_access_token_hash(at_hash: object, access_token: str, algorithm: str) -> None:
    """OpenID Connect Core §3.1.3.6: the left half of the digest that the signature's algorithm uses."""
    name = {"256": "sha256", "384": "sha384"}.get(algorithm[-3:], "sha512")  # which is also what Ed25519 uses
    digest = hashlib.new(name, access_token.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not _same_text(at_hash, half):
        raise BadTokenError("of another access token")


def _same_text(value: object, expected: str) -> bool:
    if not isinstance(value, str) or not expected:
        return False
    return hmac.compare_digest(value.encode("utf-8", "surrogatepass"), expected.encode())


def _id_subject(kind: Preset) -> Subject:
    return kind.subject if kind.id_subject is None else kind.id_subject
