"""People with an account: their address, their name, their roles, their suspension, their deletion."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.errors import Invalid
from domain.kernel.text import line
from domain.kernel.users import (
    DELETED,
    DISPLAY_NAME_MOST,
    AccountDeleted,
    Email,
    EmailChanged,
    EmailChangeRequested,
    EmailChangeWithdrawn,
    EmailVerified,
    GlobalRole,
    OwnAccount,
    RolesChanged,
    Suspended,
    User,
    UserAbsorbed,
    UserDeleted,
    UserEdited,
    UserRegistered,
    UserRestored,
    UserSuspended,
    display_name_from,
    email_address,
)
from kernel.world.builders import NOW, a_user, a_user_id
from kernel.world.refusals import refused

NO_ADDRESS = "It must be an e-mail address such as ada@example.com."
LATER = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    [
        *("ada@example.com", "ada+engine@mail.example.co.uk", "o'hara_1@x-y.de", "a@1.2"),
        *("ada?=b@example.com", f"ada@{'x' * 63}.example", f"ada@{'x' * 31}-{'x' * 31}.example"),
    ],
)
def test_ordinary_addresses_are_accepted(text: str) -> None:
    assert email_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@example.",
        "ada@.com",
        "ada@exa_mple.com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@example.com-",
        "ada@exämple.com",
        "ada@@example.com",
        "ada lovelace@example.com",
        "józef@example.com",
        '"ada"@example.com',
        "ada@[127.0.0.1]",
        "Ada <ada@example.com>",
        "ada@example.com, charles@example.com",
        "ada:pw@example.com",
        "ada@example.com;",
        "a\\da@example.com",
        "(ada)@example.com",
        # What mail software decodes before it reads the address (RFC 2047).
        "=?utf-8?q?x=40evil=2eexample=3e?=a@victim.example",
        "=?UTF-8?B?eEBldmlsLmV4YW1wbGU+?=@victim.example",
        "ada=?iso-8859-1?q?x?=@victim.example",
        "=?utf-8*en?q?x?=@victim.example",
        "=?@victim.example",
        # What folding makes ASCII of: the Kelvin sign, the Greek varia and question mark, a full-width A.
        "\u212aate@example.com",
        "kate@example.\u212aiwi.com",
        "ada\u1fef@example.com",
        "ada@example.com\u037e",
        "\uff21da@example.com",
        "ada@\u0130stanbul.example",
        f"ada@{'x' * 64}.example",
        f"ada@mail.{'x' * 64}.example",
        f"ada@example.{'x' * 64}",
    ],
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with refused(Invalid, NO_ADDRESS, field="email"):
        email_address(text)


def test_an_address_is_trimmed_and_put_in_lower_case() -> None:
    assert email_address("  Ada@Example.COM ") == "ada@example.com"


def test_a_local_part_has_at_most_64_characters() -> None:
    assert email_address("a" * 64 + "@example.com")
    with refused(Invalid, NO_ADDRESS, field="email"):
        email_address("a" * 65 + "@example.com")


def test_an_address_has_at_most_254_characters() -> None:
    host = f"{'x' * 63}.{'x' * 63}.{'x' * 57}.com"
    assert len(email_address("a" * 64 + "@" + host)) == 254
    with refused(Invalid, "It must have at most 254 characters.", field="email"):
        email_address("a" * 64 + "@x" + host)


def test_a_refused_address_names_the_field_it_was_in() -> None:
    with refused(Invalid, NO_ADDRESS, field="invitee"):
        email_address("ada", field="invitee")
    with refused(Invalid, "It must not be empty.", field="invitee"):
        email_address("", field="invitee")


def test_whoever_registers_has_a_clean_name_and_address() -> None:
    user_id = a_user_id()
    user = User.register(id=user_id, email=" Ada@example.com", display_name=" Ada  Lovelace ", at=NOW)
    assert user == User(
        id=user_id,
        email=Email("ada@example.com"),
        display_name="Ada  Lovelace",
        created_at=NOW,
        events=(UserRegistered(at=NOW, user_id=user_id),),
    )


@pytest.mark.parametrize("name", ["\u3164", "\u2800", "\u0301"])
def test_a_name_can_be_seen(name: str) -> None:
    with refused(Invalid, "It must have a visible character.", field="display_name"):
        User.register(id=a_user_id(), email="ada@example.com", display_name=name, at=NOW)
    with refused(Invalid, "It must have a visible character.", field="display_name"):
        a_user().edit(at=LATER, display_name=name)
    assert display_name_from(name, "Ada") == "Ada"


def test_nobody_registers_without_a_name() -> None:
    with refused(Invalid, "It must not be empty.", field="display_name"):
        User.register(id=a_user_id(), email="ada@example.com", display_name=" ", at=NOW)


def test_a_name_has_at_most_80_characters() -> None:
    too_long = "It must have at most 80 characters."
    longest = User.register(id=a_user_id(), email="a@x.org", display_name="n" * 80, at=NOW)
    assert longest.display_name == "n" * 80
    with refused(Invalid, too_long, field="display_name"):
        User.register(id=a_user_id(), email="a@x.org", display_name="n" * 81, at=NOW)
    assert a_user().edit(at=LATER, display_name="n" * 80).display_name == "n" * 80
    with refused(Invalid, too_long, field="display_name"):
        a_user().edit(at=LATER, display_name="n" * 81)


def test_nobody_registers_without_an_address() -> None:
    with refused(Invalid, NO_ADDRESS, field="email"):
        User.register(id=a_user_id(), email="ada", display_name="Ada", at=NOW)


def test_a_user_can_change_their_name() -> None:
    user = a_user(display_name="Ada")
    edited = user.edit(at=LATER, display_name=" Augusta ")
    assert (edited.display_name, edited.email) == ("Augusta", user.email)
    assert edited.events == (UserEdited(at=LATER, user_id=user.id),)


def test_a_user_can_change_their_address() -> None:
    user = a_user(display_name="Ada")
    edited = user.edit(at=LATER, email="Augusta@Example.com")
    assert (edited.email, edited.pending_email) == (user.email, "augusta@example.com")
    assert edited == replace(user, pending_email=Email("augusta@example.com"), events=edited.events)
    assert edited.events == (
        EmailChangeRequested(at=LATER, user_id=user.id),
        UserEdited(at=LATER, user_id=user.id),
    )


def test_changing_both_is_one_edit() -> None:
    user = a_user()
    edited = user.edit(at=LATER, email="augusta@example.com", display_name="Augusta")
    assert (edited.display_name, edited.pending_email) == ("Augusta", "augusta@example.com")
    assert edited.events == (
        EmailChangeRequested(at=LATER, user_id=user.id),
        UserEdited(at=LATER, user_id=user.id),
    )


def test_an_edit_that_changes_nothing_is_no_fact() -> None:
    user = a_user(email=Email("ada@example.com"), display_name="Ada")
    assert user.edit(at=LATER) is user
    assert user.edit(at=LATER, email="ADA@example.com ", display_name=" Ada") is user


def test_an_edit_obeys_the_rules_of_registering() -> None:
    with refused(Invalid, "It must not be empty.", field="display_name"):
        a_user().edit(at=LATER, display_name="")
    with refused(Invalid, NO_ADDRESS, field="email"):
        a_user().edit(at=LATER, email="nobody")


# ── addresses that were proved ───────────────────────────────────────────────────────────────────


ADA, AUGUSTA = Email("ada@example.com"), Email("augusta@example.com")


def test_another_address_is_pending_and_the_one_so_far_stays_proved() -> None:
    user = a_user(email=ADA, email_verified_at=NOW)
    assert (user.verified_email, user.email_to_verify) == (ADA, None)
    moving = user.edit(at=LATER, email=AUGUSTA)
    assert (moving.email, moving.email_verified_at, moving.verified_email) == (ADA, NOW, ADA)
    assert (moving.pending_email, moving.email_to_verify) == (AUGUSTA, AUGUSTA)


def test_what_is_to_be_proved_is_the_pending_address_else_one_that_was_only_claimed() -> None:
    claimed, unknown = a_user(email=ADA), replace(a_user(), email=None)
    assert (claimed.verified_email, claimed.email_to_verify) == (None, ADA)
    assert claimed.edit(at=LATER, email=AUGUSTA).email_to_verify == AUGUSTA
    assert (unknown.verified_email, unknown.email_to_verify) == (None, None)
    assert unknown.edit(at=LATER, email=AUGUSTA).email_to_verify == AUGUSTA


def test_the_pending_address_again_is_no_change_and_another_one_takes_its_place() -> None:
    user = a_user(email=ADA, pending_email=AUGUSTA)
    assert user.edit(at=LATER, email=" Augusta@example.com") is user
    other = user.edit(at=LATER, email="countess@example.com")
    assert (other.email, other.pending_email) == (ADA, "countess@example.com")
    assert EmailChangeRequested(at=LATER, user_id=user.id) in other.events


def test_with_the_present_address_nothing_is_pending_any_more() -> None:
    user = a_user(email=ADA, pending_email=AUGUSTA)
    kept = user.edit(at=LATER, email="ADA@example.com")
    assert (kept.email, kept.pending_email) == (ADA, None)
    assert kept.events == (
        EmailChangeWithdrawn(at=LATER, user_id=user.id),
        UserEdited(at=LATER, user_id=user.id),
    )
    assert a_user(email=ADA).keep_email(at=LATER).events == ()


@pytest.mark.parametrize(("verified_at", "formerly"), [(NOW, ADA), (None, None)])
def test_a_pending_address_that_is_proved_takes_the_place_of_the_one_so_far(
    verified_at: datetime | None, formerly: Email | None
) -> None:
    user = a_user(email=ADA, email_verified_at=verified_at, pending_email=AUGUSTA)
    moved = user.take_pending_email(at=LATER)
    assert (moved.email, moved.email_verified_at, moved.pending_email) == (AUGUSTA, LATER, None)
    assert moved.events == (
        EmailChanged(at=LATER, user_id=user.id, formerly=formerly),
        EmailVerified(at=LATER, user_id=user.id),
    )
    assert moved.take_pending_email(at=LATER) is moved


def test_who_takes_the_address_back_has_it_as_it_was() -> None:
    user = a_user(email=ADA, email_verified_at=NOW)
    pending = replace(user, pending_email=AUGUSTA)
    kept = pending.take_email_back(ADA, at=LATER)
    assert kept == user.recording(EmailChangeWithdrawn(at=LATER, user_id=user.id))
    moved = a_user(email=AUGUSTA, email_verified_at=NOW, pending_email=Email("countess@example.com"))
    back = moved.take_email_back(ADA, at=LATER)
    assert (back.email, back.email_verified_at, back.pending_email) == (ADA, LATER, None)
    assert back.events == (EmailChanged(at=LATER, user_id=moved.id, formerly=AUGUSTA),)
    assert user.take_email_back(ADA, at=LATER) is user


def test_the_same_address_in_another_spelling_stays_proved() -> None:
    user = a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    edited = user.edit(at=LATER, email=" ADA@example.com", display_name="Augusta")
    assert edited.email_verified_at == NOW


def test_whoever_registers_has_proved_nothing_yet() -> None:
    user = User.register(id=a_user_id(), email="ada@example.com", display_name="Ada", at=NOW)
    assert (user.email_verified_at, user.roles, user.suspended_at) == (None, (), None)


# ── people whom a provider vouches for ───────────────────────────────────────────────────────────


def test_whoever_is_admitted_is_a_new_user() -> None:
    user_id, email = a_user_id(), Email("ada@example.com")
    user = User.admit(id=user_id, email=email, email_verified=True, name="Ada Lovelace", at=NOW)
    assert user == User(
        id=user_id,
        email=email,
        email_verified_at=NOW,
        display_name="Ada Lovelace",
        created_at=NOW,
        events=(UserRegistered(at=NOW, user_id=user_id),),
    )


def test_no_address_is_no_verified_address() -> None:
    user = User.admit(id=a_user_id(), email=None, email_verified=True, name=None, at=NOW)
    assert (user.email, user.email_verified_at, user.display_name) == (None, None, "User")


def test_an_address_that_was_only_claimed_is_not_verified() -> None:
    email = Email("ada@example.com")
    user = User.admit(id=a_user_id(), email=email, email_verified=False, name=None, at=NOW)
    assert (user.email, user.email_verified_at, user.display_name) == (email, None, "ada")


@pytest.mark.parametrize(
    ("offered", "shown"),
    [
        (("Ada Lovelace", "ada"), "Ada Lovelace"),
        ((None, "ada"), "ada"),
        (("", "ada"), "ada"),
        ((" \n", "ada"), "ada"),
        (("\u200b", "ada"), "ada"),
        (("Ada\nLovelace\x00", "ada"), "AdaLovelace"),
        (("Ada\u202eLovelace", "ada"), "AdaLovelace"),
        (("n" * 79 + "  n", "ada"), "n" * 79),
        (("n" * 500, "ada"), "n" * 80),
        (("e\u0301" * 80, "ada"), "é" * 80),
        (("\u0958" * 80, "ada"), "\u0915\u093c" * 40),
        ((None, None), "User"),
        ((), "User"),
    ],
)
def test_a_name_that_nobody_can_correct_is_made_to_fit(offered: tuple[str | None, ...], shown: str) -> None:
    assert display_name_from(*offered) == shown


def test_half_a_surrogate_pair_is_left_out_of_a_name() -> None:
    assert display_name_from("Ada \ud800Lovelace", "ada") == "Ada Lovelace"


@given(name=st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
def test_every_name_that_a_provider_may_send_becomes_one_that_the_rules_permit(name: str) -> None:
    shown = display_name_from(name)
    assert line(shown, field="display_name", most=DISPLAY_NAME_MOST) == shown


# ── suspension and roles ─────────────────────────────────────────────────────────────────────────


def test_a_suspended_user_is_refused_until_restored() -> None:
    user, admin = a_user(), a_user_id()
    user.ensure_active()
    suspended = user.suspend(by=admin, at=LATER)
    assert suspended.suspended_at == LATER
    assert suspended.events == (UserSuspended(at=LATER, user_id=user.id, by=admin),)
    with refused(Suspended):
        suspended.ensure_active()
    restored = suspended.restore(by=admin, at=LATER)
    assert restored.suspended_at is None
    assert restored.events[1:] == (UserRestored(at=LATER, user_id=user.id, by=admin),)
    restored.ensure_active()


def test_suspending_and_restoring_twice_is_no_second_fact() -> None:
    user, suspended = a_user(), a_user(suspended_at=NOW)
    assert suspended.suspend(by=None, at=LATER) is suspended
    assert user.restore(by=None, at=LATER) is user


def test_nobody_suspends_themselves() -> None:
    user = a_user()
    with refused(OwnAccount, "Ask another user who may."):
        user.suspend(by=user.id, at=LATER)


def test_roles_are_kept_in_one_order_and_once() -> None:
    user, admin = a_user(), a_user_id()
    both = (GlobalRole.SUPPORT, GlobalRole.ADMIN)
    changed = user.change_roles([GlobalRole.ADMIN, GlobalRole.SUPPORT, GlobalRole.ADMIN], by=admin, at=LATER)
    assert changed.roles == both
    assert changed.events == (RolesChanged(at=LATER, user_id=user.id, roles=both, by=admin),)
    assert changed.change_roles((), by=admin, at=LATER).roles == ()


def test_the_same_roles_are_no_change() -> None:
    user = a_user(roles=(GlobalRole.SUPPORT, GlobalRole.ADMIN))
    assert user.change_roles([GlobalRole.ADMIN, GlobalRole.SUPPORT], by=None, at=LATER) is user


def test_nobody_changes_their_own_roles() -> None:
    user = a_user()
    with refused(OwnAccount, "Ask another user who may."):
        user.change_roles([GlobalRole.ADMIN], by=user.id, at=LATER)


def test_that_a_user_became_part_of_another_is_a_fact() -> None:
    user, other = a_user(), a_user_id()
    absorbed = user.be_absorbed(into=other, at=LATER)
    assert absorbed == user.recording(UserAbsorbed(at=LATER, user_id=user.id, into=other))


def test_who_proves_their_address_has_proved_it_from_then_on() -> None:
    user = a_user()
    proved = user.verify_email(at=LATER)
    assert proved.email_verified_at == LATER
    assert proved.events == (EmailVerified(at=LATER, user_id=user.id),)


def test_who_has_proved_it_or_has_none_has_nothing_to_prove() -> None:
    proved, without = a_user(email_verified_at=NOW), replace(a_user(), email=None)
    assert proved.verify_email(at=LATER) is proved
    assert without.verify_email(at=LATER) is without


@pytest.mark.parametrize("verified_at", [NOW, None])
@pytest.mark.parametrize("suspended_at", [NOW, None])
def test_of_a_deleted_account_the_id_is_left_and_nobody_gets_in(
    verified_at: datetime | None, suspended_at: datetime | None
) -> None:
    user = replace(
        a_user(
            email_verified_at=verified_at,
            pending_email=Email("augusta@example.com"),
            roles=(GlobalRole.ADMIN,),
            suspended_at=suspended_at,
        ),
        version=3,
    )
    deleted = user.delete(by=None, at=LATER)
    told = user.email if verified_at else None
    assert deleted == User(
        id=user.id,
        email=None,
        display_name=DELETED,
        created_at=user.created_at,
        suspended_at=suspended_at or LATER,
        deleted_at=LATER,
        version=3,
        events=(UserDeleted(at=LATER, user_id=user.id, by=None, email=told),),
    )
    with refused(Suspended):
        deleted.ensure_active()


def test_what_is_deleted_stays_as_it_is() -> None:
    deleted = a_user().delete(by=None, at=NOW)
    for change in (deleted.delete, deleted.restore, deleted.suspend):
        with refused(AccountDeleted):
            change(by=None, at=LATER)
    with refused(AccountDeleted):
        deleted.change_roles([GlobalRole.ADMIN], by=None, at=LATER)
