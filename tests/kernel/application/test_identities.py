"""Linking the accounts that providers keep, and unlinking them."""

from datetime import timedelta

import pytest

from application.kernel.identity.identities import admit_stranger, link_identity, unlink_identity
from application.kernel.run import Runner
from domain.kernel.aggregate import Aggregate
from domain.kernel.identity.identities import (
    IdentityLinked,
    IdentityUnlinked,
    LastWayIn,
    Link,
    LinkedElsewhere,
    LinkNotFound,
)
from domain.kernel.identity.sessions import Session
from domain.kernel.users import Email, GlobalRole, User, UserAbsorbed, UserRegistered
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_credential,
    a_link,
    a_membership,
    a_proof,
    a_session,
    a_user,
    a_workspace,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

LAST = "Link another provider or set a password first."


@pytest.fixture
async def ada(transactions: MemoryTransactions[UnitOfWork]) -> User:
    ada = a_user()
    await store(transactions, ada)
    return ada


def links_in(transactions: MemoryTransactions[UnitOfWork]) -> set[tuple[str, object]]:
    return {(link.subject, link.user_id) for link in transactions.committed.of(Link).values()}


# ── strangers ────────────────────────────────────────────────────────────────────────────────────


async def test_a_stranger_becomes_a_user_with_a_link(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    proof = a_proof(email="ada@example.com", name="Ada")
    user = await run(admit_stranger, proof, email_trusted=False)
    (link,) = transactions.committed.of(Link).values()
    assert (link.user_id, link.issuer, link.subject) == (user.id, proof.issuer, proof.subject)
    assert transactions.events == [
        UserRegistered(at=clock.now, user_id=user.id),
        IdentityLinked(at=clock.now, link_id=link.id, user_id=user.id, issuer=proof.issuer),
    ]


@pytest.mark.parametrize(
    "claimed", ["=?utf-8?q?x=40evil=2eexample=3e?=a@victim.example", "\u212aate@example.com", "kate@example"]
)
async def test_a_providers_word_for_what_is_no_address_is_not_taken(
    claimed: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    """Nor does it become the address of somebody whose own only looks like it."""
    kate = a_user(email=Email("kate@example.com"), email_verified_at=NOW)
    await store(transactions, kate)
    proof = a_proof(email=claimed, email_verified=True)
    user = await run(admit_stranger, proof, email_trusted=True)
    assert (user.email, user.email_verified) == (None, False)
    assert user.id != kate.id


async def test_a_pair_is_admitted_once(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    proof = a_proof()
    await run(admit_stranger, proof, email_trusted=False)
    with refused(LinkedElsewhere):
        await run(admit_stranger, proof, email_trusted=False)
    assert len(transactions.committed.of(User)) == 1


# ── linking ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_pair_is_linked_to_whoever_proves_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    proof = a_proof()
    link = await run(link_identity, reauthenticated(ada.id), proof)
    assert links_in(transactions) == {(proof.subject, ada.id)}
    assert transactions.events == [
        IdentityLinked(at=clock.now, link_id=link.id, user_id=ada.id, issuer=proof.issuer)
    ]


async def test_linking_again_changes_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    proof = a_proof()
    link = await run(link_identity, reauthenticated(ada.id), proof)
    assert await run(link_identity, reauthenticated(ada.id), proof) == link
    assert len(transactions.events) == 1


async def test_a_user_who_is_nothing_but_this_pair_becomes_part_of_whoever_proves_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    proof = a_proof(email="ada@other.example")
    shell = await run(admit_stranger, proof, email_trusted=False)
    session = a_session(user_id=shell.id)
    await store(transactions, session)
    link = await run(link_identity, reauthenticated(ada.id), proof)
    assert links_in(transactions) == {(proof.subject, ada.id)}
    assert list(transactions.committed.of(User)) == [ada.id]
    assert not transactions.committed.of(Session)
    assert transactions.events[-2:] == [
        IdentityLinked(at=clock.now, link_id=link.id, user_id=ada.id, issuer=proof.issuer),
        UserAbsorbed(at=clock.now, user_id=shell.id, into=ada.id),
    ]
    async with transactions() as uow:
        assert await uow.users.recipient(Email("ada@other.example")) is None


def with_a_password(user: User) -> list[Aggregate]:
    return [a_credential(id=user.id)]


def with_another_link(user: User) -> list[Aggregate]:
    return [a_link(user_id=user.id)]


def with_a_workspace(user: User) -> list[Aggregate]:
    workspace = a_workspace()
    return [workspace, a_membership(workspace_id=workspace.id, user_id=user.id)]


def with_nothing(user: User) -> list[Aggregate]:
    return []


@pytest.mark.parametrize(
    ("other", "more"),
    [
        (a_user(), with_a_password),
        (a_user(), with_another_link),
        (a_user(), with_a_workspace),
        (a_user(roles=(GlobalRole.SUPPORT,)), with_nothing),
        (a_user(suspended_at=NOW), with_nothing),  # who must not slip out of it
    ],
    ids=["password", "link", "workspace", "role", "suspended"],
)
async def test_a_user_who_is_more_than_this_pair_keeps_it(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    ada: User,
    other: User,
    more: object,
) -> None:
    link = a_link(user_id=other.id)
    assert callable(more)
    await store(transactions, other, link, *more(other))
    before = links_in(transactions)
    with refused(LinkedElsewhere):
        await run(link_identity, reauthenticated(ada.id), a_proof(issuer=link.issuer, subject=link.subject))
    assert links_in(transactions) == before
    assert transactions.committed.of(User)[other.id] == other


# ── unlinking ────────────────────────────────────────────────────────────────────────────────────


async def test_one_of_two_links_can_go(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    goes, stays = a_link(user_id=ada.id), a_link(user_id=ada.id, created_at=NOW + timedelta(days=1))
    await store(transactions, goes, stays)
    await run(unlink_identity, reauthenticated(ada.id), goes.id)
    assert links_in(transactions) == {(stays.subject, ada.id)}
    assert transactions.events == [
        IdentityUnlinked(at=clock.now, link_id=goes.id, user_id=ada.id, issuer=goes.issuer)
    ]
    with refused(LastWayIn, LAST):
        await run(unlink_identity, reauthenticated(ada.id), stays.id)


async def test_the_only_link_can_go_where_there_is_a_password(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    link = a_link(user_id=ada.id)
    await store(transactions, link, a_credential(id=ada.id))
    await run(unlink_identity, reauthenticated(ada.id), link.id)
    assert links_in(transactions) == set()


async def test_anothers_link_looks_as_if_there_were_none(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    charles = a_user()
    links = [a_link(user_id=charles.id) for _ in range(2)]
    await store(transactions, charles, *links, a_link(user_id=ada.id), a_link(user_id=ada.id))
    for link_id in (links[0].id, a_link().id):
        with refused(LinkNotFound):
            await run(unlink_identity, reauthenticated(ada.id), link_id)
    assert len(transactions.committed.of(Link)) == 4
