import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { addonFile } from '../../src/runtime/addon.js';
import { loadAddonFile } from '../../src/runtime/addon-file.js';
import { listDevices } from '../../src/runtime/device.js';
import { InstasegError } from '../../src/runtime/errors.js';
import { version } from '../../src/runtime/version.js';

const PREBUILD = `prebuilds/${process.platform}-${process.arch}/instaseg.glibc.node`;
const COMPILED = 'build/Release/instaseg.node';
const REINSTALL = /1\. reinstall it on this machine: rm -rf node_modules\/instaseg && npm install/;
const COMPILE = /2\. compile it here, which takes minutes: npx instaseg build/;

/** The build that the tests run with. */
const addon = addonFile();
const binary = readFileSync(addon.path);
const isElf = binary.subarray(0, 4).toString('latin1') === '\x7fELF';
const isLinuxX64 = process.platform === 'linux' && process.arch === 'x64' && !existsSync('/etc/alpine-release');

const folders: string[] = [];
test.after.always(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

// INSTASEG_ADDON says which build the other tests run with.
test.beforeEach(() => {
  delete process.env['INSTASEG_ADDON'];
});

/** An installed package with these files in it. */
function installed(files: Record<string, Uint8Array | string>): string {
  const root = mkdtempSync(join(tmpdir(), 'instaseg-addon-'));
  folders.push(root);
  for (const [name, content] of Object.entries({ 'package.json': '{"name":"instaseg"}', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

function refused(t: ExecutionContext, root: string, ...expected: RegExp[]): void {
  const error = t.throws(() => loadAddonFile(undefined, root), { instanceOf: InstasegError, code: 'ERR_ADDON' });
  for (const pattern of [new RegExp(`platform: ${process.platform}-${process.arch},.* Node `), ...expected]) {
    t.regex(error.message, pattern);
  }
}

/** A copy with other bytes in the place of each occurrence of `from`. */
function patched(from: string, to: string): Buffer {
  const copy = Buffer.from(binary);
  for (let at = copy.indexOf(from); at >= 0; at = copy.indexOf(from, at + 1)) copy.write(to, at, 'latin1');
  return copy;
}

test.serial('without a prebuild the files that were looked for and the two ways to get one are named', (t) => {
  const root = installed({});
  const expected = [new RegExp(`${join(root, COMPILED.replace('instaseg.node', ''))}\\*\\.node: not there`)];
  if (isLinuxX64) expected.push(new RegExp(`${join(root, PREBUILD)}: not there`), REINSTALL, COMPILE);
  else expected.push(/npx instaseg build/);
  refused(t, root, ...expected);
});

test.serial('code that left its package is told about bundles', (t) => {
  const root = installed({ 'package.json': '{"name":"somebody-elses"}' });
  refused(t, root, /1\. in a bundle, import 'instaseg\/linux-x64'/);
});

test.serial('in a clone the way is to build', (t) => {
  refused(t, installed({ 'ts/src/index.ts': '' }), /1\. in this clone: npm run build:native/);
});

(isLinuxX64 ? test.serial : test.skip)('a damaged prebuild is to be reinstalled', (t) => {
  for (const content of ['', 'no program', binary.subarray(0, 40), binary.subarray(0, binary.length >> 1)]) {
    refused(t, installed({ [PREBUILD]: content }), new RegExp(`${PREBUILD}: .`), REINSTALL, COMPILE);
  }
});

(isLinuxX64 && isElf ? test.serial : test.skip)('so is one of another architecture', (t) => {
  const other = Buffer.from(binary);
  other.writeUInt16LE(183, 18); // e_machine: AArch64
  refused(t, installed({ [PREBUILD]: other }), REINSTALL, COMPILE);
});

(isLinuxX64 && isElf ? test.serial : test.skip)('a newer glibc than the system has is named', (t) => {
  const newer = patched('GLIBC_2.2.5\0', 'GLIBC_9.2.5\0');
  refused(t, installed({ [PREBUILD]: newer }), /1\. use a system with glibc 9\.2\.5 or newer/, COMPILE);
  // What was compiled here is compiled anew.
  refused(t, installed({ [COMPILED]: newer }), /1\. compile it here/);
});

test.serial("what the system's loader says decides what to do about it", (t) => {
  const root = installed({});
  const advice = (message: string): string => {
    const entry = {
      path: 'instaseg.node',
      require: () => {
        throw new Error(message);
      },
    };
    return t.throws(() => loadAddonFile(entry, root), { instanceOf: InstasegError }).message;
  };
  t.regex(advice('/a.node: failed to map segment from shared object'), /1\. allow programs .* noexec/);
  t.regex(advice('libfoo.so.1: cannot open shared object file: No such file'), /1\. install libfoo\.so\.1/);
  t.regex(advice('Error loading shared library ld-linux-x86-64.so.2: No such file'), /1\. use an image with glibc/);
  t.regex(advice("/lib/libc.so.6: version `GLIBC_2.28' not found"), /1\. use a system with glibc 2\.28 or newer/);
  t.regex(advice('Cannot find module ./instaseg.node'), /1\. let the bundler copy \.node files/);
});

(process.platform === 'linux' ? test.serial : test.skip)('on musl it is the prebuild for musl that is missing', (t) => {
  const before = process.env['LIBC'];
  process.env['LIBC'] = 'musl'; // as node-gyp-build lets one say
  try {
    refused(t, installed({}), /instaseg\.musl\.node: not there/, /npx instaseg build/);
    const cuda = listDevices().find(({ available, name }) => !available && name === 'cuda');
    if (cuda && !addon.exports.accelerator()) t.regex(cuda.reason!, /CUDA needs glibc/);
  } finally {
    if (before === undefined) delete process.env['LIBC'];
    else process.env['LIBC'] = before;
  }
});

test.serial('an addon of another version is refused', (t) => {
  const root = installed({});
  const old = { path: 'old.node', require: () => ({ version: '0.0.1', cpuInfo: () => ({}) }) };
  const error = t.throws(() => loadAddonFile(old, root), { instanceOf: InstasegError });
  t.regex(error.message, new RegExp(`it is of instaseg 0\\.0\\.1, not ${version.replaceAll('.', '\\.')}`));
  const other = { path: 'other.node', require: () => ({ version }) };
  t.regex(t.throws(() => loadAddonFile(other, root)).message, /it is no addon of this instaseg/);
});

test.serial('INSTASEG_ADDON goes first, then an entry for bundlers, then what was compiled, then the prebuild', (t) => {
  const root = installed({ [COMPILED]: 'no program', [PREBUILD]: 'no program' });
  const entry = { path: 'entry', require: () => addon.exports };
  t.deepEqual(loadAddonFile(entry, root), { exports: addon.exports, origin: 'entry', path: 'entry' });
  process.env['INSTASEG_ADDON'] = addon.path;
  t.like(loadAddonFile(entry, root), { origin: 'environment', path: addon.path });
  process.env['INSTASEG_ADDON'] = join(root, 'nowhere.node');
  refused(t, root, /nowhere\.node: Cannot find module/, /1\. unset INSTASEG_ADDON/);
  delete process.env['INSTASEG_ADDON'];
  cpSync(addon.path, join(root, COMPILED));
  t.like(loadAddonFile(undefined, root), { origin: 'compiled', path: join(root, COMPILED) });
  if (!isLinuxX64) return;
  rmSync(join(root, 'build'), { recursive: true });
  cpSync(addon.path, join(root, PREBUILD));
  t.like(loadAddonFile(undefined, root), { origin: 'prebuild', path: join(root, PREBUILD) });
});
