"""A provider's public keys (RFC 7517): which of a published set are fit to verify a token, and with what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import base64_to_int

from adapters.tokens.compact import BadTokenError, Compact

MOST_KEYS: Final = 100
RSA_BITS: Final = range(2048, 8193)  # below, it is broken; above, one verification takes milliseconds

_FAMILIES: Final[dict[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("Ed25519", "EdDSA"),  # RFC 9864 gave the old name's one safe meaning a new name
}
_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BASE64URL: Final = re.compile("[A-Za-z0-9_-]{1,2048}")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, the name that tokens call it by, and the algorithms it verifies."""

    id: str | None
    algorithms: frozenset[str]
    key: Key

    def check(self, read: Compact, algorithm: str) -> None:
        """Raises BadTokenError unless this key made the signature, with this algorithm."""
        # The two names mean the same on this curve, and joserfc warns of the old one.
        model = jws.JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
        try:
            model.check_key(self.key)
            good = model.verify(read.signed, read.signature, self.key)
        except JoseError as error:
            raise BadTokenError(f"signature: {type(error).__name__}") from None
        if not good:
            raise BadTokenError("signature: BadSignatureError")


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer. It looks no further than itself: another issuer's key is no key."""

    keys: tuple[VerificationKey, ...]

    def has(self, id: str) -> bool:
        return any(key.id == id for key in self.keys)

    def find(self, id: str | None, algorithm: str) -> VerificationKey:
        """The one key that fits; raises BadTokenError. Without an id, only one of all may fit."""
        named = [key for key in self.keys if id is None or key.id == id]
        if not named:
            raise BadTokenError("an unknown key", came=id, wanted=[key.id for key in self.keys])
        fitting = [key for key in named if algorithm in key.algorithms]
        if not fitting:
            wanted = {name for key in named for name in key.algorithms}
            raise BadTokenError("the key is for another algorithm", came=algorithm, wanted=wanted)
        if len(fitting) > 1:
            raise BadTokenError("more than one key fits", came=id, wanted="the name of one key")
        return fitting[0]


def read_key_set(document: Mapping[str, Any]) -> KeySet:
    """The keys that are fit for use; those that are not are left out (RFC 7517 §5).

    Raises ValueError for more keys than anybody needs who rotates them.
    """
    published = document.get("keys")
    if not isinstance(published, list):
        return KeySet(())
    if len(published) > MOST_KEYS:
        raise ValueError(f"the key set has {len(published)} keys, more than {MOST_KEYS}")
    keys: list[VerificationKey] = []
    for entry in published:
        key = _read_key(entry) if isinstance(entry, dict) else None
        if key is not None and not any(_same(key, other) for other in keys):
            keys.append(key)
    return KeySet(tuple(keys))


def _read_key(entry: dict[str, Any]) -> VerificationKey | None:
    """None for a key that is not public, not for signatures, too weak, too slow or not understood."""
    kty, crv, kid, alg = (entry.get(name) for name in ("kty", "crv", "kid", "alg"))
    if not isinstance(kty, str) or not isinstance(crv, str | None) or not isinstance(kid, str | None):
        return None
    algorithms = _FAMILIES.get((kty, crv), ())
    if alg is not None:
        algorithms = tuple(name for name in algorithms if name == alg)
    operations = entry.get("key_ops", ["verify"])
    if (
        not algorithms
        or entry.get("use", "sig") != "sig"
        or not (isinstance(operations, list) and "verify" in operations)
        or _PRIVATE & entry.keys()
    ):
        return None
    key = _import(kty, {name: entry.get(name) for name in (*(("crv",) if crv else ()), *_PUBLIC[kty])})
    return VerificationKey(kid, frozenset(algorithms), key) if key is not None else None


def _import(kty: str, numbers: dict[str, Any]) -> Key | None:
    if not all(isinstance(number, str) and _BASE64URL.fullmatch(number) for number in numbers.values()):
        return None
    try:
        match kty:
            case "RSA":
                return RSAKey.import_key({"kty": "RSA", **numbers}) if _is_sound(**numbers) else None
            case "EC":
                return ECKey.import_key({"kty": "EC", **numbers})
            case _:
                return OKPKey.import_key({"kty": "OKP", **numbers})
    except (JoseError, ValueError):
        return None


def _is_sound(*, n: str, e: str) -> bool:
    """A large exponent makes verification as slow as signing; every provider uses 65537."""
    modulus, exponent = base64_to_int(n), base64_to_int(e)
    return modulus.bit_length() in RSA_BITS and exponent < 2**32


def _same(one: VerificationKey, other: VerificationKey) -> bool:
    """Some providers publish a key twice, once for each certificate."""
    return (
        one.id == other.id
        and one.algorithms == other.algorithms
        and one.key.thumbprint() == other.key.thumbprint()
    )
