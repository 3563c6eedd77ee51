"""Whatever is sent, the answer is a problem that blames the request, and never a 5xx."""

import json
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient

from kernel.specimen.builders import a_specimen_order_id
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.world.builders import Team

JSON = {"content-type": "application/json"}


def text(title: str) -> bytes:
    return b'{"title": "' + title.encode() + b'"}'


@pytest.fixture
def specimen_orders(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/specimen_orders"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b" ", 400, id="blank"),
        pytest.param(b"{", 400, id="truncated"),
        pytest.param(b'{"title": "x"', 400, id="truncated object"),
        pytest.param(b'{"title": "x"} {}', 400, id="two documents"),
        pytest.param(b"{'title': 'x'}", 400, id="single quotes"),
        pytest.param(b'{"title": "x",}', 400, id="trailing comma"),
        pytest.param(b"null", 422, id="null"),
        pytest.param(b"[]", 422, id="list"),
        pytest.param(b'"title"', 422, id="text"),
        pytest.param(b'{"title": NaN}', 422, id="NaN"),
        pytest.param(b'{"title": "x", "extra": -Infinity}', 422, id="infinity in an unknown member"),
        pytest.param(b'{"title": 1e400}', 422, id="1e400"),
        pytest.param(b'{"title": ' + b"9" * 5000 + b"}", 400, id="5,000 digits"),
        pytest.param(b"[" * 100_000, 400, id="100,000 levels"),
        pytest.param(b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, id="100,000 levels inside"),
        pytest.param(b'{"a":' * 100_000, 400, id="100,000 objects"),
        pytest.param('{"title": "x"}'.encode("utf-16"), 400, id="UTF-16"),
        pytest.param('{"title": "x"}'.encode("utf-16-le"), 400, id="UTF-16 without a mark"),
        pytest.param('{"title": "x"}'.encode("utf-32"), 400, id="UTF-32"),
        pytest.param('{"title": "x"}'.encode("utf-8-sig"), 400, id="byte order mark"),
        pytest.param(b'{"title": "\xff\xfe"}', 400, id="no UTF-8"),
        pytest.param(b'{"title": "\xed\xa0\x80"}', 400, id="surrogate in UTF-8"),
        pytest.param(text(r"\ud800"), 400, id="lone surrogate"),
        pytest.param(text(r"\udc00\ud800"), 400, id="surrogates the wrong way round"),
        pytest.param(b'{"\\ud800": "x"}', 400, id="lone surrogate in a name"),
        pytest.param(text(r"a\u0000b"), 422, id="NUL"),
        pytest.param(text(r"a\\\u0000b"), 422, id="NUL after a backslash"),
        pytest.param(b'{"title": "x", "labels": ["a\\u0000"]}', 422, id="NUL in a list"),
        pytest.param(b'{"title": "a\x00b"}', 400, id="raw NUL"),
        pytest.param(b'{"title": "a\nb"}', 400, id="raw line break"),
        pytest.param(text(r"\u001b[31m"), 422, id="escape sequence"),
        pytest.param(b'{"title": "x", "' + b"n" * 10_000 + b'": 1}', 422, id="a long unknown name"),
        pytest.param(
            json.dumps({f"n{i}": i for i in range(50_000)}).encode(), 422, id="50,000 unknown names"
        ),
        pytest.param(b'{"title": "' + b"x" * 2**20 + b'"}', 413, id="too large"),
        pytest.param(text("x" * 1_000_000), 422, id="nearly too large"),
        pytest.param(text("\u0301" * 300_000), 422, id="combining marks"),
    ],
)
async def test_a_bad_body_is_a_problem(
    member: AsyncClient, specimen_orders: str, body: bytes, status: int
) -> None:
    refused = await member.post(specimen_orders, content=body, headers=JSON)
    assert refused.status_code == status
    assert len(refused.content) < 10_000


@pytest.mark.parametrize("bracket", ["[]", "{}"])
async def test_a_body_has_64_levels_at_most(member: AsyncClient, specimen_orders: str, bracket: str) -> None:
    opening, closing = ("[", "]") if bracket == "[]" else ('{"a":', "}")
    for levels, status, said in ((64, 422, "The request is not valid"), (65, 400, "at most 64 levels")):
        body = '{"]": "\\\\", "\\"[":' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}"
        refused = await member.post(specimen_orders, content=body.encode(), headers=JSON)
        assert refused.status_code == status
        assert said in refused.json()["detail"]


async def test_a_body_has_10_000_members_and_items_at_most(member: AsyncClient, specimen_orders: str) -> None:
    for items, code in ((9_998, "string-type"), (9_999, "too-many")):  # beside the braces and a comma
        body = json.dumps({"title": "x", "labels": [1] * items}).encode()
        refused = await member.post(specimen_orders, content=body, headers=JSON)
        assert refused.status_code == 422
        assert {error["code"] for error in refused.json()["errors"]} == {code}


async def test_brackets_and_commas_in_a_text_are_text(member: AsyncClient, specimen_orders: str) -> None:
    prose = '[{",\\' * 1_900
    created = await member.post(specimen_orders, json={"title": "x", "description": prose})
    assert (created.status_code, created.json()["description"]) == (201, prose)


async def test_a_query_has_1_000_parameters_at_most(member: AsyncClient, specimen_orders: str) -> None:
    for parameters, code in ((1_000, "extra-forbidden"), (1_001, "too-many")):
        refused = await member.get(f"{specimen_orders}?{'&'.join(f'n{i}' for i in range(parameters))}")
        assert refused.status_code == 422
        assert {error["code"] for error in refused.json()["errors"]} == {code}


@pytest.mark.parametrize("coding", ["gzip", "br", "identity"])
async def test_an_encoded_body_is_a_415(member: AsyncClient, specimen_orders: str, coding: str) -> None:
    refused = await member.post(
        specimen_orders, content=text("x"), headers=JSON | {"content-encoding": coding}
    )
    assert (refused.status_code, refused.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_an_escaped_backslash_before_u0000_is_no_nul(member: AsyncClient, specimen_orders: str) -> None:
    created = await member.post(specimen_orders, content=text(r"a\\u0000b"), headers=JSON)
    assert (created.status_code, created.json()["title"]) == (201, r"a\u0000b")


async def test_of_two_members_of_one_name_the_last_counts(member: AsyncClient, specimen_orders: str) -> None:
    created = await member.post(specimen_orders, content=b'{"title": "first", "title": "last"}', headers=JSON)
    assert created.json()["title"] == "last"


@pytest.mark.parametrize("title", ["مرحبا", "e\u0301", "שלום", "👩\u200d🔬", "' OR 1=1 --", "<script>", "\\"])
async def test_unusual_text_is_kept(member: AsyncClient, specimen_orders: str, title: str) -> None:
    created = await member.post(specimen_orders, json={"title": title})
    assert created.status_code == 201
    found = await member.get(created.headers["location"])
    assert found.json()["title"] == title.replace("e\u0301", "\u00e9")


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/jsonp",
        "json",
        "text/json; application/json",
        "application/json; charset=utf-8; charset=utf-16",
        'application/json; charset="iso\\-8859-1"',
        "application/json, text/plain",
        "application/json charset=utf-8",
        "application/json; charset",
        'application/json; a="',
        ";",
    ],
)
async def test_another_media_type_is_a_415(
    member: AsyncClient, specimen_orders: str, media_type: str | None
) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    refused = await member.post(specimen_orders, content=text("x"), headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/merge-patch+json",
        "application/json; charset=utf8",
        "application/json; charset=UTF8",
        "application/json;",
        "application/json ; ",
        "application/json;;charset=utf-8;",
        "application/json; charset = utf-8",
        'application/json; charset="ut\\f-8"',
        "application/json; profile=x",
        'application/json; profile="a; charset=utf-16, b"; v=1',
        "application/json; odata.metadata=minimal; IEEE754Compatible=false",
        'application/merge-patch+json; x="";charset=utf-8',
    ],
)
async def test_json_by_its_other_names_is_read(
    member: AsyncClient, specimen_orders: str, media_type: str
) -> None:
    created = await member.post(specimen_orders, content=text("x"), headers={"content-type": media_type})
    assert created.status_code == 201


async def test_a_large_body_in_pieces_is_a_413(member: AsyncClient, specimen_orders: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"title": "'
        for _ in range(1024):
            yield b"x" * 1024

    refused = await member.post(specimen_orders, content=pieces(), headers=JSON)
    assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")


async def test_a_declared_length_that_is_too_large_is_a_413(client: AsyncClient) -> None:
    headers = JSON | {"content-length": str(2**40)}
    refused = await client.post("/v1/auth/login", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v2/specimen_orders",
        "/v1/specimen_orders",
        "/v1/me/",
        "//v1/me",
        "/v1/me%00",
        "/v1/../etc/passwd",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/docs/..%2f..%2fapp.py",
        "/v1/docs/redoc.standalone.js",
        "/problems/no-such-problem",
        "/%ff",
        "/%F0%9F%92%A9",
        "/" + "a" * 60_000,
    ],
)
async def test_a_path_that_leads_nowhere_is_a_404(member: AsyncClient, path: str) -> None:
    missing = await member.get(path)
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/path-not-found")


@pytest.mark.parametrize(
    "id", ["1", "not-a-uuid", "%00", "0" * 32 + "0", "%F0%9F%92%A9", "{specimen_order_id}", "'--"]
)
async def test_an_id_that_is_none_is_a_422(member: AsyncClient, id: str) -> None:
    refused = await member.get(f"/v1/specimen_orders/{id}")
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"pointer": "#/path/specimen_order_id", "code": "uuid-parsing", "detail": "It must be a UUID."}
    ]


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?x=40evil=2eexample=3e?=a@victim.example",
        "\u212aate@example.com",
        f"kate@{'x' * 64}.example",
    ],
)
async def test_what_mail_software_reads_as_another_address_enters_nowhere(
    owner: AsyncClient, team: Team, address: str
) -> None:
    person = {"password": "nine mossy lanterns drift", "display_name": "Kate"}
    for path, body in (
        ("/v1/auth/register", person),
        ("/v1/auth/password-reset", {}),
        (f"/v1/workspaces/{team.workspace.id}/invitations", {"role": "member"}),
    ):
        refused = await owner.post(path, json=body | {"email": address})
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["#/email"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-11-30T17:00:00.123456789Z", "2026-11-30T17:00:00.123456Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2026-11-30T17:00:00+01:60", None),
        ("2026-11-30T17:00:60Z", None),
        ("2026-11-30 17:00:00Z", None),
    ],
)
async def test_an_instant_is_read_alike_in_a_body_and_in_a_query(
    member: AsyncClient, specimen_orders: str, sent: str, kept: str | None
) -> None:
    created = await member.post(specimen_orders, json={"title": "x", "due_at": sent})
    listed = await member.get(specimen_orders, params={"due_after": sent})
    if kept is None:
        assert (created.status_code, created.json()["errors"][0]["code"]) == (422, "instant")
        assert (listed.status_code, listed.json()["errors"][0]["code"]) == (422, "instant")
    else:
        assert (created.status_code, created.json()["due_at"]) == (201, kept)
        assert [each["due_at"] for each in listed.json()["items"]] == [kept]


async def test_everything_that_is_wrong_is_said_at_once(member: AsyncClient) -> None:
    refused = await member.patch("/v1/specimen_orders/x", json={"title": 1, "labels": [1, "a", 2]})
    assert [error["pointer"] for error in refused.json()["errors"]] == [
        "#/path/specimen_order_id",
        "#/title",
        "#/labels/0",
        "#/labels/2",
    ]


async def test_a_name_in_a_pointer_is_escaped(member: AsyncClient, specimen_orders: str) -> None:
    refused = await member.post(specimen_orders, json={"title": "x", "a/b~c d\n": 1})
    assert refused.json()["errors"][0]["pointer"] == "#/a~1b~0c%20d%0A"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("&".join(f"n{i}" for i in range(10_000)), id="10,000 unknown names"),
        pytest.param("q=1&" * 10_000, id="10,000 times the same"),
        "%00=%00",
        "%ff=%ff",
        "=",
        "limit",
        "a[]=1",
    ],
)
async def test_a_bad_query_is_a_422(member: AsyncClient, specimen_orders: str, query: str) -> None:
    refused = await member.get(f"{specimen_orders}?{query}")
    assert refused.status_code == 422
    assert 0 < len(refused.json()["errors"]) <= 20


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer " + "a" * 65_536,
        "Bearer é",
    ],
)
async def test_a_bad_token_is_a_401(client: AsyncClient, specimen_order: SpecimenOrder, value: str) -> None:
    headers = [(b"authorization", value.encode())]
    refused = await client.get(f"/v1/specimen_orders/{specimen_order.id}", headers=headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_good_token_is_good_under_its_own_scheme_alone(
    client: AsyncClient, member: AsyncClient, specimen_order: SpecimenOrder
) -> None:
    mine = await member.get("/v1/me")
    token = mine.request.headers["authorization"].removeprefix("Bearer ")
    for value, status in (
        (f"Bearer {token}", 200),
        (f"bEARER  {token} ", 200),
        (f"Basic {token}", 401),
        (f"Token {token}", 401),
        (token, 401),
    ):
        answer = await client.get(
            f"/v1/specimen_orders/{specimen_order.id}", headers={"authorization": value}
        )
        assert answer.status_code == status


async def test_a_stranger_without_a_token_learns_nothing_else(client: AsyncClient) -> None:
    for answer in (
        await client.get("/v1/specimen_orders/x?limit=0"),
        await client.post(
            f"/v1/specimen_orders/{a_specimen_order_id()}/specimen_notes", content=b"{", headers=JSON
        ),
    ):
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer resource_metadata=")


async def test_a_method_that_does_not_exist_is_told_those_that_do(client: AsyncClient) -> None:
    for method, path, allow in (
        ("PUT", "/v1/workspaces", "GET, HEAD, POST"),
        ("POST", "/v1/me", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v1/auth/login", "POST"),
        ("HEAD", "/v1/auth/login", "POST"),
        ("OPTIONS", f"/v1/specimen_orders/{a_specimen_order_id()}", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/health/live", "GET, HEAD"),
        ("POST", "/health/ready", "GET, HEAD"),
        ("POST", "/v1/openapi.json", "GET, HEAD"),
        ("BREW", "/v1/docs", "GET, HEAD"),
        ("PUT", "/v1/invitations/acceptance", "POST"),  # not of /v1/invitations/{invitation_id}
        ("GET", "/v1/invitations/acceptance", "POST"),
        ("DELETE", "/v1/invitations/acceptance", "POST"),
        ("HEAD", "/v1/invitations/acceptance", "POST"),
        ("PUT", f"/v1/invitations/{a_specimen_order_id()}", "DELETE, GET, HEAD"),
        ("POST", "/v1/docs/oauth2-redirect.html", "GET, HEAD"),
    ):
        refused = await client.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allow)


async def test_no_header_changes_the_method(member: AsyncClient, specimen_order: SpecimenOrder) -> None:
    headers = {"x-http-method-override": "DELETE", "x-method-override": "DELETE", "x-http-method": "DELETE"}
    assert (
        await member.get(f"/v1/specimen_orders/{specimen_order.id}?_method=DELETE", headers=headers)
    ).status_code == 200
    assert (await member.get(f"/v1/specimen_orders/{specimen_order.id}")).status_code == 200
