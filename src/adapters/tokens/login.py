"""Logging in through an OpenID provider: this service as its client (RFC 9700, OpenID Connect Core §3.1)."""

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any, Final, override
from urllib.parse import quote_plus

import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.auth import ClientAuth
from httpx2 import HTTPError, InvalidURL, Limits, Request, Response, Timeout

from adapters.tokens.claims import claim_at, text
from adapters.tokens.compact import BadTokenError, strict_object
from adapters.tokens.fetching import TracedTransport, certificates, unreachable
from adapters.tokens.oidc import IdToken, OidcIssuer
from adapters.tokens.proofs import LONGEST_EMAIL
from adapters.tokens.providers import check_address
from application.kernel.ports.callers import Claims
from application.kernel.ports.logins import LoginSecrets, ProviderAnswer
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import Unavailable
from domain.kernel.identity.credentials import LoginDenied, LoginRefused

ANSWER_SECONDS: Final = 5.0
LONGEST_ANSWER: Final = 256 * 1024  # bytes: a few tokens

# What a person did not do there, or not now (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
_DENIED: Final = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})
_LATER: Final = frozenset({"temporarily_unavailable", "server_error"})

log = structlog.get_logger(__name__)


class OidcLogin:
    """A LoginProvider. Without a secret it is a public client, which PKCE protects alone."""

    def __init__(
        self,
        issuer: OidcIssuer,
        *,
        client_id: str,
        client_secret: str | None,
        scopes: str,
        redirect_uri: str,
        clock: Clock,
        allow_loopback_http: bool = False,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret or None
        self._scopes = scopes
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._allow_loopback_http = allow_loopback_http
        self._answer_seconds = answer_seconds
        self._transport = _Bounded(
            tracing=issuer.tracing,
            verify=certificates(issuer.provider.ca_file),
            trust_env=False,
            limits=Limits(max_connections=10),
        )

    @property
    def issuer(self) -> str:
        return self._issuer.provider.issuer

    async def address(self, secrets: LoginSecrets, /, *, fresh: bool = False) -> str:
        """The provider's page, with everything that its answer will be held against; raises Unavailable.

        With `fresh`, `prompt=login` asks for a new log-in there, and `max_age=0` has the ID token say when
        that was (OpenID Connect Core §3.1.2.1).
        """
        metadata = await self._issuer.discovery.metadata()
        client = self._client(metadata)
        address, _ = client.create_authorization_url(
            self._endpoint(metadata, "authorization_endpoint"),
            state=secrets.state,
            code_verifier=secrets.verifier,
            nonce=secrets.nonce,
            **({"prompt": "login", "max_age": "0"} if fresh else {}),
        )
        return str(address)

    async def redeem(self, answer: ProviderAnswer, secrets: LoginSecrets, /) -> Claims:
        """Who logged in; raises LoginDenied, LoginRefused and Unavailable."""
        metadata = await self._issuer.discovery.metadata()
        try:
            self._check_issuer(answer.issuer, metadata)
            code = _code(answer)
            async with asyncio.timeout(self._answer_seconds):
                return await self._redeem(code, secrets, metadata)
        except BadTokenError as reason:
            # Neither the code nor a token: the log must not become a way in.
            log.info("log-in refused", issuer=self.issuer, **reason.log_fields)
            raise LoginRefused from None
        except (HTTPError, InvalidURL, OSError, TimeoutError) as error:
            log.warning("a provider does not answer a log-in", issuer=self.issuer, cause=unreachable(error))
            raise Unavailable("The provider does not answer.") from None

    async def close(self) -> None:
        """Nobody logs in from now on."""
        await self._transport.aclose()

    async def _redeem(self, code: str, secrets: LoginSecrets, metadata: Mapping[str, Any]) -> Claims:
        client = self._client(metadata)
        endpoint = self._endpoint(metadata, "token_endpoint")
        try:
            tokens = await client.fetch_token(
                endpoint, grant_type="authorization_code", code=code, code_verifier=secrets.verifier
            )
        except (AuthlibBaseError, ValueError, TypeError, OverflowError) as error:
            raise BadTokenError(f"the token endpoint: {type(error).__name__}") from None
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str | None):
            raise BadTokenError("the token endpoint gives no ID token")
        read: IdToken = await self._issuer.verify_id_token(
            id_token,
            client_id=self._client_id,
            nonce=secrets.nonce,
            now=self._clock().timestamp(),
            access_token=access_token,
        )
        if read.proof.email is None and access_token and "userinfo_endpoint" in metadata:
            return await self._introduced(read, access_token, metadata)
        return read.proof

    async def _introduced(self, read: IdToken, access_token: str, metadata: Mapping[str, Any]) -> Claims:
        """With the name and the address, which a provider need not repeat in the ID token (§5.4).

        They are a courtesy: whoever it does not tell us of is logged in without.
        """
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        try:
            endpoint = self._endpoint(metadata, "userinfo_endpoint")
            async with asyncio.timeout(self._answer_seconds / 2):
                answer = await self._client(metadata).request(
                    "GET", endpoint, headers=headers, withhold_token=True
                )
            said = strict_object(_check_answer(answer).content)
            if said.get("sub") != read.claims["sub"]:  # §5.3.2: it may speak of somebody else
                raise BadTokenError("the userinfo endpoint: of another subject")
        except (BadTokenError, HTTPError, InvalidURL, OSError, ValueError, Unavailable) as reason:
            log.warning("a provider does not introduce who logs in", issuer=self.issuer, reason=repr(reason))
            return read.proof
        email = text(claim_at(said, self._issuer.provider.email_claim), LONGEST_EMAIL)
        return replace(
            read.proof,
            email=email,
            email_verified=email is not None and said.get("email_verified") is True,
            name=read.proof.name or text(said.get("name")),
        )

    def _client(self, metadata: Mapping[str, Any]) -> AsyncOAuth2Client:
        """One for each log-in, because it keeps the tokens; the connections are everybody's."""
        client = AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            token_endpoint_auth_method=self._auth_method(metadata),
            scope=self._scopes,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=Timeout(self._answer_seconds),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        client.register_compliance_hook("access_token_response", _check_answer)
        return client

    def _auth_method(self, metadata: Mapping[str, Any]) -> str:
        if self._client_secret is None:
            return "none"
        supported = metadata.get("token_endpoint_auth_methods_supported")
        only_post = isinstance(supported, list) and "client_secret_basic" not in supported
        return "client_secret_post" if only_post else "client_secret_basic"

    def _endpoint(self, metadata: Mapping[str, Any], name: str) -> str:
        named = metadata.get(name)
        # It ends up in a header of ours.
        fit = isinstance(named, str) and named.isascii() and named.isprintable()
        address = str(named) if fit else ""
        try:
            check_address(address, allow_loopback_http=self._allow_loopback_http)
        except ValueError as error:
            log.warning(
                "a provider cannot log anybody in", issuer=self.issuer, endpoint=name, reason=str(error)
            )
            raise Unavailable("The provider does not say where to log in.") from None
        return address

    def _check_issuer(self, named: str | None, metadata: Mapping[str, Any]) -> None:
        """RFC 9207 §2.4: an answer of another provider than the one that was asked is a mix-up attack."""
        if named is None:
            if metadata.get("authorization_response_iss_parameter_supported") is True:
                raise BadTokenError("the answer does not name its issuer")
        elif not hmac.compare_digest(named.encode("utf-8", "surrogatepass"), self.issuer.encode()):
            raise BadTokenError("the answer is another issuer's")


class _Bounded(TracedTransport):
    """Reads no more of an answer than it has to be, and only as the bytes that were sent."""

    @override
    async def handle_async_request(self, request: Request) -> Response:
        response = await super().handle_async_request(request)
        try:
            # Compression would let a small answer become a large one after it was measured.
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadTokenError("an answer in another encoding than asked for")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LONGEST_ANSWER:
                    raise BadTokenError(f"an answer of more than {LONGEST_ANSWER} bytes")
        finally:
            await response.aclose()
        return Response(response.status_code, headers=response.headers, content=bytes(body), request=request)


def _code(answer: ProviderAnswer) -> str:
    """Raises LoginDenied, Unavailable and BadTokenError where there is none to redeem."""
    if answer.error in _DENIED:
        raise LoginDenied
    if answer.error in _LATER:
        raise Unavailable("The provider cannot log anybody in now.")
    if answer.error is not None or not answer.code:
        raise BadTokenError(f"the provider says {(answer.error or 'nothing')[:40]!r}")
    return answer.code


def _check_answer(response: Response) -> Response:
    """Authlib would take tokens out of an answer of any status."""
    if response.status_code >= 500 or response.status_code == 429:
        response.raise_for_status()
    body = strict_object(response.content)
    if response.status_code != 200:
        error = body.get("error")
        raise BadTokenError(f"the provider answers {response.status_code} {str(error)[:40]!r}")
    return response


def _basic(
    client: ClientAuth, _method: str, uri: str, headers: MutableMapping[str, str], body: str
) -> tuple[str, MutableMapping[str, str], str]:
    """RFC 6749 §2.3.1 has both parts encoded as in a form, which Authlib leaves out."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return uri, headers, body
