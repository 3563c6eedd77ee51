"""What a person types: trimmed, normalised, bounded, free of control characters."""

import unicodedata

from domain.errors import Invalid

# The controls of the bidirectional algorithm (UAX #9 §2); letters that run right to left are welcome.
_EMBEDDING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def line(text: str, *, field: str, most: int) -> str:
    """One line of 1 to `most` code points, trimmed, in Unicode NFC; raises Invalid naming `field`."""
    text = _normalised(text, field=field, most=most)
    if not text:
        raise Invalid("It must not be empty.", field=field)
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise Invalid("It must be one line without control characters.", field=field)
    # A line is often a name: it must be seen, and must not turn round what is written beside it.
    if all(unicodedata.category(character) in {"Cf", "Zs"} for character in text):
        raise Invalid("It must have a visible character.", field=field)
    if any(unicodedata.bidirectional(character) in _EMBEDDING for character in text):
        raise Invalid("It must not change the direction of the text around it.", field=field)
    return text


def prose(text: str, *, field: str, most: int, least: int = 0) -> str:
    """Text of `least` to `most` code points in which line breaks and tabs are welcome."""
    text = _normalised(text.replace("\r\n", "\n"), field=field, most=most)
    if len(text) < least:
        raise Invalid("It must not be empty.", field=field)
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise Invalid("It must not contain control characters.", field=field)
    return text


def _normalised(text: str, *, field: str, most: int) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > most:
        raise Invalid(f"It must have at most {most} characters.", field=field)
    # A lone surrogate has no UTF-8 form: no database and no JSON answer could hold it.
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise Invalid("It must be valid Unicode text.", field=field)
    return text
