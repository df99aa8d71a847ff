// `npm run test:install`: packs the package, installs the tarball into empty projects the way people do, and runs it there.
// Prints a table; fails where a row fails. What cannot run on this machine is skipped, counted and said.
//
//   npm run test:install                       everything; needs the npm registry for the tools of others
//   npm run test:install -- --quick            what CI runs at every change; the registry only for the package's dependencies
//   npm run test:install -- --rows jest,yarn   some rows, by the beginning of their names
//   npm run test:install -- --keep             leaves the projects where they are
//
// The prebuild is the one in prebuilds/ (npm run prebuild). Where there is none, or with --reuse, it is made of
// build/Release, which has the same flags.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundlerRows } from './rows/bundlers.mjs';
import { installRows } from './rows/install.mjs';
import { moduleRows } from './rows/modules.mjs';
import { packageRows } from './rows/package.mjs';
import { processRows } from './rows/processes.mjs';
import { runtimeRows } from './rows/runtimes.mjs';
import { expectedResult } from './scene.mjs';
import { Sandbox, Skip } from './sandbox.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    reuse: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    rows: { type: 'string' },
  },
});

const prebuilds = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
if (values.reuse || !existsSync(prebuilds)) {
  execFileSync(process.execPath, [join(root, 'scripts/prebuild.mjs'), '--reuse'], { cwd: root, stdio: 'inherit' });
}

const wanted = values.rows?.split(',');
const folder = mkdtempSync(join(tmpdir(), 'instaseg-install-'));
const context = { root, prebuilds, folder, sandbox: new Sandbox(folder), expected: await expectedResult() };
/** Those that others build upon run always. */
const rows = [...packageRows, ...installRows, ...moduleRows, ...bundlerRows, ...processRows, ...runtimeRows].filter(
  ({ name, base, quick }) => base || (wanted ? wanted.some((each) => name.startsWith(each)) : quick || !values.quick),
);

const table = [];
const count = { passed: 0, failed: 0, skipped: 0 };
for (const { name, run } of rows) {
  const started = performance.now();
  let status = 'passed';
  let note;
  try {
    note = await run(context);
  } catch (error) {
    status = error instanceof Skip ? 'skipped' : 'failed';
    note = error.message;
    if (status === 'failed') console.error(`FAILED ${name}\n${error.stack}\n`);
  }
  count[status] += 1;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  table.push([name, status, `${seconds} s`, (note ?? '').split('\n')[0]]);
  console.error(`${status.padEnd(7)} ${seconds.padStart(6)} s  ${name}`);
}
if (values.keep) console.error(`projects: ${folder}`);
else rmSync(folder, { recursive: true, force: true });

const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column].length)));
console.log();
for (const [name, status, time, note] of table) {
  console.log(`${name.padEnd(widths[0])}  ${status.padEnd(widths[1])}  ${time.padStart(widths[2])}  ${note}`);
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exit(count.failed ? 1 : 0);
