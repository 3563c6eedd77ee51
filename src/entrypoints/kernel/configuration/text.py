"""What a person reads about the settings: what is wrong with theirs, and the file .env.example."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from entrypoints.kernel.configuration.every_problem import UnreadableValueError
from entrypoints.kernel.configuration.files import FromFile, without_values

HEADER = """\
# Every setting, with its default. Copy this file to .env and change what differs; the environment wins
# over .env. NAME_FILE=/run/secrets/name reads the value of NAME from that file, for each of them.
# Written by `python -m entrypoints.cli settings`, and a test keeps it current.
"""

# Lines that stay as they are: so what upstream adds above them merges with what a service adds below.
OWN = """\
# ── this service's own settings ─────────────────────────────────────────────────────────────────
# `Settings` in src/entrypoints/settings.py has them; all of the above are the kernel's.
"""


def problems(invalid: ValidationError, fields: Mapping[str, FieldInfo]) -> list[str]:
    """One line for each setting that is wrong: its name, what is wrong, and the remedy. Shows no secret."""
    found = []
    for error in invalid.errors(include_url=False):
        if not error["loc"]:  # several settings together: the message names them
            found += str(error["ctx"]["error"]).splitlines()
            continue
        name, value = str(error["loc"][0]), error["input"]
        if error["type"] == "value_error":
            wrong = error["ctx"]["error"]
            if isinstance(wrong, UnreadableValueError):
                found.append(str(wrong))
                continue
            told = without_values(str(wrong), {name: value}).splitlines()
        elif error["type"] == "missing":
            told = [f"is missing. {_MISSING.get(name, 'Set it.')}"]
        else:
            told = [f"{_as_given(value, fields[name])}. It takes {_expected(fields[name])}."]
        found += (f"{name.upper()} {problem}" for problem in dict.fromkeys(told))
    return found


def env_example(fields: Mapping[str, FieldInfo], *, kernel: Mapping[str, FieldInfo]) -> str:
    """The text of .env.example: the kernel's settings, and behind them those that a service adds."""
    own = {name: field for name, field in fields.items() if name not in kernel}
    parts = [HEADER, *_entries({name: fields[name] for name in kernel}), OWN, *_entries(own)]
    return "\n".join(parts)


def _entries(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        yield from _entry(name, field)


_MISSING = {
    "database_url": (
        "Set it to something like postgresql://user:password@localhost:5432/name, "
        "or use `make run`, which brings a database of its own."
    ),
}


def _as_given(value: object, field: FieldInfo) -> str:
    secret = _is_secret(field) or isinstance(value, FromFile)
    return "is not right" if secret else f"is {str(value)[:60]!r}"


def _expected(field: FieldInfo) -> str:
    """What a field takes, in words: `a whole number from 1 to 65535, such as 8000`."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    if _is_secret(field):
        return "text"
    if field.annotation is bool:
        return "true or false"
    least, above, most = (_limit(field, bound) for bound in ("ge", "gt", "le"))
    kind = "a whole number" if field.annotation is int else "a number"
    start = f"from {least}" if least is not None else f"above {above}"
    example = field.examples[0] if field.examples else field.default
    return f"{kind} {start} to {most}, such as {example}"


def _limit(field: FieldInfo, bound: str) -> Any:  # noqa: ANN401 (a limit is as typed as its field)
    return next((limit for rule in field.metadata if (limit := getattr(rule, bound, None)) is not None), None)


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _entry(name: str, field: FieldInfo) -> Iterator[str]:
    for line in (field.description or "").splitlines():
        yield f"# {line.strip()}"
    if get_origin(field.annotation) is Literal:
        yield f"# One of: {', '.join(get_args(field.annotation))}."
    # What is made when the service starts, or is no single value, is told in the description.
    default = field.default if isinstance(field.default, int | float | str) else ""
    yield f"#{name.upper()}={default}"
    yield ""
