/** What the example's resources have beside: orders and filters of lists, lists of values, what is below another. */

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { type Schemas } from "api-client";
import { type Member, Network, type Service, failing, logIn, register, startService } from "./support.js";

const TASKS = "/v1/workspaces/{workspace_id}/tasks";
const TASK = "/v1/tasks/{task_id}";

let service: Service;
let network: Network;
let api: Member;
let path: { workspace_id: string };

before(async () => {
    service = await startService();
    network = await Network.before(service);
    api = await logIn(service, await register(service), network);
    path = { workspace_id: (await api.post("/v1/workspaces", { body: { name: "Engines" } })).id };
});

after(async () => {
    await network.stop();
    await service.stop();
});

beforeEach(() => {
    network.exchanges.length = 0;
});

const of = (task: Schemas["TaskView"]) => ({ params: { path: { task_id: task.id } } });
const newTask = (title: string, more: Partial<Schemas["NewTask"]> = {}) =>
    api.post(TASKS, { params: { path }, body: { title, ...more } });

describe("tasks", () => {
    test("are made, changed and deleted", async () => {
        const task = await newTask("Weave", { labels: ["loom"] });
        assert.deepEqual([task.title, task.status, task.labels], ["Weave", "open", ["loom"]]);
        const edited = await api.edit(TASK, of(task), ({ labels }) => ({ labels: [...labels, "wool"] }));
        assert.deepEqual(edited.labels, ["loom", "wool"]);
        assert.equal(await api.delete(TASK, of(task)), undefined);
        assert.equal((await failing(api.get(TASK, of(task)))).code, "task-not-found");
    });

    test("tell a form which of a list of values is wrong", async () => {
        const labels = ["fine", 7 as unknown as string];
        const error = await failing(newTask("x", { priority: "soon" as "high", labels }));
        assert.deepEqual(Object.keys(error.fields).sort(), ["labels.1", "priority"]);
        assert.deepEqual(error.fields["labels.1"], ["It must be a text."]);
    });

    test("are listed in an order and by filters that go on over its pages", async () => {
        const titles = Array.from({ length: 30 }, (_, number) => `Order ${String(number).padStart(2, "0")}`);
        await Promise.all(titles.map((title) => newTask(title, { priority: "urgent" })));
        await newTask("Order 99");
        network.exchanges.length = 0;
        const query = { limit: 10, sort: "title", priority: ["urgent" as const] };
        const found: string[] = [];
        for await (const task of api.list(TASKS, { params: { path, query } })) {
            found.push(task.title);
        }
        assert.deepEqual(found, titles);
        assert.equal(network.exchanges.length, 3);
    });

    test("get a comment once, whose answer was lost", async () => {
        const task = await newTask("Discussed");
        network.mishaps.push({ kind: "cut" });
        await api.post("/v1/tasks/{task_id}/comments", { ...of(task), body: { body: "Said once." } });
        const { items } = await api.get("/v1/tasks/{task_id}/comments", of(task));
        assert.equal(items.length, 1);
    });
});
