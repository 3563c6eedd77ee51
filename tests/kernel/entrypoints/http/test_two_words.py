"""A resource whose name has two words is described like any other: nothing is guessed from strings."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Any, Literal, NewType, Required, TypedDict
from uuid import UUID

import jsonschema_rs
import pytest
from fastapi import Body, FastAPI
from pydantic import Field, HttpUrl, TypeAdapter

from application.kernel.example import Example
from domain.kernel.errors import NotFound
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.document.examples import example_id
from entrypoints.http.kernel.document.openapi import openapi_document
from entrypoints.http.kernel.routing.inputs import Day, Instant, JsonObject, Money, decimal_text, strict, text
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.settings import Settings

SpinningWheelId = NewType("SpinningWheelId", UUID)
OrderLineId = NewType("OrderLineId", UUID)


class SpinningWheelNotFound(NotFound, of=SpinningWheelId):
    """The spinning wheel does not exist."""


@dataclass(slots=True)
class SpinningWheelView:
    """A spinning wheel."""

    id: SpinningWheelId
    workspace_id: WorkspaceId
    ordered_by: UserId
    approver: UserId | None
    watchers: list[UserId]
    replaces: SpinningWheelId | None
    version: int


@pytest.fixture
def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    router = Router(tag="spinning wheels")

    @router.post("/workspaces/{workspace_id}/spinning_wheels", location="/spinning_wheels/{id}", public=True)
    async def create_spinning_wheel(workspace_id: WorkspaceId) -> SpinningWheelView:
        """Creates one."""
        raise NotImplementedError

    @router.get("/spinning_wheels/{spinning_wheel_id}", public=True)
    async def get_spinning_wheel(spinning_wheel_id: SpinningWheelId) -> SpinningWheelView:
        """Shows it."""
        raise NotImplementedError

    @router.delete("/spinning_wheels/{spinning_wheel_id}/lines/{line}", public=True, missing=NotFound)
    async def delete_order_line(spinning_wheel_id: SpinningWheelId, line: int) -> None:
        """Deletes a line."""

    app.router.routes.extend(router.routes)
    return openapi_document("v1", app.routes, settings)


def not_found(operation: dict[str, Any]) -> list[str]:
    return list(operation["responses"]["404"]["content"]["application/problem+json"]["examples"])


def test_what_is_not_found_is_what_the_type_of_the_last_id_names(document: dict[str, Any]) -> None:
    paths = document["paths"]
    create = paths["/v1/workspaces/{workspace_id}/spinning_wheels"]["post"]
    assert not_found(create) == ["workspace-not-found"]
    get = paths["/v1/spinning_wheels/{spinning_wheel_id}"]["get"]
    assert not_found(get) == ["spinning-wheel-not-found"]
    delete = paths["/v1/spinning_wheels/{spinning_wheel_id}/lines/{line}"]["delete"]
    assert not_found(delete) == ["not-found"]


@pytest.mark.parametrize("kind", [OrderLineId, UUID, str])
def test_a_route_that_does_not_say_what_is_not_found_is_refused_at_once(kind: Any) -> None:
    async def get_order_line(spinning_wheel_id: SpinningWheelId, line_id: Any) -> None: ...

    get_order_line.__annotations__["line_id"] = kind
    add = Router(tag="lines").get("/spinning_wheels/{spinning_wheel_id}/lines/{line_id}", public=True)
    told = (
        r"^GET /v1/spinning_wheels/{spinning_wheel_id}/lines/{line_id}: .* found by line_id\."
        rf".* class …NotFound\(NotFound, of={kind.__name__}\), or .* missing=…NotFound\.$"
    )
    with pytest.raises(TypeError, match=told):
        add(get_order_line)


def test_a_parameter_of_a_path_is_described_in_words(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/spinning_wheels/{spinning_wheel_id}/lines/{line}"]["delete"]
    told = {parameter["name"]: parameter["description"] for parameter in parameters["parameters"]}
    assert told == {"spinning_wheel_id": "The id of the spinning wheel.", "line": "Its line."}


def test_an_id_is_the_same_wherever_its_type_is(document: dict[str, Any]) -> None:
    get = document["paths"]["/v1/spinning_wheels/{spinning_wheel_id}"]["get"]
    shown = get["responses"]["200"]["content"]["application/json"]["example"]
    (asked,) = [each["example"] for each in get["parameters"] if each["in"] == "path"]
    assert shown["id"] == shown["replaces"] == asked == example_id("spinning_wheel")
    assert shown["workspace_id"] == example_id("workspace")
    assert [shown["ordered_by"], shown["approver"], *shown["watchers"]] == [example_id("user")] * 3


class Branch(TypedDict):
    """A tree."""

    branches: list["Branch"]


Branch.__annotations__["branches"] = list[Branch]
type Names = Annotated[list[str], Field(min_length=2)]


@strict
class NewThing(TypedDict, total=False):
    """Something of each kind, of which nothing says what it is like."""

    access_token: Required[int]
    title: str
    name: Annotated[str, Field(max_length=3)]
    body: Annotated[str, Field(min_length=30, max_length=40)]
    state: Literal["on", "off"]
    only: Literal["one"]
    count: Annotated[int, Field(ge=5)]
    below: Annotated[int, Field(lt=-5)]
    above: Annotated[int, Field(gt=5, multiple_of=4)]
    share: Annotated[float, Field(ge=0, le=0.5)]
    rate: Annotated[Decimal, decimal_text(4, 4)]
    fee: Annotated[Decimal, decimal_text(5, 2, least=100)] | None
    price: Money
    on: Day
    at: Instant | None
    times: list[datetime]
    names: Names
    flag: bool
    customs: JsonObject
    counts: dict[str, int]
    anything: object
    things: list[object]
    tree: Branch
    link: HttpUrl
    user_id: UserId
    colour: Annotated[str, Field(pattern="^#[0-9a-f]{6}$"), Example("#c0ffee")]
    code: Annotated[str, text(most=3, pattern="^[A-Z]+$", examples=["CHF"])]


@strict
class Painted(TypedDict):
    """Something of a colour."""

    colour: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]


def with_thing(app: FastAPI, shape: Any, settings: Settings, **options: Any) -> dict[str, Any]:
    router = Router(tag="things")

    async def create_thing(body: Any) -> SpinningWheelView:
        """Creates one."""
        raise NotImplementedError

    create_thing.__annotations__["body"] = Annotated[shape, Body()]
    create_thing.__module__ = "entrypoints.http.v1.things"
    router.post("/things", public=True, **options)(create_thing)
    app.router.routes.extend(router.routes)
    return openapi_document("v1", app.routes, settings)


@pytest.fixture(autouse=True)
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests lie in a kernel's folder; the resource is a service's own."""
    things = ModuleType("entrypoints.http.v1.things", "Things.")
    monkeypatch.setitem(sys.modules, things.__name__, things)
    for kind in (NewThing, SpinningWheelView):
        monkeypatch.setattr(kind, "__module__", things.__name__)


def test_a_member_without_an_example_has_one_that_fits(app: FastAPI, settings: Settings) -> None:
    document = with_thing(app, NewThing, settings)
    schema = {"$ref": "#/components/schemas/NewThing", "components": document["components"]}
    content = document["paths"]["/v1/things"]["post"]["requestBody"]["content"]["application/json"]
    found = content["example"]
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(found)
    assert found.keys() == NewThing.__annotations__.keys()
    assert (found["title"], found["price"], found["fee"]) == ("Title", "12.50", "100.00")
    assert (found["colour"], found["code"], found["access_token"]) == ("#c0ffee", "CHF", 1)
    assert TypeAdapter(NewThing).validate_json(json.dumps(found))


def test_a_text_with_a_pattern_and_no_example_is_named(app: FastAPI, settings: Settings) -> None:
    with pytest.raises(TypeError, match=r"Painted: colour has to match a pattern.*Example"):
        with_thing(app, Painted, settings)


def test_what_an_operation_leaves_behind_stands_at_its_route(app: FastAPI, settings: Settings) -> None:
    document = with_thing(app, list[str], settings, example={"version": 7})
    shown = document["paths"]["/v1/things"]["post"]["responses"]["200"]["content"]["application/json"]
    assert shown["example"]["version"] == 7
    assert "x-example" not in document["paths"]["/v1/things"]["post"]


def test_an_example_of_a_member_that_the_answer_has_not_is_refused(app: FastAPI, settings: Settings) -> None:
    with pytest.raises(TypeError, match=r"create_thing: example= has \['weight'\]"):
        with_thing(app, list[str], settings, example={"weight": 7})
