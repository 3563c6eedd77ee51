"""What each operation costs: its statements are counted, on little data and on more, with one connection."""

import importlib
import inspect
import pkgutil
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

import application.commands
import application.kernel.commands
import application.kernel.identity
import kernel.specimen.commands
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import queries_of, repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from application.kernel.commands.invitations import accept_invitation, invite, withdraw_invitation
from application.kernel.commands.memberships import change_role, remove_member
from application.kernel.commands.users import (
    change_roles,
    delete_account,
    delete_own_account,
    edit_profile,
    end_sessions_of,
    grant_role,
    restore_account,
    restore_user,
    revoke_role,
    suspend_account,
    suspend_user,
)
from application.kernel.commands.workspaces import (
    archive_workspace,
    create_workspace,
    delete_workspace,
    edit_workspace,
    restore_workspace,
)
from application.kernel.export import Export
from application.kernel.identity.addresses import ensure_free, prove_email, take_address
from application.kernel.identity.email_changes import take_pending_email, undo_email_change
from application.kernel.identity.identities import (
    admit_stranger,
    fill_in,
    forget_links,
    link_identity,
    unlink_identity,
)
from application.kernel.identity.password_login import (
    change_password,
    confirm_email,
    register_user,
    replace_hash,
    request_email_verification,
    request_password_reset,
    reset_password,
)
from application.kernel.identity.provider_login import (
    make_exchange_code,
    redeem_exchange_code,
    use_up_state,
)
from application.kernel.identity.secret_tokens import fingerprint, marked_secret
from application.kernel.identity.sessions import (
    end_session,
    log_out,
    log_out_everywhere,
    open_session,
    refresh_session,
    revoke_session,
    use_session,
)
from application.kernel.identity.signing_keys import add_signing_key, remove_signing_key
from application.kernel.paging import PageRequest, Sort
from application.kernel.ports.callers import Caller
from application.kernel.ports.events import Delivery, Outbox
from application.kernel.queries.users import UserFilter
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event
from domain.kernel.identity.identities import Link
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.identity.sessions import Session
from domain.kernel.identity.signing_keys import SigningKey
from domain.kernel.invitations import LIFETIME, Invitation
from domain.kernel.memberships import Membership, Role
from domain.kernel.users import Email, GlobalRole, User
from domain.kernel.workspaces import Workspace
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned
from kernel.specimen.reactions import note_assignment
from kernel.specimen.service import Container, Queries, UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_caller,
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_proof,
    a_session,
    a_signing_key,
    a_team,
    a_user,
    address_of,
    an_email,
    an_invitation,
    reauthenticated,
    store,
)
from kernel.world.resources import World as Surroundings
from kernel.world.resources import all_stored, in_order, parts

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]


@dataclass(frozen=True)
class World:
    """One of each thing, in a workspace with much or little else in it, and the ways to use it."""

    run: Runner[UnitOfWork]
    ask: Queries
    outbox: Outbox[UnitOfWork]
    team: Team
    archived: Team
    world: Surroundings
    invitation: Invitation
    token: str
    expired: Invitation
    session: Session
    link: Link
    shell: Link
    pending: User
    unverified: User
    """Who claims an address that others claim as well."""

    @property
    def claimant(self) -> Caller:
        return a_caller(self.unverified.id)

    @property
    def root(self) -> Caller:
        return a_caller(roles=frozenset({GlobalRole.ADMIN}))

    @property
    def workspace(self) -> Workspace:
        return self.team.workspace


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: NOW


@pytest.fixture
async def database(empty_database_url: str, statements: list[str]) -> AsyncIterator[Database]:
    """With one connection, for which nobody waits long: who needs a second one does not get it."""
    database = Database(
        empty_database_url,
        pool_size=1,
        wait_seconds=0.05,
        on_connect=lambda raw: raw.add_query_logger(lambda query: statements.append(query.query)),
    )
    yield database
    await database.close()


@pytest.fixture(params=[0, 30], ids=["little data", "more data"])
async def world(
    request: pytest.FixtureRequest,
    database: Database,
    clock: Callable[[], datetime],
    begin: Begin[UnitOfWork],
) -> World:
    transactions = PostgresTransactions(database, clock, UnitOfWork, repositories_of(UnitOfWork))
    challenge = urlsafe_b64encode(sha256(b"v" * 43).digest()).rstrip(b"=").decode()
    team, archived = a_team(), a_team(archived=True)
    owner, workspace_id, many = team.owner.user_id, team.workspace.id, request.param
    surroundings = Surroundings(workspace_id=workspace_id, owner=owner, member=team.member.user_id)
    invitation = an_invitation(
        workspace_id=workspace_id,
        invited_by=owner,
        email=team.outsider.email,
        token_hash=fingerprint("secret"),
    )
    expired = an_invitation(workspace_id=workspace_id, invited_by=owner, created_at=NOW - 2 * LIFETIME)
    session = a_session(user_id=owner, token_hash=fingerprint("current"), family_key="key")
    unlinked = a_user()
    pending = a_user(email_verified_at=NOW, pending_email=an_email())
    moved = a_user(email_verified_at=NOW)
    link, shell = a_link(user_id=owner), a_link(user_id=unlinked.id)
    users = [a_user() for _ in range(many)]
    claimant = a_user()
    await store(
        begin,
        *team.aggregates,
        *archived.aggregates,
        a_credential(id=owner, password_hash="$1"),
        session,
        a_one_time_token(
            purpose=Purpose.EXCHANGE, user_id=owner, token_hash=fingerprint("exchange"), challenge=challenge
        ),
        unlinked,
        link,
        shell,
        pending,
        moved,
        a_one_time_token(user_id=pending.id, email=pending.pending_email, token_hash=fingerprint("pending")),
        *(
            a_one_time_token(
                purpose=Purpose.UNDO_EMAIL_CHANGE,
                user_id=user.id,
                email=email,
                token_hash=fingerprint(secret),
            )
            for user, email, secret in ((pending, pending.email, "undo"), (moved, an_email(), "undo, moved"))
        ),
        *(a_link(user_id=owner) for _ in range(many + 1)),
        claimant,
        *(a_user(email=claimant.email) for _ in range(many + 1)),
        a_credential(id=claimant.id, password_hash="$1"),
        *(
            a_one_time_token(
                purpose=purpose,
                user_id=claimant.id,
                email=claimant.email,
                token_hash=fingerprint(secret),
            )
            for purpose, secret in ((Purpose.RESET_PASSWORD, "reset"), (Purpose.VERIFY_EMAIL, "verify"))
        ),
        invitation,
        expired,
        *users,
        *(a_membership(workspace_id=workspace_id, user_id=user.id, role=Role.OWNER) for user in users),
        *(an_invitation(workspace_id=workspace_id, invited_by=owner) for _ in users),
        *(a_session(user_id=owner) for _ in users),
        *all_stored(surroundings),
        *in_order(each for _, crowd in parts("crowd") for each in crowd(surroundings, many)),
    )
    return World(
        run=Runner(transactions),
        ask=queries_of(Queries, database),
        outbox=PostgresOutbox(database, transactions),
        team=team,
        archived=archived,
        world=surroundings,
        invitation=invitation,
        token="secret",
        expired=expired,
        session=session,
        link=link,
        shell=shell,
        pending=pending,
        unverified=claimant,
    )


# ── commands ─────────────────────────────────────────────────────────────────────────────────────

type Operation = Callable[[Any], Awaitable[object]]
"""Of a `World`; a resource's own takes the `Stage` of kernel/world/resources.py, which is a part of it."""


async def _add_key(it: World) -> SigningKey:
    return await it.run(add_signing_key, [], kid="1", sealed="1", ahead=timedelta(0))


async def _remove_key(it: World) -> object:
    key = await _add_key(it)
    return await it.run(remove_signing_key, key, keys=[key, a_signing_key(number=2)])


async def _confirm_pending(it: World) -> object:
    return await it.run(confirm_email, a_caller(it.pending.id), token="pending")


async def _undo_pending(it: World) -> object:
    return await it.run(undo_email_change, token="undo")


async def _undo_moved(it: World) -> object:
    return await it.run(undo_email_change, token="undo, moved")


async def _workspace(ask: Queries, actor: Caller, workspace: Workspace) -> object:
    return await ask.workspaces.get(actor.user_id, workspace.id)


async def _member(ask: Queries, actor: Caller, membership: Membership) -> object:
    return await ask.memberships.get(actor.user_id, membership.workspace_id, membership.user_id)


async def _invitation(ask: Queries, actor: Caller, invitation: Invitation) -> object:
    return await ask.invitations.get(actor.user_id, invitation.id)


# A read or a change is one statement. BEGIN and COMMIT make two more where there is more than one change, or
# a lock: of the owners, and of the event that is delivered.
COMMANDS: dict[str, tuple[int, Operation]] = {
    # by address, user, credential
    "register_user": (
        5,
        lambda it: it.run(register_user, email=an_email(), display_name="Ada", password_hash="$"),
    ),
    "ensure_free": (1, lambda it: it.run(ensure_free, Email("new@example.com"))),
    # their claim on others, user
    "prove_email": (4, lambda it: it.run(prove_email, it.unverified)),
    "take_address": (4, lambda it: it.run(take_address, it.unverified.verify_email(at=NOW))),
    # credential, change
    "replace_hash": (
        2,
        lambda it: it.run(replace_hash, it.team.owner.user_id, outdated="$1", password_hash="$2"),
    ),
    "replace_hash, changed meanwhile": (
        1,
        lambda it: it.run(replace_hash, it.team.owner.user_id, outdated="$0", password_hash="$2"),
    ),
    "open_session": (
        1,
        lambda it: it.run(open_session, it.team.owner.user_id, token_hash="1", lifetime=timedelta(days=1)),
    ),
    # begin, session, turn, those beyond, commit
    "open_session, of a bounded number": (
        5,
        lambda it: it.run(
            open_session, it.team.owner.user_id, token_hash="1", lifetime=timedelta(days=1), most=1
        ),
    ),
    "open_session, by password": (
        1,
        lambda it: it.run(
            open_session,
            it.team.owner.user_id,
            token_hash="1",
            lifetime=timedelta(days=1),
            password_hash="$1",
        ),
    ),
    # session, user, change
    "refresh_session": (
        3,
        lambda it: it.run(refresh_session, it.session.id, secret="current", lifetime=timedelta(days=1)),
    ),
    # session, change
    "refresh_session, reused": (
        2,
        lambda it: it.run(
            refresh_session, it.session.id, secret=marked_secret("key"), lifetime=timedelta(days=1)
        ),
    ),
    "use_session": (
        2,
        lambda it: it.run(use_session, it.session.id, lifetime=timedelta(days=1), idle=timedelta(hours=1)),
    ),
    "revoke_session": (2, lambda it: it.run(revoke_session, it.session.id, secret="current")),
    "end_session": (
        2,
        lambda it: it.run(end_session, reauthenticated(it.team.owner.user_id), it.session.id),
    ),
    "end_session, its own": (
        2,
        lambda it: it.run(
            end_session, a_caller(it.team.owner.user_id, session_id=it.session.id), it.session.id
        ),
    ),
    "log_out": (
        2,
        lambda it: it.run(log_out, a_caller(it.team.owner.user_id, session_id=it.session.id)),
    ),
    "log_out_everywhere": (
        1,
        lambda it: it.run(log_out_everywhere, reauthenticated(it.team.owner.user_id)),
    ),
    # begin, user, change, sessions, commit
    "end_sessions_of": (5, lambda it: it.run(end_sessions_of, it.root, it.team.owner.user_id)),
    # credential, change, sessions, mailed tokens
    "change_password": (
        6,
        lambda it: it.run(change_password, it.team.owner, outdated="$1", password_hash="$2"),
    ),
    # token
    "request_password_reset": (1, lambda it: it.run(request_password_reset, email=an_email())),
    # token, user, credential; credential, sessions, lock of the links, links, their claim on others, user,
    # token, mailed tokens
    "reset_password": (12, lambda it: it.run(reset_password, token="reset", password_hash="$2")),
    # user, token
    "request_email_verification": (2, lambda it: it.run(request_email_verification, it.claimant)),
    # token, user; token, user, their claim on others
    "confirm_email": (7, lambda it: it.run(confirm_email, it.claimant, token="verify")),
    # token, user; token, holder of the address, mailed tokens, user
    "confirm_email, of a pending address": (8, _confirm_pending),
    # holder of the address, mailed tokens, user
    "take_pending_email": (5, lambda it: it.run(take_pending_email, it.pending)),
    # token, user; token, mailed tokens, later secrets, user
    "undo_email_change, before it was confirmed": (8, _undo_pending),
    # token, user; token, mailed tokens, later secrets, holder of the address, sessions, user
    "undo_email_change": (10, _undo_moved),
    "add_signing_key": (1, _add_key),
    # add, then removal
    "remove_signing_key": (2, _remove_key),
    # user, change
    "edit_profile": (2, lambda it: it.run(edit_profile, it.team.owner, display_name="Augusta")),
    # user, mailed tokens, change
    "edit_profile, another address": (
        5,
        lambda it: it.run(edit_profile, reauthenticated(it.team.owner.user_id), email=an_email()),
    ),
    "edit_profile, the same": (
        1,
        lambda it: it.run(edit_profile, it.team.owner, display_name="Owner"),
    ),
    # lock, change
    "change_roles": (
        4,
        lambda it: it.run(change_roles, it.root, it.team.owner.user_id, roles=[GlobalRole.SUPPORT]),
    ),
    "change_roles, the same": (
        3,
        lambda it: it.run(change_roles, it.root, it.team.owner.user_id, roles=[]),
    ),
    "grant_role": (
        2,
        lambda it: it.run(grant_role, account=address_of(it.team.outsider), role=GlobalRole.ADMIN),
    ),
    "revoke_role, which they have not": (
        1,
        lambda it: it.run(revoke_role, account=address_of(it.team.outsider), role=GlobalRole.ADMIN),
    ),
    # user, change, sessions, mailed tokens, invitations
    "suspend_user": (7, lambda it: it.run(suspend_user, it.root, it.team.owner.user_id)),
    "suspend_account": (7, lambda it: it.run(suspend_account, account=address_of(it.team.outsider))),
    "restore_user, who is active": (3, lambda it: it.run(restore_user, it.root, it.team.owner.user_id)),
    "restore_account, which is active": (
        1,
        lambda it: it.run(restore_account, account=address_of(it.team.outsider)),
    ),
    # user, memberships, invitations, links, their accounts, password, mailed secrets, sessions, user
    "delete_own_account": (
        11,
        lambda it: it.run(delete_own_account, reauthenticated(it.team.member.user_id)),
    ),
    # by id; the same with the links' removal and their accounts, and without a membership
    "delete_account": (14, lambda it: it.run(delete_account, account=str(it.shell.user_id))),
    # links, lock and removal, their accounts
    "forget_links": (6, lambda it: it.run(forget_links, it.team.owner.user_id)),
    # deleted before?, by address, user, link
    "admit_stranger": (
        6,
        lambda it: it.run(admit_stranger, a_proof(email="new@example.com"), email_trusted=True),
    ),
    # deleted before?, by address, user, their claim on others, link
    "admit_stranger, who has proved an address": (
        7,
        lambda it: it.run(
            admit_stranger, a_proof(email="new@example.com", email_verified=True), email_trusted=True
        ),
    ),
    "admit_stranger, whose address somebody has proved": (
        6,
        lambda it: it.run(
            admit_stranger,
            a_proof(email=address_of(it.team.outsider), email_verified=True),
            email_trusted=True,
        ),
    ),
    "admit_stranger, without an address": (
        5,
        lambda it: it.run(admit_stranger, a_proof(), email_trusted=True),
    ),
    # lock, link, change
    "link_identity": (
        5,
        lambda it: it.run(link_identity, reauthenticated(it.team.owner.user_id), a_proof()),
    ),
    "link_identity, again": (
        4,
        lambda it: it.run(
            link_identity,
            reauthenticated(it.team.owner.user_id),
            a_proof(issuer=it.link.issuer, subject=it.link.subject),
        ),
    ),
    # lock, link, its user, lock, whether there is more, change, removal
    "link_identity, of a user who is nothing else": (
        9,
        lambda it: it.run(
            link_identity,
            reauthenticated(it.team.owner.user_id),
            a_proof(issuer=it.shell.issuer, subject=it.shell.subject),
        ),
    ),
    # lock, change
    "unlink_identity": (
        4,
        lambda it: it.run(unlink_identity, reauthenticated(it.team.owner.user_id), it.link.id),
    ),
    "use_up_state": (1, lambda it: it.run(use_up_state, state="state")),
    # user, whoever has the address
    "fill_in, where nothing is lacking": (
        2,
        lambda it: it.run(
            fill_in,
            it.team.owner.user_id,
            a_proof(email=an_email(), email_verified=True),
            email_trusted=True,
        ),
    ),
    "make_exchange_code": (
        1,
        lambda it: it.run(
            make_exchange_code, it.team.owner.user_id, code="code", challenge="c", authenticated_at=NOW
        ),
    ),
    # token, removal
    "redeem_exchange_code": (2, lambda it: it.run(redeem_exchange_code, code="exchange", verifier="v" * 43)),
    # slug, workspace, membership
    "create_workspace": (5, lambda it: it.run(create_workspace, it.team.owner, name="Looms")),
    # What the result lacks is read in the transaction, so with BEGIN and COMMIT where there were none.
    "create_workspace, and shown": (
        6,
        lambda it: it.run.showing(_workspace, create_workspace, it.team.owner, name="Looms"),
    ),
    # standing, workspace, change
    "edit_workspace": (
        3,
        lambda it: it.run(edit_workspace, it.team.admin, it.workspace.id, name="Looms"),
    ),
    "edit_workspace, and shown": (
        6,
        lambda it: it.run.showing(_workspace, edit_workspace, it.team.admin, it.workspace.id, name="Looms"),
    ),
    "edit_workspace, the same, and shown": (
        3,
        lambda it: it.run.showing(
            _workspace, edit_workspace, it.team.admin, it.workspace.id, name=it.workspace.name
        ),
    ),
    "archive_workspace": (3, lambda it: it.run(archive_workspace, it.team.admin, it.workspace.id)),
    "archive_workspace, and shown": (
        6,
        lambda it: it.run.showing(_workspace, archive_workspace, it.team.admin, it.workspace.id),
    ),
    "restore_workspace": (
        3,
        lambda it: it.run(restore_workspace, it.archived.admin, it.archived.workspace.id),
    ),
    "delete_workspace": (3, lambda it: it.run(delete_workspace, it.team.owner, it.workspace.id)),
    # standing, lock, change, invitations
    "change_role": (
        6,
        lambda it: it.run(
            change_role, it.team.owner, it.workspace.id, it.team.member.user_id, role=Role.ADMIN
        ),
    ),
    "change_role, and shown": (
        7,
        lambda it: it.run.showing(
            _member, change_role, it.team.owner, it.workspace.id, it.team.member.user_id, role=Role.ADMIN
        ),
    ),
    "remove_member": (
        6,
        lambda it: it.run(remove_member, it.team.admin, it.workspace.id, it.team.member.user_id),
    ),
    "remove_member, themselves": (
        6,
        lambda it: it.run(remove_member, it.team.member, it.workspace.id, it.team.member.user_id),
    ),
    # standing under a lock, user, earlier invitation, change
    "invite": (
        6,
        lambda it: it.run(invite, it.team.admin, it.workspace.id, email=an_email(), role=Role.MEMBER),
    ),
    "invite, and shown": (
        7,
        lambda it: it.run.showing(
            _invitation, invite, it.team.admin, it.workspace.id, email=an_email(), role=Role.MEMBER
        ),
    ),
    # standing, user, earlier invitation, its removal, change
    "invite, after another expired": (
        7,
        lambda it: it.run(invite, it.team.admin, it.workspace.id, email=it.expired.email, role=Role.MEMBER),
    ),
    # invitation, standing, change
    "withdraw_invitation": (3, lambda it: it.run(withdraw_invitation, it.team.admin, it.invitation.id)),
    # invitation, user, workspace, the inviter's standing under a lock, membership, removal
    "accept_invitation": (8, lambda it: it.run(accept_invitation, it.team.stranger, token=it.token)),
    "accept_invitation, and shown": (
        9,
        lambda it: it.run.showing(_member, accept_invitation, it.team.stranger, token=it.token),
    ),
}

COMMANDS |= {name: row for _, commands in parts("COMMANDS") for name, row in commands.items()}


# ── queries ──────────────────────────────────────────────────────────────────────────────────────

PAGE = PageRequest(limit=20)

QUERIES: dict[str, tuple[int, Operation]] = {
    "auth.known": (1, lambda it: it.ask.auth.known(it.team.owner.user_id)),
    "auth.resetting": (1, lambda it: it.ask.auth.resetting(fingerprint("reset"))),
    "auth.session": (
        1,
        lambda it: it.ask.auth.session(it.team.owner.user_id, it.session.id, current=None),
    ),
    "auth.sessions": (
        1,
        lambda it: it.ask.auth.sessions(it.team.owner.user_id, PAGE, current=it.session.id),
    ),
    "auth.credentials": (1, lambda it: it.ask.auth.credentials(address_of(it.team.outsider))),
    "auth.signing_keys": (1, lambda it: it.ask.auth.signing_keys()),
    "auth.cookie": (1, lambda it: it.ask.auth.cookie(it.session.id)),
    "identities.linked": (1, lambda it: it.ask.identities.linked(it.link.issuer, it.link.subject)),
    "identities.session": (1, lambda it: it.ask.identities.session(it.session.user_id, it.session.id)),
    "identities.get": (1, lambda it: it.ask.identities.get(it.team.owner.user_id, it.link.id)),
    "identities.page": (1, lambda it: it.ask.identities.page(it.team.owner.user_id, PAGE)),
    "users.get": (1, lambda it: it.ask.users.get(it.root, it.team.owner.user_id)),
    "users.page": (
        1,
        lambda it: it.ask.users.page(it.root, UserFilter(q="a", suspended=False), [Sort("email")], PAGE),
    ),
    "users.profile": (1, lambda it: it.ask.users.profile(it.team.owner.user_id)),
    "workspaces.get": (1, lambda it: it.ask.workspaces.get(it.team.viewer.user_id, it.workspace.id)),
    "workspaces.page": (1, lambda it: it.ask.workspaces.page(it.team.viewer.user_id, PAGE)),
    "memberships.get": (
        1,
        lambda it: it.ask.memberships.get(it.team.viewer.user_id, it.workspace.id, it.team.member.user_id),
    ),
    "memberships.page": (
        1,
        lambda it: it.ask.memberships.page(it.team.viewer.user_id, it.workspace.id, PAGE),
    ),
    "invitations.get": (
        1,
        lambda it: it.ask.invitations.get(it.team.admin.user_id, it.invitation.id),
    ),
    "invitations.page": (
        1,
        lambda it: it.ask.invitations.page(it.team.admin.user_id, it.workspace.id, PAGE),
    ),
    "invitations.mine": (1, lambda it: it.ask.invitations.mine(it.team.stranger.user_id, PAGE)),
}

QUERIES |= {name: row for _, questions in parts("QUERIES") for name, row in questions.items()}


# ── the outbox ───────────────────────────────────────────────────────────────────────────────────


async def _nothing(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
    pass


async def _fail(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
    raise ZeroDivisionError


async def _specimen_note(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
    if isinstance(delivery.event, SpecimenOrderAssigned):
        await note_assignment(uow, Delivery(id=delivery.id, event=delivery.event))


async def _assign(it: World) -> None:
    await it.run(
        create_specimen_order, it.team.owner, it.workspace.id, title="Spin", assignee_id=it.team.admin.user_id
    )


OUTBOX: dict[str, tuple[int, Operation]] = {
    # claim
    "deliver_next, nothing": (3, lambda it: it.outbox.deliver_next(_nothing)),
    # claim, removal
    "deliver_next": (4, lambda it: it.outbox.deliver_next(_nothing)),
    # claim, rollback, failure
    "deliver_next, failing": (4, lambda it: it.outbox.deliver_next(_fail)),
    # claim, specimen order, note, removal
    "deliver_next, reacting": (6, lambda it: it.outbox.deliver_next(_specimen_note)),
    "entries": (1, lambda it: it.outbox.entries(parked_only=False, limit=100)),
    "entries, parked": (1, lambda it: it.outbox.entries(parked_only=True, limit=100)),
    # of the events, and of what they cause outside
    "replay": (2, lambda it: it.outbox.replay(it.session.id)),
    "replay, all": (2, lambda it: it.outbox.replay(None)),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_takes_so_many_statements(world: World, recorded: Recorded, name: str) -> None:
    count, operation = COMMANDS[name]
    async with recorded() as sent:
        await operation(world)
    assert len(sent) == count, sent


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_takes_so_many_statements(world: World, recorded: Recorded, name: str) -> None:
    count, operation = QUERIES[name]
    async with recorded() as sent:
        await operation(world)
    assert len(sent) == count, sent


async def test_an_export_takes_one_statement_for_each_of_its_parts(
    world: World, recorded: Recorded, clock: Callable[[], datetime]
) -> None:
    parts = Container.export_parts()
    async with recorded() as sent:
        await Export(world.ask, clock, parts).of(reauthenticated(world.team.owner.user_id))
    assert len(sent) == 5 + len(parts), sent


@pytest.mark.parametrize("name", OUTBOX)
async def test_a_delivery_takes_so_many_statements(world: World, recorded: Recorded, name: str) -> None:
    count, operation = OUTBOX[name]
    if name != "deliver_next, nothing":
        await _assign(world)
    if name == "deliver_next, reacting":
        await world.outbox.deliver_next(_nothing)  # that it was created
    async with recorded() as sent:
        await operation(world)
    assert len(sent) == count, sent


def test_every_command_is_counted() -> None:
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}")
        for package in (
            application.commands,
            application.kernel.commands,
            application.kernel.identity,
            kernel.specimen.commands,
        )
        for each in pkgutil.iter_modules(package.__path__)
    ]
    commands = {
        name
        for module in modules
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    counted = {name.split(",")[0] for name in COMMANDS}
    assert not commands - counted, "the COMMANDS of a module of tests/resources lack these"
    assert not counted - commands


def test_every_query_is_counted() -> None:
    queries = {
        f"{field.name}.{name}"
        for field in fields(Queries)
        if isinstance(field.type, type)
        for name in vars(field.type)
        if not name.startswith("_")
    }
    counted = {name.split(",")[0] for name in QUERIES}
    assert not queries - counted, "the QUERIES of a module of tests/resources lack these"
    assert not counted - queries
