"""Examples in the OpenAPI document, made out of its schemas: a new resource has them without writing one.

A schema's own `examples` come first, which an annotation can have; then the table here, by the member's name;
then what its type and format suggest. All examples are of one small world: an id of a task is that task's
wherever it appears, so a request's example and the path's and the answer's belong together.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from entrypoints.http.kernel.routing.problems import MEDIA_TYPE

type Schema = Mapping[str, Any]

PASSWORD = "violet kettle hums at dawn"  # noqa: S105 (an example's)
TOKEN = "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"  # noqa: S105 (an example's)
INSTANT = "2026-11-02T09:30:15Z"

_PEOPLE = frozenset({"author", "assignee", "created_by", "caused_by", "invited_by", "profile"})
_BY_FORMAT: Mapping[str, object] = MappingProxyType(
    {"date-time": INSTANT, "date": INSTANT[:10], "email": "ada@example.com", "uri": "https://app.example.com"}
)
_BY_TYPE: Mapping[str, object] = MappingProxyType({"boolean": False, "null": None})


def example_id(noun: str) -> str:
    """The UUIDv7 of the one thing of this kind: `task`, `user`, …"""
    chance = blake2b(noun.encode(), digest_size=10).hexdigest()
    return f"019a43bc-{chance[:4]}-7{chance[4:7]}-8{chance[7:10]}-{chance[8:20]}"


# What the name of a member says. `Schema.member` where the same name means different things, and
# `operation_id.member` for what an operation leaves behind.
BY_NAME: Mapping[str, object] = MappingProxyType(
    {
        "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
        "active": 3,
        "Introspection.active": True,
        "agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
        "archived_at": None,
        "archive_workspace.archived_at": INSTANT,
        "aud": "https://api.example.com",
        "author_name": "Ada Lovelace",
        "body": "Which cards does it take?",
        "caused_by_name": "Ada Lovelace",
        "challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "client_id": "9b2fbe7c",
        "code": "SplxlOBeZQQYbYS6WxSbIA",
        "csrf_token": "5f1d7a84db00d2fce00b31a7fc73224f",
        "current": True,
        "cursor": "eyJjIjoiMjAyNi0xMS0wMiJ9",
        "description": "The engine can arrange and combine.",
        "display_name": "Ada Lovelace",
        "due_after": "2026-11-01T00:00:00Z",
        "due_at": "2026-11-30T17:00:00Z",
        "due_before": "2026-12-01T00:00:00Z",
        "edited_at": None,
        "edit_comment.edited_at": INSTANT,
        "email": "ada@example.com",
        "InvitationView.email": "grace@example.com",
        "InvitationWithToken.email": "grace@example.com",
        "email_verified": True,
        "exp": 1793611815,
        "expires_at": "2026-12-02T09:30:15Z",
        "expires_in": 600,
        "finished_at": None,
        "complete_task.finished_at": INSTANT,
        "grant_type": "password",
        "iat": 1793611215,
        "iss": "https://api.example.com",
        "issuer": "https://login.example.com",
        "label": "loom",
        "mode": "cookie",
        "name": "Analytical Engines",
        "LoginProviderView.name": "example",
        "next": None,
        "password": PASSWORD,
        "new_password": "amber teapot sings at dusk",
        "priority": "normal",
        "read": True,
        "read_at": None,
        "mark_notification.read_at": INSTANT,
        "refresh_token": f"{example_id('session').replace('-', '')}.{TOKEN}",
        "role": "member",
        "roles": ["support"],
        "Profile.roles": [],
        "sid": example_id("session"),
        "slug": "analytical-engines",
        "state": "af0ifjsldkjxyz0123456",
        "cancel_task.status": "cancelled",
        "complete_task.status": "done",
        "start_task.status": "in_progress",
        "sub": example_id("user"),
        "subject": "248289761001",
        "suspended_at": None,
        "suspend_user.suspended_at": INSTANT,
        "task_title": "Weave algebraic patterns",
        "title": "Weave algebraic patterns",
        "token": TOKEN,
        "token_type_hint": "refresh_token",
        "token_type": "Bearer",
        "total": None,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "username": "ada@example.com",
        "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "version": 1,
        "workspace_name": "Analytical Engines",
    }
)


def add_examples(document: dict[str, Any]) -> None:
    """Gives every operation an example of its body, of its path and of each of its answers."""
    problems = document["components"].setdefault("examples", {})
    examples = _Examples(document["components"]["schemas"], problems)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            given: dict[str, Any] = {}
            for parameter in operation.get("parameters", ()):
                name, schema = parameter["name"], parameter["schema"]
                if parameter["in"] == "path" or (parameter["required"] and parameter["in"] == "query"):
                    owner = "LoginProviderView" if parameter["in"] == "path" else ""
                    given[name] = parameter["example"] = examples.of(schema, name=name, owner=owner)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content["example"] = examples.of(content["schema"])
            for answer in operation["responses"].values():
                examples.complete(answer, path.format_map(given), operation)


class _Examples:
    def __init__(self, schemas: Mapping[str, Schema], problems: dict[str, Any]) -> None:
        self._schemas = schemas
        self._problems = problems

    def of(self, schema: Schema, *, name: str = "", owner: str = "") -> object:
        """A value that fits; `name` is the member's, `owner` that of the schema which has it."""
        known = [BY_NAME[key] for key in (f"{owner}.{name}", name) if key in BY_NAME]
        for value in (*schema.get("examples", ()), *known, *schema.get("enum", ())):
            return value
        if "$ref" in schema:
            referred = schema["$ref"].rpartition("/")[2]
            return self.of(self._schemas[referred], owner=referred)
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0], name=name, owner=owner)
        return self._of_type(schema, name, owner)

    def _of_type(self, schema: Schema, name: str, owner: str) -> object:
        if "type" not in schema:  # whatever JSON there is
            return name.replace("_", " ")
        if schema["type"] == "object":
            return self._of_object(schema, owner)
        if schema["type"] == "array":
            return [self.of(schema["items"], name=name.removesuffix("s"), owner=owner)]
        if schema["type"] == "integer":
            return schema.get("minimum", 1)
        if schema.get("format") == "uuid":
            return example_id(_noun(name, owner))
        return _BY_FORMAT.get(schema.get("format", "")) or _BY_TYPE.get(
            schema["type"], name.replace("_", " ")
        )

    def _of_object(self, schema: Schema, owner: str) -> dict[str, object]:
        if "properties" in schema:
            return {
                name: self.of(member, name=name, owner=owner) for name, member in schema["properties"].items()
            }
        others, names = schema.get("additionalProperties"), schema.get("propertyNames", {})
        while "$ref" in names:
            names = self._schemas[names["$ref"].rpartition("/")[2]]
        return {name: self.of(others, name="active") for name in names.get("enum", ())} if others else {}

    def complete(self, answer: dict[str, Any], path: str, operation: Mapping[str, Any]) -> None:
        """Adds what depends on the operation: `path` is that of its example."""
        for media_type, content in answer.get("content", {}).items():
            if media_type != MEDIA_TYPE:
                content["example"] = self.of(content["schema"])
                for name in content["example"]:
                    known = f"{operation['operationId']}.{name}"
                    content["example"][name] = BY_NAME.get(known, content["example"][name])
                continue
            for code, example in content["examples"].items():
                if code not in self._problems:  # one of each kind is enough, wherever it happened
                    more = {"errors": [self._error(operation)]} if code == "invalid-request" else {}
                    value = {**example["value"], "instance": path, "trace_id": BY_NAME["trace_id"], **more}
                    self._problems[code] = {**example, "value": value}
            content["examples"] = {
                code: {"$ref": f"#/components/examples/{code}"} for code in content["examples"]
            }
        headers = answer.get("headers", {})
        if "Location" in headers and "x-template" in headers["Location"]:
            shown = next(iter(answer["content"].values()))["example"]
            headers["Location"]["example"] = headers["Location"]["x-template"].format_map(shown)
        if "Link" in headers:
            headers["Link"]["example"] = f'<{path}?cursor={BY_NAME["cursor"]}>; rel="next"'

    def _error(self, operation: Mapping[str, Any]) -> dict[str, str]:
        """What could be wrong with a request: its body's first member, or else a parameter."""
        for content in operation.get("requestBody", {}).get("content", {}).values():
            member = next(iter(content["example"]))
            return {"pointer": f"#/{member}", "code": "string-type", "detail": "It must be a text."}
        for parameter in operation["parameters"]:
            pointer = f"#/{parameter['in']}/{parameter['name']}"
            if parameter["schema"].get("format") == "uuid":
                return {"pointer": pointer, "code": "uuid-parsing", "detail": "It must be a UUID."}
            if parameter["name"] == "limit":
                most = parameter["schema"]["maximum"]
                detail = f"It must be less than or equal to {most}."
                return {"pointer": pointer, "code": "less-than-equal", "detail": detail}
        parameter = operation["parameters"][-1]
        pointer = f"#/{parameter['in']}/{parameter['name']}"
        return {"pointer": pointer, "code": "missing", "detail": "It is required."}


def _noun(name: str, owner: str) -> str:
    """What an id is of: `task_id` of a task, `author_id` of a user, the `id` of a TaskView of a task."""
    noun = name.removesuffix("_id")
    if noun == "id":
        noun = re.match(r"[A-Z][a-z]*", owner)[0].lower()  # type: ignore[index]  # schemas are named so
    return "user" if noun in _PEOPLE else noun
