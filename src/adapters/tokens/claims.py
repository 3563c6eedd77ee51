"""What an access token has to claim, whoever issued it (RFC 9068 §4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.tokens.compact import BadTokenError

LEEWAY_SECONDS = 30  # between our clock and the issuer's

_LAST_INSTANT = 253_402_300_800  # the year 10000; no NaN, infinity or number of a thousand digits is below


@dataclass(frozen=True, slots=True)
class Expected:
    """What an issuer's tokens are held against. The longest lifetime, in seconds, is exp - iat."""

    issuer: str
    audience: str
    longest_lifetime: float


def check_claims(claims: Mapping[str, Any], expected: Expected, *, now: float) -> float:
    """When the token expires, in Unix seconds; raises BadTokenError for one that is not valid at `now`."""
    if claims.get("iss") != expected.issuer:
        raise BadTokenError("another issuer")
    if expected.audience not in _audiences(claims):
        raise BadTokenError("for another audience")
    expires, issued = _instant(claims, "exp"), _instant(claims, "iat")
    if expires + LEEWAY_SECONDS <= now:
        raise BadTokenError("expired")
    if issued - LEEWAY_SECONDS > now:
        raise BadTokenError("issued in the future")
    if not 0 < expires - issued <= expected.longest_lifetime:
        raise BadTokenError("of too long or no lifetime")
    if "nbf" in claims and _instant(claims, "nbf") - LEEWAY_SECONDS > now:
        raise BadTokenError("not valid yet")
    return expires


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return [audience]
    if isinstance(audience, list) and all(isinstance(one, str) for one in audience):
        return audience
    raise BadTokenError("without an audience")


def _instant(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST_INSTANT:
        raise BadTokenError(f"{name} is no instant")
    return value
