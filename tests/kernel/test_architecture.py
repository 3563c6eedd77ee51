"""What the design promises and no linter sees; the import rules themselves are import-linter's."""

import ast
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr
from starlette.routing import BaseRoute

from entrypoints.http.kernel.document.documentation import is_public
from entrypoints.http.kernel.routing.dependencies import Actor, Bearer
from entrypoints.http.kernel.routing.routes import Route, Router
from entrypoints.settings import Settings
from kernel.specimen.service import Container, create_app

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
MODULES = sorted(SRC.rglob("*.py"))
TESTS = ROOT / "tests/kernel"
RESOURCES = sorted((SRC / "entrypoints/http/v1").glob("[!_]*.py"))


@pytest.fixture(scope="module")
def service() -> FastAPI:
    settings = Settings(database_url=SecretStr("postgresql://nobody@localhost/nothing"))
    return create_app(Container(settings=settings))


def silent_about_callers(routes: list[BaseRoute]) -> Iterator[str]:
    """The routes that say neither that a token is needed nor that anybody may call them."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            yield str(context.path)
            continue
        asks_who = any(isinstance(found.call, Bearer) for found in context.dependant.dependencies)
        if asks_who == is_public(route):
            yield f"{context.methods} {context.path}"


def test_every_route_says_who_may_call_it(service: FastAPI) -> None:
    assert list(silent_about_callers(service.routes)) == []


def test_a_route_that_says_nothing_or_both_is_found() -> None:
    router = Router(tag="test")

    @router.get("/silent")
    async def silent() -> None: ...

    @router.get("/both", public=True)
    async def both(actor: Actor) -> None: ...

    @router.get("/open", public=True)
    async def open_() -> None: ...

    @router.get("/closed")
    async def closed(actor: Actor) -> None: ...

    nested = APIRouter()

    @nested.get("/nested")
    async def in_a_nested_router() -> None: ...

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(nested)
    app.mount("/mounted", FastAPI())
    found = list(silent_about_callers([*router.routes, *app.routes]))
    assert found == ["{'GET'} /v1/silent", "{'GET'} /v1/both", "{'GET'} /nested", "/mounted"]


def test_a_body_has_the_names_that_its_use_case_takes(service: FastAPI) -> None:
    checked = 0
    for route in service.routes:
        if isinstance(route, Route) and route.use_case and route.dependant.body_params:
            body = route.dependant.body_params[0].field_info.annotation
            names, required = taken_by(route.use_case)
            assert body is not None
            assert get_type_hints(body).keys() == names, route.path
            assert body.__required_keys__ == required, route.path
            checked += 1
    assert checked >= 14


def taken_by(use_case: Callable[..., Any]) -> tuple[set[str], set[str]]:
    """The keyword arguments of a use case, and which of them it cannot do without."""
    parameters = inspect.signature(use_case).parameters.values()
    alone = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    names = {parameter.name for parameter in alone}
    required = {parameter.name for parameter in alone if parameter.default is parameter.empty}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:  # Unpack[SomeChanges]
            (changes,) = parameter.annotation.__args__
            names |= get_type_hints(changes).keys()
            required |= changes.__required_keys__
    return names, required


@pytest.mark.parametrize("module", RESOURCES, ids=lambda path: path.stem)
def test_a_route_is_one_statement(module: Path) -> None:
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            assert len(statements) == 1, f"{module.name}: {node.name}"


@pytest.mark.parametrize("module", RESOURCES, ids=lambda path: path.stem)
def test_a_resource_has_one_name_in_every_ring(module: Path) -> None:
    assert (SRC / "application/queries" / module.name).exists()
    if re.search(r"@router\.(post|put|patch|delete)", module.read_text()):  # what only asks has no rules
        assert (SRC / "application/commands" / module.name).exists()
        assert (SRC / "domain" / module.name).exists()


def test_the_services_name_stands_in_one_place() -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert [module for module in MODULES if name in module.read_text().lower()] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_opens_with_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))


def test_no_folder_is_named_after_nothing() -> None:
    vague = {"common", "core", "shared", "utils", "util", "base", "helpers", "misc", "lib"}
    folders = {path.name for path in SRC.rglob("*") if path.is_dir()}
    assert not folders & vague


# The builder's tests speak of resources that are made up, and a fork may have made the same ones.
KERNEL = [
    path
    for path in (*MODULES, *sorted(TESTS.rglob("*.py")))
    if "kernel" in path.parent.parts and path.parent != TESTS / "scripts"
]
SPECIMENS = {path.stem for path in (TESTS / "specimen/v1").glob("*.py")}
OF_THE_FORK = {module.stem for module in RESOURCES} - SPECIMENS


@pytest.mark.parametrize("module", KERNEL, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_kernel_names_no_resource_of_the_fork(module: Path) -> None:
    """By none of its modules and by none of its paths; docstrings may give examples."""
    assert not named_in(module.read_text()) & OF_THE_FORK


def test_a_resource_of_the_fork_is_found_by_module_and_path() -> None:
    assert "looms" in named_in("from domain.looms import Loom")
    assert "looms" in named_in("import adapters.postgres.looms")
    assert "looms" in named_in("from application.queries import looms")
    assert "looms" in named_in("path = f'/v1/workspaces/{workspace}/looms?sort=name'")
    assert "looms" in named_in("request = b'GET /v1/looms/1 HTTP/1.1'")
    assert named_in("import kernel.world.facts") & {"looms"} == set()


def named_in(source: str) -> set[str]:
    """The last parts of all modules that are imported, and the parts of all paths in texts."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {name.name.rpartition(".")[2] for name in names}
            case ast.ImportFrom(module=str(module), names=names):
                own = module.split(".")[0] in {"domain", "application", "adapters", "entrypoints"}
                found |= {module.rpartition(".")[2], *(name.name for name in names)} if own else set()
            case ast.Constant(value=str() | bytes() as value):
                text = value if isinstance(value, str) else value.decode("latin-1")
                found |= set(re.findall(r"/([a-z_]+)", text))
            case _:
                pass
    return found


# What upstream writes for people. What it names of the example may be gone in a fork.
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"\]\((?!https?:)([^)#]+)|`((?:src|tests|docs|scripts|clients|openapi)/[^`\s*<>{]+)`")


def test_what_the_pages_refer_to_is_there() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for link, path in NAMED.findall(page.read_text("utf-8"))
        if (name := link or path) and not ((page.parent / link if link else ROOT / path).exists())
        if link or "kernel" in Path(path).parts or path.startswith(("docs/", "scripts/"))
    ]
    assert missing == []
