"""A provider's keys and addresses, known before they are needed and kept while the provider is away.

    nothing known        a request waits for one fetch, and is told Unavailable where it fails
    fresh                served at once
    stale                served at once; one fetch goes on in the background
    older than kept      as if nothing were known

A key that is not in the set is a reason to fetch again before it is refused: keys may rotate without notice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from httpx2 import AsyncClient, Limits, Timeout

from adapters.tokens.fetching import ProviderError, Published, TracedTransport, certificates, fetch_published
from adapters.tokens.key_sets import KeySet
from adapters.tokens.providers import Provider, check_address
from adapters.tokens.unknown_keys import UnknownKeys
from application.kernel.ports.tracing import Tracing
from application.kernel.ports.world import Unavailable

FETCH_SECONDS: Final = 5.0  # for all of the documents together
SHORTEST_CACHE_SECONDS: Final = 5 * 60.0  # whatever the server says: some say no-cache
LONGEST_CACHE_SECONDS: Final = 24 * 3600.0
UNKNOWN_KEY_SECONDS: Final = 10.0  # between two fetches for one key that the provider does not have
UNKNOWN_KEYS_BURST: Final = 5  # fetches in a row for keys that are not known,
UNKNOWN_KEYS_SECONDS: Final = 5.0  # and then between two of them
RETRY_SECONDS: Final = 5.0  # after a fetch that failed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Figures:
    """How often the keys were fetched, by result: changed, unchanged or failed; how old they are; and until
    when the certificate is good that came with them (Unix seconds), where one did."""

    refreshes: Mapping[str, int]
    age_seconds: float | None
    certificate_until: float | None = None


class Discovery:
    """What one provider publishes, fetched when due and once for everybody who waits for it.

    Keys are kept for `keep_seconds` after the provider was last heard. `monotonic` counts seconds.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        allow_loopback_http: bool,
        keep_seconds: float,
        fetch_seconds: float = FETCH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        tracing: Tracing | None = None,
    ) -> None:
        for address in (provider.issuer, *provider.discovery_urls):
            check_address(address, allow_loopback_http=allow_loopback_http)
        self._provider = provider
        self._allow_loopback_http = allow_loopback_http
        self._keep_seconds = keep_seconds
        self._fetch_seconds = fetch_seconds
        self._monotonic = monotonic
        self._client = AsyncClient(
            timeout=Timeout(fetch_seconds),
            follow_redirects=False,
            transport=TracedTransport(
                tracing=tracing,
                limits=Limits(max_connections=2),
                verify=certificates(provider.ca_file),
                trust_env=False,
            ),
            trust_env=False,  # no proxy and no password file that a stranger to these settings may have set
        )
        self._published: Published | None = None
        self._fetched_at = self._stale_at = self._retry_at = float("-inf")
        self._unknown = UnknownKeys(
            refused_seconds=UNKNOWN_KEY_SECONDS,
            burst=UNKNOWN_KEYS_BURST,
            refill_seconds=UNKNOWN_KEYS_SECONDS,
            monotonic=monotonic,
        )
        self._fetch: asyncio.Task[None] | None = None
        self._closed = False
        self._failing = False
        self._refreshes: Counter[str] = Counter(changed=0, unchanged=0, failed=0)

    async def keys(self, *, wanted: str | None = None) -> KeySet:
        """The provider's keys, with the one named `wanted` where it has it; raises Unavailable."""
        published = await self._current()
        if wanted is not None and not published.keys.has(wanted) and not self._unknown.is_refused(wanted):
            await self._search(wanted)
            published = self._published or published
        return published.keys

    async def _search(self, key_id: str) -> None:
        """Has a fetch that begins now see whether the key is there; who comes meanwhile shares it."""
        await self._finish()  # the one that began before this token came, perhaps before its key was there
        if self._has(key_id):
            return
        if self._fetch is None:
            if not self._unknown.may_search(key_id):
                return
            self._start()
        before = self._published
        await self._finish()
        if self._published is not before and not self._has(key_id):  # a fetch that failed tells nothing
            self._unknown.refuse(key_id)

    def _has(self, key_id: str) -> bool:
        return self._published is not None and self._published.keys.has(key_id)

    async def metadata(self) -> Mapping[str, Any]:
        """The discovery document (OpenID Connect Discovery §3, RFC 8414 §2); raises Unavailable."""
        return (await self._current()).metadata

    async def ready(self) -> bool:
        """Whether tokens can be verified now, and the last fetch was good: keys from before one that failed
        serve only for a while. It never waits; where a fetch is due, it begins.
        """
        self._start_if_due()
        return self._is_kept() and not self._failing

    def figures(self) -> Figures:
        age = None if self._published is None else self._monotonic() - self._fetched_at
        until = None if self._published is None else self._published.certificate_until
        return Figures(dict(self._refreshes), age, until)

    async def close(self) -> None:
        """Nothing is fetched from now on."""
        self._closed = True
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch], timeout=self._fetch_seconds)
        await self._client.aclose()

    async def _current(self) -> Published:
        self._start_if_due()
        if not self._is_kept():
            await self._finish()
        if self._published is None or not self._is_kept():
            raise Unavailable("The provider that issues access tokens does not answer.")
        return self._published

    def _is_kept(self) -> bool:
        return self._published is not None and self._monotonic() - self._fetched_at <= self._keep_seconds

    def _start_if_due(self) -> None:
        now = self._monotonic()
        if now >= self._stale_at and now >= self._retry_at:
            self._start()

    def _start(self) -> None:
        if self._fetch is None and not self._closed:
            self._fetch = asyncio.create_task(self._refresh())

    async def _finish(self) -> None:
        """Waits for the fetch that goes on, if any. A caller that gives up leaves it to the others."""
        if self._fetch is not None:
            await asyncio.wait([self._fetch], timeout=self._fetch_seconds + 1)  # it has ended by then

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(self._fetch_seconds):
                published = await fetch_published(
                    self._client, self._provider, allow_loopback_http=self._allow_loopback_http
                )
        except (ProviderError, TimeoutError) as error:
            self._failed(str(error) or f"no whole answer within {self._fetch_seconds:g} seconds")
        except Exception:
            self._failed("an unexpected error")
            log.exception("reading a provider's documents failed")
        else:
            self._succeeded(published)
        finally:
            self._fetch = None

    def _failed(self, reason: str) -> None:
        self._refreshes["failed"] += 1
        self._failing = True
        self._retry_at = self._monotonic() + RETRY_SECONDS
        age = self.figures().age_seconds
        log.warning(
            "a provider's keys were not refreshed",
            issuer=self._provider.issuer,
            reason=reason,
            age_seconds=age if age is None else round(age),
        )

    def _succeeded(self, published: Published) -> None:
        before = _ids(self._published.keys) if self._published else None
        after = _ids(published.keys)
        self._refreshes["unchanged" if before == after else "changed"] += 1
        if before != after:
            log.info(
                "a provider's keys are new",
                issuer=self._provider.issuer,
                added=sorted(after - (before or frozenset())),
                removed=sorted((before or frozenset()) - after),
            )
        self._published = published
        self._failing = False
        self._fetched_at = self._monotonic()
        self._stale_at = self._fetched_at + min(
            max(published.max_age, SHORTEST_CACHE_SECONDS), LONGEST_CACHE_SECONDS
        )


def _ids(keys: KeySet) -> frozenset[str]:
    """Which keys these are, under whatever name (RFC 7638)."""
    return frozenset(f"{key.id}:{key.key.thumbprint()}" for key in keys.keys)
