"""Exceptions as they are told to operators: which, where and why, without the values that they mention.

The message of an exception can hold any value: PostgreSQL's has the row (`DETAIL: Key (email)=(…)`), a
KeyError its key. Of a message only what stands as text in the function that raised it is kept, and `…` is put
in the place of the rest. A database error has its SQLSTATE and the names of what it is about. An OSError
keeps its words, which are the system's, and the address that could not be reached. Local variables are never
shown (docs/decisions/0045).
"""

import re
import traceback
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, TracebackType
from typing import Any, Final

from structlog.typing import ExcInfo

LEFT_OUT: Final = "…"

_LEAST_LETTERS = 3  # a shorter piece of a message may be part of a value as well
_FRAMES_MOST = 50
_LINKS_MOST = 20

# Names of the schema that asyncpg's errors have as attributes; none of them holds a value of a row.
_OF_THE_DATABASE = ("sqlstate", "constraint_name", "table_name", "column_name")


def described(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """An exception and those that led to it, for the log in JSON: a structlog `exception_formatter`."""
    return [_as_dict(error, is_cause=is_cause) for error, is_cause in chain_of(exc_info[1])]


def as_text(error: BaseException) -> str:
    """The same for people, in the layout of Python's own tracebacks."""
    lines: list[str] = []
    for link, is_cause in reversed([*chain_of(error)]):
        lines += traceback.format_tb(link.__traceback__, -_FRAMES_MOST)
        lines.append(f"{_name(link)}: {message_of(link)}".removesuffix(": ") + "\n")
        lines += [f"  {name}: {value}\n" for name, value in facts_of(link).items()]
        if link is not error:
            lines.append("\nThe cause of:\n\n" if is_cause else "\nWhile it was handled:\n\n")
    return "".join(lines).rstrip()


def chain_of(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """The exception and those behind it, as Python would print them, and whether each is a declared cause."""
    seen: set[int] = set()
    link: BaseException | None = error
    is_cause = False
    while link is not None and id(link) not in seen and len(seen) < _LINKS_MOST:
        seen.add(id(link))
        yield link, is_cause
        is_cause = link.__cause__ is not None
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def message_of(error: BaseException) -> str:
    """What an exception says, without the values in it."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 (an exception that cannot say what it is must not hide itself)
        return LEFT_OUT
    if isinstance(error, OSError):
        return message
    raised_by = _last_code(error.__traceback__)
    pieces = _pieces_of(raised_by) if raised_by is not None else None
    if not message or pieces is None:
        return LEFT_OUT if message else ""
    kept, end = [], 0
    for found in pieces.finditer(message):
        if found.start() > end:
            kept.append(LEFT_OUT)
        kept.append(found[0])
        end = found.end()
    if end < len(message):
        kept.append(LEFT_OUT)
    return "".join(kept)


def facts_of(error: BaseException) -> dict[str, str]:
    """What a database error is about, by the names of the schema; nothing of other errors."""
    if not hasattr(error, "sqlstate"):
        return {}
    facts = ((name, getattr(error, name, None)) for name in _OF_THE_DATABASE)
    return {name: value for name, value in facts if isinstance(value, str)}


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of the first in the chain that has one."""
    return next(
        (facts["sqlstate"] for link, _ in chain_of(error) if "sqlstate" in (facts := facts_of(link))), None
    )


def _as_dict(error: BaseException, *, is_cause: bool) -> dict[str, Any]:
    frames = [
        {"filename": frame.f_code.co_filename, "lineno": line, "name": frame.f_code.co_name}
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return {
        "exc_type": _name(error),
        "exc_value": message_of(error),
        **facts_of(error),
        "is_cause": is_cause,
        "frames": frames[-_FRAMES_MOST:],
        **(
            {"exceptions": [described((type(each), each, each.__traceback__)) for each in group[:10]]}
            if group
            else {}
        ),
    }


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _last_code(trace: TracebackType | None) -> CodeType | None:
    code = None
    while trace is not None:
        code, trace = trace.tb_frame.f_code, trace.tb_next
    return code


@lru_cache(maxsize=512)
def _pieces_of(code: CodeType) -> re.Pattern[str] | None:
    """What finds the text that stands in a function, the longest first; `None` where it has none."""
    pieces = {
        piece
        for piece in code.co_consts
        if isinstance(piece, str) and sum(map(str.isalpha, piece)) >= _LEAST_LETTERS
    }
    if not pieces:
        return None
    return re.compile("|".join(map(re.escape, sorted(pieces, key=len, reverse=True))))
