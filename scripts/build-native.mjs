// Builds build/Release/instaseg.node through cmake-js. Options after `--` go to cmake-js.
//
// On Windows with clang-cl: see native/windows.cmake.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';

const require = createRequire(import.meta.url);
const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
const toolset = process.platform === 'win32' ? ['--toolset', 'ClangCL'] : [];
const result = spawnSync(
  process.execPath,
  [cmakeJs, 'compile', '--parallel', String(availableParallelism()), ...toolset, ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
);
if (result.error) throw result.error;
process.exit(result.status ?? 1);
