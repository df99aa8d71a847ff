// What a prebuild must be. Everywhere: the one file for this platform, within its size. On Linux with glibc on x86-64 also:
// stripped, with Node-API's entry points as its only exports; it needs no library that is not everywhere where Node runs,
// and no symbol of glibc after 2.28, which Node 20 itself needs. `node scripts/check-prebuild.mjs` checks the one in prebuilds/.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const GLIBC = [2, 28];
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
const LIBRARIES =
  /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libgcc_s\.so\.1|ld-linux-x86-64\.so\.2)$/;
/** Bytes. The rest of the package has the same limit together with the code for the CPU: scripts/install/tarball.mjs. */
export const CUDA_LIMIT = 60e6;
export const CPU_LIMIT = 15e6;

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
const lines = (text) => text.split('\n').filter(Boolean);

/** As prebuildify and node-gyp-build name it; "glibc" stands for systems without a choice, too. */
const FILE = `instaseg.${existsSync('/etc/alpine-release') ? 'musl' : 'glibc'}.node`;

/** Facts of the prebuild for this platform in a folder; throws where it is not what it must be. */
export async function checkPrebuild(folder) {
  const strange = readdirSync(folder).filter((file) => !/^instaseg\.(glibc|musl)\.node$/.test(file));
  if (strange.length > 0) throw new Error(`${folder} must have prebuilds alone; it has ${strange.join(', ')}`);
  const path = join(folder, FILE);
  const bytes = statSync(path).size;
  const linux = process.platform === 'linux' && process.arch === 'x64' && FILE.includes('glibc');
  return linux ? checkLinux(path, bytes) : checkSize({ path, bytes, cuda: 0, cpu: bytes }, []);
}

function checkSize(facts, problems) {
  const { path, cuda, cpu } = facts;
  if (cuda > CUDA_LIMIT) problems.push(`its CUDA part has ${cuda} bytes, more than ${CUDA_LIMIT}`);
  if (cpu > CPU_LIMIT) problems.push(`its CPU part has ${cpu} bytes, more than ${CPU_LIMIT}`);
  if (problems.length) throw new Error(`${path} is no prebuild:\n${problems.map((each) => `  ${each}`).join('\n')}`);
  return facts;
}

function checkLinux(path, bytes) {
  const sections = run('readelf', '--sections', '--wide', path);
  const size = (name) => {
    const match = new RegExp(`\\] \\${name} +\\S+ +\\S+ \\S+ (\\S+)`).exec(sections);
    return match ? Number.parseInt(match[1], 16) : 0;
  };
  const cuda = size('.nv_fatbin');
  const imports = lines(run('nm', '--dynamic', '--undefined-only', path)).map((line) => line.trim().split(' ').at(-1));
  const versions = imports.map((symbol) => ({ symbol, version: symbol.split('@')[1] ?? '' }));
  const facts = {
    path,
    bytes,
    cuda,
    cpu: bytes - cuda,
    exports: lines(run('nm', '--dynamic', '--defined-only', path)).map((line) => line.split(' ').at(-1)),
    libraries: [...run('readelf', '--dynamic', path).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]),
    glibc: highest(versions.map(({ version }) => version)),
  };

  const problems = [];
  if (/ \.(symtab|debug_info) /.test(sections)) problems.push('it is not stripped');
  if (facts.exports.toSorted().join() !== EXPORTS.join()) problems.push(`it exports ${facts.exports.join(', ')}`);
  for (const library of facts.libraries) if (!LIBRARIES.test(library)) problems.push(`it needs ${library}`);
  for (const { symbol, version } of versions) {
    if (/^(GLIBCXX|CXXABI)_/.test(version)) problems.push(`it imports ${symbol} from the C++ library`);
    const glibc = /^GLIBC_(.*)$/.exec(version)?.[1];
    if (glibc && compare(glibc, GLIBC.join('.')) > 0) {
      problems.push(`it imports ${symbol}: glibc ${GLIBC.join('.')} has none (native/link/glibc_baseline.cpp)`);
    }
  }
  return checkSize(facts, problems);
}

function compare(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The newest version of glibc among versions of symbols. */
function highest(versions) {
  const numbers = versions.flatMap((version) => /^GLIBC_([\d.]+)$/.exec(version)?.[1] ?? []);
  return numbers.toSorted(compare).at(-1);
}

export function printPrebuild({ path, bytes, cuda, cpu, glibc, libraries = [] }) {
  const megabytes = (value) => `${(value / 1e6).toFixed(2)} MB`;
  console.log(`${basename(path)}: ${megabytes(bytes)}, of which CUDA ${megabytes(cuda)}, the rest ${megabytes(cpu)}`);
  if (glibc) console.log(`needs glibc ${glibc} and ${libraries.join(', ')}; exports Node-API's two entry points alone`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  printPrebuild(await checkPrebuild(join(root, 'prebuilds', `${process.platform}-${process.arch}`)));
}
