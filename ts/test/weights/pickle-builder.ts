/** Pickles made opcode by opcode, for what no Python library would write. */

/** A protocol 2 pickle of these pieces and STOP: strings are latin-1 opcodes, numbers single bytes. */
export const pickle = (...pieces: (string | number | Buffer)[]): Buffer =>
  Buffer.concat([
    Buffer.from([0x80, 2]),
    ...pieces.map((piece) =>
      typeof piece === 'string' ? Buffer.from(piece, 'latin1') : typeof piece === 'number' ? Buffer.of(piece) : piece,
    ),
    Buffer.from('.'),
  ]);

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** BINUNICODE. */
export const unicode = (text: string): Buffer =>
  Buffer.concat([Buffer.from('X'), u32(Buffer.byteLength(text)), Buffer.from(text)]);
/** GLOBAL of a dotted name. */
export const global = (name: string): string => `c${name.replace(/\.([^.]*)$/, '\n$1')}\n`;

/** SHORT_BINSTRING or BINSTRING: a string of Python 2. */
export const string = (bytes: Buffer): Buffer =>
  Buffer.concat([
    bytes.length < 256 ? Buffer.of(0x55, bytes.length) : Buffer.concat([Buffer.from('T'), u32(bytes.length)]),
    bytes,
  ]);

/** BININT. */
const int = (value: number): string => `J${u32(value >>> 0).toString('latin1')}`;

const tuple = (values: readonly number[]): string => `(${values.map(int).join('')}t`;

/** A storage of `numel` floats; `view` is what legacy files have after that number. */
export const storage = (numel: number, key = '0', view: string | Buffer = ''): Buffer =>
  Buffer.concat([
    Buffer.from('('),
    unicode('storage'),
    Buffer.from(global('torch.FloatStorage')),
    unicode(key),
    unicode('cpu'),
    Buffer.from(int(numel), 'latin1'),
    typeof view === 'string' ? Buffer.from(view, 'latin1') : view,
    Buffer.from('tQ'),
  ]);

/** (key of the view, offset, number of elements) */
export const view = (offset: number, numel: number): Buffer =>
  Buffer.concat([Buffer.from('('), unicode('view'), Buffer.from(`${int(offset)}${int(numel)}t`, 'latin1')]);

/** A view of a storage, by default one of `numel` floats called "0". */
export const tensor = (
  numel: number,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
  of = storage(numel),
): Buffer =>
  Buffer.concat([
    Buffer.from(`${global('torch._utils._rebuild_tensor_v2')}(`),
    of,
    Buffer.from(`${int(offset)}${tuple(shape)}${tuple(strides)}`, 'latin1'),
    Buffer.from(`\x89${global('collections.OrderedDict')})RtR`, 'latin1'),
  ]);

/** A NumPy type with its state: "f4" in the byte order "<". */
export const dtype = (code: string, order = '<'): Buffer =>
  Buffer.concat([
    Buffer.from(`${global('numpy.dtype')}(`),
    unicode(code),
    Buffer.from('K\0K\x01tR(K\x03', 'latin1'),
    unicode(order),
    Buffer.from('NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb', 'latin1'),
  ]);

/** An array before it has its state. */
export const emptyArray = Buffer.from(
  `${global('numpy.core.multiarray._reconstruct')}(${global('numpy.ndarray')}K\0\x85U\x01btR`,
  'latin1',
);

/** The opcodes that give an array its state; `data` is the opcodes of its data. */
export const arrayState = (shape: readonly number[], type: Buffer, data: Buffer, fortran = false): Buffer =>
  Buffer.concat([
    Buffer.from(`(K\x01${tuple(shape)}`, 'latin1'),
    type,
    Buffer.from(fortran ? '\x88' : '\x89', 'latin1'),
    data,
    Buffer.from('tb'),
  ]);

export const array = (shape: readonly number[], type: Buffer, data: Buffer, fortran = false): Buffer =>
  Buffer.concat([emptyArray, arrayState(shape, type, data, fortran)]);

/** A dictionary. */
export const dict = (entries: Iterable<readonly [string, Buffer]>): Buffer =>
  Buffer.concat([
    Buffer.from('}('),
    ...[...entries].flatMap(([key, value]) => [unicode(key), value]),
    Buffer.from('u'),
  ]);

interface Part {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** A state dict of floats with a storage for each tensor, called "0", "1" ...; `view` as for `storage`. */
export const stateDict = (parts: readonly Part[], view = 'N'): Buffer =>
  pickle(
    dict(
      parts.map(({ name, shape, bytes }, i) => {
        const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
        return [name, tensor(0, 0, shape, strides, storage(bytes.length / 4, String(i), view))];
      }),
    ),
  );

const MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
const writer = (little: number): Buffer => pickle('}', unicode('little_endian'), little, 's');

export interface LegacyParts {
  readonly protocol?: Buffer;
  readonly writer?: Buffer;
  readonly object: Buffer;
  readonly keys?: Buffer;
  /** [number of elements, bytes] */
  readonly storages?: readonly (readonly [number, Buffer])[];
}

export const LITTLE_ENDIAN = writer(0x88);
export const BIG_ENDIAN = writer(0x89);

/** The keys of storages. */
export const keyList = (keys: readonly string[]): Buffer => pickle('](', ...keys.map(unicode), 'e');

/** A legacy PyTorch file. */
export function legacyFile(parts: LegacyParts): Buffer {
  const { protocol = pickle('M', 0xe9, 3), writer: facts = LITTLE_ENDIAN, object, storages = [] } = parts;
  const keys = parts.keys ?? keyList(storages.map((_, i) => String(i)));
  const data = storages.flatMap(([numel, bytes]) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(numel));
    return [count, bytes];
  });
  return Buffer.concat([MAGIC, protocol, facts, object, keys, ...data]);
}

/** A state dict as a legacy file. */
export const legacyStateDict = (parts: readonly Part[]): Buffer =>
  legacyFile({ object: stateDict(parts), storages: parts.map(({ bytes }) => [bytes.length / 4, bytes]) });
