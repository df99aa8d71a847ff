// onnxruntime-node held to AVX2, on x86-64 Linux: a copy of the package whose library asks a handler instead of the
// processor what the processor can do.
//
// Every `cpuid` of the library's code (0F A2, found by disassembly) becomes `int3; nop`. hide-avx512.c, preloaded, answers
// the trap: it executes cpuid and takes the bits of AVX-512 and AMX out. The library then chooses as on an older processor;
// nothing else of it changes. Needs objdump and a C compiler.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const LIBRARY = join('bin', 'napi-v6', 'linux', 'x64', 'libonnxruntime.so.1');

/** Offsets in the file of the `cpuid` instructions. */
function findCpuid(library) {
  const sections = execFileSync('objdump', ['-h', library], { encoding: 'utf8' });
  const [, size, address, , offset] = /\.text\s+(\w+)\s+(\w+)\s+(\w+)\s+(\w+)/.exec(sections);
  const shift = parseInt(offset, 16) - parseInt(address, 16);
  const { stdout } = spawnSync(
    'sh',
    ['-c', `objdump -d -j .text --no-show-raw-insn "$1" | grep -E '\\bcpuid *$'`, 'sh', library],
    { encoding: 'utf8', maxBuffer: 1 << 24 },
  );
  const addresses = [...stdout.matchAll(/^\s*([0-9a-f]+):/gm)].map(([, text]) => parseInt(text, 16));
  if (addresses.length === 0) throw new Error(`no cpuid was found in .text (${size} bytes) of ${library}`);
  return addresses.map((at) => at + shift);
}

/** The package's folder and the environment that a worker needs. Built once into `folder`. */
export function heldToAvx2(folder) {
  const require = createRequire(join(HERE, 'package.json'));
  const original = dirname(require.resolve('onnxruntime-node/package.json'));
  const target = join(folder, 'avx2', 'node_modules', 'onnxruntime-node');
  const preload = join(folder, 'avx2', 'hide-avx512.so');
  const source = join(HERE, 'hide-avx512.c');
  if (!existsSync(preload) || statSync(preload).mtimeMs < statSync(source).mtimeMs) {
    rmSync(join(folder, 'avx2'), { recursive: true, force: true });
    mkdirSync(dirname(target), { recursive: true });
    cpSync(original, target, {
      recursive: true,
      filter: (path) => !/bin.napi-v\d+.(?!linux)\w+$|linux.arm64$/.test(path),
    });
    const common = join(dirname(original), 'onnxruntime-common');
    cpSync(common, join(dirname(target), 'onnxruntime-common'), { recursive: true });
    const library = join(target, LIBRARY);
    const bytes = readFileSync(library);
    for (const at of findCpuid(library)) {
      if (bytes[at] !== 0x0f || bytes[at + 1] !== 0xa2) throw new Error(`there is no cpuid at ${at} of ${library}`);
      bytes[at] = 0xcc;
      bytes[at + 1] = 0x90;
    }
    writeFileSync(library, bytes);
    execFileSync('cc', ['-O2', '-shared', '-fPIC', '-o', preload, source]);
  }
  return { package: target, env: { LD_PRELOAD: preload } };
}
