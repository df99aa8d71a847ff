// The tarball: what is in it, and how much of it.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CPU_LIMIT, CUDA_LIMIT } from '../check-prebuild.mjs';

const PATTERNS = [
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|CMakeLists\.txt)$/,
  /^dist\/src\/.*\.(js|d\.ts|mjs|d\.mts)$/,
  /^native\/.*\.(h|cpp|cu|cuh|map|md|cmake)$/,
  /^models\/demo\//,
  /^benchmarks\/(models\/.*|shapes\/.*\.txt)$/,
  /^prebuilds\/[a-z0-9]+-[a-z0-9]+\/instaseg\.(glibc|musl)\.node$/,
];

/** Packs the package into a folder without running its scripts; gives facts, and throws where something is wrong. */
export function packTarball(root, folder, prebuild) {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 28,
    }),
  );
  const sum = (pattern) =>
    packed.files.filter(({ path }) => pattern.test(path)).reduce((all, { size }) => all + size, 0);
  const facts = {
    path: join(folder, packed.filename),
    version: packed.version,
    files: packed.files.length,
    packed: packed.size,
    unpacked: packed.unpackedSize,
    demo: sum(/^models\/demo\//),
    cuda: prebuild.cuda,
    // What one platform has of it: the binaries of others are not counted.
    cpu: packed.unpackedSize - sum(/^models\/demo\//) - sum(/^prebuilds\//) + prebuild.cpu,
  };

  const problems = [];
  const paths = packed.files.map(({ path }) => path);
  for (const path of paths)
    if (!PATTERNS.some((pattern) => pattern.test(path))) problems.push(`${path} has no use in it`);
  for (const path of paths) {
    // Left over from a source that is not there any more.
    const source = /^dist\/src\/(.*?)\.(js|d\.ts)$/.exec(path)?.[1];
    if (source !== undefined && !existsSync(join(root, 'ts/src', `${source}.ts`)) && !isDeclaration(root, source)) {
      problems.push(`${path} has no source: remove dist/ and build it again`);
    }
  }
  for (const needed of ['dist/src/index.mjs', 'dist/src/linux-x64.mjs', 'dist/src/cli/main.js', 'CMakeLists.txt']) {
    if (!paths.includes(needed)) problems.push(`${needed} is missing`);
  }
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of ['preinstall', 'install', 'postinstall']) {
    if (scripts[name]) problems.push(`package.json has a script "${name}", which runs when the package is installed`);
  }
  if (existsSync(join(root, 'binding.gyp'))) problems.push('binding.gyp would make npm run node-gyp');
  if (facts.cpu > CPU_LIMIT) problems.push(`${facts.cpu} bytes besides demo and CUDA, more than ${CPU_LIMIT}`);
  if (facts.cuda > CUDA_LIMIT) problems.push(`${facts.cuda} bytes of CUDA, more than ${CUDA_LIMIT}`);
  if (problems.length) throw new Error(problems.join('\n'));
  return facts;
}

const isDeclaration = (root, source) => existsSync(join(root, 'ts/src', `${source}.d.ts`));
