/** As types.ts, for what the example's resources have beside: lists of values, enumerations, filters. */

import type { ApiClient, Schemas } from "api-client";

declare const api: ApiClient;
const task = { params: { path: { task_id: "1" } } };
const path = { workspace_id: "1" };

export async function calls() {
    const found = await api.get("/v1/tasks/{task_id}", task);
    const labels: readonly string[] = found.labels;
    const status: Schemas["TaskView"]["status"] = found.status;
    await api.edit("/v1/tasks/{task_id}", task, ({ labels }) => ({ labels: [...labels, "new"] }));
    api.list("/v1/workspaces/{workspace_id}/tasks", { params: { path, query: { status: ["open"] } } });

    // @ts-expect-error: there is no such value
    await api.patch("/v1/tasks/{task_id}", { ...task, body: { priority: "soon" } });
    // @ts-expect-error: nor such a filter
    api.list("/v1/workspaces/{workspace_id}/tasks", { params: { path, query: { state: ["open"] } } });
    // @ts-expect-error: nor such a value of one
    api.list("/v1/workspaces/{workspace_id}/tasks", { params: { path, query: { status: ["opne"] } } });
    return [labels, status];
}
