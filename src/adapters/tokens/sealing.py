"""Texts that this service alone can read and make: what it stores, or has others keep for it, encrypted."""

import hmac
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

# One secret has several uses; none of them can be turned against another. What is sealed under a purpose is
# read by its name for ever, so these stay as they are.
SIGNING_KEYS: Final = "signing keys"
LOGINS: Final = "log-in under way"
ANSWERS: Final = "kept answers"
REAUTHENTICATIONS: Final = "reauthentications"
DEVICES: Final = "known devices"
ACCOUNTS: Final = "accounts in the audit log"

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}


class _Registry(jwe.JWERegistry):
    # The library's 64 KiB hold for reading alone: a longer text could be sealed and never read again. What
    # strangers send is bounded by the size of a request.
    max_ciphertext_length = 64 * 1024**2


_REGISTRY: Final = _Registry(algorithms=list(_HEADER.values()))


class KeyedPseudonyms:
    """`Pseudonyms`: 128 bits of an HMAC with a key that follows from AUTH_SECRET and a purpose.

    Which of the world's addresses one stands for, nobody can look up without the key, as with a mere hash.
    """

    def __init__(self, secret: str, purpose: str) -> None:
        self._key = _derived(secret, purpose)

    def of(self, text: str, /) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()


class JweSeal:
    """A `Seal`: JSON Web Encryption (RFC 7516) with a key that follows from AUTH_SECRET and a purpose.

    What was sealed with the `second` secret, if there is one, is opened as well.
    """

    def __init__(self, secret: str, purpose: str, *, second: str = "") -> None:
        self._key = _key(secret, purpose)
        self._keys = [self._key, *([_key(second, purpose)] if second else [])]

    def seal(self, text: str, /, *, name: str = "") -> str:
        # The encryption covers the header, so the name cannot be changed either.
        header = {**_HEADER, "kid": name} if name else dict(_HEADER)
        return jwe.encrypt_compact(header, text.encode(), self._key, registry=_REGISTRY)

    def unseal(self, sealed: str, /, *, name: str = "") -> str | None:
        for key in self._keys:
            try:
                opened = jwe.decrypt_compact(sealed, key, registry=_REGISTRY)
            except (JoseError, ValueError):
                continue
            if opened.protected.get("kid", "") == name and opened.plaintext is not None:
                return opened.plaintext.decode()
        return None


def _key(secret: str, purpose: str) -> OctKey:
    return OctKey.import_key(_derived(secret, purpose))


def _derived(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")
