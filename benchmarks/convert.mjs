// `instaseg convert` of a full-size Mask R-CNN (178 MB of random weights) in both of PyTorch's formats: seconds and peak
// memory of the whole process. First the outputs are compared with what was stored. Needs the build of `npm ci`.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { inspectCheckpoint, seededWeights } from 'instaseg';
import { report } from './report.mjs';

const require = createRequire(import.meta.url);
const { keyList, legacyFile, stateDict } = require('../dist/test/weights/pickle-builder.js');
const CLI = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
const RUNS = 7;

function randomWeights() {
  const lists = JSON.parse(
    readFileSync(new URL('../ts/test/weights/torchvision-tensors.json', import.meta.url), 'utf8'),
  );
  const shapes = Object.entries(lists.models.maskrcnn_resnet50_fpn).filter(
    ([name]) => !name.endsWith('.num_batches_tracked'),
  );
  return [...seededWeights(new Map(shapes), 1)].map(({ name, shape, read }) => ({
    name,
    shape,
    bytes: Buffer.concat([...read()]),
  }));
}

/** The format before 1.6. */
function writeLegacy(path, parts) {
  const file = openSync(path, 'w');
  writeSync(file, legacyFile({ object: stateDict(parts), keys: keyList(parts.map((_, i) => String(i))) }));
  for (const { bytes } of parts) {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(bytes.length / 4));
    writeSync(file, count);
    writeSync(file, bytes);
  }
  closeSync(file);
}

/** The present one: a zip archive of stored entries. */
function writeZip(path, parts) {
  const file = openSync(path, 'w');
  const directory = [];
  let offset = 0;
  const add = (name, data) => {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\0', 'latin1'), common, rest, Buffer.from(name));
    for (const piece of [Buffer.from('PK\x03\x04'), common, Buffer.from(name), data]) offset += writeSync(file, piece);
  };
  // Zip archives have no views of storages.
  add('archive/data.pkl', stateDict(parts, ''));
  parts.forEach(({ bytes }, i) => add(`archive/data/${i}`, bytes));
  add('archive/version', Buffer.from('3\n'));
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(parts.length + 2, 8);
  end.writeUInt16LE(parts.length + 2, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  writeSync(file, listing);
  writeSync(file, end);
  closeSync(file);
}

/** Seconds and peak memory in MB of the command as a process. */
function convert(input, output) {
  const hook = 'process.on("exit", () => process.stdout.write(`\\n${process.resourceUsage().maxRSS}`))';
  const start = performance.now();
  const stdout = execFileSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, CLI, 'convert', input, '-o', output, '--quiet'],
    { encoding: 'utf8' },
  );
  return { seconds: (performance.now() - start) / 1000, megabytes: (Number(stdout) * 1024) / 1e6 };
}

const folder = mkdtempSync(join(tmpdir(), 'instaseg-benchmark-'));
const rows = [];
try {
  const parts = randomWeights();
  for (const [format, write] of [
    ['torch-zip', writeZip],
    ['torch-legacy', writeLegacy],
  ]) {
    const input = join(folder, `${format}.pth`);
    const output = join(folder, `${format}.safetensors`);
    write(input, parts);
    const samples = Array.from({ length: RUNS }, () => convert(input, output));
    const { tensors } = await inspectCheckpoint(output, { hash: true });
    const hashes = new Map(tensors.map(({ name, sha256 }) => [name, sha256]));
    for (const { name, bytes } of parts) {
      if (hashes.get(name) !== createHash('sha256').update(bytes).digest('hex')) throw new Error(`${name} differs`);
    }
    const seconds = samples.map((sample) => sample.seconds).sort((a, b) => a - b);
    rows.push({
      case: format,
      MB: Math.round(statSync(input).size / 1e6),
      'min s': seconds[0].toFixed(2),
      'median s': seconds[Math.floor(RUNS / 2)].toFixed(2),
      'peak MB': Math.round(Math.max(...samples.map((sample) => sample.megabytes))),
    });
  }
  report('instaseg convert', { threads: 1, isa: '-' }, rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
