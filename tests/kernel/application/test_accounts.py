"""Who is behind a proof, and when they are refused."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from application.kernel.commands.users import delete_own_account
from application.kernel.identity.accounts import REFUSED, KnownAccounts, Linking
from application.kernel.ports.callers import Caller, Claims
from application.kernel.ports.world import Contention
from application.kernel.run import Runner
from domain.kernel.errors import DomainError, Stale, Unauthenticated
from domain.kernel.identity.identities import Link, LinkedElsewhere, NothingToLink
from domain.kernel.identity.sessions import SessionEnded, SessionNotFound
from domain.kernel.users import (
    UNNAMED,
    DeletedMeanwhile,
    Email,
    EmailLost,
    EmailTaken,
    GlobalRole,
    Suspended,
    User,
)
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_link,
    a_proof,
    a_session,
    a_user,
    a_user_id,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakeClock, FakeIdentityQueries, MemoryTransactions, ProvingVerifier
from kernel.world.refusals import refused

LOCAL = "https://here.example"
KEYCLOAK = "https://login.example/realms/shop"
TRUSTED = "https://hr.example"


@pytest.fixture
def queries(transactions: MemoryTransactions[UnitOfWork]) -> FakeIdentityQueries:
    return FakeIdentityQueries(transactions)


@pytest.fixture
def accounts(run: Runner[UnitOfWork], queries: FakeIdentityQueries, clock: FakeClock) -> KnownAccounts:
    return KnownAccounts(
        run,
        queries,
        clock,
        local_issuer=LOCAL,
        trusted_for_email=[TRUSTED],
        role_map={KEYCLOAK: {"api-admins": GlobalRole.ADMIN, "helpdesk": GlobalRole.SUPPORT}},
    )


def users_in(transactions: MemoryTransactions[UnitOfWork]) -> dict[UUID, User]:
    return transactions.committed.of(User)


async def refusal_of(accounts: KnownAccounts, proof: Claims) -> BaseException | None:
    """Why; everybody else reads the same words."""
    with refused(Unauthenticated, REFUSED):
        await accounts.recognise(proof)
    with pytest.raises(Unauthenticated) as caught:
        await accounts.recognise(proof)
    return caught.value.__cause__


# ── the built-in provider's proofs ───────────────────────────────────────────────────────────────


async def test_a_proof_of_our_own_is_its_sessions_user(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], queries: FakeIdentityQueries
) -> None:
    user = a_user(roles=(GlobalRole.SUPPORT,))
    session = a_session(user_id=user.id, authenticated_at=NOW)
    await store(transactions, user, session)
    proof = a_proof(
        issuer=LOCAL,
        subject=str(user.id),
        session_id=session.id,
        authenticated_at=NOW.timestamp() + 60,  # what counts is the session's
        client="shop",
        scopes=frozenset({"read"}),
    )
    assert await accounts.recognise(proof) == Caller(
        user_id=user.id,
        issuer=LOCAL,
        subject=str(user.id),
        client="shop",
        scopes=frozenset({"read"}),
        roles=frozenset({GlobalRole.SUPPORT}),
        session_id=session.id,
        authenticated_at=NOW,
    )
    assert queries.asked == 1


async def test_the_session_must_be_there_and_open_and_the_users_own(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    user, other = a_user(), a_user()
    good = a_session(user_id=user.id)
    ended = a_session(user_id=user.id, ended_at=clock.now)
    brief = a_session(user_id=user.id, expires_at=clock.now + timedelta(seconds=1))
    others = a_session(user_id=other.id)
    await store(transactions, user, other, good, ended, brief, others)
    proof = a_proof(issuer=LOCAL, subject=str(user.id), session_id=good.id)
    await accounts.recognise(proof)
    await accounts.recognise(replace(proof, session_id=brief.id))
    clock.advance(timedelta(seconds=1))
    reasons: list[tuple[Claims, DomainError]] = [
        (replace(proof, session_id=None), SessionNotFound("The token names no session.")),
        (replace(proof, session_id=ended.id), SessionEnded()),
        (replace(proof, session_id=brief.id), SessionEnded()),
        (replace(proof, session_id=others.id), SessionNotFound()),
        (replace(proof, session_id=a_session().id), SessionNotFound()),
        (replace(proof, subject=str(a_user_id())), SessionNotFound()),
        (replace(proof, subject="ada"), SessionNotFound("The subject is no user id.")),
    ]
    for bad, reason in reasons:
        cause = await refusal_of(accounts, bad)
        assert (type(cause), str(cause)) == (type(reason), str(reason)), bad
    assert len(users_in(transactions)) == 2  # our own issuer's strangers are nobody


async def test_a_suspended_user_is_refused_whoever_vouches_for_them(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    user = a_user(suspended_at=clock.now)
    session, link = a_session(user_id=user.id), a_link(user_id=user.id)
    await store(transactions, user, session, link)
    local = a_proof(issuer=LOCAL, subject=str(user.id), session_id=session.id)
    linked = a_proof(issuer=link.issuer, subject=link.subject)
    for proof in (local, linked):
        assert isinstance(await refusal_of(accounts, proof), Suspended)


# ── other providers' ─────────────────────────────────────────────────────────────────────────────


async def test_a_token_from_before_the_account_was_deleted_is_refused_and_a_new_one_makes_a_new_user(
    accounts: KnownAccounts,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    token = a_proof(issuer=KEYCLOAK)
    user_id = (await accounts.recognise(token)).user_id
    await run(delete_own_account, reauthenticated(user_id))
    assert isinstance(await refusal_of(accounts, token), DeletedMeanwhile)
    clock.advance(timedelta(seconds=1))
    later = replace(token, issued_at=clock.now.timestamp())
    assert (await accounts.recognise(later)).user_id != user_id
    assert len(users_in(transactions)) == 2


@pytest.mark.parametrize("at", [None, NOW.replace(microsecond=0)])
async def test_another_providers_token_says_itself_when_that_let_somebody_in(
    at: datetime | None, accounts: KnownAccounts
) -> None:
    proof = a_proof(authenticated_at=at.timestamp() if at else None)
    assert (await accounts.recognise(proof)).authenticated_at == at


async def test_a_pair_of_issuer_and_subject_is_one_user_for_good(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], queries: FakeIdentityQueries
) -> None:
    proof = a_proof(client="spa", scopes=frozenset({"read"}))
    first = await accounts.recognise(proof)
    queries.asked = 0
    assert await accounts.recognise(proof) == first
    assert queries.asked == 1
    assert (first.issuer, first.subject, first.client) == (proof.issuer, proof.subject, "spa")
    assert (first.scopes, first.roles, first.session_id) == (frozenset({"read"}), frozenset(), None)
    assert (await accounts.recognise(replace(proof, subject="another"))).user_id != first.user_id
    assert (await accounts.recognise(replace(proof, issuer="https://o.example"))).user_id != first.user_id
    assert len(users_in(transactions)) == 3


async def test_first_requests_at_the_same_time_make_one_user(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    proof = a_proof(email="ada@example.com")
    identities = await asyncio.gather(*(accounts.recognise(proof) for _ in range(5)))
    assert len({identity.user_id for identity in identities}) == 1
    assert len(users_in(transactions)) == len(transactions.committed.of(Link)) == 1


async def test_two_strangers_who_claim_one_address_at_the_same_time_are_two_users(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await asyncio.gather(*(accounts.recognise(a_proof(email="ada@example.com")) for _ in range(2)))
    users = users_in(transactions).values()
    assert [(user.email, user.email_verified) for user in users] == [("ada@example.com", False)] * 2


async def test_two_accounts_that_prove_one_address_at_the_same_time_are_one_user(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    proofs = [a_proof(issuer=TRUSTED, email="ada@example.com", email_verified=True) for _ in range(2)]
    first, second = await asyncio.gather(*map(accounts.recognise, proofs))
    assert first.user_id == second.user_id
    assert len(users_in(transactions)) == 1


async def test_a_race_that_nobody_wins_ends(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    transactions.failures.extend(LinkedElsewhere() for _ in range(3))
    with refused(LinkedElsewhere):
        await accounts.recognise(a_proof())
    assert not transactions.failures


@pytest.mark.parametrize(
    ("stored", "claimed", "granted"),
    [
        ((), (), set()),
        ((), ("api-admins",), {GlobalRole.ADMIN}),
        ((), ("helpdesk", "unknown"), {GlobalRole.SUPPORT}),
        ((), ("admin", "API-ADMINS"), set()),
        ((GlobalRole.SUPPORT,), (), {GlobalRole.SUPPORT}),
        ((GlobalRole.SUPPORT,), ("api-admins",), {GlobalRole.SUPPORT, GlobalRole.ADMIN}),
        ((GlobalRole.ADMIN,), ("helpdesk",), {GlobalRole.SUPPORT, GlobalRole.ADMIN}),
    ],
)
async def test_roles_come_from_what_is_stored_and_from_the_providers_as_mapped(
    accounts: KnownAccounts,
    transactions: MemoryTransactions[UnitOfWork],
    stored: tuple[GlobalRole, ...],
    claimed: tuple[str, ...],
    granted: set[GlobalRole],
) -> None:
    user = a_user(roles=stored)
    link = a_link(user_id=user.id, issuer=KEYCLOAK)
    await store(transactions, user, link)
    proof = a_proof(issuer=KEYCLOAK, subject=link.subject, roles=frozenset(claimed))
    assert (await accounts.recognise(proof)).roles == granted


async def test_one_issuers_roles_mean_nothing_from_another(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user()
    session = a_session(user_id=user.id)
    await store(transactions, user, session)
    roles = frozenset({"api-admins", "admin"})
    elsewhere = a_proof(issuer=TRUSTED, roles=roles)
    local = a_proof(issuer=LOCAL, subject=str(user.id), session_id=session.id, roles=roles)
    for proof in (elsewhere, local):
        assert (await accounts.recognise(proof)).roles == frozenset()


# ── by address ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("issuer", "verified_there", "verified_here", "linked"),
    [
        (TRUSTED, True, True, True),
        (TRUSTED, True, False, False),  # somebody may have registered it in advance
        (TRUSTED, False, True, False),
        (TRUSTED, False, False, False),
        (KEYCLOAK, True, True, False),
        (KEYCLOAK, True, False, False),
        (KEYCLOAK, False, True, False),
        (KEYCLOAK, False, False, False),
    ],
)
async def test_only_an_address_that_both_sides_proved_links(
    *,
    accounts: KnownAccounts,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    issuer: str,
    verified_there: bool,
    verified_here: bool,
    linked: bool,
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=clock.now if verified_here else None)
    await store(transactions, ada)
    proof = a_proof(issuer=issuer, email="Ada@Example.com", email_verified=verified_there)
    identity = await accounts.recognise(proof)
    assert (identity.user_id == ada.id) is linked
    before, found = users_in(transactions)[ada.id], users_in(transactions)[identity.user_id]
    if verified_here:  # whoever has proved it has it alone
        assert before == ada
        assert linked or found.email is None
    elif issuer == TRUSTED and verified_there:  # and so does who proves it, whoever claimed it before
        assert (found.email, found.email_verified_at) == (ada.email, clock.now)
        assert (before.email, before.version) == (None, 2)
        assert EmailLost(at=clock.now, user_id=ada.id) in transactions.events
    else:  # while everybody may claim it
        assert before == ada
        assert (found.email, found.email_verified_at) == (ada.email, None)


async def test_a_suspended_user_does_not_come_back_through_their_address(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=clock.now, suspended_at=clock.now)
    await store(transactions, ada)
    proof = a_proof(issuer=TRUSTED, email="ada@example.com", email_verified=True)
    assert isinstance(await refusal_of(accounts, proof), Suspended)
    assert list(users_in(transactions)) == [ada.id]


@pytest.mark.parametrize(
    ("issuer", "verified_there", "verified_here"),
    [(TRUSTED, True, True), (TRUSTED, False, False), (KEYCLOAK, True, False), (KEYCLOAK, False, False)],
)
async def test_a_stranger_takes_an_address_that_nobody_has(
    *,
    accounts: KnownAccounts,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    issuer: str,
    verified_there: bool,
    verified_here: bool,
) -> None:
    proof = a_proof(issuer=issuer, email=" Ada@Example.com", email_verified=verified_there, name="Ada")
    identity = await accounts.recognise(proof)
    user = users_in(transactions)[identity.user_id]
    assert (user.email, user.display_name) == ("ada@example.com", "Ada")
    assert user.email_verified_at == (clock.now if verified_here else None)


@pytest.mark.parametrize(
    "email", [None, "", "nobody", "a@b", "x" * 300 + "@example.com", "a\x00@b.c", "\ud800"]
)
async def test_what_is_no_address_keeps_nobody_out(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], email: str | None
) -> None:
    proof = a_proof(issuer=TRUSTED, email=email, email_verified=True)
    identity = await accounts.recognise(proof)
    user = users_in(transactions)[identity.user_id]
    assert (user.email, user.email_verified_at, user.display_name) == (None, None, "User")


@pytest.mark.parametrize(
    ("name", "email", "shown"),
    [
        ("Ada\nLovelace", "ada@example.com", "AdaLovelace"),
        (None, "ada@example.com", "ada"),
        ("\x00", "ada@example.com", "ada"),
        (None, None, "User"),
    ],
)
async def test_a_name_keeps_nobody_out(
    accounts: KnownAccounts,
    transactions: MemoryTransactions[UnitOfWork],
    name: str | None,
    email: str | None,
    shown: str,
) -> None:
    identity = await accounts.recognise(a_proof(name=name, email=email))
    assert users_in(transactions)[identity.user_id].display_name == shown


async def test_the_name_of_an_address_that_another_has_serves_all_the_same(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await store(transactions, a_user(email=Email("ada@example.com")))
    identity = await accounts.recognise(a_proof(email="ada@example.com"))
    assert users_in(transactions)[identity.user_id].display_name == "ada"


# ── linking by proof ─────────────────────────────────────────────────────────────────────────────


async def test_whoever_came_without_an_address_gets_what_is_verified_later(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork], queries: FakeIdentityQueries
) -> None:
    first = a_proof(issuer=TRUSTED)
    user_id = (await accounts.recognise(first)).user_id
    assert (users_in(transactions)[user_id].email, users_in(transactions)[user_id].display_name) == (
        None,
        UNNAMED,
    )
    claimed = replace(first, email="ada@example.com")
    for tells_nothing in (first, claimed, replace(claimed, email="nobody"), replace(first, name="\0")):
        assert (await accounts.recognise(tells_nothing)).user_id == user_id
    assert users_in(transactions)[user_id].version == 1
    told = replace(claimed, email_verified=True, name="Ada")
    assert (await accounts.recognise(told)).user_id == user_id
    user = users_in(transactions)[user_id]
    assert (user.email, user.email_verified, user.display_name, user.version) == (
        "ada@example.com",
        True,
        "Ada",
        2,
    )
    queries.asked = 0
    await accounts.recognise(replace(told, email="other@example.com", name="Eve"))
    assert users_in(transactions)[user_id] == user  # what they have is theirs to change
    assert queries.asked == 1


async def test_a_later_address_of_an_issuer_that_is_not_trusted_for_it_counts_for_nothing(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first = a_proof(issuer=KEYCLOAK)
    user_id = (await accounts.recognise(first)).user_id
    await accounts.recognise(replace(first, email="ada@example.com", email_verified=True, name="Ada"))
    user = users_in(transactions)[user_id]
    assert (user.email, user.display_name) == (None, "Ada")


async def test_a_later_address_that_somebody_has_stays_theirs(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first, owner = a_proof(issuer=TRUSTED), a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    await store(transactions, owner)
    user_id = (await accounts.recognise(first)).user_id
    later = replace(first, email="ada@example.com", email_verified=True, name="Ada")
    assert (await accounts.recognise(later)).user_id == user_id
    assert users_in(transactions)[owner.id] == owner
    assert (users_in(transactions)[user_id].email, users_in(transactions)[user_id].display_name) == (
        None,
        "Ada",
    )


async def test_a_later_address_that_somebody_only_claims_goes_to_whom_the_provider_has_verified(
    accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first, claimant = a_proof(issuer=TRUSTED), a_user(email=Email("ada@example.com"))
    await store(transactions, claimant)
    user_id = (await accounts.recognise(first)).user_id
    await accounts.recognise(replace(first, email="ada@example.com", email_verified=True))
    user = users_in(transactions)[user_id]
    assert (user.email, user.email_verified) == ("ada@example.com", True)
    assert users_in(transactions)[claimant.id].email is None


@pytest.mark.parametrize("failure", [Stale(), EmailTaken(), Contention("")])
async def test_whoever_is_slower_to_fill_in_is_let_in_all_the_same(
    failure: Exception, accounts: KnownAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first = a_proof(issuer=TRUSTED)
    user_id = (await accounts.recognise(first)).user_id
    transactions.failures += [failure] * (4 if isinstance(failure, Contention) else 1)
    assert (await accounts.recognise(replace(first, name="Ada"))).user_id == user_id


async def test_whoever_shows_a_token_of_the_other_provider_has_it_linked(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], accounts: KnownAccounts
) -> None:
    user, proof = a_user(), a_proof(issuer=KEYCLOAK)
    await store(transactions, user)
    linking = Linking(run, ProvingVerifier(good=proof), local_issuer=LOCAL)
    link = await linking.link(reauthenticated(user.id), token="good")
    assert (link.user_id, link.issuer, link.subject) == (user.id, KEYCLOAK, proof.subject)
    assert (await accounts.recognise(proof)).user_id == user.id


async def test_a_token_that_is_not_good_is_the_bodys_fault_and_not_the_callers(
    run: Runner[UnitOfWork],
) -> None:
    linking = Linking(run, ProvingVerifier(), local_issuer=LOCAL)
    with refused(NothingToLink, REFUSED, field="token"):
        await linking.link(reauthenticated(), token="bad")


async def test_a_token_of_our_own_is_nothing_to_link(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    own = a_proof(issuer=LOCAL, subject=str(a_user_id()))
    user = a_user()
    await store(transactions, user)
    linking = Linking(run, ProvingVerifier(own=own), local_issuer=LOCAL)
    detail = "It is this service's own; send one of the other provider."
    with refused(NothingToLink, detail, field="token"):
        await linking.link(reauthenticated(user.id), token="own")
    assert not transactions.committed.of(Link)


async def test_linking_while_the_same_token_is_used_elsewhere_is_tried_again(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user()
    await store(transactions, user)
    transactions.failures.append(LinkedElsewhere())
    linking = Linking(run, ProvingVerifier(good=a_proof()), local_issuer=LOCAL)
    assert (await linking.link(reauthenticated(user.id), token="good")).user_id == user.id


async def test_a_pair_that_is_anothers_is_refused(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user, other = a_user(), a_user()
    link = a_link(user_id=other.id)
    await store(transactions, user, other, link, a_link(user_id=other.id))
    proof = a_proof(issuer=link.issuer, subject=link.subject)
    linking = Linking(run, ProvingVerifier(good=proof), local_issuer=LOCAL)
    with refused(LinkedElsewhere):
        await linking.link(reauthenticated(user.id), token="good")
