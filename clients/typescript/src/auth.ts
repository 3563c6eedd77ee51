/** The ways in which requests show who sends them: tokens for a password, a session cookie, or others' tokens. */

import type { Client } from "openapi-fetch";
import { failure } from "./problems.js";
import type { components, paths } from "./schema.js";
import type { Auth } from "./transport.js";

type Credentials = components["schemas"]["Credentials"];
type TokenPair = components["schemas"]["TokenPair"];

/** The service as anybody may call it, without authorization. */
export type Service = Client<paths>;

/** What `createClient` makes its `auth` of. */
export type AuthFor<A extends Auth> = (service: Service) => A;

export interface Tokens {
    readonly accessToken: string;
    /** Good for one use, which may be repeated for some seconds; a later one ends the session for everybody. */
    readonly refreshToken: string;
    /** From this moment on, in milliseconds since 1970, the access token is replaced before it is used. */
    readonly refreshAt: number;
}

/** Where tokens are kept. */
export interface TokenStore {
    get(): Tokens | null | Promise<Tokens | null>;
    set(tokens: Tokens | null): void | Promise<void>;

    /** Runs `work` exclusively among all that share the store: needed where several do, such as tabs. */
    exclusively?<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** Tokens that are gone with the page or the process: no script of another page finds them. */
export function memoryStore(): TokenStore {
    let kept: Tokens | null = null;
    return {
        get: () => kept,
        set: (tokens) => {
            kept = tokens;
        },
    };
}

/**
 * Tokens that all tabs of a browser share and that survive a reload. Every script on the page can read them,
 * an injected one as well; where the front end is on the service's own site, prefer `cookieSession`.
 *
 * In IndexedDB, because tabs see late what another has written to `localStorage`: late enough to use a refresh
 * token twice. They take turns by a lock of the browser's, which there is on https and localhost alone.
 */
export function browserStore(name = "tokens"): TokenStore {
    const asked = <Result>(mode: IDBTransactionMode, ask: (tokens: IDBObjectStore) => IDBRequest<Result>) =>
        new Promise<Result>((resolve, reject) => {
            const opening = indexedDB.open(name, 1);
            opening.onupgradeneeded = () => opening.result.createObjectStore(name);
            opening.onerror = () => reject(opening.error);
            opening.onsuccess = () => {
                const transaction = opening.result.transaction(name, mode);
                const answer = ask(transaction.objectStore(name));
                transaction.oncomplete = () => resolve(answer.result);
                transaction.onabort = () => reject(transaction.error);
                opening.result.close(); // once the transaction is complete
            };
        });
    return {
        get: async () => (await asked("readonly", (tokens) => tokens.get(0))) ?? null,
        set: async (tokens) => {
            await asked("readwrite", (kept) => kept.put(tokens, 0));
        },
        exclusively: async <Result>(work: () => Promise<Result>) =>
            (await navigator.locks.request(name, work)) as Result,
    };
}

export interface PasswordSessionOptions {
    /** Default: `memoryStore()`. */
    readonly store?: TokenStore;
    /** Called when the session has ended without a log-out: time to show the log-in. */
    readonly onEnd?: () => void;
}

/** Tokens for an e-mail address and a password, renewed for as long as the session lasts. */
export function passwordSession(options: PasswordSessionOptions = {}): AuthFor<PasswordSession> {
    return (service) => new PasswordSession(service, options);
}

export class PasswordSession implements Auth {
    readonly refusals = ["unauthenticated"] as const;
    readonly #service: Service;
    readonly #store: TokenStore;
    readonly #onEnd: (() => void) | undefined;
    #last: Promise<unknown> = Promise.resolve();
    #renewal: Promise<string | null> | null = null;

    constructor(service: Service, { store = memoryStore(), onEnd }: PasswordSessionOptions) {
        this.#service = service;
        this.#store = store;
        this.#onEnd = onEnd;
    }

    /**
     * Resolves to the device token: kept, and sent as `device_token` with the next log-in to the account, it says
     * that this is no stranger. Rejects with the `ProblemError` "wrong-credentials", and "too-many-attempts" for a
     * while after many of them.
     */
    async logIn(credentials: Credentials): Promise<string> {
        const { data, error, response } = await this.#service.POST("/v1/auth/login", { body: credentials });
        if (!data) throw failure(response, error);
        await this.adopt(data);
        return data.device_token;
    }

    /** Takes tokens that came in another way, such as from `POST /v1/auth/exchange`. */
    async adopt(pair: TokenPair): Promise<void> {
        await this.#exclusively(() => this.#keep(pair));
    }

    /** Forgets the tokens and ends the session. Rejects where the service could not be told of it. */
    async logOut(): Promise<void> {
        const tokens = await this.#exclusively(async () => {
            const kept = await this.#store.get();
            await this.#store.set(null);
            return kept;
        });
        if (tokens === null) return;
        const { error, response } = await this.#service.POST("/v1/auth/revoke", {
            body: { token: tokens.refreshToken },
            headers: { "Content-Type": "application/x-www-form-urlencoded" },
        });
        if (!response.ok) throw failure(response, error);
    }

    /** Whether there are tokens; they may have come to their end without anybody knowing. */
    async isLoggedIn(): Promise<boolean> {
        return (await this.#store.get()) !== null;
    }

    async authorize(request: Request, refused?: Request): Promise<Request | null> {
        const tokens = await this.#store.get();
        let token = tokens?.accessToken ?? null;
        if (tokens !== null && (bearerOf(refused) === token || tokens.refreshAt <= Date.now())) {
            token = await unlessAborted(this.#renew(tokens), request.signal);
        }
        if (refused !== undefined && (token === null || bearerOf(refused) === token)) return null;
        return withBearer(request, token);
    }

    /** The next access token, or `null` at the end of the session; one renewal serves all who wait for it. */
    #renew(stale: Tokens): Promise<string | null> {
        this.#renewal ??= this.#exclusively(() => this.#refresh(stale)).finally(() => {
            this.#renewal = null;
        });
        return this.#renewal;
    }

    async #refresh(stale: Tokens): Promise<string | null> {
        const tokens = await this.#store.get();
        // Another tab was first, or the user has logged out or in meanwhile.
        if (tokens?.refreshToken !== stale.refreshToken) return tokens?.accessToken ?? null;
        const { data, error, response } = await this.#service.POST("/v1/auth/refresh", {
            body: { refresh_token: stale.refreshToken },
        });
        if (data) return this.#keep(data);
        const problem = failure(response, error);
        if (problem.name === "ConnectionError") throw problem;
        if (problem.code === "refreshed-elsewhere") {
            // Whoever was faster may share the store without taking turns.
            const theirs = await this.#store.get();
            if (theirs?.refreshToken !== stale.refreshToken) return theirs?.accessToken ?? null;
        } else if (problem.status !== 401) throw problem;
        await this.#store.set(null);
        this.#onEnd?.();
        return null;
    }

    async #keep(pair: TokenPair): Promise<string> {
        // A tenth of its life early, because clocks differ in speed and requests take time.
        const refreshAt = Date.now() + pair.expires_in * 900;
        await this.#store.set({
            accessToken: pair.access_token,
            refreshToken: pair.refresh_token,
            refreshAt,
        });
        return pair.access_token;
    }

    #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
        const result = this.#last.then(() => this.#store.exclusively?.(work) ?? work());
        this.#last = result.catch(() => {});
        return result;
    }
}

/**
 * A session that a cookie keeps, which no script can read. For browsers: they send it by themselves, and what
 * changes something also carries a token against forged requests, which this asks the service for.
 */
export function cookieSession(): AuthFor<CookieSession> {
    return (service) => new CookieSession(service);
}

export class CookieSession implements Auth {
    readonly refusals = ["csrf-token-wrong", "csrf-token-missing"] as const;
    readonly #service: Service;
    #token: Promise<string | null> | null = null;

    constructor(service: Service) {
        this.#service = service;
    }

    /** Rejects with the `ProblemError` "wrong-credentials", and "too-many-attempts" for a while after many of them. */
    async logIn(credentials: Credentials): Promise<void> {
        const { error, response } = await this.#service.POST("/v1/auth/cookie", {
            body: credentials,
            ...WITH_COOKIES,
        });
        if (!response.ok) throw failure(response, error);
        this.#token = null;
    }

    /** Ends the session, and has the browser forget the cookie. */
    async logOut(): Promise<void> {
        const headers = { [CSRF_HEADER]: await this.#csrfToken() };
        const { error, response } = await this.#service.DELETE("/v1/auth/cookie", {
            headers,
            ...WITH_COOKIES,
        });
        this.#token = null;
        if (!response.ok && response.status !== 401) throw failure(response, error);
    }

    async authorize(request: Request, refused?: Request): Promise<Request | null> {
        const sent = new Request(request, WITH_COOKIES);
        if (SAFE.has(request.method)) return sent;
        const before = refused?.headers.get(CSRF_HEADER) ?? null;
        // It changes with the session, which another tab may have opened.
        if (refused !== undefined && before === (await this.#csrfToken())) this.#token = null;
        const token = await unlessAborted(this.#csrfToken(), request.signal);
        if (refused !== undefined && (token === null || token === before)) return null;
        if (token !== null) sent.headers.set(CSRF_HEADER, token);
        return sent;
    }

    /** `null` where no user is logged in: then it is asked for anew next time. */
    #csrfToken(): Promise<string | null> {
        this.#token ??= this.#ask().catch((error: unknown) => {
            this.#token = null;
            throw error;
        });
        return this.#token;
    }

    async #ask(): Promise<string | null> {
        const { data, error, response } = await this.#service.GET("/v1/auth/cookie", WITH_COOKIES);
        if (data) return data.csrf_token;
        if (response.status !== 401) throw failure(response, error);
        this.#token = null;
        return null;
    }
}

const CSRF_HEADER = "X-CSRF-Token";
const WITH_COOKIES = { credentials: "include" } as const;
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Access tokens of an OpenID provider, managed elsewhere: by the provider's library, or in a server's session.
 *
 * @param getAccessToken called for each request, also for several at once. When a token was refused it is called
 *   once more, with that token, and should return a newer one; `null` for none.
 */
export function accessTokens(
    getAccessToken: (refused: string | null) => string | null | Promise<string | null>,
): AuthFor<Auth> {
    return () => ({
        refusals: ["unauthenticated"],
        async authorize(request, refused) {
            const before = bearerOf(refused);
            const token = await unlessAborted(Promise.resolve(getAccessToken(before)), request.signal);
            return refused !== undefined && (token === null || token === before)
                ? null
                : withBearer(request, token);
        },
    });
}

/** Anonymous, or whom the client's own `headers` identify. */
export function anonymous(): AuthFor<Auth> {
    return () => ({ refusals: [], authorize: async (request) => request });
}

function withBearer(request: Request, token: string | null): Request {
    if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
}

function bearerOf(request: Request | undefined): string | null {
    return request?.headers.get("authorization")?.replace(/^Bearer /, "") ?? null;
}

/** Work that others wait for as well goes on; only this one stops waiting. */
async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
    signal.throwIfAborted();
    let abort = () => {};
    const aborted = new Promise<never>((_, reject) => {
        abort = () => reject(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
    });
    try {
        return await Promise.race([work, aborted]);
    } finally {
        signal.removeEventListener("abort", abort);
    }
}
