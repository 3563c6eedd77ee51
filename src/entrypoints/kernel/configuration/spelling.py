"""The names of settings as people write them: in `.env` to the letter, and misspelt."""

import codecs
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from io import StringIO
from pathlib import Path
from typing import override

from dotenv.parser import parse_stream
from pydantic_settings import BaseSettings, DotEnvSettingsSource

from entrypoints.kernel.configuration.files import FOLDER, SUFFIX, fields_in_files, names_in_folder

# `read_dotenv` tells of lines that it cannot read, and in which sentence.
logging.getLogger("dotenv").setLevel(logging.ERROR)

# The least similarity (difflib's ratio) of a near miss. In a short name one letter is much: API_URL is some
# other program's, and no slip of APP_URL.
_SIMILAR = 0.85
_SIMILAR_IF_SHORT = 0.9
_SHORT = 8
# What platforms and other programs set beside DATABASE_URL, and what is no slip of DATABASE_POOLER; and what
# OpenTelemetry's SDK reads beside OTEL_EXPORTER_OTLP_ENDPOINT.
_NOT_OURS = {
    "DATABASE_PORT",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    *(
        f"OTEL_EXPORTER_OTLP_{signal}_{of}"
        for signal in ("TRACES", "METRICS", "LOGS")
        for of in ("ENDPOINT", "PROTOCOL")
    ),
}


class LiteralDotEnv(DotEnvSettingsSource):
    """The file `.env`, where a `$` is a dollar sign: secrets have some, and `${…}` is no variable there."""

    @staticmethod
    @override
    def _static_read_env_file(
        file_path: Path,
        *,
        encoding: str | None = None,
        case_sensitive: bool = False,
        ignore_empty: bool = False,
        parse_none_str: str | None = None,
    ) -> Mapping[str, str | None]:
        written, _ = read_dotenv(file_path)
        return {
            name if case_sensitive else name.lower(): None if value == parse_none_str else value
            for name, value in written.items()
            if value or not ignore_empty
        }


def read_dotenv(path: Path) -> tuple[Mapping[str, str | None], Sequence[str]]:
    """The variables of the file, to the letter, and what is wrong with it; nothing where there is none.

    What cannot be read is told, and the rest is read all the same: what is wrong with that is told, too.
    """
    wrong = []
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except IsADirectoryError:
        return {}, [".env is a directory. Put the file there, or remove it."]
    except OSError as error:
        return {}, [f".env cannot be read: {error.strerror}. Let this user read it, or remove it."]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        wrong.append(".env is not UTF-8 text. Save it as UTF-8.")
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8", errors="replace")
    values: dict[str, str | None] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.key is not None:
            values[binding.key] = binding.value
        if binding.error or (binding.key is not None and binding.value is None):
            wrong.append(f".env cannot be read in line {binding.original.line}. Write NAME=value.")
    return values, wrong


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A variable that no setting has for its name, and the setting that was most likely meant."""

    written: str
    meant: str
    in_file: bool
    value: str
    in_folder: bool = False

    @override
    def __str__(self) -> str:
        place = f"{self.written}, in .env," if self.in_file else self.written
        if self.in_folder:
            place = f"{self.written}, in SECRETS_DIR,"
        another = "" if self.in_file else f", or set {self.meant} as well if it is another program's"
        return f"{place} is no setting. Did you mean {self.meant}? Rename it{another}."

    def is_grave(self, *, production: bool) -> bool:
        """Whether the service must not start on it.

        The file is ours alone, production is no place to guess, and what was to be production does not run as
        something else.
        """
        return self.in_file or production or self.is_to_be_production

    @property
    def is_to_be_production(self) -> bool:
        """Whether it was to say that this is production."""
        return self.meant == "ENVIRONMENT" and self.value.strip().lower() == "production"


def misspellings(
    kind: type[BaseSettings], environment: Mapping[str, str] = os.environ
) -> Iterator[Misspelling]:
    """Near misses of the settings' names, in the file `.env`, in the environment and in SECRETS_DIR.

    In the environment and in the folder most names are other programs', so there a name counts only while the
    setting that it resembles is not set.
    """
    names = _Names.of(kind)
    file = kind.model_config.get("env_file")
    in_file = read_dotenv(Path(file))[0] if isinstance(file, (str, Path)) else {}
    for name, value in in_file.items():
        if value and (meant := names.nearest(name.upper())):
            yield Misspelling(name, meant, in_file=True, value=value)
    written = {**in_file, **environment}
    given = {names.field(name.upper()) for name, value in written.items() if value}
    folder = next((value for name, value in written.items() if name.lower() == FOLDER and value), "")
    in_folder: Sequence[str] = ()
    with suppress(ValueError):  # which the setting itself is told
        in_folder = names_in_folder(folder) if folder else ()
    given |= {name.upper() for name in in_folder}
    for name, value in environment.items():
        if value and (meant := names.nearest(name.upper())) and names.field(meant) not in given:
            yield Misspelling(name, meant, in_file=False, value=value)
    for name in in_folder:
        meant = names.nearest(name.upper())
        if meant and names.field(meant) == meant and meant not in given:
            yield Misspelling(name, meant, in_file=False, value="", in_folder=True)


@dataclass(frozen=True, slots=True)
class _Names:
    """What settings are called, and the variables that name files with their values."""

    fields: Collection[str]
    files: Mapping[str, str]

    @classmethod
    def of(cls, kind: type[BaseSettings]) -> "_Names":
        fields = {name.upper() for name in kind.model_fields}
        return cls(fields, {name.upper() + SUFFIX: name.upper() for name in fields_in_files(kind)})

    def field(self, name: str) -> str:
        """The setting that a variable gives a value to, by itself or by a file."""
        return self.files.get(name, name)

    def nearest(self, name: str) -> str | None:
        """The one that it resembles most, where it is none of them and resembles one enough.

        What all names of files end in says nothing of how alike they are.
        """
        if name in self.fields or name in self.files:
            return None
        stem = name.removesuffix(SUFFIX)
        if stem == name:
            return _nearest(name, {*self.fields, *self.files})
        meant = _nearest(stem, self.files.values())
        return (meant and meant + SUFFIX) or _nearest(name, self.fields)


def _nearest(name: str, known: Collection[str]) -> str | None:
    if name in _NOT_OURS:
        return None
    found = max(((_likeness(name, each), each) for each in known), default=(0.0, ""))
    return found[1] if found[0] else None


def _likeness(name: str, known: str) -> float:
    """1 for the same letters, 0 for what is no near miss."""
    if name[:1] == known[:1] and sorted(name) == sorted(known):
        return 1.0
    least = _SIMILAR if len(known) >= _SHORT else _SIMILAR_IF_SHORT
    match = SequenceMatcher(None, name, known, autojunk=False)
    if match.real_quick_ratio() < least or match.quick_ratio() < least:
        return 0.0
    return likeness if (likeness := match.ratio()) >= least else 0.0
