"""Log-in through a provider, and texts that only this service can read."""

from dataclasses import dataclass
from typing import Protocol

from application.kernel.ports.callers import Claims


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSecrets:
    """What ties a provider's answer to the browser that was sent there.

    The state (RFC 6749 §10.12), the nonce (OpenID Connect Core §3.1.2.1) and the code verifier of PKCE
    (RFC 7636 §4.1).
    """

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What a browser brings back from a provider, unchecked. `issuer` is `iss` (RFC 9207)."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


class LoginProvider(Protocol):
    """A provider that people log in through: the authorization code flow of OpenID Connect, with PKCE."""

    @property
    def issuer(self) -> str: ...

    async def address(self, secrets: LoginSecrets, /, *, fresh: bool = False) -> str:
        """Where the browser has to go; raises Unavailable.

        For a `fresh` log-in the provider is asked for a new proof, even if a user is logged in there.
        """

    async def redeem(self, answer: ProviderAnswer, secrets: LoginSecrets, /) -> Claims:
        """Who logged in there; `state` is checked by then.

        Raises LoginDenied, LoginRefused and Unavailable.
        """


class Seal(Protocol):
    """Texts that are kept elsewhere and come back: no other party can read one, make one, or change its name.

    `name` says whose or which text it is, so that one cannot be put in another's place.
    """

    def seal(self, text: str, /, *, name: str = "") -> str: ...

    def unseal(self, sealed: str, /, *, name: str = "") -> str | None:
        """`None` for whatever `seal` did not make under this name."""
