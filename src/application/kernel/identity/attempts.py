"""How often something may be tried: the limits, and the keys under which attempts are counted.

The keys are digests, so that no list of addresses is kept, least of all of those that have no account.
docs/limits.md tells operators and clients of all of them.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address

from application.kernel.ports.attempts import Limit, Peer
from application.kernel.ports.mail import Mail, MailKind
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import Email, UserId

_QUARTER = timedelta(minutes=15)
_HOUR = timedelta(hours=1)

FAILURES_OF_ACCOUNT_FROM_ADDRESS = 10  # people who mistype more often ask for another password
FAILURES_OF_ACCOUNT = 100  # NIST SP 800-63B-4 §3.2.2; the hour is ours: a lock that stays locks out its owner
FAILURES_FROM_ADDRESS = 100  # one guesser with many accounts; an office behind one address has room
FAILURES_OF_CURRENT_PASSWORD = 10  # the finder of an unlocked device must not find the password as well
FAILURES_OF_DEVICE = 10  # as of an account from one address, but strangers' are not among them
FAILURES_AT_PROVIDER_FROM_ADDRESS = 100  # each makes us ask the provider, in our own name
AT_ONCE = 16  # of the 52 places where passwords are hashed or wait for it: a third, for one network address
MAILS_TO_ADDRESS = 5  # no mailbox is flooded through us
MAILS_BUT_RESETS_TO_ADDRESS = 4  # so a reset, which restores access, always has room among those five
NOTICES_TO_ADDRESS = 20
MAILS_FROM_ADDRESS = 50
CHANGES_OF_ADDRESS = 5  # each sends a mail to the address that is named
ADDRESSES_ASKED_FROM_ADDRESS = (
    30  # registrations and changes tell whether an address is known; a class has room
)


def of_log_in(email: str, client: Peer) -> Sequence[Limit]:
    """For failures; the first is what a success forgets."""
    return (
        _limit(
            FAILURES_OF_ACCOUNT_FROM_ADDRESS,
            _QUARTER,
            "log in",
            email,
            network(client),
            of="account_from_network",
        ),
        _limit(FAILURES_OF_ACCOUNT, _HOUR, "log in", email, of="account"),
        _limit(FAILURES_FROM_ADDRESS, _QUARTER, "log in from", network(client), of="network"),
    )


def of_known_device(device: str) -> Sequence[Limit]:
    """For failures of a log-in from a device that its account has logged in from before."""
    return (_limit(FAILURES_OF_DEVICE, _QUARTER, "log in from device", device, of="device"),)


def of_account(email: str) -> Sequence[Limit]:
    """The failures of strangers that a proof of ownership of the account clears."""
    return (_limit(FAILURES_OF_ACCOUNT, _HOUR, "log in", email),)


def of_provider_log_in(client: Peer) -> Sequence[Limit]:
    """For failures."""
    return (
        _limit(FAILURES_AT_PROVIDER_FROM_ADDRESS, _QUARTER, "provider from", network(client), of="network"),
    )


def of_registration(client: Peer) -> Sequence[Limit]:
    """For every request."""
    return (_addresses_asked(client),)


def of_change_of_address(user_id: UserId, client: Peer) -> Sequence[Limit]:
    """For every request."""
    return (_limit(CHANGES_OF_ADDRESS, _HOUR, "change address", str(user_id)), _addresses_asked(client))


def of_mail(mail: Mail) -> Sequence[Limit]:
    """For every mail that leaves, whatever has caused it."""
    mailbox = _mailbox(mail.to)
    if mail.kind is MailKind.NOTICE:
        return (_limit(NOTICES_TO_ADDRESS, _HOUR, "notice to", mailbox),)
    together = _limit(MAILS_TO_ADDRESS, _HOUR, "mail to", mailbox)
    if mail.kind is MailKind.WAY_IN:
        return (together,)
    return (_limit(MAILS_BUT_RESETS_TO_ADDRESS, _HOUR, "mail but resets to", mailbox), together)


def of_current_password(user_id: UserId, session_id: SessionId | None) -> Sequence[Limit]:
    """For failures; the first is what a success forgets.

    Counted for the session first: the thief of one session's token locks no other session out.
    """
    return (
        _limit(
            FAILURES_OF_CURRENT_PASSWORD,
            _QUARTER,
            "current password",
            str(user_id),
            str(session_id),
            of="current_password",
        ),
        _limit(FAILURES_OF_ACCOUNT, _HOUR, "current password", str(user_id), of="current_password_anywhere"),
    )


def of_password_reset(email: str, client: Peer) -> Sequence[Limit]:
    """For every request."""
    return (
        _limit(MAILS_TO_ADDRESS, _HOUR, "reset", email),
        _limit(MAILS_FROM_ADDRESS, _HOUR, "reset from", network(client)),
    )


def of_email_verification(user_id: UserId) -> Sequence[Limit]:
    """For every request."""
    return (_limit(MAILS_TO_ADDRESS, _HOUR, "verify", str(user_id)),)


def _limit(most: int, window: timedelta, *parts: str, of: str = "") -> Limit:
    key = "\0".join(parts).encode("utf-8", "surrogatepass")
    return Limit(hashlib.sha256(key).hexdigest(), most, window, of)


def _addresses_asked(client: Peer) -> Limit:
    return _limit(ADDRESSES_ASKED_FROM_ADDRESS, _HOUR, "addresses asked from", network(client))


def _mailbox(address: Email) -> str:
    """One name for what most servers put into one mailbox: without a tag (RFC 5233) and without dots.

    Where two people have what differs in that alone, they share a limit, and nothing else.
    """
    local, _, host = address.partition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{host}"


def network(client: Peer) -> str:
    return network_of(client.address)


def network_of(text: str) -> str:
    """An IPv6 address counts as its /64: that much is one customer's, to change within as they like."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
