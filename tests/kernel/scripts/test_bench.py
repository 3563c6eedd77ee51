"""`make bench`: what is measured, by the name of a resource. The figures are for people to look at."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from bench import subjects
from bench.operations import OPERATIONS, operations_of
from bench.servers import BenchError
from bench.subjects import SPECIMEN, another, named, subject, unique_of
from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint

from kernel.specimen.resources import specimen_notes, specimen_orders


def test_without_the_example_it_is_the_specimen_with_all_goals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "EXAMPLE", "bench.gone")
    assert subject("") is SPECIMEN
    assert operations_of(SPECIMEN) == OPERATIONS


def test_the_specimen_has_its_name() -> None:
    assert subject("specimen_orders") is SPECIMEN


def test_of_a_resource_is_measured_what_its_facts_can_do_against_nothing() -> None:
    found = named("specimen_orders", specimen_orders)
    operations = operations_of(found)
    assert [*operations] == ["health", "get", "list", "deep", "create", "keyed"]
    assert {(each.goal, each.against, each.by_yardstick) for each in operations.values()} == {
        (None, None, False)
    }
    assert found.body(cast("Any", None)) == {"title": "Spin"}
    assert not operations["create"].once


def test_what_has_no_list_of_a_workspace_is_measured_one_by_one() -> None:
    assert [*operations_of(named("specimen_notes", specimen_notes))] == ["health", "get"]


@pytest.mark.parametrize("name", ["looms", "../x", "kernel"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(BenchError, match=r"^There is no tests/resources/.*: name a resource by its plural"):
        subject(name)


def test_facts_without_rows_are_refused() -> None:
    facts: Any = SimpleNamespace(__name__="resources.looms", MATRIX={}, FILL={})
    with pytest.raises(BenchError, match=r"^Of looms there is no list"):
        named("looms", facts)


def test_what_may_be_there_once_is_another_in_each_body() -> None:
    columns = [Column(name, Text) for name in ("workspace_id", "mail", "home", "title")]
    table = Table(
        "looms", MetaData(), *columns, Column("rank", Integer), UniqueConstraint("workspace_id", "mail")
    )
    assert unique_of(table) == {"workspace_id", "mail"}
    body = {"mail": "a@example.com", "home": "https://example.com", "rank": 1, "title": "Spin"}
    assert another(body, {"workspace_id", "mail", "home", "rank"}, 7) == {
        "mail": "7-a@example.com",
        "home": "https://example.com?7",
        "rank": 7,
    }
