// `npm run test:sanitize`: builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into build-sanitize/ and
// runs the tests of the ops and of the runtime on it. In that build every tensor is an allocation of its own.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

function run(command, args, env = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

run(process.execPath, [
  require.resolve('cmake-js/bin/cmake-js'),
  'compile',
  '--out',
  'build-sanitize',
  '--CDINSTASEG_SANITIZE=ON',
  '--parallel',
  String(availableParallelism()),
]);

const library = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
run(process.execPath, ['scripts/test.mjs', 'dist/test/ops/**/*.test.js', 'dist/test/runtime/**/*.test.js'], {
  INSTASEG_ADDON: `${root}build-sanitize/Release/instaseg.node`,
  INSTASEG_POISON: '1',
  LD_PRELOAD: library,
  // Node keeps much of its memory until it exits; exit checks of leaks would report that.
  ASAN_OPTIONS: 'detect_leaks=0:alloc_dealloc_mismatch=0',
  UBSAN_OPTIONS: 'print_stacktrace=1',
});
