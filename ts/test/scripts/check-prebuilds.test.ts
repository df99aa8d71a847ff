/** scripts/check-prebuilds.mjs, on files that have the headers of binaries and nothing else. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';

const SCRIPT = join(__dirname, '..', '..', '..', 'scripts', 'check-prebuilds.mjs');

/** The beginning of a 64-bit ELF file for a machine, with some of the strings that are in real ones. */
function elf(machine: number, ...strings: string[]): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, ...strings.map((text) => Buffer.from(`${text}\0`))]);
}

function machO(cpu: number): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(0xfeedfacf, 0);
  header.writeUInt32LE(cpu, 4);
  return header;
}

function pe(machine: number): Buffer {
  const header = Buffer.alloc(128);
  header.write('MZ', 'latin1');
  header.writeUInt32LE(64, 0x3c);
  header.write('PE\0\0', 64, 'latin1');
  header.writeUInt16LE(machine, 68);
  return header;
}

const COMPLETE: Readonly<Record<string, Buffer>> = {
  'linux-x64/instaseg.glibc.node': elf(62, 'libc.so.6', '.nv_fatbin'),
  'linux-arm64/instaseg.glibc.node': elf(183, 'libc.so.6'),
  'linux-x64/instaseg.musl.node': elf(62, 'libc.musl-x86_64.so.1'),
  'linux-arm64/instaseg.musl.node': elf(183, 'libc.musl-aarch64.so.1'),
  'darwin-x64/instaseg.glibc.node': machO(0x01000007),
  'darwin-arm64/instaseg.glibc.node': machO(0x0100000c),
  'win32-x64/instaseg.glibc.node': pe(0x8664),
};

/** What the script says about these files; null leaves one out. */
function check(
  t: ExecutionContext,
  changes: Readonly<Record<string, Buffer | null>> = {},
  args: readonly string[] = [],
): { status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-prebuilds-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const [file, bytes] of Object.entries({ ...COMPLETE, ...changes })) {
    if (bytes === null) continue;
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), bytes);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, folder, ...args], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

test('a complete set passes, and every target is named', (t) => {
  const { status, output } = check(t);
  t.is(status, 0, output);
  t.regex(
    output,
    /^7 prebuilds: linux-x64, linux-arm64, linuxmusl-x64, linuxmusl-arm64, darwin-x64, darwin-arm64, win32-x64$/m,
  );
});

for (const file of Object.keys(COMPLETE)) {
  test(`without ${file} it fails and names it`, (t) => {
    const { status, output } = check(t, { [file]: null });
    t.is(status, 1);
    t.regex(output, new RegExp(`: ${file} is missing`));
  });
}

test('a binary of another platform is not taken', (t) => {
  const cases: [string, Buffer, RegExp][] = [
    [
      'linux-arm64/instaseg.glibc.node',
      elf(62, 'libc.so.6'),
      /linux-arm64: .* is ELF for machine 0x3e, expected ELF for 0xb7/,
    ],
    ['linux-x64/instaseg.musl.node', elf(62, 'libc.so.6'), /linuxmusl-x64: .* does not link musl/],
    ['linux-x64/instaseg.glibc.node', elf(62, 'libc.so.6'), /linux-x64: .* has no CUDA kernels/],
    ['linux-arm64/instaseg.glibc.node', elf(183, 'libc.so.6', '.nv_fatbin'), /linux-arm64: .* has CUDA kernels/],
    ['darwin-x64/instaseg.glibc.node', machO(0x0100000c), /darwin-x64: .* is Mach-O/],
    ['win32-x64/instaseg.glibc.node', machO(0x0100000c), /win32-x64: .* is Mach-O .*, expected PE/],
    ['win32-x64/instaseg.glibc.node', Buffer.from('<html>'), /win32-x64: .* is no shared library/],
  ];
  for (const [file, bytes, expected] of cases) {
    const { status, output } = check(t, { [file]: bytes });
    t.is(status, 1);
    t.regex(output, expected);
  }
});

test('a file that belongs to no target fails', (t) => {
  const { status, output } = check(t, { 'linux-x64/instaseg.node': elf(62) });
  t.is(status, 1);
  t.regex(output, /^linux-x64\/instaseg\.node belongs to no target$/m);
});

test('one part of a release is checked alone; an unknown target is refused', (t) => {
  const others = Object.fromEntries(Object.keys(COMPLETE).map((file) => [file, null]));
  const file = 'darwin-arm64/instaseg.glibc.node';
  t.is(check(t, { ...others, [file]: COMPLETE[file]! }, ['--targets', 'darwin-arm64']).status, 0);
  t.regex(check(t, {}, ['--targets', 'sunos-sparc']).output, /sunos-sparc: no such target/);
});
