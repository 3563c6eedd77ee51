"""What counts as a fresh proof of who sends a request, and what does not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.kernel.admission import ensure_reauthenticated
from application.kernel.identity.attempts import FAILURES_OF_ACCOUNT, FAILURES_OF_CURRENT_PASSWORD
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.reauthentication import Reauthentication
from application.kernel.ports.callers import Caller, Reauthenticated
from domain.kernel.aggregate import new_id
from domain.kernel.identity.credentials import ReauthenticationRequired, TooManyAttempts, WrongPassword
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import User
from kernel.world.builders import NOW, a_caller, a_user_id
from kernel.world.fakes import FakeClock, FakeSeal
from kernel.world.people import PASSWORD
from kernel.world.refusals import refused

LIFETIME = timedelta(minutes=5)
INSTANT = timedelta(microseconds=1)
NEXT = "a drawer full of seashells"


@pytest.fixture
def proofs(login: PasswordLogin, clock: FakeClock) -> Reauthentication:
    return Reauthentication(login, FakeSeal(), clock, lifetime=LIFETIME)


@pytest.fixture
def caller(ada: User) -> Caller:
    """Ada, in one of her sessions."""
    return a_caller(ada.id, session_id=SessionId(new_id(NOW)))


async def test_who_gives_the_password_has_a_token_for_several_requests_of_some_minutes(
    proofs: Reauthentication, caller: Caller, clock: FakeClock
) -> None:
    proof = await proofs.confirm(caller, password=PASSWORD)
    assert proof.expires_in == 300
    clock.advance(LIFETIME - INSTANT)
    for _ in range(2):
        proved = ensure_reauthenticated(proofs.of(caller, proof.token))
        assert proved == Reauthenticated(
            user_id=caller.user_id,
            issuer=caller.issuer,
            subject=caller.subject,
            session_id=caller.session_id,
        )
    clock.advance(INSTANT)
    assert proofs.of(caller, proof.token) == caller


async def test_it_is_worthless_to_anybody_else_and_in_another_session(
    proofs: Reauthentication, caller: Caller
) -> None:
    token = (await proofs.confirm(caller, password=PASSWORD)).token
    for other in (
        replace(caller, user_id=a_user_id()),
        replace(caller, session_id=SessionId(new_id(NOW))),
        replace(caller, session_id=None),
        replace(caller, issuer="https://other.example"),
        replace(caller, subject="other"),
    ):
        assert proofs.of(other, token) is other


@pytest.mark.parametrize("token", [None, "", "sealed:", "sealed:1e300", "\0", "é"])
async def test_what_is_no_such_token_proves_nothing(
    token: str | None, proofs: Reauthentication, caller: Caller
) -> None:
    assert proofs.of(caller, token) is caller
    with pytest.raises(ReauthenticationRequired) as raised:
        ensure_reauthenticated(caller)
    assert "POST /v1/auth/reauthentication" in raised.value.detail


async def test_guesses_are_counted_together_with_those_at_the_change_of_the_password(
    proofs: Reauthentication, login: PasswordLogin, caller: Caller, clock: FakeClock
) -> None:
    for number in range(FAILURES_OF_CURRENT_PASSWORD):
        with refused(WrongPassword):
            if number % 2:
                await proofs.confirm(caller, password="guess")
            else:
                await login.change_password(caller, current_password="guess", new_password=NEXT)
    with pytest.raises(TooManyAttempts):
        await proofs.confirm(caller, password=PASSWORD)
    with pytest.raises(TooManyAttempts):
        await login.change_password(caller, current_password=PASSWORD, new_password=NEXT)
    clock.advance(timedelta(minutes=15))
    await proofs.confirm(caller, password=PASSWORD)


async def test_who_guesses_in_one_session_keeps_nobody_out_of_another(
    proofs: Reauthentication, caller: Caller
) -> None:
    for _ in range(FAILURES_OF_CURRENT_PASSWORD):
        with refused(WrongPassword):
            await proofs.confirm(caller, password="guess")
    with pytest.raises(TooManyAttempts):
        await proofs.confirm(caller, password=PASSWORD)
    await proofs.confirm(replace(caller, session_id=SessionId(new_id(NOW))), password=PASSWORD)


async def test_a_hundred_wrong_ones_are_too_many_for_one_user_in_however_many_sessions(
    proofs: Reauthentication, caller: Caller
) -> None:
    for _ in range(FAILURES_OF_ACCOUNT):
        with refused(WrongPassword):
            await proofs.confirm(replace(caller, session_id=SessionId(new_id(NOW))), password="guess")
    with pytest.raises(TooManyAttempts):
        await proofs.confirm(caller, password=PASSWORD)


@pytest.mark.parametrize(
    ("ago", "counts"),
    [
        (timedelta(0), True),
        (-timedelta(seconds=30), True),  # the provider's clock is ahead of ours
        (LIFETIME - INSTANT, True),
        (LIFETIME, False),
        (timedelta(days=1), False),
    ],
)
async def test_a_log_in_at_a_provider_counts_for_the_same_minutes(
    ago: timedelta, counts: bool, proofs: Reauthentication, caller: Caller
) -> None:
    caller = replace(caller, authenticated_at=NOW - ago)
    assert isinstance(proofs.of(caller, None), Reauthenticated) is counts
