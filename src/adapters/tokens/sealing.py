"""What a browser keeps of a log-in that it has begun: encrypted, so that nobody else can read or make one."""

import hmac

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_HEADER = {"alg": "dir", "enc": "A256GCM"}
_PURPOSE = b"log-in under way"  # the same secret seals other things under other keys


class LoginSeal:
    """A Seal: JWE with a key that follows from the service's secret (RFC 7516)."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(hmac.digest(secret.encode(), _PURPOSE, "sha256"))

    def seal(self, text: str, /) -> str:
        return jwe.encrypt_compact(dict(_HEADER), text, self._key, algorithms=list(_HEADER.values()))

    def unseal(self, sealed: str, /) -> str | None:
        """`None` for whatever `seal` did not make."""
        try:
            read = jwe.decrypt_compact(sealed, self._key, algorithms=list(_HEADER.values()))
        except (JoseError, ValueError):
            return None
        return read.plaintext.decode() if read.plaintext is not None else None
