"""JSON as the driver carries it: asyncpg sends and receives JSONB as text.

It could be told otherwise for each connection. That costs a round trip when it connects, and SQLAlchemy's own
dialect, where it uses the same connection, tells it so again in its own way.
"""

import json
from typing import Any

import msgspec


def json_text(value: object) -> str | None:
    """What is bound to a JSON column; None is SQL's NULL. Raises ValueError for NaN and infinities."""
    return None if value is None else json.dumps(value, allow_nan=False, ensure_ascii=False)


def json_value(found: Any) -> Any:  # noqa: ANN401 (JSON is of any type)
    """What a JSON column holds; anything that is no text, such as an array or NULL, as it is."""
    return msgspec.json.decode(found) if isinstance(found, str) else found
