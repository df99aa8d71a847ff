#!/usr/bin/env node
// What prebuildify runs in the place of node-gyp, in a folder of its own: `rebuild --target=... --devdir=... --arch=x64
// --release`. The target is Node's version, which cmake-js would read as a CMake target, and means nothing to an addon of
// Node-API. PREBUILD_CMAKE_OPTIONS: options for CMake, as JSON. PREBUILD_REUSE: an addon to take as it is.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(process.cwd(), 'build');
const architecture = process.argv.filter((option) => option.startsWith('--arch='));
const { PREBUILD_CMAKE_OPTIONS = '[]', PREBUILD_REUSE } = process.env;

if (PREBUILD_REUSE) {
  mkdirSync(join(out, 'Release'), { recursive: true });
  copyFileSync(PREBUILD_REUSE, join(out, 'Release/instaseg.node'));
  process.exit(0);
}
const options = [
  '--directory',
  root,
  '--out',
  out,
  ...architecture,
  // native/windows.cmake
  ...(process.platform === 'win32' ? ['--toolset', 'ClangCL'] : []),
  '--parallel',
  String(availableParallelism()),
  ...JSON.parse(PREBUILD_CMAKE_OPTIONS).map((option) => `--CD${option}`),
];
// Not `rebuild`, which throws away what is there: prebuild.mjs decides that.
for (const command of ['configure', 'build']) {
  const cmakeJs = [require.resolve('cmake-js/bin/cmake-js'), command, ...options];
  const { status, error } = spawnSync(process.execPath, cmakeJs, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
