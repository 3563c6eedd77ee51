"""The policies that RATE_LIMITS lists."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from application.kernel.ports.limits import Policy

_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
_OVER_TLS = ("rediss", "valkeys")
_OPTIONS = (r"db=\d{1,3}", r"ssl_ca_certs=/[^&]+")

OFF = "off"
NONE = "none"
"""The class of routes that nothing is counted for."""

QUOTA_MOST = 1_000_000_000  # above a million it is as good as none, and says so in the headers
WINDOW_MOST = 86_400

_POLICY = re.compile(r"(?P<name>[a-z][a-z0-9_-]{0,30}) ?= ?(?:(?P<quota>\d{1,10})/(?P<window>\d{1,5})|off)")

type Policies = Mapping[str, Policy | None]
"""The policy of each class of routes, and of `workspace`; `None` where nothing is counted."""


def read_policies(text: str, known: Policies) -> Policies:
    """Those of `text`, as default=600/60,mail=off; what it leaves out is as in `known`.

    Raises ValueError with all that is wrong, a line each.
    """
    if text.strip() == OFF:
        return MappingProxyType(dict.fromkeys(known))
    found: dict[str, Policy | None] = dict(known)
    wrong = list[str]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _POLICY.fullmatch(part)
        if match is None:
            wrong.append(
                f"has {part[:60]!r}. Write name=requests/seconds, such as default=600/60, or name=off."
            )
        elif known and match["name"] not in known:
            wrong.append(f"has {match['name']!r}. There are {', '.join(known)}.")
        elif match["quota"] is None:
            found[match["name"]] = None
        else:
            policy = Policy(match["name"], int(match["quota"]), int(match["window"]))
            wrong += _problems(policy)
            found[policy.name] = policy
    if wrong:
        raise ValueError("\n".join(wrong))
    return MappingProxyType(found)


def _problems(policy: Policy) -> Iterator[str]:
    if not 1 <= policy.quota <= QUOTA_MOST:
        yield f"has {policy.name}={policy.quota}/…. It takes 1 to {QUOTA_MOST} requests, or off for no limit."
    if not 1 <= policy.window_seconds <= WINDOW_MOST:
        yield f"has {policy.name}=…/{policy.window_seconds}. It takes 1 to {WINDOW_MOST} seconds."


def read_redis_address(text: str) -> None:
    """Raises ValueError, with the remedy and without a password, for what is no address of a Redis."""
    if not text:
        return
    remedy = "Write it like redis://user:password@host:6379/0, or unix:///run/redis.sock."
    try:
        address = urlsplit(text)
        port = address.port
    except ValueError:
        raise ValueError(f"is no address, or has no right port. {remedy}") from None
    if address.scheme not in _SCHEMES:
        raise ValueError(f"begins with none of {', '.join(f'{each}://' for each in _SCHEMES)}. {remedy}")
    if address.scheme == "unix":
        if not address.path:
            raise ValueError(f"has no path of a socket. {remedy}")
    elif not address.hostname or port == 0:
        raise ValueError(f"has no host. {remedy}")
    elif not re.fullmatch(r"(/\d{0,3})?", address.path):
        raise ValueError(f"has a database that is no number. {remedy}")
    if address.query and not re.fullmatch(_OPTIONS[address.scheme in _OVER_TLS], address.query):
        raise ValueError(
            "has options behind the `?` that are not taken. There is ?ssl_ca_certs=/path/of/ca.pem for "
            "rediss:// alone, and ?db=0 for unix://."
        )
