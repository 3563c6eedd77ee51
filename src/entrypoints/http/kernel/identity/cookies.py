"""Cookies: how they are set, and when the request that carries one is believed.

The prefix `__Host-` makes a browser see to it that no other host, no plain http and no script of a page under
another path has set them (RFC 6265bis §4.1.3.2); on http://localhost Chromium and Firefox take them, too.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from fastapi import Request

from application.kernel.identity.cookie_sessions import is_csrf_token
from application.kernel.identity.known_devices import DEVICE_LIFETIME
from domain.kernel.errors import Forbidden
from entrypoints.http.kernel.routing.answers import Header
from entrypoints.kernel.configuration.origins import is_among

SESSION = "__Host-session"
DEVICE = "__Host-device"
LOG_IN = "__Host-login-"  # one for each log-in under way: a browser has several tabs
LOG_INS_MOST = 5  # all of them go with every request

CSRF_HEADER = "X-CSRF-Token"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # nothing changes by them (RFC 9110 §9.2.1)
_NAME = re.compile(r"__Host-login-[A-Za-z0-9_-]{1,64}")


class ForeignOrigin(Forbidden):
    """Pages of this origin may not act for a user who is logged in by cookie."""


class CsrfTokenMissing(Forbidden):
    """The session cookie alone changes nothing: send `X-CSRF-Token` as well."""


class CsrfTokenWrong(Forbidden):
    """This is not the CSRF token of this session; ask for it again."""


def set_cookie(name: str, value: str, *, same_site: str, seconds: float) -> Header:
    """No script can read it, and no other host gets it."""
    text = f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site.title()}; Max-Age={seconds:.0f}"
    return b"set-cookie", text.encode("latin-1")


def clear_cookie(name: str, *, same_site: str) -> Header:
    return set_cookie(name, "", same_site=same_site, seconds=0)


def device_cookie(token: str, *, same_site: str) -> Header:
    """By what this browser is known when a user logs in with a password; it opens nothing by itself."""
    return set_cookie(DEVICE, token, same_site=same_site, seconds=DEVICE_LIFETIME.total_seconds())


def log_in_cookie(state: str) -> str:
    """The name under which a browser keeps what it began with this state."""
    return LOG_IN + state[:16]


def log_ins_too_many(cookies: Mapping[str, str]) -> Iterator[str]:
    """The names of the oldest log-ins under way, where there is no room for one more.

    Browsers send first what they got first (RFC 6265 §5.4).
    """
    names = [name for name in cookies if _NAME.fullmatch(name)]
    yield from names[: max(0, len(names) + 1 - LOG_INS_MOST)]


def check_origin(request: Request, origins: Collection[str]) -> None:
    """Raises ForeignOrigin for what a page of another origin sends; what is no browser names none."""
    origin = request.headers.get("origin")
    if origin is not None and not is_among(origin, origins):
        raise ForeignOrigin


def check_forgery(request: Request, cookie: str, origins: Collection[str]) -> None:
    """Raises Forbidden for a change that a page of ours did not ask for (OWASP CSRF Prevention Cheat Sheet).

    A browser sends cookies by itself, whichever page made it send the request. So it has to name one of our
    origins, which it does with every unsafe request, and the page has to show what only our pages can read.
    """
    if request.method in _SAFE:
        return
    if not is_among(request.headers.get("origin"), origins):
        raise ForeignOrigin
    token = request.headers.get(CSRF_HEADER)
    if not token:
        raise CsrfTokenMissing(f"`GET /v1/auth/cookie` tells it; send it as `{CSRF_HEADER}`.")
    if not is_csrf_token(token, cookie):
        raise CsrfTokenWrong
