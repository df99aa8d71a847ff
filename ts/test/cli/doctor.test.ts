import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { listDevices, type Diagnostics } from '../../src/index.js';
import { instaseg, temporaryFolder } from './support.js';

const { version } = JSON.parse(readFileSync(join(__dirname, '../../../package.json'), 'utf8')) as { version: string };

const folder = temporaryFolder();
test.after.always(() => folder.remove());

/** Runs `instaseg ...args` with other environment variables. */
async function withEnvironment(
  args: readonly string[],
  variables: Record<string, string>,
): ReturnType<typeof instaseg> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await instaseg(args, folder.path());
  } finally {
    process.env = before;
  }
}

test.serial('doctor --json has what an issue report needs', async (t) => {
  const { code, stdout } = await withEnvironment(['doctor', '--json'], {
    INSTASEG_CACHE: folder.path('cache'),
    HTTPS_PROXY: 'http://me:secret@proxy.example:3128',
  });
  t.is(code, 0);
  t.false(stdout.includes('secret'));
  const report = JSON.parse(stdout) as Diagnostics;
  t.is(report.version, version);
  t.is(report.node.version, process.versions.node);
  t.is(report.system.triple, `${process.platform}-${process.arch}`);
  t.true(report.system.kernel.includes(release()));
  t.like(report.addon, { version });
  t.deepEqual(report.devices, listDevices());
  t.is(report.sharp['error'], undefined);
  t.deepEqual(report.weightsCache, { path: folder.path('cache'), files: 0, bytes: 0 });
  t.is(report.environment['HTTPS_PROXY'], 'http://***@proxy.example:3128');
});

test.serial('doctor prints the same for people', async (t) => {
  const { code, stdout } = await instaseg(['doctor']);
  t.is(code, 0);
  for (const row of ['instaseg', 'node', 'system', 'addon', 'processor', 'cpu', 'memory', 'sharp', 'weights cache']) {
    t.regex(stdout, new RegExp(`^ {2}${row} {2}`, 'm'), row);
  }
});

test.serial('doctor says why the addon cannot be loaded, and exits with 3', async (t) => {
  const variables = { INSTASEG_ADDON: folder.path('nowhere.node') };
  const { code, stdout } = await withEnvironment(['doctor'], variables);
  t.is(code, 3);
  t.regex(stdout, /could not be loaded: Cannot find module/);
  t.regex(stdout, /INSTASEG_ADDON=\S*nowhere\.node/);
  const json = await withEnvironment(['doctor', '--json'], variables);
  t.is(json.code, 3);
  t.regex((JSON.parse(json.stdout) as { addon: { error: string } }).addon.error, /to fix it/);
});

test.serial('build refuses what cannot be an architecture', async (t) => {
  const { code, stderr } = await instaseg(['build', '--cuda', 'none;rm'], folder.path());
  t.is(code, 2);
  t.regex(stderr, /error ERR_ARGUMENT: --cuda must be architectures like 89 or 80,90a; received "none;rm"/);
});
