"""Notes over HTTP."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from kernel.world.builders import Team

FULL: dict[str, Any] = {
    "title": "First title",
    "body": "The first body.\nOn two lines.",
}
SHOWN: dict[str, Any] = {
    "title": "First title",
    "body": "The first body.\nOn two lines.",
}
LEAST: dict[str, Any] = {
    "title": "First title",
}
OTHER: dict[str, Any] = {
    "title": "Other title",
    "body": "Another body.",
}
OTHER_SHOWN: dict[str, Any] = {
    "title": "Other title",
    "body": "Another body.",
}


@pytest.fixture
def notes(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/notes"


async def test_it_is_created_and_shown(member: AsyncClient, viewer: AsyncClient, notes: str) -> None:
    created = await member.post(notes, json=FULL)
    assert created.status_code == 201, created.text
    assert created.json() == created.json() | SHOWN
    address = created.headers["location"]
    assert (await viewer.get(address)).json() == created.json()

    listed = await viewer.get(notes)
    assert [each["id"] for each in listed.json()["items"]] == [created.json()["id"]]

    patched = await member.patch(address, json=OTHER)
    assert patched.status_code == 200, patched.text
    assert patched.json() == created.json() | OTHER_SHOWN | {
        "updated_at": patched.json()["updated_at"],
        "version": 2,
    }

    assert (await member.delete(address)).status_code == 204
    assert (await viewer.get(address)).status_code == 404


@pytest.mark.parametrize("missing", LEAST)
async def test_what_is_required_must_be_sent(missing: str, member: AsyncClient, notes: str) -> None:
    assert (await member.post(notes, json=LEAST)).status_code == 201
    sent = {name: value for name, value in LEAST.items() if name != missing}
    refused = await member.post(notes, json=sent)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{missing}")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=first", True),
        ("q=nowhere", False),
    ],
)
async def test_a_filter_lets_through_what_it_names(
    query: str, names: bool, member: AsyncClient, notes: str
) -> None:
    created = await member.post(notes, json=FULL)
    assert created.status_code == 201, created.text
    found = await member.get(f"{notes}?{query}")
    assert found.status_code == 200, found.text
    assert bool(found.json()["items"]) is names
