"""Secrets that are handed out once."""

import re

from application.kernel.identity.secret_tokens import fingerprint, new_secret


def test_a_secret_has_256_random_bits_and_fits_in_a_url() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in made)


def test_a_fingerprint_is_sha_256_in_hexadecimal() -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4's example
    assert fingerprint("abc") == known


def test_even_what_is_no_text_has_a_fingerprint_of_its_own() -> None:
    assert len({fingerprint("\ud800"), fingerprint("\ud801"), fingerprint("?")}) == 3
