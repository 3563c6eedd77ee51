/**
 * Writes what the client knows of the API, src/schema.ts and src/contract.ts, from the stored OpenAPI document.
 * With --check it writes nothing, and fails where they are not what it would write.
 */

import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const STORED = new URL("../../../openapi/v1.json", import.meta.url);
const NOTE = "// Made by `make client` from the OpenAPI document; an edit here is lost.";
const KEY = "Idempotency-Key";

const document = JSON.parse(await readFile(STORED, "utf8"));
const files = {
    "schema.ts": `${NOTE}\n\n${astToString(await openapiTS(structuredClone(document)))}`,
    "contract.ts": contract(document),
};

let outdated = 0;
for (const [name, text] of Object.entries(files)) {
    const place = new URL(`../src/${name}`, import.meta.url);
    if (!process.argv.includes("--check")) {
        await writeFile(place, text);
    } else if ((await readFile(place, "utf8").catch(() => "")) !== text) {
        console.error(
            `clients/typescript/src/${name} does not follow from the OpenAPI document: run make client`,
        );
        outdated = 1;
    }
}
process.exitCode = outdated;

/** What of the document is needed when the client runs; types are gone by then. */
function contract({ components, paths }) {
    const problems = new Map();
    for (const { type, status, title } of components.schemas.Problem["x-problems"]) {
        const code = type.split("/").at(-1);
        if (!/^[a-z][a-z0-9-]*$/.test(code) || code === "unknown")
            throw new Error(`${type} has no code to go by.`);
        problems.set(code, `    /** ${status}: ${title.replaceAll("*/", "* /")} */\n    "${code}",\n`);
    }
    const keyed = [];
    for (const [path, operations] of Object.entries(paths)) {
        for (const [method, { parameters = [] }] of Object.entries(operations)) {
            if (parameters.some((parameter) => parameter.in === "header" && parameter.name === KEY)) {
                keyed.push(`    "${method.toUpperCase()} ${path}",\n`);
            }
        }
    }
    return `${NOTE}

/** The code of every kind of problem that the service tells of: the last part of its \`type\`. */
export const PROBLEM_CODES = [
${[...problems.values()].join("")}] as const;

/** The operations that take an \`${KEY}\`, so that to repeat them does no harm. */
export const KEYED: ReadonlySet<string> = new Set([
${keyed.sort().join("")}]);
`;
}
