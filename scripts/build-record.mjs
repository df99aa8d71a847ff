// What a clone's builds were made from, so that a benchmark's report names the commit that was measured, and not the one
// that happens to be checked out.
//
//   node scripts/build-record.mjs typescript      writes dist/build.json; `npm run build:ts` ends with it
//   node scripts/build-record.mjs inspect ADDON   prints as JSON what runs here with that addon
//
// `npm run build:native` writes build/Release/build.json beside the addon. A record holds the commit, a digest of the
// sources, and a digest of what was built from them: a build that was made without a record, or whose sources changed
// since, is found out. Neither file is part of the package, which has a version instead and no sources of TypeScript.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** By part: the sources, the command that builds them, and of an addon's file (or none) the record and what it covers. */
const PARTS = {
  native: {
    title: 'the addon',
    sources: ['CMakeLists.txt', 'native'],
    command: 'npm run build:native',
    record: (addon) => join(dirname(addon), 'build.json'),
    outputs: (addon) => [addon],
  },
  typescript: {
    title: 'dist/src',
    sources: ['tsconfig.base.json', 'ts/src'],
    command: 'npm run build:ts',
    record: (_, root) => join(root, 'dist', 'build.json'),
    outputs: (_, root) => [join(root, 'dist', 'src')],
  },
};

/** Shapes and networks that a benchmark reads as they are. */
const READ_AT_RUN_TIME = ['benchmarks/shapes', 'benchmarks/models', 'models/demo'];

function filesUnder(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesUnder(join(path, name)));
}

/** SHA-256 of names and contents. */
function digest(root, paths) {
  const hash = createHash('sha256');
  for (const file of paths.flatMap(filesUnder)) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function git(root, ...args) {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}

/** HEAD, with "-dirty" where one of the paths differs from it; null where the folder is no clone. */
export function describeCommit(root, paths) {
  const top = git(root, 'rev-parse', '--show-toplevel');
  if (top === null || realpathSync(top) !== realpathSync(root)) return null;
  const head = git(root, 'describe', '--always', '--abbrev=7');
  return head && head + (git(root, 'status', '--porcelain', '--', ...paths) === '' ? '' : '-dirty');
}

/**
 * Takes down the sources of a part, before they are built.
 * @returns what writes the record, after they were built
 */
export function beginRecord(name, addon, root = ROOT) {
  const part = PARTS[name];
  const made = {
    commit: describeCommit(root, part.sources),
    sources: digest(
      root,
      part.sources.map((path) => join(root, path)),
    ),
  };
  return () => {
    const record = { ...made, output: digest(root, part.outputs(addon, root)) };
    writeFileSync(part.record(addon, root), `${JSON.stringify(record, null, 1)}\n`);
  };
}

/** What a part was built from (null: nobody knows), and what is wrong with that. */
function inspect(name, addon, root) {
  const part = PARTS[name];
  const path = part.record(addon, root);
  const unknown = (why) => ({ commit: null, warnings: [`${part.title}: ${why}: ${part.command}`] });
  if (!existsSync(path)) return unknown('nothing says what it was built from');
  let record;
  try {
    record = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return unknown('its record cannot be read');
  }
  if (record.output !== digest(root, part.outputs(addon, root))) {
    return unknown(`it is not the build that was recorded (${record.commit})`);
  }
  const sources = digest(
    root,
    part.sources.map((each) => join(root, each)),
  );
  const stale = record.sources !== sources;
  return {
    commit: record.commit,
    warnings: stale ? [`${part.title}: built from ${record.commit}, other sources than are here: ${part.command}`] : [],
  };
}

/**
 * What runs in a clone: the commit of all of it, or null where its parts are of different ones or nobody knows; that of
 * each part; and why figures should not be published under that commit, in sentences.
 * @param addon path of the loaded addon
 */
export function inspectBuild(addon, root = ROOT) {
  const native = inspect('native', addon, root);
  const typescript = inspect('typescript', addon, root);
  const warnings = [...native.warnings, ...typescript.warnings];
  if (warnings.length > 0 && native.commit !== typescript.commit) {
    warnings.push(
      `the addon is of ${native.commit ?? 'nobody knows what'}, dist/src of ${typescript.commit ?? 'nobody knows what'}`,
    );
  }
  // Where both were built from what is here now, what is here has one name, whatever it had when they were built.
  const here = () => describeCommit(root, [...PARTS.native.sources, ...PARTS.typescript.sources, ...READ_AT_RUN_TIME]);
  const same = native.commit === typescript.commit ? native.commit : null;
  return {
    commit: warnings.length === 0 ? here() : same,
    built: { native: native.commit, typescript: typescript.commit },
    warnings,
  };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [, , command, addon] = process.argv;
  if (command === 'typescript') beginRecord(command)();
  else if (command === 'inspect' && addon) console.log(JSON.stringify(inspectBuild(addon)));
  else {
    console.error('usage: node scripts/build-record.mjs typescript | inspect ADDON');
    process.exit(2);
  }
}
