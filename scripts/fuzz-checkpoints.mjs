// node scripts/fuzz-checkpoints.mjs [--seconds n] [--seed s]: reads damaged checkpoints with the built readers, for ten
// seconds by default. Each case is a fixture with a few mutations that know what checkpoints are made of; it has to be
// read or refused with an InstasegError, within two seconds and little memory. Cases that are not are saved in build-fuzz/.
// The cases depend on the seed alone, their number on the time.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FIXTURES = join(ROOT, 'ts/test/fixtures/checkpoints');
const FAILURES = join(ROOT, 'build-fuzz');
const require = createRequire(import.meta.url);

const CASE_MS = 2000;
/** The process as a whole, with 200 MB of Node.js and what the readers may hold. */
const RSS_BYTES = 1_000_000_000;
const HEAP_MB = 512;
/** Data of one case that are read: a damaged shape may stand for terabytes, which are streamed. */
const READ_BYTES = 32_000_000;

// --- the reader, in a thread that may be ended ---

/** "read", the code of the error, or what is wrong. */
async function readCheckpoint(openCheckpoint, InstasegError, file) {
  let checkpoint;
  try {
    checkpoint = await openCheckpoint(file);
    let total = 0;
    for (const name of checkpoint.tensors.keys()) {
      for await (const chunk of checkpoint.read(name)) {
        total += chunk.length;
        if (total > READ_BYTES) break;
      }
    }
    await checkpoint.verify();
    return { result: 'read' };
  } catch (error) {
    if (error instanceof InstasegError && /^ERR_CHECKPOINT(_UNSAFE)?$/.test(error.code)) return { result: error.code };
    return { result: 'failed', problem: String(error?.stack ?? error) };
  } finally {
    await checkpoint?.close();
  }
}

function runReader() {
  const { openCheckpoint } = require(join(ROOT, 'dist/src/weights/checkpoint.js'));
  const { InstasegError } = require(join(ROOT, 'dist/src/runtime/errors.js'));
  parentPort.on('message', (file) => {
    void readCheckpoint(openCheckpoint, InstasegError, file).then((answer) => parentPort.postMessage(answer));
  });
}

/** A reader that is replaced when it hangs or runs out of memory. */
class Reader {
  #worker;

  read(file) {
    this.#worker ??= new Worker(fileURLToPath(import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    const worker = this.#worker;
    return new Promise((resolve) => {
      const end = (answer, dead) => {
        clearTimeout(timer);
        worker.off('message', succeed);
        worker.off('error', fail);
        if (dead) void this.close();
        resolve(answer);
      };
      const timer = setTimeout(() => end({ result: 'slow' }, true), CASE_MS);
      const succeed = (answer) => end(answer, false);
      const fail = (error) => end({ result: 'failed', problem: String(error) }, true);
      worker.on('message', succeed);
      worker.on('error', fail);
      worker.postMessage(file);
    });
  }

  async close() {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

// --- the cases ---

/** mulberry32 */
function makeRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count) => Math.floor(next() * count);
  return { below, pick: (list) => list[below(list.length)] };
}

const NUMBERS = [
  0,
  1,
  2,
  7,
  8,
  64,
  127,
  128,
  255,
  256,
  513,
  4095,
  65_535,
  65_536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
const OPCODES = [
  ...'().012FGIJKLMNPQRSTUVXabcdeghijlopqrstu}]\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98BC',
].map((char) => char.charCodeAt(0));
/** Pieces of pickles that mean something. */
const PIECES = [
  'cposix\nsystem\n',
  'c__builtin__\neval\n',
  'ctorch._utils\n_rebuild_tensor_v2\n',
  'cnumpy.core.multiarray\n_reconstruct\n',
  'cnumpy\ndtype\n',
  'cnumpy\nndarray\n',
  'c_codecs\nencode\n',
  'ccollections\nOrderedDict\n)R',
  'ctorch\nFloatStorage\n',
  '(lp0\nh\0a',
  '}q\0h\0h\0s',
  '\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f',
  '\x8b\xff\xff\xff\x7f',
  '\x8e\xff\xff\xff\xff\xff\xff\x1f\0',
  'J\xff\xff\xff\xff',
  '((((((((',
  '))R}b',
].map((text) => Buffer.from(text, 'latin1'));

/** [what, mutation]: bytes in, bytes out. */
const MUTATIONS = Object.entries({
  'flip a bit': (bytes, { below }) => {
    const at = below(bytes.length);
    bytes[at] ^= 1 << below(8);
    return bytes;
  },
  'set a byte': (bytes, { below }) => {
    bytes[below(bytes.length)] = below(256);
    return bytes;
  },
  truncate: (bytes, { below }) => bytes.subarray(0, below(bytes.length)),
  'swap an opcode': (bytes, { below, pick }) => {
    // Most bytes of a pickle that look like an opcode are one.
    for (let tries = 0; tries < 50; tries++) {
      const at = below(bytes.length);
      if (!OPCODES.includes(bytes[at])) continue;
      bytes[at] = pick(OPCODES);
      break;
    }
    return bytes;
  },
  'change a length': (bytes, { below, pick }) => {
    // A little-endian number that is small for its width.
    for (let tries = 0; tries < 200 && bytes.length > 8; tries++) {
      const at = below(bytes.length - 8);
      const width = bytes.readUInt32LE(at + 4) === 0 ? 8 : 4;
      if (bytes.readUInt32LE(at) > 2 * bytes.length || bytes[at] === 0) continue;
      const value = pick([pick(NUMBERS), bytes.readUInt32LE(at) + pick([-8, -1, 1, 8]), bytes.length - at - width]);
      if (width === 8)
        bytes.writeBigInt64LE(BigInt.asIntN(64, pick([BigInt(value), -BigInt(value), BigInt(value) << 32n])), at);
      else bytes.writeUInt32LE(value >>> 0, at);
      break;
    }
    return bytes;
  },
  'change a small number': (bytes, { below, pick }) => {
    // BININT1 and BININT2: shapes, strides, offsets.
    for (let tries = 0; tries < 200; tries++) {
      const at = below(bytes.length - 1);
      if (bytes[at] !== 0x4b && bytes[at] !== 0x4d) continue;
      bytes[at + 1] = pick([0, 1, 2, 3, 127, 255, below(256)]);
      break;
    }
    return bytes;
  },
  'duplicate a chunk': (bytes, random) => {
    const [from, to] = range(bytes, random);
    return Buffer.concat([
      bytes.subarray(0, to),
      ...Array(1 + random.below(3)).fill(bytes.subarray(from, to)),
      bytes.subarray(to),
    ]);
  },
  'remove a chunk': (bytes, random) => {
    const [from, to] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  'move a chunk': (bytes, random) => {
    const [from, to] = range(bytes, random);
    const rest = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
    const at = random.below(rest.length + 1);
    return Buffer.concat([rest.subarray(0, at), bytes.subarray(from, to), rest.subarray(at)]);
  },
  'insert a piece': (bytes, { below, pick }) => {
    const at = below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), pick(PIECES), bytes.subarray(at)]);
  },
  'overwrite with a piece': (bytes, { below, pick }) => {
    pick(PIECES).copy(bytes, below(bytes.length));
    return bytes;
  },
  'splice with another file': (bytes, random, sources) => {
    const other = random.pick(sources).bytes;
    return Buffer.concat([bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length))]);
  },
  'change a digit': (bytes, { below }) => {
    // The header of safetensors, and the keys of storages.
    for (let tries = 0; tries < 100; tries++) {
      const at = below(bytes.length);
      if (bytes[at] < 0x30 || bytes[at] > 0x39) continue;
      bytes[at] = 0x30 + below(10);
      break;
    }
    return bytes;
  },
});

function range(bytes, { below }) {
  const from = below(bytes.length);
  return [from, Math.min(bytes.length, from + 1 + below(below(4) === 0 ? bytes.length : 32))];
}

/** The stored entries of a zip archive, by a scan for local headers. */
function zipEntries(bytes) {
  const entries = [];
  for (let at = 0; (at = bytes.indexOf('PK\x03\x04', at, 'latin1')) >= 0; at += 4) {
    const [name, extra] = [bytes.readUInt16LE(at + 26), bytes.readUInt16LE(at + 28)];
    const [method, size] = [bytes.readUInt16LE(at + 8), bytes.readUInt32LE(at + 18)];
    const start = at + 30 + name + extra;
    if (method !== 0 || start + size > bytes.length) return undefined;
    entries.push({
      name: bytes.toString('latin1', at + 30, at + 30 + name),
      data: bytes.subarray(start, start + size),
    });
  }
  return entries.some(({ name }) => name.endsWith('/data.pkl')) ? entries : undefined;
}

/** A zip archive with right checksums, so that what is inside is looked at. */
function makeZip(entries) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, data } of entries) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name, 'latin1'), data]);
    directory.push(Buffer.from('PK\x01\x02\x14\0'), common, rest, Buffer.from(name, 'latin1'));
    parts.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listing, end]);
}

function makeSafetensors() {
  const header = Buffer.from(
    JSON.stringify({
      __metadata__: { format: 'pt', note: 'a "quoted" one' },
      a: { dtype: 'F32', shape: [3, 4], data_offsets: [0, 48] },
      b: { dtype: 'I64', shape: [], data_offsets: [48, 56] },
      'naïve/ключ': { dtype: 'F16', shape: [0, 2], data_offsets: [56, 56] },
      c: { dtype: 'BOOL', shape: [5], data_offsets: [56, 61] },
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(61, 1)]);
}

function loadSources() {
  const names = readdirSync(FIXTURES).filter((name) => /\.(pth|pkl)$/.test(name));
  const files = names.sort().map((name) => ({ name, bytes: readFileSync(join(FIXTURES, name)) }));
  return [...files, { name: 'written.safetensors', bytes: makeSafetensors() }];
}

/** The bytes of the next case, and how they came about. */
function makeCase(random, sources) {
  const source = random.pick(sources);
  const steps = [];
  const mutate = (bytes) => {
    let changed = Buffer.from(bytes);
    for (let count = 1 + random.below(4); count > 0 && changed.length > 1; count--) {
      const [what, mutation] = random.pick(MUTATIONS);
      changed = Buffer.from(mutation(changed, random, sources));
      steps.push(what);
    }
    return changed;
  };
  const entries = zipEntries(source.bytes);
  if (!entries || random.below(4) === 0) return { name: source.name, steps, bytes: mutate(source.bytes) };
  const target = random.below(8) === 0 ? random.pick(entries) : entries.find(({ name }) => name.endsWith('/data.pkl'));
  const changed = entries.map((entry) => (entry === target ? { ...entry, data: mutate(entry.data) } : entry));
  steps.unshift(`in ${target.name}`);
  return { name: source.name, steps, bytes: makeZip(changed) };
}

// --- the loop ---

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    },
  });
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('Expected --seconds above 0 and an integer --seed');

  const random = makeRandom(seed);
  const sources = loadSources();
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-fuzz-'));
  const file = join(folder, 'case');
  const reader = new Reader();
  const results = {};
  let cases = 0;
  let slowest = 0;
  let largest = 0;
  const begin = performance.now();
  try {
    for (; performance.now() - begin < seconds * 1000; cases++) {
      const { name, steps, bytes } = makeCase(random, sources);
      writeFileSync(file, bytes);
      const start = performance.now();
      let { result, problem } = await reader.read(file);
      // Once may be the machine's fault.
      if (result === 'slow') ({ result, problem } = await reader.read(file));
      if (result === 'slow') [result, problem] = ['failed', `takes more than ${CASE_MS} ms`];
      slowest = Math.max(slowest, performance.now() - start);
      const { rss } = process.memoryUsage();
      largest = Math.max(largest, rss);
      if (result !== 'failed' && rss > RSS_BYTES) {
        [result, problem] = ['failed', `${Math.round(rss / 1e6)} MB of memory`];
        await reader.close();
      }
      results[result] = (results[result] ?? 0) + 1;
      if (result !== 'failed') continue;
      mkdirSync(FAILURES, { recursive: true });
      const saved = join(FAILURES, `${seed}-${cases}-${name}`);
      writeFileSync(saved, bytes);
      console.log(`FAILED  ${saved}\n  ${name}: ${steps.join(', ')}\n  ${problem}`);
    }
  } finally {
    await reader.close();
    rmSync(folder, { recursive: true });
  }
  const spent = (performance.now() - begin) / 1000;
  const counts = Object.entries(results).map(([result, count]) => `${result} ${count}`);
  console.log(`${counts.sort().join(', ')}; slowest ${slowest.toFixed(0)} ms, at most ${Math.round(largest / 1e6)} MB`);
  console.log(`seed ${seed}: ${cases} cases, ${Math.round(cases / spent)} a second`);
  process.exitCode = results.failed ? 1 : 0;
}

if (isMainThread) await main();
else runReader();
