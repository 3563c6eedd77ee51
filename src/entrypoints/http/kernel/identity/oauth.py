"""What tools and other services expect of a provider, in the forms of OAuth.

    POST /v1/auth/token         log in and refresh (RFC 6749 §4.3, §6)
    POST /v1/auth/revoke        end a session by either of its tokens (RFC 7009)
    POST /v1/auth/introspect    what an access token says, and whether it is good (RFC 7662)

The password grant is for our own clients: for the "Authorize" of the documentation page, and for tools that
know nothing else. It does exactly what `/v1/auth/login` does. To give a password to anybody else's client is
what RFC 9700 §2.4 forbids, and why there are no other clients here.

OAuth's errors have a shape of their own, `{"error": …}`. Here every refusal is a problem (RFC 9457), which
may have further members: so a client of either kind finds what it looks for. What differs is the media type,
which clients of OAuth hardly look at before they read an error.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from application.kernel.identity.sessions import TokenPair, log_out
from application.kernel.ports.callers import Claims
from application.kernel.ports.limits import QuotaExceeded
from domain.kernel.errors import Stale, Unauthenticated
from domain.kernel.identity.credentials import PasswordsDisabled, TooManyAttempts, WrongCredentials
from domain.kernel.identity.sessions import RefreshedElsewhere, SessionEnded, SessionNotFound
from entrypoints.http.kernel.document.documentation import PUBLIC, refused_by
from entrypoints.http.kernel.document.examples import PASSWORD, TOKEN
from entrypoints.http.kernel.routing.answers import Answer
from entrypoints.http.kernel.routing.dependencies import FromPeer, Login, Run, Tokens, Verify, settings_of
from entrypoints.http.kernel.routing.limits import DEFAULT, RouteLimit, limits_of
from entrypoints.http.kernel.routing.media_types import in_utf_8
from entrypoints.http.kernel.routing.problems import (
    ContentTooLarge,
    InvalidClient,
    InvalidForm,
    InvalidGrant,
    UnsupportedGrantType,
)
from entrypoints.kernel.service import V1
from entrypoints.kernel.settings import KernelSettings

router = APIRouter(tags=["oauth"], generate_unique_id_function=lambda route: route.name)

FORM = "application/x-www-form-urlencoded"
FORM_MOST = 64 * 1024  # bytes: the longest access token, each character escaped
_FIELDS_MOST = 20


class IntrospectionClient(SecurityBase):
    """Which client asks: the scheme in the documentation, and the dependency, at once."""

    def __init__(self) -> None:
        self.scheme_name = "introspection"
        self.model = HTTPBase(scheme="basic", description="A client of AUTH_INTROSPECTION_CLIENTS.")

    async def __call__(self, request: Request) -> str:
        """Its name; raises InvalidClient. The header's parts are escaped like a form's (RFC 6749 §2.3.1)."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            name = secret = ""
        name, secret = unquote_plus(name), unquote_plus(secret)
        expected = settings_of(request).introspection_clients.get(name, "")
        same = hmac.compare_digest(_digest(secret), _digest(expected))
        if scheme.lower() != "basic" or not expected or not same:
            await limits_of(request).count_failure(request)  # and no others: a service asks often
            raise InvalidClient("Authenticate as one that the settings name: `Authorization: Basic …`.")
        return name


def _limit(name: str, path: str) -> Any:  # noqa: ANN401 (FastAPI's own type for it is not public)
    return Depends(RouteLimit(name, method="POST", path=f"{V1}{path}"))


def _digest(secret: str) -> bytes:
    """All of one length, so that the comparison does not tell how long the secret is."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _documented(required: list[str], properties: Mapping[str, Any], **example: str) -> dict[str, Any]:
    """The part of the document that FastAPI cannot know, as it does not read the form."""
    more = {"additionalProperties": _TEXT, "maxProperties": _FIELDS_MOST}  # each of them once
    schema = {"type": "object", "required": required, "properties": properties, **more, "examples": [example]}
    body = {"required": True, "content": {FORM: {"schema": schema}}}
    return {**PUBLIC, "requestBody": body}


_TEXT = {"type": "string"}
_TOKEN = {
    "token": {**_TEXT, "minLength": 1},
    "token_type_hint": {**_TEXT, "description": "Not used."},
}


@dataclass(frozen=True, slots=True)
class IssuedTokens(TokenPair):
    """What a client keeps; `device_token` comes with the password grant alone, to go along with the next."""

    device_token: str | None = None


@router.post(
    f"{V1}/auth/token",
    response_model=IssuedTokens,
    openapi_extra=_documented(
        ["grant_type"],
        {
            "grant_type": {**_TEXT, "enum": ["password", "refresh_token"]},
            "username": {**_TEXT, "description": "The e-mail address."},
            "password": {**_TEXT, "format": "password"},
            "refresh_token": _TEXT,
            "device_token": {**_TEXT, "description": "That of an earlier log-in on this device, if any."},
        },
        grant_type="password",
        username="ada@example.com",
        password=PASSWORD,
    ),
    responses=refused_by(
        InvalidForm, InvalidGrant, UnsupportedGrantType, ContentTooLarge, TooManyAttempts, QuotaExceeded
    ),
    dependencies=[_limit("login", "/auth/token")],
)
async def issue_token(request: Request, login: Login, sessions: Tokens, peer: FromPeer) -> Answer:
    """The same as logging in and refreshing, for tools that speak OAuth; for first-party clients alone.

    Errors are problems that have OAuth's `error` as a further member.
    """
    form = await _form(request)
    try:
        match _required(form, "grant_type"):
            case "password":
                email, password = _required(form, "username"), _required(form, "password")
                pair: TokenPair = await login.log_in(
                    peer, email=email, password=password, device_token=form.get("device_token", "")
                )
            case "refresh_token":
                pair = await sessions.refresh(refresh_token=_required(form, "refresh_token"))
            case _:
                raise UnsupportedGrantType("There are `password` and `refresh_token`.")
    except (WrongCredentials, SessionEnded, RefreshedElsewhere) as refused:
        raise InvalidGrant(_told(refused)) from refused
    except PasswordsDisabled as refused:
        raise UnsupportedGrantType(_told(refused)) from refused
    return Answer(200, msgspec.json.encode(pair))


@router.post(
    f"{V1}/auth/revoke",
    openapi_extra=_documented(["token"], _TOKEN, token=TOKEN),
    response_model=None,
    responses={
        200: {
            "description": "The token has expired, was revoked, or was never valid.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **refused_by(InvalidForm, Stale, ContentTooLarge, QuotaExceeded),
    },
    dependencies=[_limit(DEFAULT, "/auth/revoke")],
)
async def revoke_token(request: Request, sessions: Tokens, verify: Verify, run: Run) -> Answer:
    """The holder of a refresh token or an access token may end its session; an unknown token is no error."""
    token = _required(await _form(request), "token")
    if not _is_compact(token):
        await sessions.revoke(refresh_token=token)
        return Answer(200, b"{}")
    try:
        # Only a token of ours has a session, and it alone is worth a look at its user.
        if (await verify.read(token)).session_id is not None:
            await run(log_out, await verify.verify(token))
    except (Unauthenticated, SessionNotFound):
        pass
    return Answer(200, b"{}")


@dataclass(slots=True, kw_only=True)
class Introspection:
    """What an access token of the built-in provider says (RFC 7662 §2.2). Of any other: `active` is false."""

    active: bool
    iss: str | None = None
    sub: str | None = None
    aud: str | None = None
    client_id: str | None = None
    exp: int | None = None
    iat: int | None = None
    sid: str | None = None
    token_type: str | None = None


@router.post(
    f"{V1}/auth/introspect",
    response_model=Introspection,
    openapi_extra=_documented(["token"], _TOKEN, token=TOKEN),
    responses=refused_by(InvalidForm, InvalidClient, ContentTooLarge, QuotaExceeded),
)
async def introspect_token(
    request: Request, verify: Verify, _client: Annotated[str, Depends(IntrospectionClient())]
) -> Answer:
    """The services that the settings name may ask; for those that cannot verify a token by themselves.

    It tells of access tokens of the built-in provider only.
    """
    settings = settings_of(request)
    token = _required(await _form(request), "token")
    found = Introspection(active=False)
    try:
        if _is_compact(token):
            proof = await verify.read(token)
            if proof.issuer == settings.public_url:
                await verify.verify(token)  # its session goes on, and its user is not suspended
                found = _introspection(proof, settings)
    except Unauthenticated:
        pass
    said = {name: value for name, value in msgspec.to_builtins(found).items() if value is not None}
    return Answer(200, msgspec.json.encode(said))


def _introspection(proof: Claims, settings: KernelSettings) -> Introspection:
    return Introspection(
        active=True,
        iss=proof.issuer,
        sub=proof.subject,
        aud=settings.auth_audience,
        client_id=proof.client,
        exp=int(proof.expires_at),
        iat=int(proof.issued_at),
        sid=str(proof.session_id) if proof.session_id else None,
        token_type="Bearer",  # noqa: S106 (the name of a scheme)
    )


def _is_compact(token: str) -> bool:
    """Whether it looks like an access token: ours are JWTs, and a refresh token has one dot."""
    return token.count(".") == 2


async def _form(request: Request) -> dict[str, str]:
    """The form, each name once; what has no value counts as absent (RFC 6749 §3.2). Raises InvalidForm."""
    given = request.headers.get("content-type", "").encode("latin-1")
    if in_utf_8(given) != FORM.encode():
        raise InvalidForm(f"Send it as {FORM}, in UTF-8.")
    raw = await request.body()
    if len(raw) > FORM_MOST:
        raise InvalidForm(f"It must have at most {FORM_MOST} bytes.")
    try:
        pairs = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_MOST,
        )
    except ValueError:
        raise InvalidForm("It is no form in UTF-8.") from None
    form = dict(pairs)
    if len(form) < len(pairs) or any("\0" in value for value in form.values()):
        raise InvalidForm("Each parameter must come once, and without the character NUL.")
    return {name: value for name, value in form.items() if value}


def _required(form: Mapping[str, str], name: str) -> str:
    try:
        return form[name]
    except KeyError:
        raise InvalidForm(f"`{name}` is missing.") from None


def _told(error: Exception) -> str:
    return str(error) or (type(error).__doc__ or HTTPStatus.BAD_REQUEST.phrase)
