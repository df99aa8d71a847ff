// What nvcc makes of the CUDA backend; needs the CUDA toolkit, no GPU.
//
//   npm run check:cuda                           one architecture (sm_80), in build-cuda/
//   npm run check:cuda -- --architectures all    every architecture of a release, in build-cuda-all/
//   npm run check:cuda -- --no-build             the checks alone, of what was built before
//   npm run cuda:resources                       all architectures, and registers, shared memory and spills of every kernel
//                                                for two of them into docs/cuda-resources.md
//
// Fails on any warning of nvcc, on spills in the kernels of convolution, deformable convolution and RoIAlign, where the
// PTX of the matrix products lacks the instructions that they are for, where the kernels take more than their share of
// the package, and where the addon does not load and run on the CPU of a machine without a GPU.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { RELEASE_ARCHITECTURES } from './cuda-architectures.mjs';
import { runTests } from './run-tests.mjs';
import { root, run } from './test-builds.mjs';

const { values } = parseArgs({
  options: {
    architectures: { type: 'string', default: '80' },
    table: { type: 'string' },
    'no-build': { type: 'boolean' },
  },
});
const all = values.architectures === 'all';
const architectures = all ? RELEASE_ARCHITECTURES : values.architectures.split(',');
const folder = all ? 'build-cuda-all' : 'build-cuda';
const intermediate = join(root, folder, 'intermediate');

/** Of all the machine code in the addon (packed fatbins). */
const MAX_CUDA_BYTES = 60e6;
/** Architectures of the table, and of the rule on spills. */
const TABLE_OF = ['80', '90a'];
/** Files whose kernels must keep everything in registers, with what they include. */
const NO_SPILLS = /^(conv|deform_conv|gemm|linear|roi_align)/;
/** Instructions that the PTX of the matching files must have, an architecture each. */
const INSTRUCTIONS = [
  { file: 'gemm_f16', architecture: '80', instruction: /mma\.sync\.\S*\.f32\.f16\.f16\.f32/ },
  { file: 'gemm_bf16', architecture: '80', instruction: /mma\.sync\.\S*\.f32\.bf16\.bf16\.f32/ },
  { file: 'gemm_f32', architecture: '80', instruction: /mma\.sync\.\S*\.f32\.tf32\.tf32\.f32/ },
  { file: 'deform_conv2d', architecture: '80', instruction: /mma\.sync\.\S*\.f32\.f16\.f16\.f32/ },
  { file: 'gemm_wgmma', architecture: '90a', instruction: /wgmma\.mma_async/ },
];
/** Loaded and run on the CPU with the addon that was built. */
const TESTS = ['dist/test/runtime/addon.test.js', 'dist/test/runtime/device.test.js', 'dist/test/ops/nms.test.js'];

const problems = [];

/** The addon with every kernel; what nvcc says of a file lies beside its object. */
function build() {
  mkdirSync(intermediate, { recursive: true });
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const options = [
    '--out',
    folder,
    '--CDINSTASEG_CUDA=ON',
    `--CDINSTASEG_CUDA_ARCHITECTURES=${architectures.join(';')}`,
    `--CDCMAKE_CUDA_FLAGS=-Xptxas=-v --keep --keep-dir=${intermediate}`,
    `--CDCMAKE_CUDA_COMPILER_LAUNCHER=${join(root, 'scripts/nvcc-log.sh')}`,
    '--parallel',
    String(availableParallelism()),
  ];
  // Not `compile`, which begins anew after a failure.
  for (const command of ['configure', 'build']) run(process.execPath, [cmakeJs, command, ...options]);
}

/** Kernels of one file: { kernel, architecture, registers, shared, spills, stack }. */
function readLog(file, log) {
  const kernels = [];
  const other = [];
  let current;
  for (const line of log.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for 'sm_(\w+)'/.exec(line);
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    const used = /Used (\d+) registers/.exec(line);
    if (entry) {
      current = { file, kernel: entry[1], architecture: entry[2] };
      kernels.push(current);
    } else if (frame && current) {
      current.stack = Number(frame[1]);
      current.spills = Number(frame[2]) + Number(frame[3]);
    } else if (used && current) {
      current.registers = Number(used[1]);
      current.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
    } else if (line.trim() && !/^ptxas info\s+: /.test(line) && !frame) {
      other.push(line);
    }
  }
  if (other.length) problems.push(`nvcc says about ${file}:\n${other.join('\n')}`);
  for (const { kernel, architecture, spills } of kernels) {
    if (spills && NO_SPILLS.test(file) && TABLE_OF.includes(architecture))
      problems.push(`${file}, sm_${architecture}: ${kernel} spills ${spills} bytes`);
  }
  return kernels;
}

function readLogs() {
  const objects = join(root, folder, 'CMakeFiles/instaseg.dir/native/cuda');
  const logs = readdirSync(objects).filter((name) => name.endsWith('.cu.o.log'));
  const sources = readdirSync(join(root, 'native/cuda')).filter((name) => name.endsWith('.cu'));
  if (logs.length < sources.length) problems.push(`${sources.length} .cu files, but ${logs.length} logs of nvcc`);
  return logs.toSorted().flatMap((name) => readLog(name.slice(0, -6), readFileSync(join(objects, name), 'utf8')));
}

/** Files of PTX that nvcc kept of a source file for an architecture, or one that it makes now. */
function ptxOf(file, architecture) {
  const names = readdirSync(intermediate).filter(
    (name) => name === `${file}.ptx` || name === `${file}.compute_${architecture}.ptx`,
  );
  const built = architectures.some((each) => each.replace(/-.*/, '') === architecture);
  if (built && names.length) return names;
  const name = `${file}.alone.compute_${architecture}.ptx`;
  const flags = ['-std=c++20', '--expt-relaxed-constexpr', '-fmad=false', '-O3', '-I', 'native'];
  run('nvcc', [
    ...flags,
    `-arch=compute_${architecture}`,
    '-ptx',
    `native/cuda/${file}.cu`,
    '-o',
    join(intermediate, name),
  ]);
  return [name];
}

function checkInstructions({ file, architecture, instruction }) {
  const names = ptxOf(file, architecture);
  const lines = names.flatMap((name) => readFileSync(join(intermediate, name), 'utf8').split('\n'));
  const count = lines.filter((line) => instruction.test(line)).length;
  console.log(`${names.join(', ')}: ${count} lines with ${instruction.source}`);
  if (count === 0) problems.push(`the PTX of ${file} for compute_${architecture} has no ${instruction.source}`);
}

function checkSize() {
  const sections = execFileSync('size', ['-A', join(root, folder, 'Release/instaseg.node')], { encoding: 'utf8' });
  const bytes = Number(/^\.nv_fatbin\s+(\d+)/m.exec(sections)?.[1] ?? 0);
  console.log(`kernels for ${architectures.join(', ')}: ${(bytes / 1e6).toFixed(1)} MB`);
  if (bytes === 0 || bytes > MAX_CUDA_BYTES)
    problems.push(`${bytes} bytes of kernels; at most ${MAX_CUDA_BYTES} are wanted`);
}

function demangle(kernels) {
  const names = execFileSync('c++filt', { input: kernels.map(({ kernel }) => kernel).join('\n'), encoding: 'utf8' });
  names.split('\n').forEach((name, index) => {
    if (kernels[index]) kernels[index].kernel = shorten(name);
  });
}

/** Without namespaces and arguments: `gemm_kernel<f16, 128, 64>`. */
function shorten(name) {
  let depth = 0;
  let end = name.length;
  const plain = name.replaceAll('(anonymous namespace)::', '').replaceAll(/\binstaseg::(cuda::)?/g, '');
  for (let i = 0; i < plain.length; i += 1) {
    if (plain[i] === '<') depth += 1;
    if (plain[i] === '>') depth -= 1;
    if (plain[i] === '(' && depth === 0) {
      end = i;
      break;
    }
  }
  return plain
    .slice(0, end === name.length ? plain.length : end)
    .replace(/^void /, '')
    .replaceAll(/\((?:int|bool|unsigned int|long)\)/g, '');
}

function table(kernels) {
  const rows = new Map();
  for (const each of kernels) {
    const key = `${each.file} ${each.kernel}`;
    if (!rows.has(key)) rows.set(key, { file: each.file, kernel: each.kernel, by: {} });
    rows.get(key).by[each.architecture] = each;
  }
  const version = /release ([\d.]+)/.exec(execFileSync('nvcc', ['--version'], { encoding: 'utf8' }))?.[1];
  const head = TABLE_OF.map((name) => ` sm_${name}: registers | shared | spills |`).join('');
  const lines = [
    '# What the kernels take',
    '',
    `Registers a thread, bytes of static shared memory a block and bytes of spill stores and loads, as ptxas of CUDA ${version}`,
    'reports them. Dynamic shared memory is chosen at the launch and not in it. Written by `npm run cuda:resources`.',
    '',
    `| file | kernel |${head}`,
    `| --- | --- |${TABLE_OF.map(() => ' ---: | ---: | ---: |').join('')}`,
  ];
  for (const { file, kernel, by } of rows.values()) {
    const cells = TABLE_OF.map((name) => {
      const one = by[name];
      return one ? ` ${one.registers} | ${one.shared} | ${one.spills} |` : ' | | |';
    });
    lines.push(`| ${file} | \`${kernel}\` |${cells.join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

const started = Date.now();
if (!values['no-build']) build();
console.log(`built in ${((Date.now() - started) / 1000).toFixed(0)} s`);
const kernels = readLogs();
INSTRUCTIONS.forEach(checkInstructions);
checkSize();
demangle(kernels);
for (const architecture of new Set(kernels.map((each) => each.architecture))) {
  const mine = kernels.filter((each) => each.architecture === architecture);
  const spilling = mine.filter(({ spills }) => spills > 0);
  console.log(`sm_${architecture}: ${mine.length} kernels, ${spilling.length} with spills`);
  for (const each of spilling) console.log(`  ${each.file} ${each.kernel}: ${each.spills} bytes`);
}
if (values.table) writeFileSync(join(root, values.table), table(kernels));
const addon = { INSTASEG_ADDON: join(root, folder, 'Release/instaseg.node') };
run(process.execPath, ['dist/src/cli/main.js', 'devices'], addon);
const { code } = await runTests(TESTS, addon);
if (code) problems.push('tests fail with this build');
for (const problem of problems) console.error(`\nPROBLEM: ${problem}`);
process.exit(problems.length ? 1 : 0);
