/** Logging in and out, and what happens when tokens come to their end, against the real service. */

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
    type ApiClient,
    ProblemError,
    type TokenStore,
    type Tokens,
    accessTokens,
    cookieSession,
    createClient,
    memoryStore,
    passwordSession,
} from "api-client";
import {
    Browser,
    type Credentials,
    Network,
    type Service,
    logIn,
    refusal,
    register,
    startService,
} from "./support.js";

const PAGE = "https://app.example.com";
const LIFETIME = 60; // seconds

let service: Service;
let network: Network;
let instance: Service;
let lenient: ApiClient;
let ada: Credentials;

before(async () => {
    const issuer = { PUBLIC_URL: "http://localhost:8000" };
    const strict = {
        ...issuer,
        APP_URL: PAGE,
        AUTH_ACCESS_TOKEN_SECONDS: String(LIFETIME),
        AUTH_REFRESH_GRACE_SECONDS: "0",
    };
    [service, instance] = await Promise.all([startService(strict), startService(issuer)]);
    network = await Network.before(service);
    lenient = createClient({ baseUrl: instance.url }); // its tokens live longer than the other instance allows
    ada = await register(service);
});

after(async () => {
    await network.stop();
    await Promise.all([service.stop(), instance.stop()]);
});

beforeEach(() => {
    network.exchanges.length = 0;
    network.delay = 0;
});

const refreshes = () => network.exchanges.filter(({ path }) => path === "/v1/auth/refresh").length;
const refused = () => network.exchanges.filter(({ status }) => status === 401).length;
const code = (error: unknown) => (error instanceof ProblemError ? error.code : String(error));
const codeOf = (work: Promise<unknown>) => work.then(() => "success", code);

/** Somebody logged in by way of the network, and where their tokens are. */
async function inStore(store: TokenStore = memoryStore(), onEnd = () => {}) {
    const api = createClient({ baseUrl: network.url, auth: passwordSession({ store, onEnd }) });
    await api.auth.logIn(ada);
    network.exchanges.length = 0;
    return { api, store, kept: async () => (await store.get()) as Tokens };
}

async function twenty(...clients: { get(path: "/v1/me"): Promise<{ email: string | null }> }[]) {
    const calls = clients.flatMap((api) => Array.from({ length: 20 }, () => api.get("/v1/me")));
    for (const { email } of await Promise.all(calls)) assert.equal(email, ada.email);
}

describe("a password", () => {
    test("opens a session, and logging out ends it", async () => {
        const { api, kept } = await inStore();
        assert.equal((await api.get("/v1/me")).email, ada.email);
        assert.equal(await api.auth.isLoggedIn(), true);
        const { accessToken, refreshToken } = await kept();
        await api.auth.logOut();
        assert.equal(await api.auth.isLoggedIn(), false);
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
        const nobody = createClient({ baseUrl: service.url });
        const body = { refresh_token: refreshToken };
        assert.equal(await codeOf(nobody.post("/v1/auth/refresh", { body })), "session-ended");
        assert.notEqual(accessToken, "");
    });

    test("that is wrong opens none", async () => {
        const api = createClient({ baseUrl: network.url, auth: passwordSession() });
        assert.equal(await codeOf(api.auth.logIn({ ...ada, password: "wrong" })), "wrong-credentials");
        assert.equal(await api.auth.isLoggedIn(), false);
    });

    test("is not tried again by itself when it is wrong", async () => {
        const { api } = await inStore();
        const body = { current_password: "wrong", new_password: "another violet kettle hums" };
        const error = await api.post("/v1/me/password", { body }).catch((reason: unknown) => reason);
        assert(error instanceof ProblemError);
        assert.deepEqual([network.exchanges.length, refreshes()], [1, 0]);
    });

    test("that was wrong too often has to wait, and the client does not", async () => {
        const eve = await register(service);
        const api = createClient({ baseUrl: network.url, auth: passwordSession() });
        for (let count = 0; count < 10; count++) {
            await codeOf(api.auth.logIn({ ...eve, password: "wrong" }));
        }
        network.exchanges.length = 0;
        const error = await api.auth.logIn(eve).catch((reason: unknown) => reason);
        assert(error instanceof ProblemError && error.status === 429);
        assert(error.retryAfter !== undefined && error.retryAfter > 60);
        assert.equal(network.exchanges.length, 1);
    });

    test("is not needed for tokens that came in another way", async () => {
        const pair = await createClient({ baseUrl: service.url }).post("/v1/auth/login", { body: ada });
        const api = createClient({ baseUrl: network.url, auth: passwordSession() });
        await api.auth.adopt(pair);
        assert.equal((await api.get("/v1/me")).email, ada.email);
    });
});

describe("a session", () => {
    test("is renewed once for twenty requests, before its token comes to its end", async () => {
        const { api, store, kept } = await inStore();
        const before = await kept();
        await store.set({ ...before, refreshAt: Date.now() });
        await twenty(api);
        assert.deepEqual([refreshes(), refused(), network.exchanges.length], [1, 0, 21]);
        const now = await kept();
        assert.notEqual(now.refreshToken, before.refreshToken);
        const left = (now.refreshAt - Date.now()) / 1000;
        assert(left > LIFETIME * 0.8 && left <= LIFETIME * 0.9, `${left} s`);
        await twenty(api);
        assert.equal(refreshes(), 1);
    });

    test("is renewed once for twenty requests whose token was refused, as good as it looked", async () => {
        const { api, kept } = await inStore();
        await api.auth.adopt(await lenient.post("/v1/auth/login", { body: ada }));
        assert((await kept()).refreshAt > Date.now() + 60_000);
        await twenty(api);
        assert.deepEqual([refreshes(), refused(), network.exchanges.length], [1, 20, 41]);
    });

    test("is renewed once by two tabs that share it", async () => {
        let last: Promise<unknown> = Promise.resolve();
        const shared: TokenStore = {
            ...memoryStore(),
            exclusively: (work) => {
                const result = last.then(work);
                last = result.catch(() => {});
                return result;
            },
        };
        const { api, kept } = await inStore(shared);
        const other = createClient({ baseUrl: network.url, auth: passwordSession({ store: shared }) });
        await shared.set({ ...(await kept()), refreshAt: Date.now() });
        await twenty(api, other);
        assert.equal(refreshes(), 1);
        await shared.set({ ...(await kept()), accessToken: "nonsense" });
        await twenty(api, other);
        assert.equal(refreshes(), 2);
    });

    test("is over for a client whose refresh token was used before", async () => {
        let ends = 0;
        const { api, store, kept } = await inStore(memoryStore(), () => (ends += 1));
        const stolen = await kept();
        await createClient({ baseUrl: service.url }).post("/v1/auth/refresh", {
            body: { refresh_token: stolen.refreshToken },
        });
        await store.set({ ...stolen, refreshAt: Date.now() });
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
        assert.deepEqual([ends, await api.auth.isLoggedIn(), refreshes()], [1, false, 1]);
    });

    test("goes on with the tokens of whoever was faster, and is over where there are none", async () => {
        let ends = 0;
        const { api, store, kept } = await inStore(memoryStore(), () => (ends += 1));
        const theirs = await kept();
        const tardy = (): TokenStore => {
            let reads = 0;
            const mine = { ...theirs, refreshToken: "mine", refreshAt: 0 };
            return { ...store, get: () => ((reads += 1) <= 2 ? mine : theirs) };
        };
        const slower = createClient({ baseUrl: network.url, auth: passwordSession({ store: tardy() }) });
        network.mishaps.push(refusal(409, "refreshed-elsewhere"));
        assert.equal((await slower.get("/v1/me")).email, ada.email);
        await store.set({ ...theirs, refreshAt: Date.now() });
        network.mishaps.push(refusal(409, "refreshed-elsewhere"));
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
        assert.deepEqual([ends, await store.get()], [1, null]);
    });

    test("is not over because the network is", async () => {
        const { api, store, kept } = await inStore();
        await store.set({ ...(await kept()), refreshAt: Date.now() });
        network.mishaps.push(refusal(503, "unavailable", { "retry-after": "60" }));
        assert.equal(await codeOf(api.get("/v1/me")), "unavailable");
        assert.equal((await api.get("/v1/me")).email, ada.email);
        assert.equal(refreshes(), 2);
    });

    test("is renewed for all who wait, also when one of them gives up", async () => {
        const { api, store, kept } = await inStore();
        await store.set({ ...(await kept()), refreshAt: Date.now() });
        network.delay = 300;
        const hasty = api.get("/v1/me", { signal: AbortSignal.timeout(100) });
        const patient = api.get("/v1/me");
        await assert.rejects(hasty, { name: "TimeoutError" });
        assert.equal((await patient).email, ada.email);
        assert.equal(refreshes(), 1);
    });

    test("does not come back after logging out while it was being renewed", async () => {
        const { api, store, kept } = await inStore();
        await store.set({ ...(await kept()), refreshAt: Date.now() });
        network.delay = 200;
        const read = codeOf(api.get("/v1/me"));
        while (refreshes() === 0) await sleep(5);
        await api.auth.logOut();
        await read;
        assert.equal(await store.get(), null);
    });
});

describe("a cookie", () => {
    const page = (browser: Browser) =>
        createClient({ baseUrl: service.url, auth: cookieSession(), fetch: browser.fetch });

    test("keeps a session that may read and change", async () => {
        const browser = new Browser(PAGE);
        const api = page(browser);
        await api.auth.logIn(ada);
        assert.equal((await api.get("/v1/me")).email, ada.email);
        assert.deepEqual(browser.asked(), ["POST /v1/auth/cookie", "GET /v1/me"]);
        const names = Array.from({ length: 3 }, () => crypto.randomUUID());
        await Promise.all(names.map((name) => api.post("/v1/workspaces", { body: { name } })));
        const asked = browser.asked();
        assert.equal(asked.filter((request) => request === "GET /v1/auth/cookie").length, 1);
        assert.equal(asked.length, 4);
        await api.auth.logOut();
        assert.deepEqual([...browser.cookies.keys()], ["__Host-device"]); // the browser stays known
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
    });

    test("that another tab has replaced needs another token, and gets it", async () => {
        const browser = new Browser(PAGE);
        const api = page(browser);
        await api.auth.logIn(ada);
        await api.patch("/v1/me", { body: { display_name: "Ada L." } });
        await page(browser).auth.logIn(ada);
        browser.asked();
        await api.patch("/v1/me", { body: { display_name: "Ada" } });
        assert.deepEqual(browser.asked(), ["PATCH /v1/me", "GET /v1/auth/cookie", "PATCH /v1/me"]);
    });

    test("is nothing that a change waits for where nobody is logged in", async () => {
        const browser = new Browser(PAGE);
        const api = page(browser);
        assert.equal(await codeOf(api.patch("/v1/me", { body: { display_name: "Eve" } })), "unauthenticated");
        await page(browser).auth.logIn(ada);
        browser.asked();
        await api.patch("/v1/me", { body: { display_name: "Ada" } });
        assert.deepEqual(browser.asked(), ["GET /v1/auth/cookie", "PATCH /v1/me"]);
    });

    test("of a page on another origin is refused once", async () => {
        const browser = new Browser("https://evil.example");
        const api = page(browser);
        assert.equal(await codeOf(api.auth.logIn(ada)), "foreign-origin");
        assert.deepEqual(browser.asked(), ["POST /v1/auth/cookie"]);
    });
});

describe("tokens of others", () => {
    const pair = () => createClient({ baseUrl: service.url }).post("/v1/auth/login", { body: ada });

    test("are asked for each time, and a newer one after a refusal", async () => {
        const { access_token } = await pair();
        const asked: (string | null)[] = [];
        const auth = accessTokens((refused) => {
            asked.push(refused);
            return refused === null ? "outdated" : access_token;
        });
        const api = createClient({ baseUrl: network.url, auth });
        assert.equal((await api.get("/v1/me")).email, ada.email);
        assert.deepEqual(asked, [null, "outdated"]);
        assert.deepEqual(network.happened(), ["GET 401", "GET 200"]);
    });

    test("that stay refused are not sent twice", async () => {
        const api = createClient({ baseUrl: network.url, auth: accessTokens(() => "outdated") });
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
        assert.deepEqual(network.happened(), ["GET 401"]);
    });

    test("need not be there", async () => {
        const api = createClient({ baseUrl: network.url, auth: accessTokens(async () => null) });
        assert.deepEqual((await api.get("/v1/auth/providers")).items, []);
        assert.equal(await codeOf(api.get("/v1/me")), "unauthenticated");
    });

    test("come late for whoever has given up", async () => {
        const auth = accessTokens(() => new Promise<string>(() => {}));
        const api = createClient({ baseUrl: network.url, auth });
        const call = api.get("/v1/me", { signal: AbortSignal.timeout(50) });
        await assert.rejects(call, { name: "TimeoutError" });
    });
});
