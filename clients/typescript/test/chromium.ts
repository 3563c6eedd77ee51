/** A real browser, spoken to by the DevTools protocol through two pipes. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

type Answer = { id?: number; result?: Record<string, unknown>; error?: { message: string } };

/** Where it is, if it is installed. */
export function chromium(): string | undefined {
    const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    return names.find((name) => spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
}

/** One tab. What is looked for in it is an expression of JavaScript. */
export interface Tab {
    /** What it is worth, after a promise has been kept. */
    value<Result>(expression: string): Promise<Result>;
}

export class Chromium {
    readonly #waiting = new Map<number, (answer: Answer) => void>();
    #last = 0;

    private constructor(
        readonly stop: () => Promise<void>,
        private readonly commands: Writable,
        answers: Readable,
    ) {
        let rest = "";
        answers.setEncoding("utf8").on("data", (text: string) => {
            const messages = (rest + text).split("\0");
            rest = messages.pop() ?? "";
            for (const message of messages) {
                const answer = JSON.parse(message) as Answer;
                if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
            }
        });
    }

    /** Started with a profile of its own, which goes when it ends. */
    static async start(program: string): Promise<Chromium> {
        const profile = await mkdtemp(join(tmpdir(), "chromium-"));
        const flags = [
            "--headless=new",
            "--remote-debugging-pipe",
            `--user-data-dir=${profile}`,
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), // which it cannot build as root
        ];
        const child = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
        const ended = once(child, "exit");
        const stop = async () => {
            child.kill();
            await ended;
            await rm(profile, { recursive: true, force: true, maxRetries: 10 });
        };
        return new Chromium(stop, child.stdio[3] as Writable, child.stdio[4] as Readable);
    }

    /** A new tab with this page, once `ready` is true there. */
    async open(url: string, ready: string): Promise<Tab> {
        const { targetId } = await this.#ask("Target.createTarget", { url });
        const { sessionId } = await this.#ask("Target.attachToTarget", { targetId, flatten: true });
        const tab: Tab = {
            value: async <Result>(expression: string) => {
                const asked = { expression, returnByValue: true, awaitPromise: true };
                const said = await this.#ask("Runtime.evaluate", asked, String(sessionId));
                if (said.exceptionDetails) throw new Error(JSON.stringify(said.exceptionDetails));
                return (said.result as { value: Result }).value;
            },
        };
        while (!(await tab.value(`Boolean(${ready})`))) await sleep(50);
        return tab;
    }

    async #ask(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
        const id = ++this.#last;
        const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
        this.commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
        const { result, error } = await answered;
        this.#waiting.delete(id);
        if (error) throw new Error(`${method}: ${error.message}`);
        return result ?? {};
    }
}
