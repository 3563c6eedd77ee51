"""Which passwords are acceptable."""

import pytest

from domain.kernel.errors import Invalid
from domain.kernel.identity.passwords import acceptable_password
from kernel.world.refusals import refused

LENGTH = "It must have 15 to 128 characters; several words make a good one."
REPEATED = "It must not repeat the same few characters over and over."
WELL_KNOWN = "It must not be one that everybody knows."
RUN = "It must not be a row of the alphabet, of digits or of the keyboard."
GUESSABLE = "It must be more than your name, your address, the service's name and common words."

OWN = ("Loomworks", "ada.lovelace@example.com", "Countess Ada")


@pytest.mark.parametrize(
    "password",
    [
        "fifteen letters",
        "".join(chr(0x100 + number) for number in range(128)),
        "violet kettle hums at dawn",
        "look around as long as you like",
        " spaces around  ",
        "пароль из трёх слов",
        "一二三四五六七八九十百千万億兆",
        "😀😃😄😁😆😅😂🤣😊😇🙂🙃😉😌😍",
        "!?#$%&/()=+*~-_.:,;",
        "3.14159265358979",
        "password manager in the attic",
        "Ada walks home along the river",
        "abcdefg is how it began",
        "correct horse battery stapler",
    ],
)
def test_a_password_of_15_to_128_characters_is_accepted_unchanged(password: str) -> None:
    assert acceptable_password(password, words=OWN) == password


@pytest.mark.parametrize("password", ["", "x", "fourteen chars", "".join(chr(0x100 + n) for n in range(129))])
def test_a_shorter_or_longer_one_is_refused(password: str) -> None:
    with refused(Invalid, LENGTH, field="password"):
        acceptable_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "x" * 15,
        "ab" * 8,
        "xX" * 8,
        "hunter2!" * 2,
        "hunter2! hunter2! hunter2",
        "Kraken7-kraken7-KRAKEN7",
        "aabbccddaabbccdd",
        "x" * 127 + "y",
        "😀😃" * 8,
    ],
)
def test_the_same_few_characters_over_and_over_are_no_password(password: str) -> None:
    with refused(Invalid, REPEATED, field="password"):
        acceptable_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "correct-horse-battery-staple",
        "CorrectHorseBatteryStaple",
        "correcthorsebatterystaple1",
        "2024 Correct Horse Battery Staple!",
        "\uff43\uff4frrect horse battery staple",
        "To be, or not to be, that is the question.",
        "may the force be with you",
        "1q2w3e4r5t6y7u8i9o0p",
    ],
)
def test_what_everybody_knows_is_refused_in_any_spelling(password: str) -> None:
    with refused(Invalid, WELL_KNOWN, field="password"):
        acceptable_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "abcdefghijklmnopq",
        "ZYXWVUTSRQPONMLK",
        "1234567890123456",
        "qwertyuiop-asdfghjkl",
        "12345 qwerty 54321",
        "1qaz2wsx3edc4rfv",
        "йцукенгшщзхъфыва",
        "uvwxyzabcdefghij",
    ],
)
def test_a_row_of_the_alphabet_or_the_keyboard_is_no_password(password: str) -> None:
    with refused(Invalid, RUN, field="password"):
        acceptable_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "ada.lovelace@example.com",
        "Ada Lovelace 1815",
        "loomworks-password",
        "Loomworks! 2024 :-)",
        "countess lovelace",
        "password admin secret",
        "welcome, dragon master!",
    ],
)
def test_what_is_mostly_names_and_common_words_is_no_password(password: str) -> None:
    with refused(Invalid, GUESSABLE, field="password"):
        acceptable_password(password, words=OWN)


def test_another_persons_name_is_a_word_like_any_other() -> None:
    assert acceptable_password("Ada Lovelace 1815", words=("Charles Babbage", "")) == "Ada Lovelace 1815"


def test_the_field_that_is_wrong_is_named() -> None:
    with refused(Invalid, LENGTH, field="new_password"):
        acceptable_password("short", field="new_password")


@pytest.mark.parametrize("surrogate", [0xD800, 0xDBFF, 0xDFFF])
def test_a_lone_surrogate_is_no_text(surrogate: int) -> None:
    with refused(Invalid, "It must be valid Unicode text.", field="password"):
        acceptable_password("fifteen letters" + chr(surrogate))


@pytest.mark.parametrize("neighbour", ["\ud7ff", "\ue000"])
def test_the_characters_beside_the_surrogates_are_text(neighbour: str) -> None:
    assert acceptable_password("fifteen letters" + neighbour) == "fifteen letters" + neighbour


def test_of_a_name_of_a_megabyte_only_the_beginning_is_looked_at() -> None:
    marks = "x" + "\u0316\u0301" * 250_000  # to fold all of them would take minutes
    words = (marks, "ab " * 300_000, "Ada " * 2 + marks)
    assert acceptable_password("violet kettle hums at dawn", words=words)
