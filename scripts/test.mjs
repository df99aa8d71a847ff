// `npm test`: runs ava (arguments go to it), shows failures and skips as they come, and ends with the counts.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const ava = join(dirname(require.resolve('ava')), 'cli.mjs');
const child = spawn(process.execPath, [ava, '--tap', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
});

const count = { passed: 0, failed: 0, skipped: 0 };
let showing = false;
for await (const line of createInterface({ input: child.stdout })) {
  const result = /^(ok|not ok) \d+ - (.*)$/.exec(line);
  if (!result) {
    // Details of a failure, console output of a test.
    if (showing || /^\s*#/.test(line)) console.log(line);
    continue;
  }
  const [, status, title] = result;
  showing = status === 'not ok';
  if (/# (SKIP|TODO)/i.test(title)) {
    count.skipped += 1;
    console.log(`skipped  ${title}`);
    showing = false;
  } else if (showing) {
    count.failed += 1;
    console.log(`FAILED   ${title}`);
  } else {
    count.passed += 1;
  }
}
const code = await new Promise((resolve) =>
  child.exitCode === null ? child.on('close', resolve) : resolve(child.exitCode),
);
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exit(code ?? 1);
