"""What PostgreSQL, its driver and the network say, in the words of the ports. The only translator."""

from collections.abc import Callable, Mapping

import asyncpg

from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from domain.kernel.errors import DomainError, Invalid

type Conflicts = Mapping[str, Callable[[], DomainError | WorldError]]
"""What breaking a constraint means, by the constraint's name."""

NO_CONFLICTS: Conflicts = {}

# Codes and classes of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
_MEANING: Mapping[str, Callable[[], Exception]] = {
    "40001": lambda: Contention("The database could not serialise two changes."),
    "40P01": lambda: Contention("Two changes waited for each other."),
    "57014": lambda: TimedOut("A statement took too long."),
    "55P03": lambda: TimedOut("A lock was not to be had in time."),
    "25P03": lambda: TimedOut("A transaction was idle for too long."),
    "25P04": lambda: TimedOut("A transaction took too long."),
    "22021": lambda: Invalid("A text has a character that cannot be stored."),  # NUL
    "22P05": lambda: Invalid("A text has a character that cannot be stored."),
    "28000": lambda: Unavailable("The database refuses the user."),
    "28P01": lambda: Unavailable("The database refuses the password."),
    "3D000": lambda: Unavailable("The database does not exist."),
    "42P01": lambda: Unavailable("The database lacks a table: run the migrations."),
    "42703": lambda: Unavailable("The database lacks a column: run the migrations."),
}
_AWAY = ("08", "53", "57P")  # connection, insufficient resources, operator intervention


def translated(error: Exception, *, lost: bool, conflicts: Conflicts = NO_CONFLICTS) -> Exception:
    """The error to raise instead; the same one where there is no better, which is a defect (500).

    `lost` says that the connection is closed by now: then it hardly matters what the error was.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith("23") and (conflict := conflicts.get(error.constraint_name or "")):
            return conflict()
        if isinstance(error, asyncpg.InvalidCachedStatementError):  # the driver will prepare it anew
            return Contention("A migration has just changed a table.")
        if meaning := _MEANING.get(state):
            return meaning()
        lost = lost or state.startswith(_AWAY)
    # What the driver cannot encode, which it says before anything is sent: half of a surrogate pair, or
    # an instant that is outside of the calendar once it is in UTC.
    if isinstance(error.__cause__, UnicodeError | OverflowError):
        return Invalid("A text is not valid Unicode, or an instant is out of range.")
    if lost or isinstance(error, OSError):  # TimeoutError is one
        return Unavailable("The database does not answer.")
    return error
