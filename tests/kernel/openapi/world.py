"""What every request finds: somebody of each role, and what they may ask for, under ids that never change.

It is stored once and copied aside, so that it can be put back in a few milliseconds: no request finds what an
earlier one has destroyed.
"""

import base64
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID
from zlib import crc32

import asyncpg
from argon2 import PasswordHasher
from joserfc.jwk import ECKey
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.tables.schema import metadata
from adapters.tokens.sealing import LOGINS, JweSeal
from application.kernel.identity.cookie_sessions import csrf_token
from application.kernel.identity.provider_login import PendingLogin
from application.kernel.identity.secret_tokens import fingerprint
from domain.kernel.aggregate import Aggregate
from domain.kernel.identity.identities import LinkId
from domain.kernel.identity.one_time_tokens import OneTimeTokenId, Purpose
from domain.kernel.identity.sessions import SessionId, SessionKind
from domain.kernel.invitations import InvitationId
from domain.kernel.memberships import MembershipId, Role
from domain.kernel.users import Email, GlobalRole, User, UserId
from domain.kernel.workspaces import WorkspaceId
from entrypoints.container import Container
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER, LOG_IN, SESSION
from entrypoints.kernel.settings import KernelSettings
from kernel.world.builders import (
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_session,
    a_user,
    a_workspace,
    an_invitation,
    store,
)
from kernel.world.forging import Forger
from kernel.world.provider import ProviderServer, answer, public
from kernel.world.resources import World as Surroundings
from kernel.world.resources import in_order, modules

PASSWORD = "violet kettle hums at dawn"
CLIENT_SECRET = "s" * 32
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STATE = "s" * 20

KEY = ECKey.generate_key("P-256")
PORTAL, AUDIENCE = "portal", "shop"

type Headers = Mapping[str, str]
type Values = Mapping[str, Sequence[Any]]


def _id(number: int) -> UUID:
    return UUID(f"019a0000-0000-7000-8000-{number:012x}")


NEWCOMER, VIEWER, MEMBER, ADMIN, OWNER, OTHER, SUPPORT, ROOT = (UserId(_id(n)) for n in range(1, 9))
HOME, ARCHIVED, ELSEWHERE = (WorkspaceId(_id(n)) for n in range(0x20, 0x23))
INVITATION = InvitationId(_id(0x60))
REFRESHED, COOKIE, OLD_DEVICE = (SessionId(_id(n)) for n in range(0x70, 0x73))
LINK = LinkId(_id(0x80))

MAIL = {
    user: Email(f"{name}@example.com")
    for user, name in (
        (NEWCOMER, "newcomer"),
        (VIEWER, "viewer"),
        (MEMBER, "member"),
        (ADMIN, "admin"),
        (OWNER, "owner"),
        (OTHER, "other"),
        (SUPPORT, "support"),
        (ROOT, "root"),
    )
}
BY_BEARER = {"newcomer": NEWCOMER, "viewer": VIEWER, "member": MEMBER, "admin": ADMIN, "owner": OWNER} | {
    "other": OTHER,
    "support": SUPPORT,
    "root": ROOT,
}
CALLERS = ("anonymous", *BY_BEARER, "browser", "service")
"""Who asks: nobody, a user of each role, the member by cookie, and a client that may introspect tokens."""


def _session_of(user: UserId) -> SessionId:
    return SessionId(_id(0x100 + user.int % 0x100))


def _users() -> Iterator[User]:
    roles = {SUPPORT: (GlobalRole.SUPPORT,), ROOT: (GlobalRole.ADMIN,)}
    for user, email in MAIL.items():
        # Who is invited has to have verified the address, and the member is about to.
        verified = BEGUN if user == NEWCOMER else None
        yield a_user(id=user, email=email, email_verified_at=verified, roles=roles.get(user, ()))


FACTS = {
    name: [getattr(module, name) for module in modules() if ".specimen." not in module.__name__]
    for name in ("stored", "places", "MATRIX", "PEOPLE")
}
"""Of this service's own resources: its document knows nothing of the specimen."""


@cache
def _home(now: datetime) -> Surroundings:
    return Surroundings(
        workspace_id=HOME,
        owner=OWNER,
        member=MEMBER,
        at=now,
        id=lambda noun: _id(0x400 + crc32(noun.encode()) % 999),
    )


@cache
def _elsewhere(now: datetime) -> Surroundings:
    """What the members of the other workspace may not even know of."""
    return Surroundings(
        workspace_id=ELSEWHERE,
        owner=OTHER,
        member=OTHER,
        at=now,
        id=lambda noun: _id(0x800 + crc32(noun.encode()) % 999),
    )


BEGUN = datetime.now(UTC)
_PLACES = {name: place for places in FACTS["places"] for name, place in places(_home(BEGUN)).items()}
_FOREIGN = {name: place for places in FACTS["places"] for name, place in places(_elsewhere(BEGUN)).items()}


def _aggregates(now: datetime) -> Iterator[Aggregate]:
    """Everything, in an order that a database accepts."""
    yield from _users()
    yield a_workspace(id=HOME, slug="home")
    yield a_workspace(id=ARCHIVED, slug="archived", archived_at=now)
    yield a_workspace(id=ELSEWHERE, slug="elsewhere")
    members = [(MEMBER, Role.MEMBER), (VIEWER, Role.VIEWER), (ADMIN, Role.ADMIN), (OWNER, Role.OWNER)]
    places = [(place, *each) for place in (HOME, ARCHIVED) for each in members]
    for number, (place, user, role) in enumerate([*places, (ELSEWHERE, OTHER, Role.OWNER)]):
        id = MembershipId(_id(0x200 + number))
        yield a_membership(id=id, workspace_id=place, user_id=user, role=role)
    for each in (_home(now), _elsewhere(now)):
        yield from in_order(one for stored in FACTS["stored"] for one in stored(each))
    yield a_link(id=LINK, user_id=MEMBER)
    yield an_invitation(
        id=INVITATION,
        workspace_id=HOME,
        email=MAIL[NEWCOMER],
        token_hash=fingerprint("invitation"),
        invited_by=OWNER,
        created_at=now,
    )
    yield from _credentials(now)


def _credentials(now: datetime) -> Iterator[Aggregate]:
    # With few rounds: how a hash is made is not what is tested here.
    hashed = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    for user in MAIL:
        yield a_credential(id=user, password_hash=hashed)
        # What asks for a fresh proof is to find one for as long as the requests may take.
        lasting = now + timedelta(days=30)
        yield a_session(id=_session_of(user), user_id=user, created_at=now, authenticated_at=lasting)
    yield a_session(id=OLD_DEVICE, user_id=MEMBER, created_at=now)
    yield a_session(id=REFRESHED, user_id=MEMBER, token_hash=fingerprint("refresh"), created_at=now)
    yield a_session(
        id=COOKIE,
        user_id=MEMBER,
        kind=SessionKind.COOKIE,
        token_hash=fingerprint("cookie"),
        created_at=now,
    )
    secrets = [
        (Purpose.RESET_PASSWORD, "reset", None),
        (Purpose.VERIFY_EMAIL, "verify", None),
        (Purpose.UNDO_EMAIL_CHANGE, "undo", None),
    ]
    for number, (purpose, secret, shown) in enumerate([*secrets, (Purpose.EXCHANGE, "exchange", CHALLENGE)]):
        yield a_one_time_token(
            id=OneTimeTokenId(_id(0x300 + number)),
            purpose=purpose,
            user_id=MEMBER,
            email=None if shown else MAIL[MEMBER],
            token_hash=fingerprint(secret),
            challenge=shown,
            created_at=now,
            expires_at=now + timedelta(days=30),
        )


# ── what requests name of it ─────────────────────────────────────────────────────────────────────

_IN_PATHS: Values = {
    "workspace_id": (HOME, ARCHIVED, ELSEWHERE),
    "user_id": (MEMBER, VIEWER, OWNER, NEWCOMER),
    **{name: (place, _FOREIGN[name]) for name, place in _PLACES.items()},
    "invitation_id": (INVITATION,),
    "session_id": (OLD_DEVICE, _session_of(OTHER)),
    "link_id": (LINK,),
    "name": ("oidc",),
}
_IN_HEADERS: Values = {"If-Match": ('"1"', "*", '"7", "1"', '"7"'), "If-None-Match": ('"1"', "*")}
_REFRESH_TOKEN = f"{REFRESHED.hex}.refresh"
_NEW_PASSWORD = ("another kettle hums at dusk",)
_LOG_IN: Values = {"email": (MAIL[MEMBER],), "password": (PASSWORD,)}
_PEOPLE: Values = {name: (MEMBER, NEWCOMER) for names in FACTS["PEOPLE"] for name in names}
_OF_OPERATIONS: Mapping[str, Values] = {
    "POST /v1/auth/register": {"password": _NEW_PASSWORD},
    "POST /v1/auth/login": _LOG_IN,
    "POST /v1/auth/cookie": _LOG_IN,
    "POST /v1/auth/refresh": {"refresh_token": (_REFRESH_TOKEN,)},
    "POST /v1/auth/token": {
        "username": (MAIL[MEMBER],),
        "password": (PASSWORD,),
        "refresh_token": (_REFRESH_TOKEN,),
    },
    "POST /v1/auth/revoke": {"token": (_REFRESH_TOKEN,)},
    "POST /v1/auth/exchange": {"code": ("exchange",), "verifier": (VERIFIER,)},
    "POST /v1/auth/password-reset": {"email": (MAIL[MEMBER],)},
    "POST /v1/auth/password-reset/confirmation": {"token": ("reset",), "password": _NEW_PASSWORD},
    "POST /v1/auth/email-verification/confirmation": {"token": ("verify",)},
    "POST /v1/auth/email-change/reversal": {"token": ("undo",)},
    "POST /v1/auth/reauthentication": {"password": (PASSWORD,)},
    "POST /v1/me/password": {"current_password": (PASSWORD,), "new_password": _NEW_PASSWORD},
    "POST /v1/invitations/acceptance": {"token": ("invitation",)},
    **{
        operation: {
            **_PEOPLE,
            **{name: (_PLACES[place], _PLACES[name]) for name, place in row.at.items() if place in _PLACES},
        }
        for matrix in FACTS["MATRIX"]
        for operation, row in matrix.items()
    },
    "DELETE /v1/workspaces/{workspace_id}/archival": {"workspace_id": (ARCHIVED, HOME)},
    "GET /v1/auth/providers/{name}/callback": {"state": (STATE,), "code": ("code",)},
}
"""What a request says elsewhere, or in the path of one operation, by the operation and the name."""


class World:
    """The rows in a database, and who asks for them."""

    def __init__(
        self, connection: "asyncpg.Connection[Any]", container: Container, provider: ProviderServer
    ) -> None:
        self.callers: dict[str, Headers] = {}
        """What each of CALLERS sends along."""
        self._connection = connection
        self._container = container
        self._new = {
            # What is new in each run.
            "POST /v1/me/identities": {"token": (_said(provider, aud=AUDIENCE, typ="at+jwt"),)},
            "GET /v1/auth/providers/{name}/authorize": {
                "return_to": (f"{container.settings().public_url}/welcome",),
                "challenge": (CHALLENGE,),
            },
        }
        import_tables()  # else those whose modules nothing has needed yet would not be restored
        tables = [table.name for table in metadata.sorted_tables]
        deletes = [f"DELETE FROM {table};" for table in reversed(tables)]  # noqa: S608 (names of our own)
        inserts = [f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE kept.{table};" for table in tables]
        self._copy = "".join(f"CREATE TABLE kept.{table} AS TABLE {table};" for table in tables)
        self._restore = "".join([*deletes, *inserts])

    async def make(self) -> None:
        """Stores it, and a copy of it."""
        await store(self._container.begin(), *_aggregates(BEGUN))
        self.callers = {name: await self._headers(name) for name in CALLERS}
        await self._connection.execute(f"CREATE SCHEMA kept;{self._copy}")

    async def restore(self) -> None:
        await self._connection.execute(self._restore)

    async def _headers(self, name: str) -> Headers:
        if name in BY_BEARER:
            user = BY_BEARER[name]
            token = await self._container.token_issuer().issue(user, session_id=_session_of(user))
            return {"Authorization": f"Bearer {token.value}"}
        settings = self._container.settings()
        if name == "service":
            secret = base64.b64encode(f"billing:{CLIENT_SECRET}".encode()).decode()
            return {"Authorization": f"Basic {secret}"}
        if name == "browser":
            cookie = f"{COOKIE.hex}.cookie"
            begun = JweSeal(settings.auth_secret.get_secret_value(), LOGINS).seal(
                _pending_login(settings).dump()
            )
            return {
                "Cookie": f"{SESSION}={cookie}; {LOG_IN}{STATE[:16]}={begun}",
                "Origin": settings.public_url,
                CSRF_HEADER: csrf_token(cookie),
            }
        return {}

    def name_in(self, case: Case[Any], *, path: bool = True) -> None:
        """Puts ids and secrets of this world in the place of most that are valid by the schema.

        Which ones follows from the request itself, so that the same one is always changed alike.
        """
        label = case.operation.label
        values = {**_OF_OPERATIONS.get(label, {}), **self._new.get(label, {})}
        ids = case.path_parameters if path else {}  # those of links are new in each run
        chance = _Chance(f"{case.method} {ids} {case.query} {case.body!r}", sure=_is_exemplary(case))
        for place, container, known in (
            (ParameterLocation.PATH, ids, {**_IN_PATHS, **values}),
            (ParameterLocation.QUERY, case.query, values),
            (ParameterLocation.HEADER, case.headers, _IN_HEADERS),
            (ParameterLocation.BODY, case.body, values),
        ):
            if isinstance(container, MutableMapping) and not _is_wrong(case, place):
                for name in sorted(container.keys() & known.keys()):
                    given = known[name][0] if place is ParameterLocation.HEADER else container[name]
                    container[name] = chance.pick(name, given, known[name])


def _is_exemplary(case: Case[Any]) -> bool:
    """Whether it is an example, or each of its values is: something of each operation has to succeed."""
    meta = case.meta
    if meta is None or meta.generation.mode.is_negative:
        return False
    return meta.phase.name in {TestPhase.EXAMPLES, TestPhase.COVERAGE}


def _is_wrong(case: Case[Any], place: ParameterLocation) -> bool:
    """Whether the schema is broken on purpose in this place of a request."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_negative:
        return False
    if place is ParameterLocation.HEADER:
        # What it takes for a valid `If-Match` is none, so headers seem wrong where something else is.
        told = meta.phase.data
        return place in {
            told.parameter_location,
            *(mutation.parameter_location for mutation in told.mutations),
        }
    return meta.is_negative_at(place)


def _pending_login(settings: KernelSettings) -> PendingLogin:
    """A log-in through the provider that a browser has begun."""
    return PendingLogin(
        provider="oidc",
        state=STATE,
        nonce="nonce",
        verifier=VERIFIER,
        return_to=f"{settings.public_url}/welcome",
        mode="cookie",
        response_mode="fragment",
        challenge=None,
        expires_at=(datetime.now(UTC) + timedelta(days=1)).timestamp(),
    )


class _Chance:
    """Draws that follow from a text."""

    def __init__(self, text: str, *, sure: bool) -> None:
        self._text = text
        self._sure = sure

    def pick(self, name: str, given: Any, known: Sequence[Any]) -> Any:
        """One time in eight what is given, in half of the others, or surely, the first that is known."""
        if self._sure:
            return str(known[0])
        drawn = int.from_bytes(sha256(f"{name} {self._text}".encode("utf-8", "surrogatepass")).digest()[:8])
        if drawn % 8 == 0:
            return given
        found = known[0] if drawn % 2 else known[drawn // 8 % len(known)]
        return str(found)


# ── the provider that one can log in through ─────────────────────────────────────────────────────


async def a_provider() -> ProviderServer:
    """It vouches for whoever comes back from it, and always for the same person."""
    server = ProviderServer()
    await server.start()
    server.publish(public(KEY, "k1", alg="ES256", use="sig"))
    server.paths[server.discovery] = answer(
        server.document(
            authorization_endpoint=f"{server.root}/authorize", token_endpoint=f"{server.root}/token"
        )
    )
    said = _said(server, aud=PORTAL, nonce="nonce", typ="JWT")
    server.paths["/token"] = answer({"access_token": "opaque", "token_type": "Bearer", "id_token": said})
    return server


def _said(provider: ProviderServer, *, typ: str, **claims: Any) -> str:
    now = int(datetime.now(UTC).timestamp())
    valid = {"iss": provider.issuer, "sub": "ada", "iat": now, "exp": now + 86_000, "client_id": PORTAL}
    forger = Forger(
        key=KEY,
        stranger=KEY,
        algorithm="ES256",
        kid="k1",
        typ=typ,
        claims={**valid, "jti": "token-7", **claims},
    )
    return forger.token()
