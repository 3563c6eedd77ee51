"""The built-in provider's signing keys: read from the database, unsealed, published, and rotated by age.

A key is stored sealed with AUTH_SECRET, so that neither the database nor a copy of it can sign. Nor can
whoever writes there smuggle in a key of their own.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from adapters.tokens.claims import LEEWAY_SECONDS
from adapters.tokens.key_sets import VerificationKey
from adapters.tokens.unknown_keys import UnknownKeys
from application.kernel.identity.signing_keys import add_signing_key, remove_signing_key
from application.kernel.origin import Origin, come_from
from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import Clock
from application.kernel.ports.world import Unavailable, WorldError
from application.kernel.queries.auth import AuthQueries
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import Stale
from domain.kernel.identity.signing_keys import (
    PUBLISHED_AHEAD,
    KeysRotated,
    KeyState,
    SigningKey,
    SigningKeyNotFound,
    is_next_due,
    signing_key,
    state_of,
)

ALGORITHM: Final = "ES256"

RELOAD_SECONDS: Final = 60.0  # so long, at most, is a key that was removed or added elsewhere not noticed
AHEAD_SECONDS: Final = 15.0  # before that, a reading begins that no request waits for
RETRY_SECONDS: Final = 5.0  # after the database has failed
READ_SECONDS: Final = 5.0  # for one reading, and for requests that have no keys until it ends
PATIENCE_SECONDS: Final = 0.25  # of a reading, for which those wait who have keys that are due
# A key is published for so long before it signs, so a process that has read them since knows it.
KEPT_SECONDS: Final = PUBLISHED_AHEAD.total_seconds()
COOL_DOWN_SECONDS: Final = 3.0  # between two readings for one key that nobody has
SEARCHES_BURST: Final = 5  # readings in a row for keys that are not known,
SEARCHES_SECONDS: Final = 1.0  # and then between two of them

log = structlog.get_logger(__name__)


def seal_key(seal: Seal, key: ECKey) -> str:
    """The private key as it is stored, sealed under its own name."""
    return seal.seal(json.dumps(key.as_dict(private=True)), name=key.thumbprint())


def unseal_key(seal: Seal, record: SigningKey) -> ECKey | None:
    """The private key; None where it was sealed with another secret, or is not the one it is called."""
    text = seal.unseal(record.sealed, name=record.kid)
    try:
        key = None if text is None else ECKey.import_key(json.loads(text))
    except (JoseError, ValueError):
        return None
    return key if key is not None and key.thumbprint() == record.kid else None


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A key that is fit for use: to sign with, to verify with, and as the others see it (RFC 7517)."""

    private: ECKey
    verification: VerificationKey
    published: dict[str, Any]

    @classmethod
    def of(cls, kid: str, private: ECKey) -> "Unsealed":
        public = private.as_dict(private=False, kid=kid, alg=ALGORITHM, use="sig")
        verification = VerificationKey(kid, frozenset({ALGORITHM}), ECKey.import_key(public))
        return cls(private, verification, public)


@dataclass(frozen=True, slots=True)
class Figures:
    """How long the key that signs has done so and when the next one takes over, when the keys were read last,
    in seconds from now; and how often they were read, by result: read or failed."""

    signing_seconds: float | None
    lasts_seconds: float
    read_seconds: float | None
    readings: Mapping[str, int]


class KeyRing:
    """The signing keys, as this process knows them. Not for use inside a transaction: it opens its own.

    They are read when first needed, and again before they are RELOAD_SECONDS old, or when a token names one
    that is unknown. Whoever reads them also sees to it that there is one, that the next one is added in time,
    and that those whose tokens have all expired go. While the database is away or silent, the keys read last
    serve on:

        nothing known               a request waits for one reading, READ_SECONDS at most
        up to RELOAD_SECONDS old    served at once; at the end of that time they are read in the background
        up to KEPT_SECONDS old      the same, but the first reading is waited for, PATIENCE_SECONDS at most
        older                       as if nothing were known
    """

    reload_seconds = RELOAD_SECONDS

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        queries: AuthQueries,
        *,
        seal: Seal,
        key_days: int,
        token_seconds: int,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._queries = queries
        self._seal = seal
        self._lasts = timedelta(days=key_days)
        # Another process may sign with a key until it reads that there is a newer one; and the clocks differ.
        self._kept = timedelta(seconds=token_seconds + RELOAD_SECONDS + 2 * LEEWAY_SECONDS)
        self._clock = clock
        self._monotonic = monotonic
        self._records: Sequence[SigningKey] = ()
        self._unsealed: dict[str, Unsealed] = {}
        self._failure: WorldError | None = None
        self._read_at = self._due_at = float("-inf")
        self._unknown = UnknownKeys(
            refused_seconds=COOL_DOWN_SECONDS,
            burst=SEARCHES_BURST,
            refill_seconds=SEARCHES_SECONDS,
            monotonic=monotonic,
        )
        self._loading: asyncio.Task[None] | None = None
        self._loading_since = 0.0  # by the clock of the event loop
        self._readings: Counter[str] = Counter(read=0, failed=0)

    # ── what tokens need ─────────────────────────────────────────────────────────────────────────

    async def signing(self) -> tuple[str, ECKey]:
        """The key that signs at this moment, with its `kid` first; raises Unavailable."""
        await self._ensure_fresh()
        return self._signing()

    async def verifying(self, kid: str) -> VerificationKey | None:
        """The public key of that name, unless there is none or it has served its time; raises Unavailable."""
        await self._ensure_fresh()
        if (record := self._find(kid)) is None:
            await self._search(kid)
            record = self._find(kid)
        if record is None:
            if self._failure is not None:
                raise Unavailable("The signing keys cannot be read.") from self._failure
            return None
        if self._state(record, self._records) is KeyState.RETIRED:
            return None
        return self._known(record).verification

    async def public_keys(self) -> dict[str, list[dict[str, Any]]]:
        """The key set to publish (RFC 7517 §5), without any private part; raises Unavailable."""
        await self._ensure_fresh()
        self._signing()
        published = [
            self._unsealed[record.kid].published
            for record in self._records
            if record.kid in self._unsealed and self._state(record, self._records) is not KeyState.RETIRED
        ]
        return {"keys": published}

    def figures(self) -> Figures:
        """What is known without asking; from any thread."""
        records, read_at = self._records, self._read_at
        now = self._clock()
        signs = signing_key(records, at=now) if records else None
        return Figures(
            signing_seconds=None if signs is None else (now - signs.signs_from).total_seconds(),
            lasts_seconds=self._lasts.total_seconds(),
            read_seconds=None if read_at == float("-inf") else self._monotonic() - read_at,
            readings=dict(self._readings),
        )

    # ── what operators do ────────────────────────────────────────────────────────────────────────

    async def overview(self) -> list[tuple[SigningKey, KeyState]]:
        """Every key that is stored, the oldest first; raises WorldError where one cannot be unsealed."""
        records = await self._queries.signing_keys()
        self._ensure_unsealable(records)
        return [(record, self._state(record, records)) for record in records]

    async def rotate(self, *, at_once: bool = False, lost_secret: bool = False) -> SigningKey:
        """Adds the next key. With `lost_secret` it takes the place of those that cannot be unsealed.

        Raises KeysRotated, and WorldError where a key cannot be unsealed and is not given up.
        """
        records = await self._queries.signing_keys()
        if not lost_secret:
            self._ensure_unsealable(records)
        ahead = timedelta(0) if at_once or lost_secret or not records else PUBLISHED_AHEAD
        return await self._add(records, ahead=ahead, in_place_of=self._unreadable(records))

    async def remove(self, kid: str) -> None:
        """Takes a key away before its time; raises SigningKeyNotFound, KeyInUse."""
        records = await self._queries.signing_keys()
        record = next((record for record in records if record.kid == kid), None)
        if record is None:
            raise SigningKeyNotFound
        await self._run(remove_signing_key, record, keys=records)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def _ensure_fresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at >= KEPT_SECONDS:
            await self._load()
            if self._monotonic() - self._read_at >= KEPT_SECONDS:
                raise Unavailable("The signing keys cannot be read.") from self._failure
        elif now >= self._due_at:
            self._begin()
            if now - self._read_at >= RELOAD_SECONDS and self._failure is None:
                await self._load(PATIENCE_SECONDS)

    async def _search(self, kid: str) -> None:
        """Reads the keys once more for a token of an unknown one, unless that was in vain a moment ago."""
        if self._loading is not None and not self._loading.done():
            await self._load()  # which began before this token came, perhaps also before its key was there
        if self._find(kid) is not None or self._unknown.is_refused(kid):
            return
        if self._failure is not None and self._monotonic() < self._due_at:
            return  # it would fail again
        if self._loading is not None and not self._loading.done():
            await self._load()  # which another has begun since
        elif self._unknown.may_search(kid):
            await self._load()
        else:
            return
        if self._failure is None and self._find(kid) is None:
            self._unknown.refuse(kid)

    def _begin(self) -> asyncio.Task[None]:
        """Has the keys read, once for all who need it, and to the end even where they all leave."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._read())
            self._loading_since = asyncio.get_running_loop().time()
        return self._loading

    async def _load(self, seconds: float = READ_SECONDS) -> None:
        """Waits until the keys were read, or that has taken `seconds`."""
        loading = self._begin()
        left = self._loading_since + seconds - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.wait([loading], timeout=left)

    async def _read(self) -> None:
        began = self._monotonic()
        come_from(Origin)  # not from the client whose request happens to need a key
        try:
            async with asyncio.timeout(READ_SECONDS):
                records = await self._queries.signing_keys()
                if await self._tend(records):
                    records = await self._queries.signing_keys()
            self._take(records)
        except TimeoutError:
            self._failed(Unavailable(f"The database took longer than {READ_SECONDS:g} seconds."))
        except WorldError as failure:
            self._failed(failure)
        except Exception as defect:
            log.exception("reading the signing keys failed")
            self._failed(Unavailable(repr(defect)))
        else:
            self._readings["read"] += 1
            self._failure, self._read_at = None, began
            self._due_at = began + RELOAD_SECONDS - AHEAD_SECONDS

    def _failed(self, failure: WorldError) -> None:
        self._readings["failed"] += 1
        known = self._read_at > float("-inf")
        log.warning(
            "the signing keys could not be read",
            reason=str(failure),
            age_seconds=round(self._monotonic() - self._read_at) if known else None,
        )
        self._failure, self._due_at = failure, self._monotonic() + RETRY_SECONDS

    def _take(self, records: Sequence[SigningKey]) -> None:
        self._records = records
        opened = {record.kid: unseal_key(self._seal, record) for record in records}
        self._unsealed = {kid: Unsealed.of(kid, key) for kid, key in opened.items() if key is not None}
        if unreadable := [record for record in records if opened[record.kid] is None]:
            log.error(_sealed_otherwise(unreadable))

    # ── tending ──────────────────────────────────────────────────────────────────────────────────

    async def _tend(self, records: Sequence[SigningKey]) -> bool:
        """Adds the first key or the next, and removes those that are retired; whether one was added.

        Where that fails, what there is still serves; but there has to be something.
        """
        now = self._clock()
        if records and unseal_key(self._seal, signing_key(records, at=now)) is None:
            return False  # whoever has another secret than the rest must not rotate their keys away
        due = is_next_due(records, at=now, lasts=self._lasts)
        retired = [record for record in records if self._state(record, records) is KeyState.RETIRED]
        try:
            if due:
                with suppress(KeysRotated):  # another process was first
                    await self._add(records, ahead=PUBLISHED_AHEAD if records else timedelta(0))
            for key in retired:
                with suppress(Stale):  # as before
                    await self._run(remove_signing_key, key, keys=records)
                    log.info("signing key removed", kid=key.kid)
        except WorldError as failure:
            if not records:
                raise
            log.warning("the signing keys were not rotated", reason=str(failure))
        return due

    async def _add(
        self, records: Sequence[SigningKey], *, ahead: timedelta, in_place_of: Sequence[SigningKey] = ()
    ) -> SigningKey:
        key = ECKey.generate_key("P-256")
        added = await self._run(
            add_signing_key,
            records,
            kid=key.thumbprint(),
            sealed=seal_key(self._seal, key),
            ahead=ahead,
            in_place_of=in_place_of,
        )
        log.info("signing key added", kid=added.kid, signs_from=added.signs_from.isoformat())
        return added

    # ── what is known ────────────────────────────────────────────────────────────────────────────

    def _find(self, kid: str) -> SigningKey | None:
        return next((record for record in self._records if record.kid == kid), None)

    def _state(self, record: SigningKey, records: Sequence[SigningKey]) -> KeyState:
        return state_of(record, records, at=self._clock(), kept=self._kept)

    def _signing(self) -> tuple[str, ECKey]:
        record = signing_key(self._records, at=self._clock())
        return record.kid, self._known(record).private

    def _known(self, record: SigningKey) -> Unsealed:
        known = self._unsealed.get(record.kid)
        if known is None:  # the log has told the operator; a client can do nothing about it
            raise Unavailable("The signing keys cannot be unsealed.")
        return known

    def _unreadable(self, records: Sequence[SigningKey]) -> list[SigningKey]:
        return [record for record in records if unseal_key(self._seal, record) is None]

    def _ensure_unsealable(self, records: Sequence[SigningKey]) -> None:
        if unreadable := self._unreadable(records):
            raise WorldError(_sealed_otherwise(unreadable))


def _sealed_otherwise(keys: Sequence[SigningKey]) -> str:
    names = ", ".join(f"{key.number} ({key.kid})" for key in keys)
    return (
        f"AUTH_SECRET is not the one that these signing keys were sealed with: {names}. "
        "Set it to what it was. If that is lost, `keys rotate --lost-secret` replaces them: access tokens "
        "end, sessions stay."
    )
