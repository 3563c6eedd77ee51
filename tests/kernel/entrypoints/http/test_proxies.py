"""Whose word on the client's address and scheme is taken, and which word of theirs."""

from typing import Any

import pytest

from entrypoints.http.kernel.server.proxies import Proxies
from entrypoints.kernel.configuration.networks import read_network

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")


def told(*headers: tuple[str, str], peer: str = "10.0.0.1", scheme: str = "http") -> tuple[str, str]:
    """The client's address and the scheme, after a request from `peer` with these headers."""
    scope: dict[str, Any] = {
        "type": "http",
        "client": (peer, 4711),
        "scheme": scheme,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    Proxies([read_network(each) for each in PROXIES]).apply(scope)
    return scope["client"][0], scope["scheme"]


def x_for(value: str) -> tuple[str, str]:
    return "x-forwarded-for", value


def x_proto(value: str) -> tuple[str, str]:
    return "x-forwarded-proto", value


def forwarded(value: str) -> tuple[str, str]:
    return "forwarded", value


BY_A_STRANGER = [x_for("203.0.113.9"), x_proto("https"), forwarded("for=203.0.113.9;proto=https")]


@pytest.mark.parametrize("header", BY_A_STRANGER)
@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", "2001:db8::1", "testclient", ""])
def test_what_a_stranger_says_counts_for_nothing(peer: str, header: tuple[str, str]) -> None:
    assert told(header, peer=peer) == (peer, "http")


def test_without_a_peer_nobody_is_believed() -> None:
    scope: dict[str, Any] = {"client": None, "scheme": "http", "headers": [(b"x-forwarded-proto", b"https")]}
    Proxies([read_network("10.0.0.0/8")]).apply(scope)
    assert (scope["client"], scope["scheme"]) == (None, "http")


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("203.0.113.9, 192.0.2.1", "192.0.2.1"),  # the first is whatever the client sent
        ("203.0.113.9,192.0.2.1,10.0.0.2,10.0.0.3", "192.0.2.1"),
        ("10.0.0.9, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:51234", "192.0.2.1"),  # Azure's gateway
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1, 2001:db8:ffff::2", "2001:db8::1"),
        ("::ffff:192.0.2.1, ::ffff:10.0.0.3", "192.0.2.1"),
        ("10.0.0.7, 10.0.0.8", "10.0.0.7"),  # a proxy that asks by itself
        (", 192.0.2.1 ,", "192.0.2.1"),
        ("192.0.2.1, unknown", "10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.5", "10.0.0.5"),
        ("203.0.113.9, 192.0.2.256", "10.0.0.1"),
        ("evil\x00, 010.0.0.1", "10.0.0.1"),
        ("", "10.0.0.1"),
        (",".join(["203.0.113.9"] * 5_000 + ["192.0.2.1"]), "192.0.2.1"),
    ],
)
def test_the_rightmost_address_that_is_no_proxys_is_the_clients(value: str, client: str) -> None:
    assert told(x_for(value))[0] == client


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        ("for=192.0.2.1", "192.0.2.1", "http"),
        ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1", "https"),
        ("For=192.0.2.1;Proto=HTTPS;host=evil.example", "192.0.2.1", "https"),
        ('for="[2001:db8::1]:4711";proto=https', "2001:db8::1", "https"),
        ('for="192.0.2.1:80"', "192.0.2.1", "http"),
        ("for=192.0.2.1:80", "192.0.2.1", "http"),  # not in the grammar, and common
        ('for="\\192.0.2.1"', "192.0.2.1", "http"),
        ("for=203.0.113.9;proto=http, for=192.0.2.1;proto=https", "192.0.2.1", "https"),
        ("for=203.0.113.9, for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", "192.0.2.1", "https"),
        ('for="a, for=203.0.113.9;proto=http", for=192.0.2.1', "192.0.2.1", "http"),
        ('for=203.0.113.9;proto="x;y", for=192.0.2.1 ; proto=https', "192.0.2.1", "https"),
        ("for=unknown;proto=https", "10.0.0.1", "https"),
        ("for=192.0.2.1, for=_hidden;proto=https", "10.0.0.1", "https"),
        ("proto=https", "10.0.0.1", "https"),
        ('for=", for=192.0.2.1', "10.0.0.1", "http"),  # a quote that the client has opened
        ("for=192.0.2.1 for=192.0.2.2", "10.0.0.1", "http"),
        ("for=192.0.2.1;proto=javascript", "192.0.2.1", "http"),
        ("nonsense", "10.0.0.1", "http"),
        ("for=192.0.2.1;" + "a" * 5_000, "10.0.0.1", "http"),
        ("", "10.0.0.1", "http"),
    ],
)
def test_forwarded_is_read_by_its_grammar(value: str, client: str, scheme: str) -> None:
    assert told(forwarded(value)) == (client, scheme)


def test_lines_of_one_header_are_one_list() -> None:
    assert told(x_for("203.0.113.9"), x_for("192.0.2.1"), x_for("10.0.0.2"))[0] == "192.0.2.1"
    assert told(forwarded("for=203.0.113.9"), forwarded("for=192.0.2.1"))[0] == "192.0.2.1"


def test_a_line_that_a_client_has_broken_does_not_hide_what_the_proxy_added() -> None:
    assert told(forwarded('for="'), forwarded("for=192.0.2.1;proto=https")) == ("192.0.2.1", "https")


@pytest.mark.parametrize(
    ("addresses", "schemes", "scheme"),
    [
        ("192.0.2.1", "https", "https"),
        ("192.0.2.1", "HTTPS", "https"),
        ("192.0.2.1, 10.0.0.2", "https, http", "https"),  # TLS ends at the first of two proxies
        ("203.0.113.9, 192.0.2.1, 10.0.0.2", "https, http, https", "http"),
        ("192.0.2.1, 10.0.0.2", "https", "https"),
        ("192.0.2.1", "https, http", "http"),  # the client sent the first
        ("", "http, https", "https"),
        ("192.0.2.1", "wss", "http"),
        ("192.0.2.1", "", "http"),
    ],
)
def test_the_scheme_is_the_one_that_the_client_used(addresses: str, schemes: str, scheme: str) -> None:
    assert told(x_for(addresses), x_proto(schemes))[1] == scheme


def test_a_proxy_can_take_tls_away_as_well() -> None:
    assert told(x_for("192.0.2.1"), x_proto("http"), scheme="https") == ("192.0.2.1", "http")


@pytest.mark.parametrize(
    "other", ["for=203.0.113.9;proto=http", "for=unknown", 'for="', "for=10.0.0.1;proto=http"]
)
def test_where_two_headers_disagree_neither_counts(other: str) -> None:
    """One of them came from the client, and nobody can say which the proxy does not know."""
    said = x_for("192.0.2.1"), forwarded(other)
    assert told(*said)[0] == told(*reversed(said))[0] == "10.0.0.1"


def test_where_two_headers_agree_they_count() -> None:
    said = x_for("203.0.113.9, 192.0.2.1"), forwarded("for=192.0.2.1")
    assert told(*said, x_proto("https")) == ("192.0.2.1", "https")
    assert told(*said, forwarded("proto=https;for=192.0.2.1"), x_proto("http")) == ("192.0.2.1", "http")
