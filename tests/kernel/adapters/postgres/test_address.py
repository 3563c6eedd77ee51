"""Addresses as clouds hand them out, and what is said of one that is wrong."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.postgres.kernel.connection.address import Keepalive, read_address

U = "postgresql://ada:s3cret@db.example.com"
D = f"{U}/shop"


@pytest.fixture(autouse=True)
def _nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of libpq's, and no certificate in ~/.postgresql."""
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLNEGOTIATION", "PGTARGETSESSIONATTRS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        ("postgresql://a:b@ep-cool-1-pooler.aws.neon.tech/db?sslmode=require&channel_binding=require", False),
        ("postgres://postgres.ref:b@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true", True),
        ("postgres://a:b@aws-0-eu.pooler.supabase.com/db?pgbouncer=true&connection_limit=1&supa=x", True),
        ("postgresql://a:b@h/db?pool_mode=transaction", True),
        ("postgresql://a:b@h/db?pool_mode=session&pgbouncer=false", False),
        ("postgres://a:b@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d123", False),
        ("postgres://a:b@top2.nearest.of.app.internal:5432/app?sslmode=disable", False),
        ("postgresql://a%40server:b@server.postgres.database.azure.com:5432/db?sslmode=require", False),
        ("postgresql://a:b@aws.connect.psdb.cloud:6432/db?sslmode=verify-full&sslrootcert=system", False),
        ("postgresql://a:b@h/db?sslnegotiation=direct&sslmode=require", False),
        ("postgresql+psycopg2://a:b@h/db?gssencmode=disable&client_encoding=utf8&schema=public", False),
        ("POSTGRES://a:b@h/db?ssl=true&sslcompression=0&sslsni=1&statement_cache_size=100", False),
        ("postgresql://a:b@h/db?options=endpoint%3Dep-cool-1&prepared_statements=true", False),
        ("postgresql://a:b@h/db?options=--cluster%3Dabc%20-c%20work_mem%3D4MB&uselibpqcompat=true", False),
        (
            "postgresql://a:b@h/db?connect_timeout=10&fallback_application_name=x&min_protocol_version=3.0",
            False,
        ),
    ],
)
def test_what_clouds_hand_out_is_understood(url: str, pooled: bool) -> None:
    assert read_address(url).pooled is pooled


def test_the_parts_of_an_address_are_where_they_belong() -> None:
    address = read_address("postgresql://a%40b:p%3Aw:x@h1:1,h2,[::1]:3/my%20shop")
    assert address.hosts == (("h1", 1), ("h2", 5432), ("::1", 3))
    assert (address.user, address.password, address.database) == ("a@b", "p:w:x", "my shop")
    address = read_address("postgresql:///?dbname=shop&host=h1,h2&port=1,2&user=ada&password=b")
    assert address.hosts == (("h1", 1), ("h2", 2))
    assert (address.user, address.password, address.database) == ("ada", "b", "shop")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada@/shop?host=/cloudsql/p:r:i",
        "postgresql://ada@localhost/shop?host=/cloudsql/p:r:i",
        "postgresql://ada@%2Fcloudsql%2Fp%3Ar%3Ai/shop",
    ],
)
def test_a_folder_of_a_socket_is_a_host_and_needs_no_tls(url: str) -> None:
    address = read_address(url)
    assert (address.hosts, address.tls) == ((("/cloudsql/p:r:i", 5432),), False)


def test_what_an_address_says_of_a_connection_is_kept() -> None:
    address = read_address(
        f"{D}?target_session_attrs=prefer-standby&load_balance_hosts=random&connect_timeout=3"
        "&application_name=till&keepalives=0&keepalives_idle=30&keepalives_interval=7&keepalives_count=2"
        "&tcp_user_timeout=9000&options=-csearch_path%3Dshop"
    )
    assert (address.session, address.shuffled, address.host_seconds) == ("prefer-standby", True, 3.0)
    assert (address.application_name, address.options) == ("till", "-csearch_path=shop")
    assert address.keepalive == Keepalive(30, 7, 2, 9000, on=False)
    usual = read_address(
        f"{D}?connect_timeout=0&keepalives_count=&sslmode="
    )  # empty: as if it were not there
    assert (usual.host_seconds, usual.keepalive, usual.tls) == (None, Keepalive(), "prefer")


@pytest.mark.parametrize(
    ("parameters", "verify", "names"),
    [
        ("sslmode=require", ssl.CERT_NONE, False),
        ("ssl=1", ssl.CERT_NONE, False),
        ("sslmode=require&channel_binding=prefer", ssl.CERT_NONE, False),
        # The driver cannot bind a channel. That nobody stands in between is shown by the certificate instead.
        ("sslmode=require&channel_binding=require", ssl.CERT_REQUIRED, True),
        ("channel_binding=require", ssl.CERT_REQUIRED, True),
        ("sslrootcert=system", ssl.CERT_REQUIRED, True),
        ("sslmode=verify-full&sslrootcert=system&ssl_min_protocol_version=TLSv1.3", ssl.CERT_REQUIRED, True),
    ],
)
def test_tls_verifies_what_it_is_asked_to(parameters: str, verify: ssl.VerifyMode, names: bool) -> None:
    tls = read_address(f"{D}?{parameters}").tls
    assert isinstance(tls, ssl.SSLContext)
    assert (tls.verify_mode, tls.check_hostname) == (verify, names)


def test_what_libpq_reads_of_the_environment_counts_where_the_url_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
    address = read_address(D)
    assert (address.tls, address.session) == (False, "read-write")
    assert read_address(f"{D}?sslmode=allow").tls == "allow"
    monkeypatch.setenv("PGSSLMODE", "always")
    with pytest.raises(ValueError, match="PGSSLMODE"):
        read_address(D)


REFUSED = {
    # the address itself
    "mysql://ada:s3cret@db/shop": "does not name a PostgreSQL. Write it as",
    "host=db dbname=shop password=s3cret": "does not name a PostgreSQL. Write it as",
    "postgresql:/ada:s3cret@db/shop": "does not name a PostgreSQL. Write it as",
    f"jdbc:{D}": "is JDBC's. Write it as",
    f'"{D}"': "stands in quotation marks. Remove them.",
    f"{D} x": "has a space or a line break inside. Write a space as %20.",
    "postgresql://ada:s3c ret@db/shop": "has a space",
    f"{D}\nX=1": "has a space or a line break",
    "postgresql://ada:s3cret%@db/shop": "has a % that begins no character. Write a percent sign as %25.",
    "postgresql://ada:s3#cret@db/shop": "has a #",
    U: "names no database.",
    f"{U}/": "names no database.",
    f"{U}?sslmode=require": "names no database.",
    f"{D}/orders": "cannot be read.",
    f"{U}:99999/shop": "has a port that is not from 1 to 65535.",
    f"{U}:0/shop": "has a port that is not from 1 to 65535.",
    f"{U}:\N{FULLWIDTH DIGIT FIVE}/shop": "has a port that is not from 1 to 65535.",
    f"{U}:-1/shop": "cannot be read.",
    "postgresql://ada:s3cret@::1/shop": "cannot be read.",
    "postgresql://ada:s3/cret@db/shop": "cannot be read.",
    "postgresql://ada:s3?cret@db/shop": "cannot be read.",
    "postgresql://ada:s3@cret@db/shop": "cannot be read.",
    "postgresql://h1,,h2/shop": "has an empty name among its hosts.",
    "postgresql://h1,h2:5432,/shop": "has an empty name among its hosts.",
    "postgresql://h1,h2/shop?port=1,2,3": "has another count of ports than of hosts.",
    "postgresql:///shop?port=1": "has port= without a host.",
    # parameters that there are not
    f"{D}?sslmod=require": "has a parameter that is not known: sslmod. Did you mean sslmode?",
    f"{D}?SSLMode=require": "Did you mean sslmode?",
    f"{D}?target_session_attr=any": "Did you mean target_session_attrs?",
    f"{D}?conect_timeout=3": "Did you mean connect_timeout?",
    f"{D}?wibble=1": "has a parameter that is not known: wibble. Remove it. What the server is to set",
    f"{D}?x=1&s3cret%21=2": "has a parameter that is not known: one.",
    f"{D}?sslmode": "has sslmode without a value.",
    f"{D}?sslmode=require&sslmode=disable": "has sslmode twice.",
    # values that there are not
    f"{D}?sslmode=requir": "has a sslmode that there is not. It takes disable, allow, prefer, require,",
    f"{D}?target_session_attrs=master": "It takes any, read-write, read-only, primary, standby or",
    f"{D}?connect_timeout=fast": "has a connect_timeout that is no whole number.",
    f"{D}?keepalives=yes": "has a keepalives that there is not. It takes 0 or 1.",
    f"{D}?keepalives_idle=1.5": "has a keepalives_idle that is no whole number.",
    f"{D}?tcp_user_timeout=10s": "has a tcp_user_timeout that is no whole number.",
    f"{D}?pgbouncer=maybe": "has a pgbouncer that there is not.",
    f"{D}?pool_mode=statement": "has a pool_mode that there is not. It takes transaction or session.",
    f"{D}?load_balance_hosts=yes": "has a load_balance_hosts that there is not.",
    f"{D}?options=search_path": "has options that cannot be read. Write them as options=-c%20name%3Dvalue.",
    # what is not done here
    f"{D}?service=shop": "has service, which is not supported so. Write out in the URL",
    f"{D}?hostaddr=10.0.0.1": "has hostaddr, which is not supported so. Write the address as the host",
    f"{D}?gssencmode=require": "has gssencmode, which is not supported so. Kerberos is not supported.",
    f"{D}?krbsrvname=pg": "Kerberos is not supported.",
    f"{D}?require_auth=scram-sha-256": "Have pg_hba.conf require",
    f"{D}?statement_cache_size=0": "max_prepared_statements=200",
    f"{D}?prepared_statements=false": "max_prepared_statements=200",
    f"{D}?prepareThreshold=0": "max_prepared_statements=200",
    f"{D}?search_path=shop": "Write options=-c%20search_path%3Dname.",
    f"{D}?schema=shop": "Write options=-c%20search_path%3Dname.",
    f"{D}?statement_timeout=5": "Set DATABASE_STATEMENT_SECONDS.",
    f"{D}?client_encoding=latin1": "Text is always UTF-8.",
    f"{D}?replication=database": "The service is no replica.",
    # TLS
    f"{D}?sslmode=verify-full": "has sslmode=verify-full without a root certificate.",
    f"{D}?sslmode=verify-ca&sslrootcert=/no.pem": "names a file for sslrootcert that is not there.",
    f"{D}?sslrootcert=system&sslmode=require": "has sslrootcert=system, which needs sslmode=verify-full.",
    f"{D}?sslrootcert=/ca.pem": "has certificates, which need sslmode=require,",
    f"{D}?sslmode=disable&channel_binding=require": "has channel_binding=require, which needs TLS.",
    f"{D}?sslmode=disable&ssl=true": "has sslmode and ssl, which disagree.",
    f"{D}?sslnegotiation=direct": "has sslnegotiation=direct, which needs sslmode=require,",
    f"{D}?passfile=/no": "names a file for passfile that is not there.",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_wrong_is_said_with_the_remedy_and_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as refused:
        read_address(url)
    assert REFUSED[url] in str(refused.value)
    assert "s3" not in str(refused.value)
    assert "cret" not in str(refused.value)


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("rubbish")
    with pytest.raises(ValueError, match="names a file for sslrootcert that cannot be used"):
        read_address(f"{D}?sslmode=verify-ca&sslrootcert={tmp_path}/ca.pem")
    (tmp_path / "key.pem").write_text("rubbish")
    with pytest.raises(ValueError, match="names a file for sslcert or its sslkey that cannot be used"):
        read_address(f"{D}?sslmode=require&sslcert={tmp_path}/ca.pem&sslkey={tmp_path}/key.pem")


def test_options_for_a_vendor_set_nothing_at_the_server() -> None:
    said = {"endpoint%3Dep-cool-1": False, "-c%20jit%3Don": True, "--jit%3Don": True, "-cjit%3Don": True}
    found = {options: read_address(f"{D}?options={options}").sets_options for options in said}
    assert found == said
    assert not replace(read_address(D)).sets_options
