/** What the tests need beside the client: the real service, a network that fails on demand, and people. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
    type ApiClient,
    ConnectionError,
    type PasswordSession,
    ProblemError,
    type Send,
    createClient,
    passwordSession,
} from "api-client";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const PASSWORD = "violet kettle hums at dawn";

// --- the service ------------------------------------------------------------------------------------

export interface Service {
    readonly url: string;
    stop(): Promise<void>;
}

/** The service in a process of its own, on the database of DATABASE_URL. */
export async function startService(settings: Record<string, string> = {}): Promise<Service> {
    const port = await freePort();
    const url = `http://localhost:${port}`;
    const child = spawn(process.env.PYTHON ?? "python3", ["-m", "entrypoints.http"], {
        cwd: ROOT,
        env: {
            ...process.env,
            PORT: String(port),
            AUTH_SECRET: "one secret for all instances of a test",
            LOG_LEVEL: "warning",
            RATE_LIMITS: "default=1000000/60,expensive=1000000/60,login=1000000/60,mail=1000000/60",
            ...settings,
        },
        stdio: ["ignore", "inherit", "inherit"],
    });
    while (!(await answers(url))) {
        if (child.exitCode !== null) throw new Error("The service did not start.");
        await sleep(50);
    }
    return { url, stop: () => stopped(child) };
}

async function answers(url: string): Promise<boolean> {
    try {
        return (await fetch(`${url}/health/live`)).ok;
    } catch {
        return false;
    }
}

async function stopped(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
}

/** None of those that outgoing connections are given: such a one could be taken before it is served on. */
async function freePort(): Promise<number> {
    for (;;) {
        const port = 20_000 + Math.floor(Math.random() * 12_000);
        const probe = createServer();
        const free = await new Promise<boolean>((resolve) => {
            probe.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
        });
        if (!free) continue;
        probe.close();
        await once(probe, "close");
        return port;
    }
}

// --- a network that fails on demand -----------------------------------------------------------------

/** One request as it arrived, and what the service made of it. */
export interface Exchange {
    readonly method: string;
    readonly path: string;
    readonly headers: http.IncomingHttpHeaders;
    /** Of the service's answer, whatever arrived of it; 0 where the service was not asked. */
    status: number;
    answered: http.IncomingHttpHeaders;
    /** Of the body that was sent on. */
    bytes: number;
}

/** What happens to an exchange instead of passing on the service's answer. */
export type Mishap =
    | { readonly kind: "cut" } // the service has done the work, and its answer is lost
    | { readonly kind: "cut within" } // half of the body arrives
    | {
          readonly kind: "answer";
          readonly status: number;
          readonly headers: Record<string, string>;
          readonly body: string;
      };

/** A proxy before the service. */
export class Network {
    readonly exchanges: Exchange[] = [];
    /** What is to happen to the next requests, one each; nothing happens to those after them. */
    readonly mishaps: Mishap[] = [];
    /** Milliseconds that every answer takes longer. */
    delay = 0;
    readonly #server = http.createServer((request, response) => void this.#serve(request, response));

    /** What is served without asking the service, by path: its type and its text. */
    readonly files = new Map<string, readonly [string, string]>();

    private constructor(readonly service: Pick<Service, "url">) {}

    static async before(service: Pick<Service, "url">): Promise<Network> {
        const network = new Network(service);
        network.#server.listen(0, "127.0.0.1");
        await once(network.#server, "listening");
        return network;
    }

    get url(): string {
        return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
    }

    /** "GET 200", …: what has happened since it was last asked for. */
    happened(): string[] {
        return this.exchanges.splice(0).map(({ method, status }) => `${method} ${status}`);
    }

    async stop(): Promise<void> {
        this.#server.close();
        this.#server.closeAllConnections();
        await once(this.#server, "close");
    }

    async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
        const { method = "", url = "", headers } = request;
        const file = this.files.get(url);
        if (file !== undefined) {
            response.writeHead(200, { "content-type": file[0] }).end(file[1]);
            return;
        }
        const exchange: Exchange = { method, path: url, headers, status: 0, answered: {}, bytes: 0 };
        this.exchanges.push(exchange);
        const mishap = this.mishaps.shift();
        const sent = Buffer.concat(await request.toArray());
        if (mishap?.kind === "answer") {
            response.writeHead(mishap.status, mishap.headers).end(mishap.body);
            return;
        }
        const asked = http.request(this.service.url + url, { method, headers });
        asked.end(sent);
        const [answer] = (await once(asked, "response")) as [http.IncomingMessage];
        const body = Buffer.concat(await answer.toArray());
        await sleep(this.delay);
        exchange.status = answer.statusCode ?? 0;
        exchange.answered = answer.headers;
        if (mishap?.kind === "cut") {
            response.destroy();
            return;
        }
        response.writeHead(exchange.status, answer.headers);
        if (mishap?.kind === "cut within") {
            response.write(body.subarray(0, body.length / 2), () => response.destroy());
            return;
        }
        exchange.bytes = body.length;
        response.end(body);
    }
}

/** An answer of a proxy that has not reached the service. */
export function page(status: number): Mishap {
    return { kind: "answer", status, headers: { "content-type": "text/html" }, body: "<h1>Sorry</h1>" };
}

/** A refusal by the service. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}): Mishap {
    const problem = {
        type: `/problems/${code}`,
        title: "A title.",
        status,
        detail: "What happened.",
        instance: "/v1",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
    };
    return {
        kind: "answer",
        status,
        headers: { "content-type": "application/problem+json", ...headers },
        body: JSON.stringify(problem),
    };
}

/** As far as cookies and origins go, what a browser does with the requests of a page. */
export class Browser {
    readonly cookies = new Map<string, string>();
    readonly requests: Request[] = [];

    constructor(readonly origin: string) {}

    readonly fetch: Send = async (request) => {
        this.requests.push(request);
        const headers = new Headers(request.headers);
        if (request.method !== "GET") headers.set("origin", this.origin);
        if (request.credentials === "include" && this.cookies.size > 0) {
            headers.set("cookie", [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; "));
        }
        const response = await fetch(new Request(request, { headers }));
        if (request.credentials === "include") {
            for (const line of response.headers.getSetCookie()) {
                const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
                if (/Max-Age=0\b/.test(line)) this.cookies.delete(name);
                else this.cookies.set(name, value);
            }
        }
        return response;
    };

    /** "GET /v1/me", …: what the page has asked for since this was last asked for. */
    asked(): string[] {
        return this.requests.splice(0).map(({ method, url }) => `${method} ${new URL(url).pathname}`);
    }
}

// --- people -----------------------------------------------------------------------------------------

export interface Credentials {
    readonly email: string;
    readonly password: string;
}

/** Somebody new who has an account. */
export async function register(service: Service): Promise<Credentials> {
    const email = `${crypto.randomUUID()}@example.com`;
    const api = createClient({ baseUrl: service.url });
    await api.post("/v1/auth/register", { body: { email, password: PASSWORD, display_name: "Ada" } });
    return { email, password: PASSWORD };
}

export type Member = ApiClient<PasswordSession>;

/** Somebody who is logged in, by way of the network where one is given. */
export async function logIn(service: Service, credentials: Credentials, network?: Network): Promise<Member> {
    const api = createClient({ baseUrl: (network ?? service).url, auth: passwordSession() });
    await api.auth.logIn(credentials);
    network?.exchanges.splice(0);
    return api;
}

// --- what goes wrong --------------------------------------------------------------------------------

/** The problem that a call ends with. */
export async function failing(work: Promise<unknown>): Promise<ProblemError> {
    const error = await work.then(
        () => assert.fail("It succeeded."),
        (reason: unknown) => reason,
    );
    assert(error instanceof ProblemError, String(error));
    return error;
}

/** The failure of the connection that a call ends with. */
export async function disconnected(work: Promise<unknown>): Promise<ConnectionError> {
    const error = await work.then(
        () => assert.fail("It succeeded."),
        (reason: unknown) => reason,
    );
    assert(error instanceof ConnectionError, String(error));
    return error;
}
