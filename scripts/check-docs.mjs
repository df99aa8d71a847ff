// `npm run lint:docs`: what the pages say is compared with the sources, so that neither goes on without the other.
//
//   - docs/api is what typedoc makes of the docstrings today, and every public export has one; errors are behind @throws
//   - links between pages lead somewhere
//   - docs/errors.md has an entry for every error code, docs/devices.md a row for every environment variable,
//     docs/kernels.md a row for every op; and nothing else
//
// The examples of the pages are compiled and run by ts/test/docs/examples.test.ts.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const problems = [];
const read = (path) => readFileSync(join(root, path), 'utf8');

/** Files below a folder, as paths from the root. */
function files(folder, pattern) {
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => pattern.test(path) && statSync(join(root, path)).isFile());
}

/** Reports what one of two lists lacks. */
function compare(page, what, documented, actual) {
  const missing = [...actual].filter((name) => !documented.has(name));
  const surplus = [...documented].filter((name) => !actual.has(name));
  if (missing.length > 0) problems.push(`${page}: no entry for ${what} ${missing.join(', ')}`);
  if (surplus.length > 0) problems.push(`${page}: ${what} ${surplus.join(', ')} is not in the sources`);
}

const matches = (text, pattern) => new Set([...text.matchAll(pattern)].map((match) => match[1]));

function checkReference() {
  const require = createRequire(import.meta.url);
  const typedoc = join(dirname(require.resolve('typedoc/package.json')), 'bin', 'typedoc');
  const out = mkdtempSync(join(tmpdir(), 'instaseg-api-'));
  try {
    const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, '--out', out], {
      cwd: root,
      encoding: 'utf8',
    });
    if (status !== 0) {
      problems.push(`docstrings:\n${stdout}${stderr}`);
      return;
    }
    const pages = (folder) =>
      readdirSync(folder, { recursive: true })
        .filter((name) => name.endsWith('.md'))
        .toSorted()
        .map((name) => `${name}\n${readFileSync(join(folder, name), 'utf8')}`)
        .join('');
    const committed = join(root, 'docs/api');
    for (const [line] of pages(out).matchAll(/^(?!.*InstasegError).*\b(?:throws|rejects with) .*ERR_.*$/gim)) {
      problems.push(`docstrings: errors belong behind @throws: ${line.trim()}`);
    }
    if (!existsSync(committed) || pages(out) !== pages(committed)) {
      problems.push('docs/api is not what the docstrings say: run "npm run docs:api" and commit it');
    }
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** The anchor of a heading, as GitHub makes it. */
const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');

function anchors(path) {
  const text = read(path).replace(/^```.*?^```/gms, '');
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]));
  return new Set([...headings, ...matches(text, /<a id="([^"]+)"/g)]);
}

function checkLinks() {
  const pages = [...readdirSync(root).filter((name) => name.endsWith('.md')), ...files('docs', /\.md$/)];
  // The reference's own links are typedoc's, which has checked them.
  for (const page of pages.filter((path) => !path.startsWith(join('docs', 'api')))) {
    const text = read(page).replace(/^```.*?^```/gms, '');
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)) {
      if (target === undefined || /^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#');
      const file = path === '' ? page : relative(root, resolve(root, dirname(page), path));
      if (!existsSync(join(root, file))) problems.push(`${page}: ${target} is not there`);
      else if (anchor !== undefined && !anchors(file).has(anchor)) {
        problems.push(`${page}: ${target}: no such heading`);
      }
    }
  }
}

function checkErrors() {
  const page = read('docs/errors.md');
  const declared = matches(read('ts/src/runtime/errors.ts'), /'(ERR_\w+)'/g);
  compare('docs/errors.md', 'error code', matches(page, /^## (ERR_\w+)$/gm), declared);
  compare('docs/errors.md (table)', 'error code', matches(page, /^\| \[`(ERR_\w+)`\]/gm), declared);
  for (const code of matches(read('native/runtime/error.cpp'), /"(ERR_\w+)"/g)) {
    if (!declared.has(code))
      problems.push(`native/runtime/error.cpp: ${code} is no ErrorCode of ts/src/runtime/errors.ts`);
  }
}

function checkEnvironment() {
  const sources = [
    ...files('ts/src', /\.ts$/),
    ...files('native/runtime', /\.cpp$/),
    ...files('native/binding', /\.cpp$/),
  ];
  const used = new Set();
  for (const path of sources) {
    const text = read(path);
    if (!/process\.env|getenv/.test(text)) continue;
    // Names in quotes (process.env['X'], getenv("X")) and taken apart ({ X: x } = process.env).
    for (const name of matches(text, /(?:["'{,]\s*)(INSTASEG_\w+)(?=["':\s])/g)) used.add(name);
  }
  compare('docs/devices.md', 'variable', matches(read('docs/devices.md'), /^\| `(INSTASEG_\w+)`/gm), used);
}

function checkOps() {
  const exported = new Set();
  for (const [, names] of read('ts/src/ops/index.ts').matchAll(/export \{([^}]*)\}/g)) {
    for (const name of names.split(',').map((part) => part.trim())) {
      if (name !== '' && !name.startsWith('type ')) exported.add(name);
    }
  }
  const page = read('docs/kernels.md');
  const rows = page.slice(page.indexOf('## The ops')).match(/^\| `.*$/gm) ?? [];
  const documented = new Set();
  for (const row of rows) {
    for (const name of matches(row.split('|')[1], /`(\w+)[(`]/g)) if (name !== 'reshape') documented.add(name);
  }
  compare('docs/kernels.md', 'op', documented, exported);
}

checkLinks();
checkErrors();
checkEnvironment();
checkOps();
checkReference();
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
