"""What every keeper of aggregates promises: the one in memory, which the fast tests trust, and Postgres."""

import asyncio
import importlib
import pkgutil
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from sqlalchemy import Table

import domain
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.users import PostgresUsers
from adapters.postgres.kernel.workspaces import PostgresWorkspaces
from application.kernel.admission import NotPermitted
from application.kernel.commands.invitations import accept_invitation, invite
from application.kernel.commands.memberships import change_role, remove_member
from application.kernel.commands.users import change_roles, delete_own_account, suspend_user
from application.kernel.identity.identities import admit_stranger, link_identity
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import TokenSessions, refresh_session
from application.kernel.ports.events import Delivery
from application.kernel.ports.tenancy import Standing
from application.kernel.ports.world import Contention
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin, KernelUnitOfWork
from domain.kernel.aggregate import Aggregate, Event, new_id
from domain.kernel.errors import DomainError, NotFound, Stale
from domain.kernel.identity.identities import Link, LinkedElsewhere, LinkNotFound, LinksRemoved
from domain.kernel.identity.one_time_tokens import OneTimeToken, OneTimeTokenId, OneTimeTokenNotFound, Purpose
from domain.kernel.identity.sessions import (
    DELETION_REMEMBERED,
    OtherSessionsEnded,
    SessionId,
    SessionKind,
    SessionNotFound,
)
from domain.kernel.identity.signing_keys import KeysRotated, SigningKeyNotFound
from domain.kernel.invitations import AlreadyInvited, Invitation, InvitationLapsed, InvitationNotFound
from domain.kernel.memberships import AlreadyMember, LastOwner, MemberNotFound, Membership, Role
from domain.kernel.users import EmailLost, EmailTaken, GlobalRole, User, UserEdited, UserNotFound
from domain.kernel.workspaces import SlugTaken, WorkspaceId, WorkspaceNotFound
from kernel.specimen.builders import a_specimen_note, a_specimen_order, a_specimen_order_id
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigneeNotMember, SpecimenOrderNotFound
from kernel.specimen.service import UnitOfWork
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
    a_token_hash,
    a_user,
    a_user_id,
    a_workspace,
    a_workspace_id,
    address_of,
    an_email,
    an_invitation,
    reauthenticated,
    repository_of,
    store,
)
from kernel.world.fakes import FakeClock, FakeTokenIssuer, MemoryTransactions, kinds_by_table
from kernel.world.resources import Example, parts

LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


@dataclass(frozen=True)
class World:
    """A keeper of aggregates, and every event that it has emitted."""

    begin: Begin[UnitOfWork]
    emitted: Callable[[], Awaitable[list[Event]]]


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        transactions = MemoryTransactions(FakeClock(NOW), UnitOfWork)

        async def remembered() -> list[Event]:
            return transactions.events

        return World(transactions, remembered)

    database: Database = request.getfixturevalue("database")
    begin = PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork))
    outbox = PostgresOutbox(database, begin)
    events: list[Event] = []

    async def take(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        events.append(delivery.event)

    async def delivered() -> list[Event]:
        while await outbox.deliver_next(take):
            pass
        return events

    return World(begin, delivered)


@pytest.fixture
def begin(world: World) -> Begin[UnitOfWork]:
    return world.begin


# ── one example of each aggregate ────────────────────────────────────────────────────────────────


def user_example() -> Example:
    user = a_user(
        display_name="Ada Ⅱ",
        email_verified_at=LATER,
        pending_email=an_email(),
        roles=(GlobalRole.SUPPORT, GlobalRole.ADMIN),
        created_at=LATER,
        suspended_at=LATER,
        deleted_at=LATER,
    )
    changed = replace(
        user,
        email=None,
        email_verified_at=None,
        pending_email=None,
        display_name="Augusta",
        roles=(),
        suspended_at=None,
        deleted_at=None,
    )
    return Example((), user, changed, UserNotFound)


def credential_example() -> Example:
    user = a_user()
    credential = a_credential(id=user.id, password_hash="$argon2id$v=19$one")
    return Example((user,), credential, replace(credential, password_hash="$argon2id$v=19$two"), UserNotFound)


def session_example() -> Example:
    user = a_user()
    opened = a_session(
        user_id=user.id,
        kind=SessionKind.COOKIE,
        family_key="key",
        agent="Lynx",
        used_at=LATER,
        expires_at=LATER,
        ended_at=LATER,
        authenticated_at=LATER,
    )
    session = replace(opened, successor_salt="salt", replaced=("one", "another"), replaced_at=(LATER, NOW))
    changed = replace(
        session,
        token_hash=a_token_hash(),
        family_key=None,
        successor_salt=None,
        replaced=(),
        replaced_at=(),
        used_at=NOW,
        ended_at=None,
        authenticated_at=None,
    )
    return Example((user,), session, changed, SessionNotFound)


def one_time_token_example() -> Example:
    user = a_user()
    token = a_one_time_token(
        purpose=Purpose.EXCHANGE,
        user_id=user.id,
        email=an_email(),
        token_hash=a_token_hash(),
        challenge="challenge",
        expires_at=LATER,
        authenticated_at=LATER,
    )
    changed = replace(token, user_id=None, email=None, token_hash=None, challenge=None, authenticated_at=None)
    return Example((user,), token, changed, OneTimeTokenNotFound)


def signing_key_example() -> Example:
    key = a_signing_key(number=7, signs_from=LATER)
    return Example((), key, replace(key, sealed="sealed anew", signs_from=NOW), SigningKeyNotFound)


def link_example() -> Example:
    user, other = a_user(), a_user()
    link = a_link(user_id=user.id, created_at=LATER)
    return Example((user, other), link, replace(link, user_id=other.id), LinkNotFound)


def workspace_example() -> Example:
    workspace = a_workspace(name="Café", archived_at=LATER)
    changed = replace(workspace, name="Looms", slug=a_workspace().slug, archived_at=None)
    return Example((), workspace, changed, WorkspaceNotFound)


def membership_example() -> Example:
    user, workspace = a_user(), a_workspace()
    membership = a_membership(workspace_id=workspace.id, user_id=user.id, role=Role.OWNER, joined_at=LATER)
    return Example((user, workspace), membership, replace(membership, role=Role.VIEWER), MemberNotFound)


def invitation_example() -> Example:
    user, workspace = a_user(), a_workspace()
    invitation = an_invitation(
        workspace_id=workspace.id, role=Role.ADMIN, invited_by=user.id, expires_at=LATER
    )
    changed = replace(invitation, role=Role.VIEWER, token_hash=a_token_hash())
    return Example((user, workspace), invitation, changed, InvitationNotFound)


EXAMPLES: list[Callable[[], Example]] = [
    user_example,
    credential_example,
    session_example,
    one_time_token_example,
    signing_key_example,
    link_example,
    workspace_example,
    membership_example,
    invitation_example,
    *(example for _, examples in parts("EXAMPLES") for example in examples),
]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    made: Example = request.param()
    return made


def a_fact() -> UserEdited:
    """Any event will do: what is emitted does not depend on what it is about."""
    return UserEdited(at=NOW, user_id=a_user_id())


async def stored[U: KernelUnitOfWork, A: Aggregate](begin: Begin[U], aggregate: A) -> A:
    async with begin() as uow:
        return await repository_of(uow, aggregate).get(id_of(aggregate))


id_of: Callable[[Aggregate], Any] = attrgetter("id")


# ── adding, saving, removing ─────────────────────────────────────────────────────────────────────


def test_an_example_has_no_field_at_its_default(example: Example) -> None:
    for field in fields(example.aggregate):
        if field.default is not MISSING and field.name not in {"version", "events"}:
            assert getattr(example.aggregate, field.name) != field.default, field.name


async def test_what_was_added_comes_back_whole(begin: Begin[UnitOfWork], example: Example) -> None:
    await store(begin, *example.needs)
    async with begin() as uow:
        added = await repository_of(uow, example.aggregate).add(example.aggregate)
    assert added == example.aggregate
    assert await stored(begin, example.aggregate) == example.aggregate


async def test_what_was_saved_comes_back_whole_as_the_next_version(
    begin: Begin[UnitOfWork], example: Example
) -> None:
    await store(begin, *example.needs, example.aggregate)
    async with begin() as uow:
        saved = await repository_of(uow, example.changed).save(example.changed)
    assert saved == replace(example.changed, version=2)
    assert await stored(begin, example.aggregate) == saved


async def test_a_change_and_its_change_can_be_saved_in_one_transaction(
    begin: Begin[UnitOfWork], example: Example
) -> None:
    await store(begin, *example.needs)
    async with begin() as uow:
        repository = repository_of(uow, example.aggregate)
        added = await repository.add(example.aggregate)
        await repository.save(replace(example.changed, version=added.version))
        seen = await repository.get(id_of(added))
        await repository.save(replace(example.aggregate, version=seen.version))
    assert await stored(begin, example.aggregate) == replace(example.aggregate, version=3)


async def test_what_was_removed_is_not_found(begin: Begin[UnitOfWork], example: Example) -> None:
    await store(begin, *example.needs, example.aggregate)
    async with begin() as uow:
        await repository_of(uow, example.aggregate).remove(example.aggregate)
    with pytest.raises(example.missing):
        await stored(begin, example.aggregate)


async def test_what_never_was_is_not_found(begin: Begin[UnitOfWork], example: Example) -> None:
    with pytest.raises(example.missing):
        await stored(begin, example.aggregate)


async def test_whoever_read_an_older_version_saves_nothing(
    begin: Begin[UnitOfWork], example: Example
) -> None:
    await store(begin, *example.needs, example.aggregate)
    async with begin() as uow:
        saved = await repository_of(uow, example.changed).save(example.changed)
    with pytest.raises(Stale):
        async with begin() as uow:
            await repository_of(uow, example.aggregate).save(example.aggregate)
    assert await stored(begin, example.aggregate) == saved


async def test_whoever_read_an_older_version_removes_nothing(
    begin: Begin[UnitOfWork], example: Example
) -> None:
    await store(begin, *example.needs, example.aggregate)
    async with begin() as uow:
        saved = await repository_of(uow, example.changed).save(example.changed)
    with pytest.raises(Stale):
        async with begin() as uow:
            await repository_of(uow, example.aggregate).remove(example.aggregate)
    assert await stored(begin, example.aggregate) == saved


async def test_what_was_removed_can_neither_be_saved_nor_removed_again(
    begin: Begin[UnitOfWork], example: Example
) -> None:
    await store(begin, *example.needs, example.aggregate)
    async with begin() as uow:
        await repository_of(uow, example.aggregate).remove(example.aggregate)
    with pytest.raises(Stale):
        async with begin() as uow:
            await repository_of(uow, example.changed).save(example.changed)
    with pytest.raises(Stale):
        async with begin() as uow:
            await repository_of(uow, example.aggregate).remove(example.aggregate)


# ── transactions and events ──────────────────────────────────────────────────────────────────────


class ChangeOfMindError(Exception):
    pass


async def change_ones_mind(
    begin: Begin[UnitOfWork], after: Callable[[UnitOfWork], Awaitable[object]]
) -> None:
    """A transaction that does something and then fails."""
    async with begin() as uow:
        await after(uow)
        raise ChangeOfMindError


async def test_a_transaction_that_fails_leaves_nothing(begin: Begin[UnitOfWork], example: Example) -> None:
    await store(begin, *example.needs)
    with pytest.raises(ChangeOfMindError):
        await change_ones_mind(
            begin, after=lambda uow: repository_of(uow, example.aggregate).add(example.aggregate)
        )
    with pytest.raises(example.missing):
        await stored(begin, example.aggregate)


async def test_a_transaction_that_fails_changes_nothing(begin: Begin[UnitOfWork], example: Example) -> None:
    await store(begin, *example.needs, example.aggregate)

    async def save_and_remove(uow: UnitOfWork) -> None:
        saved = await repository_of(uow, example.changed).save(example.changed)
        await repository_of(uow, saved).remove(saved)

    with pytest.raises(ChangeOfMindError):
        await change_ones_mind(begin, after=save_and_remove)
    assert await stored(begin, example.aggregate) == example.aggregate


async def test_events_are_emitted_once_and_in_order(world: World, example: Example) -> None:
    facts = [a_fact() for _ in range(5)]
    aggregate = example.aggregate.recording(facts[0]).recording(facts[1])
    await store(world.begin, *example.needs)
    async with world.begin() as uow:
        repository = repository_of(uow, aggregate)
        added = await repository.add(aggregate)
        saved = await repository.save(added.recording(facts[2]).recording(facts[3]))
        await repository.remove(saved.recording(facts[4]))
    assert (added.events, saved.events) == ((), ())
    assert await world.emitted() == facts


async def test_what_comes_back_carries_no_events(world: World, example: Example) -> None:
    await store(world.begin, *example.needs, example.aggregate.recording(a_fact()))
    assert (await stored(world.begin, example.aggregate)).events == ()


async def test_a_transaction_that_fails_emits_nothing(world: World, example: Example) -> None:
    await store(world.begin, *example.needs)
    aggregate = example.aggregate.recording(a_fact())
    with pytest.raises(ChangeOfMindError):
        await change_ones_mind(world.begin, after=lambda uow: repository_of(uow, aggregate).add(aggregate))
    assert await world.emitted() == []


async def test_a_stale_change_emits_nothing_and_undoes_what_came_before_it(
    world: World, example: Example
) -> None:
    await store(world.begin, *example.needs, example.aggregate)
    earlier = a_user().recording(a_fact())
    stale = replace(example.changed, version=7).recording(a_fact())

    async def add_a_user_and(change: str) -> None:
        async with world.begin() as uow:
            await uow.users.add(earlier)
            await getattr(repository_of(uow, stale), change)(stale)

    for change in ("save", "remove"):
        with pytest.raises(Stale):
            await add_a_user_and(change)
        with pytest.raises(UserNotFound):
            await stored(world.begin, earlier)
    assert await world.emitted() == []
    assert await stored(world.begin, example.aggregate) == example.aggregate


async def test_whoever_catches_a_conflict_commits_nothing_all_the_same(begin: Begin[UnitOfWork]) -> None:
    ada, charles = a_user(email_verified_at=NOW), a_user()
    await store(begin, ada)

    async def ignore_the_conflict() -> None:
        async with begin() as uow:
            await uow.users.add(charles)
            with suppress(EmailTaken):
                await uow.users.add(a_user(email=ada.email, email_verified_at=NOW))

    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await ignore_the_conflict()
    with pytest.raises(UserNotFound):
        await stored(begin, charles)


def all_kinds_of_event() -> list[type[Event]]:
    modules = [
        importlib.import_module(found.name) for found in pkgutil.walk_packages(domain.__path__, "domain.")
    ]
    return [
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Event) and thing.__module__ == module.__name__
    ]


def an_event(kind: type[Event]) -> Event:
    """One whose every field has a value of its own."""
    return kind(**{name: a_value(name, hint) for name, hint in get_type_hints(kind).items()})


def a_value(name: str, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return (a_value(name, get_args(hint)[0]),)
    if get_origin(hint) in {Union, UnionType}:  # X | None
        return a_value(name, get_args(hint)[0])
    shape = getattr(hint, "__supertype__", hint)
    if issubclass(shape, Enum):
        return list(shape)[-1]
    return {datetime: LATER, str: f"{name} ✓", bool: True}.get(shape) or new_id(NOW)


async def test_every_kind_of_event_arrives_as_it_was_recorded(world: World) -> None:
    events = [an_event(kind) for kind in all_kinds_of_event() if kind is not Event]
    user = a_user()
    for event in events:
        user = user.recording(event)
    await store(world.begin, user)
    assert await world.emitted() == events
    assert len(events) > 20


async def test_a_transaction_happens_at_one_instant_in_utc(begin: Begin[UnitOfWork]) -> None:
    async with begin() as uow:
        assert uow.now.tzinfo is UTC


# ── users, workspaces, invitations ───────────────────────────────────────────────────────────────


async def test_an_address_is_verified_by_one_account(begin: Begin[UnitOfWork]) -> None:
    ada, charles = a_user(email_verified_at=NOW), a_user(email_verified_at=NOW)
    claimant = a_user(email=ada.email)
    await store(begin, ada, charles, claimant)
    with pytest.raises(EmailTaken):
        await store(begin, a_user(email=ada.email, email_verified_at=NOW))
    with pytest.raises(EmailTaken):
        async with begin() as uow:
            await uow.users.save(replace(charles, email=ada.email))
    with pytest.raises(EmailTaken):
        async with begin() as uow:
            await uow.users.save(replace(claimant, email_verified_at=NOW))
    async with begin() as uow:
        await uow.users.save(replace(ada, display_name="Augusta"))  # its own address is no conflict


async def test_an_address_is_claimed_by_as_many_as_like(begin: Begin[UnitOfWork]) -> None:
    claimants = [a_user(email=an_email())]
    claimants += [a_user(email=claimants[0].email) for _ in range(2)]
    await store(begin, *claimants)
    for user in claimants:
        assert await stored(begin, user) == user


async def test_who_has_verified_an_address_is_found_by_it_and_else_who_claims_it_last(
    begin: Begin[UnitOfWork],
) -> None:
    address = an_email()
    older, newer = sorted((a_user(email=address) for _ in range(2)), key=attrgetter("id"))
    suspended = a_user(email=address, suspended_at=NOW)
    await store(begin, newer, older, suspended, a_user())
    async with begin() as uow:
        assert await uow.users.holder(address) is None
        assert await uow.users.recipient(address) == newer
        assert await uow.users.holder(an_email()) is None
        assert await uow.users.recipient(an_email()) is None
        holder = await uow.users.save(replace(older, email_verified_at=NOW, suspended_at=NOW))
        assert await uow.users.holder(address) == holder
        assert await uow.users.recipient(address) == holder


async def test_an_address_is_taken_from_all_who_claim_it_and_from_nobody_else(world: World) -> None:
    address, begin = an_email(), world.begin
    taker, *losers = (a_user(email=address) for _ in range(4))
    suspended, other = replace(losers[0], suspended_at=NOW), a_user()
    losers[0] = suspended
    await store(begin, *losers, taker, other)
    async with begin() as uow:
        await uow.users.take_email(taker, at=LATER)
        proved = await uow.users.save(replace(taker, email_verified_at=LATER))
    for loser in losers:
        assert await stored(begin, loser) == replace(loser, email=None, version=2)
    assert await stored(begin, taker) == proved
    assert await stored(begin, other) == other
    lost = await world.emitted()
    assert sorted(lost, key=repr) == sorted(
        (EmailLost(at=LATER, user_id=user.id) for user in losers), key=repr
    )


async def test_an_address_is_not_taken_from_who_has_verified_it(world: World) -> None:
    holder = a_user(email_verified_at=NOW)
    claimant = a_user(email=holder.email)
    await store(world.begin, holder, claimant)

    async def prove_too() -> None:
        async with world.begin() as uow:
            await uow.users.take_email(claimant, at=LATER)
            await uow.users.save(replace(claimant, email_verified_at=LATER))

    with pytest.raises(EmailTaken):
        await prove_too()
    assert await stored(world.begin, holder) == holder
    assert await world.emitted() == []


async def test_who_proves_an_address_after_somebody_else_has_proved_it_is_stale(
    begin: Begin[UnitOfWork],
) -> None:
    first, second = (a_user(email=an_email()) for _ in range(2))
    second = replace(second, email=first.email)
    await store(begin, first, second)

    async def prove(user: User) -> None:
        async with begin() as uow:
            await uow.users.take_email(user, at=NOW)
            await uow.users.save(user.verify_email(at=NOW))

    await prove(first)
    with pytest.raises(Stale):
        await prove(second)
    async with begin() as uow:
        assert await uow.users.holder(address_of(first)) == replace(first, email_verified_at=NOW, version=2)


async def test_of_users_without_an_address_there_may_be_many(begin: Begin[UnitOfWork]) -> None:
    nameless = [replace(a_user(), email=None) for _ in range(2)]
    await store(begin, *nameless)
    for user in nameless:
        assert await stored(begin, user) == user


async def test_all_that_belongs_to_a_user_goes_with_them_and_nothing_else(begin: Begin[UnitOfWork]) -> None:
    gone, other = a_user(), a_user()
    of_gone, of_other = (
        [
            a_credential(id=user.id),
            a_session(user_id=user.id),
            a_one_time_token(user_id=user.id, token_hash=a_token_hash()),
            a_link(user_id=user.id),
        ]
        for user in (gone, other)
    )
    await store(begin, gone, other, *of_gone, *of_other)
    async with begin() as uow:
        await uow.users.remove(gone)
    for aggregate in of_gone:
        with pytest.raises(NotFound):
            await stored(begin, aggregate)
    for aggregate in (other, *of_other):
        assert await stored(begin, aggregate) == aggregate


async def test_a_providers_account_is_linked_to_one_user(begin: Begin[UnitOfWork]) -> None:
    ada, charles = a_user(), a_user()
    link = a_link(user_id=ada.id)
    await store(begin, ada, charles, link)
    with pytest.raises(LinkedElsewhere):
        await store(begin, a_link(user_id=charles.id, issuer=link.issuer, subject=link.subject))
    namesake = a_link(user_id=charles.id, issuer="https://other.example", subject=link.subject)
    await store(begin, namesake)  # subjects are an issuer's own
    async with begin() as uow:
        assert await uow.links.of(link.issuer, link.subject) == link
        assert await uow.links.of(namesake.issuer, namesake.subject) == namesake
        assert await uow.links.of("https://third.example", link.subject) is None
        assert await uow.links.of(link.issuer, link.subject.upper() + "x") is None


async def test_nothing_is_linked_to_a_user_who_has_gone(begin: Begin[UnitOfWork]) -> None:
    with pytest.raises(UserNotFound):
        async with begin() as uow:
            await uow.links.add(a_link())


async def test_a_users_links_are_locked_in_one_order(begin: Begin[UnitOfWork]) -> None:
    ada, charles = a_user(), a_user()
    links = [a_link(user_id=ada.id, created_at=NOW + timedelta(minutes=minute)) for minute in (2, 0, 1)]
    await store(begin, ada, charles, *links, a_link(user_id=charles.id))
    async with begin() as uow:
        assert list(await uow.links.lock_of(ada.id)) == sorted(links, key=id_of)
        assert list(await uow.links.lock_of(a_user_id())) == []


async def test_all_links_of_a_user_go_at_once_and_no_others(begin: Begin[UnitOfWork]) -> None:
    ada, grace = a_user(), a_user()
    kept = a_link(user_id=grace.id)
    await store(begin, ada, grace, a_link(user_id=ada.id), a_link(user_id=ada.id), kept)
    async with begin() as uow:
        for user_id in (ada.id, a_user_id()):
            await uow.links.remove_all(user_id, recording=LinksRemoved(at=NOW, user_id=user_id))
    async with begin() as uow:
        assert list(await uow.links.lock_of(ada.id)) == []
        assert list(await uow.links.lock_of(grace.id)) == [kept]


def nothing_more(link: Link) -> list[Aggregate]:
    return []


def a_password(link: Link) -> list[Aggregate]:
    return [a_credential(id=link.user_id)]


def another_link(link: Link) -> list[Aggregate]:
    return [a_link(user_id=link.user_id)]


def a_place_in_a_workspace(link: Link) -> list[Aggregate]:
    workspace = a_workspace()
    return [workspace, a_membership(workspace_id=workspace.id, user_id=link.user_id)]


def an_invitation_they_left(link: Link) -> list[Aggregate]:
    workspace = a_workspace()
    return [workspace, an_invitation(workspace_id=workspace.id, invited_by=link.user_id)]


@pytest.mark.parametrize(
    ("more", "all_"),
    [
        (nothing_more, True),
        (a_password, False),
        (another_link, False),
        (a_place_in_a_workspace, False),
        (an_invitation_they_left, False),
    ],
)
async def test_a_link_is_all_of_its_user_who_did_nothing_yet(
    begin: Begin[UnitOfWork], more: Callable[[Link], list[Aggregate]], all_: bool
) -> None:
    user, somebody = a_user(), a_user()
    link = a_link(user_id=user.id)
    others: list[Aggregate] = [a_credential(id=somebody.id), a_link(user_id=somebody.id)]
    await store(begin, user, somebody, *others, a_session(user_id=user.id), link, *more(link))
    async with begin() as uow:
        assert await uow.links.is_all_of_its_user(link) is all_


def table_of(aggregate: Aggregate) -> Table:
    """Where it is kept."""
    (table,) = [table for table, kind in kinds_by_table().items() if kind is type(aggregate)]
    return table


def of_users() -> list[tuple[Callable[[], Example], str]]:
    """The examples of resources, each with a column that refers to a user; in one order in every process."""
    return [
        (example, column)
        for _, examples in parts("EXAMPLES")
        for example in examples
        for column in sorted(
            foreign_key.column_keys[0]
            for foreign_key in table_of(example().aggregate).foreign_key_constraints
            if foreign_key.referred_table is PostgresUsers.table
        )
    ]


@pytest.mark.parametrize(("make", "column"), of_users(), ids=lambda each: getattr(each, "__name__", each))
async def test_a_link_is_not_all_of_a_user_whom_something_refers_to(
    begin: Begin[UnitOfWork], make: Callable[[], Example], column: str
) -> None:
    user, example = a_user(), make()
    link = a_link(user_id=user.id)
    changed: dict[str, Any] = {column: user.id}
    theirs = replace(example.aggregate, **changed)
    await store(begin, user, link, *example.needs, theirs)
    async with begin() as uow:
        assert await uow.links.is_all_of_its_user(link) is False


async def test_a_one_time_token_is_found_by_its_hash(begin: Begin[UnitOfWork]) -> None:
    token = a_one_time_token(token_hash=a_token_hash())
    await store(begin, token, a_one_time_token())
    async with begin() as uow:
        assert await uow.one_time_tokens.with_token(token.token_hash or "") == token
        with pytest.raises(OneTimeTokenNotFound):
            await uow.one_time_tokens.with_token(a_token_hash())


async def test_of_two_next_signing_keys_one_is_added(begin: Begin[UnitOfWork]) -> None:
    await store(begin, a_signing_key(number=1), a_signing_key(number=2))
    with pytest.raises(KeysRotated):
        await store(begin, a_signing_key(number=2))


async def test_a_slug_belongs_to_one_workspace(begin: Begin[UnitOfWork]) -> None:
    engines, looms = a_workspace(), a_workspace()
    await store(begin, engines, looms)
    with pytest.raises(SlugTaken):
        await store(begin, a_workspace(slug=engines.slug))
    with pytest.raises(SlugTaken):
        async with begin() as uow:
            await uow.workspaces.save(replace(looms, slug=engines.slug))
    async with begin() as uow:
        await uow.workspaces.save(replace(engines, name="Engines"))


async def test_a_made_slug_that_another_workspace_has_is_no_conflict_of_the_callers(
    begin: Begin[UnitOfWork],
) -> None:
    """In memory transactions take turns, and nobody is there between the question and the answer."""
    engines, looms = a_workspace(), a_workspace()
    await store(begin, engines)
    async with begin() as uow:
        assert await uow.workspaces.has_slug(engines.slug)
        assert not await uow.workspaces.has_slug(looms.slug)
        assert await uow.workspaces.add_with_made_slug(looms) == replace(looms, events=())
        assert await uow.workspaces.has_slug(looms.slug)
    async with begin() as uow:
        assert await uow.workspaces.get(looms.id) == looms
    with pytest.raises((Contention, SlugTaken)):
        async with begin() as uow:
            await uow.workspaces.add_with_made_slug(a_workspace(slug=engines.slug))


async def test_the_slug_of_a_deleted_workspace_is_free(begin: Begin[UnitOfWork]) -> None:
    engines = a_workspace()
    await store(begin, engines)
    async with begin() as uow:
        await uow.workspaces.remove(engines)
        await uow.workspaces.add(a_workspace(slug=engines.slug))


async def test_an_address_has_one_invitation_to_a_workspace(begin: Begin[UnitOfWork]) -> None:
    team, elsewhere = a_team(), a_workspace()
    first = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    again = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id, email=first.email)
    await store(begin, *team.aggregates, elsewhere, first)
    with pytest.raises(AlreadyInvited):
        await store(begin, again)
    await store(begin, replace(again, workspace_id=elsewhere.id))
    async with begin() as uow:
        await uow.invitations.remove(first)
        await uow.invitations.add(replace(again, id=first.id, token_hash=a_token_hash()))


async def test_an_invitation_is_found_by_its_address_and_by_its_token(begin: Begin[UnitOfWork]) -> None:
    team, elsewhere = a_team(), a_workspace()
    here = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    there = an_invitation(workspace_id=elsewhere.id, invited_by=team.owner.user_id, email=here.email)
    await store(begin, *team.aggregates, elsewhere, here, there)
    async with begin() as uow:
        assert await uow.invitations.for_address(team.workspace.id, here.email) == here
        assert await uow.invitations.for_address(elsewhere.id, here.email) == there
        assert await uow.invitations.for_address(elsewhere.id, an_email()) is None
        assert await uow.invitations.with_token(here.token_hash or "") == here
        with pytest.raises(InvitationNotFound):
            await uow.invitations.with_token(a_token_hash())


async def test_an_invitation_gets_its_secret_later_and_keeps_its_version(begin: Begin[UnitOfWork]) -> None:
    team, token_hash = a_team(), a_token_hash()
    waiting = [
        replace(an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id), token_hash=None)
        for _ in range(2)  # nothing equals NULL
    ]
    await store(begin, *team.aggregates, *waiting)
    async with begin() as uow:
        await uow.invitations.set_token(waiting[0], token_hash=token_hash)
    async with begin() as uow:
        known = await uow.invitations.with_token(token_hash)
        assert known == replace(waiting[0], token_hash=token_hash)
        await uow.invitations.remove(known)

    async def too_late(invitation: Invitation) -> None:
        async with begin() as uow:
            await uow.invitations.set_token(invitation, token_hash=a_token_hash())

    for gone in (waiting[0], replace(waiting[1], version=7)):
        with pytest.raises(Stale):
            await too_late(gone)


async def test_the_invitations_of_an_inviter_lapse_where_and_as_far_as_is_said(world: World) -> None:
    begin, team, elsewhere = world.begin, a_team(), a_workspace()
    mine = {
        (workspace.id, role): an_invitation(
            workspace_id=workspace.id, invited_by=team.admin.user_id, role=role
        )
        for workspace in (team.workspace, elsewhere)
        for role in Role
    }
    others = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    await store(begin, *team.aggregates, elsewhere, *mine.values(), others)
    here, admin = team.workspace.id, team.admin.user_id
    left = {invitation.id for invitation in (*mine.values(), others)}

    async def lapsing(**scope: Any) -> set[Role | str]:
        """The roles to which nothing is offered any more, with what says so."""
        async with begin() as uow:
            await uow.invitations.lapse(admin, at=LATER, **scope)
        gone = set()
        for (workspace_id, role), invitation in mine.items():
            with suppress(InvitationNotFound):
                await stored(begin, invitation)
                continue
            if invitation.id in left:
                left.discard(invitation.id)
                gone.add(role if workspace_id == here else f"{role} elsewhere")
                fact = InvitationLapsed(at=LATER, workspace_id=workspace_id, invitation_id=invitation.id)
                assert fact in await world.emitted()
        return gone

    assert await lapsing(workspace_id=here, but=list(Role)) == set()
    assert await lapsing(workspace_id=here, but=[Role.VIEWER, Role.MEMBER, Role.ADMIN]) == {Role.OWNER}
    assert await lapsing(workspace_id=here) == {Role.VIEWER, Role.MEMBER, Role.ADMIN}
    assert await lapsing() == {f"{role} elsewhere" for role in Role}
    assert await stored(begin, others) == others
    assert len(await world.emitted()) == len(mine)


# ── memberships ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def team(begin: Begin[UnitOfWork]) -> Team:
    team = a_team()
    await store(begin, *team.aggregates)
    return team


async def test_a_person_is_a_member_once(begin: Begin[UnitOfWork], team: Team) -> None:
    with pytest.raises(AlreadyMember):
        await store(begin, a_membership(workspace_id=team.workspace.id, user_id=team.viewer.user_id))


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("role", Role)
async def test_a_member_stands_as_what_they_are_in_a_workspace_as_it_is(
    begin: Begin[UnitOfWork], role: Role, archived: bool
) -> None:
    team, elsewhere = a_team(archived=archived), a_team(archived=not archived)
    await store(begin, *team.aggregates, *elsewhere.aggregates)
    async with begin() as uow:
        standing = await uow.memberships.standing(team.workspace.id, team[role].user_id)
        assert standing == Standing(role=role, archived=archived)
        assert type(standing.role) is Role
        assert standing.archived is archived
        membership = await uow.memberships.of(team.workspace.id, team[role].user_id)
        assert membership == team.memberships[role]


async def test_whoever_is_no_member_has_no_standing(begin: Begin[UnitOfWork], team: Team) -> None:
    async with begin() as uow:
        for workspace_id in (team.workspace.id, a_workspace_id()):
            assert await uow.memberships.standing(workspace_id, team.stranger.user_id) is None
            with pytest.raises(MemberNotFound):
                await uow.memberships.of(workspace_id, team.stranger.user_id)


async def test_the_standing_under_a_lock_is_that_of_somebody_who_is_not_suspended(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    async with begin() as uow:
        for role in Role:
            user_id = team[role].user_id
            standing = await uow.memberships.standing(team.workspace.id, user_id)
            assert await uow.memberships.lock_standing(team.workspace.id, user_id) == standing
        assert await uow.memberships.lock_standing(team.workspace.id, team.stranger.user_id) is None
        assert await uow.memberships.lock_standing(a_workspace_id(), team.owner.user_id) is None
        await uow.users.save(replace(team.users[Role.OWNER], suspended_at=NOW))
        assert await uow.memberships.lock_standing(team.workspace.id, team.owner.user_id) is None


type Loss = Callable[[Runner[UnitOfWork], Team], Awaitable[object]]

LOSSES: dict[str, Loss] = {
    "demoted": lambda run, team: run(
        change_role, team.owner, team.workspace.id, team.admin.user_id, role=Role.MEMBER
    ),
    "removed": lambda run, team: run(remove_member, team.owner, team.workspace.id, team.admin.user_id),
    "leaves": lambda run, team: run(remove_member, team.admin, team.workspace.id, team.admin.user_id),
    "suspended": lambda run, team: run(
        suspend_user, a_caller(roles=frozenset({GlobalRole.ADMIN})), team.admin.user_id
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_an_invitation_is_either_accepted_before_its_inviter_loses_the_right_to_it_or_not_at_all(
    begin: Begin[UnitOfWork], loss: str
) -> None:
    run = Runner(begin)
    for _ in range(5):
        team = a_team()
        invitation = an_invitation(
            workspace_id=team.workspace.id,
            email=team.outsider.email,
            token_hash=fingerprint(secret := secrets.token_urlsafe()),
            invited_by=team.admin.user_id,
        )
        await store(begin, *team.aggregates, invitation)
        accepted, _ = await asyncio.gather(
            run(accept_invitation, team.stranger, token=secret),
            LOSSES[loss](run, team),
            return_exceptions=True,
        )
        assert isinstance(accepted, Membership | InvitationNotFound | Stale), accepted
        async with begin() as uow:
            joined = await uow.memberships.standing(team.workspace.id, team.stranger.user_id)
            assert (joined is not None) == isinstance(accepted, Membership)
        with pytest.raises(InvitationNotFound):
            await stored(begin, invitation)


@pytest.mark.parametrize("loss", LOSSES)
async def test_nothing_is_left_of_what_somebody_offers_who_loses_the_right_to_at_the_same_instant(
    begin: Begin[UnitOfWork], loss: str
) -> None:
    run = Runner(begin)
    for _ in range(5):
        team = a_team()
        await store(begin, *team.aggregates)
        email = an_email()
        invited, _ = await asyncio.gather(
            run(invite, team.admin, team.workspace.id, email=email, role=Role.MEMBER),
            LOSSES[loss](run, team),
            return_exceptions=True,
        )
        assert isinstance(invited, Invitation | NotPermitted | WorkspaceNotFound), invited
        async with begin() as uow:
            assert await uow.invitations.for_address(team.workspace.id, email) is None


async def test_the_owners_come_sorted_by_id_and_from_their_workspace_only(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    users = [a_user() for _ in range(4)]
    owners = [
        a_membership(workspace_id=team.workspace.id, user_id=user.id, role=Role.OWNER) for user in users
    ]
    await store(begin, *users, *reversed(owners), *a_team().aggregates)
    async with begin() as uow:
        locked = list(await uow.memberships.lock_owners(team.workspace.id))
        assert list(await uow.memberships.lock_owners(a_workspace_id())) == []
    everybody = [team.memberships[Role.OWNER], *owners]
    assert locked == sorted(everybody, key=lambda membership: membership.id)


async def test_a_users_memberships_are_locked_with_the_owners_of_what_they_own(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    user, owner = a_user(), a_user()
    owned, other = a_workspace(), a_team()
    of_user = [
        a_membership(workspace_id=owned.id, user_id=user.id, role=Role.OWNER),
        a_membership(workspace_id=team.workspace.id, user_id=user.id, role=Role.ADMIN),
    ]
    beside = [
        a_membership(workspace_id=owned.id, user_id=owner.id, role=Role.OWNER),
        a_membership(workspace_id=owned.id, user_id=team.member.user_id, role=Role.ADMIN),
    ]
    await store(begin, user, owner, owned, *other.aggregates, *reversed(of_user), *beside)
    async with begin() as uow:
        assert list(await uow.memberships.lock_of(user.id)) == sorted([*of_user, beside[0]], key=id_of)
        assert list(await uow.memberships.lock_of(a_user_id())) == []


async def test_of_two_owners_who_delete_their_accounts_at_the_same_instant_one_stays(
    begin: Begin[UnitOfWork],
) -> None:
    run = Runner(begin)
    for _ in range(5):
        team, second = a_team(), a_user()
        another = a_membership(workspace_id=team.workspace.id, user_id=second.id, role=Role.OWNER)
        await store(begin, *team.aggregates, second, another)
        outcomes = await asyncio.gather(
            run(delete_own_account, reauthenticated(team.owner.user_id)),
            run(delete_own_account, reauthenticated(second.id)),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} == {type(None), LastOwner}


async def test_what_is_linked_while_an_account_is_deleted_belongs_to_nobody_who_is_gone(
    begin: Begin[UnitOfWork],
) -> None:
    run = Runner(begin)
    for _ in range(5):
        ada = a_user(email_verified_at=NOW)
        await store(begin, ada)
        proof = a_proof(email=ada.email, email_verified=True)
        outcomes = await asyncio.gather(
            run(delete_own_account, reauthenticated(ada.id)),
            run(admit_stranger, proof, email_trusted=True),
            run(link_identity, reauthenticated(ada.id), a_proof()),
            return_exceptions=True,
        )
        assert outcomes[0] is None
        assert all(isinstance(outcome, User | Link | DomainError) for outcome in outcomes[1:]), outcomes
        async with begin() as uow:
            assert list(await uow.links.lock_of(ada.id)) == []


async def test_what_marks_a_providers_account_takes_the_place_of_what_did_before(
    begin: Begin[UnitOfWork],
) -> None:
    def mark(account_hash: str, at: datetime) -> OneTimeToken:
        return OneTimeToken.deleted(id=OneTimeTokenId(new_id(at)), account_hash=account_hash, at=at)

    one, another = a_token_hash(), a_token_hash()
    async with begin() as uow:
        await uow.one_time_tokens.add_or_replace([mark(one, NOW), mark(another, NOW)])
    async with begin() as uow:
        await uow.one_time_tokens.add_or_replace([mark(one, LATER)])
    async with begin() as uow:
        found = [await uow.one_time_tokens.with_token(each) for each in (one, another)]
    assert [(each.created_at, each.user_id, each.purpose) for each in found] == [
        (LATER, None, Purpose.DELETED),
        (NOW, None, Purpose.DELETED),
    ]
    assert found[0].expires_at == LATER + DELETION_REMEMBERED


async def test_of_two_owners_who_leave_at_the_same_instant_one_stays(begin: Begin[UnitOfWork]) -> None:
    run = Runner(begin)
    for _ in range(5):
        team, second = a_team(), a_user()
        another = a_membership(workspace_id=team.workspace.id, user_id=second.id, role=Role.OWNER)
        await store(begin, *team.aggregates, second, another)
        outcomes = await asyncio.gather(
            run(remove_member, team.owner, team.workspace.id, team.owner.user_id),
            run(remove_member, a_caller(second.id), team.workspace.id, second.id),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} == {type(None), LastOwner}
        async with begin() as uow:
            assert len(await uow.memberships.lock_owners(team.workspace.id)) == 1


async def test_of_two_owners_who_remove_each_other_at_the_same_instant_one_stays(
    begin: Begin[UnitOfWork],
) -> None:
    run = Runner(begin)
    for _ in range(5):
        team, second = a_team(), a_user()
        another = a_membership(workspace_id=team.workspace.id, user_id=second.id, role=Role.OWNER)
        await store(begin, *team.aggregates, second, another)
        outcomes = await asyncio.gather(
            run(remove_member, team.owner, team.workspace.id, second.id),
            run(remove_member, a_caller(second.id), team.workspace.id, team.owner.user_id),
            return_exceptions=True,
        )
        assert [outcome is None for outcome in outcomes].count(True) == 1
        assert all(isinstance(outcome, DomainError | None) for outcome in outcomes)
        async with begin() as uow:
            assert len(await uow.memberships.lock_owners(team.workspace.id)) == 1


async def test_the_members_that_are_named_are_locked_with_the_owners(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    ids = [team.member.user_id, team.owner.user_id, team.stranger.user_id]
    async with begin() as uow:
        locked = list(await uow.memberships.lock_owners(team.workspace.id, *ids))
    expected = [team.memberships[Role.MEMBER], team.memberships[Role.OWNER]]
    assert locked == sorted(expected, key=lambda membership: membership.id)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("by", ["demote", "remove"])
async def test_of_two_who_take_each_others_role_at_the_same_instant_one_keeps_theirs(
    role: Role, by: str, begin: Begin[UnitOfWork]
) -> None:
    """With a third owner there, no rule about the last one stops the second: only what they are by then."""
    run = Runner(begin)
    for _ in range(5):
        team, users = a_team(), [a_user(), a_user()]
        both = [a_membership(workspace_id=team.workspace.id, user_id=user.id, role=role) for user in users]
        await store(begin, *team.aggregates, *users, *both)

        async def take(actor: User, other: User, *, here: WorkspaceId = team.workspace.id) -> None:
            if by == "remove":
                await run(remove_member, a_caller(actor.id), here, other.id)
            else:
                await run(change_role, a_caller(actor.id), here, other.id, role=Role.VIEWER)

        outcomes = await asyncio.gather(take(*users), take(*reversed(users)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(type(None)) == 1
        refusal = next(outcome for outcome in outcomes if outcome is not None)
        assert isinstance(refusal, WorkspaceNotFound if by == "remove" else NotPermitted)


# ── who looks after the service ──────────────────────────────────────────────────────────────────


async def test_users_are_locked_in_the_order_of_their_ids_and_only_those_that_there_are(
    begin: Begin[UnitOfWork],
) -> None:
    users = [a_user() for _ in range(4)]
    await store(begin, *users)
    async with begin() as uow:
        locked = list(await uow.users.lock(*(user.id for user in reversed(users[1:])), a_user_id()))
        assert list(await uow.users.lock()) == []
    assert locked == sorted(users[1:], key=lambda user: user.id)


@pytest.mark.parametrize("by", ["suspend", "change roles"])
async def test_of_two_administrators_who_act_on_each_other_at_the_same_instant_one_stays(
    by: str, begin: Begin[UnitOfWork]
) -> None:
    run = Runner(begin)
    for _ in range(5):
        admins = [a_user(roles=(GlobalRole.ADMIN,)) for _ in range(2)]
        await store(begin, *admins)

        async def act(actor: User, other: User) -> None:
            # As the token was verified: seconds before, and it is believed for seconds.
            caller = replace(a_caller(actor.id), roles=frozenset(actor.roles))
            if by == "suspend":
                await run(suspend_user, caller, other.id)
            else:
                await run(change_roles, caller, other.id, roles=[])

        outcomes = await asyncio.gather(act(*admins), act(*reversed(admins)), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "NotPermitted"]
        async with begin() as uow:
            after = [await uow.users.get(admin.id) for admin in admins]
        assert sum(user.suspended_at is None and GlobalRole.ADMIN in user.roles for user in after) == 1


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


async def test_of_many_uses_of_one_refresh_token_at_the_same_instant_one_succeeds(
    begin: Begin[UnitOfWork],
) -> None:
    user = a_user()
    session = a_session(user_id=user.id, token_hash=fingerprint("first"))
    await store(begin, user, session)
    run, month = Runner(begin), timedelta(days=30)
    outcomes = await asyncio.gather(
        *(run(refresh_session, session.id, secret="first", lifetime=month) for _ in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, tuple | DomainError) for outcome in outcomes)
    assert len([one for one in outcomes if isinstance(one, tuple) and one[0].ended_at is None]) == 1


async def test_many_uses_at_the_same_instant_have_the_same_answer_within_the_grace(
    begin: Begin[UnitOfWork],
) -> None:
    user = a_user()
    session = a_session(user_id=user.id, token_hash=fingerprint("first"))
    await store(begin, user, session)
    sessions = TokenSessions(
        Runner(begin), FakeTokenIssuer(), lifetime=timedelta(days=30), grace=timedelta(hours=1)
    )
    pairs = await asyncio.gather(
        *(sessions.refresh(refresh_token=f"{session.id.hex}.first") for _ in range(20))
    )
    assert len({pair.refresh_token for pair in pairs}) == 1
    async with begin() as uow:
        stored = await uow.sessions.get(session.id)
    assert (stored.version, stored.ended_at) == (2, None)
    assert stored.token_hash == fingerprint(pairs[0].refresh_token.partition(".")[2])
    assert stored.replaced == (fingerprint("first"),)


async def test_the_oldest_of_too_many_sessions_end(begin: Begin[UnitOfWork]) -> None:
    user, other = a_user(), a_user()
    hours = [timedelta(hours=number) for number in range(4)]
    oldest, old, new, newest = (a_session(user_id=user.id, created_at=NOW + hour) for hour in hours)
    ended = a_session(user_id=user.id, created_at=NOW + hours[3], ended_at=NOW + hours[3])
    expired = a_session(user_id=user.id, created_at=NOW, expires_at=NOW + hours[1])
    others = a_session(user_id=other.id)
    await store(begin, user, other, new, oldest, newest, old, ended, expired, others)
    async with begin() as uow:
        await uow.sessions.end_oldest(user.id, keeping=3, at=NOW + hours[3])
        await uow.sessions.end_oldest(other.id, keeping=1, at=NOW + hours[3])
    async with begin() as uow:
        ends = [(await uow.sessions.get(each.id)).ended_at for each in (oldest, old, new, newest)]
        assert ends == [NOW + hours[3], None, None, None]
        assert await uow.sessions.get(expired.id) == replace(expired, version=1)
        assert (await uow.sessions.get(others.id)).ended_at is None


async def test_log_ins_at_the_same_instant_leave_no_more_sessions_than_the_bound(
    begin: Begin[UnitOfWork],
) -> None:
    user = a_user()
    await store(begin, user)
    sessions = TokenSessions(Runner(begin), FakeTokenIssuer(), lifetime=timedelta(days=30), most=3)
    pairs = await asyncio.gather(*(sessions.open(user.id) for _ in range(12)))
    ids = [SessionId(UUID(hex=pair.refresh_token.partition(".")[0])) for pair in pairs]
    async with begin() as uow:
        ends = [(await uow.sessions.get(session_id)).ended_at for session_id in ids]
    assert ends.count(None) == 3


async def test_all_open_sessions_of_a_user_end_at_once(begin: Begin[UnitOfWork]) -> None:
    user, other = a_user(), a_user()
    first, second, kept = (a_session(user_id=user.id) for _ in range(3))
    ended = a_session(user_id=user.id, ended_at=NOW)
    others = a_session(user_id=other.id)
    await store(begin, user, other, first, second, kept, ended, others)
    async with begin() as uow:
        await uow.sessions.end_all(user.id, at=LATER, but=kept.id)
    for session in (first, second):
        assert await stored(begin, session) == replace(session, ended_at=LATER, version=2)
    for session in (kept, ended, others):
        assert await stored(begin, session) == session
    async with begin() as uow:
        await uow.sessions.end_all(user.id, at=LATER)
        await uow.sessions.end_all(user.id, at=LATER)
    assert await stored(begin, kept) == replace(kept, ended_at=LATER, version=2)


# ── one-time tokens ──────────────────────────────────────────────────────────────────────────────


async def test_only_the_newest_token_of_a_user_for_a_purpose_is_kept(begin: Begin[UnitOfWork]) -> None:
    user, other = a_user(), a_user()
    earlier, newest, another, others = (
        a_one_time_token(user_id=owner.id, purpose=purpose, token_hash=str(number))
        for number, (owner, purpose) in enumerate(
            [
                (user, Purpose.VERIFY_EMAIL),
                (user, Purpose.VERIFY_EMAIL),
                (user, Purpose.RESET_PASSWORD),
                (other, Purpose.VERIFY_EMAIL),
            ]
        )
    )
    await store(begin, user, other, earlier, newest, another, others)
    async with begin() as uow:
        await uow.one_time_tokens.remove_earlier(newest)
    with pytest.raises(OneTimeTokenNotFound):
        await stored(begin, earlier)
    for token in (newest, another, others):
        assert await stored(begin, token) == token


@pytest.mark.parametrize("since", [None, NOW, LATER])
async def test_tokens_of_a_user_are_void_by_what_they_are_for_and_when_they_were_made(
    begin: Begin[UnitOfWork], since: datetime | None
) -> None:
    user, other = a_user(), a_user()
    early, late, another, others, anybodys = (
        a_one_time_token(user_id=owner, purpose=purpose, token_hash=str(number), created_at=at)
        for number, (owner, purpose, at) in enumerate(
            [
                (user.id, Purpose.VERIFY_EMAIL, NOW),
                (user.id, Purpose.RESET_PASSWORD, LATER),
                (user.id, Purpose.UNDO_EMAIL_CHANGE, LATER),
                (other.id, Purpose.VERIFY_EMAIL, LATER),
                (None, Purpose.RESET_PASSWORD, LATER),
            ]
        )
    )
    await store(begin, user, other, early, late, another, others, anybodys)
    async with begin() as uow:
        await uow.one_time_tokens.void(user.id, since=since)
    gone = [late] if since == LATER else [early, late]
    for token in gone:
        with pytest.raises(OneTimeTokenNotFound):
            await stored(begin, token)
    for token in {early, late, another, others, anybodys} - {*gone}:
        assert await stored(begin, token) == token
    async with begin() as uow:
        await uow.one_time_tokens.void(user.id, [Purpose.UNDO_EMAIL_CHANGE])
    with pytest.raises(OneTimeTokenNotFound):
        await stored(begin, another)


@pytest.mark.parametrize("open_ones", [0, 1, 3])
async def test_that_sessions_were_ended_is_one_fact_if_there_was_one(world: World, open_ones: int) -> None:
    user = a_user()
    ended = a_session(user_id=user.id, ended_at=NOW)
    await store(world.begin, user, ended, *(a_session(user_id=user.id) for _ in range(open_ones)))
    fact = OtherSessionsEnded(at=LATER, user_id=user.id)
    async with world.begin() as uow:
        await uow.sessions.end_all(user.id, at=LATER, event=fact)
    assert await world.emitted() == ([fact] if open_ones else [])


# ── what belongs to what ─────────────────────────────────────────────────────────────────────────


IN_A_WORKSPACE = [
    example
    for example in EXAMPLES
    if any(
        key.referred_table is PostgresWorkspaces.table
        for key in table_of(example().aggregate).foreign_key_constraints
    )
]


@pytest.mark.parametrize("make", IN_A_WORKSPACE)
async def test_all_that_is_in_a_workspace_goes_with_it_and_nothing_else(
    begin: Begin[UnitOfWork], make: Callable[[], Example]
) -> None:
    gone, other = make(), make()
    await store(begin, *gone.needs, gone.aggregate, *other.needs, other.aggregate)
    workspace_id = gone.aggregate.workspace_id  # type: ignore[attr-defined]  # that is what the list is of
    async with begin() as uow:
        await uow.workspaces.remove(await uow.workspaces.get(workspace_id))
    with pytest.raises(gone.missing):
        await stored(begin, gone.aggregate)
    for aggregate in (*other.needs, other.aggregate):
        assert await stored(begin, aggregate) == aggregate
    for aggregate in gone.needs:
        if isinstance(aggregate, User):
            assert await stored(begin, aggregate) == aggregate


async def test_what_refers_to_a_parent_goes_with_it_and_nothing_else(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    about: dict[str, Any] = {"workspace_id": team.workspace.id}
    gone, other = (a_specimen_order(**about, created_by=team.owner.user_id) for _ in range(2))
    about_gone, about_other = (
        a_specimen_note(**about, specimen_order_id=each.id, author_id=team.owner.user_id)
        for each in (gone, other)
    )
    await store(begin, gone, other, about_gone, about_other)
    async with begin() as uow:
        await uow.specimen_orders.remove(gone)
    with pytest.raises(NotFound):
        await stored(begin, about_gone)
    for aggregate in (other, about_other):
        assert await stored(begin, aggregate) == aggregate


def test_every_collection_has_an_example() -> None:
    tried = {type(example().aggregate) for example in EXAMPLES}
    lacking = [f"{kind.__module__}.{kind.__name__}" for kind in {*kinds_by_table().values()} - tried]
    assert not lacking, f"{', '.join(lacking)}: no example in the EXAMPLES of a module of tests/resources"


async def test_whoever_leaves_is_taken_off_their_specimen_orders_there_and_whoever_read_them_notices(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    leaver, elsewhere = team.member.user_id, a_workspace()
    theirs, anothers, nobodys = (
        a_specimen_order(workspace_id=team.workspace.id, assignee_id=assignee, created_by=team.owner.user_id)
        for assignee in (leaver, team.admin.user_id, None)
    )
    membership_elsewhere = a_membership(workspace_id=elsewhere.id, user_id=leaver)
    specimen_order_elsewhere = a_specimen_order(
        workspace_id=elsewhere.id, assignee_id=leaver, created_by=leaver
    )
    await store(begin, elsewhere, membership_elsewhere, theirs, anothers, nobodys, specimen_order_elsewhere)
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])
    assert await stored(begin, theirs) == replace(theirs, assignee_id=None, version=2)
    for specimen_order in (anothers, nobodys, specimen_order_elsewhere):
        assert await stored(begin, specimen_order) == specimen_order
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.specimen_orders.save(replace(theirs, title="Unweave"))


async def test_only_a_member_can_be_assigned(begin: Begin[UnitOfWork], team: Team) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates)
    specimen_order = a_specimen_order(workspace_id=team.workspace.id, created_by=team.owner.user_id)
    await store(begin, specimen_order)
    for nobody in (team.stranger.user_id, elsewhere.member.user_id):
        with pytest.raises(SpecimenOrderAssigneeNotMember):
            await store(begin, replace(specimen_order, id=a_specimen_order_id(), assignee_id=nobody))
        with pytest.raises(SpecimenOrderAssigneeNotMember):
            async with begin() as uow:
                await uow.specimen_orders.save(replace(specimen_order, assignee_id=nobody))


async def test_a_note_on_a_specimen_order_that_has_gone_is_refused(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    note = a_specimen_note(
        specimen_order_id=a_specimen_order_id(), workspace_id=team.workspace.id, author_id=team.owner.user_id
    )
    with pytest.raises(SpecimenOrderNotFound):
        await store(begin, note)


async def test_nothing_is_added_to_a_workspace_that_has_gone(begin: Begin[UnitOfWork], team: Team) -> None:
    gone, user_id = a_workspace_id(), team.owner.user_id
    late: list[Aggregate] = [
        a_membership(workspace_id=gone, user_id=user_id),
        an_invitation(workspace_id=gone, invited_by=user_id),
        a_specimen_order(workspace_id=gone, created_by=user_id),
    ]
    for aggregate in late:
        with pytest.raises(WorkspaceNotFound):
            await store(begin, aggregate)
