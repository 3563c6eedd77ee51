"""Every operation of the OpenAPI document, asked by everybody for whatever fits it, and for what does not.

Each request is made once and sent by each caller in turn, who all find the same world (`world.py`). All of
schemathesis's checks are on.

SEED        of the requests that are drawn; the same one draws the same requests
EXAMPLES    how many are drawn for each operation, beside those that follow from its schema
CHAINS      how many scenarios each caller follows through the links
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, cast, override

import hypothesis
import pytest
import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.generation.stateful.state_machine import DEFAULT_STATE_MACHINE_SETTINGS as DEFAULT
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from schemathesis.openapi.checks import (
    AllowHeaderMismatch,
    RejectedPositiveData,
    UnsupportedMethodResponse,
)

from kernel.openapi.service import Answers, Service, environment

SEED = int(os.environ.get("SEED") or 20261123)
EXAMPLES = int(os.environ.get("EXAMPLES") or 5)
CHAINS = int(os.environ.get("CHAINS") or 40)
STEPS = 30

# With what schemathesis takes for a refusal: a version that is no longer so is told before what the domain
# refuses, a text that is too long for example.
REFUSALS = [400, 401, 403, 404, 405, 409, 412, 415, 422, 428, 429]

CONFIG = schemathesis.Config.from_dict(
    {
        "seed": SEED,
        "generation": {
            "max-examples": EXAMPLES,
            "database": "none",
            "with-security-parameters": False,  # the callers bring them
        },
        "phases": {"stateful": {"inference": {"algorithms": []}}},  # the links that clients are told of
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        "output": {"sanitization": {"enabled": False}},  # the tokens die with the database
    }
)

BEYOND_SCHEMAS = {
    # which characters a text has, and what is left of it when it is trimmed
    "It must be one line without control characters.",
    "It must not contain control characters.",
    "It must not change the direction of the text around it.",
    "It must have a visible character.",
    "It must not be empty.",
    "string-too-short",
    # which addresses mail software would read as others
    "It must be an e-mail address such as ada@example.com.",
    # how easily a password is guessed
    "It must not repeat the same few characters over and over.",
    "It must not be one that everybody knows.",
    "It must not be a row of the alphabet, of digits or of the keyboard.",
    # what the rest of the request, the settings or the world say
    "sort",  # twice by the same name
    "It must be a whole address such as https://app.example.com/welcome, without a fragment.",
    "It must be the base64url of a SHA-256 (RFC 7636, S256) where the log-in ends in tokens.",
    "There is nothing to exchange where the log-in ends in a cookie.",
    "None can be made from this name; choose one.",
    "It must be on one of the origins that the settings allow.",
    "/problems/assignee-not-member",
    "/problems/idempotency-key-reused",
    "/problems/invalid-cursor",
    "/problems/login-not-begun",
    "/problems/nothing-to-link",
    "/problems/precondition-failed",
}
"""Types, details and codes of problems with which valid data may be refused: no schema can say when."""


_MADE = """
import json, sys
from entrypoints.container import Container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings

settings = Settings(_env_file=None, **json.loads(sys.argv[1]))
print(json.dumps(create_app(Container(settings=settings)).openapi()))
"""


@cache
def the_document() -> dict[str, Any]:
    """Made in a process of its own: it names all problems there are, here the specimen's too."""
    variables = environment("postgresql://nobody@localhost/nothing", port=8000, issuer="http://127.0.0.1:1")
    values = json.dumps({name.lower(): value for name, value in variables.items()})
    made = subprocess.run([sys.executable, "-c", _MADE, values], check=True, capture_output=True, text=True)
    return cast("dict[str, Any]", json.loads(made.stdout))


schema = schemathesis.openapi.from_dict(the_document(), config=CONFIG)


@schema.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Whether a failure counts."""
    if isinstance(failure, (AllowHeaderMismatch, UnsupportedMethodResponse)):
        # To the router it is `DELETE /v1/invitations/{invitation_id}` as well, with what is no id.
        return bool(case.operation.label != "POST /v1/invitations/acceptance")
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    reasons = {problem["type"], problem["detail"], *(error["code"] for error in problem.get("errors", ()))}
    return reasons.isdisjoint(BEYOND_SCHEMAS)


def test_the_service_tells_the_document_that_it_is_tested_by(service: Service) -> None:
    told = service.session.get(f"{service.url}/v1/openapi.json").json()
    assert told == the_document()


@schema.parametrize()
@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))  # `answers` is for all of them
def test_every_answer_is_as_documented_whoever_asks(
    case: Case[Any], service: Service, answers: Answers
) -> None:
    asked = case.derive()
    service.world.name_in(asked)
    for caller, headers in service.world.callers.items():
        # The id stands in the log, and in the command that repeats the request.
        told = asked.call_and_validate(
            base_url=service.url, session=service.session, headers={**headers, "X-Request-ID": caller}
        )
        answers.add(caller, told.status_code)
        if asked.method != "GET" or told.status_code == 302:
            service.restore()


@pytest.mark.parametrize("caller", ["newcomer", "member", "root", "browser"])
def test_what_is_created_can_be_followed_through_its_links(
    caller: str, service: Service, record_property: Callable[[str, object], None]
) -> None:
    """Create, read, change, delete, read again, in whatever order; each thing by the links of its answer."""
    followed: Counter[str] = Counter()
    lives: list[set[str]] = []

    class Machine(schema.as_state_machine()):  # type: ignore[misc]  # the class is made from the document
        @override
        def setup(self) -> None:
            service.restore()

        @override
        def step(self, input: StepInput) -> StepOutput:
            service.world.name_in(input.case, path=input.transition is None)
            return cast("StepOutput", super().step(input))

        @override
        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            headers = {**service.world.callers[caller], "X-Request-ID": caller}
            return {"base_url": service.url, "session": service.session, "headers": headers}

        @override
        def teardown(self) -> None:
            nonlocal lives
            done: dict[str, set[str]] = {}
            for id, step in self.recorder.cases.items():
                answer = self.recorder.find_response(case_id=id)
                link = step.transition if step.is_transition_applied else None
                if link is not None and answer is not None and answer.status_code < 300:
                    followed[link.id] += 1
                    done.setdefault(link.parent_id, set()).add(step.value.method)
            # Each was read or changed first, or looked for afterwards.
            lives.extend(methods for methods in done.values() if "DELETE" in methods and len(methods) > 1)

    hypothesis.seed(SEED)(Machine)
    Machine.run(
        settings=hypothesis.settings(DEFAULT, max_examples=CHAINS, stateful_step_count=STEPS, database=None)
    )
    record_property("links", dict(followed))
    record_property("lives", len(lives))
    assert followed.total() >= CHAINS, followed
    assert lives, followed
