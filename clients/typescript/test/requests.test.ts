/** Calls, problems, repetition, lists and changes, against the real service. */

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
    ConnectionError,
    ProblemError,
    type Schemas,
    anonymous,
    createClient,
    ifMatch,
    isProblem,
} from "api-client";
import {
    type Credentials,
    type Member,
    Network,
    type Service,
    logIn,
    page,
    refusal,
    register,
    startService,
} from "./support.js";

const TASKS = "/v1/workspaces/{workspace_id}/tasks";
const TASK = "/v1/tasks/{task_id}";
const PROVIDERS = "/v1/auth/providers"; // it has no entity tag, so it always answers alike

let service: Service;
let network: Network;
let ada: Credentials;
let api: Member;
let workspace_id: string;

before(async () => {
    service = await startService();
    network = await Network.before(service);
    ada = await register(service);
    api = await logIn(service, ada, network);
    const workspace = await api.post("/v1/workspaces", { body: { name: `Engines ${crypto.randomUUID()}` } });
    workspace_id = workspace.id;
});

after(async () => {
    await network.stop();
    await service.stop();
});

beforeEach(() => {
    network.exchanges.length = 0;
    assert.deepEqual(network.mishaps, []);
});

const inWorkspace = () => ({ params: { path: { workspace_id } } });
const of = (task: Schemas["TaskView"]) => ({ params: { path: { task_id: task.id } } });
const newTask = (title: string, more: Partial<Schemas["NewTask"]> = {}) =>
    api.post(TASKS, { ...inWorkspace(), body: { title, ...more } });

async function titles(): Promise<string[]> {
    const found: string[] = [];
    for await (const task of api.list(TASKS, inWorkspace())) found.push(task.title);
    return found;
}

async function failing(work: Promise<unknown>): Promise<ProblemError> {
    const error = await work.then(
        () => assert.fail("It succeeded."),
        (reason: unknown) => reason,
    );
    assert(error instanceof ProblemError, String(error));
    return error;
}

async function disconnected(work: Promise<unknown>): Promise<ConnectionError> {
    const error = await work.then(
        () => assert.fail("It succeeded."),
        (reason: unknown) => reason,
    );
    assert(error instanceof ConnectionError, String(error));
    return error;
}

describe("calls", () => {
    test("return what the service shows", async () => {
        const task = await newTask("Weave", { labels: ["loom"] });
        assert.deepEqual([task.title, task.status, task.labels], ["Weave", "open", ["loom"]]);
        const edited = await api.patch(TASK, { ...of(task), body: { title: "Weave more" } });
        assert.equal(edited.title, "Weave more");
        assert.deepEqual((await api.get(TASK, of(task))).title, "Weave more");
        assert.equal(await api.delete(TASK, of(task)), undefined);
        assert.equal((await failing(api.get(TASK, of(task)))).status, 404);
    });

    test("return problems instead of throwing them, where asked raw", async () => {
        const path = { task_id: crypto.randomUUID() };
        const { data, error, response } = await api.raw.GET(TASK, { params: { path } });
        assert.deepEqual([data, error?.type, response.status], [undefined, "/problems/task-not-found", 404]);
    });

    for (const id of ["", ".", "..", "../me", "x/completion", "..\\me"]) {
        test(`are not made to another path by the id ${JSON.stringify(id)}`, async () => {
            const call = api.get(TASK, { params: { path: { task_id: id } } });
            await assert.rejects(call, { name: "TypeError", message: /cannot be the task_id/ });
            assert.deepEqual(network.happened(), []);
        });
    }

    test("send an odd id as it is", async () => {
        assert.equal(
            (await failing(api.get(TASK, { params: { path: { task_id: "a b?c#d" } } }))).status,
            422,
        );
        assert.equal(network.exchanges[0]?.path, "/v1/tasks/a%20b%3Fc%23d");
    });
});

describe("problems", () => {
    test("are errors with a code", async () => {
        const error = await failing(api.get(TASK, { params: { path: { task_id: crypto.randomUUID() } } }));
        assert.equal(error.code, "task-not-found");
        assert.equal(error.type, "/problems/task-not-found");
        assert.equal(error.status, 404);
        assert.equal(error.message, error.detail);
        assert.match(error.instance, /^\/v1\/tasks\//);
        assert.match(error.traceId, /^[0-9a-f]{32}$/);
        assert.deepEqual(error.errors, []);
        assert.deepEqual({ ...error.fields }, {});
        assert(isProblem(error) && isProblem(error, "forbidden", "task-not-found"));
        assert(!isProblem(error, "forbidden") && !isProblem(new Error("task-not-found")));
    });

    test("tell a form which of its fields are wrong", async () => {
        const body = { title: "x", priority: "soon" as "high", labels: ["fine", 7 as unknown as string] };
        const error = await failing(api.post(TASKS, { ...inWorkspace(), body }));
        assert.equal(error.code, "invalid-request");
        assert.deepEqual(Object.keys(error.fields).sort(), ["labels.1", "priority"]);
        assert.deepEqual(error.fields["labels.1"], ["It must be a text."]);
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
        const { data, response } = await api.raw.POST(TASKS, { ...inWorkspace(), body: { title: "Once" } });
        const [first, second] = network.exchanges;
        assert.deepEqual(network.happened(), ["POST 201", "POST 201"]);
        assert.equal(first?.headers["idempotency-key"], second?.headers["idempotency-key"]);
        assert.equal(first?.answered["idempotency-replayed"], undefined);
        assert.equal(response.headers.get("idempotency-replayed"), "true");
        assert.equal(first?.answered.location, `/v1/tasks/${data?.id}`);
        assert.equal((await titles()).filter((title) => title === "Once").length, 1);
    });

    test("gives each call a key of its own, and keeps to one that is given", async () => {
        await newTask("A");
        await newTask("A");
        const header = { "Idempotency-Key": "mine" };
        const params = { ...inWorkspace().params, header };
        const one = await api.post(TASKS, { params, body: { title: "B" } });
        const same = await api.post(TASKS, { params, body: { title: "B" } });
        const keys = network.exchanges.map(({ headers }) => headers["idempotency-key"]);
        assert.match(String(keys[0]), /^[0-9a-f]{32}$/);
        assert.notEqual(keys[0], keys[1]);
        assert.deepEqual(keys.slice(2), ["mine", "mine"]);
        assert.equal(one.id, same.id);
        const reused = await failing(api.post(TASKS, { params, body: { title: "C" } }));
        assert.equal(reused.code, "idempotency-key-reused");
    });

    test("answers alike whoever sends the same key at the same time", async () => {
        const header = { "Idempotency-Key": "together" };
        const params = { ...inWorkspace().params, header };
        const calls = Array.from({ length: 5 }, () =>
            api.post(TASKS, { params, body: { title: "Together" } }),
        );
        const ids = new Set((await Promise.all(calls)).map((task) => task.id));
        assert.equal(ids.size, 1);
        assert.equal((await titles()).filter((title) => title === "Together").length, 1);
    });

    test("is never as somebody else, who has logged in meanwhile", async () => {
        const api = await logIn(service, await register(service), network);
        network.mishaps.push({ kind: "cut" });
        const creating = api.post("/v1/workspaces", { body: { name: `Mine ${crypto.randomUUID()}` } });
        while (network.exchanges[0]?.status !== 201) await sleep(1);
        await api.auth.logIn(await register(service));
        await creating;
        const creations = network.exchanges.filter(({ path }) => path === "/v1/workspaces");
        const [first, second] = creations.map(({ headers }) => headers.authorization);
        assert.equal(creations.length, 2);
        assert.equal(second, first);
    });

    test("waits for an attempt that is still being worked on", async () => {
        network.mishaps.push(refusal(409, "idempotency-key-in-use"));
        await newTask("Patience");
        assert.deepEqual(network.happened(), ["POST 0", "POST 201"]);
    });

    test("is not for other conflicts", async () => {
        network.mishaps.push(refusal(409, "stale"));
        assert.equal((await failing(newTask("Impatience"))).code, "stale");
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
        const task = await newTask("Quiet");
        network.happened();
        network.mishaps.push({ kind: "cut" }, { kind: "cut" });
        await disconnected(api.patch(TASK, { ...of(task), body: { title: "Done all the same" } }));
        await disconnected(api.post("/v1/auth/login", { body: ada }));
        assert.deepEqual(network.happened(), ["PATCH 200", "POST 200"]);
        assert.equal((await api.get(TASK, of(task))).title, "Done all the same");
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
    let all: string[];

    before(async () => {
        const workspace = await api.post("/v1/workspaces", {
            body: { name: `Long lists ${crypto.randomUUID()}` },
        });
        workspace_id = workspace.id;
        all = Array.from({ length: 250 }, (_, number) => `Task ${String(number).padStart(3, "0")}`);
        for (let first = 0; first < all.length; first += 25) {
            await Promise.all(all.slice(first, first + 25).map((title) => newTask(title)));
        }
    });

    test("are walked to their end", async () => {
        const query = { limit: 50, sort: "title" };
        const found: string[] = [];
        for await (const task of api.list(TASKS, { params: { ...inWorkspace().params, query } })) {
            found.push(task.title);
        }
        assert.deepEqual(found, all);
        assert.equal(network.exchanges.length, 5);
        assert(network.exchanges.every(({ path }) => path.includes("limit=50&sort=title")));
    });

    test("are asked for as far as somebody looks", async () => {
        const query = { limit: 50, sort: "title" };
        for await (const task of api.list(TASKS, { params: { ...inWorkspace().params, query } })) {
            if (task.title === "Task 060") break;
        }
        assert.equal(network.exchanges.length, 2);
    });

    test("are asked for by nobody before somebody looks", async () => {
        const tasks = api.list(TASKS, inWorkspace());
        assert.equal(network.exchanges.length, 0);
        await tasks[Symbol.asyncIterator]().next();
        assert.equal(network.exchanges.length, 1);
    });

    test("come by the page as well, with a total where one is asked for", async () => {
        const query = { limit: 100, count: "exact" } as const;
        const sizes: number[] = [];
        for await (const page of api.list(TASKS, { params: { ...inWorkspace().params, query } }).pages()) {
            sizes.push(page.items.length);
            assert.equal(page.total, 250);
        }
        assert.deepEqual(sizes, [100, 100, 50]);
    });

    test("go on from a cursor", async () => {
        const query = { limit: 100, sort: "title" };
        const first = await api.get(TASKS, { params: { ...inWorkspace().params, query } });
        const rest: string[] = [];
        const params = { ...inWorkspace().params, query: { ...query, cursor: first.next ?? "" } };
        for await (const task of api.list(TASKS, { params })) rest.push(task.title);
        assert.deepEqual(rest, all.slice(100));
    });

    test("end with a problem where there is one", async () => {
        const params = { ...inWorkspace().params, query: { cursor: "broken" } };
        const error = await failing(api.list(TASKS, { params })[Symbol.asyncIterator]().next());
        assert.equal(error.code, "invalid-cursor");
    });
});

describe("entity tags", () => {
    test("save the body of what has not changed", async () => {
        const task = await newTask("Same", { description: "long ".repeat(500) });
        const first = await api.get(TASK, of(task));
        network.happened();
        const second = await api.get(TASK, of(task));
        assert.deepEqual(second, first);
        assert.equal(network.exchanges[0]?.bytes, 0);
        assert.deepEqual(network.happened(), ["GET 304"]);
        await api.patch(TASK, { ...of(task), body: { title: "Other" } });
        assert.equal((await api.get(TASK, of(task))).title, "Other");
        assert.deepEqual(network.happened(), ["PATCH 200", "GET 200"]);
    });

    test("give everybody an object of their own", async () => {
        const task = await newTask("Mine");
        const first = await api.get(TASK, of(task));
        first.title = "Scribbled over";
        assert.equal((await api.get(TASK, of(task))).title, "Mine");
        assert.deepEqual(network.happened(), ["POST 201", "GET 200", "GET 304"]);
    });

    test("are left alone where the caller sends one", async () => {
        const task = await newTask("Raw");
        const { response } = await api.raw.GET(TASK, of(task));
        const header = { "If-None-Match": response.headers.get("etag") ?? "" };
        const again = await api.raw.GET(TASK, { params: { ...of(task).params, header } });
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
        const read = (id: number) => many.get(TASK, { params: { path: { task_id: String(id) } } });
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
        const task = await newTask("First");
        await api.patch(TASK, { ...of(task), body: { title: "Second" } });
        const params = { ...of(task).params, header: ifMatch(task) };
        const error = await failing(api.patch(TASK, { params, body: { title: "Third" } }));
        assert.deepEqual([error.status, error.code], [412, "precondition-failed"]);
        assert.equal((await api.get(TASK, of(task))).title, "Second");
    });

    test("are made where it is still the same", async () => {
        const task = await newTask("First");
        const params = { ...of(task).params, header: ifMatch(task) };
        const edited = await api.patch(TASK, { params, body: { title: "Second" } });
        assert(edited.version > task.version);
        assert.equal((await failing(api.delete(TASK, { params }))).code, "precondition-failed");
        await api.delete(TASK, { params: { ...params, header: ifMatch(edited) } });
    });

    test("by twenty at once lose nothing", async () => {
        const task = await newTask("Crowded");
        const writers = Array.from({ length: 20 }, (_, number) => `line ${number}`);
        let calls = 0;
        await Promise.all(
            writers.map((line) =>
                api.edit(TASK, of(task), ({ description }) => {
                    calls += 1;
                    return { description: `${description}\n${line}` };
                }),
            ),
        );
        const { description } = await api.get(TASK, of(task));
        assert.deepEqual(description.trim().split("\n").sort(), writers.sort());
        assert(calls > 20, "Nobody was in anybody's way, so this has shown nothing.");
        assert(network.exchanges.some(({ method, status }) => method === "PATCH" && status === 412));
    });

    test("begin anew with what another has made of it", async () => {
        const task = await newTask("Contested", { labels: ["mine"] });
        let first = true;
        const edited = await api.edit(TASK, of(task), async ({ labels }) => {
            if (first) await api.patch(TASK, { ...of(task), body: { labels: ["mine", "theirs"] } });
            first = false;
            return { labels: [...labels, "ours"] };
        });
        assert.deepEqual(edited.labels, ["mine", "ours", "theirs"]);
    });

    test("that are none are not sent", async () => {
        const task = await newTask("Content");
        network.happened();
        const same = await api.edit(TASK, of(task), () => null);
        assert.equal(same.title, "Content");
        assert.deepEqual(network.happened(), ["GET 200"]);
    });

    test("are given up after so many attempts", async () => {
        const task = await newTask("Busy");
        let count = 0;
        const edit = api.edit(
            TASK,
            of(task),
            async () => {
                await api.patch(TASK, { ...of(task), body: { description: `${++count}` } });
                return { title: "Never" };
            },
            { attempts: 3 },
        );
        assert.equal((await failing(edit)).code, "precondition-failed");
        assert.equal(count, 3);
    });

    test("that are wrong are not repeated", async () => {
        const task = await newTask("Right");
        network.happened();
        const error = await failing(api.edit(TASK, of(task), () => ({ title: "" })));
        assert.equal(error.status, 422);
        assert.deepEqual(network.happened(), ["GET 200", "PATCH 422"]);
    });
});
