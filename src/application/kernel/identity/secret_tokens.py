"""Secrets that are handed out once and recognised by their fingerprint afterwards."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode

_MARK_LENGTH = 22  # 128 bits


def new_secret() -> str:
    """256 random bits as 43 characters that are safe in a URL."""
    return secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """SHA-256 in hexadecimal. A plain digest will do: among 256 random bits there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def marked_secret(family_key: str, nonce: str | None = None) -> str:
    """A secret that shows, to a holder of the key, that it was made with it."""
    nonce = new_secret() if nonce is None else nonce
    return nonce + _mark(family_key, nonce)


def is_marked(secret: str, family_key: str | None) -> bool:
    """Whether `marked_secret` made it with this key."""
    nonce, mark = secret[:-_MARK_LENGTH], secret[-_MARK_LENGTH:]
    if family_key is None or not nonce:
        return False
    return hmac.compare_digest(mark.encode("utf-8", "surrogatepass"), _mark(family_key, nonce).encode())


def successor_of(secret: str, *, salt: str, family_key: str) -> str:
    """The secret that follows: the same as often as it is asked for, with the same 256 random bits as salt.

    Neither of the two tells anything without the other, and the salt alone is stored.
    """
    return marked_secret(family_key, _text(_digest(secret, f"successor {salt}")))


def _mark(family_key: str, nonce: str) -> str:
    return _text(_digest(family_key, nonce)[:16])


def _digest(key: str, message: str) -> bytes:
    return hmac.digest(
        key.encode("utf-8", "surrogatepass"), message.encode("utf-8", "surrogatepass"), "sha256"
    )


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
