"""People with an account: their address, their name."""

from datetime import timedelta

import pytest

from builders import NOW, a_user, a_user_id
from domain.errors import Invalid
from domain.users import Email, User, UserEdited, UserRegistered, email_address
from refusals import refused

NO_ADDRESS = "It must be an e-mail address such as ada@example.com."
LATER = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    ["ada@example.com", "ada+engine@mail.example.co.uk", "o'hara_1@x-y.de", "a@1.2"],
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
    host = f"{'x' * 185}.com"
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
    assert (edited.display_name, edited.email) == ("Ada", "augusta@example.com")
    assert edited.events == (UserEdited(at=LATER, user_id=user.id),)


def test_changing_both_is_one_fact() -> None:
    user = a_user()
    edited = user.edit(at=LATER, email="augusta@example.com", display_name="Augusta")
    assert (edited.display_name, edited.email) == ("Augusta", "augusta@example.com")
    assert edited.events == (UserEdited(at=LATER, user_id=user.id),)


def test_an_edit_that_changes_nothing_is_no_fact() -> None:
    user = a_user(email=Email("ada@example.com"), display_name="Ada")
    assert user.edit(at=LATER) is user
    assert user.edit(at=LATER, email="ADA@example.com ", display_name=" Ada") is user


def test_an_edit_obeys_the_rules_of_registering() -> None:
    with refused(Invalid, "It must not be empty.", field="display_name"):
        a_user().edit(at=LATER, display_name="")
    with refused(Invalid, NO_ADDRESS, field="email"):
        a_user().edit(at=LATER, email="nobody")
