// Writes down what the page was built from and what came out, for a test to compare; and the
// licences of what is in it.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

const here = import.meta.dirname;
const built = join(here, "../veloflux/control/dashboard/built");
const SKIPPED = new Set(["node_modules", "README.md"]);

function* files(folder) {
  for (const name of readdirSync(folder).sort()) {
    if (SKIPPED.has(name)) continue;
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

function digests(folder) {
  const found = [...files(folder)].map((path) => [
    relative(folder, path),
    createHash("sha256").update(readFileSync(path)).digest("hex"),
  ]);
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const { dependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const licences = Object.keys(dependencies).map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(built, "LICENSES.txt"), licences.join(`\n${"-".repeat(72)}\n\n`));

const stamp = { sources: digests(here), built: digests(built) };
writeFileSync(join(built, "stamp.json"), JSON.stringify(stamp, null, 1) + "\n");
