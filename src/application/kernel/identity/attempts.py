"""How often something may be tried: the limits, and the keys under which attempts are counted.

The keys are digests, so that no list of addresses is kept, least of all of those that have no account.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

from application.kernel.ports.attempts import Limit, Peer
from domain.kernel.identity.auth import SessionId
from domain.kernel.users import UserId

_QUARTER = timedelta(minutes=15)
_HOUR = timedelta(hours=1)

FAILURES_OF_ACCOUNT_FROM_ADDRESS = 10  # nobody mistypes more often before they ask for another password
FAILURES_OF_ACCOUNT = 100  # NIST SP 800-63B-4 §3.2.2; the hour is ours: a lock that stays locks out its owner
FAILURES_FROM_ADDRESS = 100  # one guesser with many accounts; an office behind one address has room
FAILURES_OF_CURRENT_PASSWORD = 10  # whoever found a device unlocked shall not find the password, too
MAILS_TO_ADDRESS = 5  # nobody's mailbox is flooded through us
MAILS_FROM_ADDRESS = 50


def of_log_in(email: str, client: Peer) -> Sequence[Limit]:
    """For failures; the first is what a success forgets."""
    return (
        _limit(FAILURES_OF_ACCOUNT_FROM_ADDRESS, _QUARTER, "log in", email, _network(client)),
        _limit(FAILURES_OF_ACCOUNT, _HOUR, "log in", email),
        _limit(FAILURES_FROM_ADDRESS, _QUARTER, "log in from", _network(client)),
    )


def of_current_password(user_id: UserId, session_id: SessionId | None) -> Sequence[Limit]:
    """For failures; the first is what a success forgets.

    Counted for the session first: whoever has stolen the token of one keeps nobody out of another.
    """
    return (
        _limit(FAILURES_OF_CURRENT_PASSWORD, _QUARTER, "current password", str(user_id), str(session_id)),
        _limit(FAILURES_OF_ACCOUNT, _HOUR, "current password", str(user_id)),
    )


def of_password_reset(email: str, client: Peer) -> Sequence[Limit]:
    """For every request."""
    return (
        _limit(MAILS_TO_ADDRESS, _HOUR, "reset", email),
        _limit(MAILS_FROM_ADDRESS, _HOUR, "reset from", _network(client)),
    )


def of_email_verification(user_id: UserId) -> Sequence[Limit]:
    """For every request."""
    return (_limit(MAILS_TO_ADDRESS, _HOUR, "verify", str(user_id)),)


def _limit(most: int, window: timedelta, *parts: str) -> Limit:
    key = "\0".join(parts).encode("utf-8", "surrogatepass")
    return Limit(hashlib.sha256(key).hexdigest(), most, window)


def _network(client: Peer) -> str:
    """An IPv6 address counts as its /64: that much is one customer's, to change within as they like."""
    try:
        address = ip_address(client.address)
    except ValueError:
        return client.address
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
