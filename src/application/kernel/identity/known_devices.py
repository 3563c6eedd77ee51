"""Devices that a user has logged in from before, known by a token that they keep.

A log-in from one is not counted with those of strangers, so that no stranger can lock them out (OWASP
Authentication Cheat Sheet, "device cookies"). The token is no way in: it takes the password beside.
"""

from datetime import UTC, datetime, timedelta

from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import Clock
from application.kernel.queries.auth import KnownCredential
from domain.kernel.users import UserId

DEVICE_LIFETIME = timedelta(days=365)
DEVICE_TOKEN_MOST = 1000  # characters; ours have about 300


class KnownDevices:
    """Makes and reads the tokens; none is stored.

    A token is good for one user, as long as they have the password by which it was made: a person who knew an
    earlier one is a stranger.
    """

    def __init__(self, seal: Seal, clock: Clock) -> None:
        self._seal = seal
        self._clock = clock

    def issue(self, user_id: UserId, *, password_hash: str) -> str:
        """For a device that has just logged in."""
        until = (self._clock() + DEVICE_LIFETIME).timestamp()
        text = f"{new_secret()}.{until:.0f}.{fingerprint(password_hash)}"
        return self._seal.seal(text, name=str(user_id))

    def read(self, token: str, account: KnownCredential | None) -> str | None:
        """By what the device is counted; `None` for a token that is not this account's, or too old."""
        # The same work for an unknown account: how long it takes does not tell whether there is one.
        name = str(account.user_id) if account else ""
        text = self._seal.unseal(token, name=name) if len(token) <= DEVICE_TOKEN_MOST else None
        if text is None or account is None:
            return None
        device, until, password = text.split(".")
        if datetime.fromtimestamp(float(until), UTC) <= self._clock():
            return None
        return device if password == fingerprint(account.password_hash) else None
