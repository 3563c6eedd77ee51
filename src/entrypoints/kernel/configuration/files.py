"""Settings out of files: `NAME_FILE`, which says where one is, and `SECRETS_DIR`, a folder of them.

Docker and Kubernetes mount secrets as files, so that no environment shows them. pydantic-settings reads such
a folder too; but it strips blanks that belong to a secret, passes over what is no regular file and over a
folder that is not there, and ends with a traceback at a file that it cannot read. What is read here goes the
library's way from then on.
"""

import ast
import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

from pydantic_settings import BaseSettings, EnvSettingsSource

SUFFIX = "_FILE"
FOLDER = "secrets_dir"
MOST_BYTES = 64 * 1024
"""Of a file with a setting: more than any setting has, and less than a log or a core dump."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


class FromFile(str):
    """A value out of a file: no message shows it, since the file may be another one than was meant."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In the place of a value that cannot be read: why, in a whole sentence, and the remedy."""

    sentence: str


class NamedFiles(EnvSettingsSource):
    """What the files hold that variables such as DATABASE_URL_FILE name."""

    def __init__(self, kind: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        """`variables` are those of one source, in which `NAME` and `NAME_FILE` exclude each other."""
        given = {name.lower(): (name, value) for name, value in variables.items() if value}
        self._found: dict[str, FromFile | Unreadable] = {}
        for field in fields_in_files(kind):
            variable, path = given.get(field + SUFFIX.lower(), ("", None))
            if path is None:
                continue
            if field in given:
                both = f"{given[field][0]} and {variable} are both set. Remove one of them."
                self._found[field] = Unreadable(both)
            elif not path.startswith("/"):  # it may be the secret itself: not shown
                self._found[field] = Unreadable(
                    f"{variable} is not an absolute path. Write where the file is, such as "
                    f"/run/secrets/{field}."
                )
            else:
                self._found[field] = _read(variable, path)
        super().__init__(kind)

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: found for name, found in self._found.items() if isinstance(found, FromFile)}

    @override
    def __call__(self) -> dict[str, Any]:
        wrong = {name: found for name, found in self._found.items() if isinstance(found, Unreadable)}
        return {**super().__call__(), **wrong}


class FolderOfFiles(NamedFiles):
    """What the files hold that SECRETS_DIR has, each named like its setting, in any case of letters."""

    def __init__(self, kind: type[BaseSettings]) -> None:
        super().__init__(kind, {})

    @override
    def __call__(self) -> dict[str, Any]:
        folder = self.current_state.get(FOLDER)
        if not isinstance(folder, str) or not folder:
            return {}
        with suppress(ValueError):  # which the setting itself is told
            self._found = _read_folder(folder, self.settings_cls, self.current_state)
        self.env_vars = self._load_env_vars()
        return super().__call__()


def fields_in_files(kind: type[BaseSettings]) -> Iterable[str]:
    """The settings that a file can hold: all of them, but for where the files are."""
    return (
        name
        for name in kind.model_fields
        if name != FOLDER and name + SUFFIX.lower() not in kind.model_fields
    )


def without_values(text: str, given: Mapping[str, object]) -> str:
    """The text, where whatever it quotes out of a file is left out."""
    values = [value for value in given.values() if isinstance(value, FromFile)]

    def shown(quoted: re.Match[str]) -> str:
        try:
            part = str(ast.literal_eval(quoted[0]))
        except (SyntaxError, ValueError):
            return quoted[0]
        return "'…'" if any(part in value for value in values) else quoted[0]

    return _QUOTED.sub(shown, text) if values else text


def _read_folder(
    folder: str, kind: type[BaseSettings], known: Mapping[str, object]
) -> dict[str, FromFile | Unreadable]:
    """Raises ValueError where the folder cannot be read."""
    fields = set(fields_in_files(kind)) - known.keys()  # what is known by now wins
    found: dict[str, FromFile | Unreadable] = {}
    seen: dict[str, str] = {}
    for name in names_in_folder(folder):
        field = name.lower()
        if field not in fields:
            continue
        if field in seen:
            found[field] = Unreadable(
                f"{field.upper()} is in two files of SECRETS_DIR, {seen[field]} and {name}. Remove one."
            )
        else:
            seen[field] = name
            found[field] = _read(f"{field.upper()}, in SECRETS_DIR,", str(Path(folder) / name))
    return found


def names_in_folder(folder: str) -> list[str]:
    """What lies in SECRETS_DIR, in order. Raises ValueError with what is wrong with the folder."""
    if not folder.startswith("/"):
        raise ValueError("is not an absolute path. Write where the files are, such as /run/secrets.")
    try:
        return sorted(path.name for path in Path(folder).iterdir())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"is {folder[:200]!r}, which is no folder that can be read: {_cause(error)}. Mount it, correct "
            "the path, or remove the setting."
        ) from None


def _read(variable: str, path: str) -> FromFile | Unreadable:
    """The text of a file without the end of its last line."""
    try:
        if stat.S_ISDIR(mode := Path(path).stat().st_mode):
            raise ValueError("is a directory. Name the file in it")
        if not stat.S_ISREG(mode):
            raise ValueError("is a pipe or a device. Put the value into a file")
        # Not waiting, in case that it has become a pipe meanwhile.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"has more than {MOST_BYTES} bytes. Name the file with the value alone")
        text = content.decode("utf-8-sig").rstrip("\r\n")
        if "\0" in text:
            raise ValueError("is not text in UTF-8. Save the value as text")
        if not text.strip():
            raise ValueError("is empty. Write the value into it, or remove the setting")
    except UnicodeDecodeError:
        wrong = "is not text in UTF-8. Save the value as text"
    except OSError as error:
        wrong = f"cannot be read: {_cause(error)}. Mount it, or correct the path"
    except ValueError as error:
        wrong = "cannot be read: it has a NUL in its name" if "\0" in path else str(error)
    else:
        return FromFile(text)
    return Unreadable(f"{variable} is {path[:200]!r}, which {wrong}.")


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
