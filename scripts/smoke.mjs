// `node scripts/smoke.mjs SPEC`: installs a tarball (./instaseg-1.2.3.tgz) or a published version (instaseg@1.2.3) into an
// empty project as a stranger does, without install scripts, and finds the things in a drawn scene with it.
//
// It uses nothing of this checkout, so that it can be copied to a machine alone.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const [spec] = process.argv.slice(2);
if (spec === undefined) throw new Error('usage: node scripts/smoke.mjs <tarball | instaseg@version>');
const source = existsSync(spec) ? resolve(spec) : spec;

const PROGRAM = `
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { load } from 'instaseg';

const root = join(createRequire(import.meta.url).resolve('instaseg/package.json'), '..');
const model = await load('maskrcnn_demo', { device: 'auto' });
const { instances } = await model.segment(join(root, 'models/demo/scenes', 'scene-1.jpg'), { scoreThreshold: 0.5 });
console.log(model.device + ', ' + model.deviceInfo.isa + ': ' + instances.map(({ label, area }) => label + ' ' + area).join(', '));
if (instances.length === 0) throw new Error('nothing was found in the scene');
await model.dispose();
`;

const folder = mkdtempSync(join(tmpdir(), 'instaseg-smoke-'));
// npm and npx are scripts on Windows, which only a shell runs; nothing here has characters that one would take apart.
const run = (command, args) =>
  execFileSync(command, args, { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' });
try {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'smoke', private: true, type: 'module' }));
  writeFileSync(join(folder, 'smoke.mjs'), PROGRAM);
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', source]);
  run('npx', ['--no-install', 'instaseg', '--version']);
  run('npx', ['--no-install', 'instaseg', 'devices']);
  run('node', ['smoke.mjs']);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
