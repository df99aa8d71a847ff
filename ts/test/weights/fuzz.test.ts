import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

test('damaged checkpoints are read or refused, quickly and in little memory', async (t) => {
  const root = path.resolve(__dirname, '../../..');
  const script = path.join(root, 'scripts/fuzz-checkpoints.mjs');
  const run = promisify(execFile)(process.execPath, [script, '--seconds', '20', '--seed', '20']);
  const { stdout } = await run.catch((error: Error & { stdout: string }) => ({
    stdout: `${error.stdout}${error.message}`,
  }));
  t.regex(stdout, /^ERR_CHECKPOINT \d+, ERR_CHECKPOINT_UNSAFE \d+, read \d+; .*\nseed 20: \d+ cases, \d+ a second\n$/);
});
