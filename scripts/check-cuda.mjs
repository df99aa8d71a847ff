// What nvcc makes of the CUDA kernels; needs the CUDA toolkit, no GPU.
//
//   npm run check:cuda                           one architecture (sm_80): no warnings, no spills, tensor-core instructions
//   npm run check:cuda -- --architectures all    every architecture that releases are compiled for
//   npm run cuda:resources                       registers, shared memory and spills of every kernel for sm_80 and
//                                                sm_90a, into docs/cuda-resources.md
//
// Fails on any warning, on spills in the kernels of convolution, deformable convolution and RoIAlign, and where the PTX
// of the matrix products lacks the instructions that they are for.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { architectures: { type: 'string', default: '80' }, table: { type: 'string' } },
});
const ALL = ['75', '80', '90a', '100', '120'];
const architectures = values.architectures === 'all' ? ALL : values.architectures.split(',');

// As CMakeLists.txt compiles them.
const FLAGS = ['-std=c++20', '--expt-relaxed-constexpr', '-fmad=false', '-O3', '-I', 'native'];
const HOST_FLAGS = ['-Xcompiler', '-ffp-contract=off,-Wall'];
/** Files whose kernels must keep everything in registers, with what they include. */
const NO_SPILLS = /^(conv|deform_conv|gemm|linear|roi_align)/;
/** Instructions that the PTX of the matching files must have, an architecture each. */
const INSTRUCTIONS = [
  { files: /^gemm_f16/, architecture: '80', instruction: /mma\.sync\.\S*\.f32\.f16\.f16\.f32/ },
  { files: /^gemm_bf16/, architecture: '80', instruction: /mma\.sync\.\S*\.f32\.bf16\.bf16\.f32/ },
  { files: /^gemm_f32/, architecture: '80', instruction: /mma\.sync\.\S*\.f32\.tf32\.tf32\.f32/ },
  { files: /^gemm_wgmma/, architecture: '90a', instruction: /wgmma\.mma_async/ },
];

const problems = [];
const scratch = mkdtempSync(join(tmpdir(), 'instaseg-cuda-'));
const files = readdirSync(join(root, 'native/cuda')).filter((name) => name.endsWith('.cu'));

/** Runs nvcc; gives what it says. */
async function nvcc(args) {
  try {
    const { stdout, stderr } = await promisify(execFile)('nvcc', args, { cwd: root, maxBuffer: 1 << 28 });
    return stdout + stderr;
  } catch (error) {
    if (error.code === 'ENOENT') {
      console.error('nvcc is not on the PATH: the CUDA toolkit (13.0 or newer) is needed');
      process.exit(1);
    }
    problems.push(`nvcc ${args.join(' ')}\n${error.stdout}${error.stderr}`);
    return '';
  }
}

/** Kernels of one file: { kernel, architecture, registers, shared, spills, stack }. */
async function compile(file) {
  const targets = architectures.flatMap((name) => ['-gencode', `arch=compute_${name},code=sm_${name}`]);
  const output = await nvcc([
    ...FLAGS,
    ...HOST_FLAGS,
    ...targets,
    '-Xptxas',
    '-v',
    '-c',
    `native/cuda/${file}`,
    '-o',
    join(scratch, `${file}.o`),
  ]);
  const kernels = [];
  const other = [];
  let current;
  for (const line of output.split('\n')) {
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
    if (spills && NO_SPILLS.test(file)) problems.push(`${file}, sm_${architecture}: ${kernel} spills ${spills} bytes`);
  }
  return kernels;
}

async function checkInstructions({ files: pattern, architecture, instruction }) {
  if (!architectures.includes(architecture)) return;
  for (const file of files.filter((name) => pattern.test(name))) {
    const ptx = join(scratch, `${file}.ptx`);
    await nvcc([...FLAGS, `-arch=compute_${architecture}`, '-ptx', `native/cuda/${file}`, '-o', ptx]);
    let count;
    try {
      count = readFileSync(ptx, 'utf8')
        .split('\n')
        .filter((line) => instruction.test(line)).length;
    } catch {
      continue; // nvcc's complaint is among the problems
    }
    console.log(`${file}, compute_${architecture}: ${count} of ${instruction.source}`);
    if (count === 0) problems.push(`the PTX of ${file} for compute_${architecture} has no ${instruction.source}`);
  }
}

/** Tasks a few at a time; results in order. */
async function inParallel(tasks) {
  const results = new Array(tasks.length);
  let next = 0;
  const work = async () => {
    while (next < tasks.length) {
      const index = next++;
      results[index] = await tasks[index]();
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return results;
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
  const head = architectures.map((name) => ` sm_${name}: registers | shared | spills |`).join('');
  const lines = [
    '# What the kernels take',
    '',
    `Registers a thread, bytes of static shared memory a block and bytes of spill stores and loads, as ptxas of CUDA ${version}`,
    'reports them. Dynamic shared memory is chosen at the launch and not in it. Written by `npm run cuda:resources`.',
    '',
    `| file | kernel |${head}`,
    `| --- | --- |${architectures.map(() => ' ---: | ---: | ---: |').join('')}`,
  ];
  for (const { file, kernel, by } of rows.values()) {
    const cells = architectures.map((name) => {
      const one = by[name];
      return one ? ` ${one.registers} | ${one.shared} | ${one.spills} |` : ' | | |';
    });
    lines.push(`| ${file} | \`${kernel}\` |${cells.join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

const started = Date.now();
const kernels = (await inParallel(files.map((file) => () => compile(file)))).flat();
await inParallel(INSTRUCTIONS.map((each) => () => checkInstructions(each)));
demangle(kernels);
for (const architecture of architectures) {
  const mine = kernels.filter((each) => each.architecture === architecture);
  const spilling = mine.filter(({ spills }) => spills > 0);
  console.log(`sm_${architecture}: ${mine.length} kernels, ${spilling.length} with spills`);
  for (const each of spilling) console.log(`  ${each.file} ${each.kernel}: ${each.spills} bytes`);
}
if (values.table) writeFileSync(join(root, values.table), table(kernels));
rmSync(scratch, { recursive: true });
console.log(`${files.length} files in ${((Date.now() - started) / 1000).toFixed(0)} s`);
for (const problem of problems) console.error(`\nPROBLEM: ${problem}`);
process.exit(problems.length ? 1 : 0);
