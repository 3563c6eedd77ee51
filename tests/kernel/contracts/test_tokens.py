"""What every issuer of access tokens promises to the verifier of its own kind: the plain ones, and ours."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from adapters.tokens.verifier import IssuedTokenVerifier
from application.kernel.identity.accounts import KnownAccounts
from application.kernel.ports.callers import TokenVerifier
from application.kernel.ports.sessions import TokenIssuer
from application.kernel.run import Runner
from domain.kernel.errors import Unauthenticated
from domain.kernel.identity.sessions import Session
from domain.kernel.users import UserId
from kernel.world.builders import a_session, a_user, a_user_id, store
from kernel.world.fakes import FakeIdentityQueries, FakeTokenIssuer, FakeTokenVerifier
from kernel.world.rings import ISSUER, Processes, local_issuer


class Provider(NamedTuple):
    issuer: TokenIssuer
    verifier: TokenVerifier
    log_in: Callable[[UserId], Awaitable[Session]]


def fake() -> Provider:
    async def log_in(user_id: UserId) -> Session:
        return a_session(user_id=user_id)

    return Provider(FakeTokenIssuer(), FakeTokenVerifier(), log_in)


def local() -> Provider:
    processes = Processes()
    ring, transactions, clock = processes.ring(), processes.transactions, processes.clock
    accounts = KnownAccounts(
        Runner(transactions), FakeIdentityQueries(transactions), clock, local_issuer=ISSUER
    )

    async def log_in(user_id: UserId) -> Session:
        session = a_session(user_id=user_id)
        await store(transactions, a_user(id=user_id), session)
        return session

    verifier = IssuedTokenVerifier(
        [local_issuer(ring)], accounts, longest_token=8192, cached=10, recheck_seconds=5, clock=clock
    )
    return Provider(processes.token_issuer(ring), verifier, log_in)


PROVIDERS: dict[str, Callable[[], Provider]] = {"fake": fake, "local": local}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]()


async def issued(provider: Provider, user_id: UserId) -> str:
    session = await provider.log_in(user_id)
    token = await provider.issuer.issue(user_id, session_id=session.id)
    assert token.expires_in > 0
    return token.value


async def test_a_token_speaks_for_the_user_it_was_issued_to(provider: Provider) -> None:
    user_id = a_user_id()
    token = await issued(provider, user_id)
    for _ in range(2):
        identity = await provider.verifier.verify(token)
        assert (identity.user_id, identity.subject) == (user_id, str(user_id))
        assert identity.issuer


async def test_a_token_proves_what_it_says_of_its_bearer(provider: Provider) -> None:
    user_id = a_user_id()
    token = await issued(provider, user_id)
    identity, proof = await provider.verifier.verify(token), await provider.verifier.read(token)
    assert (proof.issuer, proof.subject) == (identity.issuer, identity.subject)
    assert proof.session_id == identity.session_id
    assert proof.issued_at < proof.expires_at


async def test_two_users_have_two_tokens(provider: Provider) -> None:
    first, second = a_user_id(), a_user_id()
    tokens = [await issued(provider, user_id) for user_id in (first, second)]
    assert [(await provider.verifier.verify(token)).user_id for token in tokens] == [first, second]


@pytest.mark.parametrize(
    "token", ["", "no token", ".", "a.b.c", "access:", "Bearer x", "\ud800", "\0", "x" * 100_000]
)
async def test_what_nobody_issued_is_refused(provider: Provider, token: str) -> None:
    for use in (provider.verifier.verify, provider.verifier.read):
        with pytest.raises(Unauthenticated):
            await use(token)


async def test_a_token_with_something_behind_it_is_another_token(provider: Provider) -> None:
    token = await issued(provider, a_user_id())
    with pytest.raises(Unauthenticated):
        await provider.verifier.verify(f"{token}x")
