import { execFile } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import {
  array,
  dict,
  dtype,
  global,
  keyList,
  legacyFile,
  pickle,
  storage,
  tensor,
  u32,
  unicode,
} from './pickle-builder.js';
import { withFolder } from './support.js';

const MIB = 2 ** 20;
/** Elements of each of four tensors: 42 MiB of floats. */
const NUMEL = 11 * MIB;
const DATA = 4 * NUMEL;

type Part = Buffer | number;

/** A file of these pieces; a number is that many zeros, which take no room on the disk. */
function writeParts(file: string, parts: readonly Part[]): void {
  const out = openSync(file, 'w');
  let at = 0;
  for (const part of parts) {
    if (typeof part !== 'number') writeSync(out, part, 0, part.length, at);
    at += typeof part === 'number' ? part : part.length;
  }
  ftruncateSync(out, at);
  closeSync(out);
}

const names = ['a', 'b', 'c', 'd'];

function legacyParts(): Part[] {
  const object = pickle(dict(names.map((name, i) => [name, tensor(0, 0, [NUMEL], [1], storage(NUMEL, String(i)))])));
  const count = Buffer.alloc(8);
  count.writeBigInt64LE(BigInt(NUMEL));
  const head = legacyFile({ object, keys: keyList(names.map((_, i) => String(i))) });
  return [head, ...names.flatMap((): Part[] => [count, DATA])];
}

const ZEROS = Buffer.from('the zeros');

/** Arrays whose data are bytes, or text that stands for them. */
function pickleParts(data: (hole: Buffer) => Buffer): Part[] {
  const whole = pickle(dict(names.map((name) => [name, arrayOf(data(ZEROS))])));
  const parts: Part[] = [];
  let at = 0;
  for (let next = whole.indexOf(ZEROS); next >= 0; next = whole.indexOf(ZEROS, at)) {
    parts.push(whole.subarray(at, next), DATA);
    at = next + ZEROS.length;
  }
  return [...parts, whole.subarray(at)];
}

const arrayOf = (data: Buffer): Buffer => array([NUMEL], dtype('f4'), data);
const asBytes = (hole: Buffer): Buffer => Buffer.concat([Buffer.from('B'), u32(DATA), hole]);
const asText = (hole: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${global('_codecs.encode')}(X`), u32(DATA), hole, unicode('latin1'), Buffer.from('tR')]);

const SCRIPT = `
const { inspectCheckpoint } = require(process.argv[1]);
const before = process.resourceUsage().maxRSS;
inspectCheckpoint(process.argv[2], { hash: true }).then(({ format, tensors }) => {
  const grown = (process.resourceUsage().maxRSS - before) / 1024;
  console.log(JSON.stringify({ format, tensors: tensors.length, grown }));
});`;

for (const [what, format, parts] of [
  ['a legacy file', 'torch-legacy', legacyParts()],
  ['a pickle of bytes', 'pickle-2', pickleParts(asBytes)],
  ['a pickle of text', 'pickle-2', pickleParts(asText)],
] as const) {
  test(`${what} of 176 MiB is read through in a fraction of its size`, async (t) => {
    await withFolder(async (folder) => {
      const file = path.join(folder, 'large');
      writeParts(file, parts);
      const index = path.join(__dirname, '../../src/index.js');
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', SCRIPT, index, file]);
      const { grown, ...found } = JSON.parse(stdout) as { grown: number };
      t.deepEqual(found, { format, tensors: names.length } as object);
      // A chunk is 4 MiB; how many of them wait to be collected is up to the garbage collector.
      t.true(grown < 128, `grew by ${grown} MiB`);
    });
  });
}
