"""Reading a provider's documents over the network, without trusting it to be quick, small or honest."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, override

from httpx2 import (
    AsyncClient,
    AsyncHTTPTransport,
    HTTPError,
    InvalidURL,
    Request,
    Response,
    create_ssl_context,
)

from adapters.tokens.compact import BadTokenError, strict_object
from adapters.tokens.key_sets import KeySet, read_key_set
from adapters.tokens.providers import Provider, check_address
from application.kernel.ports.tracing import Tracing

LONGEST_DOCUMENT: Final = 1024 * 1024  # bytes

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?=$|[\s,;])", re.IGNORECASE)


@cache
def certificates(ca_file: str | None) -> ssl.SSLContext:
    """Whose word on a provider's name is good: the world's authorities, and those in a PEM file.

    Reading the world's takes 80 ms: once is enough for all providers. Raises OSError.
    """
    context = create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class TracedTransport(AsyncHTTPTransport):
    """Connections to providers, whose requests are part of a trace where there is `tracing`."""

    def __init__(self, *, tracing: Tracing | None = None, **options: Any) -> None:  # noqa: ANN401 (the library's)
        super().__init__(**options)
        self._tracing = tracing

    @override
    async def handle_async_request(self, request: Request) -> Response:
        if self._tracing is None:
            return await super().handle_async_request(request)
        # The host alone is said of the address: a path or a query can hold anything.
        said = {"http.request.method": request.method, "server.address": request.url.host}
        with self._tracing.calling(request.method, said) as call:
            request.headers.update(call.headers)
            response = await super().handle_async_request(request)
            call.answered(response.status_code)
            return response


def unreachable(error: Exception) -> str:
    """What went wrong on the way to a provider; of its certificate also why, since that has a remedy."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}; see OIDC_CA_FILE)"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class ProviderError(Exception):
    """Why a provider's documents cannot be had or used. For the log, and whoever runs the service."""


class _Unreachable(ProviderError):
    """There was no answer; the provider's next address would have none either."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider says of itself, and its keys. `max_age` is how long it vouches for them, in seconds;
    `certificate_until`, in Unix seconds, how long the certificate is good that it showed for its keys."""

    metadata: Mapping[str, Any]
    keys: KeySet
    max_age: float
    certificate_until: float | None = None


async def fetch_published(client: AsyncClient, provider: Provider, *, allow_loopback_http: bool) -> Published:
    """What `provider` publishes now; raises ProviderError. It has no limit in time: set one around it."""
    if provider.kind.jwks is not None:
        metadata = {"issuer": provider.issuer, "jwks_uri": provider.issuer.rstrip("/") + provider.kind.jwks}
    else:
        metadata = await _fetch_metadata(client, provider)
    jwks_uri = metadata.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise ProviderError("the discovery document names no jwks_uri")
    try:
        check_address(jwks_uri, allow_loopback_http=allow_loopback_http)
        document, max_age, until = await _fetch_object(client, jwks_uri)
        keys = read_key_set(document)
    except ValueError as error:
        raise ProviderError(str(error)) from None
    if not keys.keys:
        raise ProviderError("the key set has no key that is fit to verify a signature")
    return Published(metadata, keys, max_age, until)


async def _fetch_metadata(client: AsyncClient, provider: Provider) -> dict[str, Any]:
    """The document at the first of the well-known addresses that has a good one."""
    first: ProviderError | None = None
    for url in provider.discovery_urls:
        try:
            document, *_ = await _fetch_object(client, url)
        except _Unreachable:
            raise
        except ProviderError as error:
            first = first or error
            continue
        # Whoever can answer for another issuer's name can take its users over (RFC 8414 §3.3).
        if document.get("issuer") != provider.issuer:
            raise ProviderError(f"{url} says it is the issuer {str(document.get('issuer'))[:200]!r}")
        return document
    raise first or ProviderError("there is no address to ask")


async def _fetch_object(client: AsyncClient, url: str) -> tuple[dict[str, Any], float, float | None]:
    """The JSON object at `url`, for how many seconds it may be kept, and how long the server's certificate
    is good (Unix seconds), if it has one; raises ProviderError."""
    try:
        # Compression would let a small answer become a large one after it was measured.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
            body = await _read(response, url)
            until = _certificate_until(response)
            max_age = _MAX_AGE.search(response.headers.get("cache-control", ""))
    except (HTTPError, InvalidURL, OSError) as error:
        raise _Unreachable(f"{url} does not answer: {unreachable(error)}") from None
    if body.lstrip()[:1] == b"<":
        raise ProviderError(f"{url} answers with a page of HTML")
    try:
        return strict_object(body), float(max_age[1]) if max_age else 0, until
    except BadTokenError as error:
        raise ProviderError(f"{url} answers with no JSON object that can be used: {error}") from None


def _certificate_until(response: Response) -> float | None:
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    until = (tls.getpeercert() or {}).get("notAfter") if tls is not None else None
    return None if until is None else float(ssl.cert_time_to_seconds(until))


async def _read(response: Response, url: str) -> bytes:
    if response.status_code != 200:
        raise ProviderError(f"{url} answers {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProviderError(f"{url} answers in another encoding than asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LONGEST_DOCUMENT:
            raise ProviderError(f"{url} answers with more than {LONGEST_DOCUMENT} bytes")
    return bytes(body)
