"""Reading a signed token strictly, before and after its signature is checked.

Cryptographic libraries leave these checks to their callers (RFC 8725 and its successor,
draft-ietf-oauth-rfc8725bis): which form, which bytes, which JSON.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

# They name keys, change what is signed, or announce another format: a bearer token needs none of them.
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"})


_SHOWN = 200  # characters


class BadTokenError(Exception):
    """Why a token is refused. For the log alone: whoever sent it learns nothing (RFC 6750 §3.1).

    `came` is what the token has and `wanted` what it should have, where neither tells a secret or a person.
    docs/auth.md has the remedy for each reason.
    """

    def __init__(self, reason: str, *, came: object = None, wanted: object = None) -> None:
        super().__init__(reason)
        self.came = None if came is None else _shown(came)
        self.wanted = None if wanted is None else _shown(wanted)

    @property
    def log_fields(self) -> dict[str, str]:
        """The reason, and what came and what was wanted where that is known."""
        fields = {"reason": str(self), "came": self.came, "wanted": self.wanted}
        return {name: value for name, value in fields.items() if value is not None}


def _shown(value: object) -> str:
    """In quotation marks and cut short, whatever a stranger wrote; of several, each."""
    if isinstance(value, set | frozenset | tuple | list):
        return " or ".join(sorted(map(_shown, value)))[:_SHOWN] or "nothing"
    return repr(value)[:_SHOWN]


@dataclass(frozen=True, slots=True)
class Compact:
    """A token in the compact form (RFC 7515 §3.1), read but not yet believed.

    `signature` has to be the issuer's over the bytes in `signed` (§5.2).
    """

    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    signature: bytes


def read_compact(token: str, *, longest: int) -> Compact:
    """Raises BadTokenError unless the token has three strict parts in `longest` bytes, the first
    two of them JSON objects."""
    if len(token) > longest:
        raise BadTokenError(f"longer than {longest} bytes")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadTokenError("not of three parts")
    header, payload, signature = map(_bytes, parts)
    signed = token.rpartition(".")[0].encode("ascii")
    read = Compact(strict_object(header), strict_object(payload), signed, signature)
    if refused := REFUSED_HEADERS & read.header.keys():
        raise BadTokenError(f"header {min(refused)} is refused")
    return read


def _bytes(part: str) -> bytes:
    """Decoded base64url without padding. Each value has one spelling: a second one is a second token."""
    try:
        ascii_part = part.encode("ascii")
        decoded = base64.b64decode(ascii_part + b"=" * (-len(part) % 4), b"-_", validate=True)
    except ValueError:
        raise BadTokenError("a part is not base64url") from None
    if not decoded or base64.urlsafe_b64encode(decoded).rstrip(b"=") != ascii_part:
        raise BadTokenError("a part is empty or not canonical base64url")
    return decoded


def strict_object(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`: strict UTF-8, no member twice, no NaN; raises BadTokenError."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_members, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python converts
        raise BadTokenError(f"a part is not JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise BadTokenError("a part is not a JSON object")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadTokenError("a JSON object names a member twice")
    return members


def _no_constant(name: str) -> None:
    raise BadTokenError(f"a JSON number is {name}")
