"""The OpenAPI document, as those read it who have nothing else: whole, true to itself, the same anywhere."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from httpx2 import AsyncClient

from entrypoints.http.kernel.document.examples import BY_NAME, example_id
from entrypoints.http.kernel.routing.problems import kinds
from entrypoints.kernel.service import SERVICE_PORT
from entrypoints.kernel.settings import defaults_of
from entrypoints.settings import Settings
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.specimen.service import Container, create_app
from kernel.world.builders import Team

type Operation = tuple[str, dict[str, Any]]


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def wrong(document: dict[str, Any], value: object, schema: dict[str, Any]) -> list[str]:
    """What does not fit, with formats and in the words of a library that knows nothing of ours."""
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def exemplified(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What must have an example, and where it is."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" or (parameter["in"] == "query" and parameter["required"]):
            yield parameter["name"], parameter
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "body", content
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            yield status, content


def unfit(document: dict[str, Any]) -> Iterator[str]:
    """Where an example is missing, or does not fit its schema."""
    for name, operation in operations(document):
        for place, part in exemplified(operation):
            examples = [part["example"]] if "example" in part else []
            for code in part.get("examples", ()):
                examples.append(document["components"]["examples"][code]["value"])
                if (examples[-1]["type"], str(examples[-1]["status"])) != (f"/problems/{code}", place):
                    yield f"{name}: {place}: {code} is another problem"
            if not examples:
                yield f"{name}: {place}: there is no example"
            for error in [
                error for example in examples for error in wrong(document, example, part["schema"])
            ]:
                yield f"{name}: {place}: {error}"


def test_every_operation_has_examples_that_fit(document: dict[str, Any]) -> None:
    assert list(unfit(document)) == []


def test_examples_are_of_one_world(document: dict[str, Any]) -> None:
    paths = document["paths"]
    (specimen_order_id,) = [
        p["example"]
        for p in paths["/v1/specimen_orders/{specimen_order_id}"]["get"]["parameters"]
        if p["in"] == "path"
    ]
    create = paths["/v1/workspaces/{workspace_id}/specimen_orders"]["post"]
    created = create["responses"]["201"]
    shown = created["content"]["application/json"]["example"]
    assert shown["id"] == specimen_order_id == example_id("specimen_order")
    assert shown["title"] == create["requestBody"]["content"]["application/json"]["example"]["title"]
    assert shown["created_by"] == shown["assignee_id"] == example_id("user")
    assert created["headers"]["Location"]["example"] == f"/v1/specimen_orders/{specimen_order_id}"


def test_the_table_of_examples_has_no_name_that_nothing_has(document: dict[str, Any]) -> None:
    """So that what a fork takes out goes from there as well."""
    schemas = document["components"]["schemas"]
    used = {f"{owner}.{name}" for owner, schema in schemas.items() for name in schema.get("properties", ())}
    used |= {place.rpartition(".")[2] for place in used}
    for _, operation in operations(document):
        used |= {parameter["name"] for parameter in operation.get("parameters", ())}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            used |= content["schema"].get("properties", {}).keys()
    assert BY_NAME.keys() - used == set()


def test_operations_have_names_that_make_good_functions(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for name, operation in operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), name
        if name.startswith("GET") and "200" in operation["responses"]:
            assert re.match(r"(get|list)_", operation["operationId"]), name
        assert re.fullmatch(r"[A-Z][A-Za-z ]+[a-zA-Z]", operation["summary"]), name


def test_everything_in_it_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"], name
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], f"{name}: {parameter['name']}"
        for status, answer in operation["responses"].items():
            assert answer["description"], f"{name}: {status}"
            for header, told in answer.get("headers", {}).items():
                shared = told.get("$ref", "").removeprefix("#/components/headers/")
                described = document["components"]["headers"][shared] if shared else told
                assert described["description"], f"{name}: {status}: {header}"
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert {tag["name"] for tag in document["tags"] if tag["description"]} == used
    assert (
        document["components"]["schemas"]
        .keys()
        .isdisjoint({"Page_SpecimenOrderView_", "Sort_SpecimenOrderSortKey_"})
    )


def test_a_parameter_is_as_it_is_written_in_an_address(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            assert "anyOf" not in schema, f"{name}: {parameter['name']}"
            if "default" in schema:
                assert wrong(document, schema["default"], schema) == [], f"{name}: {parameter['name']}"
    (sort,) = [
        parameter["schema"]["default"]
        for parameter in document["paths"]["/v1/workspaces/{workspace_id}/specimen_orders"]["get"][
            "parameters"
        ]
        if parameter["name"] == "sort"
    ]
    assert sort == "-created_at"


def test_what_creates_something_links_to_all_that_can_be_done_with_it(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: (name, operation) for name, operation in operations(document)}
    linking = 0
    for name, operation in operations(document):
        created = operation["responses"].get("201", {})
        location = created.get("headers", {}).get("Location", {}).get("example", "")
        links = created.get("links", {})
        assert bool(links) == bool(re.search(r"[0-9a-f]{8}-", location)), name
        linking += bool(links)
        shown = created.get("content", {}).get("application/json", {}).get("example")
        for link in links.values():
            target = found[link["operationId"]][1]
            wanted = {parameter["name"] for parameter in target["parameters"] if parameter["in"] == "path"}
            assert link["parameters"].keys() == wanted, name
            for expression in link["parameters"].values():
                assert expression.removeprefix("$response.body#/") in shown, name
    assert linking >= 6
    specimen_orders = found["create_specimen_order"][1]["responses"]["201"]["links"]
    assert {
        "get_specimen_order",
        "edit_specimen_order",
        "delete_specimen_order",
        "complete_specimen_order",
        "list_specimen_notes",
    } <= specimen_orders.keys()
    assert specimen_orders["complete_specimen_order"]["parameters"] == {
        "specimen_order_id": "$response.body#/id"
    }
    members = found["accept_invitation"][1]["responses"]["201"]["links"]["change_role"]["parameters"]
    assert members == {
        "workspace_id": "$response.body#/workspace_id",
        "user_id": "$response.body#/user_id",
    }


def test_nobody_outside_is_told_of_a_problem_that_there_is_not(document: dict[str, Any]) -> None:
    known = {kind.code: kind.title for kind in kinds()}
    for code, example in document["components"]["examples"].items():
        assert example["summary"] == example["value"]["title"] == known[code]


def test_the_server_and_the_ways_in_are_where_the_settings_say() -> None:
    settings = defaults_of(Settings)(
        database_url="postgresql://nobody@localhost/nothing",
        public_url="https://api.example.com/portal",
    )
    document = create_app(Container(settings=settings)).openapi()
    assert document["servers"] == [{"url": "https://api.example.com/portal"}]
    schemes = document["components"]["securitySchemes"]
    token_url = "https://api.example.com/portal/v1/auth/token"
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == token_url
    assert document["externalDocs"]["url"] == "https://api.example.com/portal/problems"
    assert "https://api.example.com/portal/problems" in document["info"]["description"]


def test_the_stored_document_knows_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9999")
    monkeypatch.setenv("AUTH_PROVIDER", "oidc")
    monkeypatch.setenv("OIDC_ISSUER", "https://login.example.com")
    settings = defaults_of(Settings)(database_url="postgresql://nobody@localhost/nothing")
    assert (settings.port, settings.auth_provider, settings.public_url) == (
        SERVICE_PORT,
        "local",
        f"http://localhost:{SERVICE_PORT}",
    )


async def test_a_body_that_nobody_asked_for_can_be_too_large(
    member: AsyncClient, specimen_order: SpecimenOrder
) -> None:
    refused = await member.post(
        f"/v1/specimen_orders/{specimen_order.id}/start", content=b"x" * (1024**2 + 1)
    )
    assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")


# ── formats ──────────────────────────────────────────────────────────────────────────────────────


def strings(document: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Every text that a client may send by this schema, and where."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "string":
        yield place, schema
    for part in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(part, ()):
            yield from strings(document, option, place)
    for name, member in schema.get("properties", {}).items():
        yield from strings(document, member, f"{place}/{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from strings(document, schema[part], f"{place}/{part}")


def test_no_text_that_is_sent_may_have_nul_and_the_document_says_so(document: dict[str, Any]) -> None:
    seen = set[str]()
    for name, operation in operations(document):
        sent = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        for part in [*sent, *([body] if body else [])]:
            for place, schema in strings(document, part["schema"], part.get("name", "body")):
                seen.add(place)
                assert wrong(document, "a\0b", schema), f"{name}: {place}"
    assert {"q", "cursor", "label", "body/title", "body/description", "body/password", "body/token"} <= seen


def header(operation: dict[str, Any], name: str) -> dict[str, Any]:
    (schema,) = (each["schema"] for each in operation["parameters"] if each["name"] == name)
    return dict(schema)


@pytest.mark.parametrize(
    "sent", ["*", '"7"', 'W/"7"', '"7-51f0c5ad0f3e2b61"', '"a" , "b"', ',, "7",', '"\xe9"', '""']
)
async def test_the_document_says_which_preconditions_are_read(
    document: dict[str, Any], member: AsyncClient, specimen_order: SpecimenOrder, sent: str
) -> None:
    schema = header(document["paths"]["/v1/specimen_orders/{specimen_order_id}"]["patch"], "If-Match")
    assert wrong(document, sent, schema) == []
    path, headers = f"/v1/specimen_orders/{specimen_order.id}", [(b"if-match", sent.encode("latin-1"))]
    assert (await member.patch(path, json={}, headers=headers)).status_code in {200, 412}


@pytest.mark.parametrize(
    "sent", ["7", "", '"7', "**", '*, "7"', '"7" "8"', '"a b"', 'w/"7"', '"7"\xa0', '"7",\x85"8"']
)
async def test_what_the_document_does_not_say_is_no_precondition(
    document: dict[str, Any], member: AsyncClient, specimen_order: SpecimenOrder, sent: str
) -> None:
    schema = header(document["paths"]["/v1/specimen_orders/{specimen_order_id}"]["patch"], "If-Match")
    assert wrong(document, sent, schema)
    path, headers = f"/v1/specimen_orders/{specimen_order.id}", [(b"if-match", sent.encode("latin-1"))]
    refused = await member.patch(path, json={}, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-precondition")


async def test_tags_and_cursors_look_as_the_document_says(
    document: dict[str, Any], member: AsyncClient, specimen_order: SpecimenOrder, team: Team
) -> None:
    one = document["paths"]["/v1/specimen_orders/{specimen_order_id}"]["get"]
    tag = (await member.get(f"/v1/specimen_orders/{specimen_order.id}")).headers["etag"]
    told = one["responses"]["200"]["headers"]["ETag"]["schema"]
    assert (wrong(document, tag, told), bool(wrong(document, "7", told))) == ([], True)

    address = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    await member.post(address, json={"title": "another"})
    cursor = (await member.get(address, params={"limit": 1})).json()["next"]
    many = document["paths"]["/v1/workspaces/{workspace_id}/specimen_orders"]["get"]
    page = document["components"]["schemas"]["SpecimenOrderViewPage"]["properties"]["next"]
    for told in (header(many, "cursor"), page):
        assert wrong(document, cursor, told) == []
        for no_cursor in ("", "a b", "a=", "a/b", "a+b"):
            assert wrong(document, no_cursor, told)
