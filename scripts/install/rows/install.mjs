// Installing with npm, pnpm and yarn, and what is said where that went wrong.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { smoke } from '../smoke.mjs';
import { Skip, which } from '../sandbox.mjs';
import { requireExpected } from '../scene.mjs';

const PROGRAM = readFileSync(new URL('../projects/segment.mjs', import.meta.url), 'utf8');
/** What npm says where there is no registry. */
export const UNREACHABLE = /E?(NOTFOUND|CONNREFUSED|TIMEDOUT|AI_AGAIN)/;
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

const cli = (folder) => join(folder, 'node_modules/instaseg/dist/src/cli/main.js');

/** A project that has the tarball as its only dependency. */
const consumer = ({ sandbox, tarball }, name, files = {}) =>
  sandbox.project(name, {
    'package.json': { name, version: '1.0.0', private: true, dependencies: { instaseg: `file:${tarball.path}` } },
    'segment.mjs': PROGRAM,
    ...files,
  });

/** Installs into a project with what is in the cache; the base row has put it there. */
export async function offlineProject(context, name, files = {}) {
  requireBase(context);
  const folder = consumer(context, name, files);
  await context.sandbox.npm(['install', '--prefer-offline'], { cwd: folder });
  return folder;
}

export function requireBase({ base }) {
  if (!base) throw new Skip('the package could not be installed');
}

export const installRows = [
  {
    // From nothing: an empty cache, an empty npmrc, no compiler on the PATH.
    name: 'npm install, npx instaseg demo and doctor',
    base: true,
    async run(context) {
      try {
        const { folder, doctor, installed, masks } = await smoke(context.sandbox, context.tarball.path);
        context.base = folder;
        writeFileSync(join(folder, 'segment.mjs'), PROGRAM);
        if (doctor.version !== context.tarball.version) throw new Error(`it is ${doctor.version}`);
        return `${doctor.version}: install ${seconds(installed)}, first masks ${seconds(masks)} after its start`;
      } catch (error) {
        if (UNREACHABLE.test(error.message)) throw new Skip('no registry in reach');
        throw error;
      }
    },
  },
  {
    name: 'npm ci --offline --ignore-scripts, no network',
    quick: true,
    async run(context) {
      requireBase(context);
      const { sandbox, base } = context;
      const folder = consumer(context, 'npm-ci');
      for (const file of ['package.json', 'package-lock.json']) cpSync(join(base, file), join(folder, file));
      await sandbox.npm(['ci', '--offline', '--ignore-scripts'], { cwd: folder, network: false });
      const { stdout } = await sandbox.node(['segment.mjs'], { cwd: folder, network: false });
      sandbox.requireNoDecoys();
      return `${requireExpected(context, stdout)}; network cut by ${sandbox.cut.how}`;
    },
  },
  {
    name: 'npm install --offline, no network',
    async run(context) {
      requireBase(context);
      const { sandbox } = context;
      const folder = consumer(context, 'npm-offline');
      await sandbox.npm(['install', '--offline'], { cwd: folder, network: false });
      const { stdout } = await sandbox.node(['segment.mjs'], { cwd: folder, network: false });
      return requireExpected(context, stdout);
    },
  },
  {
    name: 'load failures name files, platform and fixes',
    quick: true,
    async run(context) {
      requireBase(context);
      const { sandbox, base } = context;
      const prebuilds = join(base, 'node_modules/instaseg/prebuilds');
      const said = [];
      renameSync(prebuilds, `${prebuilds}-away`);
      try {
        const { stderr } = await sandbox.node(['segment.mjs'], { cwd: base, code: 1 });
        said.push(stderr);
        const { stdout } = await sandbox.node([cli(base), 'doctor'], { cwd: base, code: 3 });
        said.push(stdout);
      } finally {
        renameSync(`${prebuilds}-away`, prebuilds);
      }
      for (const text of said) {
        for (const part of ['looked for:', 'linux-x64', 'npm install', 'npx instaseg build']) {
          if (!text.includes(part)) throw new Error(`"${part}" is not in\n${text}`);
        }
      }
      const { stderr } = await sandbox.node([cli(base), 'build'], { cwd: base, code: 1 });
      if (!/npm install --save-dev cmake-js@\S+ node-addon-api@\S+/.test(stderr)) throw new Error(stderr);
      return 'missing prebuild: two fixes; build without its tools: the command that installs them';
    },
  },
  {
    name: 'npx instaseg build compiles',
    async run(context) {
      const { sandbox } = context;
      const programs = ['cmake', 'ninja', 'make', 'g++', 'c++', 'as', 'ld', 'ar', 'ranlib', 'uname'];
      if (!which('cmake') || !which('g++')) throw new Skip('no cmake or g++ on this machine');
      const folder = await offlineProject(context, 'build');
      const { devDependencies } = JSON.parse(readFileSync(join(context.root, 'package.json'), 'utf8'));
      const tools = ['cmake-js', 'node-addon-api'].map((name) => `${name}@${devDependencies[name]}`);
      await sandbox.npm(['install', '--save-dev', ...tools], { cwd: folder });
      const bin = join(folder, 'bin');
      mkdirSync(bin);
      for (const name of ['node', 'sh']) symlinkSync(join(sandbox.bin, name), join(bin, name));
      for (const name of programs) if (which(name)) symlinkSync(which(name), join(bin, name));
      rmSync(join(folder, 'node_modules/instaseg/prebuilds'), { recursive: true });
      await sandbox.node([cli(folder), 'build'], { cwd: folder, env: { PATH: bin }, timeout: 1_800_000 });
      const { stdout } = await sandbox.node(['segment.mjs'], { cwd: folder });
      requireExpected(context, stdout);
      const report = JSON.parse((await sandbox.node([cli(folder), 'doctor', '--json'], { cwd: folder })).stdout);
      if (report.addon.origin !== 'compiled') throw new Error(JSON.stringify(report.addon));
      return 'compiled in the project, then loaded';
    },
  },
  {
    name: 'pnpm install, its defaults',
    async run(context) {
      requireBase(context);
      const { sandbox } = context;
      const pnpm = await tool(context, 'pnpm', 'pnpm@10', 'pnpm/bin/pnpm.cjs');
      const folder = consumer(context, 'pnpm');
      await sandbox.node([pnpm, 'install'], { cwd: folder });
      await sandbox.node([pnpm, 'exec', 'instaseg', 'demo'], { cwd: folder });
      rmSync(join(folder, 'node_modules'), { recursive: true });
      await sandbox.node([pnpm, 'install', '--offline', '--frozen-lockfile'], { cwd: folder, network: false });
      const { stdout } = await sandbox.node(['segment.mjs'], { cwd: folder, network: false });
      sandbox.requireNoDecoys();
      return `${requireExpected(context, stdout)}, again offline`;
    },
  },
  {
    name: 'yarn 1 install',
    async run(context) {
      requireBase(context);
      const { sandbox } = context;
      const yarn = await tool(context, 'yarn1', 'yarn@1', 'yarn/bin/yarn.js');
      const folder = consumer(context, 'yarn1');
      const cache = ['--cache-folder', join(sandbox.folder, 'yarn1-cache')];
      await sandbox.node([yarn, 'install', '--no-progress', ...cache], { cwd: folder });
      await sandbox.node([yarn, '--silent', 'instaseg', 'demo'], { cwd: folder });
      rmSync(join(folder, 'node_modules'), { recursive: true });
      const offline = ['install', '--offline', '--frozen-lockfile', '--no-progress', ...cache];
      await sandbox.node([yarn, ...offline], { cwd: folder, network: false });
      const { stdout } = await sandbox.node(['segment.mjs'], { cwd: folder, network: false });
      sandbox.requireNoDecoys();
      return `${requireExpected(context, stdout)}, again offline`;
    },
  },
  {
    name: "yarn 4 install, Plug'n'Play",
    async run(context) {
      requireBase(context);
      const { sandbox } = context;
      const yarn = await tool(context, 'yarn4', '@yarnpkg/cli-dist@4', '@yarnpkg/cli-dist/bin/yarn.js');
      const folder = consumer(context, 'yarn4', { 'yarn.lock': '', '.yarnrc.yml': 'enableTelemetry: false\n' });
      await sandbox.node([yarn, 'install', '--no-immutable'], { cwd: folder });
      if (existsSync(join(folder, 'node_modules'))) throw new Error("not Plug'n'Play");
      const { stdout } = await sandbox.node([yarn, 'node', 'segment.mjs'], { cwd: folder });
      await sandbox.node([yarn, 'instaseg', 'demo'], { cwd: folder });
      sandbox.requireNoDecoys();
      return requireExpected(context, stdout);
    },
  },
];

/** Installs a tool of others into a project of its own; gives the path of its program. */
export async function tool({ sandbox }, name, spec, program) {
  const folder = sandbox.project(`tool-${name}`);
  await sandbox.npm(['install', '--ignore-scripts', spec], { cwd: folder });
  return join(folder, 'node_modules', program);
}
