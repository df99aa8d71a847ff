/** scripts/check-release.mjs, on small checkouts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';

const SCRIPT = join(__dirname, '..', '..', '..', 'scripts', 'check-release.mjs');
const REPOSITORY = 'owner/instaseg';

interface Checkout {
  readonly tag?: string;
  readonly lock?: string;
  readonly changelog?: string;
  readonly repository?: unknown;
}

/** What the script says of a checkout of version 1.2.3. */
function check(t: ExecutionContext, checkout: Checkout = {}): string {
  const { tag = 'v1.2.3', lock = '1.2.3', changelog = '## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n' } = checkout;
  const { repository = { type: 'git', url: `git+https://github.com/${REPOSITORY}.git` } } = checkout;
  const root = mkdtempSync(join(tmpdir(), 'instaseg-release-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const write = (name: string, content: unknown): void =>
    writeFileSync(join(root, name), typeof content === 'string' ? content : JSON.stringify(content));
  write('package.json', { version: '1.2.3', ...(repository !== null && { repository }) });
  write('package-lock.json', { version: lock, packages: { '': { version: lock } } });
  write('CHANGELOG.md', changelog);
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, tag, '--root', root], {
    encoding: 'utf8',
    env: { ...process.env, GITHUB_REPOSITORY: REPOSITORY },
  });
  t.is(status === 0, stderr === '');
  return stdout + stderr;
}

test('tag, package.json, lock file and CHANGELOG that agree', (t) => {
  t.regex(check(t), /^v1\.2\.3: .* agree$/m);
  t.regex(check(t, { repository: `github:${REPOSITORY}` }), /agree/);
});

test('what does not agree is named', (t) => {
  t.regex(check(t, { tag: 'v1.2.4' }), /the tag is v1\.2\.4, .* expected v1\.2\.3/);
  t.regex(check(t, { lock: '1.2.2' }), /package-lock\.json has version 1\.2\.2/);
  t.regex(check(t, { changelog: '## [1.2.2] - 2025-12-31\n' }), /newest release in CHANGELOG\.md is 1\.2\.2/);
  t.regex(check(t, { changelog: '## [Unreleased]\n' }), /newest release in CHANGELOG\.md is none/);
  t.regex(check(t, { changelog: '## [1.2.3]\n' }), /1\.2\.3 has no date/);
  t.regex(check(t, { repository: null }), /no "repository"/);
  t.regex(check(t, { repository: 'https://github.com/fork/instaseg' }), /this is owner\/instaseg/);
});
