// `node scripts/check-release.mjs TAG`: whether this checkout may be published under a tag. The version stands in
// package.json alone; the tag, the lock file and the newest section of CHANGELOG.md have to say the same.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { root: { type: 'string', default: fileURLToPath(new URL('..', import.meta.url)) } },
  allowPositionals: true,
});
const read = (path) => readFileSync(join(values.root, path), 'utf8');
const { version, repository } = JSON.parse(read('package.json'));
const lock = JSON.parse(read('package-lock.json'));

const problems = [];
const [tag] = positionals;
if (tag !== `v${version}`)
  problems.push(`the tag is ${tag ?? 'missing'}, package.json has version ${version}: expected v${version}`);
if (lock.version !== version || lock.packages[''].version !== version) {
  problems.push(
    `package-lock.json has version ${lock.version}, package.json ${version}: run "npm install --package-lock-only"`,
  );
}
const sections = [...read('CHANGELOG.md').matchAll(/^## \[([^\]]+)\](?: - (\S+))?$/gm)].filter(
  ([, name]) => name !== 'Unreleased',
);
const [, newest, date] = sections[0] ?? [];
if (newest !== version) problems.push(`the newest release in CHANGELOG.md is ${newest ?? 'none'}, expected ${version}`);
else if (!/^\d{4}-\d{2}-\d{2}$/.test(date ?? ''))
  problems.push(`CHANGELOG.md: ${version} has no date (## [${version}] - YYYY-MM-DD)`);

// Provenance names the repository, and the registry compares it with the package's own word.
const here = process.env.GITHUB_REPOSITORY;
const said = typeof repository === 'string' ? repository : repository?.url;
if (said === undefined) problems.push('package.json has no "repository": provenance cannot be published without it');
else if (here !== undefined && !new RegExp(`[/:]${here}(\\.git)?$`).test(said)) {
  problems.push(`"repository" in package.json is ${said}, this is ${here}`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${tag}: package.json, package-lock.json and CHANGELOG.md agree`);
