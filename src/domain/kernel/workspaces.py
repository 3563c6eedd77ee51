"""Workspaces: the tenants that everything else belongs to."""

import re
import secrets
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType, Self, TypedDict, Unpack
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Invalid, NotFound
from domain.kernel.text import line
from domain.kernel.users import UserId

WorkspaceId = NewType("WorkspaceId", UUID)

NAME_MOST = 80
SLUG_MOST = 40
SLUG_PATTERN = r"[a-z0-9]+(-[a-z0-9]+)*"

_MARK_LENGTH = 6
_MARK_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another


class WorkspaceNotFound(NotFound, of=WorkspaceId):
    """There is no such workspace, or you are not a member of it."""


class SlugTaken(Conflict):
    """Another workspace has this slug."""


class WorkspaceArchived(Conflict):
    """The workspace is archived and can only be read."""


class WorkspaceNotArchived(Conflict):
    """The workspace is not archived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceCreated(Event):
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRenamed(Event):
    workspace_id: WorkspaceId
    name: str
    slug: str
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceWasArchived(Event):
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRestored(Event):
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceDeleted(Event):
    workspace_id: WorkspaceId
    by: UserId


class WorkspaceChanges(TypedDict, total=False):
    """What of a workspace can change; what is absent stays."""

    name: str
    slug: str


def slug_of(name: str) -> str:
    """A slug made from a name: `Café Zürich` gives `cafe-zurich`. Empty where no letter is Latin."""
    ascii_letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", ascii_letters))[:SLUG_MOST].strip("-")


def marked_slug(slug: str) -> str:
    """The slug with letters by chance behind it, for a name whose own slug is another workspace's."""
    mark = "".join(secrets.choice(_MARK_LETTERS) for _ in range(_MARK_LENGTH))
    return f"{slug[: SLUG_MOST - _MARK_LENGTH - 1].rstrip('-')}-{mark}"


def _slug_from(name: str) -> str:
    slug = slug_of(name)
    if not slug:
        raise Invalid("None can be made from this name; choose one.", field="slug")
    return slug


def _valid_slug(slug: str) -> str:
    if len(slug) > SLUG_MOST or not re.fullmatch(SLUG_PATTERN, slug):
        detail = f"It must have 1 to {SLUG_MOST} lower-case letters, digits and single hyphens between them."
        raise Invalid(detail, field="slug")
    return slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(Aggregate):
    """A tenant. Its slug is unique in the whole service; an archived one is read-only."""

    id: WorkspaceId
    name: str
    slug: str
    created_at: datetime
    archived_at: datetime | None = None

    @classmethod
    def create(cls, *, id: WorkspaceId, name: str, slug: str | None, by: UserId, at: datetime) -> Self:
        """Without a `slug` one is made from the name."""
        name = line(name, field="name", most=NAME_MOST)
        return cls(
            id=id,
            name=name,
            slug=_valid_slug(slug) if slug is not None else _slug_from(name),
            created_at=at,
            events=(WorkspaceCreated(at=at, workspace_id=id, by=by),),
        )

    def with_marked_slug(self) -> Self:
        """A new workspace that gives way to the one that has its slug."""
        return replace(self, slug=marked_slug(self.slug))

    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[WorkspaceChanges]) -> Self:
        self.ensure_writable()
        name = line(changes["name"], field="name", most=NAME_MOST) if "name" in changes else self.name
        slug = _valid_slug(changes["slug"]) if "slug" in changes else self.slug
        if (name, slug) == (self.name, self.slug):
            return self
        renamed = WorkspaceRenamed(at=at, workspace_id=self.id, name=name, slug=slug, by=by)
        return replace(self, name=name, slug=slug).recording(renamed)

    def archive(self, *, by: UserId, at: datetime) -> Self:
        self.ensure_writable()
        archived = WorkspaceWasArchived(at=at, workspace_id=self.id, by=by)
        return replace(self, archived_at=at).recording(archived)

    def restore(self, *, by: UserId, at: datetime) -> Self:
        if self.archived_at is None:
            raise WorkspaceNotArchived(f"{self.name!r} is in use.")
        return replace(self, archived_at=None).recording(
            WorkspaceRestored(at=at, workspace_id=self.id, by=by)
        )

    def delete(self, *, by: UserId, at: datetime) -> Self:
        """An archived workspace can be deleted too: that is what archiving often leads to."""
        return self.recording(WorkspaceDeleted(at=at, workspace_id=self.id, by=by))

    def ensure_writable(self) -> None:
        if self.archived_at is not None:
            raise WorkspaceArchived(f"{self.name!r} was archived; it can be restored.")
