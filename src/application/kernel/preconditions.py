"""Changes only to what the caller has seen: `If-Match` (RFC 9110 §13.1.1), however it arrives."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import Stale


class PreconditionFailed(Stale):
    """It has changed since you read it; read it again and repeat your change."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An aggregate, identified by its kind and some of its fields, and the versions that may be changed.

    `None` means any version: it has to exist.
    """

    kind: type[Aggregate] | None
    fields: Mapping[str, object]
    versions: Collection[int] | None

    def is_about(self, found: Aggregate) -> bool:
        return (
            self.kind is not None
            and isinstance(found, self.kind)
            and all(getattr(found, name) == value for name, value in self.fields.items())
        )


class Watch:
    """Compares what a transaction reads with what its caller expects.

    The version is compared with what the transaction has read first, and the guard of every save compares it
    once more with what is stored then: so this costs no statement, and leaves no gap.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._met: bool | None = None

    def look(self, found: Aggregate) -> None:
        """Takes note of an aggregate that the transaction has read."""
        if self._met is None and self._expected.is_about(found):
            versions = self._expected.versions
            self._met = versions is None or found.version in versions

    def waive(self) -> None:
        """Nothing is changed, so nothing is expected any more."""
        self._met = True

    def ensure_met(self) -> None:
        """Raises PreconditionFailed where it was read in another version, or was never read.

        After the use case: a caller who may not do it learns that, and nothing of versions (RFC 9110
        §13.2.1).
        """
        if not self._met:
            raise PreconditionFailed
