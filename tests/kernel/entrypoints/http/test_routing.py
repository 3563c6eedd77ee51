"""Routes: what they show, and what they refuse to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Body, Cookie, Depends, FastAPI, Header, Query, Request, Response
from httpx2 import AsyncClient
from pydantic import BaseModel

from domain.kernel.errors import NotFound
from entrypoints.http.kernel.routing.routes import Router


@dataclass(slots=True)
class Shown:
    id: int
    name: str


@dataclass
class Entity:
    id: int
    name: str
    password_hash: str = "secret"
    events: tuple[str, ...] = ("secret",)


@pytest.fixture
def router() -> Router:
    return Router(tag="test", prefix="/test")


async def test_the_response_model_is_the_whitelist(app: FastAPI, client: AsyncClient, router: Router) -> None:
    @router.get("/entity", response_model=Shown, public=True)
    async def get_entity() -> Entity:
        return Entity(1, "name")

    app.router.routes.extend(router.routes)
    assert (await client.get("/test/entity")).json() == {"id": 1, "name": "name"}


async def test_what_is_created_is_located_by_the_answer(
    app: FastAPI, client: AsyncClient, router: Router
) -> None:
    @router.post("/entities", response_model=Shown, location="/{id}/of/{name}", public=True)
    async def post_entity() -> Entity:
        return Entity(7, "a")

    app.router.routes.extend(router.routes)
    created = await client.post("/test/entities")
    assert (created.status_code, created.headers["location"]) == (201, "/test/7/of/a")


async def test_a_parameter_is_never_empty(app: FastAPI, client: AsyncClient, router: Router) -> None:
    @router.get("/entities/{name}/parts", missing=NotFound, public=True)
    async def get_parts(name: str) -> Shown:
        return Shown(1, name)

    app.router.routes.extend(router.routes)
    assert (await client.get("/test/entities/a/parts")).json()["name"] == "a"
    assert (await client.get("/test/entities//parts")).status_code == 404


async def test_nothing_is_a_204(app: FastAPI, client: AsyncClient, router: Router) -> None:
    @router.delete("/entity", public=True)
    async def delete_entity() -> None: ...

    app.router.routes.extend(router.routes)
    answer = await client.delete("/test/entity")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


async def test_a_query_and_a_path_and_a_body_are_read_together(
    app: FastAPI, client: AsyncClient, router: Router
) -> None:
    class Filter(BaseModel):
        tag: list[str] = []
        limit: int = 1

    @router.post("/{number}", public=True, missing=NotFound)
    async def post_all(
        number: int, query: Annotated[Filter, Query()], names: Annotated[list[str], Body()]
    ) -> dict[str, Any]:
        return {"number": number, "tag": query.tag, "limit": query.limit, "names": names}

    app.router.routes.extend(router.routes)
    answer = await client.post("/test/3?tag=a&tag=b&limit=2", json=["x"])
    assert answer.json() == {"number": 3, "tag": ["a", "b"], "limit": 2, "names": ["x"]}


async def test_no_text_in_a_body_has_a_nul(app: FastAPI, client: AsyncClient, router: Router) -> None:
    @router.post("/names", public=True)
    async def post_names(names: Annotated[list[str], Body()]) -> list[str]:
        return names

    app.router.routes.extend(router.routes)
    assert (await client.post("/test/names", json=["\\u0000", "\\\\u0000"])).status_code == 200
    for name in ("\0", "a\0", "\\\0"):
        refused = await client.post("/test/names", json=["a", name])
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "nul")


def test_an_operation_is_described_by_its_use_case_or_else_by_itself(router: Router) -> None:
    async def use_case() -> None:
        """Anybody may.

        Refused at night.
        """

    @router.post("/a", use_case=use_case)
    async def post_a() -> None: ...

    @router.get("/b")
    async def get_b() -> None:
        """Everybody may."""

    assert [route.description for route in router.routes] == [
        "Anybody may.\n\nRefused at night.",
        "Everybody may.",
    ]
    assert [route.unique_id for route in router.routes] == ["post_a", "get_b"]


async def _nothing(request: Request) -> None: ...
async def _with_more(request: Request, x: int) -> None: ...
async def _nested(request: Request, below: Annotated[None, Depends(_nothing)]) -> None: ...
async def _without_request() -> None: ...
def _sync(request: Request) -> None: ...
async def _generator(request: Request) -> Any:
    yield


class Model(BaseModel):
    x: int = 0


async def by_header(x: Annotated[str, Header()]) -> None: ...
async def by_cookie(x: Annotated[str, Cookie()]) -> None: ...
async def by_request(request: Request) -> None: ...
async def by_response(response: Response) -> None: ...
async def by_background(specimen_orders: BackgroundTasks) -> None: ...
async def by_scalar_query(limit: int) -> None: ...
async def by_two_queries(a: Annotated[Model, Query()], b: Annotated[Model, Query()]) -> None: ...
async def by_two_bodies(a: Annotated[str, Body()], b: Annotated[str, Body()]) -> None: ...
async def by_more(x: Annotated[None, Depends(_with_more)]) -> None: ...
async def by_nested(x: Annotated[None, Depends(_nested)]) -> None: ...
async def by_no_request(x: Annotated[None, Depends(_without_request)]) -> None: ...
async def by_sync(x: Annotated[None, Depends(_sync)]) -> None: ...
async def by_generator(x: Annotated[None, Depends(_generator)]) -> None: ...
def sync() -> None: ...


@pytest.mark.parametrize(
    "endpoint",
    [
        by_header,
        by_cookie,
        by_request,
        by_response,
        by_background,
        by_scalar_query,
        by_two_queries,
        by_two_bodies,
        by_more,
        by_nested,
        by_no_request,
        by_sync,
        by_generator,
        sync,
    ],
)
def test_what_would_be_slow_or_not_be_read_is_refused_when_the_module_is_imported(
    router: Router, endpoint: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError, match=r"fastapi|FastAPI|async|one pydantic model"):
        router.get("/x")(endpoint)
