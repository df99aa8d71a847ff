// Builds for tests alone, each in a folder of its own, and what a process needs to run with them.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program in the repository; its failure is ours. */
export function run(command, args, env = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function build(folder, options) {
  run(process.execPath, [
    require.resolve('cmake-js/bin/cmake-js'),
    'compile',
    '--out',
    folder,
    ...options.map((option) => `--CD${option}`),
    '--parallel',
    String(availableParallelism()),
  ]);
  return {
    selftest: join(root, folder, 'emulation_selftest'),
    env: { INSTASEG_ADDON: join(root, folder, 'Release', 'instaseg.node') },
  };
}

/**
 * AddressSanitizer and UndefinedBehaviorSanitizer, the CPU and the emulated CUDA device: every tensor is an allocation of
 * its own.
 */
export function buildSanitized() {
  const { selftest, env } = build('build-sanitize', ['INSTASEG_SANITIZE=ON', 'INSTASEG_CUDA_EMULATED=ON']);
  return {
    selftest,
    env: {
      ...env,
      INSTASEG_POISON: '1',
      LD_PRELOAD: execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim(),
      // Node keeps much of its memory until it exits; exit checks of leaks would report that.
      ASAN_OPTIONS: 'detect_leaks=0:alloc_dealloc_mismatch=0',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  };
}

/** The emulated CUDA device alone: the quickest one. */
export function buildEmulated() {
  return build('build-emulated', ['INSTASEG_CUDA_EMULATED=ON']);
}

/** The emulated CUDA device with its race detector, without sanitizers. */
export function buildRaceDetector() {
  return build('build-races', ['INSTASEG_CUDA_EMULATED=ON', 'INSTASEG_EMULATION_RACES=ON']);
}
