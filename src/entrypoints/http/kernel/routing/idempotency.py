"""`Idempotency-Key`: what a request under a key is, and how its answer is kept and given again.

What happens under a key is `application/idempotency.py`; why it is built so, docs/decisions/0017.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b
from uuid import UUID

import msgspec
from fastapi import Request, Response

from application.kernel.idempotency import KeyedRequest
from entrypoints.http.kernel.routing.answers import Finished, Header
from entrypoints.http.kernel.routing.problems import InvalidIdempotencyKey

KEY_MOST = 255
REPLAYED: Header = (b"idempotency-replayed", b"true")

# A string of structured fields (RFC 9651 §3.3.3), or the same without its quotes, as most clients send it.
_KEY = re.compile(
    r'"(?P<quoted>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"|(?P<bare>[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]+)'
)
_ESCAPE = re.compile(r'\\(["\\])')


def idempotency_key(headers: Iterable[Header]) -> str | None:
    """The key of a request, if it has one; raises InvalidIdempotencyKey."""
    given = [value.decode("latin-1") for name, value in headers if name == b"idempotency-key"]
    if not given:
        return None
    found = _KEY.fullmatch(given[0].strip())
    key = found and (_ESCAPE.sub(r"\1", found["quoted"]) if found["quoted"] else found["bare"])
    if len(given) > 1 or not key or len(key) > KEY_MOST:
        raise InvalidIdempotencyKey(f"Send one key of 1 to {KEY_MOST} printable characters, such as a UUID.")
    return key


async def keyed_request(request: Request, key: str, *, route: str, user_id: UUID) -> KeyedRequest:
    """Keys of two users, or for two routes, have nothing to do with each other."""
    scope = request.scope
    return KeyedRequest(
        key=_hash(user_id.bytes, scope["method"].encode(), route.encode(), key.encode()),
        fingerprint=_hash(
            scope["path"].encode(),
            scope["query_string"],
            *(value for name, value in scope["headers"] if name == b"if-match"),
            await request.body(),
        ),
    )


def _hash(*parts: bytes) -> bytes:
    """32 bytes; the lengths keep one part from running into the next."""
    return blake2b(b"".join(b"%d:%s" % (len(part), part) for part in parts), digest_size=32).digest()


def written(response: Response) -> str:
    """An answer as text."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    return msgspec.json.encode((response.status_code, headers, bytes(response.body).decode())).decode()


def read(text: str) -> Response:
    """The answer that was written, byte for byte, and the header that says that it is a replay."""
    status, headers, body = _decode(text)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Finished(status, body.encode(), [*raw, REPLAYED])


_decode = msgspec.json.Decoder(tuple[int, list[tuple[str, str]], str]).decode
