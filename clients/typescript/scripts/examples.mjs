/**
 * Writes the code in README.md to build/examples/, for `tsc` to see whether it is right.
 *
 * A block that begins with `// some/file.tsx` is that file. The others are one program, as a reader takes them.
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const build = fileURLToPath(new URL("../build/", import.meta.url)); // new, or a test that is gone would still run
const examples = `${build}examples/`;
const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");

const files = new Map();
for (const [, code] of readme.matchAll(/^```tsx?\n(.*?)^```$/gms)) {
    const [, name = "usage.ts"] = /^\/\/ (\S+\.tsx?)$/m.exec(code.slice(0, code.indexOf("\n"))) ?? [];
    files.set(name, (files.get(name) ?? "") + code);
}
if (files.size < 2) throw new Error("There is no code in README.md.");

await rm(build, { recursive: true, force: true });
for (const [name, code] of files) {
    await mkdir(dirname(examples + name), { recursive: true });
    await writeFile(examples + name, code);
}
