"""Every refusal belongs to a category and explains itself."""

import importlib
import pkgutil

import pytest

import domain
from domain.kernel.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    Stale,
    Unauthenticated,
)
from domain.kernel.workspaces import SlugTaken

CATEGORIES = (Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Limited, Stale)


def all_errors() -> list[type[DomainError]]:
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        importlib.import_module(module.name)
    found, unseen = [], [DomainError]
    while unseen:
        children = unseen.pop().__subclasses__()
        found += children
        unseen += children
    return found


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_is_of_exactly_one_category(error: type[DomainError]) -> None:
    assert sum(issubclass(error, category) for category in CATEGORIES) == 1


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_title_of_its_own(error: type[DomainError]) -> None:
    assert error.__doc__
    assert error.__doc__ != error.__base__.__doc__


def test_an_error_carries_its_detail() -> None:
    error = SlugTaken("It belongs to another team.")
    assert error.detail == "It belongs to another team."
    assert str(error) == "It belongs to another team."


def test_an_error_needs_no_detail() -> None:
    assert SlugTaken().detail == ""
    assert str(SlugTaken()) == ""


def test_an_invalid_request_names_the_field_that_has_to_change() -> None:
    error = Invalid("It must not be empty.", field="title")
    assert (error.detail, error.field) == ("It must not be empty.", "title")
    assert str(error) == "It must not be empty."


def test_an_invalid_request_need_not_be_about_one_field() -> None:
    assert Invalid("The two contradict each other.").field is None
