"""The seal: what is kept elsewhere is read, made and put in another's place by nobody else."""

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from adapters.tokens.sealing import ANSWERS, LOGINS, SIGNING_KEYS, JweSeal

SECRET = "a secret of a test"

# What was sealed when each purpose had a class of its own.
A_SIGNING_KEY = (
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiYWRhIn0..ra_yfJwsqLa-70WW.NiKLTxZIr_MU4A"
    ".31SeXGtaty0J8WJU5rcD0Q"
)
A_LOGIN = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..rGCXdk4WxufkXK3o.mAX0vmlTR4JBhg.4u_3NWtqs_B1tYrpHh0F-Q"


@pytest.fixture
def seal() -> JweSeal:
    return JweSeal(SECRET, LOGINS)


@pytest.mark.parametrize("name", ["", "ada", "{}", "ü" * 100])
def test_what_is_sealed_comes_back_and_shows_nothing(seal: JweSeal, name: str) -> None:
    sealed = seal.seal("a verifier", name=name)
    assert "verifier" not in sealed
    assert seal.unseal(sealed, name=name) == "a verifier"
    assert seal.seal("a verifier", name=name) != sealed


@pytest.mark.parametrize(
    "text", ["", "\0", "Überraschung \U0001f9f5", "x" * 1_000_000], ids=["", "NUL", "✓", "1 MB"]
)
def test_every_text_comes_back_however_long(seal: JweSeal, text: str) -> None:
    assert seal.unseal(seal.seal(text)) == text


def test_another_secret_opens_nothing(seal: JweSeal) -> None:
    assert JweSeal("another secret", LOGINS).unseal(seal.seal("a verifier")) is None


@pytest.mark.parametrize("purpose", [ANSWERS, SIGNING_KEYS, ""])
def test_nor_does_the_same_secret_for_another_purpose(seal: JweSeal, purpose: str) -> None:
    assert JweSeal(SECRET, purpose).unseal(seal.seal("a verifier")) is None


@pytest.mark.parametrize(("given", "asked"), [("ada", "bob"), ("ada", ""), ("", "ada"), ("ada", "Ada")])
def test_nor_another_name(seal: JweSeal, given: str, asked: str) -> None:
    assert seal.unseal(seal.seal("a verifier", name=given), name=asked) is None


@pytest.mark.parametrize("position", range(5))
def test_what_was_sealed_cannot_be_changed(seal: JweSeal, position: int) -> None:
    parts = seal.seal("a verifier").split(".")
    parts[position] = f"{parts[position][:-2]}AA" if parts[position] else "AAAA"
    assert seal.unseal(".".join(parts)) is None


def test_its_name_cannot_be_changed(seal: JweSeal) -> None:
    ada, bob = (seal.seal("a verifier", name=name).split(".") for name in ("ada", "bob"))
    assert seal.unseal(".".join([bob[0], *ada[1:]]), name="bob") is None


@pytest.mark.parametrize(
    "sealed", ["", "x", "....", "a.b.c.d.e", "e30.e30.e30.e30.e30", "\udfff", "é" * 100, "." * 10_000]
)
def test_what_was_never_sealed_is_nothing(seal: JweSeal, sealed: str) -> None:
    assert seal.unseal(sealed) is None


def test_what_was_sealed_with_another_algorithm_is_nothing(seal: JweSeal) -> None:
    half = OctKey.import_key(seal._key.raw_value[:16])
    sealed = jwe.encrypt_compact({"alg": "dir", "enc": "A128GCM"}, "a verifier", half)
    seal._key = half
    assert seal.unseal(sealed) is None


@pytest.mark.parametrize(
    ("purpose", "name", "sealed"),
    [(SIGNING_KEYS, "ada", A_SIGNING_KEY), (LOGINS, "", A_LOGIN)],
    ids=["signing key", "log-in"],
)
def test_what_an_earlier_version_sealed_is_read_still(purpose: str, name: str, sealed: str) -> None:
    assert JweSeal(SECRET, purpose).unseal(sealed, name=name) == "a verifier"


@pytest.mark.parametrize("purpose", [LOGINS, SIGNING_KEYS, ANSWERS])
def test_while_the_secret_changes_both_open_and_the_first_seals(purpose: str) -> None:
    old, new = JweSeal("the old one", purpose), JweSeal("the new one", purpose)
    before = JweSeal("the old one", purpose, second="the new one")
    after = JweSeal("the new one", purpose, second="the old one")
    for each in (old, new, before, after):
        for reader in (before, after):
            assert reader.unseal(each.seal("a verifier", name="n"), name="n") == "a verifier"
            assert reader.unseal(each.seal("a verifier", name="n"), name="m") is None
    assert old.unseal(before.seal("a verifier")) == "a verifier"
    assert new.unseal(before.seal("a verifier")) is None
    assert new.unseal(after.seal("a verifier")) == "a verifier"
    assert old.unseal(after.seal("a verifier")) is None
    another = "signing keys" if purpose != SIGNING_KEYS else "log-in under way"
    assert JweSeal("another", another, second="the old one").unseal(old.seal("a verifier")) is None
