// Builds build/Release/instaseg.node through cmake-js. Options after `--` go to cmake-js.
//
// On Windows with clang-cl: see native/windows.cmake.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { beginRecord } from './build-record.mjs';

const require = createRequire(import.meta.url);
const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
const toolset = process.platform === 'win32' ? ['--toolset', 'ClangCL'] : [];
const record = beginRecord('native', fileURLToPath(new URL('../build/Release/instaseg.node', import.meta.url)));
const result = spawnSync(
  process.execPath,
  [cmakeJs, 'compile', '--parallel', String(availableParallelism()), ...toolset, ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
);
if (result.error) throw result.error;
if (result.status !== 0) process.exit(result.status ?? 1);
// Elsewhere than in build/Release is no build that benchmarks take.
if (!process.argv.slice(2).some((option) => /^(-O|--out|-B|--config|-D|--debug)\b/.test(option))) record();
