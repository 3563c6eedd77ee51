"""How a test says that something is refused: for this very reason, in these words, naming this field."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domain.kernel.errors import DomainError, Invalid


@contextmanager
def refused(error: type[DomainError], detail: str = "", *, field: str | None = None) -> Iterator[None]:
    """The block raises exactly this error, no subclass and no other detail."""
    with pytest.raises(error) as caught:
        yield
    raised = caught.value
    named = raised.field if isinstance(raised, Invalid) else None
    assert (type(raised), raised.detail, named) == (error, detail, field)
