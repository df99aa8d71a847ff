// Makes prebuilds/<platform>-<arch>/instaseg.<libc>.node, which the package ships, and checks it.
//
//   npm run prebuild                       for every GPU that releases are compiled for; needs the CUDA toolkit
//   npm run prebuild -- --cuda 80-real     for some, as CMake writes them, with commas
//   npm run prebuild -- --cuda none        without the CUDA backend
//   npm run prebuild -- --continue         after one that was interrupted: what is compiled already stays
//   npm run prebuild -- --reuse            build/Release/instaseg.node as it is, stripped, instead of compiling again
//
// The build folder is build-prebuild/, so that build/ stays what a developer made of it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { checkPrebuild, printPrebuild } from './check-prebuild.mjs';
import { RELEASE_ARCHITECTURES } from './cuda-architectures.mjs';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    cuda: { type: 'string' },
    continue: { type: 'boolean', default: false },
    reuse: { type: 'boolean', default: false },
  },
});

function cmakeOptions() {
  if (values.cuda === 'none') return ['INSTASEG_CUDA=OFF'];
  // CMake takes the compiler from CUDACXX, else from the PATH.
  if (spawnSync(process.env.CUDACXX ?? 'nvcc', ['--version'], { stdio: 'ignore' }).error) {
    console.error(
      'nvcc was not found (in CUDACXX or on the PATH). A release has the CUDA backend, which needs the CUDA toolkit, 13.0 or ' +
        'newer, to compile. For a prebuild without it: npm run prebuild -- --cuda none',
    );
    process.exit(1);
  }
  const architectures = values.cuda?.split(',') ?? RELEASE_ARCHITECTURES;
  return ['INSTASEG_CUDA=ON', `INSTASEG_CUDA_ARCHITECTURES=${architectures.join(';')}`];
}

const cmake = values.reuse ? [] : cmakeOptions();
const folder = join(root, 'build-prebuild');
if (!values.continue && !values.reuse) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
process.env.PREBUILD_CMAKE_OPTIONS = JSON.stringify(cmake);
if (values.reuse) process.env.PREBUILD_REUSE = join(root, 'build/Release/instaseg.node');
const prebuilds = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
rmSync(prebuilds, { recursive: true, force: true });
await promisify(require('prebuildify'))({
  name: 'instaseg',
  cwd: folder,
  out: root,
  napi: true,
  strip: true,
  tagLibc: true,
  nodeGyp: fileURLToPath(new URL('cmake-js-as-node-gyp.mjs', import.meta.url)),
});
printPrebuild(await checkPrebuild(prebuilds));
