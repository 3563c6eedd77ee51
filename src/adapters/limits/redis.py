"""Requests counted in Redis, or Valkey, by all processes together.

One script counts a request under all its keys in one round trip, by the server's clock. What has gone wrong
there costs the first requests `wait_seconds` each; after FAILURES_MOST in a row it is not asked for
OPEN_SECONDS, but by one request that tries. Meanwhile each process counts by itself, and goes on from what it
has counted before; a policy in `closed` refuses instead (docs/decisions/0042).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence, Set
from time import monotonic

import structlog
from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    ValkeyError,
)
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import TimeoutError as ValkeyTimeoutError

from adapters.limits.memory import KEYS_MOST, MemoryRateLimits
from application.kernel.ports.limits import Charge, Policy, Standing, Verdict
from application.kernel.ports.world import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

WAIT_SECONDS = 0.05
FAILURES_MOST = 3
OPEN_SECONDS = 1.0
CONNECTIONS_MOST = 16

_CHECK = Policy("check", 1_000, 1)

# Of each key: how many are counted after this request, and for how many microseconds the oldest still counts.
# A key is a list of times, the oldest first. Redis replicates what a script did, so it may ask for the time.
_COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local reply, refused = {}, 0
for place, key in ipairs(KEYS) do
    local quota, window = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
    local count = redis.call('LLEN', key)
    local oldest = count > 0 and tonumber(redis.call('LINDEX', key, 0)) or now
    if oldest <= now - window then
        local low, high = 1, count
        while low < high do
            local middle = math.floor((low + high) / 2)
            if tonumber(redis.call('LINDEX', key, middle)) <= now - window then
                low = middle + 1
            else
                high = middle
            end
        end
        redis.call('LTRIM', key, low, -1)
        count = count - low
        oldest = count > 0 and tonumber(redis.call('LINDEX', key, 0)) or now
    end
    if count >= quota then
        refused = 1
    end
    reply[2 * place] = count
    reply[2 * place + 1] = oldest + window - now
end
reply[1] = refused
if refused == 0 then
    for place, key in ipairs(KEYS) do
        redis.call('RPUSH', key, string.format('%.0f', now))
        redis.call('PEXPIRE', key, math.ceil(ARGV[2 * place] / 1000))
        reply[2 * place] = reply[2 * place] + 1
    end
end
return reply
"""

_GIVE_BACK = """
for _, key in ipairs(KEYS) do
    redis.call('RPOP', key)
end
"""

# What can go wrong with a server, or with what is in its place and speaks otherwise.
_FAILURES = (ValkeyError, OSError, TimeoutError, ValueError, LookupError)


class RedisRateLimits:
    """RateLimits that all processes with the same address and prefix share."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        closed: Set[str] = frozenset(),
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Connects to nothing yet. Raises ValueError where `url` is no address of a Redis.

        `closed` names the policies whose requests are refused while Redis cannot be asked.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MOST,
            timeout=wait_seconds,
            socket_timeout=wait_seconds,
            socket_connect_timeout=wait_seconds,
            # Once anew, within the same time: after a restart the connections that were kept are gone.
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[ValkeyConnectionError],
            lib_name=None,  # two commands less for each new connection
            lib_version=None,
            # Without it any certificate of a known authority would do.
            **({"ssl_check_hostname": True} if url.startswith(("rediss:", "valkeys:")) else {}),
        )
        self._client = Valkey.from_pool(pool)
        self._count = self._client.register_script(_COUNT)
        self._give_back = self._client.register_script(_GIVE_BACK)
        self._prefix = prefix
        self._closed = closed
        self._wait = wait_seconds
        self._clock = clock
        self._own = MemoryRateLimits(clock=clock)
        self._out: OrderedDict[str, float] = OrderedDict()
        self._failures = 0
        self._open_until = 0.0
        self._wrong: Unavailable | None = None
        self.allowed = 0
        self.refused = 0
        self.fell_back = 0
        self.failed = 0
        """How often Redis was asked and did not answer as it should."""

    @property
    def is_open(self) -> bool:
        """Whether requests are counted without Redis at this moment."""
        return self._failures >= FAILURES_MOST

    async def charge(self, charges: Sequence[Charge], /) -> Verdict:
        now = self._clock()
        # A key that is known to be out until some time needs no question before that.
        for key, _ in charges:
            if key in self._out and not self._is_in_again(key, now):
                self.refused += 1
                return Verdict(False, [self._look(charge, now) for charge in charges])
        verdict = await self._ask(charges) if self._may_ask(now) else None
        if verdict is None:
            verdict = self._alone(charges)
        if verdict.allowed:
            self.allowed += 1
        else:
            self.refused += 1
        return verdict

    def _is_in_again(self, key: str, now: float) -> bool:
        if self._out[key] > now:
            return False
        del self._out[key]
        return True

    def _look(self, charge: Charge, now: float) -> Standing:
        until = self._out.get(charge.key, 0.0)
        return Standing(0, until - now) if until > now else self._own.look(charge)

    def _may_ask(self, now: float) -> bool:
        if self._failures < FAILURES_MOST:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + OPEN_SECONDS  # one tries; others wait for what becomes of it
        return True

    async def _ask(self, charges: Sequence[Charge]) -> Verdict | None:
        """What Redis says; `None` where it says nothing, which is logged once it has become the rule."""
        try:
            reply = await self._run(charges)
        except _FAILURES as error:
            self._fail(error)
            return None
        self._succeed()
        pairs = zip(reply[1::2], reply[2::2], strict=True)
        standings = [
            Standing(max(charge.policy.quota - count, 0), microseconds / 1e6)
            for charge, (count, microseconds) in zip(charges, pairs, strict=True)
        ]
        if not reply[0]:
            self._own.count(charges)
            return Verdict(True, standings)
        now = self._clock()
        for charge, (left, seconds) in zip(charges, standings, strict=True):
            if not left:
                self._out[charge.key] = now + seconds
                self._out.move_to_end(charge.key)
                if len(self._out) > KEYS_MOST:
                    self._out.popitem(last=False)
        return Verdict(False, standings)

    async def _run(self, charges: Sequence[Charge]) -> list[int]:
        arguments: list[int] = []
        for _, policy in charges:
            arguments += (policy.quota, policy.window_seconds * 1_000_000)
        async with asyncio.timeout(self._wait):  # the wait for a connection included
            reply: list[int] = await self._count(
                keys=[f"{self._prefix}{key}" for key, _ in charges], args=arguments
            )
        if len(reply) != len(arguments) + 1:
            raise ValueError("The answer is not that of the script.")
        return reply

    def _alone(self, charges: Sequence[Charge]) -> Verdict:
        self.fell_back += 1
        if any(policy.name in self._closed for _, policy in charges):
            raise Unavailable("How many requests were sent cannot be counted now.") from self._wrong
        return self._own.count(charges)

    async def give_back(self, charges: Sequence[Charge], /) -> None:
        self._own.take_back(charges)
        if self._failures >= FAILURES_MOST:
            return
        try:
            async with asyncio.timeout(self._wait):
                await self._give_back(keys=[f"{self._prefix}{key}" for key, _ in charges])
        except _FAILURES as error:
            self._fail(error)

    async def check(self) -> bool:
        """Counts something, as a server that is full or a replica answers a PING as well."""
        try:
            await self._run([Charge("check", _CHECK)])
        except _FAILURES as error:
            self._fail(error)
            raise (self._wrong or Unavailable()) from error
        self._succeed()
        return True

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.aclose()

    def _fail(self, error: Exception) -> None:
        self.failed += 1
        self._failures += 1
        self._wrong = _told(error, self._wait)
        self._open_until = self._clock() + OPEN_SECONDS
        if self._failures == FAILURES_MOST:
            log.warning("rate limits without Redis", reason=str(self._wrong), cause=_cause(error))

    def _succeed(self) -> None:
        if self._failures >= FAILURES_MOST:
            log.info("rate limits with Redis again")
        self._failures = 0
        self._wrong = None


def _told(error: Exception, wait_seconds: float) -> Unavailable:
    """What is wrong, for an operator: with the remedy where there is one."""
    told: type[Unavailable] = Misconfigured
    match error:
        case AuthenticationError() | AuthorizationError() | NoPermissionError():
            text = (
                "Redis refuses the user or the password of REDIS_URL. Set it as redis://user:password@host:"
                "6379/0, for a user with the permissions ~* +@write +@read +@scripting +time."
            )
        case OutOfMemoryError():
            text = "Redis is full. Raise its maxmemory, or set maxmemory-policy to volatile-ttl."
        case ReadOnlyError():
            text = "REDIS_URL leads to a replica. Name the primary."
        case BusyLoadingError():
            told, text = Unavailable, "Redis is still loading its data."
        case ResponseError():
            text = (
                f"Redis refuses what it is asked ({str(error)[:200]}). It takes Redis 6, Valkey 7 or newer."
            )
        case TimeoutError() | ValkeyTimeoutError():
            told, text = Unavailable, f"Redis did not answer within {wait_seconds * 1000:g} ms."
        case _:
            told, text = Unavailable, "Redis cannot be reached."
    return told(text)


def _cause(error: Exception) -> str:
    """Of which kind it was; what servers and libraries say can have the address, with its password, in it."""
    return type(error).__name__
