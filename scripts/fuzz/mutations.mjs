// Changes to the bytes of a file.

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

/** [what, mutation]: bytes in, bytes out. Some know what checkpoints are made of. */
export const MUTATIONS = Object.entries({
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

/** A few changes to a copy of `bytes`, and what they were. `sources` are files to take pieces from. */
export function mutate(bytes, random, sources) {
  const steps = [];
  let changed = Buffer.from(bytes);
  for (let count = 1 + random.below(4); count > 0 && changed.length > 1; count--) {
    const [what, mutation] = random.pick(MUTATIONS);
    changed = Buffer.from(mutation(changed, random, sources));
    steps.push(what);
  }
  return { bytes: changed, steps };
}
