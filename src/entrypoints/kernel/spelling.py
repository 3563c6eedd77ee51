"""The names of settings as people write them: in `.env` to the letter, and misspelt."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import override

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, DotEnvSettingsSource

# The least similarity (difflib's ratio) of a near miss. In a short name one letter is much: API_URL is some
# other program's, and no slip of APP_URL.
_SIMILAR = 0.85
_SIMILAR_IF_SHORT = 0.9
_SHORT = 8


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
        written = dotenv_values(file_path, encoding=encoding or "utf-8", interpolate=False)
        return {
            name if case_sensitive else name.lower(): None if value == parse_none_str else value
            for name, value in written.items()
            if value or not ignore_empty
        }


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A variable that no setting has for its name, and the setting that was most likely meant."""

    written: str
    meant: str
    in_file: bool
    value: str

    @override
    def __str__(self) -> str:
        place = f"{self.written}, in .env," if self.in_file else self.written
        another = "" if self.in_file else f", or set {self.meant} as well if it is another program's"
        return f"{place} is no setting. Did you mean {self.meant}? Rename it{another}."

    def is_grave(self, *, production: bool) -> bool:
        """Whether the service must not start on it.

        The file is ours alone, production is no place to guess, and what was to be production does not run as
        something else.
        """
        to_be_production = self.meant == "ENVIRONMENT" and self.value.strip().lower() == "production"
        return self.in_file or production or to_be_production


def misspellings(
    kind: type[BaseSettings], environment: Mapping[str, str] = os.environ
) -> Iterator[Misspelling]:
    """Near misses of the settings' names, in the file `.env` and in the environment.

    In the environment most variables are other programs', so there a name counts only while the setting that
    it resembles is not set.
    """
    known = {name.upper() for name in kind.model_fields}
    file = kind.model_config.get("env_file")
    in_file = dotenv_values(file, interpolate=False) if isinstance(file, (str, Path)) else {}
    given = {name.upper() for name, value in environment.items() if value}
    for name, value in in_file.items():
        if value and (meant := _nearest(name.upper(), known)):
            yield Misspelling(name, meant, in_file=True, value=value)
    given |= {name.upper() for name, value in in_file.items() if value}
    for name, value in environment.items():
        if value and (meant := _nearest(name.upper(), known)) and meant not in given:
            yield Misspelling(name, meant, in_file=False, value=value)


def _nearest(name: str, known: Collection[str]) -> str | None:
    """The one that it resembles most, where it is none of them and resembles one enough."""
    if name in known:
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
