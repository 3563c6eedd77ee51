/** In a real browser, with what only a browser does: cookies, locks, and storage that several tabs share. */

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { after, before, beforeEach, describe, test } from "node:test";
import { Chromium, type Tab, chromium } from "./chromium.js";
import { type Credentials, Network, type Service, register, startService } from "./support.js";

const PACKAGE = new URL("../../", import.meta.url);
const IMPORTS = { "api-client": "/dist/index.js", "openapi-fetch": "/openapi-fetch.js" };
const PAGE = `<!doctype html>
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module">import * as client from "api-client"; window.client = client;</script>`;

const program = chromium();
const skip = program === undefined && !process.env.CI && "there is no Chromium here: apt install chromium";

describe("in a browser", { skip }, () => {
    const front = { url: "" };
    let network: Network;
    let service: Service;
    let browser: Chromium;
    let ada: Credentials;

    before(async () => {
        assert(program, "There is no Chromium here: apt install chromium.");
        network = await Network.before(front);
        service = await startService({ APP_URL: network.url });
        front.url = service.url;
        ada = await register(service);
        network.files.set("/", ["text/html", PAGE]);
        const script = async (path: string) =>
            ["text/javascript", await readFile(new URL(path, PACKAGE), "utf8")] as const;
        for (const name of await readdir(new URL("dist/", PACKAGE))) {
            if (name.endsWith(".js")) network.files.set(`/dist/${name}`, await script(`dist/${name}`));
        }
        network.files.set("/openapi-fetch.js", await script("node_modules/openapi-fetch/dist/index.mjs"));
        browser = await Chromium.start(program);
    });

    after(async () => {
        await browser.stop();
        await network.stop();
        await service.stop();
    });

    beforeEach(() => {
        network.exchanges.length = 0;
    });

    const refreshes = () => network.exchanges.filter(({ path }) => path === "/v1/auth/refresh");

    async function tab(auth: string): Promise<Tab> {
        const opened = await browser.open(`${network.url}/`, "window.client");
        await opened.value(`window.api = client.createClient({ baseUrl: "", auth: ${auth} }); 0`);
        return opened;
    }

    test("several tabs keep one session, and renew it once each time", async () => {
        const tabs: Tab[] = [];
        for (let count = 0; count < 3; count++) {
            tabs.push(await tab("client.passwordSession({ store: client.browserStore() })"));
        }
        const [first, second] = tabs as [Tab, Tab];
        await first.value(`api.auth.logIn(${JSON.stringify(ada)})`);
        for (let round = 1; round <= 10; round++) {
            await first.value(`(async (store) => store.set({ ...(await store.get()), refreshAt: 0 }))(
                client.browserStore()
            )`);
            const ten =
                "Promise.all(Array.from({ length: 10 }, () => api.get('/v1/me'))).then((all) => all.length)";
            assert.deepEqual(await Promise.all(tabs.map((each) => each.value<number>(ten))), [10, 10, 10]);
            assert.deepEqual(
                refreshes().map(({ status }) => status),
                Array(round).fill(200),
            );
        }
        await second.value("api.auth.logOut()");
        assert.equal(await first.value("api.get('/v1/me').catch((error) => error.code)"), "unauthenticated");
    });

    test("a cookie keeps a session that no script can read", async () => {
        const page = await tab("client.cookieSession()");
        await page.value(`api.auth.logIn(${JSON.stringify(ada)})`);
        assert.equal(await page.value("document.cookie"), "");
        const change =
            "api.patch('/v1/me', { body: { display_name: 'Ada King' } }).then((me) => me.display_name)";
        assert.equal(await page.value(change), "Ada King");
        const again = await tab("client.cookieSession()");
        assert.equal(await again.value("api.get('/v1/me').then((me) => me.email)"), ada.email);
        assert.equal(await again.value("api.get('/v1/me').then((me) => me.email)"), ada.email);
        assert.deepEqual(
            network.exchanges
                .filter(({ method }) => method === "GET")
                .map(({ path, status }) => [path, status]),
            [
                ["/v1/auth/cookie", 200],
                ["/v1/me", 200],
                ["/v1/me", 304],
            ],
        );
        await again.value("api.auth.logOut()");
        assert.equal(await page.value("api.get('/v1/me').catch((error) => error.code)"), "unauthenticated");
    });
});
