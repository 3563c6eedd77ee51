"""Takes secrets and personal data out of what is logged: the last step before an event is written."""

import re
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

REDACTED = "[redacted]"

# A key is secret when one of its words is, in the singular or the plural.
_SECRET_WORDS = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "dsn",
        "email",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "pem",
        "secret",
        "token",
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# What may hold one of the patterns below. Looking for it is cheap, and most text has none of it.
_SIGNS = ("@", "eyj", "bearer ", "basic ", "-----begin ", "password", "secret", "token")
_PATTERNS = (
    # A JWT: its first part is a JSON object, so it begins with {" and in base64 with eyJ. The second part is
    # empty where it is encrypted with a key that both sides have (RFC 7518 §4.5), as what we seal is.
    (re.compile(r"eyJ[\w-]+(\.[\w-]*)+"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic) +[\w.~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    # The password in postgresql://user:password@host. It goes first, or the rest passes for an address.
    (re.compile(r"://[^\s/@]*:[^\s/]*@"), f"://{REDACTED}@"),
    # password='…' in a repr, "token": "…" in JSON, ?token=… in an address
    (
        re.compile(
            r"""(?i)(\w*(?:password|secret|token)\w*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&)\]}]+)"""
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]+(\.[\w-]+)+"), REDACTED),
)

_PLAIN = frozenset({int, float, bool, type(None), UUID, datetime})
_DEEPEST = 12


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: removes what is secret by its key or by its look, at any depth.

    What JSON has no form for becomes its `repr`, so that no serialiser reads its fields afterwards.
    """
    for key, value in event.items():
        if type(value) is str:
            if _is_secret(key):
                event[key] = REDACTED
            elif _has_sign(value):
                event[key] = clean_text(value)
        elif type(value) not in _PLAIN or _is_secret(key):
            event[key] = _clean_member(key, value, 0)
    return event


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return any(word.lower().removesuffix("s") in _SECRET_WORDS for word in _WORD.findall(key))


def _has_sign(text: str) -> bool:
    text = text.lower()
    for sign in _SIGNS:  # noqa: SIM110 (`any` takes three times as long, for each text of each line)
        if sign in text:
            return True
    return False


def clean_text(text: str) -> str:
    """The text without what looks like a secret or an e-mail address."""
    if _has_sign(text):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def _clean_member(key: str, value: object, depth: int) -> object:
    return REDACTED if value is not None and _is_secret(key) else _clean(value, depth)


def _clean(value: object, depth: int) -> object:
    if type(value) in _PLAIN:
        return value
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {str(key): _clean_member(str(key), member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(member, depth + 1) for member in value]
    # Enumerations of text are text, and a driver has classes of its own for ids and instants.
    return clean_text(str(value) if isinstance(value, str | UUID | datetime) else repr(value))
