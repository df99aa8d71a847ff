// Runs ava: shows failures and skips as they come and counts the tests.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const ava = join(dirname(require.resolve('ava')), 'cli.mjs');

/** Arguments for ava and additions to the environment, and where lines go; gives ava's exit code and the counts. */
export async function runTests(args, env = {}, print = console.log) {
  const child = spawn(process.execPath, [ava, '--tap', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const ended = new Promise((resolve) => child.on('close', resolve));

  const count = { passed: 0, failed: 0, skipped: 0 };
  let showing = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const result = /^(ok|not ok) \d+ - (.*)$/.exec(line);
    if (!result) {
      // Details of a failure, console output of a test.
      if (showing || /^\s*#/.test(line)) print(line);
      continue;
    }
    const [, status, title] = result;
    showing = status === 'not ok';
    if (/# (SKIP|TODO)/i.test(title)) {
      count.skipped += 1;
      print(`skipped  ${title}`);
      showing = false;
    } else if (showing) {
      count.failed += 1;
      print(`FAILED   ${title}`);
    } else {
      count.passed += 1;
    }
  }
  return { code: (await ended) ?? 1, ...count };
}

/** The last line of every run of tests. */
export function printCounts({ passed, failed, skipped }) {
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
}
