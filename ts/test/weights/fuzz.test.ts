import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

test('damaged files are read or refused with typed errors, quickly and in little memory', async (t) => {
  const root = path.resolve(__dirname, '../../..');
  const script = path.join(root, 'scripts/fuzz/main.mjs');
  const run = promisify(execFile)(process.execPath, [script, '--seconds', '15', '--seed', '20']);
  const { stdout } = await run.catch((error: Error & { stdout: string }) => ({
    stdout: `${error.stdout}${error.message}`,
  }));
  const codes = ['ERR_ARGUMENT', 'ERR_CHECKPOINT', 'ERR_CHECKPOINT_UNSAFE', 'ERR_IMAGE', 'read'];
  const counts = codes.map((code) => `${code} \\d+`).join(', ');
  t.regex(stdout, new RegExp(`^${counts}; .*\\nseed 20: \\d+ cases, \\d+ a second, \\d+ outcomes\\n$`));
});
