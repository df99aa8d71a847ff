/** Finds the addon's file and loads it. A failure says what was looked for, and what to do about it. */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import nodeGypBuild = require('node-gyp-build');
import { InstasegError } from './errors.js';
import { describePlatform, isMusl, TRIPLE } from './platform.js';
import { version } from './version.js';

/**
 * Why this file was loaded: `INSTASEG_ADDON` named it, an entry for bundlers requires it, or it was found as compiled on
 * this machine (which goes first) or as a prebuild.
 */
export type AddonOrigin = 'environment' | 'entry' | 'compiled' | 'prebuild';

export interface AddonFile {
  readonly exports: unknown;
  readonly origin: AddonOrigin;
  readonly path: string;
}

/** How an entry for bundlers brings the addon: `path` as its source has it, and the literal require of it. */
export interface BundledAddon {
  readonly path: string;
  readonly require: () => unknown;
}

/** What releases have prebuilds for; on Linux with glibc and with musl (scripts/check-prebuilds.mjs). */
const PREBUILT = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64', 'win32-x64'];

/** The package's root: two folders above dist/src. */
const PACKAGE_ROOT = join(__dirname, '..', '..', '..');

/**
 * Loads the addon: the file that `INSTASEG_ADDON` names, else that of an entry for bundlers, else what is found in the
 * package.
 * @throws InstasegError ERR_ADDON
 */
export function loadAddonFile(bundled: BundledAddon | undefined, packageRoot = PACKAGE_ROOT): AddonFile {
  const file = locate(bundled, packageRoot);
  let exports: unknown;
  try {
    exports = file.require();
  } catch (cause) {
    const reason = firstLine(cause);
    throw failure(reason, [`${file.path}: ${reason}`], diagnose(reason, file, packageRoot), cause);
  }
  const { version: found, cpuInfo } = (exports ?? {}) as { version?: unknown; cpuInfo?: unknown };
  if (found !== version || typeof cpuInfo !== 'function') {
    const known = typeof found === 'string' && typeof cpuInfo === 'function';
    const reason = known ? `it is of instaseg ${found}, not ${version}` : 'it is no addon of this instaseg';
    throw failure(reason, [`${file.path}: ${reason}`], staleFixes(file, packageRoot));
  }
  return { exports, origin: file.origin, path: file.path };
}

interface Location {
  readonly origin: AddonOrigin;
  readonly path: string;
  readonly require: () => unknown;
}

function locate(bundled: BundledAddon | undefined, packageRoot: string): Location {
  // Not a plain require of a variable: bundlers would look for what it could be.
  const location = (origin: AddonOrigin, path: string): Location => ({
    origin,
    path,
    require: () => {
      requireWhole(path);
      return createRequire(join(packageRoot, 'package.json'))(path) as unknown;
    },
  });
  const named = process.env['INSTASEG_ADDON'];
  if (named) return location('environment', named);
  if (bundled) return { origin: 'entry', ...bundled };
  let path: string;
  try {
    path = nodeGypBuild.resolve(packageRoot);
  } catch (cause) {
    throw failure('there is no build of it for this platform', searched(packageRoot), missingFixes(packageRoot), cause);
  }
  return location(dirname(path).startsWith(join(packageRoot, 'build')) ? 'compiled' : 'prebuild', path);
}

/**
 * Refuses an ELF file that is cut off: the system's loader would map what is not there, and the process would die of
 * SIGBUS. The table of sections is the last thing in a file.
 */
function requireWhole(path: string): void {
  const header = Buffer.alloc(64);
  let size: number;
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, header);
      size = fstatSync(file).size;
    } finally {
      closeSync(file);
    }
  } catch {
    return; // require says what is wrong
  }
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return; // 64 bits, little-endian
  const [start, entry, count] = [header.readBigUInt64LE(40), header.readUInt16LE(58), header.readUInt16LE(60)];
  const whole = Number(start) + entry * count;
  if (size < whole) throw new Error(`the file is cut off: it has ${size} of ${whole} bytes`);
}

/** Where node-gyp-build looks. */
function searched(packageRoot: string): string[] {
  const root = process.env['INSTASEG_PREBUILD'] ?? packageRoot;
  const prebuild = join('prebuilds', TRIPLE, `instaseg.${isMusl() ? 'musl' : 'glibc'}.node`);
  return [join(root, 'build/Release/*.node'), join(root, prebuild), join(dirname(process.execPath), prebuild)].map(
    (path) => `${path}: not there`,
  );
}

function failure(reason: string, files: readonly string[], fixes: readonly string[], cause?: unknown): InstasegError {
  const lines = [
    `The native addon of instaseg ${version} could not be loaded: ${reason}`,
    `  platform: ${describePlatform()}`,
    '  looked for:',
    ...files.map((file) => `    ${file}`),
    '  to fix it, the first that applies:',
    ...fixes.map((fix, i) => `    ${i + 1}. ${fix}`),
  ];
  return new InstasegError('ERR_ADDON', lines.join('\n'), cause === undefined ? undefined : { cause });
}

const REINSTALL = 'reinstall it on this machine: rm -rf node_modules/instaseg && npm install';
const COMPILE = 'compile it here, which takes minutes: npx instaseg build';
const REBUILD_CLONE = 'in this clone: npm run build:native (needs cmake and a C++20 compiler)';
const BUNDLE =
  "in a bundle, import 'instaseg/linux-x64' in the place of 'instaseg' and let the bundler copy .node files, or leave " +
  'instaseg out of the bundle as an external package';

const isClone = (packageRoot: string): boolean => existsSync(join(packageRoot, 'ts', 'src'));

/** Whether the code is where its package is, and not in somebody's bundle. */
function isPackage(packageRoot: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { name?: unknown };
    return manifest.name === 'instaseg';
  } catch {
    return false;
  }
}

function missingFixes(packageRoot: string): string[] {
  if (!isPackage(packageRoot)) return [BUNDLE];
  if (isClone(packageRoot)) return [REBUILD_CLONE];
  return PREBUILT.includes(TRIPLE) ? [REINSTALL, COMPILE] : [`${COMPILE} (prebuilt are ${PREBUILT.join(', ')})`];
}

function staleFixes({ origin, path }: Location, packageRoot: string): string[] {
  switch (origin) {
    case 'environment':
      return ['unset INSTASEG_ADDON, or set it to a build of this version'];
    case 'entry':
      return ['make the bundle anew, with the .node file of this version'];
    case 'compiled':
      return isClone(packageRoot) ? [REBUILD_CLONE] : [COMPILE, `remove it: rm -r ${dirname(path)}`];
    case 'prebuild':
      return isClone(packageRoot) ? [REBUILD_CLONE, 'npm run prebuild'] : [REINSTALL];
  }
}

/** What to do about a file that the system's loader refuses with `reason`. */
function diagnose(reason: string, file: Location, packageRoot: string): string[] {
  if (file.origin === 'environment') {
    return ['unset INSTASEG_ADDON, or set it to the absolute path of a build for this machine'];
  }
  const again = isClone(packageRoot) ? REBUILD_CLONE : COMPILE;
  const wanted = /version `(GLIBC(?:XX)?|CXXABI)_([\d.]+)' not found/.exec(reason);
  if (wanted) {
    const system = `use a system with ${wanted[1] === 'GLIBC' ? 'glibc' : 'a C++ library that has'} ${wanted[2]} or newer`;
    return file.origin === 'compiled' ? [again] : [system, again];
  }
  if (/failed to map segment|Operation not permitted/i.test(reason)) {
    return ['allow programs on that file system: it seems to be mounted with noexec'];
  }
  if (/ld-linux|Error loading shared library/i.test(reason)) {
    return ['use an image with glibc, for example node:22-bookworm-slim', again];
  }
  const library = /^(lib\S+): cannot open shared object file/.exec(reason);
  if (library) return [`install ${library[1]}, which the file needs`, again];
  if (file.origin === 'entry') {
    return ['let the bundler copy .node files beside the bundle, for the platform that it runs on', BUNDLE];
  }
  // Damaged, or of another machine's architecture.
  if (file.origin === 'compiled') return [again, `remove it: rm -r ${dirname(file.path)}`];
  return isClone(packageRoot) ? ['npm run prebuild', REBUILD_CLONE] : [REINSTALL, COMPILE];
}

const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
