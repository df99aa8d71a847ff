/** instaseg build: compiles the addon where no prebuild fits. */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { diagnostics, InstasegError, listDevices } from '../index.js';
import { EXIT, step } from './exit.js';
import type { AddCommand } from './program.js';
import type { Terminal } from './terminal.js';

/** From dist/src/cli. */
const PACKAGE_ROOT = join(__dirname, '..', '..', '..');

/** What compiling needs from the registry; installing and running the package needs neither. */
const TOOLS = ['cmake-js', 'node-addon-api'] as const;

export const addBuildCommand: AddCommand = (program, { terminal, signal }, done) => {
  program
    .command('build')
    .summary('compile the native addon, where no prebuilt one fits')
    .description(
      'Compile the native addon for this machine; it goes before the prebuilt one. Needs cmake 3.18 or newer, a C++20 ' +
        'compiler, and the packages cmake-js and node-addon-api in your project',
    )
    .option('--cuda <architectures>', 'with the CUDA backend, for these GPUs: 89, or 80,90a (needs the CUDA toolkit)')
    .option('--verbose', 'show the stack of errors')
    .action(async ({ cuda }: { cuda?: string }) => {
      await step(EXIT.failed, build(cuda, terminal, signal));
      done(EXIT.ok);
    });
};

async function build(cuda: string | undefined, terminal: Terminal, signal: AbortSignal): Promise<void> {
  if (cuda !== undefined && !/^\d+[af]?(-real|-virtual)?(,\d+[af]?(-real|-virtual)?)*$/.test(cuda)) {
    throw new InstasegError('ERR_ARGUMENT', `--cuda must be architectures like 89 or 80,90a; received "${cuda}"`);
  }
  if (cuda !== undefined && (await diagnostics()).system.libc?.family === 'musl') {
    throw new InstasegError(
      'ERR_ARGUMENT',
      "CUDA needs glibc, which NVIDIA's driver is made for; this system has musl",
    );
  }
  const tools = await findTools();
  await requireProgram('cmake', signal);
  const folder = await mkdtemp(join(tmpdir(), 'instaseg-build-'));
  try {
    const options = [`INSTASEG_NODE_ADDON_API=${tools.headers}`];
    if (cuda !== undefined) {
      options.push('INSTASEG_CUDA=ON', `INSTASEG_CUDA_ARCHITECTURES=${cuda.replaceAll(',', ';')}`);
    }
    await run(
      process.execPath,
      [
        tools.cmakeJs,
        'compile',
        '--directory',
        PACKAGE_ROOT,
        '--out',
        folder,
        // native/windows.cmake
        ...(process.platform === 'win32' ? ['--toolset', 'ClangCL'] : []),
        '--parallel',
        String(availableParallelism()),
        ...options.map((option) => `--CD${option}`),
      ],
      signal,
    );
    const target = join(PACKAGE_ROOT, 'build', 'Release', 'instaseg.node');
    await install(join(folder, 'Release', 'instaseg.node'), target);
    listDevices(); // loads it
    terminal.print(`Compiled: ${target}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** cmake-js and node-addon-api of the user's project, or beside this package. */
async function findTools(): Promise<{ cmakeJs: string; headers: string }> {
  const find = (request: string): string | undefined => {
    for (const from of [process.cwd(), PACKAGE_ROOT]) {
      try {
        return createRequire(join(from, 'package.json')).resolve(request);
      } catch {
        continue;
      }
    }
    return undefined;
  };
  const cmakeJs = find('cmake-js/bin/cmake-js');
  const addonApi = find('node-addon-api/package.json');
  if (cmakeJs === undefined || addonApi === undefined) {
    const { devDependencies } = JSON.parse(await readFile(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const packages = TOOLS.map((name) => `${name}@${devDependencies[name]}`).join(' ');
    throw new InstasegError(
      'ERR_ADDON',
      `compiling needs two packages that are not in ${process.cwd()}. Run:\n` +
        `  ${addCommand()} ${packages}\n  npx instaseg build`,
    );
  }
  return { cmakeJs, headers: resolve(dirname(addonApi)) };
}

/** How the package manager that runs this command adds a development dependency. */
function addCommand(): string {
  const agent = process.env['npm_config_user_agent'] ?? '';
  if (agent.startsWith('pnpm')) return 'pnpm add -D';
  return agent.startsWith('yarn') ? 'yarn add -D' : 'npm install --save-dev';
}

async function requireProgram(name: string, signal: AbortSignal): Promise<void> {
  try {
    await run(name, ['--version'], signal, 'ignore');
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new InstasegError(
      'ERR_ADDON',
      `compiling needs ${name} 3.18 or newer and a C++20 compiler (Debian and Ubuntu: apt-get install cmake g++)`,
      { cause },
    );
  }
}

/** Runs a program; what it prints goes to stderr, since stdout is for results. */
function run(command: string, args: readonly string[], signal: AbortSignal, output: 'ignore' | 2 = 2): Promise<void> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', output, output], signal });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) done();
      else reject(new InstasegError('ERR_ADDON', `compiling failed (exit code ${code}); its output is above`));
    });
  });
}

/** Puts a file in its place in one step: a process that loads the old one keeps it. */
async function install(from: string, to: string): Promise<void> {
  try {
    await mkdir(dirname(to), { recursive: true });
    await copyFile(from, `${to}.new`);
    await rename(`${to}.new`, to);
  } catch (cause) {
    throw new InstasegError('ERR_FILE', `${to}: cannot be written (${(cause as Error).message})`, { cause });
  }
}
