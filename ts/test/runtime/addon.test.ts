/** What the addon's file asks of a machine before anything of it runs. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import anyTest from 'ava';
import { listDevices } from '../../src/index.js';

const test = process.platform === 'linux' ? anyTest : anyTest.skip;

/** The file that this process has loaded. */
async function addonFile(): Promise<string> {
  listDevices();
  const maps = await readFile('/proc/self/maps', 'utf8');
  return /\/\S.*instaseg\S*\.node$/m.exec(maps)![0];
}

test('the addon needs libraries of the C and C++ runtime alone: none of CUDA, and no driver', async (t) => {
  const { stdout } = await promisify(execFile)('readelf', ['-d', await addonFile()]);
  const needed = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name!);
  t.true(needed.includes('libc.so.6'), stdout);
  // Sanitized builds name their libraries.
  const known = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|asan|ubsan)\.so\.\d+|ld-linux-[\w-]+\.so\.\d)$/;
  t.deepEqual(
    needed.filter((name) => !known.test(name)),
    [],
  );
});
