"""What a `Content-Type` says (RFC 9110 §8.3.1)."""

import re

_TOKEN = rb"[\w!#$%&'*+.^`|~-]++"
_MEDIA_TYPE = re.compile(rb"[ \t]*+(" + _TOKEN + rb"/" + _TOKEN + rb")[ \t]*+(?:;|$)")
_PARAMETER = re.compile(
    rb"[ \t]*+(?:("
    + _TOKEN
    + rb")[ \t]*+=[ \t]*+(?:("
    + _TOKEN
    + rb')|"((?:[^"\\]|\\.)*+)"))?+[ \t]*+(?:;|$)'
)
_UTF_8 = frozenset({b"utf-8", b"utf8"})


def in_utf_8(content_type: bytes) -> bytes | None:
    """The media type, in small letters, where no `charset` says that the text is not UTF-8; else `None`.

    Other parameters have no effect, as RFC 8259 §11 has it for JSON; `None` also for what is no media type.
    """
    found = _MEDIA_TYPE.match(content_type)
    if found is None:
        return None
    media_type, position = found[1].lower(), found.end()
    while position < len(content_type):
        found = _PARAMETER.match(content_type, position)
        if found is None:
            return None
        name, token, quoted = found.groups(b"")
        if name.lower() == b"charset" and (token or re.sub(rb"\\(.)", rb"\1", quoted)).lower() not in _UTF_8:
            return None
        position = found.end()
    return media_type
