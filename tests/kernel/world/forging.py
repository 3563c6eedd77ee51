"""Tokens of every make, signed with real keys: valid but for what a test changes, however odd that is."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import Key

ABSENT: Any = object()

type Part = dict[str, Any] | bytes


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(part: Part) -> str:
    return b64(part if isinstance(part, bytes) else json.dumps(part).encode())


def changed(valid: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (valid | changes).items() if value is not ABSENT}


def second_spelling(part: str) -> str:
    """The same bytes in base64url, with bits set that decoding drops."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def signed(first: str, second: str, *, key: Key, algorithm: str) -> str:
    """These two parts with the signature that belongs to them."""
    message = f"{first}.{second}"
    model = jws.JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
    return f"{message}.{b64(model.sign(message.encode(), key))}"


@dataclass(frozen=True, kw_only=True)
class Forger:
    """What an issuer would sign, and with which key; `stranger` is a key of the same kind, of nobody here."""

    key: Key
    stranger: Key
    algorithm: str
    kid: str
    claims: dict[str, Any]
    typ: Any = "at+jwt"
    lifetime: int = 600
    header_extra: dict[str, Any] = field(default_factory=dict)

    @property
    def time(self) -> int:
        return int(self.claims["iat"])

    @property
    def audience(self) -> str:
        return str(self.claims["aud"])

    @property
    def issuer(self) -> str:
        return str(self.claims["iss"])

    def header_of(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": self.algorithm, "typ": self.typ, "kid": self.kid, **self.header_extra}
        return changed(header, changes)

    def claims_of(self, **changes: Any) -> dict[str, Any]:
        return changed(self.claims, changes)

    def token(
        self,
        head: Part | None = None,
        body: Part | None = None,
        *,
        key: Key | None = None,
        algorithm: str | None = None,
    ) -> str:
        """A token that is valid but for what the arguments change."""
        parts = (self.header_of() if head is None else head, self.claims if body is None else body)
        first, second = map(encoded, parts)
        return self.sign(first, second, key=key, algorithm=algorithm)

    def sign(self, first: str, second: str, *, key: Key | None = None, algorithm: str | None = None) -> str:
        return signed(first, second, key=key or self.key, algorithm=algorithm or self.algorithm)

    def parts(self) -> tuple[str, str, str]:
        first, second, third = self.token().split(".")
        return first, second, third

    def with_claim(self, **changes: Any) -> str:
        return self.token(body=self.claims_of(**changes))

    def with_header(self, **changes: Any) -> str:
        return self.token(self.header_of(**changes))

    def with_raw_claim(self, name: str, text: str) -> str:
        """A claim that `json.dumps` would not write."""
        return self.token(body=json.dumps(self.claims_of(**{name: "?"})).replace('"?"', text).encode())

    def with_body(self, change: Callable[[bytes], bytes]) -> str:
        return self.token(body=change(json.dumps(self.claims).encode()))

    def with_signature(self, signature: bytes) -> str:
        return ".".join((*self.parts()[:2], b64(signature)))

    def with_other_part(self, position: int, part: Part) -> str:
        """Another header or payload under the signature of the valid one."""
        parts = list(self.parts())
        parts[position] = encoded(part)
        return ".".join(parts)

    def with_second_spelling_of_the_payload(self) -> str:
        return self.sign(self.parts()[0], second_spelling(self._payload_with_spare_bits()))

    def with_second_spelling_of_the_signature(self) -> str:
        return second_spelling(self.token())

    def with_padding(self) -> str:
        part = self._payload_with_spare_bits()
        return self.sign(self.parts()[0], part + "=" * (-len(part) % 4))

    def with_standard_alphabet(self) -> str:
        body = json.dumps(self.claims_of(filling="\u00bf\u00bf\u00bf>>>???"), ensure_ascii=False).encode()
        part = b64(body)
        assert "-" in part or "_" in part
        return self.sign(self.parts()[0], part.replace("-", "+").replace("_", "/"))

    def with_hmac(self, secret: bytes, **header: Any) -> str:
        head = json.dumps(self.header_of(alg="HS256", **header)).encode()
        message = f"{b64(head)}.{self.parts()[1]}"
        return f"{message}.{b64(hmac.digest(secret, message.encode(), 'sha256'))}"

    def _payload_with_spare_bits(self) -> str:
        """Its last character has bits to spare: some length of filling has it."""
        fillings = (json.dumps(self.claims_of(filling=filling)).encode() for filling in ("", "x", "xx"))
        return next(part for filling in fillings if len(part := b64(filling)) % 4)
