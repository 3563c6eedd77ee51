"""The bounds of what is read at all, beside the attacks that every issuer's tokens are tried with."""

import pytest

from adapters.tokens.compact import BadTokenError, read_compact, strict_object


def test_the_length_is_looked_at_before_anything_else() -> None:
    with pytest.raises(BadTokenError, match="longer than 10 bytes"):
        read_compact("x" * 11, longest=10)
    with pytest.raises(BadTokenError, match="not of three parts"):
        read_compact("x" * 10, longest=10)


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000], ids=["lists", "objects"])
def test_nesting_without_end_is_a_bad_token_and_no_defect(text: bytes) -> None:
    with pytest.raises(BadTokenError, match="not JSON: RecursionError"):
        strict_object(text)
