/** What is left of the requests that one may send, as answers say it (draft-ietf-httpapi-ratelimit-headers-11). */

/** One of the policies that a request was counted by. */
export interface RateLimit {
    /** Its name, such as `default` or `workspace`. */
    readonly policy: string;
    /** How many requests it allows in any `windowSeconds`. */
    readonly quota: number;
    readonly windowSeconds: number;
    /** How many more may be sent for the next `seconds`, after which there are more. */
    readonly left: number;
    readonly seconds: number;
}

/** The policies that an answer tells of; none for one that was not counted. */
export function rateLimits(answer: Pick<Response, "headers">): readonly RateLimit[] {
    const policies = new Map(items(answer.headers.get("ratelimit-policy")));
    return items(answer.headers.get("ratelimit")).map(([policy, { r = 0, t = 0 }]) => {
        const { q = 0, w = 0 } = policies.get(policy) ?? {};
        return { policy, quota: q, windowSeconds: w, left: r, seconds: t };
    });
}

/** `"default";r=5;t=60, "workspace";r=9;t=3` by name: of a list of RFC 9651 what this draft makes of it. */
function items(text: string | null): [string, Record<string, number>][] {
    return [...(text ?? "").matchAll(/"([^"]*)"((?:;[a-z]+=\d+)*)/g)].map(
        ([, name = "", parameters = ""]) => [
            name,
            Object.fromEntries(
                [...parameters.matchAll(/;([a-z]+)=(\d+)/g)].map(([, key = "", value]) => [
                    key,
                    Number(value),
                ]),
            ),
        ],
    );
}
