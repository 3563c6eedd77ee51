"""Workspaces: names, slugs, and what archiving means."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.errors import Invalid
from domain.kernel.workspaces import (
    Workspace,
    WorkspaceArchived,
    WorkspaceCreated,
    WorkspaceDeleted,
    WorkspaceNotArchived,
    WorkspaceRenamed,
    WorkspaceRestored,
    WorkspaceWasArchived,
    slug_of,
)
from kernel.world.builders import NOW, a_user_id, a_workspace, a_workspace_id
from kernel.world.refusals import refused

LATER = NOW + timedelta(days=1)
ADA = a_user_id()
NO_SLUG = "It must have 1 to 40 lower-case letters, digits and single hyphens between them."


def create(name: str, slug: str | None = None) -> Workspace:
    return Workspace.create(id=a_workspace_id(), name=name, slug=slug, by=ADA, at=NOW)


# ── slugs ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Analytical Engines", "analytical-engines"),
        ("Café Zürich", "cafe-zurich"),
        ("  A -- B__C!  ", "a-b-c"),
        ("Straße 7", "strae-7"),
        ("№ 1", "no-1"),
        ("日本", ""),
        ("a" * 50, "a" * 40),
        ("a" * 39 + " " + "b", "a" * 39),
    ],
)
def test_a_slug_is_made_of_the_latin_letters_and_digits_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@given(name=st.text(max_size=100))
def test_a_slug_made_from_a_name_is_valid_or_empty(name: str) -> None:
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug_of(name))
    assert len(slug_of(name)) <= 40


@given(name=st.text(max_size=100))
def test_a_slug_is_its_own_slug(name: str) -> None:
    assert slug_of(slug_of(name)) == slug_of(name)


@pytest.mark.parametrize("slug", ["a", "7", "a-b", "a-1-b-2", "x" * 40])
def test_a_slug_can_be_chosen(slug: str) -> None:
    assert create("Engines", slug).slug == slug
    assert a_workspace().edit(by=ADA, at=LATER, slug=slug).slug == slug


@pytest.mark.parametrize("slug", ["", "A", "-a", "a-", "a--b", "a b", "ä", "a\n", "x" * 41])
def test_a_chosen_slug_must_be_a_slug_already(slug: str) -> None:
    with refused(Invalid, NO_SLUG, field="slug"):
        create("Engines", slug)
    with refused(Invalid, NO_SLUG, field="slug"):
        a_workspace().edit(by=ADA, at=LATER, slug=slug)


def test_a_name_without_latin_letters_needs_a_chosen_slug() -> None:
    with refused(Invalid, "None can be made from this name; choose one.", field="slug"):
        create("日本")
    assert create("日本", "nihon").slug == "nihon"


@pytest.mark.parametrize("name", ["Engines", "a", "a" * 80, "a" * 32 + " b", "a" * 33 + " b", "a-" * 20])
def test_a_slug_that_gives_way_is_another_and_valid(name: str) -> None:
    made = create(name)
    marked = [made.with_marked_slug().slug for _ in range(20)]
    assert len({made.slug, *marked}) == 21
    for slug in marked:
        assert create("x", slug).slug == slug
        assert slug.startswith(made.slug[:32])


# ── creating and renaming ────────────────────────────────────────────────────────────────────────


def test_a_new_workspace_has_a_slug_made_from_its_name() -> None:
    workspace_id = a_workspace_id()
    workspace = Workspace.create(id=workspace_id, name=" Café Zürich ", slug=None, by=ADA, at=NOW)
    assert workspace == Workspace(
        id=workspace_id,
        name="Café Zürich",
        slug="cafe-zurich",
        created_at=NOW,
        archived_at=None,
        events=(WorkspaceCreated(at=NOW, workspace_id=workspace_id, by=ADA),),
    )


def test_a_name_has_1_to_80_characters() -> None:
    assert create("n" * 80).name == "n" * 80
    assert a_workspace().edit(by=ADA, at=LATER, name="n" * 80).name == "n" * 80
    for name, detail in (("", "It must not be empty."), ("n" * 81, "It must have at most 80 characters.")):
        with refused(Invalid, detail, field="name"):
            create(name)
        with refused(Invalid, detail, field="name"):
            a_workspace().edit(by=ADA, at=LATER, name=name)


def test_renaming_keeps_the_slug_that_links_lead_to() -> None:
    workspace = a_workspace(name="Engines", slug="engines")
    renamed = workspace.edit(by=ADA, at=LATER, name=" Looms ")
    assert (renamed.name, renamed.slug) == ("Looms", "engines")
    assert renamed.events == (
        WorkspaceRenamed(at=LATER, workspace_id=workspace.id, name="Looms", slug="engines", by=ADA),
    )


def test_a_slug_can_change_alone() -> None:
    workspace = a_workspace(name="Engines", slug="engines")
    renamed = workspace.edit(by=ADA, at=LATER, slug="looms")
    assert (renamed.name, renamed.slug) == ("Engines", "looms")
    assert renamed.events == (
        WorkspaceRenamed(at=LATER, workspace_id=workspace.id, name="Engines", slug="looms", by=ADA),
    )


def test_an_edit_that_changes_nothing_is_no_fact() -> None:
    workspace = a_workspace(name="Engines", slug="engines")
    assert workspace.edit(by=ADA, at=LATER) is workspace
    assert workspace.edit(by=ADA, at=LATER, name=" Engines ", slug="engines") is workspace


# ── archiving ────────────────────────────────────────────────────────────────────────────────────


def test_an_archived_workspace_knows_since_when() -> None:
    workspace = a_workspace()
    archived = workspace.archive(by=ADA, at=LATER)
    assert archived.archived_at == LATER
    assert archived.events == (WorkspaceWasArchived(at=LATER, workspace_id=workspace.id, by=ADA),)


def test_a_restored_workspace_is_in_use_again() -> None:
    workspace = a_workspace(archived_at=NOW)
    restored = workspace.restore(by=ADA, at=LATER)
    assert restored.archived_at is None
    assert restored.events == (WorkspaceRestored(at=LATER, workspace_id=workspace.id, by=ADA),)
    restored.ensure_writable()


def test_an_archived_workspace_can_neither_be_edited_nor_archived_again() -> None:
    archived = a_workspace(name="Engines", archived_at=NOW)
    detail = "'Engines' was archived; it can be restored."
    with refused(WorkspaceArchived, detail):
        archived.edit(by=ADA, at=LATER, name="Looms")
    with refused(WorkspaceArchived, detail):
        archived.archive(by=ADA, at=LATER)
    with refused(WorkspaceArchived, detail):
        archived.ensure_writable()


def test_only_an_archived_workspace_can_be_restored() -> None:
    with refused(WorkspaceNotArchived, "'Engines' is in use."):
        a_workspace(name="Engines").restore(by=ADA, at=LATER)


@pytest.mark.parametrize("archived_at", [None, NOW])
def test_a_workspace_can_be_deleted_whether_archived_or_not(archived_at: datetime | None) -> None:
    workspace = a_workspace(archived_at=archived_at)
    deleted = workspace.delete(by=ADA, at=LATER)
    assert deleted.events == (WorkspaceDeleted(at=LATER, workspace_id=workspace.id, by=ADA),)
