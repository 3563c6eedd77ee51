"""Texts that are looked for: by their words, and by how they begin.

Words are split where people see them. The parser of PostgreSQL's full text search takes `frontend/backend`,
`TCP/IP` and `ada@example.com` for one word each (a path, a path, an address), and which letters are some
outside of ASCII it asks the locale of the database. So it is given nothing but words with spaces between
them, in the text as in what is looked for.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Text, func, literal_column

# Punctuation, spaces, and symbols other than pictures, by code point, so that no locale has a say (whether
# emoji are words is left to it): ASCII, Latin-1, then Greek, Armenian, Hebrew, Arabic, Indic and Ethiopic,
# then the blocks from General Punctuation to Supplemental Punctuation, then those of East Asia.
_BETWEEN_WORDS = (
    r"[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\xa9\xab\xac\xae-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7"
    r"\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u060c\u060d\u061b\u061d-\u061f\u066a-\u066d"
    r"\u06d4\u0964\u0965\u1360-\u1368\u2000-\u200b\u200e-\u205f\u20a0-\u20c0\u2190-\u2317\u231c-\u23e8"
    r"\u2400-\u244a\u2500-\u25f6\u2768-\u2775\u27c0-\u27ff\u2900-\u2933\u2936-\u2b04\u2e00-\u2e5d"
    r"\u3000-\u3003\u3008-\u3011\u3014-\u301f\u30a0\u30fb\ufe10-\ufe19\ufe30-\ufe6b"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffe6]"
)
_SIMPLE: ColumnElement[Any] = literal_column("'simple'::regconfig")
_ALL = literal_column("'g'", Text)
_SPACE = literal_column("' '", Text)


def words_of(*columns: str) -> ColumnElement[Any]:
    """The words of these columns, for an index and, through `have_words`, for the queries that it answers.

    It is written as PostgreSQL writes an index's expression, so that a migration finds no difference.
    """
    first, *more = columns
    text = first
    for column in more:
        text = (
            f"({text} || ' '::text) || {column}" if text == first else f"(({text}) || ' '::text) || {column}"
        )
    return literal_column(
        "to_tsvector('simple'::regconfig, "
        f"regexp_replace({text}, '{_BETWEEN_WORDS}'::text, ' '::text, 'g'::text))"
    )


def have_words(words: ColumnElement[Any], asked: BindParameter[str]) -> ColumnElement[bool]:
    """Whether they have what is asked for in the manner of a web search: `"exact words"`, `-without`, `or`.

    A hyphen in a word is no `-without`.
    """
    parted = func.regexp_replace(asked, literal_column(r"'(?<=\S)-+'"), _SPACE, _ALL)
    parted = func.regexp_replace(parted, literal_column(f"""'(?!["-]){_BETWEEN_WORDS}'"""), _SPACE, _ALL)
    return words.op("@@")(func.websearch_to_tsquery(_SIMPLE, parted))


def beginning(text: str) -> str:
    """The regular expression for what begins with the text, in capital or small letters.

    PostgreSQL folds letters as the locale of the database has it, in some not at all outside of ASCII, and in
    Turkish an I is no i. So all ways to write each letter are spelled out (Unicode's full case folding).
    """
    folded, pattern, at = text.casefold(), "^", 0
    while at < len(folded):
        # The longest first: ß is written for ss, and the other way round.
        for length in range(min(_FOLDED_MOST, len(folded) - at), 1, -1):
            part = folded[at : at + length]
            letters = "".join(map(_escaped, _written_for().get(part, "")))
            if letters:
                pattern += f"(?:{''.join(map(_any_case, part))}|[{letters}])"
                break
        else:
            length = 1
            pattern += _any_case(folded[at])
        at += length
    return pattern


_FOLDED_MOST = 3  # characters that one is folded to
_CASED = 0x1_F000  # beyond are pictures and ideographs


@cache
def _written_for() -> Mapping[str, str]:
    """All characters that are folded to a text, for each text that any other is folded to."""
    written: dict[str, str] = {}
    for character in map(chr, range(_CASED)):
        if (folded := character.casefold()) != character:
            written[folded] = written.get(folded, "") + character
    return written


def _any_case(folded: str) -> str:
    return f"[{_escaped(folded)}{''.join(map(_escaped, _written_for().get(folded, '')))}]"


def _escaped(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\U{ord(character):08x}"
