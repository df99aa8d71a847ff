/** scripts/build-record.mjs, on a small clone: which commit was built, and what gives a stale build away. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';

interface Script {
  beginRecord(part: 'native' | 'typescript', addon: string, root: string): () => void;
  inspectBuild(addon: string, root: string): { commit: string | null; built: unknown; warnings: string[] };
}

const SCRIPT = join(__dirname, '..', '..', '..', 'scripts', 'build-record.mjs');

async function clone(t: ExecutionContext) {
  const { beginRecord, inspectBuild } = (await import(pathToFileURL(SCRIPT).href)) as Script;
  const root = mkdtempSync(join(tmpdir(), 'instaseg-record-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const write = (name: string, content: string): void => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  };
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: root, encoding: 'utf8' }).trim();
  const commit = (): string => {
    git('add', '.');
    git('commit', '--quiet', '--no-gpg-sign', '--allow-empty', '-m', 'change');
    return git('describe', '--always', '--abbrev=7');
  };
  const addon = join(root, 'build', 'Release', 'instaseg.node');
  git('init', '--quiet');
  write('.gitignore', 'build/\ndist/\n');
  write('CMakeLists.txt', 'project');
  write('native/a.cpp', 'one');
  write('tsconfig.base.json', '{}');
  write('ts/src/a.ts', 'one');
  const build = (part: 'native' | 'typescript', content: string): void => {
    const record = beginRecord(part, addon, root);
    write(part === 'native' ? 'build/Release/instaseg.node' : 'dist/src/a.js', content);
    record();
  };
  return { write, commit, build, addon, inspect: () => inspectBuild(addon, root) };
}

test('builds of what is checked out have its commit, dirty where their sources differ from it', async (t) => {
  const { write, commit, build, inspect } = await clone(t);
  const first = commit();
  build('native', 'binary');
  build('typescript', 'script');
  t.deepEqual(inspect(), { commit: first, built: { native: first, typescript: first }, warnings: [] });

  write('README.md', 'text');
  t.is(inspect().commit, first, 'what is not built does not matter');
  const second = commit();
  t.is(inspect().commit, second, 'the same sources under another commit');
  t.deepEqual(inspect().warnings, []);

  write('ts/src/b.ts', 'two');
  build('typescript', 'other script');
  t.deepEqual(inspect(), {
    commit: `${second}-dirty`,
    built: { native: first, typescript: `${second}-dirty` },
    warnings: [],
  });
});

test('sources that changed after the build: the commit that was built, and a warning', async (t) => {
  const { write, commit, build, inspect } = await clone(t);
  const first = commit();
  build('native', 'binary');
  build('typescript', 'script');
  write('native/a.cpp', 'two');
  commit();
  const stale = inspect();
  t.is(stale.commit, first);
  t.is(stale.warnings.length, 1);
  t.regex(stale.warnings[0]!, new RegExp(`^the addon: built from ${first}, other sources .*npm run build:native$`));

  build('typescript', 'script');
  const mixed = inspect();
  t.is(mixed.commit, null, 'two commits have no one name');
  t.regex(mixed.warnings[1]!, new RegExp(`^the addon is of ${first}, dist/src of `));
});

test('a build without a record, or that is not the recorded one, has no commit', async (t) => {
  const { write, commit, build, inspect } = await clone(t);
  commit();
  build('native', 'binary');
  write('dist/src/a.js', 'script');
  t.is(inspect().commit, null);
  t.regex(inspect().warnings[0]!, /^dist\/src: nothing says what it was built from: npm run build:ts$/);

  build('typescript', 'script');
  t.deepEqual(inspect().warnings, []);
  write('build/Release/instaseg.node', 'something else');
  t.is(inspect().commit, null);
  t.regex(inspect().warnings[0]!, /^the addon: it is not the build that was recorded .*: npm run build:native$/);

  write('build/Release/build.json', '{');
  t.regex(inspect().warnings[0]!, /^the addon: its record cannot be read: npm run build:native$/);
});
