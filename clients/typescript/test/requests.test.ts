/** Calls, problems, repetition, lists and changes, against the real service. */

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ProblemError, type Schemas, anonymous, createClient, ifMatch, isProblem } from "api-client";
import {
    type Credentials,
    type Member,
    Network,
    type Service,
    disconnected,
    failing,
    logIn,
    page,
    refusal,
    register,
    startService,
} from "./support.js";

const WORKSPACES = "/v1/workspaces";
const WORKSPACE = "/v1/workspaces/{workspace_id}";
const PROVIDERS = "/v1/auth/providers"; // it has no entity tag, so it always answers alike

let service: Service;
let network: Network;
let ada: Credentials;
let api: Member;

before(async () => {
    service = await startService();
    network = await Network.before(service);
    ada = await register(service);
    api = await logIn(service, ada, network);
});

after(async () => {
    await network.stop();
    await service.stop();
});

beforeEach(() => {
    network.exchanges.length = 0;
    assert.deepEqual(network.mishaps, []);
});

const by = (id: string) => ({ params: { path: { workspace_id: id } } });
const of = (workspace: Schemas["WorkspaceView"]) => by(workspace.id);
const newWorkspace = (name: string) => api.post(WORKSPACES, { body: { name } });

async function names(): Promise<string[]> {
    const found: string[] = [];
    for await (const workspace of api.list(WORKSPACES)) found.push(workspace.name);
    return found;
}

describe("calls", () => {
    test("return what the service shows", async () => {
        const workspace = await newWorkspace("Looms");
        assert.deepEqual([workspace.name, workspace.role, workspace.archived_at], ["Looms", "owner", null]);
        const edited = await api.patch(WORKSPACE, { ...of(workspace), body: { name: "Mills" } });
        assert.equal(edited.name, "Mills");
        assert.deepEqual(await api.get(WORKSPACE, of(workspace)), edited);
        assert.equal(await api.delete(WORKSPACE, of(workspace)), undefined);
        assert.equal((await failing(api.get(WORKSPACE, of(workspace)))).status, 404);
    });

    test("return problems instead of throwing them, where asked raw", async () => {
        const { data, error, response } = await api.raw.GET(WORKSPACE, by(crypto.randomUUID()));
        assert.deepEqual(
            [data, error?.type, response.status],
            [undefined, "/problems/workspace-not-found", 404],
        );
    });

    for (const id of ["", ".", "..", "../me", "x/archival", "..\\me"]) {
        test(`are not made to another path by the id ${JSON.stringify(id)}`, async () => {
            const call = api.get(WORKSPACE, by(id));
            await assert.rejects(call, { name: "TypeError", message: /cannot be the workspace_id/ });
            assert.deepEqual(network.happened(), []);
        });
    }

    test("send an odd id as it is", async () => {
        assert.equal((await failing(api.get(WORKSPACE, by("a b?c#d")))).status, 422);
        assert.equal(network.exchanges[0]?.path, "/v1/workspaces/a%20b%3Fc%23d");
    });
});

describe("problems", () => {
    test("are errors with a code", async () => {
        const error = await failing(api.get(WORKSPACE, by(crypto.randomUUID())));
        assert.equal(error.code, "workspace-not-found");
        assert.equal(error.type, "/problems/workspace-not-found");
        assert.equal(error.status, 404);
        assert.equal(error.message, error.detail);
        assert.match(error.instance, /^\/v1\/workspaces\//);
        assert.match(error.traceId, /^[0-9a-f]{32}$/);
        assert.deepEqual(error.errors, []);
        assert.deepEqual({ ...error.fields }, {});
        assert(isProblem(error) && isProblem(error, "forbidden", "workspace-not-found"));
        assert(!isProblem(error, "forbidden") && !isProblem(new Error("workspace-not-found")));
    });

    test("tell a form which of its fields are wrong", async () => {
        const { params } = of(await newWorkspace("Guests"));
        const body = { email: 7 as unknown as string, role: "king" as "admin" };
        const error = await failing(api.post("/v1/workspaces/{workspace_id}/invitations", { params, body }));
        assert.equal(error.code, "invalid-request");
        assert.deepEqual(Object.keys(error.fields).sort(), ["email", "role"]);
        assert.deepEqual(error.fields.email, ["It must be a text."]);
    });

    test("name fields whatever characters they have", () => {
        const errors = [
            { pointer: "#/a~1b/c~0d/%C3%A9", code: "x", detail: "One." },
            { pointer: "#/a~1b/c~0d/%C3%A9", code: "x", detail: "Two." },
            { pointer: "#", code: "x", detail: "All of it." },
            { pointer: "#/__proto__", code: "x", detail: "Odd." },
        ];
        const problem = { title: "", status: 422, detail: "", instance: "", trace_id: "", errors };
        const { fields } = new ProblemError({ type: "/problems/invalid-request", ...problem });
        assert.deepEqual(Object.entries(fields), [
            ["a/b.c~d.é", ["One.", "Two."]],
            ["", ["All of it."]],
            ["__proto__", ["Odd."]],
        ]);
    });

    test("that are newer than the client are unknown", async () => {
        network.mishaps.push(refusal(409, "brand-new"), page(418));
        const error = await failing(api.get("/v1/me"));
        assert.deepEqual([error.code, error.type], ["unknown", "/problems/brand-new"]);
        const other = await disconnected(api.get("/v1/me"));
        assert.match(other.message, /418.*text\/html/);
        assert.equal(other.status, 418);
    });

    test("of OAuth's endpoints are errors as well", async () => {
        const nobody = createClient({ baseUrl: service.url });
        const body = { grant_type: "password", username: "nobody@example.com", password: "wrong" } as const;
        const headers = { "Content-Type": "application/x-www-form-urlencoded" };
        const error = await failing(nobody.post("/v1/auth/token", { body, headers }));
        assert.deepEqual([error.status, error.code], [400, "invalid-grant"]);
    });

    test("of the connection are errors of their own", async () => {
        const nowhere = createClient({ baseUrl: "http://127.0.0.1:9", retry: { attempts: 1 } });
        const error = await disconnected(nowhere.get("/v1/auth/providers"));
        assert.equal(error.status, undefined);
        assert(error.cause instanceof TypeError);
    });

    test("are what a page of HTML is that comes with a 200", async () => {
        network.mishaps.push(page(200));
        assert.match((await disconnected(api.get("/v1/me"))).message, /not JSON/);
    });
});

describe("repetition", () => {
    test("creates once what was created before the connection broke", async () => {
        network.mishaps.push({ kind: "cut" });
        const { data, response } = await api.raw.POST(WORKSPACES, { body: { name: "Once" } });
        const [first, second] = network.exchanges;
        assert.deepEqual(network.happened(), ["POST 201", "POST 201"]);
        assert.equal(first?.headers["idempotency-key"], second?.headers["idempotency-key"]);
        assert.equal(first?.answered["idempotency-replayed"], undefined);
        assert.equal(response.headers.get("idempotency-replayed"), "true");
        assert.equal(first?.answered.location, `/v1/workspaces/${data?.id}`);
        assert.equal((await names()).filter((name) => name === "Once").length, 1);
    });

    test("gives each call a key of its own, and keeps to one that is given", async () => {
        await newWorkspace("A");
        await newWorkspace("A");
        const header = { "Idempotency-Key": "mine" };
        const params = { header };
        const one = await api.post(WORKSPACES, { params, body: { name: "B" } });
        const same = await api.post(WORKSPACES, { params, body: { name: "B" } });
        const keys = network.exchanges.map(({ headers }) => headers["idempotency-key"]);
        assert.match(String(keys[0]), /^[0-9a-f]{32}$/);
        assert.notEqual(keys[0], keys[1]);
        assert.deepEqual(keys.slice(2), ["mine", "mine"]);
        assert.equal(one.id, same.id);
        const reused = await failing(api.post(WORKSPACES, { params, body: { name: "C" } }));
        assert.equal(reused.code, "idempotency-key-reused");
    });

    test("answers alike whoever sends the same key at the same time", async () => {
        const header = { "Idempotency-Key": "together" };
        const params = { header };
        const calls = Array.from({ length: 5 }, () =>
            api.post(WORKSPACES, { params, body: { name: "Together" } }),
        );
        const ids = new Set((await Promise.all(calls)).map((workspace) => workspace.id));
        assert.equal(ids.size, 1);
        assert.equal((await names()).filter((name) => name === "Together").length, 1);
    });

    test("is never as somebody else, who has logged in meanwhile", async () => {
        const api = await logIn(service, await register(service), network);
        network.mishaps.push({ kind: "cut" });
        const creating = api.post(WORKSPACES, { body: { name: "Mine" } });
        while (network.exchanges[0]?.status !== 201) await sleep(1);
        await api.auth.logIn(await register(service));
        await creating;
        const creations = network.exchanges.filter(({ path }) => path === WORKSPACES);
        const [first, second] = creations.map(({ headers }) => headers.authorization);
        assert.equal(creations.length, 2);
        assert.equal(second, first);
    });

    test("waits for an attempt that is still being worked on", async () => {
        network.mishaps.push(refusal(409, "idempotency-key-in-use"));
        await newWorkspace("Patience");
        assert.deepEqual(network.happened(), ["POST 0", "POST 201"]);
    });

    test("is not for other conflicts", async () => {
        network.mishaps.push(refusal(409, "stale"));
        assert.equal((await failing(newWorkspace("Impatience"))).code, "stale");
        assert.deepEqual(network.happened(), ["POST 0"]);
    });

    test("reads again what was cut off in the middle", async () => {
        network.mishaps.push({ kind: "cut within" });
        assert.deepEqual((await api.get(PROVIDERS)).items, []);
        assert.deepEqual(network.happened(), ["GET 200", "GET 200"]);
    });

    test("goes on while a proxy does not reach the service, up to a bound", async () => {
        network.mishaps.push(page(502), page(503), page(504));
        await api.get(PROVIDERS);
        assert.deepEqual(network.happened(), ["GET 0", "GET 0", "GET 0", "GET 200"]);
        network.mishaps.push(page(502), page(502), page(502), page(502));
        assert.equal((await disconnected(api.get(PROVIDERS))).status, 502);
        assert.equal(network.happened().length, 4);
    });

    test("is not for a PATCH, nor for a POST without a key", async () => {
        const workspace = await newWorkspace("Quiet");
        network.happened();
        network.mishaps.push({ kind: "cut" }, { kind: "cut" });
        await disconnected(api.patch(WORKSPACE, { ...of(workspace), body: { name: "Done all the same" } }));
        await disconnected(api.post("/v1/auth/login", { body: ada }));
        assert.deepEqual(network.happened(), ["PATCH 200", "POST 200"]);
        assert.equal((await api.get(WORKSPACE, of(workspace))).name, "Done all the same");
    });

    test("waits as long as the service asks for, if that is not too long", async () => {
        network.mishaps.push(refusal(503, "unavailable", { "retry-after": "1" }));
        const started = performance.now();
        await api.get(PROVIDERS);
        assert(performance.now() - started >= 1000);
        network.mishaps.push(refusal(503, "unavailable", { "retry-after": "3600" }));
        const error = await failing(api.get(PROVIDERS));
        assert.deepEqual([error.code, error.retryAfter], ["unavailable", 3600]);
        assert.deepEqual(network.happened(), ["GET 0", "GET 200", "GET 0"]);
    });

    test("is for everything that was refused for its number, and tells what is left", async () => {
        const service = await startService({ RATE_LIMITS: "default=2/2,login=1/3" });
        const told: string[] = [];
        const waiting = createClient({
            baseUrl: service.url,
            onRateLimits: (limits) => {
                for (const { policy, quota, windowSeconds, left } of limits)
                    told.push(`${policy} ${left} of ${quota} in ${windowSeconds}`);
            },
        });
        try {
            for (let request = 0; request < 3; request++) await waiting.get(PROVIDERS);
            const wrong = { ...ada, password: "not the one that it is" };
            for (let request = 0; request < 2; request++)
                assert.equal((await failing(waiting.post("/v1/auth/login", { body: wrong }))).status, 401);
            const hasty = createClient({ baseUrl: service.url, retry: { longestWait: 1 } });
            const error = await failing(hasty.post("/v1/auth/login", { body: wrong }));
            assert.deepEqual([error.code, error.violatedPolicies], ["quota-exceeded", ["login"]]);
            assert(error.retryAfter !== undefined && error.retryAfter >= 1 && error.retryAfter <= 3);
        } finally {
            await service.stop();
        }
        assert.deepEqual(told.slice(0, 3), [
            "default 1 of 2 in 2",
            "default 0 of 2 in 2",
            "default 0 of 2 in 2",
        ]);
        assert(told.includes("login 0 of 1 in 3"));
    });

    test("is not for what took the service too long", async () => {
        network.mishaps.push(refusal(504, "timed-out"));
        assert.equal((await failing(api.get(PROVIDERS))).code, "timed-out");
        assert.deepEqual(network.happened(), ["GET 0"]);
    });

    test("can be switched off", async () => {
        const once = createClient({ baseUrl: network.url, retry: { attempts: 1 } });
        network.mishaps.push({ kind: "cut" });
        await disconnected(once.get(PROVIDERS));
        assert.deepEqual(network.happened(), ["GET 200"]);
    });

    test("ends when it is aborted", async () => {
        network.mishaps.push(refusal(503, "unavailable", { "retry-after": "5" }));
        const controller = new AbortController();
        const call = api.get(PROVIDERS, { signal: controller.signal });
        while (network.exchanges.length === 0) await sleep(5);
        const aborted = performance.now();
        setTimeout(() => controller.abort(new Error("Enough.")), 100);
        await assert.rejects(call, { message: "Enough." });
        assert(performance.now() - aborted < 2000);
        assert.deepEqual(network.happened(), ["GET 0"]);
    });

    test("does not begin where an answer is aborted", async (context) => {
        network.delay = 500;
        context.after(() => (network.delay = 0));
        const calls = [
            (signal: AbortSignal) => api.get(PROVIDERS, { signal }),
            (signal: AbortSignal) => api.patch("/v1/me", { body: {}, signal }),
        ];
        for (const call of calls) {
            const controller = new AbortController();
            const aborted = call(controller.signal);
            while (network.exchanges.length === 0) await sleep(5);
            controller.abort();
            await assert.rejects(aborted, { name: "AbortError" });
            await sleep(600);
            assert.equal(network.happened().length, 1);
        }
    });
});

describe("lists", () => {
    let reader: Member;
    let all: string[]; // the newest first, as they are listed

    before(async () => {
        reader = await logIn(service, await register(service), network);
        for (let first = 0; first < 120; first += 20) {
            const names = Array.from({ length: 20 }, (_, number) => `Long list ${first + number}`);
            await Promise.all(names.map((name) => reader.post(WORKSPACES, { body: { name } })));
        }
        const params = { query: { limit: 100 } };
        const first = await reader.get(WORKSPACES, { params });
        const last = await reader.get(WORKSPACES, {
            params: { query: { limit: 100, cursor: first.next ?? "" } },
        });
        all = [...first.items, ...last.items].map(({ name }) => name);
        assert.equal(new Set(all).size, 120);
    });

    test("are walked to their end", async () => {
        const found: string[] = [];
        for await (const { name } of reader.list(WORKSPACES, { params: { query: { limit: 25 } } })) {
            found.push(name);
        }
        assert.deepEqual(found, all);
        assert.equal(network.exchanges.length, 5);
        assert(network.exchanges.every(({ path }) => path.includes("limit=25")));
    });

    test("are asked for as far as somebody looks", async () => {
        for await (const { name } of reader.list(WORKSPACES, { params: { query: { limit: 25 } } })) {
            if (name === all[30]) break;
        }
        assert.equal(network.exchanges.length, 2);
    });

    test("are asked for by nobody before somebody looks", async () => {
        const workspaces = reader.list(WORKSPACES);
        assert.equal(network.exchanges.length, 0);
        await workspaces[Symbol.asyncIterator]().next();
        assert.equal(network.exchanges.length, 1);
    });

    test("come by the page as well, with a total where one is asked for", async () => {
        const query = { limit: 50, count: "exact" } as const;
        const sizes: number[] = [];
        for await (const page of reader.list(WORKSPACES, { params: { query } }).pages()) {
            sizes.push(page.items.length);
            assert.equal(page.total, 120);
        }
        assert.deepEqual(sizes, [50, 50, 20]);
    });

    test("go on from a cursor", async () => {
        const first = await reader.get(WORKSPACES, { params: { query: { limit: 50 } } });
        const rest: string[] = [];
        const query = { limit: 50, cursor: first.next ?? "" };
        for await (const { name } of reader.list(WORKSPACES, { params: { query } })) rest.push(name);
        assert.deepEqual(rest, all.slice(50));
    });

    test("end with a problem where there is one", async () => {
        const params = { query: { cursor: "broken" } };
        const error = await failing(reader.list(WORKSPACES, { params })[Symbol.asyncIterator]().next());
        assert.equal(error.code, "invalid-cursor");
    });
});

describe("entity tags", () => {
    test("save the body of what has not changed", async () => {
        const workspace = await newWorkspace("Same");
        const first = await api.get(WORKSPACE, of(workspace));
        network.happened();
        const second = await api.get(WORKSPACE, of(workspace));
        assert.deepEqual(second, first);
        assert.equal(network.exchanges[0]?.bytes, 0);
        assert.deepEqual(network.happened(), ["GET 304"]);
        await api.patch(WORKSPACE, { ...of(workspace), body: { name: "Other" } });
        assert.equal((await api.get(WORKSPACE, of(workspace))).name, "Other");
        assert.deepEqual(network.happened(), ["PATCH 200", "GET 200"]);
    });

    test("give everybody an object of their own", async () => {
        const workspace = await newWorkspace("Mine");
        const first = await api.get(WORKSPACE, of(workspace));
        first.name = "Scribbled over";
        assert.equal((await api.get(WORKSPACE, of(workspace))).name, "Mine");
        assert.deepEqual(network.happened(), ["POST 201", "GET 200", "GET 304"]);
    });

    test("are left alone where the caller sends one", async () => {
        const workspace = await newWorkspace("Raw");
        const { response } = await api.raw.GET(WORKSPACE, of(workspace));
        const header = { "If-None-Match": response.headers.get("etag") ?? "" };
        const again = await api.raw.GET(WORKSPACE, { params: { ...of(workspace).params, header } });
        assert.equal(again.response.status, 304);
    });

    test("are kept for the hundred things that were read last", async () => {
        const asked: [string, boolean][] = [];
        const many = createClient({
            baseUrl: "http://things",
            auth: anonymous(),
            fetch: async (request) => {
                const known = request.headers.has("if-none-match");
                asked.push([request.url, known]);
                const headers = { etag: '"1-a"', "content-type": "application/json" };
                return known ? new Response(null, { status: 304 }) : new Response("{}", { headers });
            },
        });
        const read = (id: number) => many.get(WORKSPACE, by(String(id)));
        for (let id = 0; id < 100; id++) await read(id);
        await read(0);
        await read(100);
        asked.length = 0;
        for (const id of [0, 1, 2]) await read(id);
        assert.deepEqual(
            asked.map(([, known]) => known),
            [true, false, false], // what was read again is kept; for 100 went 1, and for 1 goes 2
        );
    });
});

describe("changes", () => {
    test("are refused where the version is another one by now", async () => {
        const workspace = await newWorkspace("First");
        await api.patch(WORKSPACE, { ...of(workspace), body: { name: "Second" } });
        const params = { ...of(workspace).params, header: ifMatch(workspace) };
        const error = await failing(api.patch(WORKSPACE, { params, body: { name: "Third" } }));
        assert.deepEqual([error.status, error.code], [412, "precondition-failed"]);
        assert.equal((await api.get(WORKSPACE, of(workspace))).name, "Second");
    });

    test("are made where it is still the same", async () => {
        const workspace = await newWorkspace("First");
        const params = { ...of(workspace).params, header: ifMatch(workspace) };
        const edited = await api.patch(WORKSPACE, { params, body: { name: "Second" } });
        assert(edited.version > workspace.version);
        assert.equal((await failing(api.delete(WORKSPACE, { params }))).code, "precondition-failed");
        await api.delete(WORKSPACE, { params: { ...params, header: ifMatch(edited) } });
    });

    test("by twenty at once lose nothing", async () => {
        const workspace = await newWorkspace("Crowded");
        const writers = [..."ABCDEFGHIJKLMNOPQRST"];
        let calls = 0;
        await Promise.all(
            writers.map((letter) =>
                api.edit(WORKSPACE, of(workspace), ({ name }) => {
                    calls += 1;
                    return { name: `${name} ${letter}` };
                }),
            ),
        );
        const { name } = await api.get(WORKSPACE, of(workspace));
        assert.deepEqual(name.split(" ").slice(1).sort(), writers);
        assert(calls > 20, "Nobody was in anybody's way, so this has shown nothing.");
        assert(network.exchanges.some(({ method, status }) => method === "PATCH" && status === 412));
    });

    test("begin anew with what another has made of it", async () => {
        const workspace = await newWorkspace("mine");
        let first = true;
        const edited = await api.edit(WORKSPACE, of(workspace), async ({ name }) => {
            if (first) await api.patch(WORKSPACE, { ...of(workspace), body: { name: "mine, theirs" } });
            first = false;
            return { name: `${name}, ours` };
        });
        assert.equal(edited.name, "mine, theirs, ours");
    });

    test("that are none are not sent", async () => {
        const workspace = await newWorkspace("Content");
        network.happened();
        const same = await api.edit(WORKSPACE, of(workspace), () => null);
        assert.equal(same.name, "Content");
        assert.deepEqual(network.happened(), ["GET 200"]);
    });

    test("are given up after so many attempts", async () => {
        const workspace = await newWorkspace("Busy");
        let count = 0;
        const edit = api.edit(
            WORKSPACE,
            of(workspace),
            async () => {
                await api.patch(WORKSPACE, { ...of(workspace), body: { name: `Busy ${++count}` } });
                return { name: "Never" };
            },
            { attempts: 3 },
        );
        assert.equal((await failing(edit)).code, "precondition-failed");
        assert.equal(count, 3);
    });

    test("that are wrong are not repeated", async () => {
        const workspace = await newWorkspace("Right");
        network.happened();
        const error = await failing(api.edit(WORKSPACE, of(workspace), () => ({ name: "" })));
        assert.equal(error.status, 422);
        assert.deepEqual(network.happened(), ["GET 200", "PATCH 422"]);
    });
});
