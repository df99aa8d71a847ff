// The prebuild, the tarball, and what publishing would do.
import { execFileSync } from 'node:child_process';
import { checkPrebuild } from '../../check-prebuild.mjs';
import { Skip } from '../sandbox.mjs';
import { UNREACHABLE } from './install.mjs';
import { packTarball } from '../tarball.mjs';

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

export const packageRows = [
  {
    name: 'prebuild: symbols, libraries, size',
    base: true,
    async run(context) {
      context.prebuild = await checkPrebuild(context.prebuilds);
      const { glibc, cpu, cuda } = context.prebuild;
      return `glibc ${glibc} or newer, CPU part ${megabytes(cpu)}, CUDA part ${megabytes(cuda)}`;
    },
  },
  {
    name: 'tarball: contents, size, no install scripts',
    base: true,
    run(context) {
      context.tarball = packTarball(context.root, context.folder, context.prebuild);
      const { files, packed, unpacked, demo } = context.tarball;
      return `${files} files, packed ${megabytes(packed)}, unpacked ${megabytes(unpacked)}, of which demo ${megabytes(demo)}`;
    },
  },
  {
    name: 'npm publish --dry-run',
    quick: true,
    run({ root, tarball }) {
      try {
        const said = execFileSync('npm', ['publish', '--dry-run', '--ignore-scripts', '--json', tarball.path], {
          cwd: root,
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
          maxBuffer: 1 << 28,
        });
        const report = JSON.parse(said);
        const { id } = report.instaseg ?? report; // npm 11, npm 10
        if (id !== `instaseg@${tarball.version}`) throw new Error(`it would publish ${id}`);
        return `would publish ${id}`;
      } catch (error) {
        if (UNREACHABLE.test(error.stderr ?? '')) throw new Skip('no registry in reach');
        throw error;
      }
    },
  },
];
