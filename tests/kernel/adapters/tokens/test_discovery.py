"""A provider's keys over a real connection: fetched once, kept while it is away, never trusted blindly."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import int_to_base64
from structlog.testing import capture_logs

from adapters.tokens.compact import BadTokenError, read_compact
from adapters.tokens.discovery import (
    RETRY_SECONDS,
    UNKNOWN_KEY_SECONDS,
    UNKNOWN_KEYS_BURST,
    UNKNOWN_KEYS_SECONDS,
    Discovery,
)
from adapters.tokens.key_sets import KeySet, VerificationKey, read_key_set
from adapters.tokens.providers import Provider, check_address
from application.kernel.ports.world import Unavailable
from kernel.world.authority import authority
from kernel.world.forging import b64, signed
from kernel.world.provider import ProviderServer, answer, endless, hang_up, public, silence

MINUTE, HOUR = 60, 3600
FIRST, SECOND = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
AWAY = "The provider that issues access tokens does not answer."


class Seconds:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    server = ProviderServer(path="/realms/shop")
    await server.start()
    server.publish(public(FIRST, "first"))
    yield server
    await server.stop()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def discovery(server: ProviderServer, seconds: Seconds) -> AsyncIterator[Discovery]:
    discovery = a_discovery(server, seconds)
    yield discovery
    await discovery.close()


def a_discovery(
    server: ProviderServer, seconds: Seconds, *, fetch_seconds: float = 5, **more: Any
) -> Discovery:
    provider = Provider(**({"issuer": server.issuer, "audiences": frozenset({"shop"})} | more))
    return Discovery(
        provider,
        allow_loopback_http=True,
        keep_seconds=24 * HOUR,
        fetch_seconds=fetch_seconds,
        monotonic=seconds,
    )


def ids(keys: KeySet) -> list[str | None]:
    return [key.id for key in keys.keys]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what it waits for happens on the other side of a socket
            await asyncio.sleep(0.001)


# ── when it is asked ─────────────────────────────────────────────────────────────────────────────


async def test_keys_are_fetched_when_they_are_first_needed_and_then_known(
    server: ProviderServer, discovery: Discovery
) -> None:
    assert server.asked == []
    assert ids(await discovery.keys()) == ids(await discovery.keys()) == ["first"]
    assert server.asked == [server.discovery, "/keys"]


async def test_all_who_wait_for_the_first_keys_share_one_fetch(
    server: ProviderServer, discovery: Discovery
) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(discovery.keys()) for _ in range(50)]
    await until(lambda: server.asked != [])
    server.gate.set()
    assert [ids(keys) for keys in await asyncio.gather(*waiting)] == [["first"]] * 50
    assert server.times() == 1


async def test_whoever_stops_waiting_leaves_the_fetch_to_the_others(
    server: ProviderServer, discovery: Discovery
) -> None:
    server.gate.clear()
    impatient, patient = (asyncio.create_task(discovery.keys()) for _ in range(2))
    await until(lambda: server.asked != [])
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    server.gate.set()
    assert ids(await patient) == ["first"]
    assert server.times() == 1


@pytest.mark.parametrize(
    ("header", "fresh_for"),
    [
        ("no-cache, no-store, max-age=0", 5 * MINUTE),
        ("public, max-age=60", 5 * MINUTE),
        ("max-age=3600, must-revalidate", HOUR),
        ("max-age=999999999", 24 * HOUR),
        ("max-age=-1", 5 * MINUTE),
        ("x-max-age=7200", 5 * MINUTE),
        ("", 5 * MINUTE),
    ],
)
async def test_keys_are_fresh_for_as_long_as_the_provider_says_within_reason(
    header: str, fresh_for: int, server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    server.publish(public(FIRST, "first"), cache_control=header)
    await discovery.keys()
    seconds.now += fresh_for - 1
    await discovery.keys()
    await asyncio.sleep(0.02)
    assert server.times() == 1
    seconds.now += 1
    await discovery.keys()
    await until(lambda: server.times() == 2)


async def test_nobody_waits_for_a_slow_provider_while_keys_are_stale(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    server.publish(public(FIRST, "first"), public(SECOND, "second"))
    server.gate.clear()
    seconds.now += 5 * MINUTE
    async with asyncio.timeout(4):
        for _ in range(20):
            assert ids(await discovery.keys()) == ["first"]
    await until(lambda: server.times(server.discovery) == 2)
    server.gate.set()
    await until(lambda: server.times() == 2)
    await until(lambda: discovery.figures().refreshes["changed"] == 2)
    assert ids(await discovery.keys()) == ["first", "second"]
    assert server.times() == 2


# ── rotation ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_is_not_known_is_fetched_once_for_all_who_need_it(
    server: ProviderServer, discovery: Discovery
) -> None:
    await discovery.keys()
    server.publish(public(SECOND, "second"))
    server.gate.clear()
    waiting = [asyncio.create_task(discovery.keys(wanted="second")) for _ in range(50)]
    await until(lambda: len(server.asked) == 3)
    server.gate.set()
    assert [ids(keys) for keys in await asyncio.gather(*waiting)] == [["second"]] * 50
    assert server.times() == 2


async def test_a_key_that_is_not_there_is_fetched_for_now_and_then(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    for times in (2, 3):
        for _ in range(20):
            assert ids(await discovery.keys(wanted="nobody's")) == ["first"]
        seconds.now += UNKNOWN_KEY_SECONDS - 1
        await discovery.keys(wanted="nobody's")
        assert server.times() == times
        seconds.now += 1


@pytest.mark.parametrize("junk", ["always the same", "ever another"])
async def test_junk_does_not_keep_a_new_key_waiting(
    junk: str, server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    rotations = {20: "second", 45: "third"}
    rotated_at = 0.0
    names = {"first"}
    for second in range(70):
        seconds.now += 1
        await discovery.keys(wanted="junk" if junk == "always the same" else f"junk-{second}")
        if second in rotations:
            rotated_at, names = seconds.now, {rotations[second]}
            server.publish(public(SECOND, rotations[second]))
        (name,) = names
        found = ids(await discovery.keys(wanted=name)) == [name]
        patience = 0 if junk == "always the same" else UNKNOWN_KEYS_SECONDS
        assert found or seconds.now - rotated_at < patience


async def test_two_rotations_one_after_the_other_are_both_noticed_at_once(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    for name in ("second", "third"):
        await discovery.keys(wanted="junk")
        server.publish(public(SECOND, name))
        assert ids(await discovery.keys(wanted=name)) == [name]
        seconds.now += 1


async def test_a_key_that_came_during_a_fetch_is_found_all_the_same(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    published, held = asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        published.set()
        await held.wait()
        await answer({"keys": [public(FIRST, "first")]})(writer)

    server.paths["/keys"] = slow
    junk = asyncio.create_task(discovery.keys(wanted="junk"))
    async with asyncio.timeout(60):
        await published.wait()
    server.publish(public(SECOND, "second"))
    late = asyncio.create_task(discovery.keys(wanted="second"))
    await asyncio.sleep(0)
    held.set()
    await junk
    assert ids(await late) == ["second"]


async def test_a_flood_of_unknown_keys_causes_a_bounded_number_of_fetches(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    for number in range(500):
        await discovery.keys(wanted=f"unknown-{number}")
    await asyncio.gather(*(discovery.keys(wanted=f"more-{number}") for number in range(500)))
    assert server.times() == 1 + UNKNOWN_KEYS_BURST
    for number in range(60):
        seconds.now += 1
        await discovery.keys(wanted=f"later-{number}")
    assert server.times() == 1 + UNKNOWN_KEYS_BURST + 60 / UNKNOWN_KEYS_SECONDS


async def test_a_key_is_not_refused_because_the_provider_was_away(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    await server.stop()
    await discovery.keys(wanted="second")
    await server.start()
    server.publish(public(SECOND, "second"))
    assert ids(await discovery.keys(wanted="second")) == ["second"]


async def test_a_known_key_is_no_reason_to_ask(server: ProviderServer, discovery: Discovery) -> None:
    await discovery.keys()
    await discovery.keys(wanted="first")
    assert server.times() == 1


async def test_a_rotation_is_told_in_the_log(server: ProviderServer, discovery: Discovery) -> None:
    await discovery.keys()
    server.publish(public(SECOND, "second"))
    with capture_logs() as logs:
        await discovery.keys(wanted="second")
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("a provider's keys are new", "info")
    assert entry["added"] == [f"second:{SECOND.thumbprint()}"]
    assert entry["removed"] == [f"first:{FIRST.thumbprint()}"]


# ── the provider is away ─────────────────────────────────────────────────────────────────────────


async def test_the_service_starts_without_the_provider_and_finds_it_later(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await server.stop()
    with pytest.raises(Unavailable, match=AWAY):
        await discovery.keys()
    with pytest.raises(Unavailable, match=AWAY):
        await discovery.metadata()
    await server.start()
    seconds.now += 5
    assert ids(await discovery.keys()) == ["first"]


async def test_a_flood_does_not_hammer_a_provider_that_is_away(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    server.paths["/keys"] = hang_up
    for moment in range(100):
        with pytest.raises(Unavailable):
            await discovery.keys(wanted=str(moment))
    assert server.times(server.discovery) == 1
    seconds.now += 4.9
    with pytest.raises(Unavailable):
        await discovery.keys()
    assert server.times(server.discovery) == 1


async def test_the_last_good_keys_serve_for_a_day(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    await server.stop()
    seconds.now += 24 * HOUR
    assert ids(await discovery.keys()) == ["first"]
    await until(lambda: discovery.figures().refreshes["failed"] == 1)
    assert ids(await discovery.keys(wanted="second")) == ["first"]
    seconds.now += 6
    with pytest.raises(Unavailable, match=AWAY):
        await discovery.keys()
    await server.start()


async def test_a_slow_provider_has_so_many_seconds_for_everything(
    server: ProviderServer, seconds: Seconds
) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await asyncio.sleep(0.02)

    for slow in (silence, drip):
        server.paths["/keys"] = slow
        discovery = a_discovery(server, seconds, fetch_seconds=0.2)
        with capture_logs() as logs, pytest.raises(Unavailable):
            async with asyncio.timeout(2):
                await discovery.keys()
        assert logs[0]["reason"] in {
            "no whole answer within 0.2 seconds",
            f"{server.root}/keys does not answer: ReadTimeout",
        }
        await discovery.close()


async def test_readiness_never_waits_and_sees_to_it_that_it_comes(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    server.gate.clear()
    async with asyncio.timeout(4):
        assert not await discovery.ready()
    await until(lambda: server.asked != [])
    server.gate.set()
    await until(lambda: discovery.figures().age_seconds is not None)
    assert await discovery.ready()
    await server.stop()
    seconds.now += 24 * HOUR + 1
    assert not await discovery.ready()
    await until(lambda: discovery.figures().refreshes["failed"] == 1)
    await server.start()


async def test_a_fetch_that_failed_is_told_while_the_last_good_keys_serve(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    await discovery.keys()
    server.paths["/keys"] = answer(b"", status=500)
    seconds.now += HOUR
    assert await discovery.ready()  # a fetch is due and under way, and has not failed
    await until(lambda: discovery.figures().refreshes["failed"] == 1)
    assert not await discovery.ready()
    assert ids(await discovery.keys()) == ["first"]
    server.publish(public(FIRST, "first"))
    seconds.now += RETRY_SECONDS
    await discovery.ready()
    await until(lambda: discovery.figures().refreshes["unchanged"] == 1)
    assert await discovery.ready()


async def test_the_figures_count_the_fetches_by_result(
    server: ProviderServer, seconds: Seconds, discovery: Discovery
) -> None:
    assert discovery.figures().age_seconds is None
    await discovery.keys()
    await discovery.keys(wanted="x")
    seconds.now += 30
    server.paths["/keys"] = answer(b"", status=500)
    await discovery.keys(wanted="x")
    figures = discovery.figures()
    assert figures.refreshes == {"changed": 1, "unchanged": 1, "failed": 1}
    assert figures.age_seconds == 30


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_no_proxy_of_the_environment_comes_between(
    server: ProviderServer, seconds: Seconds, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nothing listens there
    discovery = a_discovery(server, seconds)
    assert ids(await discovery.keys()) == ["first"]
    await discovery.close()


async def test_a_private_authority_is_trusted_where_the_settings_name_it(
    tmp_path: Path, seconds: Seconds
) -> None:
    ca_file, tls = authority(tmp_path)
    server = ProviderServer(tls=tls)
    await server.start()
    server.publish(public(FIRST, "first"))
    trusting, other = a_discovery(server, seconds, ca_file=str(ca_file)), a_discovery(server, seconds)
    assert ids(await trusting.keys()) == ["first"]
    with capture_logs() as logs, pytest.raises(Unavailable):
        await other.keys()
    assert "certificate is not trusted" in logs[0]["reason"]
    assert "OIDC_CA_FILE" in logs[0]["reason"]
    for discovery in (trusting, other):
        await discovery.close()
    await server.stop()


async def test_a_defect_of_ours_is_a_failure_too_and_does_not_end_the_service(
    discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("adapters.tokens.discovery.fetch_published", break_)
    with capture_logs() as logs, pytest.raises(Unavailable):
        await discovery.keys()
    assert discovery.figures().refreshes["failed"] == 1
    assert [line["log_level"] for line in logs] == ["warning", "error"]


async def test_closing_ends_a_fetch_and_none_begins_after_it(
    server: ProviderServer, discovery: Discovery
) -> None:
    server.gate.clear()
    waiting = asyncio.create_task(discovery.keys())
    await until(lambda: server.asked != [])
    async with asyncio.timeout(4):
        await discovery.close()
    for attempt in (waiting, discovery.keys()):
        with pytest.raises(Unavailable):
            await attempt
    assert len(server.asked) == 1


# ── what it answers ──────────────────────────────────────────────────────────────────────────────


def doc(server: ProviderServer, **changes: Any) -> None:
    server.paths[server.discovery] = answer(server.document(**changes))


def keys(server: ProviderServer, what: Any, **more: Any) -> None:
    server.paths["/keys"] = what if callable(what) else answer(what, **more)


MANY = {"keys": [public(FIRST, f"key-{number}") for number in range(10_000)]}

BAD_ANSWERS: dict[str, tuple[Callable[[ProviderServer], None], str]] = {
    "no discovery document": (lambda s: s.paths.clear(), "answers 404"),
    "another issuer": (
        lambda s: doc(s, issuer="https://evil.example"),
        "says it is the issuer 'https://evil",
    ),
    "our issuer with a slash": (lambda s: doc(s, issuer=s.issuer + "/"), "says it is the issuer"),
    "our issuer in capitals": (lambda s: doc(s, issuer=s.issuer.upper()), "says it is the issuer"),
    "no issuer": (lambda s: doc(s, issuer=None), "says it is the issuer 'None'"),
    "no address of keys": (lambda s: doc(s, jwks_uri=None), "names no jwks_uri"),
    "an address of keys that is a list": (lambda s: doc(s, jwks_uri=["x"]), "names no jwks_uri"),
    "keys over plain http": (
        lambda s: doc(s, jwks_uri="http://login.example/keys"),
        "has to begin with https",
    ),
    "keys in a file": (lambda s: doc(s, jwks_uri="file:///etc/passwd"), "no plain address"),
    "keys behind a password": (lambda s: doc(s, jwks_uri="https://a:b@login.example/"), "no plain address"),
    "keys nowhere": (lambda s: doc(s, jwks_uri="https://[x"), "Invalid IPv6"),
    "a page of HTML": (lambda s: keys(s, b"\n <!DOCTYPE html><html>"), "a page of HTML"),
    "HTML in place of the document": (
        lambda s: s.paths.update({s.discovery: answer(b"<html>", content_type="application/json")}),
        "a page of HTML",
    ),
    "a redirect": (
        lambda s: keys(s, b"", status=302, location=f"{s.root}/elsewhere"),
        "answers 302",
    ),
    "an error": (lambda s: keys(s, b"{}", status=500), "answers 500"),
    "half of a document": (lambda s: keys(s, b'{"keys": ['), "no JSON object"),
    "a list": (lambda s: keys(s, []), "no JSON object"),
    "a member twice": (lambda s: keys(s, b'{"keys": [], "keys": []}'), "names a member twice"),
    "UTF-16": (lambda s: keys(s, json.dumps({"keys": []}).encode("utf-16")), "no JSON object"),
    "nesting without end": (lambda s: keys(s, b'{"keys": ' + b"[" * 100_000), "no JSON object"),
    "no list of keys": (lambda s: keys(s, {"keys": {}}), "no key that is fit"),
    "no member with keys": (lambda s: keys(s, {}), "no key that is fit"),
    "keys that are a number": (lambda s: keys(s, {"keys": 7}), "no key that is fit"),
    "no keys": (lambda s: keys(s, {"keys": []}), "no key that is fit"),
    "no good key": (
        lambda s: keys(s, {"keys": [1, None, {}, {"kty": "oct"}]}),
        "no key that is fit",
    ),
    "10,000 keys": (lambda s: keys(s, MANY), "bytes"),
    "101 keys": (lambda s: keys(s, {"keys": MANY["keys"][:101]}), "has 101 keys, more than 100"),
    "a document of 1 MiB and a byte": (
        lambda s: keys(s, json.dumps({"keys": [public(FIRST, "x")]}).encode().ljust(1024 * 1024 + 1)),
        "more than 1048576 bytes",
    ),
    "a document without end": (lambda s: keys(s, endless), "more than 1048576 bytes"),
    "a small document that unpacks to a large one": (
        lambda s: keys(s, gzip.compress(b" " * 10_000_000), content_encoding="gzip"),
        "another encoding",
    ),
    "no answer": (lambda s: keys(s, hang_up), "does not answer"),
    "an answer that is not HTTP": (lambda s: keys(s, _babble), "does not answer"),
}


async def _babble(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_is_a_failure_that_says_why_and_the_last_good_keys_stay(
    bad: str, server: ProviderServer, seconds: Seconds
) -> None:
    spoil, reason = BAD_ANSWERS[bad]
    server.paths["/elsewhere"] = server.paths["/keys"]
    discovery, new = a_discovery(server, seconds), a_discovery(server, seconds)
    await discovery.keys()
    spoil(server)
    with capture_logs() as logs:
        assert ids(await discovery.keys(wanted="second")) == ["first"]
        with pytest.raises(Unavailable, match=AWAY):
            await new.keys()
    for entry in logs:
        assert (entry["event"], entry["log_level"]) == ("a provider's keys were not refreshed", "warning")
        assert entry["issuer"] == server.issuer
        assert reason in entry["reason"]
    assert len(logs) == 2
    assert "/elsewhere" not in server.asked
    await asyncio.gather(discovery.close(), new.close())


async def test_a_document_of_exactly_1_mib_and_100_keys_is_read(
    server: ProviderServer, discovery: Discovery
) -> None:
    hundred = [public(FIRST, f"key-{number}") for number in range(100)]
    keys(server, json.dumps({"keys": hundred}).encode().ljust(1024 * 1024), content_type="text/plain")
    assert len((await discovery.keys()).keys) == 100


async def test_where_there_is_no_openid_document_the_one_of_oauth_will_do(
    server: ProviderServer, discovery: Discovery
) -> None:
    del server.paths[server.discovery]
    server.paths["/.well-known/oauth-authorization-server/realms/shop"] = answer(
        server.document(token_endpoint="https://login.example/token")
    )
    assert (await discovery.metadata())["token_endpoint"] == "https://login.example/token"
    assert ids(await discovery.keys()) == ["first"]


async def test_where_there_is_no_answer_at_all_the_other_address_is_not_asked(
    server: ProviderServer, discovery: Discovery
) -> None:
    server.paths[server.discovery] = hang_up
    with pytest.raises(Unavailable):
        await discovery.keys()
    assert server.asked == [server.discovery]


async def test_an_issuer_with_a_slash_is_asked_at_one_and_has_to_say_its_own(
    seconds: Seconds,
) -> None:
    server = ProviderServer(path="/realms/shop/")
    await server.start()
    server.publish(public(FIRST, "first"))
    discovery = a_discovery(server, seconds)
    assert ids(await discovery.keys()) == ["first"]
    assert server.asked[0] == "/realms/shop/.well-known/openid-configuration"
    await discovery.close()
    await server.stop()


async def test_a_preset_may_know_where_the_keys_are_without_a_document(
    server: ProviderServer, seconds: Seconds
) -> None:
    server.paths = {"/realms/shop/.well-known/jwks.json": server.paths["/keys"]}
    discovery = a_discovery(server, seconds, preset="supabase")
    assert ids(await discovery.keys()) == ["first"]
    await discovery.close()


def test_entra_s_old_tokens_have_their_document_elsewhere() -> None:
    provider = Provider(
        issuer="https://sts.windows.net/72f988bf/", preset="entra-v1", audiences=frozenset({"api"})
    )
    assert provider.discovery_urls == (
        "https://login.microsoftonline.com/72f988bf/.well-known/openid-configuration",
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "login.example.com",
        "https://",
        "https://user@login.example.com",
        "https://login.example.com/#x",
        "https://login.example.com/ x",
        "https://login.example.com/\n",
        "",
    ],
)
def test_an_address_that_others_could_answer_for_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"no plain address|has to begin with https"):
        check_address(address, allow_loopback_http=True)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080/x", "http://[::1]:80", "http://localhost", "http://127.9.9.9"]
)
def test_plain_http_is_for_this_machine_and_only_where_that_is_allowed(address: str) -> None:
    check_address(address, allow_loopback_http=True)
    check_address("https://login.example.com", allow_loopback_http=False)
    with pytest.raises(ValueError, match="https"):
        check_address(address, allow_loopback_http=False)
    with pytest.raises(ValueError, match="https"):
        Discovery(
            Provider(issuer=address, audiences=frozenset({"shop"})), allow_loopback_http=False, keep_seconds=1
        )


# ── which keys are fit ───────────────────────────────────────────────────────────────────────────


def an_rsa_key(bits: int, *, exponent: int = 65537) -> dict[str, Any]:
    """No key that anybody could sign with: only its size counts."""
    return {"kty": "RSA", "n": int_to_base64((1 << (bits - 1)) | 1), "e": int_to_base64(exponent), "kid": "x"}


ES = public(FIRST, "x")
UNFIT: dict[str, dict[str, Any]] = {
    "a secret": OctKey.generate_key(256).as_dict(private=True) | {"kid": "x", "alg": "HS256"},
    "a private EC key": FIRST.as_dict(private=True) | {"kid": "x"},
    "a private RSA key": RSA.as_dict(private=True) | {"kid": "x"},
    "for encryption": ES | {"use": "enc"},
    "for a use that is no text": ES | {"use": ["sig"]},
    "to sign with alone": ES | {"key_ops": ["sign"]},
    "with operations that are a text": ES | {"key_ops": "verify"},
    "for another algorithm than its curve's": ES | {"alg": "ES384"},
    "for key agreement": ES | {"alg": "ECDH-ES"},
    "for a secret's algorithm": ES | {"alg": "HS256"},
    "with an algorithm that is a number": ES | {"alg": 7},
    "with an id that is a number": ES | {"kid": 7},
    "of a curve that is not a text": ES | {"crv": ["P-256"]},
    "of a curve for other money": ES | {"crv": "secp256k1"},
    "off its curve": ES | {"y": ES["x"]},
    "on another curve than it says": ES | {"crv": "P-384"},
    "without a coordinate": {name: value for name, value in ES.items() if name != "y"},
    "with a coordinate that is a number": ES | {"x": 7},
    "with a coordinate in another alphabet": ES | {"x": "+/" + ES["x"][2:]},
    "of no kind": ES | {"kty": None},
    "of a kind that is a list": ES | {"kty": ["EC"]},
    "of another kind than its numbers": ES | {"kty": "RSA"},
    "RSA of 1024 bits": an_rsa_key(1024),
    "RSA of 2047 bits": an_rsa_key(2047),
    "RSA of 8193 bits": an_rsa_key(8193),
    "RSA of 65536 bits": an_rsa_key(65536),
    "RSA with the exponent 1": an_rsa_key(2048, exponent=1),
    "RSA with an even exponent": an_rsa_key(2048, exponent=65536),
    "RSA with an exponent as long as its modulus": an_rsa_key(2048, exponent=(1 << 2047) - 1),
    "X25519": OKPKey.generate_key("X25519").as_dict(private=False) | {"kid": "x"},
    "Ed448": OKPKey.generate_key("Ed448").as_dict(private=False) | {"kid": "x"},
    "Ed25519 cut short": OKPKey.generate_key("Ed25519").as_dict(private=False) | {"kid": "x", "x": "AAAA"},
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_key_that_is_not_fit_is_left_out_and_the_others_stay(unfit: str) -> None:
    assert ids(read_key_set({"keys": [UNFIT[unfit], public(SECOND, "second")]})) == ["second"]


@pytest.mark.parametrize(
    ("published", "algorithms"),
    [
        (public(FIRST, "x"), {"ES256"}),
        (public(FIRST, "x", use="sig", key_ops=["verify"], alg="ES256", x5c=["x"]), {"ES256"}),
        (public(RSA, "x"), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (public(RSA, "x", alg="RS256"), {"RS256"}),
        (an_rsa_key(8192), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (public(OKPKey.generate_key("Ed25519"), "x"), {"EdDSA", "Ed25519"}),
        (public(OKPKey.generate_key("Ed25519"), "x", alg="EdDSA"), {"EdDSA"}),
        (public(ECKey.generate_key("P-384"), "x"), {"ES384"}),
        (public(ECKey.generate_key("P-521"), "x"), {"ES512"}),
    ],
)
def test_a_key_is_for_the_algorithms_of_its_kind_and_its_own_alone(
    published: dict[str, Any], algorithms: set[str]
) -> None:
    (key,) = read_key_set({"keys": [published]}).keys
    assert key.algorithms == algorithms


def test_of_keys_with_one_id_the_one_that_fits_the_algorithm_is_found() -> None:
    known = read_key_set({"keys": [public(FIRST, "x"), public(RSA, "x"), public(FIRST, "x", x5t="y")]})
    assert known.find("x", "ES256").key.thumbprint() == FIRST.thumbprint()
    assert known.find("x", "RS256").key.thumbprint() == RSA.thumbprint()


@pytest.mark.parametrize(
    ("id", "algorithm", "reason"),
    [
        ("y", "ES256", "an unknown key"),
        ("", "ES256", "an unknown key"),
        ("x", "ES384", "the key is for another algorithm"),
        ("x", "ES256", "more than one key fits"),
        (None, "ES256", "more than one key fits"),
    ],
)
def test_where_not_exactly_one_key_fits_there_is_none(id: str | None, algorithm: str, reason: str) -> None:
    known = read_key_set({"keys": [public(FIRST, "x"), public(SECOND, "x"), public(RSA, "z")]})
    with pytest.raises(BadTokenError, match=reason):
        known.find(id, algorithm)
    assert known.find(None, "RS256").id == "z"


def test_a_key_of_another_curve_makes_no_good_signature_even_where_it_was_found() -> None:
    wide = ECKey.generate_key("P-384")
    token = signed(b64(b'{"alg":"ES256"}'), b64(b"{}"), key=wide, algorithm="ES256")
    key = VerificationKey("x", frozenset({"ES256"}), wide)
    with pytest.raises(BadTokenError, match="signature: InvalidKeyCurveError"):
        key.check(read_compact(token, longest=1000), "ES256")
