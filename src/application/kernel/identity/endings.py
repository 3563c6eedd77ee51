"""Who is told, when it is committed, that something has changed about a user's ways in.

A cache of the users of tokens and cookies listens here, and looks anew the next time.
"""

from collections.abc import Callable

from application.kernel.ports.audit import Note
from domain.kernel.users import UserId

type Forget = Callable[[UserId], None]
"""Drops what is remembered of a user."""


class Endings:
    """A `Tell`. It hears of all that is security relevant to a user, in this process: each end of a session
    is, and so are a suspension, other roles, a link that is removed and an account that is deleted.

    To forget too often costs the next request of that user one look, so it does not choose among them.
    """

    def __init__(self) -> None:
        self._listeners: list[Forget] = []

    def heard_by(self, forget: Forget) -> None:
        """Has it called for each of them from now on."""
        self._listeners.append(forget)

    def __call__(self, note: Note) -> None:
        if note.entry.user_id is not None:
            for forget in self._listeners:
                forget(note.entry.user_id)
