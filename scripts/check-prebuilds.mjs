// `node scripts/check-prebuilds.mjs [FOLDER] [--targets a,b]`: whether FOLDER (prebuilds/) has the binary of every target
// that a release promises, each for its own platform, and nothing else. A release must not go out without one of them.
//
// `--targets` names some in the place of all, for one machine's part of a release. It reads headers alone: whether a
// binary works is shown by loading it on its platform (npm run test:install).
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Machine numbers of the formats' headers. */
const ELF = { x64: 62, arm64: 183 };
const MACH_O = { x64: 0x01000007, arm64: 0x0100000c };
const PE = { x64: 0x8664, arm64: 0xaa64 };

/**
 * Every target of a release: where node-gyp-build looks for it, and what it has to be. `libc` is the C library that it
 * links; `cuda` whether the CUDA backend is in it. (prebuildify tags files with "glibc" on systems that have no choice of a C
 * library, too, and node-gyp-build expects it there.)
 */
export const TARGETS = {
  'linux-x64': { file: 'linux-x64/instaseg.glibc.node', format: 'ELF', machine: ELF.x64, libc: 'glibc', cuda: true },
  'linux-arm64': { file: 'linux-arm64/instaseg.glibc.node', format: 'ELF', machine: ELF.arm64, libc: 'glibc' },
  'linuxmusl-x64': { file: 'linux-x64/instaseg.musl.node', format: 'ELF', machine: ELF.x64, libc: 'musl' },
  'linuxmusl-arm64': { file: 'linux-arm64/instaseg.musl.node', format: 'ELF', machine: ELF.arm64, libc: 'musl' },
  'darwin-x64': { file: 'darwin-x64/instaseg.glibc.node', format: 'Mach-O', machine: MACH_O.x64 },
  'darwin-arm64': { file: 'darwin-arm64/instaseg.glibc.node', format: 'Mach-O', machine: MACH_O.arm64 },
  'win32-x64': { file: 'win32-x64/instaseg.glibc.node', format: 'PE', machine: PE.x64 },
};

/** The format and machine of a shared library, from its header; undefined for something else. */
function identify(bytes) {
  if (bytes.length < 64) return undefined;
  if (bytes.readUInt32BE(0) === 0x7f454c46) return { format: 'ELF', machine: bytes.readUInt16LE(18) };
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return { format: 'Mach-O', machine: bytes.readUInt32LE(4) };
  const header = bytes.readUInt32LE(0x3c);
  if (
    bytes.toString('latin1', 0, 2) === 'MZ' &&
    header + 6 <= bytes.length &&
    bytes.readUInt32BE(header) === 0x50450000
  ) {
    return { format: 'PE', machine: bytes.readUInt16LE(header + 4) };
  }
  return undefined;
}

/** What is wrong with a target's file, or undefined. */
function problemOf({ format, machine, libc, cuda = false }, path) {
  if (!existsSync(path)) return 'is missing';
  const bytes = readFileSync(path);
  const found = identify(bytes);
  if (found === undefined) return 'is no shared library';
  if (found.format !== format || found.machine !== machine) {
    return `is ${found.format} for machine 0x${found.machine.toString(16)}, expected ${format} for 0x${machine.toString(16)}`;
  }
  // Names of needed libraries and of sections stand in the file as they are.
  if (libc === 'glibc' && !bytes.includes('libc.so.6\0')) return 'does not link glibc';
  if (libc === 'musl' && !/libc\.(musl-|so\0)/.test(bytes.toString('latin1'))) return 'does not link musl';
  if (bytes.includes('.nv_fatbin\0') !== cuda) return cuda ? 'has no CUDA kernels' : 'has CUDA kernels';
  return undefined;
}

/** Lines that say what is wrong with a folder of prebuilds; none where it is as it has to be. */
export function findProblems(folder, names = Object.keys(TARGETS)) {
  const problems = [];
  for (const name of names) {
    const target = TARGETS[name];
    if (target === undefined) {
      problems.push(`${name}: no such target; there are ${Object.keys(TARGETS).join(', ')}`);
      continue;
    }
    const problem = problemOf(target, join(folder, target.file));
    if (problem !== undefined) problems.push(`${name}: ${target.file} ${problem}`);
  }
  const expected = new Set(names.map((name) => TARGETS[name]?.file));
  const present = existsSync(folder) ? readdirSync(folder, { recursive: true }).map((name) => join(folder, name)) : [];
  for (const path of present.filter((each) => statSync(each).isFile())) {
    const file = relative(folder, path).replaceAll(sep, '/');
    if (!expected.has(file)) problems.push(`${file} belongs to no target`);
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({ options: { targets: { type: 'string' } }, allowPositionals: true });
  const folder = positionals[0] ?? fileURLToPath(new URL('../prebuilds', import.meta.url));
  const names = values.targets?.split(',') ?? Object.keys(TARGETS);
  const problems = findProblems(folder, names);
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  console.log(`${names.length} prebuilds: ${names.join(', ')}`);
}
