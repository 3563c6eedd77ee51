/**
 * What must not compile does not: `tsc` fails where an error that is expected here is missing. Nothing runs.
 */

import {
    type ApiClient,
    type CookieSession,
    type PasswordSession,
    type ProblemCode,
    type Schemas,
    accessTokens,
    cookieSession,
    createClient,
    ifMatch,
    reauthenticated,
    isProblem,
    passwordSession,
} from "api-client";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const yes = <Claim extends true>(_?: Claim) => {};

declare const api: ApiClient;
const workspace = { params: { path: { workspace_id: "1" } } };
const member = { params: { path: { workspace_id: "1", user_id: "2" } } };

export async function calls() {
    const found = await api.get("/v1/workspaces/{workspace_id}", workspace);
    yes<Same<typeof found, Schemas["WorkspaceView"]>>();
    const nothing = await api.delete("/v1/workspaces/{workspace_id}", workspace);
    yes<Same<typeof nothing, undefined>>();
    const created = await api.post("/v1/workspaces", { body: { name: "A" } });
    yes<Same<typeof created, Schemas["WorkspaceView"]>>();
    await api.get("/v1/me");
    await api.get("/v1/me", { signal: AbortSignal.timeout(1) });

    // @ts-expect-error: there is no such path
    await api.get("/v1/workspace/{workspace_id}", workspace);
    // @ts-expect-error: nor such a method of it
    await api.delete("/v1/workspaces");
    // @ts-expect-error: the path has a parameter
    await api.get("/v1/workspaces/{workspace_id}");
    // @ts-expect-error: of another name
    await api.get("/v1/workspaces/{workspace_id}", { params: { path: { id: "1" } } });
    // @ts-expect-error: the body is required
    await api.post("/v1/workspaces");
    // @ts-expect-error: and a part of it
    await api.post("/v1/workspaces", { body: {} });
    // @ts-expect-error: it has no such member
    await api.patch("/v1/workspaces/{workspace_id}", { ...workspace, body: { nmae: "A" } });
    // @ts-expect-error: nor such a value
    await api.patch("/v1/workspaces/{workspace_id}/members/{user_id}", { ...member, body: { role: "king" } });
    // @ts-expect-error: there is no such filter
    await api.get("/v1/workspaces", { params: { query: { sate: "" } } });
    // @ts-expect-error: nor such an option
    await api.get("/v1/me", { sginal: AbortSignal.timeout(1) });
    // @ts-expect-error: nor such a member of the answer
    found.nmae;
}

export async function lists() {
    for await (const item of api.list("/v1/workspaces/{workspace_id}/members", workspace)) {
        yes<Same<typeof item, Schemas["MemberViewPage"]["items"][number]>>();
        // @ts-expect-error: there is no such member
        item.nmae;
    }
    for await (const page of api.list("/v1/workspaces").pages()) {
        yes<Same<typeof page.items, Schemas["WorkspaceViewPage"]["items"]>>();
    }
    // @ts-expect-error: this is no list
    api.list("/v1/me");
    // @ts-expect-error: nor is it one of pages
    api.list("/v1/auth/providers");
    // @ts-expect-error: the path has a parameter
    api.list("/v1/workspaces/{workspace_id}/members");
}

export async function changes() {
    await api.edit("/v1/workspaces/{workspace_id}", workspace, ({ name }) => ({ name: `${name} Ltd` }));
    await api.edit("/v1/me", {}, async (profile) =>
        profile.display_name === "A" ? null : { display_name: "A" },
    );
    await api.patch("/v1/me", { params: { header: ifMatch({ version: 7 }) }, body: { display_name: "A" } });
    const given = await api.post("/v1/auth/reauthentication", { body: { password: "p" } });
    await api.post("/v1/auth/logout/all", { params: { header: reauthenticated(given) } });
    // @ts-expect-error: it takes no fresh proof
    await api.post("/v1/auth/logout", { params: { header: reauthenticated(given) } });
    // @ts-expect-error: the change has no such member
    await api.edit("/v1/workspaces/{workspace_id}", workspace, () => ({ nmae: "A" }));
    // @ts-expect-error: what is there has no such member
    await api.edit("/v1/workspaces/{workspace_id}", workspace, ({ nmae }) => ({ name: nmae }));
    // @ts-expect-error: a list is not edited
    await api.edit("/v1/workspaces", {}, () => ({}));
    // @ts-expect-error: this has no version
    ifMatch({ etag: '"7"' });
}

export function problems(error: unknown) {
    if (isProblem(error)) {
        if (error.code === "workspace-not-found" || error.code === "unknown") return error.traceId;
        // @ts-expect-error: there is no such problem
        if (error.code === "wrokspace-not-found") return undefined;
    }
    if (isProblem(error, "wrong-credentials", "suspended")) {
        yes<Same<typeof error.code, "wrong-credentials" | "suspended">>();
    }
    // @ts-expect-error: there is no such problem
    isProblem(error, "wrong-credential");
    // @ts-expect-error: without a check it may be anything
    error.code;
    yes<Same<Exclude<ProblemCode, string>, never>>();
    yes<Same<string extends ProblemCode ? false : true, true>>();
    return undefined;
}

export async function ways() {
    const byPassword = createClient({ baseUrl: "", auth: passwordSession() });
    yes<Same<typeof byPassword.auth, PasswordSession>>();
    const byCookie = createClient({ baseUrl: "", auth: cookieSession() });
    yes<Same<typeof byCookie.auth, CookieSession>>();
    await byCookie.auth.logIn({ email: "", password: "" });
    // @ts-expect-error: a log-in needs both
    await byCookie.auth.logIn({ email: "" });
    const byOthers = createClient({ baseUrl: "", auth: accessTokens(async () => "token") });
    // @ts-expect-error: they log in elsewhere
    byOthers.auth.logIn;
    // @ts-expect-error: somebody has to answer
    createClient({});
    // @ts-expect-error: a token is text
    accessTokens(() => 7);
}
