/**
 * What lies between openapi-fetch and the network, a function each, from the inside out: `reading` the whole
 * answer, `repeating` what may be repeated, `authorized` by whoever is logged in, `remembering` entity tags.
 * A request is not repeated in the name of another user who logs in between two attempts.
 */

import { type RateLimit, rateLimits } from "./limits.js";
import { ConnectionError, type ProblemCode, ProblemError, failure, retryAfter } from "./problems.js";

export type Send = (request: Request) => Promise<Response>;

/** How requests show who sends them. */
export interface Auth {
    /** The refusals after which `authorize` is asked once more. */
    readonly refusals: readonly ProblemCode[];

    /**
     * The request with whatever shows who sends it; as it is, where nobody is logged in.
     *
     * @param refused the same request as it was sent before, and refused
     * @returns `null` where there is nothing better to try than what was refused
     */
    authorize(request: Request, refused?: Request): Promise<Request | null>;
}

export interface Retry {
    /** How often a request is sent at most; 1 for never again. Default: 4. */
    readonly attempts?: number;
    /** Longest wait before the next attempt, in milliseconds; an answer that asks for more is final. Default: 10 s. */
    readonly longestWait?: number;
}

/** The wait before the second attempt, in milliseconds, on average; it doubles each time. */
const FIRST_WAIT = 200;

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);

const MOST_KEPT = 100;

/** Reads JSON to its end, so that an answer cut short is a failure of the connection like any other. */
export function reading(send: Send): Send {
    return async (request) => {
        try {
            const response = await send(request);
            if (!isJson(response) || response.body === null) return response;
            return withBody(response, await response.text());
        } catch (error) {
            if (request.signal.aborted) throw error;
            throw new ConnectionError("The service cannot be reached.", undefined, { cause: error });
        }
    };
}

/** Tells what each answer says of the requests that are left. */
export function telling(send: Send, tell: (limits: readonly RateLimit[], request: Request) => void): Send {
    return async (request) => {
        const response = await send(request);
        const limits = rateLimits(response);
        if (limits.length > 0) tell(limits, request);
        return response;
    };
}

/** Sends what `auth` makes of a request; after a refusal that it can do something about, once more. */
export function authorized(send: Send, auth: Auth): Send {
    return async (request) => {
        const first = (await auth.authorize(request.clone())) ?? request.clone();
        const response = await send(first);
        if (response.ok || auth.refusals.length === 0) return response;
        const code = await codeOf(response);
        if (code === undefined || !auth.refusals.includes(code)) return response;
        const second = await auth.authorize(request.clone(), first);
        return second === null ? response : send(second);
    };
}

/**
 * Repeats what does no harm when it is done twice: GET, HEAD, PUT, DELETE, and a POST with an `Idempotency-Key`,
 * each time with the same key.
 *
 * That is after failures of the connection, while an earlier attempt is still being worked on, and when the
 * service asks for patience in a measure that is granted. A PATCH is not repeated: what may have been done
 * by the lost attempt would look like another user's change. What was refused for its number was not looked at,
 * and is repeated whatever it is.
 */
export function repeating(send: Send, { attempts = 4, longestWait = 10_000 }: Retry = {}): Send {
    return async (request) => {
        const isKeyed = request.method === "POST" && request.headers.has("idempotency-key");
        const repeatable = IDEMPOTENT.has(request.method) || isKeyed;
        for (let attempt = 1; ; attempt++) {
            let wait = pause(attempt);
            try {
                const response = await send(request.clone());
                const asked = await patience(response);
                if (asked === undefined || asked > longestWait || attempt >= attempts) return response;
                if (!repeatable && (await codeOf(response)) !== "quota-exceeded") return response;
                wait = Math.max(wait, asked);
            } catch (error) {
                if (!(error instanceof ConnectionError) || !repeatable || attempt >= attempts) throw error;
            }
            await sleep(Math.min(wait, longestWait), request.signal);
        }
    };
}

/**
 * Keeps the last answers that carry an entity tag, and asks whether they are still so: a 304 becomes the answer
 * that was kept. The service is asked each time, so no stale answer is shown, nor one meant for another user.
 */
export function remembering(send: Send): Send {
    const kept = new Map<string, { tag: string; response: Response; body: string }>();
    return async (request) => {
        if (request.method !== "GET" || request.headers.has("if-none-match")) return send(request);
        const known = kept.get(request.url);
        if (known !== undefined) request.headers.set("if-none-match", known.tag);
        const response = await send(request);
        if (response.status === 304 && known !== undefined) {
            kept.delete(request.url); // and to the end of the line, so that the first is the least recently used
            kept.set(request.url, known);
            return withBody(known.response, known.body);
        }
        const tag = response.headers.get("etag");
        if (response.status === 200 && tag !== null && isJson(response)) {
            kept.delete(request.url);
            kept.set(request.url, { tag, response, body: await response.clone().text() });
            for (const oldest of kept.keys()) {
                if (kept.size <= MOST_KEPT) break;
                kept.delete(oldest);
            }
        }
        return response;
    };
}

/** Milliseconds before the next attempt, by chance, so that many who wait do not come back as one. */
export function pause(attempt: number): number {
    return Math.random() * FIRST_WAIT * 2 ** attempt;
}

/** Rejects with the signal's reason when it is aborted. */
export async function sleep(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
        const abort = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", abort);
            resolve();
        }, milliseconds);
        signal?.addEventListener("abort", abort, { once: true });
    });
}

/** Milliseconds after which another attempt may do better; `undefined` where this answer is final. */
async function patience(response: Response): Promise<number | undefined> {
    const seconds = retryAfter(response);
    if (response.status === 409)
        return (await codeOf(response)) === "idempotency-key-in-use" ? (seconds ?? 0) * 1000 : undefined;
    if (seconds !== undefined)
        return response.status === 429 || response.status === 503 ? seconds * 1000 : undefined;
    if (![502, 503, 504].includes(response.status)) return undefined;
    return (await codeOf(response)) === undefined ? 0 : undefined; // from a proxy that has not reached the service
}

async function codeOf(response: Response): Promise<ProblemCode | undefined> {
    if (!isJson(response)) return undefined;
    const error = failure(response, await response.clone().json());
    return error instanceof ProblemError ? error.code : undefined;
}

function isJson(response: Response): boolean {
    return /^application\/([\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "");
}

function withBody({ status, statusText, headers }: Response, body: string): Response {
    return new Response(body, { status, statusText, headers });
}
