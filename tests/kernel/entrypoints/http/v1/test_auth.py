"""The built-in provider over HTTP, with the real tokens and the real hash."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx2 import AsyncClient

from application.kernel.identity.addresses import prove_email
from application.kernel.identity.attempts import (
    FAILURES_OF_ACCOUNT_FROM_ADDRESS,
    FAILURES_OF_CURRENT_PASSWORD,
    MAILS_TO_ADDRESS,
)
from application.kernel.unit_of_work import Begin
from entrypoints.settings import Settings
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import an_email
from kernel.world.fakes import FakeMailer
from kernel.world.http import secret_in
from kernel.world.people import PASSWORD

NEXT = "a drawer full of seashells"

type LogIn = Callable[[], Awaitable[dict[str, Any]]]


@pytest.fixture
def person() -> dict[str, str]:
    return {"email": an_email(), "password": PASSWORD, "display_name": "Ada Lovelace"}


@pytest.fixture
def credentials(person: dict[str, str]) -> dict[str, str]:
    return {"email": person["email"], "password": person["password"]}


async def test_whoever_registers_can_log_in_and_see_their_profile(
    client: AsyncClient, person: dict[str, str], credentials: dict[str, str]
) -> None:
    registered = await client.post("/v1/auth/register", json=person)
    assert registered.status_code == 201
    logged_in = await client.post("/v1/auth/login", json=credentials)
    assert logged_in.status_code == 200
    tokens = logged_in.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    profile = await client.get(
        registered.headers["location"], headers={"authorization": f"bearer {tokens['access_token']}"}
    )
    assert profile.json() == registered.json()
    assert profile.json() == profile.json() | {
        "email": person["email"],
        "display_name": "Ada Lovelace",
        "version": 1,
    }


async def test_an_address_registers_until_somebody_has_verified_it_however_it_is_spelled(
    client: AsyncClient, person: dict[str, str], begin: Begin[UnitOfWork]
) -> None:
    shouted = person | {"email": person["email"].upper()}
    first = await client.post("/v1/auth/register", json=person)
    again = await client.post("/v1/auth/register", json=shouted)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json()["email"], again.json()["email_verified"]) == (person["email"], False)
    async with begin() as uow:
        await prove_email(uow, await uow.users.get(first.json()["id"]))
    taken = await client.post("/v1/auth/register", json=shouted)
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/email-taken")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"email": "a" * 250 + "@example.com"}, "#/email"),
        ({"password": "short"}, "#/password"),
        ({"password": "a" * 129}, "#/password"),
        ({"display_name": " "}, "#/display_name"),
        ({"display_name": "two\nlines"}, "#/display_name"),
        ({"is_admin": True}, "#/is_admin"),
    ],
)
async def test_a_registration_that_is_not_valid_is_refused_by_place(
    client: AsyncClient, person: dict[str, str], change: dict[str, object], pointer: str
) -> None:
    refused = await client.post("/v1/auth/register", json=person | change)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_no_answer_repeats_a_password(client: AsyncClient, person: dict[str, str]) -> None:
    for password in ("too short", 12345678, ["too short"], "a" * 500):
        refused = await client.post("/v1/auth/register", json=person | {"password": password})
        assert refused.status_code == 422
        assert "too short" not in refused.text
        assert "12345678" not in refused.text
        assert "aaaa" not in refused.text


async def test_a_wrong_password_and_an_unknown_address_look_the_same(
    client: AsyncClient, person: dict[str, str], credentials: dict[str, str]
) -> None:
    await client.post("/v1/auth/register", json=person)
    wrong = await client.post("/v1/auth/login", json=credentials | {"password": "something else entirely"})
    unknown = await client.post("/v1/auth/login", json=credentials | {"email": an_email()})
    no_address = await client.post("/v1/auth/login", json=credentials | {"email": "nobody"})

    def without_trace(problem: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in problem.items() if name != "trace_id"}

    for answer in (wrong, unknown, no_address):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer resource_metadata=")
        assert without_trace(answer.json()) == without_trace(wrong.json())
    assert wrong.json()["type"] == "/problems/wrong-credentials"


@pytest.mark.parametrize(
    "token", ["", ".", "nonsense", "\u0007.x", "0" * 32 + ".x", "é" * 32 + "." + "é" * 43]
)
async def test_what_is_no_refresh_token_ends_in_401(client: AsyncClient, token: str) -> None:
    refused = await client.post("/v1/auth/refresh", json={"refresh_token": token})
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/session-ended")


# ── the same from here on: somebody who has registered ───────────────────────────────────────────


@pytest.fixture
async def log_in(client: AsyncClient, person: dict[str, str], credentials: dict[str, str]) -> LogIn:
    """Logs the person in once more; what comes back are the tokens."""
    await client.post("/v1/auth/register", json=person)

    async def log_in() -> dict[str, Any]:
        answer = await client.post("/v1/auth/login", json=credentials, headers={"user-agent": "Loom/1.0"})
        assert answer.status_code == 200
        tokens: dict[str, Any] = answer.json()
        return tokens

    return log_in


def bearing(tokens: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


PROOF = "reauthentication-token"


async def proving(client: AsyncClient, tokens: dict[str, Any]) -> dict[str, str]:
    """The same, with the password given once more."""
    body = {"password": PASSWORD}
    answer = await client.post("/v1/auth/reauthentication", json=body, headers=bearing(tokens))
    assert answer.status_code == 200
    return bearing(tokens) | {PROOF: answer.json()["token"]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Tokens are believed for long, and all the same what ends here ends at once."""
    return settings.model_copy(update={"auth_recheck_seconds": 300, "app_url": "https://app.example"})


async def test_a_user_sees_their_sessions_and_which_one_is_asking(client: AsyncClient, log_in: LogIn) -> None:
    first, second = await log_in(), await log_in()
    page = (await client.get("/v1/auth/sessions", headers=bearing(first))).json()
    assert [item["current"] for item in page["items"]] == [False, True]
    assert {(item["agent"], item["kind"]) for item in page["items"]} == {("Loom/1.0", "tokens")}
    assert page["items"][0]["id"].replace("-", "") == second["refresh_token"].split(".")[0]
    assert not any("token" in name or "hash" in name for item in page["items"] for name in item)
    for item in page["items"]:
        assert (await client.get(f"/v1/auth/sessions/{item['id']}", headers=bearing(first))).json() == item
    one = await client.get("/v1/auth/sessions?limit=1", headers=bearing(first))
    assert "link" in one.headers


async def test_a_session_that_is_ended_is_over_for_both_of_its_tokens(
    client: AsyncClient, log_in: LogIn
) -> None:
    mine, other = await log_in(), await log_in()
    page = (await client.get("/v1/auth/sessions", headers=bearing(mine))).json()
    (theirs,) = (item["id"] for item in page["items"] if not item["current"])
    ended = await client.delete(f"/v1/auth/sessions/{theirs}", headers=await proving(client, mine))
    assert ended.status_code == 204
    assert (await client.get("/v1/me", headers=bearing(other))).status_code == 401
    refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": other["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await client.get("/v1/me", headers=bearing(mine))).status_code == 200
    for again in ("GET", "DELETE"):
        gone = await client.request(again, f"/v1/auth/sessions/{theirs}", headers=bearing(mine))
        assert (gone.status_code, gone.json()["type"]) == (404, "/problems/session-not-found")


async def test_anothers_session_is_not_to_be_found(
    client: AsyncClient, log_in: LogIn, stranger: AsyncClient
) -> None:
    tokens = await log_in()
    (session,) = (await client.get("/v1/auth/sessions", headers=bearing(tokens))).json()["items"]
    address = f"/v1/auth/sessions/{session['id']}"
    for refused in (await stranger.get(address), await stranger.delete(address)):
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/session-not-found")
    assert (await client.get("/v1/me", headers=bearing(tokens))).status_code == 200


@pytest.mark.parametrize(("path", "others"), [("/v1/auth/logout", 200), ("/v1/auth/logout/all", 401)])
async def test_logging_out_here_or_everywhere(
    path: str, others: int, client: AsyncClient, log_in: LogIn
) -> None:
    here, there = await log_in(), await log_in()
    assert (await client.post(path, headers=await proving(client, here))).status_code == 204
    assert (await client.get("/v1/me", headers=bearing(here))).status_code == 401
    assert (await client.get("/v1/me", headers=bearing(there))).status_code == others
    assert (await client.post("/v1/auth/refresh", json=refreshing(here))).status_code == 401
    assert (await client.post("/v1/auth/refresh", json=refreshing(there))).status_code == others


def refreshing(tokens: dict[str, Any]) -> dict[str, str]:
    return {"refresh_token": tokens["refresh_token"]}


async def test_of_twenty_refreshes_at_once_all_have_the_same_successor(
    client: AsyncClient, log_in: LogIn
) -> None:
    tokens = await log_in()
    answers = await asyncio.gather(
        *(client.post("/v1/auth/refresh", json=refreshing(tokens)) for _ in range(20))
    )
    assert [answer.status_code for answer in answers] == [200] * 20
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    assert successor != tokens["refresh_token"]
    for answer in answers:
        assert (await client.get("/v1/me", headers=bearing(answer.json()))).status_code == 200


async def test_whoever_was_overtaken_is_told_so_and_nobody_is_logged_out(
    client: AsyncClient, log_in: LogIn
) -> None:
    first = await log_in()
    second = (await client.post("/v1/auth/refresh", json=refreshing(first))).json()
    third = (await client.post("/v1/auth/refresh", json=refreshing(second))).json()
    refused = await client.post("/v1/auth/refresh", json=refreshing(first))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/refreshed-elsewhere")
    assert (await client.post("/v1/auth/refresh", json=refreshing(third))).status_code == 200


async def test_whoever_knows_a_sessions_id_ends_nothing_by_it(client: AsyncClient, log_in: LogIn) -> None:
    tokens = await log_in()
    session_id = tokens["refresh_token"].partition(".")[0]
    guess = f"{session_id}.garbage"
    refused = await client.post("/v1/auth/refresh", json={"refresh_token": guess})
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/session-ended")
    form = {"grant_type": "refresh_token", "refresh_token": guess}
    assert (await client.post("/v1/auth/token", data=form)).status_code == 400
    assert (await client.post("/v1/auth/revoke", data={"token": guess})).status_code == 200
    cookie = {"cookie": f"__Host-session={guess}"}
    assert (await client.get("/v1/me", headers=cookie)).status_code == 401
    assert (await client.get("/v1/me", headers=bearing(tokens))).status_code == 200
    assert (await client.post("/v1/auth/refresh", json=refreshing(tokens))).status_code == 200


class TestWithoutAGrace:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth_refresh_grace_seconds": 0})

    async def test_a_refresh_token_is_good_for_one_use(self, client: AsyncClient, log_in: LogIn) -> None:
        first = await log_in()
        second = (await client.post("/v1/auth/refresh", json=refreshing(first))).json()
        for token in (first, second):
            refused = await client.post("/v1/auth/refresh", json=refreshing(token))
            assert (refused.status_code, refused.json()["type"]) == (401, "/problems/session-ended")

    async def test_of_twenty_refreshes_at_once_one_succeeds(self, client: AsyncClient, log_in: LogIn) -> None:
        tokens = await log_in()
        answers = await asyncio.gather(
            *(client.post("/v1/auth/refresh", json=refreshing(tokens)) for _ in range(20))
        )
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(200) == 1
        assert {*statuses} <= {200, 401, 409}


class TestWithFewSessions:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth_sessions_most": 2})

    async def test_one_more_log_in_ends_the_oldest(
        self, client: AsyncClient, log_in: LogIn, credentials: dict[str, str]
    ) -> None:
        first, second = await log_in(), await log_in()
        cookie = await client.post(
            "/v1/auth/cookie", json=credentials, headers={"origin": "https://app.example"}
        )
        assert cookie.status_code == 204
        assert (await client.get("/v1/me", headers=bearing(first))).status_code == 401
        assert (await client.get("/v1/me", headers=bearing(second))).status_code == 200


# ── passwords ────────────────────────────────────────────────────────────────────────────────────


async def test_who_knows_the_password_changes_it_and_stays_logged_in_here(
    client: AsyncClient, log_in: LogIn, credentials: dict[str, str]
) -> None:
    here, there = await log_in(), await log_in()
    change = {"current_password": PASSWORD, "new_password": NEXT}
    assert (await client.post("/v1/me/password", json=change, headers=bearing(here))).status_code == 204
    assert (await client.get("/v1/me", headers=bearing(here))).status_code == 200
    assert (await client.get("/v1/me", headers=bearing(there))).status_code == 401
    assert (await client.post("/v1/auth/login", json=credentials)).status_code == 401
    assert (await client.post("/v1/auth/login", json=credentials | {"password": NEXT})).status_code == 200


async def test_a_wrong_current_password_does_not_log_the_client_out(
    client: AsyncClient, log_in: LogIn
) -> None:
    tokens = await log_in()
    change = {"current_password": "guess", "new_password": NEXT}
    refused = await client.post("/v1/me/password", json=change, headers=bearing(tokens))
    # Not 401: a client takes that for the end of its token, and throws it away.
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/wrong-password")


@pytest.mark.parametrize(
    "password", ["correct horse battery staple", "qwertyuiop[]asdfghjkl", "Ada Lovelace 1815"]
)
async def test_what_everybody_could_guess_is_refused_by_place(
    password: str, client: AsyncClient, log_in: LogIn, person: dict[str, str]
) -> None:
    refused = await client.post(
        "/v1/auth/register", json=person | {"email": an_email(), "password": password}
    )
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/password"]
    change = {"current_password": PASSWORD, "new_password": password}
    refused = await client.post("/v1/me/password", json=change, headers=bearing(await log_in()))
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/new_password"]


@pytest.mark.usefixtures("log_in")
async def test_who_guesses_too_often_has_to_wait_and_is_told_how_long(
    client: AsyncClient, credentials: dict[str, str]
) -> None:
    for account in (credentials, credentials | {"email": an_email()}):
        guess = account | {"password": "guess"}
        answers = [
            await client.post("/v1/auth/login", json=guess)
            for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS + 1)
        ]
        assert {answer.status_code for answer in answers[:-1]} == {401}
        refused = await client.post("/v1/auth/login", json=account)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-attempts")
        assert 0 < int(refused.headers["retry-after"]) <= 15 * 60


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────


CONFIRMATION = "/v1/auth/email-verification/confirmation"


async def test_who_registers_proves_the_address_with_what_was_mailed(
    client: AsyncClient,
    log_in: LogIn,
    person: dict[str, str],
    mailer: FakeMailer,
    work: Callable[[], Awaitable[None]],
) -> None:
    await work()
    assert [mail.to for mail in mailer.sent] == [person["email"]]
    proof, mine = {"token": secret_in(mailer)}, bearing(await log_in())
    assert (await client.post(CONFIRMATION, json=proof)).status_code == 401
    assert (await client.post(CONFIRMATION, json=proof, headers=mine)).status_code == 204
    again = await client.post(CONFIRMATION, json=proof, headers=mine)
    assert (again.status_code, again.json()["type"]) == (404, "/problems/one-time-token-not-found")
    request = await client.post("/v1/auth/email-verification", headers=mine)
    assert (request.status_code, request.json()["type"]) == (409, "/problems/nothing-to-verify")


async def test_the_mail_may_be_asked_for_again_and_then_only_the_new_one_is_good(
    client: AsyncClient, log_in: LogIn, mailer: FakeMailer, work: Callable[[], Awaitable[None]]
) -> None:
    await work()
    first, tokens = secret_in(mailer), await log_in()
    assert (await client.post("/v1/auth/email-verification", headers=bearing(tokens))).status_code == 204
    await work()
    for secret, status in ((first, 404), (secret_in(mailer), 204)):
        proof = {"token": secret}
        answer = await client.post(CONFIRMATION, json=proof, headers=bearing(tokens))
        assert answer.status_code == status


async def test_another_address_has_to_be_proved_anew_and_is_no_way_in_before(
    client: AsyncClient,
    log_in: LogIn,
    mailer: FakeMailer,
    work: Callable[[], Awaitable[None]],
    credentials: dict[str, str],
) -> None:
    await work()
    to_the_old, tokens = secret_in(mailer), await log_in()
    changed = an_email()
    patched = await client.patch("/v1/me", json={"email": changed}, headers=await proving(client, tokens))
    assert patched.status_code == 200
    await work()
    assert [mail.to for mail in mailer.sent[1:]] == [
        changed
    ]  # the old one was never proved: it is told nothing
    at_the_new = credentials | {"email": changed}
    assert (await client.post("/v1/auth/login", json=credentials)).status_code == 200
    assert (await client.post("/v1/auth/login", json=at_the_new)).status_code == 401
    for secret, status in ((to_the_old, 404), (secret_in(mailer), 204)):
        proof = {"token": secret}
        answer = await client.post(CONFIRMATION, json=proof, headers=bearing(tokens))
        assert answer.status_code == status
    assert (await client.post("/v1/auth/login", json=at_the_new)).status_code == 200
    assert (await client.post("/v1/auth/login", json=credentials)).status_code == 401


REVERSAL = "/v1/auth/email-change/reversal"


@pytest.fixture
async def verified(
    client: AsyncClient, log_in: LogIn, mailer: FakeMailer, work: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    """The tokens of somebody who has proved their address; nothing else has been mailed."""
    await work()
    tokens = await log_in()
    proof = {"token": secret_in(mailer)}
    assert (await client.post(CONFIRMATION, json=proof, headers=bearing(tokens))).status_code == 204
    mailer.sent.clear()
    return tokens


@pytest.mark.parametrize("confirmed", [False, True])
async def test_the_old_address_undoes_a_change_whether_it_was_confirmed_or_not(
    confirmed: bool,
    client: AsyncClient,
    verified: dict[str, Any],
    mailer: FakeMailer,
    work: Callable[[], Awaitable[None]],
    *,
    credentials: dict[str, str],
) -> None:
    proved, changed = await proving(client, verified), an_email()
    assert (await client.patch("/v1/me", json={"email": changed}, headers=proved)).status_code == 200
    await work()
    (undo,) = (mail for mail in mailer.sent if mail.to == credentials["email"])
    (verify,) = (mail for mail in mailer.sent if mail.to == changed)
    verify_secret, undo_secret = (mail.text.partition("#token=")[2].split()[0] for mail in (verify, undo))
    if confirmed:
        answer = await client.post(CONFIRMATION, json={"token": verify_secret}, headers=proved)
        assert answer.status_code == 204
        await work()
        assert (mailer.sent[-1].to, "was changed" in mailer.sent[-1].subject) == (credentials["email"], True)
        reset = {"email": changed}
        assert (await client.post("/v1/auth/password-reset", json=reset)).status_code == 204
        await work()
    assert (await client.post(REVERSAL, json={"token": undo_secret})).status_code == 204
    after = await client.get("/v1/me", headers=proved)
    assert after.status_code == (401 if confirmed else 200)
    assert (await client.post("/v1/auth/login", json=credentials)).status_code == 200
    for secret in (secret_in(mailer), verify_secret):
        body = {"token": secret, "password": NEXT}
        assert (await client.post("/v1/auth/password-reset/confirmation", json=body)).status_code == 404
    again = await client.post(REVERSAL, json={"token": undo_secret})
    assert (again.status_code, again.json()["type"]) == (404, "/problems/one-time-token-not-found")


async def test_a_reauthentication_is_good_in_its_own_session_alone(
    client: AsyncClient, log_in: LogIn
) -> None:
    here, there = await log_in(), await log_in()
    stolen = bearing(there) | {"reauthentication-token": (await proving(client, here))[PROOF]}
    refused = await client.post("/v1/auth/logout/all", headers=stolen)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/reauthentication-required")


async def test_a_wrong_password_is_no_fresh_proof_and_is_counted(client: AsyncClient, log_in: LogIn) -> None:
    mine = bearing(await log_in())
    for _ in range(FAILURES_OF_CURRENT_PASSWORD):
        wrong = await client.post("/v1/auth/reauthentication", json={"password": "guess"}, headers=mine)
        assert (wrong.status_code, wrong.json()["type"]) == (403, "/problems/wrong-password")
    right = await client.post("/v1/auth/reauthentication", json={"password": PASSWORD}, headers=mine)
    assert (right.status_code, right.json()["type"]) == (429, "/problems/too-many-attempts")


async def test_who_has_forgotten_the_password_sets_another_with_what_was_mailed(
    client: AsyncClient,
    log_in: LogIn,
    credentials: dict[str, str],
    mailer: FakeMailer,
    work: Callable[[], Awaitable[None]],
) -> None:
    tokens = await log_in()
    asked = await client.post("/v1/auth/password-reset", json={"email": credentials["email"]})
    assert asked.status_code == 204
    await work()
    reset = {"token": secret_in(mailer), "password": NEXT}
    assert (await client.post("/v1/auth/password-reset/confirmation", json=reset)).status_code == 204
    assert (await client.get("/v1/me", headers=bearing(tokens))).status_code == 401
    assert (await client.post("/v1/auth/login", json=credentials)).status_code == 401
    assert (await client.post("/v1/auth/login", json=credentials | {"password": NEXT})).status_code == 200
    again = await client.post("/v1/auth/password-reset/confirmation", json=reset)
    assert (again.status_code, again.json()["type"]) == (404, "/problems/one-time-token-not-found")
    await work()
    assert "was changed" in mailer.sent[-1].subject


async def test_nobody_learns_whether_an_address_has_an_account_by_asking_for_a_reset(
    client: AsyncClient, log_in: LogIn, credentials: dict[str, str], statements: list[str]
) -> None:
    answers, costs = [], []
    for email in (an_email(), credentials["email"], an_email()):
        before = len(statements)
        answers.append(await client.post("/v1/auth/password-reset", json={"email": email}))
        await asyncio.sleep(0)
        costs.append(statements[before:])
    assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}
    assert costs[1] == costs[2]  # the driver asks the server once for what a type is


async def test_mail_to_nobody_is_not_sent(
    client: AsyncClient, mailer: FakeMailer, work: Callable[[], Awaitable[None]]
) -> None:
    await client.post("/v1/auth/password-reset", json={"email": an_email()})
    await work()
    assert mailer.sent == []


async def test_too_many_mails_are_not_asked_for(client: AsyncClient) -> None:
    email = {"email": an_email()}
    for _ in range(MAILS_TO_ADDRESS):
        assert (await client.post("/v1/auth/password-reset", json=email)).status_code == 204
    refused = await client.post("/v1/auth/password-reset", json=email)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600


@pytest.mark.parametrize("token", ["", "guess", "\u0007", "é" * 4000])
async def test_what_is_no_mailed_secret_is_not_found(client: AsyncClient, log_in: LogIn, token: str) -> None:
    mine = bearing(await log_in())
    reset = await client.post("/v1/auth/password-reset/confirmation", json={"token": token, "password": NEXT})
    proof = await client.post(CONFIRMATION, json={"token": token}, headers=mine)
    assert (reset.status_code, proof.status_code) == (404, 404)
