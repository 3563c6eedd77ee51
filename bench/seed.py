"""What is measured on: a workspace with 20 members, 100,000 orders of the last year, and notes on them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.kernel.aggregate import new_id

ORDERS = 100_000
MEMBERS = 20
NOTES = 50_000

# fmt: off
_WORDS = (
    "review", "draft", "invoice", "contract", "meeting", "customer", "report", "deploy", "release",
    "pipeline", "budget", "onboarding", "interview", "metrics", "forecast", "payment", "refund",
    "backup", "migration", "schema", "index", "cache", "retry", "timeout", "newsletter", "campaign",
    "landing", "page", "pricing", "support", "ticket", "escalation", "audit", "policy", "renewal",
)
# fmt: on
_LABELS = ("bug", "customer", "design", "docs", "finance", "infra", "legal", "ops", "research", "urgent-fix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the tables of orders and of notes on them are called, where they are shaped as the specimen's."""

    plural: str
    singular: str
    below: str

    @property
    def entity(self) -> str:
        return "".join(word.capitalize() for word in self.singular.split("_"))


async def seed(
    connection: "asyncpg.Connection[asyncpg.Record]", shape: Shape, *, owner: UUID, workspace: UUID
) -> list[UUID]:
    """Fills the tables around a workspace that its owner has made; returns the ids of the orders."""
    chance = random.Random(2026)
    now = datetime.now(UTC)
    people = [owner, *(new_id(now) for _ in range(MEMBERS - 1))]

    async def copy(table: str, columns: str, rows: Iterator[tuple[Any, ...]]) -> None:
        await connection.copy_records_to_table(table, columns=columns.split(), records=rows)

    await copy("users", "id email display_name created_at version", _users(people[1:], now))
    roles = ["admin", "admin", *["member"] * 15, "viewer", "viewer"]
    await copy(
        "memberships",
        "id workspace_id user_id role joined_at version",
        ((new_id(now), workspace, user, role, now, 1) for user, role in zip(people[1:], roles, strict=True)),
    )
    orders = list(_orders(chance, workspace, people, now))
    await copy(
        shape.plural,
        "id created_at title description workspace_id created_by status priority due_at assignee_id labels "
        "updated_at finished_at version",
        iter(orders),
    )
    await copy(
        shape.below,
        f"id {shape.singular}_id workspace_id author_id body created_at version",
        _notes(chance, orders, workspace, people, now),
    )
    # What autovacuum would have done in a year.
    await connection.execute("VACUUM ANALYZE")
    return [order[0] for order in orders]


def _users(ids: list[UUID], now: datetime) -> Iterator[tuple[Any, ...]]:
    for number, id in enumerate(ids, start=1):
        yield id, f"member-{number}@example.com", f"Member {number}", now, 1


def _orders(
    chance: random.Random, workspace: UUID, people: list[UUID], now: datetime
) -> Iterator[tuple[Any, ...]]:
    """Older orders are done or cancelled; some people have several times the work of others."""
    shares = [1 / rank for rank in range(1, len(people) + 1)]
    year = timedelta(days=365)
    for number in range(ORDERS):
        created_at = now - year * (1 - number / ORDERS)
        age = (now - created_at) / year
        closed = chance.random() < 0.3 + 0.65 * age
        status = chance.choices(
            ("done", "cancelled") if closed else ("open", "in_progress"), (8, 1) if closed else (3, 1)
        )[0]
        updated_at = created_at + (now - created_at) * chance.random() ** 3
        yield (
            new_id(created_at),
            created_at,
            f"{_text(chance, 3, 7).capitalize()} #{number}",
            _text(chance, 5, 60) if chance.random() < 0.6 else "",
            workspace,
            chance.choice(people),
            status,
            chance.choices(("low", "normal", "high", "urgent"), (20, 55, 20, 5))[0],
            created_at + timedelta(hours=chance.randint(24, 2000)) if chance.random() < 0.6 else None,
            chance.choices(people, shares)[0] if chance.random() < 0.8 else None,
            sorted(chance.sample(_LABELS, chance.choice((0, 0, 1, 1, 2, 3)))),
            updated_at,
            updated_at if status == "done" else None,
            1,
        )


def _notes(
    chance: random.Random, orders: list[tuple[Any, ...]], workspace: UUID, people: list[UUID], now: datetime
) -> Iterator[tuple[Any, ...]]:
    for order_id, created_at, *_ in chance.choices(orders, k=NOTES):
        at = created_at + (now - created_at) * chance.random()
        yield new_id(at), order_id, workspace, chance.choice(people), _text(chance, 5, 40), at, 1


def _text(chance: random.Random, least: int, most: int) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(least, most)))


def new_order(chance: random.Random) -> dict[str, object]:
    """The body of a request that creates an order like these."""
    return {
        "title": _text(chance, 3, 7).capitalize(),
        "description": _text(chance, 5, 60),
        "priority": chance.choice(("low", "normal", "high")),
        "due_at": f"2030-0{chance.randint(1, 9)}-{chance.randint(10, 28)}T12:00:00Z",
        "labels": sorted(chance.sample(_LABELS, 2)),
    }
