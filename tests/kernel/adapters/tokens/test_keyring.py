"""The ring of signing keys: how they come, are read, sealed, published and go, in several processes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import queries_of, repositories_of
from adapters.tokens import keyring
from adapters.tokens.compact import BadTokenError, read_compact
from adapters.tokens.key_sets import read_key_set
from adapters.tokens.keyring import (
    AHEAD_SECONDS,
    COOL_DOWN_SECONDS,
    READ_SECONDS,
    RELOAD_SECONDS,
    RETRY_SECONDS,
    SEARCHES_BURST,
    SEARCHES_SECONDS,
    KeyRing,
    seal_key,
    unseal_key,
)
from adapters.tokens.local import LocalTokenIssuer
from application.kernel.ports.callers import Claims
from application.kernel.ports.world import Unavailable, WorldError
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.identity.sessions import SessionId
from domain.kernel.identity.signing_keys import PUBLISHED_AHEAD, KeyInUse, SigningKeyNotFound
from kernel.servers.backends import Proxy
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import NOW, a_session, a_signing_key, a_user_id, store
from kernel.world.fakes import FakeClock
from kernel.world.refusals import refused
from kernel.world.rings import AUDIENCE, ISSUER, KEY_DAYS, LIFETIME, SECRET, Processes, local_issuer, seal_of

KEPT = timedelta(seconds=LIFETIME + RELOAD_SECONDS + 60)
LATER = timedelta(seconds=RELOAD_SECONDS)


@pytest.fixture
def processes() -> Processes:
    return Processes()


async def kid_of(ring: KeyRing) -> str:
    return (await ring.signing())[0]


async def published(ring: KeyRing) -> list[str]:
    return [key["kid"] for key in (await ring.public_keys())["keys"]]


async def issued(tokens: LocalTokenIssuer) -> str:
    return (await tokens.issue(a_user_id(), session_id=a_session().id)).value


async def proved(ring: KeyRing, token: str, at: datetime) -> Claims:
    read = read_compact(token, longest=8192)
    return await local_issuer(ring).read(token, read, now=at.timestamp())


# ── the first key, and the next ──────────────────────────────────────────────────────────────────


async def test_the_first_key_is_made_when_it_is_needed_and_signs_at_once(processes: Processes) -> None:
    assert await processes.stored() == []
    kid = await kid_of(processes.ring())
    (key,) = await processes.stored()
    assert (key.number, key.kid, key.created_at, key.signs_from) == (1, kid, NOW, NOW)


async def test_ten_processes_that_need_the_first_key_at_once_make_one(processes: Processes) -> None:
    rings = [processes.ring() for _ in range(10)]
    assert len(set(await asyncio.gather(*map(kid_of, rings)))) == 1
    assert len(await processes.stored()) == 1


async def test_a_key_of_age_gets_a_successor_that_is_published_before_it_signs(processes: Processes) -> None:
    ring = processes.ring()
    first = await kid_of(ring)
    processes.clock.advance(timedelta(days=KEY_DAYS) - timedelta(seconds=1))
    assert await published(ring) == [first]
    processes.clock.advance(LATER)
    assert await kid_of(ring) == first
    keys = await processes.stored()
    assert await published(ring) == [key.kid for key in keys]
    second = keys[1]
    assert second.signs_from == processes.clock() + PUBLISHED_AHEAD
    processes.clock.advance(PUBLISHED_AHEAD - timedelta(seconds=1))
    assert await kid_of(ring) == first
    processes.clock.advance(timedelta(seconds=1))
    assert await kid_of(ring) == second.kid


async def test_a_key_is_published_until_its_last_token_has_expired_and_then_removed(
    processes: Processes,
) -> None:
    ring = processes.ring()
    first = await kid_of(ring)
    second = (await ring.rotate(at_once=True)).kid
    processes.clock.advance(KEPT - timedelta(seconds=1))
    assert await published(ring) == [first, second]
    processes.clock.advance(timedelta(seconds=1))
    assert await published(ring) == [second]
    assert await ring.verifying(first) is None
    processes.clock.advance(LATER)
    await ring.public_keys()
    assert [key.kid for key in await processes.stored()] == [second]


async def test_of_processes_that_rotate_at_the_same_time_one_does(processes: Processes) -> None:
    rings = [processes.ring() for _ in range(5)]
    await asyncio.gather(*map(kid_of, rings))
    for _ in range(2):  # the second time there is one to remove, too
        processes.clock.advance(timedelta(days=KEY_DAYS) + PUBLISHED_AHEAD)
        await asyncio.gather(*map(kid_of, rings))
    assert [key.number for key in await processes.stored()] == [2, 3]
    assert len({tuple(await published(ring)) for ring in rings}) == 1


async def test_a_rotation_that_fails_is_put_off(processes: Processes) -> None:
    ring = processes.ring()
    first = await kid_of(ring)
    processes.clock.advance(timedelta(days=KEY_DAYS))
    processes.transactions.failures.append(Unavailable("The database takes no changes."))
    with capture_logs() as logs:
        assert await kid_of(ring) == first
    assert [(entry["log_level"], entry["reason"]) for entry in logs] == [
        ("warning", "The database takes no changes.")
    ]
    processes.clock.advance(LATER)
    assert len(await published(ring)) == 2


async def test_without_any_key_a_failure_to_make_one_is_nobodys_secret(processes: Processes) -> None:
    ring = processes.ring()
    processes.transactions.failures.append(Unavailable("The database takes no changes."))
    with pytest.raises(Unavailable) as failure:
        await ring.signing()
    assert isinstance(failure.value.__cause__, Unavailable)
    await ring.signing()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_keys_are_read_once_in_a_while_however_much_there_is_to_do(processes: Processes) -> None:
    await processes.add(ECKey.generate_key("P-256"))
    ring = processes.ring()
    for _ in range(2):
        reads = processes.queries.reads
        for _ in range(10):
            kid = await kid_of(ring)
            assert await ring.verifying(kid)
            await ring.public_keys()
        assert processes.queries.reads == reads + 1
        processes.clock.advance(LATER)


async def test_keys_are_as_old_as_the_beginning_of_their_reading(processes: Processes) -> None:
    await processes.add(ECKey.generate_key("P-256"))
    ring = processes.ring()
    processes.queries.hold = asyncio.Event()
    reading = asyncio.create_task(kid_of(ring))
    await asyncio.sleep(0.01)
    processes.clock.advance(LATER / 2)
    processes.queries.hold.set()
    await reading
    processes.clock.advance(LATER / 2)
    await kid_of(ring)
    assert processes.queries.reads == 2


async def test_those_who_wait_for_the_keys_share_one_reading(processes: Processes) -> None:
    await processes.add(ECKey.generate_key("P-256"))
    ring = processes.ring()
    processes.queries.hold = asyncio.Event()
    waiting = [asyncio.create_task(kid_of(ring)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever began it may leave
    await asyncio.sleep(0)
    processes.queries.hold.set()
    kids = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(set(kids[1:])) == 1
    assert processes.queries.reads == 1


async def test_a_token_of_an_unknown_key_has_the_keys_read_once_more(processes: Processes) -> None:
    ring, other = processes.ring(), processes.ring()
    await kid_of(ring)
    added = (await other.rotate(at_once=True)).kid
    reads = processes.queries.reads
    found = await asyncio.gather(*(ring.verifying(added) for _ in range(20)))
    assert all(key is not None and key.id == added for key in found)
    assert processes.queries.reads == reads + 1


async def test_a_key_that_nobody_has_is_looked_for_now_and_then(processes: Processes) -> None:
    ring = processes.ring()
    await kid_of(ring)
    for _ in range(2):
        reads = processes.queries.reads
        assert await asyncio.gather(*(ring.verifying("nobody's") for _ in range(20))) == [None] * 20
        processes.clock.advance(timedelta(seconds=COOL_DOWN_SECONDS - 1))
        assert await ring.verifying("nobody's") is None
        assert processes.queries.reads == reads + 1
        processes.clock.advance(timedelta(seconds=1))


async def test_a_flood_of_unknown_keys_causes_a_bounded_number_of_readings(processes: Processes) -> None:
    ring = processes.ring()
    await kid_of(ring)
    reads = processes.queries.reads
    for number in range(200):
        assert await ring.verifying(f"nobody's {number}") is None
    assert processes.queries.reads == reads + SEARCHES_BURST
    processes.clock.advance(timedelta(seconds=SEARCHES_SECONDS))
    for number in range(200):
        assert await ring.verifying(f"nobody's other {number}") is None
    assert processes.queries.reads == reads + SEARCHES_BURST + 1


async def test_junk_does_not_keep_a_new_key_waiting(processes: Processes) -> None:
    ring, other = processes.ring(), processes.ring()
    await kid_of(ring)
    for _ in range(3):
        assert await ring.verifying("nobody's") is None
        assert await ring.verifying((await other.rotate(at_once=True)).kid)
        processes.clock.advance(timedelta(seconds=1))


async def test_a_key_that_came_during_a_reading_is_found_all_the_same(processes: Processes) -> None:
    ring, other = processes.ring(), processes.ring()
    first = await kid_of(ring)
    processes.clock.advance(LATER)
    processes.queries.hold = asyncio.Event()
    reading = asyncio.create_task(ring.verifying(first))
    await asyncio.sleep(0.01)  # it has what was stored by now, and waits
    held, processes.queries.hold = processes.queries.hold, None
    added = (await other.rotate(at_once=True)).kid
    late = asyncio.create_task(ring.verifying(added))
    await asyncio.sleep(0.01)
    held.set()
    assert await reading
    assert await late


async def test_a_key_that_came_during_the_search_for_another_is_found_all_the_same(
    processes: Processes,
) -> None:
    ring, other = processes.ring(), processes.ring()
    await kid_of(ring)
    second = (await other.rotate(at_once=True)).kid
    processes.queries.hold = asyncio.Event()
    searching = asyncio.create_task(ring.verifying(second))
    await asyncio.sleep(0.01)  # it has what was stored by now, and waits
    held, processes.queries.hold = processes.queries.hold, None
    third = (await other.rotate(at_once=True)).kid
    late = asyncio.create_task(ring.verifying(third))
    await asyncio.sleep(0.01)
    held.set()
    assert await searching
    assert await late


async def test_a_key_that_was_found_does_not_delay_the_search_for_another(processes: Processes) -> None:
    ring, other = processes.ring(), processes.ring()
    await kid_of(ring)
    for _ in range(3):
        assert await ring.verifying((await other.rotate(at_once=True)).kid)


async def test_while_the_database_is_away_the_keys_read_last_serve_on(processes: Processes) -> None:
    ring = processes.ring()
    tokens = processes.token_issuer(ring)
    token = await issued(tokens)
    processes.queries.away = True
    for _ in range(3):
        processes.clock.advance(LATER)
        reads = processes.queries.reads
        with capture_logs() as logs:
            await proved(ring, token, processes.clock())
            await proved(ring, await issued(tokens), processes.clock())
            assert len(await published(ring)) == 1
            await asyncio.sleep(0.01)  # for the reading that nobody waits for
        assert processes.queries.reads == reads + 1
        assert [entry["reason"] for entry in logs] == ["The database does not answer."]
    processes.queries.away = False
    processes.clock.advance(timedelta(seconds=RETRY_SECONDS))
    reads = processes.queries.reads
    await kid_of(ring)
    await asyncio.sleep(0.01)  # nobody waits for it
    assert processes.queries.reads == reads + 1
    assert await ring.verifying("nobody's") is None


async def test_a_token_of_an_unknown_key_is_not_refused_while_nobody_can_look_for_it(
    processes: Processes,
) -> None:
    ring, other = processes.ring(), processes.ring()
    await kid_of(ring)
    added = (await other.rotate(at_once=True)).kid
    processes.queries.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await ring.verifying(added)
    processes.queries.away = False
    processes.clock.advance(timedelta(seconds=RETRY_SECONDS))
    assert await ring.verifying(added)


async def test_keys_that_are_about_to_be_due_are_read_in_the_background(processes: Processes) -> None:
    ring = processes.ring()
    kid = await kid_of(ring)
    processes.clock.advance(LATER - timedelta(seconds=AHEAD_SECONDS))
    processes.queries.hold = asyncio.Event()
    reads = processes.queries.reads
    verifying = asyncio.create_task(ring.verifying(kid))
    await asyncio.sleep(0)
    assert verifying.done()  # it has waited for nothing
    await asyncio.sleep(0)
    assert processes.queries.reads == reads + 1
    processes.queries.hold.set()


async def test_while_the_database_is_silent_the_keys_read_last_serve_on(processes: Processes) -> None:
    ring = processes.ring()
    token = await issued(processes.token_issuer(ring))
    processes.queries.hold = asyncio.Event()
    processes.clock.advance(LATER)
    async with asyncio.timeout(READ_SECONDS / 2):
        for _ in range(3):
            await proved(ring, token, processes.clock())
            await issued(processes.token_issuer(ring))
            assert len(await published(ring)) == 1
    processes.queries.hold.set()


async def test_keys_that_are_older_than_a_rotation_is_announced_serve_nobody(processes: Processes) -> None:
    """Another process may have added a key since, and sign with it by now."""
    ring = processes.ring()
    kid = await kid_of(ring)
    processes.queries.away = True
    processes.clock.advance(PUBLISHED_AHEAD - timedelta(seconds=1))
    assert await ring.verifying(kid)
    processes.clock.advance(timedelta(seconds=1))
    for use in (ring.signing, lambda: ring.verifying(kid), ring.public_keys):
        with pytest.raises(Unavailable):
            await use()
    processes.queries.away = False
    assert await ring.verifying(kid)


async def test_a_reading_has_a_limit_of_its_own(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "READ_SECONDS", 0.05)
    ring = processes.ring()
    processes.queries.hold = asyncio.Event()
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable) as failure:
            await ring.signing()
    assert str(failure.value.__cause__) == "The database took longer than 0.05 seconds."
    processes.queries.hold.set()
    assert await kid_of(ring)


async def test_a_defect_in_a_reading_is_told_and_the_keys_read_last_serve_on(processes: Processes) -> None:
    ring = processes.ring()
    kid = await kid_of(ring)
    processes.transactions.failures.append(ZeroDivisionError("a defect"))
    processes.clock.advance(timedelta(days=KEY_DAYS) - LATER)  # so that the keys are changed as well
    processes.clock.advance(LATER)
    with capture_logs() as logs, pytest.raises(Unavailable):
        await ring.verifying(kid)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "reading the signing keys failed"
    ]
    assert await ring.verifying(kid)


async def test_without_the_database_there_is_no_key_until_it_comes(processes: Processes) -> None:
    ring = processes.ring()
    processes.queries.away = True
    for use in (ring.signing, lambda: ring.verifying("x"), ring.public_keys):
        with pytest.raises(Unavailable):
            await use()
    processes.queries.away = False
    assert await kid_of(ring)


# ── what operators do ────────────────────────────────────────────────────────────────────────────


async def test_the_overview_says_what_each_key_is_good_for(processes: Processes) -> None:
    ring = processes.ring()
    assert await ring.overview() == []
    first = await ring.rotate()
    assert first.signs_from == NOW  # there is none to sign in the meantime
    second = await ring.rotate()
    assert second.signs_from == NOW + PUBLISHED_AHEAD
    assert await ring.overview() == [(first, "signing"), (second, "next")]
    third = await ring.rotate(at_once=True)
    assert third.signs_from == NOW
    assert await ring.overview() == [(first, "verifying"), (second, "verifying"), (third, "signing")]


async def test_a_removed_key_ends_its_tokens_when_a_process_reads_the_keys_again(
    processes: Processes,
) -> None:
    ring, by_hand = processes.ring(), processes.ring()
    former = await kid_of(ring)
    token = await issued(processes.token_issuer(ring))
    await by_hand.rotate(at_once=True)
    await by_hand.remove(former)
    processes.clock.advance(LATER)
    with pytest.raises(BadTokenError, match=r"^an unknown key$"):
        await proved(ring, token, processes.clock())
    assert former not in await published(ring)
    assert ring.reload_seconds == RELOAD_SECONDS


async def test_the_key_that_signs_and_one_that_never_was_cannot_be_removed(processes: Processes) -> None:
    ring = processes.ring()
    signing = await kid_of(ring)
    with refused(KeyInUse):
        await ring.remove(signing)
    with refused(SigningKeyNotFound):
        await ring.remove("x")


# ── the seal ─────────────────────────────────────────────────────────────────────────────────────

ANOTHER = "another secret of thirty-two characters"
SEAL = seal_of(SECRET)


async def test_what_is_stored_is_not_the_private_key(processes: Processes) -> None:
    _, key = await processes.ring().signing()
    (record,) = await processes.stored()
    private = key.as_dict(private=True)
    assert str(private["d"]) not in str(record)
    assert unseal_key(SEAL, record) == key


async def test_a_key_is_bound_to_its_name_and_to_the_secret() -> None:
    key, other = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    record = a_signing_key(kid=key.thumbprint(), sealed=seal_key(SEAL, key))
    assert unseal_key(SEAL, record) == key
    assert unseal_key(seal_of(ANOTHER), record) is None
    assert unseal_key(SEAL, replace(record, kid=other.thumbprint())) is None
    assert unseal_key(SEAL, replace(record, sealed=seal_key(SEAL, other))) is None


@pytest.mark.parametrize("named", ["seal", "key"])
async def test_a_key_under_another_one_s_name_is_none(named: str) -> None:
    """Whoever has the secret could make either; each is refused for itself."""
    key, other = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    sealed = SEAL.seal(
        json.dumps((other if named == "key" else key).as_dict(private=True)),
        name=(other if named == "seal" else key).thumbprint(),
    )
    assert unseal_key(SEAL, a_signing_key(kid=key.thumbprint(), sealed=sealed)) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kty": "EC"}', "\0"])
async def test_what_is_sealed_and_no_key_is_none(text: str) -> None:
    assert unseal_key(SEAL, a_signing_key(kid="kid", sealed=SEAL.seal(text, name="kid"))) is None


async def test_with_another_secret_nothing_works_and_the_log_names_the_remedy(processes: Processes) -> None:
    first = await kid_of(processes.ring())
    stranger = processes.ring(secret=ANOTHER)
    for use in (stranger.signing, lambda: stranger.verifying(first), stranger.public_keys):
        processes.clock.advance(LATER)
        with (
            capture_logs() as logs,
            pytest.raises(Unavailable, match=r"^The signing keys cannot be unsealed\.$"),
        ):
            await use()
        (entry,) = logs
        assert entry["log_level"] == "error"
        assert entry["event"].startswith(
            f"AUTH_SECRET is not the one that these signing keys were sealed with: 1 ({first})"
        )
    for command in (stranger.overview, stranger.rotate):
        with pytest.raises(WorldError, match=r"AUTH_SECRET .* `keys rotate --lost-secret`"):
            await command()


async def test_whoever_has_another_secret_does_not_rotate(processes: Processes) -> None:
    await kid_of(processes.ring())
    stored = await processes.stored()
    processes.clock.advance(timedelta(days=KEY_DAYS))
    with pytest.raises(Unavailable):
        await processes.ring(secret=ANOTHER).signing()
    assert await processes.stored() == stored


async def test_a_lost_secret_costs_the_keys_and_no_more(processes: Processes) -> None:
    former = await kid_of(processes.ring())
    ring = processes.ring(secret=ANOTHER)
    with pytest.raises(Unavailable):
        await ring.signing()
    added = await processes.ring(secret=ANOTHER).rotate(lost_secret=True)
    assert [key.kid for key in await processes.stored()] == [added.kid]
    assert added.signs_from == NOW
    processes.clock.advance(LATER)
    assert await kid_of(ring) == added.kid
    assert await ring.verifying(former) is None


async def test_a_key_smuggled_into_the_table_is_of_no_use_and_does_no_harm(processes: Processes) -> None:
    """But for the key that is to sign: whoever can write there can also delete it."""
    key, strangers = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    await processes.add(strangers, number=1, secret=ANOTHER)
    await processes.add(key, number=2)
    ring = processes.ring()
    assert await published(ring) == [key.thumbprint()]
    await proved(ring, await issued(processes.token_issuer(ring)), NOW)
    with pytest.raises(Unavailable):
        await ring.verifying(strangers.thumbprint())


# ── what others see ──────────────────────────────────────────────────────────────────────────────


async def test_the_key_set_shows_public_parts_alone_and_is_read_by_our_own_adapter(
    processes: Processes,
) -> None:
    ring = processes.ring()
    kid, private = await ring.signing()
    next_kid = (await ring.rotate()).kid
    processes.clock.advance(LATER)
    document = await ring.public_keys()
    assert document["keys"][0] == {**private.as_dict(private=False), "kid": kid, "alg": "ES256", "use": "sig"}
    assert all(set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"} for key in document["keys"])
    read = read_key_set(json.loads(json.dumps(document)))
    for name in (kid, next_kid):
        assert read.find(name, "ES256").id == name


# ── two processes on PostgreSQL ──────────────────────────────────────────────────────────────────


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def other_database(empty_database_url: str) -> AsyncIterator[Database]:
    """The connections of a second process."""
    database = Database(empty_database_url, pool_size=5, wait_seconds=5)
    yield database
    await database.close()


def a_ring(begin: Begin[UnitOfWork], queries: Queries, clock: FakeClock) -> KeyRing:
    return KeyRing(
        Runner(begin),
        queries.auth,
        seal=SEAL,
        key_days=KEY_DAYS,
        token_seconds=LIFETIME,
        clock=clock,
        monotonic=lambda: clock().timestamp(),
    )


@pytest.fixture
def rings(database: Database, other_database: Database, clock: FakeClock) -> list[KeyRing]:
    return [
        a_ring(
            PostgresTransactions(each, clock, UnitOfWork, repositories_of(UnitOfWork)),
            queries_of(Queries, each),
            clock,
        )
        for each in (database, other_database)
    ]


def a_token_issuer(ring: KeyRing, clock: Callable[[], datetime]) -> LocalTokenIssuer:
    return LocalTokenIssuer(ring, issuer=ISSUER, audience=AUDIENCE, lifetime_seconds=LIFETIME, clock=clock)


async def test_ten_rings_on_postgresql_make_one_first_key(
    begin: Begin[UnitOfWork], queries: Queries, clock: FakeClock
) -> None:
    rings = [a_ring(begin, queries, clock) for _ in range(10)]
    assert len(set(await asyncio.gather(*map(kid_of, rings)))) == 1
    assert len(await queries.auth.signing_keys()) == 1


async def test_a_dump_of_the_database_holds_no_private_key(
    rings: list[KeyRing], empty_database_url: str
) -> None:
    _, key = await rings[0].signing()
    numbers = key.as_dict(private=True)
    connection = await asyncpg.connect(empty_database_url)
    rows = await connection.fetch("SELECT row_to_json(signing_keys)::text FROM signing_keys")
    await connection.close()
    (dump,) = (row[0] for row in rows)
    assert key.thumbprint() in dump
    for part in (str(numbers["d"]), str(numbers["x"]), key.as_pem(private=True).decode().splitlines()[1]):
        assert part not in dump


async def test_the_keys_come_from_postgresql_in_their_order(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    keys = [a_signing_key(number=number) for number in (3, 1, 2)]
    await store(begin, *keys)
    assert [key.number for key in await queries.auth.signing_keys()] == [1, 2, 3]


@pytest.mark.parametrize("at_once", [False, True], ids=["in time", "at once"])
async def test_a_rotation_under_load_loses_no_token(
    rings: list[KeyRing], clock: FakeClock, at_once: bool
) -> None:
    """Two processes issue and verify without a pause, each the tokens of both, while time goes by and the
    keys are followed by others: by age, and by hand."""
    issuers = [a_token_issuer(ring, clock) for ring in rings]
    tokens: list[str] = []
    kids: set[str] = set()
    rotations = 2
    for step in range(rotations * 40):
        rotating = step % 40 == 10
        if rotating and not at_once:
            clock.advance(timedelta(days=KEY_DAYS))
            tokens.clear()  # they have all expired
        by_hand = asyncio.create_task(rings[0].rotate(at_once=True)) if rotating and at_once else None
        fresh = await asyncio.gather(*(issued(issuer) for issuer in issuers * 3))
        tokens.extend(fresh)
        kids.update(read_compact(token, longest=8192).header["kid"] for token in fresh)
        await asyncio.gather(*(proved(ring, token, clock()) for ring in rings for token in tokens[-60:]))
        if by_hand is not None:
            await by_hand
        clock.advance(timedelta(seconds=LIFETIME / 10))  # so the 60 last are those that have not expired
    assert len(kids) == rotations + 1


async def test_a_token_is_verified_while_the_way_to_postgresql_swallows_everything(
    empty_database_url: str, clock: FakeClock
) -> None:
    proxy = Proxy(empty_database_url)
    await proxy.start()
    database = Database(proxy.url, pool_size=5, wait_seconds=1)
    try:
        begin = PostgresTransactions(database, clock, UnitOfWork, repositories_of(UnitOfWork))
        ring = a_ring(begin, queries_of(Queries, database), clock)
        token = await issued(a_token_issuer(ring, clock))
        proxy.frozen = True
        for _ in range(3):
            clock.advance(LATER)
            async with asyncio.timeout(READ_SECONDS / 2):
                for _ in range(100):
                    await proved(ring, token, clock())
    finally:
        await proxy.stop()
        await database.close()


async def test_every_token_proves_whose_it_is_in_both_processes(
    rings: list[KeyRing], clock: FakeClock
) -> None:
    for ring in rings:
        user_id, session_id = a_user_id(), SessionId(a_session().id)
        token = (await a_token_issuer(ring, clock).issue(user_id, session_id=session_id)).value
        for other in rings:
            proof = await proved(other, token, clock())
            assert (proof.subject, proof.session_id) == (str(user_id), session_id)
