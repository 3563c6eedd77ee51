"""What a person types: trimmed, normalised, bounded, free of control characters."""

import re
import unicodedata
from itertools import chain, takewhile

from domain.kernel.errors import Invalid

# Category Cc, and the separators of lines and paragraphs. Prose may have tabs and line breaks.
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_PROSE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Half of a pair has no UTF-8 form: no database and no JSON answer could hold it.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# The controls of the bidirectional algorithm (UAX #9 §2); letters that run right to left are welcome.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")

# Letters and symbols that fonts leave blank. Those of Hangul are Default_Ignorable_Code_Point (Unicode
# Standard §5.21), the only ones in the categories below; then Braille, music and Egyptian hieroglyphs.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159\U00013441\U00013442")
# Letters, numbers, punctuation, symbols. A mark is seen on one of them, and alone it is none.
_SEEN = frozenset("LNPS")

# Normalising sorts the marks on a letter in time that grows with the square of their number: 100,000 on one
# take minutes. The Stream-Safe Text Format (UAX #15 §13) has 30 at most, what languages need far fewer.
_MARKS_MOST = 30
_MARKS_WITHOUT_CLASS = frozenset("\u0f73\u0f75\u0f81")  # they come apart into two marks each
_LONGEST_DECOMPOSITION = 4


def line(text: str, *, field: str, most: int) -> str:
    """One line of 1 to `most` code points, trimmed, in Unicode NFC; raises Invalid naming `field`."""
    text = _normalised(text, field=field, most=most)
    if not text:
        raise Invalid("It must not be empty.", field=field)
    if _NOT_IN_A_LINE.search(text):
        raise Invalid("It must be one line without control characters.", field=field)
    # A line is often a name: it must be seen, and must not turn round what is written beside it.
    _ensure_visible(text, field)
    if _TURNING.search(text):
        raise Invalid("It must not change the direction of the text around it.", field=field)
    return text


def tidied(text: str, *, most: int) -> str:
    """The text without what `line` refuses, cut to `most` code points; nothing visible may be left of it."""
    for refused in (_NOT_IN_A_LINE, _SURROGATE, _TURNING):
        text = refused.sub("", text)
    if _is_stacked(text):
        return ""
    return unicodedata.normalize("NFC", text).strip()[:most].strip()


def prose(text: str, *, field: str, most: int, least: int = 0) -> str:
    """Text of `least` to `most` code points in which line breaks and tabs are welcome.

    Where it must not be empty, it must be seen, too.
    """
    text = _normalised(text.replace("\r\n", "\n"), field=field, most=most)
    if len(text) < least:
        raise Invalid("It must not be empty.", field=field)
    if _NOT_IN_PROSE.search(text):
        raise Invalid("It must not contain control characters.", field=field)
    if least:
        _ensure_visible(text, field)
    return text


URL_MOST = 2_000
_URL = re.compile(r"https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?([/?#][!-~]*)?")


def web_address(text: str, *, field: str) -> str:
    """An absolute address of http or https, in ASCII (RFC 3986), without a name of a user in it.

    Raises Invalid naming `field`. That something answers there is not looked at.
    """
    text = line(text, field=field, most=URL_MOST)
    if not _URL.fullmatch(text):
        raise Invalid("It must be an address such as https://example.com/page.", field=field)
    return text


def _normalised(text: str, *, field: str, most: int) -> str:
    text = text.strip()
    if len(text) <= most * _LONGEST_DECOMPOSITION:
        stacked = _is_stacked(text)
        if not stacked:
            text = unicodedata.normalize("NFC", text).strip()
            stacked = _is_stacked(text)  # some marks come apart into two
        if stacked:
            raise Invalid(f"It must have at most {_MARKS_MOST} marks on one letter.", field=field)
    if len(text) > most:
        raise Invalid(f"It must have at most {most} characters.", field=field)
    if _SURROGATE.search(text):
        raise Invalid("It must be valid Unicode text.", field=field)
    return text


def _ensure_visible(text: str, field: str) -> None:
    if not any(unicodedata.category(each)[0] in _SEEN and each not in _BLANK for each in text):
        raise Invalid("It must have a visible character.", field=field)


def _is_stacked(text: str) -> bool:
    """Whether it has more marks in a row than any language needs; such a row is met at every 30th place."""
    if text.isascii():
        return False
    for at in range(0, len(text), _MARKS_MOST):
        if _is_mark(text[at]):
            before = takewhile(_is_mark, reversed(text[max(at - _MARKS_MOST, 0) : at]))
            after = takewhile(_is_mark, text[at : at + _MARKS_MOST + 1])
            if sum(1 for _ in chain(before, after)) > _MARKS_MOST:
                return True
    return False


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0 or character in _MARKS_WITHOUT_CLASS
