"""The one place where mail leaves: what each mailbox gets of each kind in an hour, and what is withheld."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from adapters.mail.counted import CountedMailer
from application.kernel.identity.attempts import (
    MAILS_BUT_RESETS_TO_ADDRESS,
    MAILS_TO_ADDRESS,
    NOTICES_TO_ADDRESS,
)
from application.kernel.ports.mail import Mail, MailKind
from application.kernel.ports.world import TimedOut, Unavailable
from domain.kernel.users import Email
from kernel.world.builders import NOW
from kernel.world.fakes import FakeClock, FakeMailer, MemoryAttempts

ADA = "ada.lovelace@example.com"
KINDS = {
    MailKind.ORDINARY: MAILS_BUT_RESETS_TO_ADDRESS,
    MailKind.WAY_IN: MAILS_TO_ADDRESS,
    MailKind.NOTICE: NOTICES_TO_ADDRESS,
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def transport() -> FakeMailer:
    return FakeMailer()


@pytest.fixture
def mailer(transport: FakeMailer, clock: FakeClock) -> CountedMailer:
    return CountedMailer(transport, MemoryAttempts(clock))


def a_mail(to: str = ADA, kind: MailKind = MailKind.ORDINARY) -> Mail:
    return Mail(to=Email(to), subject="Loomworks: is this your address?", text="s3cret", kind=kind)


async def flood(mailer: CountedMailer, *mails: Mail, times: int = 40) -> int:
    """How many of them leave."""
    return sum([await mailer.send(mail) for _ in range(times) for mail in mails])


def test_a_mail_of_a_fork_counts_as_what_anybody_can_cause() -> None:
    assert Mail(to=Email(ADA), subject="Your order", text="").kind is MailKind.ORDINARY


@pytest.mark.parametrize("kind", KINDS)
async def test_no_mailbox_gets_more_of_a_kind_in_an_hour_and_the_next_hour_begins_anew(
    kind: MailKind, mailer: CountedMailer, transport: FakeMailer, clock: FakeClock
) -> None:
    assert await flood(mailer, a_mail(kind=kind)) == KINDS[kind]
    clock.advance(timedelta(minutes=59))
    assert await flood(mailer, a_mail(kind=kind)) == 0
    clock.advance(timedelta(minutes=1))
    assert await flood(mailer, a_mail(kind=kind)) == KINDS[kind]
    assert len(transport.sent) == 2 * KINDS[kind]


async def test_whatever_anybody_can_cause_is_counted_together(mailer: CountedMailer) -> None:
    mails = [a_mail(), a_mail(kind=MailKind.WAY_IN)]
    assert await flood(mailer, *mails) == MAILS_TO_ADDRESS


@pytest.mark.parametrize("others", [[MailKind.ORDINARY], [MailKind.ORDINARY, MailKind.NOTICE]])
async def test_other_mails_leave_room_for_one_that_lets_its_owner_in(
    others: list[MailKind], mailer: CountedMailer
) -> None:
    await flood(mailer, *(a_mail(kind=kind) for kind in others))
    assert await mailer.send(a_mail(kind=MailKind.WAY_IN))


async def test_nothing_that_anybody_can_cause_suppresses_a_notice(mailer: CountedMailer) -> None:
    await flood(mailer, a_mail(), a_mail(kind=MailKind.WAY_IN))
    assert await mailer.send(a_mail(kind=MailKind.NOTICE))


@pytest.mark.parametrize(
    "alias", ["ada.lovelace+news@example.com", "adalovelace@example.com", "a.d.a.lovelace+1@example.com"]
)
async def test_what_servers_put_into_one_mailbox_is_one_mailbox(alias: str, mailer: CountedMailer) -> None:
    assert await flood(mailer, a_mail(), a_mail(alias)) == MAILS_BUT_RESETS_TO_ADDRESS


async def test_each_mailbox_has_a_count_of_its_own(mailer: CountedMailer) -> None:
    await flood(mailer, a_mail())
    for other in ("charles@example.com", "ada.lovelace@example.org"):
        assert await mailer.send(a_mail(other))


@pytest.mark.parametrize("failure", [Unavailable("away"), TimedOut("slow"), RuntimeError("a defect")])
async def test_a_mail_that_does_not_leave_is_not_counted(
    failure: Exception, mailer: CountedMailer, transport: FakeMailer
) -> None:
    for _ in range(3 * MAILS_TO_ADDRESS):
        transport.failures.append(failure)
        with pytest.raises(type(failure)):
            await mailer.send(a_mail())
    assert await flood(mailer, a_mail()) == MAILS_BUT_RESETS_TO_ADDRESS


async def test_of_a_mail_that_is_withheld_nothing_is_counted_either(mailer: CountedMailer) -> None:
    await flood(mailer, a_mail(), times=3 * MAILS_TO_ADDRESS)
    assert await flood(mailer, a_mail(kind=MailKind.WAY_IN)) == (
        MAILS_TO_ADDRESS - MAILS_BUT_RESETS_TO_ADDRESS
    )


async def test_of_many_at_the_same_instant_no_more_leave(
    mailer: CountedMailer, transport: FakeMailer
) -> None:
    await asyncio.gather(*(mailer.send(a_mail()) for _ in range(30)))
    assert len(transport.sent) == MAILS_BUT_RESETS_TO_ADDRESS


async def test_what_is_withheld_is_logged_without_the_address(mailer: CountedMailer) -> None:
    await flood(mailer, a_mail(), times=MAILS_BUT_RESETS_TO_ADDRESS)
    with capture_logs() as logged:
        await mailer.send(a_mail())
    assert logged == [
        {
            "event": "mail withheld",
            "log_level": "warning",
            "kind": "ordinary",
            "subject": "Loomworks: is this your address?",
            "seconds": 3600,
        }
    ]
