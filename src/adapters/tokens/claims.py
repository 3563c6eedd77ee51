"""What an access token has to claim, whichever issuer it has (RFC 9068 §4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.tokens.compact import BadTokenError

LEEWAY_SECONDS = 30  # between our clock and the issuer's
LONGEST_TEXT = 255  # OpenID Connect Core §2 says so of `sub`

_LAST_INSTANT = 253_402_300_800  # the year 10000; no NaN, infinity or number of a thousand digits is below

# Neither a database nor a terminal takes NUL and its like; half of a surrogate pair has no UTF-8 at all.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an issuer's tokens are held against. The longest lifetime, in seconds, is exp - iat."""

    issuer: str
    audience: str
    longest_lifetime: float


def check_claims(claims: Mapping[str, Any], expected: Expected, *, now: float) -> float:
    """When the token expires, in Unix seconds; raises BadTokenError for one that is not valid at `now`."""
    if claims.get("iss") != expected.issuer:
        raise BadTokenError("another issuer", came=claims.get("iss"), wanted=expected.issuer)
    if expected.audience not in audiences(claims):
        raise BadTokenError("for another audience", came=claims["aud"], wanted=expected.audience)
    return check_times(claims, longest_lifetime=expected.longest_lifetime, now=now)


def check_times(claims: Mapping[str, Any], *, longest_lifetime: float, now: float) -> float:
    """When the token expires, in Unix seconds; raises BadTokenError for one that is not valid at `now`.

    Its longest lifetime is in seconds.
    """
    expires, issued = instant(claims, "exp"), instant(claims, "iat")
    if expires + LEEWAY_SECONDS <= now:
        raise BadTokenError("expired", came=expires, wanted=f"after {now:.0f}")
    if issued - LEEWAY_SECONDS > now:
        raise BadTokenError("issued in the future", came=issued, wanted=f"before {now:.0f}")
    if not 0 < expires - issued <= longest_lifetime:
        raise BadTokenError(
            "of too long or no lifetime",
            came=f"{expires - issued:.0f} seconds",
            wanted=f"{longest_lifetime:.0f} seconds or less",
        )
    if "nbf" in claims and instant(claims, "nbf") - LEEWAY_SECONDS > now:
        raise BadTokenError("not valid yet", came=claims["nbf"], wanted=f"before {now:.0f}")
    return expires


def audiences(claims: Mapping[str, Any]) -> list[str]:
    """Whom the token is for; raises BadTokenError for one that does not say, or in another form."""
    audience = claims.get("aud")
    if isinstance(audience, str):
        return [audience]
    if isinstance(audience, list) and all(isinstance(one, str) for one in audience):
        return audience
    raise BadTokenError("without an audience", came=type(audience).__name__, wanted="a text or a list")


def instant(claims: Mapping[str, Any], name: str) -> float:
    """Unix seconds; raises BadTokenError for anything but a number in a year that people write."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST_INSTANT:
        raise BadTokenError(f"{name} is no instant", came=value, wanted="Unix seconds")
    return value


def authentication(claims: Mapping[str, Any], *, issued_at: float) -> float | None:
    """When the issuer let the person in, in Unix seconds: `auth_time` (RFC 9068 §2.2.1), where it says so.

    No log-in is later than the token, whatever it says.
    """
    try:
        return min(instant(claims, "auth_time"), issued_at)
    except BadTokenError:
        return None


def text(value: object, longest: int = LONGEST_TEXT) -> str | None:
    """The value where it is a text of 1 to `longest` characters that can be stored and shown, or None."""
    if isinstance(value, str) and 0 < len(value) <= longest and not _UNPRINTABLE.search(value):
        return value
    return None


type Path = tuple[str, ...]
"""The names that lead to a claim, outermost first: names may themselves hold dots, slashes and colons."""


def claim_at(claims: Mapping[str, Any], path: Path) -> object:
    """What stands at the end of the path, or None."""
    value: object = claims
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
