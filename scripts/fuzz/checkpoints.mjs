// Damaged checkpoints: fixtures of every format, changed on the outside, or inside an archive that stays right.
import { mutate } from './mutations.mjs';
import { makeZip, zipEntries } from './zip.mjs';

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

/** Files of the formats that the fixtures do not have. */
export const WRITTEN = [{ name: 'written.safetensors', bytes: makeSafetensors() }];

/** The bytes of the next case, and how they came about. */
export function makeCheckpoint(random, sources) {
  const source = random.pick(sources);
  const entries = zipEntries(source.bytes);
  if (!entries || random.below(4) === 0) return { name: source.name, ...mutate(source.bytes, random, sources) };
  const target = random.below(8) === 0 ? random.pick(entries) : entries.find(({ name }) => name.endsWith('/data.pkl'));
  const { bytes, steps } = mutate(target.data, random, sources);
  const changed = entries.map((entry) => (entry === target ? { ...entry, data: bytes } : entry));
  return { name: source.name, steps: [`in ${target.name}`, ...steps], bytes: makeZip(changed) };
}
