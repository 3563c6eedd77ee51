"""What users do with their own profile."""

import pytest

from application.commands.users import edit_profile
from application.run import Runner
from builders import a_user, an_identity, store
from domain.users import EmailTaken, User, UserEdited, UserNotFound
from fakes import FakeClock, MemoryTransactions
from refusals import refused


@pytest.fixture
async def ada(transactions: MemoryTransactions) -> User:
    ada = a_user(display_name="Ada")
    await store(transactions, ada)
    return ada


async def test_everybody_can_edit_their_own_profile(
    run: Runner, transactions: MemoryTransactions, clock: FakeClock, ada: User
) -> None:
    edited = await run(edit_profile, an_identity(ada.id), display_name="Augusta")
    assert (edited.display_name, edited.email, edited.version) == ("Augusta", ada.email, 2)
    assert transactions.events == [UserEdited(at=clock.now, user_id=ada.id)]
    async with transactions() as uow:
        assert await uow.users.get(ada.id) == edited


async def test_an_edit_that_changes_nothing_saves_nothing(
    run: Runner, transactions: MemoryTransactions, ada: User
) -> None:
    assert await run(edit_profile, an_identity(ada.id), display_name="Ada") == ada
    assert transactions.events == []


async def test_the_address_of_another_account_is_refused(
    run: Runner, transactions: MemoryTransactions, ada: User
) -> None:
    charles = a_user()
    await store(transactions, charles)
    with refused(EmailTaken):
        await run(edit_profile, an_identity(ada.id), email=charles.email.upper())


async def test_a_profile_that_does_not_exist_cannot_be_edited(run: Runner) -> None:
    with refused(UserNotFound):
        await run(edit_profile, an_identity(), display_name="Nobody")
