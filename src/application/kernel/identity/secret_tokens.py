"""Secrets that are handed out once and recognised by their fingerprint afterwards."""

import hashlib
import secrets


def new_secret() -> str:
    """256 random bits as 43 characters that are safe in a URL."""
    return secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """SHA-256 in hexadecimal. A plain digest will do: among 256 random bits there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
