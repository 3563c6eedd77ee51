/** The client: openapi-fetch with the service's contract built in. */

import createRaw, {
    type Client,
    type ClientPathsWithMethod,
    type FetchOptions,
    type FetchResponse,
} from "openapi-fetch";
import { type AuthFor, anonymous } from "./auth.js";
import { KEYED } from "./contract.js";
import type { RateLimit } from "./limits.js";
import { ConnectionError, ProblemError, failure } from "./problems.js";
import type { components, paths } from "./schema.js";
import {
    type Auth,
    type Retry,
    type Send,
    authorized,
    pause,
    reading,
    remembering,
    repeating,
    sleep,
    telling,
} from "./transport.js";

/** The types of the API's document: `Schemas["WorkspaceView"]`. */
export type Schemas = components["schemas"];

type Method = "get" | "post" | "patch" | "delete";
type Path<M extends Method> = ClientPathsWithMethod<Client<paths>, M>;
type Operation<P extends keyof paths, M extends Method> = paths[P][M] & {};

/** What a call takes: `params`, a `body` where there is one, `headers`, `signal`, and what `fetch` knows. */
type Init<P extends keyof paths, M extends Method> = Omit<FetchOptions<Operation<P, M>>, "parseAs">;
type Arguments<I> = {} extends I ? [init?: I] : [init: I];

/** What the service shows; `undefined` where it shows nothing. */
type Shown<P extends keyof paths, M extends Method> = Extract<
    FetchResponse<Operation<P, M>, {}, `${string}/${string}`>,
    { error?: never }
>["data"];

type Call<M extends Method> = <P extends Path<M>>(
    path: P,
    ...init: Arguments<Init<P, M>>
) => Promise<Shown<P, M>>;

type Page = { items: readonly unknown[]; next: string | null };
type ListPath = { [P in Path<"get">]: Shown<P, "get"> extends Page ? P : never }[Path<"get">];
type EditPath = Extract<
    { [P in Path<"get">]: Shown<P, "get"> extends Versioned ? P : never }[Path<"get">],
    Path<"patch">
>;
type Patch<P extends EditPath> = Init<P, "patch"> extends { body: infer Body } ? Body : never;

/** Without members that the whole has not: TypeScript overlooks them in what a function returns. */
type Exactly<Some, Whole> = Some & Record<Exclude<keyof Some, keyof Whole>, never>;

type Changed<Change> = Change | null | Promise<Change | null>;

/** Anything with a version, as the service shows it. */
export interface Versioned {
    readonly version: number;
}

/** All items of a list, requested page by page as they are needed; a loop that stops early requests no more. */
export interface Items<Of extends Page> extends AsyncIterable<Of["items"][number]> {
    /** The same by the page. */
    pages(): AsyncIterable<Of>;
}

export interface ApiClient<A extends Auth = Auth> {
    /** Who the requests are sent by: log in and out here. */
    readonly auth: A;

    readonly get: Call<"get">;
    readonly post: Call<"post">;
    readonly patch: Call<"patch">;
    readonly delete: Call<"delete">;

    /** The items of any list: `for await (const each of api.list(path, init))`. */
    list<P extends ListPath>(path: P, ...init: Arguments<Init<P, "get">>): Items<Shown<P, "get"> & Page>;

    /**
     * Changes what may be changed by others at the same time, and loses no change: reads it, sends what
     * `change` makes of it for that version only, and begins anew where it has another one by then.
     *
     * @param change what of it is to change; `null` for nothing. It may be called several times.
     * @returns how it is afterwards
     */
    edit<P extends EditPath, Change extends Patch<P>>(
        path: P,
        init: Init<P, "get">,
        change: (current: Shown<P, "get">) => Changed<Exactly<Change, Patch<P>>>,
        options?: { attempts?: number },
    ): Promise<Shown<P, "get"> | Shown<P, "patch">>;

    /** openapi-fetch's own client on the same connection. It returns problems: `{ data, error, response }`. */
    readonly raw: Client<paths>;
}

export interface ClientOptions<A extends Auth> {
    /** Where the service is, without `/v1`; in a browser, empty for the page's own origin. */
    readonly baseUrl: string;
    /** `passwordSession()`, `cookieSession()`, `accessTokens(…)`; by default anonymous. */
    readonly auth?: AuthFor<A>;
    /** Headers of every request. */
    readonly headers?: Record<string, string>;
    readonly retry?: Retry;
    /** Called with what each answer says of the requests that are left, also of those that are repeated. */
    readonly onRateLimits?: (limits: readonly RateLimit[], request: Request) => void;
    /** By default the `fetch` that there is when a request is sent. */
    readonly fetch?: Send;
}

/** A client of the service at `baseUrl`. */
export function createClient<A extends Auth = Auth>(options: ClientOptions<A>): ApiClient<A> {
    const { baseUrl, headers = {}, retry, onRateLimits } = options;
    const plain = reading(options.fetch ?? ((request) => globalThis.fetch(request)));
    const bare = onRateLimits === undefined ? plain : telling(plain, onRateLimits);
    const authFor = options.auth ?? (anonymous() as AuthFor<A>);
    const auth = authFor(createRaw<paths>({ baseUrl, headers, fetch: bare, pathSerializer }));
    const send = remembering(authorized(repeating(bare, retry), auth));
    const raw = createRaw<paths>({ baseUrl, headers, fetch: send, pathSerializer });
    raw.use({ onRequest: ({ request, schemaPath }) => keyed(request, schemaPath) });

    const call = async (method: Method, path: string, init?: object) => {
        const { data, error, response } = await untyped(raw)(method, path, init).catch(notJson);
        if (!response.ok) throw failure(response, error);
        return data;
    };
    const list = (path: string, init?: AnyInit) => {
        async function* pages() {
            let { cursor } = init?.params?.query ?? {};
            do {
                const query = { ...init?.params?.query, cursor };
                const page = (await call("get", path, {
                    ...init,
                    params: { ...init?.params, query },
                })) as Page;
                yield page;
                cursor = page.next;
            } while (cursor !== null);
        }
        async function* items() {
            for await (const page of pages()) yield* page.items;
        }
        return { pages, [Symbol.asyncIterator]: items };
    };
    const edit = async (
        path: string,
        init: AnyInit,
        change: (current: Versioned) => Promise<object | null>,
        { attempts = 20 } = {},
    ) => {
        for (let attempt = 1; ; attempt++) {
            const current = (await call("get", path, init)) as Versioned;
            const body = await change(current);
            if (body === null) return current;
            const params = { ...init.params, header: ifMatch(current) };
            try {
                return await call("patch", path, { ...init, params, body });
            } catch (error) {
                const lost = error instanceof ProblemError && OUTRUN.has(error.code);
                if (!lost || attempt >= attempts) throw error;
            }
            await sleep(pause(Math.min(attempt, 3)), init.signal);
        }
    };
    const methods = Object.fromEntries(
        (["get", "post", "patch", "delete"] as const).map((method) => [method, call.bind(null, method)]),
    );
    return { auth, raw, list, edit, ...methods } as unknown as ApiClient<A>;
}

/** The header by which a change is made to this version alone; otherwise the answer is 412. */
export function ifMatch(seen: Versioned): { "If-Match": string } {
    // Not its ETag: proxies that compress make those weak, and a weak one matches nothing.
    return { "If-Match": `"${seen.version}"` };
}

/** The header that proves with the password who asks, for what changes a way to log in; good for some minutes. */
export function reauthenticated(given: Schemas["ReauthenticationToken"]): {
    "Reauthentication-Token": string;
} {
    return { "Reauthentication-Token": given.token };
}

type AnyInit = { params?: { query?: Record<string, unknown> }; signal?: AbortSignal | null };

// The types of a call are checked where it is made; what all calls share is written once, and knows none.
type Untyped = (
    method: Method,
    path: string,
    init?: object,
) => Promise<{ data?: unknown; error?: unknown; response: Response }>;

function untyped(raw: Client<paths>): Untyped {
    return raw.request as unknown as Untyped;
}

const OUTRUN: ReadonlySet<string> = new Set(["precondition-failed", "stale"]);

/** A page of HTML that came with a 200, such as a hotel's. */
function notJson(error: unknown): never {
    if (error instanceof SyntaxError) {
        throw new ConnectionError("Not the service answered: this is not JSON.", undefined, { cause: error });
    }
    throw error;
}

/** One key for all attempts; `crypto.randomUUID` is not there on pages without https. */
function keyed(request: Request, path: string): void {
    if (!KEYED.has(`${request.method} ${path}`) || request.headers.has("Idempotency-Key")) return;
    const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
    request.headers.set("Idempotency-Key", bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""));
}

/**
 * Refuses what would make another path than the one that was meant: ids often come from an address bar, and
 * `..` or an encoded slash leads elsewhere.
 */
function pathSerializer(path: string, parameters: Record<string, unknown>): string {
    return path.replace(/\{(\w+)\}/g, (_, name: string) => {
        const value = String(parameters[name] ?? "");
        if (!/^[^/\\]+$/.test(value) || /^\.\.?$/.test(value)) {
            throw new TypeError(`${JSON.stringify(value)} cannot be the ${name} in ${path}.`);
        }
        return encodeURIComponent(value);
    });
}
