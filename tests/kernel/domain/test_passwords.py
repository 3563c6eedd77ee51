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
        "!!?##!$?!#$?!!$#+",
        "3.14159265358979",
        "password manager in the attic",
        "Ada walks home along the river",
        "abcdefg is how it began",
        "correct horse battery stapler",
        "kqzvwjxh48213957",
        "a summer of 2026 in the old mill",
        "correct horse 1, correct horse 2, stapler",
        "lanternlantern driftwood",
        "violetkettle2026",
        # made by chance: with all signs, in base 32 and 16
        *("7wL2pXq9ZrT4vNb", ")Y=`9+@|%+uuN4X=", "+}<8>47&$Q|-Ocv+", "115mtre3tw7xi686", "2ffd555b714b2121"),
        "four were weeds in the pool",
        "Zürich 8001 bei Nacht und Nebel",
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
        "dolphins77dolphins77",
        "Dolphins77! dolphins77!",
        "quietlantern" * 2,
        "quietlantern" * 3 + "quiet",
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
        "zaq1xsw2cde3vfr4",
        "2wsxzaq13edcxsw2",
        "qweasdzxcqweasd",
        "qweasd123zxc123qwe",
        "147258369 741852963",
        "poiuytrewqlkjhgfdsa",
        "q1w2e3r4t5y6u7i8",
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


@pytest.mark.parametrize(
    "password",
    [
        # a common word, with digits
        *(
            "password12345678",
            "Password123456789",
            "12345678password",
            "password-20262027",
            "password1password2",
        ),
        *(
            "p@ssw0rd12345678",
            "P@$$w0rd20242025",
            "pa55word12345678",
            "letmein1234567890",
            "iloveyou12345678",
        ),
        *(
            "Welcome123456789",
            "admin1234567890!",
            "qwerty1234567890",
            "dragon1122334455",
            "monkey131313131313",
        ),
        # a season, a month or a day, with a year
        *(
            "summer2026summer2026",
            "Summer2026!Summer2026!",
            "summer2026winter2025",
            "Winter2026Winter!",
            "spring20252026spring",
        ),
        *(
            "January2026January",
            "monday2026tuesday",
            "Sommer2026Herbst2026",
            "Dezember2026!!!",
            "2026august2026august",
        ),
        # any word, with a row of digits, a year or a date
        *(
            "michelle12345678",
            "liverpool2019!!",
            "charlotte151189",
            "elephant19851985",
            "\u05e9\u05dc\u05d5\u05de\u05d9\u05ea123456789",
        ),
        *(
            "manchester20242025",
            "kraken7kraken8kraken9",
            "butterfly000000",
            "chocolate123321",
            "2019barcelona2019",
        ),
        # on the keyboard
        *("qwertyuiop123456", "asdfghjkl12345678", "passwordqwertyuiop", "zaq12wsxpassword1"),
        # what everybody knows of the user
        *("adalovelace12345678", "Loomworks20262026", "l00mworks12345678"),
    ],
)
def test_what_guessers_make_long_passwords_of_is_no_password(password: str) -> None:
    with pytest.raises(Invalid, match=r"^It must (not be|not repeat|be more than)"):
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
