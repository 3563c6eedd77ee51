"""Whoever proves who they are, many at the same instant, where two transactions really meet."""

import asyncio
from datetime import UTC, datetime

import pytest

from application.kernel.identity.accounts import KnownAccounts
from application.kernel.identity.addresses import prove_email
from application.kernel.identity.identities import link_identity, unlink_identity
from application.kernel.identity.password_login import confirm_email
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import DomainError, Stale
from domain.kernel.identity.identities import LastWayIn, Link, LinkedElsewhere
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import GlobalRole
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    a_caller,
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_proof,
    a_session,
    a_user,
    a_workspace,
    an_email,
    reauthenticated,
    store,
)

LOCAL = "https://here.example"
TRUSTED = "https://hr.example"


@pytest.fixture
def accounts(run: Runner[UnitOfWork], queries: Queries) -> KnownAccounts:
    return KnownAccounts(
        run,
        queries.identities,
        lambda: datetime.now(UTC),
        local_issuer=LOCAL,
        trusted_for_email=[TRUSTED],
    )


async def test_of_many_first_requests_one_makes_the_user(
    accounts: KnownAccounts, begin: Begin[UnitOfWork]
) -> None:
    proof = a_proof(email="ada@example.com")
    identities = await asyncio.gather(*(accounts.recognise(proof) for _ in range(20)))
    (user_id,) = {identity.user_id for identity in identities}
    async with begin() as uow:
        assert len(await uow.links.lock_of(user_id)) == 1
        assert (await uow.users.get(user_id)).email == "ada@example.com"


async def test_many_strangers_who_claim_one_address_all_get_in(
    accounts: KnownAccounts, begin: Begin[UnitOfWork]
) -> None:
    identities = await asyncio.gather(
        *(accounts.recognise(a_proof(email="ada@example.com")) for _ in range(4))
    )
    async with begin() as uow:
        users = [await uow.users.get(identity.user_id) for identity in identities]
    assert len({user.id for user in users}) == 4
    assert {(user.email, user.email_verified) for user in users} == {("ada@example.com", False)}


async def test_of_many_who_prove_one_address_at_the_same_time_one_has_it_and_nobody_else_claims_it(
    accounts: KnownAccounts, run: Runner[UnitOfWork], begin: Begin[UnitOfWork]
) -> None:
    address = an_email()
    claimants = [a_user(email=address) for _ in range(4)]
    tokens = [
        a_one_time_token(user_id=user.id, email=address, token_hash=fingerprint(str(user.id)))
        for user in claimants
    ]
    await store(begin, *claimants, *tokens)
    proof = a_proof(issuer=TRUSTED, email=address, email_verified=True)
    outcomes = await asyncio.gather(
        *(run(confirm_email, a_caller(user.id), token=str(user.id)) for user in claimants),
        accounts.recognise(proof),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, Caller | DomainError | None) for outcome in outcomes), outcomes
    async with begin() as uow:
        holder = await uow.users.holder(address)
        assert holder is not None
        stored = [await uow.users.get(user.id) for user in claimants]
    assert [user.email for user in stored if user.id != holder.id] == [None] * (4 - (holder in stored))
    (caller,) = (outcome for outcome in outcomes if isinstance(outcome, Caller))
    assert caller.user_id == holder.id


@pytest.mark.parametrize("order", [1, -1])
async def test_who_proves_an_address_waits_for_who_is_proving_it_and_neither_for_the_other(
    begin: Begin[UnitOfWork], order: int
) -> None:
    address = an_email()
    first, second = sorted((a_user(email=address) for _ in range(2)), key=lambda user: order * user.id.int)
    await store(begin, first, second)

    async def prove_too() -> None:
        async with begin() as uow:
            await prove_email(uow, second)

    async with begin() as uow:
        await uow.users.take_email(first, at=uow.now)
        assert await uow.users.holder(address) is None  # now it has been sent
        proving = asyncio.create_task(prove_too())
        await asyncio.sleep(0.2)
        assert not proving.done()
        await uow.users.save(first.verify_email(at=uow.now))
    with pytest.raises(Stale):
        await asyncio.wait_for(proving, 60)
    async with begin() as uow:
        holder = await uow.users.holder(address)
    assert holder is not None
    assert holder.id == first.id


async def test_a_proof_that_is_known_costs_one_statement(
    accounts: KnownAccounts, begin: Begin[UnitOfWork], statements: list[str]
) -> None:
    user = a_user(roles=(GlobalRole.ADMIN,))
    link, session = a_link(user_id=user.id), a_session(user_id=user.id, created_at=datetime.now(UTC))
    await store(begin, user, link, session)
    linked = a_proof(issuer=link.issuer, subject=link.subject)
    local = a_proof(issuer=LOCAL, subject=str(user.id), session_id=SessionId(session.id))
    for proof in (linked, local):
        statements.clear()
        assert (await accounts.recognise(proof)).user_id == user.id
        assert len(statements) == 1


async def test_the_last_two_ways_in_cannot_both_go_at_once(
    run: Runner[UnitOfWork], begin: Begin[UnitOfWork]
) -> None:
    for _ in range(5):
        user = a_user()
        links = [a_link(user_id=user.id) for _ in range(2)]
        await store(begin, user, *links)
        actor = reauthenticated(user.id)
        outcomes = await asyncio.gather(
            *(run(unlink_identity, actor, link.id) for link in links), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [LastWayIn]


async def test_who_is_about_to_be_more_than_a_link_is_waited_for(begin: Begin[UnitOfWork]) -> None:
    user, workspace = a_user(), a_workspace()
    link = a_link(user_id=user.id)
    await store(begin, user, workspace, link)

    async def is_all() -> bool:
        async with begin() as uow:
            return await uow.links.is_all_of_its_user(link)

    async with begin() as uow:
        await uow.memberships.add(a_membership(workspace_id=workspace.id, user_id=user.id))
        await uow.workspaces.get(workspace.id)  # now it has been sent
        asking = asyncio.create_task(is_all())
        await asyncio.sleep(0.2)
        assert not asking.done()
    assert await asyncio.wait_for(asking, 60) is False


async def test_one_pair_that_two_users_prove_at_once_goes_to_one(
    run: Runner[UnitOfWork], begin: Begin[UnitOfWork]
) -> None:
    users = [a_user() for _ in range(4)]
    await store(begin, *users, *(a_credential(id=user.id) for user in users))
    proof = a_proof()
    outcomes = await asyncio.gather(
        *(run(link_identity, reauthenticated(user.id), proof) for user in users), return_exceptions=True
    )
    assert sum(isinstance(outcome, Link) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, LinkedElsewhere) for outcome in outcomes) == 3
