/**
 * What goes wrong, as errors to catch:
 *
 *     Error
 *     ├── ProblemError       the service refused or failed, and says why (RFC 9457)
 *     └── ConnectionError    no answer of the service arrived
 *
 * A request that was aborted rejects with its signal's reason, as `fetch` does.
 */

import { PROBLEM_CODES } from "./contract.js";
import type { components } from "./schema.js";

type Problem = components["schemas"]["Problem"];
export type FieldError = components["schemas"]["FieldError"];

/** `unknown` for a problem that this client was made too early to know: `type` still tells it. */
export type ProblemCode = (typeof PROBLEM_CODES)[number] | "unknown";

const KNOWN: ReadonlySet<string> = new Set(PROBLEM_CODES);

/** The service refused the request, or failed. `message` is the problem's `detail`, a sentence for a person. */
export class ProblemError extends Error {
    override readonly name = "ProblemError";

    /** The kind of problem, to compare with: `error.code === "workspace-not-found"`. */
    readonly code: ProblemCode;
    /** The address of a page about problems of this kind. */
    readonly type: string;
    readonly title: string;
    readonly status: number;
    readonly detail: string;
    /** The path of the request. */
    readonly instance: string;
    /** By this the service's operators find the request in their logs. */
    readonly traceId: string;
    /** What is wrong with which parts of the request, each told by a JSON pointer; empty for other problems. */
    readonly errors: readonly FieldError[];
    /** Seconds until another try may succeed, where the service says so. */
    readonly retryAfter: number | undefined;
    /** The policies whose quota is used up, by their names; empty for other problems. */
    readonly violatedPolicies: readonly string[];

    constructor(problem: Problem, retryAfter?: number) {
        super(problem.detail);
        const code = problem.type.slice(problem.type.lastIndexOf("/") + 1);
        this.code = KNOWN.has(code) ? (code as ProblemCode) : "unknown";
        this.type = problem.type;
        this.title = problem.title;
        this.status = problem.status;
        this.detail = problem.detail;
        this.instance = problem.instance;
        this.traceId = problem.trace_id;
        this.errors = problem.errors ?? [];
        this.retryAfter = retryAfter;
        this.violatedPolicies = problem["violated-policies"] ?? [];
    }

    /** The messages for a form, by field: `{ name: ["It is required."], "labels.0": […] }`. */
    get fields(): Record<string, string[]> {
        const fields: Record<string, string[]> = Object.create(null);
        for (const { pointer, detail } of this.errors) {
            (fields[fieldOf(pointer)] ??= []).push(detail);
        }
        return fields;
    }
}

/**
 * No answer of the service arrived: the network failed, or something between here and there answered in its
 * place, such as a proxy with a page in HTML. Whether the request was carried out is not known.
 */
export class ConnectionError extends Error {
    override readonly name = "ConnectionError";

    /** `status` is what the thing in between answered with, if anything did. */
    constructor(
        message: string,
        readonly status?: number,
        options?: ErrorOptions,
    ) {
        super(message, options);
    }
}

/** Whether this is a problem, and one with this code where one is given. */
export function isProblem<Code extends ProblemCode = ProblemCode>(
    error: unknown,
    ...codes: Code[]
): error is ProblemError & { readonly code: Code } {
    return (
        error instanceof ProblemError && (codes.length === 0 || (codes as ProblemCode[]).includes(error.code))
    );
}

/** What to throw for an answer that is no success; `body` is what it said, as JSON if it was JSON. */
export function failure(response: Response, body: unknown): ProblemError | ConnectionError {
    if (looksLikeProblem(body)) return new ProblemError(body, retryAfter(response));
    const { status, statusText } = response;
    const what = response.headers.get("content-type") ?? "nothing";
    return new ConnectionError(`Not the service answered: ${status} ${statusText}, with ${what}.`, status);
}

/** OAuth's endpoints say `application/json` as its clients expect, so it is the members that count. */
function looksLikeProblem(body: unknown): body is Problem {
    if (typeof body !== "object" || body === null) return false;
    const { type, status, detail } = body as Partial<Problem>;
    return typeof type === "string" && typeof status === "number" && typeof detail === "string";
}

/** Seconds, from either form that `Retry-After` has (RFC 9110 §10.2.3). */
export function retryAfter(response: Response): number | undefined {
    const text = response.headers.get("retry-after");
    if (text === null) return undefined;
    const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
    return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

/** `#/labels/0` as `labels.0`, the way form libraries name fields (RFC 6901 §6). */
function fieldOf(pointer: string): string {
    const parts = pointer.split("/").slice(1);
    return parts
        .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
        .join(".");
}
