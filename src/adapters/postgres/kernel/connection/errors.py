"""What PostgreSQL, its driver and the network say, in the words of the ports. The only translator.

The question is whose the error is. The world's is Unavailable, TimedOut or Contention, its cause goes into
the log, and where the connection is what is wrong, the pool does not get it back. Ours stays what it is, a
defect, and the answer is a 500. By class and code of SQLSTATE
(https://www.postgresql.org/docs/current/errcodes-appendix.html), the longer entry before the shorter:

    08          connection exception, a pooler's too      Unavailable, retired
    25006       read-only: a failover has left us here    Unavailable, retired, and so are the idle ones
    25P03 25P04 idle in transaction, transaction too long TimedOut (the server has ended the connection)
    26          a prepared statement that is not there    Unavailable, retired: another's session, by a pooler
    28          not let in                                Unavailable, retired
    34 42P03 42P05  a cursor or a statement that is not   Unavailable, retired: the same as 26
                there, or is there already
    3D 3F       no such database, no such schema          Unavailable
    40          rolled back for another's sake            Contention
    40002           for a constraint's                    ours
    40003           perhaps                               Unavailable, retired: never repeated
    42P01 42703 no such table, no such column             Unavailable: the migrations have not been run
    42501       not allowed                               Unavailable, retired
    53          no memory, disk, connection left          Unavailable, retired
    55          not in the state that it takes            Unavailable, retired
    55P03           a lock not to be had in time          TimedOut
    57          an operator intervened                    Unavailable, retired
    57014           or statement_timeout did              TimedOut
    58 F0       the server's system, its configuration    Unavailable, retired
    72          a snapshot that is too old                Contention
    HV          a foreign server                          Unavailable
    XX001 XX002 corrupted                                 Unavailable, retired
    XX          the server's own defect                   a 500, as no operator can mend it; retired

Contention and TimedOut keep their connection: the server has stopped a statement or a transaction, and is
well. 22021 and 22P05, characters that cannot be stored, are the caller's (Invalid), and class 23 is what the
repository says that it means. All else is ours, however it came: 0A (but for a plan that a migration has
changed, which is Contention), 21, 22, 23, 24, the rest of 25 (a transaction that we have lost track of), 2B,
2D, 2F, 38, 39, 3B, 42, 44, 54 and P0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import asyncpg
import structlog

from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from domain.kernel.errors import DomainError, Invalid

type Conflicts = Mapping[str, Callable[[], DomainError | WorldError]]
"""What breaking a constraint means, by the constraint's name."""

NO_CONFLICTS: Conflicts = {}

READ_ONLY = "25006"

log = structlog.get_logger("postgres")


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[WorldError | Invalid] | None
    """What it is in the words of the ports; none where it is a defect."""
    says: str = ""
    retired: bool = False


_UNAVAILABLE = _Meaning(Unavailable, "The database does not answer.", retired=True)
_UNUSABLE = _Meaning(Unavailable, "The database cannot be used at the moment.", retired=True)
_CONTENTION = _Meaning(Contention, "The database could not serialise two changes.")
_TEXT = _Meaning(Invalid, "A text has a character that cannot be stored.")
_OURS = _Meaning(None)

_MEANING: Mapping[str, _Meaning] = {
    "08": _UNAVAILABLE,
    "22021": _TEXT,  # NUL
    "22P05": _TEXT,
    READ_ONLY: _Meaning(Unavailable, "The database takes no changes.", retired=True),
    "25P03": _Meaning(TimedOut, "A transaction was idle for too long."),
    "25P04": _Meaning(TimedOut, "A transaction took too long."),
    "26": _UNUSABLE,
    "28": _Meaning(Unavailable, "The database refuses the user.", retired=True),
    "28P01": _Meaning(Unavailable, "The database refuses the password.", retired=True),
    "34": _UNUSABLE,
    "3D": _Meaning(Unavailable, "The database does not exist."),
    "3F": _Meaning(Unavailable, "The database lacks a schema: run the migrations."),
    "40": _CONTENTION,
    "40002": _OURS,
    "40003": _UNUSABLE,
    "40P01": _Meaning(Contention, "Two changes waited for each other."),
    "42501": _UNUSABLE,
    "42703": _Meaning(Unavailable, "The database lacks a column: run the migrations."),
    "42P01": _Meaning(Unavailable, "The database lacks a table: run the migrations."),
    "42P03": _UNUSABLE,
    "42P05": _UNUSABLE,
    "53": _UNUSABLE,
    "55": _UNUSABLE,
    "55P03": _Meaning(TimedOut, "A lock was not to be had in time."),
    "57": _UNAVAILABLE,
    "57014": _Meaning(TimedOut, "A statement took too long."),
    "58": _UNUSABLE,
    "72": _CONTENTION,
    "F0": _UNUSABLE,
    "HV": _Meaning(Unavailable, _UNUSABLE.says),
    "XX": _Meaning(None, retired=True),
    "XX001": _UNUSABLE,
    "XX002": _UNUSABLE,
}


def translated(
    error: Exception,
    *,
    lost: bool,
    conflicts: Conflicts = NO_CONFLICTS,
    logged: bool = True,
    statement: str | None = None,
) -> Exception:
    """The error to raise instead; the same one where there is no better, which is a defect (500).

    `lost` says that the connection is closed by now: then it hardly matters what the error was. What the
    world did is in the log afterwards, with its cause, unless the caller logs that itself: it is the `cause`
    of the error too. `statement` is the name of the one that failed.
    """
    if isinstance(error, asyncpg.IntegrityConstraintViolationError) and (
        conflict := conflicts.get(error.constraint_name or "")
    ):
        return conflict()
    meant = _translated(error, lost=lost)
    if isinstance(meant, WorldError):
        _tell(meant, error, logged=logged, statement=statement)
    return meant


def retires(error: Exception) -> bool:
    """Whether the connection is of no use after the error, though it may still be open."""
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):
        return False
    return isinstance(error, asyncpg.InternalClientError) or _meaning(error).retired


def casts_doubt(error: Exception) -> bool:
    """Whether what is wrong with the connection is most likely wrong with the idle ones as well."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == READ_ONLY


def cause_of(error: BaseException) -> tuple[str | None, str]:
    """The SQLSTATE, if the server has spoken, and what was said: no DETAIL and no HINT, which have values."""
    while error.__cause__ is not None:  # the driver says "connection was closed", and behind it why
        error = error.__cause__
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate, str(error.args[0]) if error.args else ""
    return None, str(error) or "no answer in time"  # as a TimeoutError of asyncio's, which has no words


def _translated(error: Exception, *, lost: bool) -> Exception:
    if isinstance(error, asyncpg.PostgresError):
        if isinstance(error, asyncpg.InvalidCachedStatementError):  # the driver will prepare it anew
            return Contention("A migration has just changed a table.")
        meaning = _meaning(error)
        if meaning.error is not None:
            return meaning.error(meaning.says)
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):  # and so it will look up the types
        return Contention("A migration has just changed a type.")
    # What the driver cannot encode, which it says before anything is sent: half of a surrogate pair, or
    # an instant that is outside of the calendar once it is in UTC.
    if isinstance(error.__cause__, UnicodeError | OverflowError):
        return Invalid("A text is not valid Unicode, or an instant is out of range.")
    # TimeoutError is an OSError; and what is no protocol of PostgreSQL's is not the server's.
    if lost or isinstance(error, OSError | asyncpg.ProtocolError):
        return Unavailable(_UNAVAILABLE.says)
    return error


def _meaning(error: Exception) -> _Meaning:
    state = (error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else ""
    return _MEANING.get(state) or _MEANING.get(state[:2], _OURS)


def _tell(meant: WorldError, error: Exception, *, logged: bool, statement: str | None) -> None:
    state, said = cause_of(error)
    kind = type(error).__name__
    meant.cause = " ".join(filter(None, (state, f"{kind}:", said)))
    if not logged:
        return
    # What lost to another is run again, and says so; the others reach a client or an operator.
    level = log.info if isinstance(meant, Contention) else log.warning
    said_of = {} if statement is None else {"statement": statement}
    level("the database failed", reason=str(meant), sqlstate=state, error=kind, cause=said, **said_of)
