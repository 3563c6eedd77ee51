"""What every issuer of access tokens promises to the verifier of its own kind: the plain ones, and ours."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from joserfc.jwk import ECKey

from adapters.tokens.local import LocalTokenIssuer, LocalTokenVerifier
from application.ports import TokenIssuer, TokenVerifier
from builders import NOW, a_user_id
from domain.errors import Unauthenticated
from fakes import FakeClock, FakeTokenIssuer, FakeTokenVerifier


class Provider(NamedTuple):
    issuer: TokenIssuer
    verifier: TokenVerifier


def fake() -> Provider:
    return Provider(FakeTokenIssuer(), FakeTokenVerifier())


def local() -> Provider:
    key, clock = ECKey.generate_key("P-256"), FakeClock(NOW)
    url, audience = "https://api.example.com", "shop"
    return Provider(
        LocalTokenIssuer(key, issuer=url, audience=audience, lifetime_seconds=600, clock=clock),
        LocalTokenVerifier(
            [key], issuer=url, audience=audience, longest_lifetime_seconds=600, cached=10, clock=clock
        ),
    )


PROVIDERS: dict[str, Callable[[], Provider]] = {"fake": fake, "local": local}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]()


async def test_a_token_speaks_for_the_user_it_was_issued_to(provider: Provider) -> None:
    user_id = a_user_id()
    token = provider.issuer.issue(user_id)
    for _ in range(2):
        identity = await provider.verifier.verify(token.value)
        assert (identity.user_id, identity.subject) == (user_id, str(user_id))
        assert identity.issuer
    assert token.expires_in > 0


async def test_two_users_have_two_tokens(provider: Provider) -> None:
    first, second = a_user_id(), a_user_id()
    tokens = [provider.issuer.issue(user_id).value for user_id in (first, second)]
    assert [(await provider.verifier.verify(token)).user_id for token in tokens] == [first, second]


@pytest.mark.parametrize(
    "token", ["", "no token", ".", "a.b.c", "access:", "Bearer x", "\ud800", "\0", "x" * 100_000]
)
async def test_what_nobody_issued_is_refused(provider: Provider, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await provider.verifier.verify(token)


async def test_a_token_with_something_behind_it_is_another_token(provider: Provider) -> None:
    token = provider.issuer.issue(a_user_id())
    with pytest.raises(Unauthenticated):
        await provider.verifier.verify(f"{token.value}x")
