"""How a connection is made: to the first of several hosts that will do, and with what a session is told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from time import perf_counter
from urllib.parse import urlsplit

import asyncpg
import pytest

from adapters.postgres.kernel.connection.connecting import Connector, session_settings
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.migrating.migrations import Migrations
from application.kernel.ports.world import Unavailable
from entrypoints.kernel.tools.embedded import embedded_postgres
from kernel.servers.backends import Proxy
from kernel.servers.postgres import NewDatabase

SECONDS = 2.0


async def _started(dsn: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(dsn)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def near(empty_database_url: str) -> AsyncIterator[Proxy]:
    async for proxy in _started(empty_database_url):
        yield proxy


@pytest.fixture
async def far(empty_database_url: str) -> AsyncIterator[Proxy]:
    async for proxy in _started(empty_database_url):
        yield proxy


@pytest.fixture
async def only_reads(empty_database_url: str) -> AsyncIterator[Proxy]:
    """Another server, with a database of the same name, that takes no writes: as after a failover."""
    name = urlsplit(empty_database_url).path.removeprefix("/")
    with embedded_postgres(database=name) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await connection.close()
        async for proxy in _started(dsn):
            yield proxy


def both(one: Proxy, another: Proxy, parameters: str = "") -> str:
    """The address of two hosts, in this order; with the user of which one has a password."""
    (user, _, first), (another_user, _, second) = (
        urlsplit(each.url).netloc.rpartition("@") for each in (one, another)
    )
    user = max(user, another_user, key=len)
    path = urlsplit(one.url).path
    return f"postgresql://{user}@{first},{second}{path}?sslmode=disable&{parameters}".rstrip("&")


async def port_of(connect: Connector) -> int:
    connection = await connect()
    try:
        return int(connection._transport.get_extra_info("peername")[1])  # type: ignore[attr-defined]
    finally:
        await connection.close()


# ── several hosts ────────────────────────────────────────────────────────────────────────────────


async def test_the_first_host_is_taken_and_the_next_where_it_refuses(near: Proxy, far: Proxy) -> None:
    connect = Connector(both(near, far))
    assert await port_of(connect) == near._port
    await near.stop()
    assert await port_of(connect) == far._port


async def test_a_silent_host_does_not_take_the_whole_limit_and_is_tried_last_for_a_while(
    near: Proxy, far: Proxy
) -> None:
    near.silent = True
    connect = Connector(both(near, far), seconds=SECONDS)
    began = perf_counter()
    assert await port_of(connect) == far._port
    assert SECONDS / 2 <= perf_counter() - began < SECONDS  # its share, and no more
    began = perf_counter()
    assert await port_of(connect) == far._port
    assert perf_counter() - began < SECONDS / 2  # no longer waited for


async def test_the_limit_is_one_for_all_hosts_and_all_of_them_are_named(near: Proxy, far: Proxy) -> None:
    near.silent = far.silent = True
    began = perf_counter()
    with pytest.raises(ConnectionError) as failed:
        await Connector(both(near, far), seconds=0.4)()
    assert perf_counter() - began < 2
    for proxy in (near, far):
        assert f"127.0.0.1:{proxy._port} did not answer in " in str(failed.value)


async def test_an_address_may_bound_the_wait_for_each_host(near: Proxy, far: Proxy) -> None:
    near.silent = True
    began = perf_counter()
    assert await port_of(Connector(both(near, far, "connect_timeout=1"), seconds=60)) == far._port
    assert perf_counter() - began < 30


@pytest.mark.parametrize("wanted", ["read-write", "primary"])
async def test_a_host_that_takes_no_writes_is_passed_by(wanted: str, near: Proxy, only_reads: Proxy) -> None:
    connect = Connector(both(only_reads, near, f"target_session_attrs={wanted}"))
    # It is no standby: that somebody has made it read only is what `read-write` asks about alone.
    assert await port_of(connect) == (near._port if wanted == "read-write" else only_reads._port)


async def test_a_standby_is_preferred_and_not_required(near: Proxy, far: Proxy) -> None:
    connect = Connector(both(near, far, "target_session_attrs=prefer-standby"))
    assert await port_of(connect) == near._port
    with pytest.raises(ConnectionError, match=r"is not standby; .* is not standby"):
        await Connector(both(near, far, "target_session_attrs=standby"))()


async def test_without_a_host_that_will_do_the_database_is_unavailable(only_reads: Proxy) -> None:
    database = Database(f"{only_reads.url}&target_session_attrs=read-write")
    with pytest.raises(Unavailable) as unavailable:
        await database.ping()
    assert "is not read-write" in str(unavailable.value.__cause__)
    await database.close()


async def test_a_wrong_password_is_not_tried_elsewhere(near: Proxy, far: Proxy) -> None:
    wrong = both(near, far).replace(urlsplit(near.url).path, "/no-such-database")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await Connector(wrong)()


async def test_hosts_are_shuffled_where_the_load_is_to_be_balanced(near: Proxy, far: Proxy) -> None:
    connect = Connector(both(near, far, "load_balance_hosts=random"))
    found = [await port_of(connect) for _ in range(20)]
    assert {*found} == {near._port, far._port}  # but for one run in half a million


async def test_migrations_find_the_host_that_answers(
    near: Proxy, far: Proxy, new_database: NewDatabase
) -> None:
    near.silent = True
    path = urlsplit(await new_database()).path
    url = both(near, far, "target_session_attrs=read-write").replace(urlsplit(near.url).path, path)
    await asyncio.to_thread(Migrations(url).upgrade)
    connection = await Connector(url)()
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") > 0
    await connection.close()


# ── what a session is told ───────────────────────────────────────────────────────────────────────


async def test_a_session_is_told_the_settings_and_what_the_address_adds(near: Proxy) -> None:
    settings = session_settings(statement_seconds=7, lock_seconds=3)
    url = f"{near.url}&application_name=till&options=-c%20search_path%3Dshop"
    connection = await Connector(url, settings=settings, application_name="ours")()
    shown = {
        name: await connection.fetchval("SELECT current_setting($1)", name)
        for name in (
            "application_name",
            "search_path",
            "statement_timeout",
            "lock_timeout",
            "jit",
            "timezone",
        )
    }
    await connection.close()
    assert shown == {
        "application_name": "till",
        "search_path": "shop",
        "statement_timeout": "7s",
        "lock_timeout": "3s",
        "jit": "off",
        "timezone": "UTC",
    }


@pytest.mark.parametrize(("parameter", "pooled"), [("", True), ("&pgbouncer=true", False)])
async def test_a_pooler_is_told_no_more_than_a_name(near: Proxy, parameter: str, pooled: bool) -> None:
    settings = session_settings(statement_seconds=7, lock_seconds=3)
    connect = Connector(f"{near.url}{parameter}", settings=settings, application_name="ours", pooled=pooled)
    connection = await connect()
    told = await connection.fetch("SELECT name FROM pg_settings WHERE source = 'client'")
    await connection.close()
    assert [row["name"] for row in told if row["name"] != "client_encoding"] == ["application_name"]


async def test_tcp_finds_out_that_the_server_has_gone(near: Proxy) -> None:
    async def options_of(url: str) -> list[int]:
        connection = await Connector(url)()
        raw = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        found = [raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        found += [raw.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        await connection.close()
        return found

    assert await options_of(near.url) == [1, 5, 2, 3, 10_000]
    said = "keepalives_idle=30&keepalives_interval=7&keepalives_count=2&tcp_user_timeout=9000"
    assert await options_of(f"{near.url}&{said}") == [1, 30, 7, 2, 9000]
    assert (await options_of(f"{near.url}&keepalives=0"))[0] == 0
