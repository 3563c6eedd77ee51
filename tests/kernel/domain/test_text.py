"""Text that people type: one line, or prose."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.errors import Invalid
from domain.kernel.text import URL_MOST, line, prose, tidied, web_address
from kernel.world.refusals import refused

anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)


@given(text=anything)
def test_a_line_is_accepted_as_one_trimmed_line_of_the_right_length_or_not_at_all(text: str) -> None:
    try:
        accepted = line(text, field="name", most=10)
    except Invalid:
        pass
    else:
        assert 1 <= len(accepted) <= 10
        assert accepted == accepted.strip()
        assert len(accepted.splitlines()) == 1
        assert not any(unicodedata.category(character) == "Cc" for character in accepted)
        assert unicodedata.is_normalized("NFC", accepted)
        accepted.encode()


@given(text=anything)
def test_prose_is_accepted_trimmed_and_of_the_right_length_or_not_at_all(text: str) -> None:
    try:
        accepted = prose(text, field="body", most=10, least=2)
    except Invalid:
        pass
    else:
        assert 2 <= len(accepted) <= 10
        assert accepted == accepted.strip()
        assert {c for c in accepted if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
        assert unicodedata.is_normalized("NFC", accepted)
        accepted.encode()


@given(text=anything)
def test_what_was_accepted_once_is_accepted_unchanged_again(text: str) -> None:
    for accept in (line, prose):
        try:
            accepted = accept(text, field="x", most=20)
        except Invalid:
            continue
        assert accept(accepted, field="x", most=20) == accepted


def test_surrounding_space_is_trimmed_and_inner_space_stays() -> None:
    assert line(" \t Ada  Lovelace\n", field="name", most=20) == "Ada  Lovelace"
    assert prose("\n\n Dear Charles, \n\n", field="body", most=20) == "Dear Charles,"


def test_letters_with_combining_accents_are_composed() -> None:
    assert line("Cafe\u0301", field="name", most=20) == "Caf\u00e9"
    assert prose("Cafe\u0301", field="body", most=20) == "Caf\u00e9"


def test_the_length_is_counted_after_trimming_and_composing() -> None:
    assert line("  e\u0301e\u0301e\u0301  ", field="name", most=3) == "\u00e9" * 3


def test_text_may_be_exactly_as_long_as_the_limit_and_no_longer() -> None:
    assert line("x" * 10, field="name", most=10) == "x" * 10
    assert prose("x" * 10, field="body", most=10) == "x" * 10
    with refused(Invalid, "It must have at most 10 characters.", field="name"):
        line("x" * 11, field="name", most=10)
    with refused(Invalid, "It must have at most 10 characters.", field="body"):
        prose("x" * 11, field="body", most=10)


# Normalising the second of these would take minutes.
@pytest.mark.parametrize("marks", [31, 500_000])
@pytest.mark.parametrize("pair", ["\u0316\u0301", "\u0f73", "\u0344"])
def test_no_letter_has_more_marks_than_languages_need(pair: str, marks: int) -> None:
    text = "x" * 17 + pair * marks + "x"
    with refused(Invalid, "It must have at most 30 marks on one letter.", field="body"):
        prose(text, field="body", most=len(text))
    with refused(Invalid, "It must have at most 30 marks on one letter.", field="name"):
        line(text, field="name", most=len(text))
    assert len(tidied(text, most=80)) <= 80


@pytest.mark.parametrize("before", range(31))
def test_wherever_it_stands_a_letter_may_have_30_marks_and_no_more(before: int) -> None:
    text = "x" * before + "\u0316" * 30
    assert line("o" + text, field="name", most=80) == "o" + text
    with refused(Invalid, "It must have at most 30 marks on one letter.", field="name"):
        line("o" + text + "\u0316", field="name", most=80)


def test_what_is_too_long_in_any_spelling_is_not_normalised() -> None:
    with refused(Invalid, "It must have at most 10 characters.", field="name"):
        line("x" + "\u0316\u0301" * 500_000, field="name", most=10)
    assert line("\u03b1\u0313\u0300\u0345" * 10, field="name", most=10) == "\u1f82" * 10


@pytest.mark.parametrize("text", ["", " ", "\n\t\u00a0"])
def test_a_line_must_not_be_empty(text: str) -> None:
    with refused(Invalid, "It must not be empty.", field="name"):
        line(text, field="name", most=10)


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\t", "\0", "\x1b", "\x85", "\u2028", "\u2029"])
def test_a_line_has_no_line_breaks_and_no_control_characters(separator: str) -> None:
    with refused(Invalid, "It must be one line without control characters.", field="name"):
        line(f"a{separator}b", field="name", most=10)


def test_prose_may_be_empty_unless_something_has_to_be_said() -> None:
    assert prose(" \n ", field="body", most=10) == ""
    assert prose("x", field="body", most=10, least=1) == "x"
    with refused(Invalid, "It must not be empty.", field="body"):
        prose(" \n ", field="body", most=10, least=1)


def test_prose_keeps_line_breaks_and_tabs() -> None:
    assert prose("a\n\tb\n\nc", field="body", most=10) == "a\n\tb\n\nc"


def test_windows_line_breaks_become_plain_ones() -> None:
    assert prose("a\r\nb\r\n\r\nc", field="body", most=10) == "a\nb\n\nc"


@pytest.mark.parametrize("control", ["\0", "\r", "\x1b", "\x7f", "\x85"])
def test_prose_has_no_other_control_characters(control: str) -> None:
    with refused(Invalid, "It must not contain control characters.", field="body"):
        prose(f"a{control}b", field="body", most=10)


def test_a_lone_surrogate_is_no_text() -> None:
    with refused(Invalid, "It must be valid Unicode text.", field="name"):
        line("a\ud800b", field="name", most=10)
    with refused(Invalid, "It must be valid Unicode text.", field="body"):
        prose("a\udfffb", field="body", most=10)


# Default_Ignorable_Code_Point, as far as it is of category L, N, P or S, and letters that are not drawn; a
# sample of the rest; marks that stand on nothing; and what has no character at all.
INVISIBLE = [
    *("\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\U0001d159", "\U00013441", "\U00013442"),
    *(
        "\u200b",
        "\u200d \u200b",
        "\u2060",
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u17b4",
        "\u180e",
        "\u200e",
        "\u2065",
    ),
    *("\ufe0f", "\ufeff", "\ufff0", "\U0001bca0", "\U0001d173", "\U000e0001", "\U000e0100", "\U000e0fff"),
    *("\u0301", " \u0301 ", "\u20dd", "\u093e", "\u3164\u0301", "\u200b\u0316"),
    *("\ue000", "\u0378", "\ufdd0"),
]


@pytest.mark.parametrize("text", INVISIBLE)
def test_a_line_can_be_seen(text: str) -> None:
    with refused(Invalid, "It must have a visible character.", field="name"):
        line(text, field="name", most=20)
    assert line(f"a{text}", field="name", most=20)


@pytest.mark.parametrize("text", INVISIBLE)
def test_prose_that_has_to_say_something_can_be_seen(text: str) -> None:
    with refused(Invalid, "It must have a visible character.", field="body"):
        prose(text, field="body", most=20, least=1)
    assert prose(text, field="body", most=20) == text.strip()


@pytest.mark.parametrize(
    "text", ["-", "1", "€", "…", "e\u0301", "\u2801", "\u1100", "กำ", "𓀀", "😀", "❤\ufe0f"]
)
def test_whatever_is_drawn_can_be_seen(text: str) -> None:
    assert line(text, field="name", most=20)
    assert prose(text, field="body", most=20, least=1)


@pytest.mark.parametrize(
    "control", ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]
)
def test_a_line_leaves_the_direction_of_what_stands_beside_it_alone(control: str) -> None:
    with refused(Invalid, "It must not change the direction of the text around it.", field="name"):
        line(f"Ada{control}nimda", field="name", most=20)


@pytest.mark.parametrize("text", ["עדה", "👩\u200d💻", "क\u094d\u200dष"])
def test_every_script_and_its_joiners_are_welcome_in_a_line(text: str) -> None:
    assert line(text, field="name", most=20) == text


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com",
        "http://localhost:8000/",
        "https://shop.example.com/books?page=2#top",
        "https://example.com/caf%C3%A9",
        f"https://example.com/{'x' * (URL_MOST - 20)}",
    ],
)
def test_an_address_of_the_web_is_taken_as_it_is(text: str) -> None:
    assert web_address(f" {text} ", field="home") == text


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com",
        "//example.com",
        "/books",
        "example.com",
        "https://",
        "https:///books",
        "https://ada@example.com",  # whose host some take for ada
        "https://example.com:port",
        "https://example.com/a b",
        "https://example.com/é",
        "https://ex\u0430mple.com",
        "https://.example.com",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(text: str) -> None:
    with refused(Invalid, "It must be an address such as https://example.com/page.", field="home"):
        web_address(text, field="home")


def test_an_address_of_the_web_has_its_length() -> None:
    with refused(Invalid, f"It must have at most {URL_MOST} characters.", field="home"):
        web_address(f"https://example.com/{'x' * URL_MOST}", field="home")
