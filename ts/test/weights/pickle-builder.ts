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

/** A storage of `numel` floats called "0". */
export const storage = (numel: number): Buffer =>
  Buffer.concat([
    Buffer.from('('),
    unicode('storage'),
    Buffer.from(global('torch.FloatStorage')),
    unicode('0'),
    unicode('cpu'),
    Buffer.from('J'),
    u32(numel),
    Buffer.from('tQ'),
  ]);

/** A view of a storage of `numel` floats. */
export const tensor = (numel: number, offset: number, shape: number[], strides: number[]): Buffer => {
  const tuple = (values: number[]): string =>
    `(${values.map((value) => `J${u32(value).toString('latin1')}`).join('')}t`;
  return Buffer.concat([
    Buffer.from(`${global('torch._utils._rebuild_tensor_v2')}(`),
    storage(numel),
    Buffer.from(`J${u32(offset).toString('latin1')}${tuple(shape)}${tuple(strides)}`, 'latin1'),
    Buffer.from(`\x89${global('collections.OrderedDict')})RtR`, 'latin1'),
  ]);
};
