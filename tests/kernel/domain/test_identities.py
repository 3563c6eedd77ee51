"""Links between providers' accounts and users."""

from datetime import timedelta

from domain.kernel.aggregate import new_id
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked, LastWayIn, Link, LinkId
from kernel.world.builders import NOW, a_link, a_user_id
from kernel.world.refusals import refused

LATER = NOW + timedelta(days=1)
ISSUER = "https://login.example"


def test_linking_is_a_fact() -> None:
    link_id, user_id = LinkId(new_id(NOW)), a_user_id()
    link = Link.make(id=link_id, user_id=user_id, issuer=ISSUER, subject="7", at=NOW)
    assert link == Link(
        id=link_id,
        user_id=user_id,
        issuer=ISSUER,
        subject="7",
        created_at=NOW,
        events=(IdentityLinked(at=NOW, link_id=link_id, user_id=user_id, issuer=ISSUER),),
    )


def test_a_link_that_moves_stays_the_same_account_of_the_provider() -> None:
    link, other = a_link(), a_user_id()
    moved = link.move(to=other, at=LATER)
    assert (moved.id, moved.issuer, moved.subject) == (link.id, link.issuer, link.subject)
    assert (moved.user_id, moved.created_at) == (other, LATER)
    assert moved.events == (IdentityLinked(at=LATER, link_id=link.id, user_id=other, issuer=link.issuer),)


def test_unlinking_is_a_fact() -> None:
    link = a_link()
    unlinked = IdentityUnlinked(at=LATER, link_id=link.id, user_id=link.user_id, issuer=link.issuer)
    assert link.unlink(last=False, at=LATER) == link.recording(unlinked)


def test_the_last_way_to_log_in_stays() -> None:
    with refused(LastWayIn, "Link another provider or set a password first."):
        a_link().unlink(last=True, at=LATER)
