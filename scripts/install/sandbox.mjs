// Clean places to install into: an environment without compilers, without a user's npm settings, and with no network where
// that is what is tested.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Ends a row that cannot run here; its message says why. */
export class Skip extends Error {}

/** What an install must not look at: they are on the PATH, and leave a note when somebody runs them. */
const DECOYS = ['nvcc', 'nvidia-smi', 'cmake', 'make', 'cc', 'c++', 'gcc', 'g++', 'clang++', 'python3', 'node-gyp'];

/** Variables without which a registry may be out of reach. */
const NETWORK = /^((https?|no|all)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR))$/i;

export class Sandbox {
  /** Commands have to end within this. */
  static TIMEOUT = 300_000;

  constructor(folder) {
    this.folder = folder;
    this.bin = join(folder, 'bin');
    this.notes = join(folder, 'decoys-that-ran');
    for (const name of ['bin', 'home', 'cache', 'projects']) mkdirSync(join(folder, name), { recursive: true });
    for (const name of ['npmrc', 'global-npmrc']) writeFileSync(join(folder, name), '');
    const npm = join(realpathSync(join(dirname(process.execPath), 'npm')), '..');
    symlinkSync(process.execPath, join(this.bin, 'node'));
    symlinkSync(join(npm, 'npm-cli.js'), join(this.bin, 'npm'));
    symlinkSync(join(npm, 'npx-cli.js'), join(this.bin, 'npx'));
    // What the shell scripts of pnpm's node_modules/.bin call.
    for (const name of ['sh', 'sed', 'dirname', 'uname']) symlinkSync(which(name), join(this.bin, name));
    for (const name of DECOYS) {
      writeFileSync(join(this.bin, name), `#!/bin/sh\necho "${name} $*" >>'${this.notes}'\nexit 1\n`);
      chmodSync(join(this.bin, name), 0o755);
    }
    this.cut = cutNetwork();
  }

  get environment() {
    const passed = Object.entries(process.env).filter(([name]) => NETWORK.test(name));
    return {
      ...Object.fromEntries(passed),
      PATH: this.bin,
      HOME: join(this.folder, 'home'),
      TMPDIR: this.folder,
      CI: '1',
      CUDA_HOME: '/nonexistent/cuda',
      npm_config_userconfig: join(this.folder, 'npmrc'),
      npm_config_globalconfig: join(this.folder, 'global-npmrc'),
      npm_config_cache: join(this.folder, 'cache'),
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    };
  }

  /** An empty project with these files; the content of one may be an object, for JSON. */
  project(name, files = {}) {
    const folder = join(this.folder, 'projects', name);
    mkdirSync(folder, { recursive: true });
    const all = { 'package.json': { name, version: '1.0.0', private: true }, ...files };
    for (const [file, content] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
    }
    return folder;
  }

  /**
   * Runs a program in the clean environment; gives { code, signal, stdout, stderr, milliseconds }. Rejects where the code is
   * not the one expected (null: any). `onOutput` is called with what is written to stdout.
   */
  run(command, args, { cwd, network = true, code = 0, env = {}, timeout = Sandbox.TIMEOUT, onOutput } = {}) {
    const whole = network ? [command, ...args] : [...this.cut.prefix, command, ...args];
    const environment = { ...this.environment, ...(network ? {} : this.cut.env), ...env };
    const started = performance.now();
    return new Promise((resolve, reject) => {
      const child = spawn(whole[0], whole.slice(1), {
        cwd: cwd ?? this.folder,
        env: environment,
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout,
      });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
        onOutput?.(stdout);
      });
      child.stderr.on('data', (chunk) => (stderr += chunk));
      child.on('error', reject);
      child.on('close', (ended, signal) => {
        const milliseconds = performance.now() - started;
        if (code === null || ended === code) resolve({ code: ended, signal, stdout, stderr, milliseconds });
        else {
          const last = `${stderr}\n${stdout}`.trim().split('\n').slice(0, 30).join('\n');
          reject(new Error(`${command} ${args.join(' ')} ended with ${ended ?? signal}, not ${code}\n${last}`));
        }
      });
    });
  }

  node(args, options) {
    return this.run(join(this.bin, 'node'), args, options);
  }

  npm(args, options) {
    return this.run(join(this.bin, 'npm'), args, options);
  }

  /** Fails where somebody looked for a compiler or a GPU. */
  requireNoDecoys() {
    if (existsSync(this.notes)) throw new Error(`these programs were run:\n${readFileSync(this.notes, 'utf8')}`);
  }
}

/** How a process gets no network: a namespace of its own where the system permits that, else a proxy that is not there. */
function cutNetwork() {
  for (const flags of [['-n'], ['-r', '-n']]) {
    if (spawnSync('unshare', [...flags, 'true']).status === 0) {
      return { how: 'network namespace', prefix: [which('unshare'), ...flags, '--'], env: {} };
    }
  }
  const nowhere = 'http://127.0.0.1:9';
  return { how: 'proxy to a closed port', prefix: [], env: { http_proxy: nowhere, https_proxy: nowhere } };
}

/** The path of a program of this machine; undefined where it has none of this name. */
export function which(name) {
  const folder = process.env.PATH.split(':').find((each) => existsSync(join(each, name)));
  return folder && join(folder, name);
}
