import test from 'ava';
import { unpickle } from '../../src/weights/pickle.js';
import {
  array,
  arrayState,
  dtype,
  emptyArray,
  global,
  pickle,
  storage,
  tensor,
  u32,
  unicode,
  view,
} from './pickle-builder.js';
import { failsWith } from './support.js';

const value = (...pieces: (string | number | Buffer)[]): unknown => unpickle(pickle(...pieces)).value;

test('numbers', (t) => {
  t.is(value('K', 200), 200);
  t.is(value('M', 1, 2), 513);
  t.is(value('J', u32(0xffffffff)), -1);
  t.is(value('\x8a', 0), 0);
  t.is(value('\x8a', 1, 0xff), -1);
  t.is(value('\x8a', 2, 0xff, 0), 255);
  t.is(value('\x8a', 9, u32(0), u32(0), 1), 2n ** 64n);
  t.is(value('\x8a', 9, u32(0), u32(0), 0xff), -(2n ** 64n));
  t.is(value('\x8b', u32(4), u32(7)), 7);
  t.is(value('G', Buffer.from('bff8000000000000', 'hex')), -1.5);
  t.is(value('I-12\n'), -12);
  t.is(value('I9223372036854775807\n'), 9223372036854775807n);
  t.is(value('I01\n'), true);
});

test('constants, text and bytes', (t) => {
  t.is(value('N'), null);
  t.is(value('\x88'), true);
  t.is(value('\x89'), false);
  t.is(value(unicode('ключ \ufeff')), 'ключ \ufeff');
  t.is(value('U', 2, 'a\xe9'), 'aé');
  t.is(value('T', u32(1), '\xe9'), 'é');
  t.deepEqual(value('C', 2, 'a\xff'), Buffer.from([0x61, 0xff]));
});

test('long text and bytes are left where they are', (t) => {
  const long = (start: number, form: string): object => ({ kind: 'long', start, length: 600, form });
  t.deepEqual(value(unicode('é'.repeat(300))) as object, long(7, 'utf8'));
  t.deepEqual(value('N0', 'T', u32(600), Buffer.alloc(600, 0xe9)) as object, long(9, 'latin1')); // Python 2
  t.deepEqual(value('B', u32(600), Buffer.alloc(600)) as object, long(7, 'bytes'));
  t.deepEqual(value('\x96', u32(600), u32(0), Buffer.alloc(600)) as object, long(11, 'bytes'));
  t.is(value(unicode('x'.repeat(512))), 'x'.repeat(512));
});

test('containers', (t) => {
  t.deepEqual(value(')'), []);
  t.deepEqual(value('K', 1, 'K', 2, '\x86'), [1, 2]);
  t.deepEqual(value('(K', 1, 'K', 2, 'K', 3, 't'), [1, 2, 3]);
  t.deepEqual(value('](K', 1, 'K', 2, 'eK', 3, 'a'), [1, 2, 3]);
  t.deepEqual(
    value('}(', unicode('a'), 'K', 1, unicode('b'), 'K', 2, 'u'),
    new Map([
      ['a', 1],
      ['b', 2],
    ]),
  );
  t.deepEqual(value('}', unicode('__proto__'), 'K', 1, 's'), new Map([['__proto__', 1]]));
  t.deepEqual(value('\x8f(K', 1, '\x90'), new Set([1]));
  t.deepEqual(value('(K', 1, '\x91'), new Set([1]));
});

test('the memo gives the same value back', (t) => {
  const [first, second] = value(']q', 5, 'h', 5, '\x86') as [unknown[], unknown[]];
  t.is(first, second);
  const cycle = value(']\x94h', 0, 'a') as unknown[];
  t.is(cycle[0], cycle);
});

test('tensors come out as views of storages', (t) => {
  t.deepEqual(value(tensor(12, 1, [2, 3], [4, 1])), {
    kind: 'tensor',
    storage: { kind: 'storage', dtype: 'f32', key: '0', numel: 12 },
    offset: 1,
    shape: [2, 3],
    strides: [4, 1],
  });
  const parameter = [
    global('torch._utils._rebuild_parameter'),
    tensor(1, 0, [], []),
    '\x88',
    global('collections.OrderedDict'),
    ')R\x87R',
  ];
  t.like(value(...parameter), { kind: 'tensor', shape: [] });
});

test('a tensor has to lie inside its storage', async (t) => {
  await failsWith(
    () => value(tensor(6, 1, [2, 3], [3, 1])),
    'ERR_CHECKPOINT',
    /reaches element 6 of storage "0", which has 6/,
  );
  await failsWith(() => value(tensor(6, 0, [2, 3], [0x7fffffff, 1])), 'ERR_CHECKPOINT', /reaches element/);
  await failsWith(() => value(tensor(6, 0, [2, 3], [1])), 'ERR_CHECKPOINT', /invalid strides/);
  await failsWith(() => value(tensor(6, 0, [-1 >>> 0, 3], [1, 1])), 'ERR_CHECKPOINT', /invalid offset or shape/);
  t.like(value(tensor(0, 0, [0, 5], [5, 1])), { shape: [0, 5] });
});

test('a storage may be a part of another, and a tensor has to lie inside that part', async (t) => {
  const part = storage(6, 's', view(2, 3));
  t.like(value(tensor(0, 1, [2], [1], part)), { offset: 3, shape: [2], storage: { key: 's', numel: 6 } });
  await failsWith(() => value(tensor(0, 1, [3], [1], part)), 'ERR_CHECKPOINT', /reaches element 3 .* which has 3/);
  await failsWith(() => value(storage(6, 's', view(4, 3))), 'ERR_CHECKPOINT', /view of storage "s" is not well formed/);
  await failsWith(() => value(storage(6, 's', 'K\x01')), 'ERR_CHECKPOINT', /view of storage "s" is not well formed/);
});

test('a storage is the same wherever it is named', async (t) => {
  const { storages } = unpickle(pickle(storage(6), '0', storage(6), '0', storage(2, 'b'), '0N'));
  t.deepEqual([...storages.keys()], ['0', 'b']);
  await failsWith(() => unpickle(pickle(storage(6), storage(7))), 'ERR_CHECKPOINT', /"0" is named with two types/);
});

const six = Buffer.from('U\x06abcdef');

test('NumPy arrays come out as shapes and places of data', (t) => {
  const content = (bytes: Buffer): unknown => (value(bytes) as { content: unknown }).content;
  t.deepEqual(content(array([3, 2], dtype('u1'), six)), {
    dtype: 'u8',
    shape: [3, 2],
    strides: [2, 1],
    data: Buffer.from('abcdef'),
  });
  t.like(content(array([3, 2], dtype('u1'), six, true)), { strides: [1, 3] });
  t.like(content(array([3], dtype('i2'), Buffer.from('C\x06\xff\xff\x00\x80\xff\x7f', 'latin1'))), {
    dtype: 'i16',
    data: Buffer.from('ffff0080ff7f', 'hex'),
  });
  const text = Buffer.concat([
    Buffer.from(`${global('_codecs.encode')}(`),
    unicode('\u00ffb'),
    unicode('latin1'),
    Buffer.from('tR'),
  ]);
  t.like(content(array([2], dtype('b1', '|'), text)), { dtype: 'bool', data: Buffer.from([0xff, 0x62]) });
  const bytes = Buffer.from(`${global('__builtin__.bytes')})R`);
  t.like(content(array([0, 4], dtype('f4'), bytes)), { shape: [0, 4], strides: [4, 1] });
  t.like(content(array([6], dtype('S1', '|'), six)), { dtype: undefined });
  t.like(content(array([2], dtype('u2', '>'), six)), { dtype: undefined });
});

/** _frombuffer(bytes, dtype, shape, order, axes) of protocol 5. */
const fromBuffer = (data: Buffer, order: string, axes = ''): Buffer =>
  Buffer.concat([
    Buffer.from(`${global('numpy.core.numeric._frombuffer')}(`),
    data,
    dtype('u1'),
    Buffer.from('K\x01K\x02K\x03\x87', 'latin1'),
    unicode(order),
    Buffer.from(`${axes}tR`, 'latin1'),
  ]);

test('the buffers of protocol 5 have an order of axes', async (t) => {
  t.like(value(fromBuffer(six, 'C')), { content: { shape: [1, 2, 3], strides: [6, 3, 1] } });
  t.like(value(fromBuffer(six, 'F')), { content: { shape: [1, 2, 3], strides: [1, 1, 2] } });
  t.like(value(fromBuffer(six, 'K', 'K\x02K\0K\x01\x87')), { content: { shape: [3, 1, 2], strides: [1, 6, 3] } });
  for (const axes of ['K\x02K\0K\x03\x87', 'K\x02K\0K\0\x87', 'K\x01K\0\x86', 'K\x01']) {
    await failsWith(() => value(fromBuffer(six, 'K', axes)), 'ERR_CHECKPOINT', /invalid order of axes/);
  }
  await failsWith(() => value(fromBuffer(six, 'A')), 'ERR_CHECKPOINT', /unknown order of elements/);
});

test('an array cannot change after it was checked', (t) => {
  // The type, memoized, becomes another byte order once the array exists.
  const type = Buffer.concat([dtype('f4'), Buffer.from('q\x09')]);
  const later = ['h', 9, '(K', 3, unicode('>'), 'tb0'];
  t.like(value(array([1], type, Buffer.from('U\x04abcd')), ...later), { content: { dtype: 'f32', shape: [1] } });
});

const arrays: [string, (string | number | Buffer)[], RegExp][] = [
  ['Python objects', [array([2], dtype('O8', '|'), Buffer.from(']'))], /holds Python objects/],
  ['big-endian numbers', [array([1], dtype('f4', '>'), Buffer.from('U\x04abcd'))], /big-endian byte order/],
  [
    'big-endian numbers without a state',
    [
      array(
        [1],
        Buffer.concat([Buffer.from(`${global('numpy.dtype')}`), unicode('>f4'), Buffer.from('\x85R', 'latin1')]),
        Buffer.from('U\x04abcd'),
      ),
    ],
    /big-endian byte order/,
  ],
  ['too few bytes', [array([7], dtype('u1'), six)], /have 6 bytes, expected 7/],
  ['too many bytes', [array([5], dtype('u1'), six)], /have 6 bytes, expected 5/],
  ['a list of data', [array([0], dtype('u1'), Buffer.from(']'))], /data of a NumPy array are not bytes/],
  ['text of data', [array([2], dtype('u1'), unicode('ключ'))], /data of a NumPy array are not bytes/],
  ['long text of data', [array([600], dtype('u1'), unicode('x'.repeat(600)))], /are not bytes/],
  ['a negative shape', [array([-1], dtype('u1'), six)], /invalid type or shape/],
  ['no type', [array([6], Buffer.from('N'), six)], /invalid type or shape/],
  ['two states', [emptyArray, arrayState([6], dtype('u1'), six), arrayState([6], dtype('u1'), six)], /its data twice/],
  ['a state that is none', [emptyArray, 'Nb'], /has no data/],
  [
    'another class',
    [global('numpy.core.multiarray._reconstruct'), global('torch.FloatStorage'), '\x85R'],
    /of another type/,
  ],
  ['a type without a name', [global('numpy.dtype'), 'K', 4, '\x85R'], /has no name/],
  ['a type of another name', [global('numpy.dtype'), unicode('f4,f4'), '\x85R'], /has no name/],
  ['a type in no byte order', [dtype('f4', '!')], /state that is not one/],
  [
    'text in another encoding',
    [global('_codecs.encode'), '(', unicode('x'), unicode('utf-7'), 'tR'],
    /else than latin-1/,
  ],
  [
    'text beyond latin-1',
    [global('_codecs.encode'), '(', unicode('\u0100'), unicode('latin1'), 'tR'],
    /is not latin-1/,
  ],
  ['bytes out of a number', [global('__builtin__.bytes'), 'J', u32(2 ** 30), '\x85R'], /is not text/],
];

for (const [what, pieces, message] of arrays) {
  test(`${what} in a NumPy array is refused`, async (t) => {
    await failsWith(() => value(...pieces), 'ERR_CHECKPOINT', message);
    t.pass();
  });
}

test('a shape cannot grow after it was checked', (t) => {
  // The shape is a list, and so are the strides, which both get an element more once the tensor exists.
  const lists = [global('torch._utils._rebuild_tensor'), '(', storage(1), 'K', 0, ']q', 7, ']q', 8, 'tR'];
  const [grown] = value('(', ...lists, 'h', 7, 'K', 99, 'ah', 8, 'K', 1, 'at') as [object];
  t.like(grown, { shape: [], strides: [] });
});

test('harmless companions of weights are understood', (t) => {
  const ordered = [global('collections.OrderedDict'), ')R}', unicode('_metadata'), 'NsbN'];
  t.notThrows(() => value(...ordered));
  t.deepEqual(value(global('collections.OrderedDict'), ')R', '}', unicode('_metadata'), 'Nsb'), new Map());
  t.like(value(global('argparse.Namespace'), ')\x81}', unicode('lr'), 'K', 1, 'sb'), { kind: 'opaque' });
  t.deepEqual(value(global('torch.Size'), '(K', 2, 'K', 3, 't\x85R'), [2, 3]);
  t.like(value(global('__builtin__.set'), '](K', 2, 'e\x85R'), { kind: 'opaque' });
  t.deepEqual(value(global('collections.defaultdict'), global('__builtin__.list'), '\x85R'), new Map());
});

const hostile: [string, Buffer, RegExp][] = [
  ['os.system', pickle(global('posix.system'), unicode('echo'), '\x85R'), /posix\.system/],
  ['eval of Python 2', pickle(global('__builtin__.eval'), unicode('1'), '\x85R'), /__builtin__\.eval/],
  ['STACK_GLOBAL', pickle(unicode('builtins'), unicode('getattr'), '\x93'), /builtins\.getattr/],
  ['a nested pickle', pickle(global('torch.storage._load_from_bytes')), /torch\.storage\._load_from_bytes/],
  ['a global that is only named', pickle(global('os.system'), '0N'), /os\.system/],
  ['a submodule of an allowed one', pickle(global('torch._utils._rebuild_tensor_v2.__globals__')), /__globals__/],
  ['INST', pickle('(i', 'subprocess\nPopen\n'), /subprocess\.Popen/],
  ['INST of an allowed name', pickle('(i', 'collections\nOrderedDict\n'), /instance of collections\.OrderedDict/],
  ['OBJ', pickle('(', global('collections.OrderedDict'), 'o'), /OBJ/],
  ['NEWOBJ_EX', pickle(global('collections.OrderedDict'), ')}\x92'), /NEWOBJ_EX/],
  ['the extension registry', pickle('\x82', 1), /extension registry/],
  ['a call of a value', pickle('N)R'), /call of a value/],
  [
    'a call of a name that is no constructor',
    pickle(global('torch.FloatStorage'), ')R'),
    /call of torch\.FloatStorage/,
  ],
  ['the state of a tensor', pickle(tensor(1, 0, [], []), '}b'), /state of a tensor/],
  ['the state of a list', pickle(']}b'), /state of a list/],
  ['a call of the array class', pickle(global('numpy.ndarray'), ')R'), /call of numpy\.ndarray/],
  [
    'a global in the data of an array',
    pickle(array([1], dtype('O8'), Buffer.from(`(${global('os.system')}t`))),
    /os\.system/,
  ],
  ["an array class of one's own", pickle(global('numpy.core.multiarray._reconstruct'), global('x.Evil')), /x\.Evil/],
];

for (const [what, bytes, message] of hostile) {
  test(`${what} is refused by name`, async (t) => {
    await failsWith(() => unpickle(bytes), 'ERR_CHECKPOINT_UNSAFE', message);
    t.pass();
  });
}

test('a name of control characters is shown escaped and short', async (t) => {
  const name = `x.\u001b[2J${'y'.repeat(500)}`;
  await failsWith(
    () => unpickle(pickle(global(name))),
    'ERR_CHECKPOINT_UNSAFE',
    /asks for x\.\\u001b\[2Jy{1,120}, which/,
  );
  t.pass();
});

const damaged: [string, Buffer, RegExp][] = [
  ['nothing', Buffer.alloc(0), /truncated/],
  ['a cut pickle', Buffer.from([0x80, 2, 0x58, 9, 0, 0, 0, 0x61]), /truncated \(pickle byte 2\)/],
  ['protocol 1', Buffer.from([0x80, 1, 0x4e, 0x2e]), /protocol 1/],
  ['an unknown opcode', pickle('\xff'), /opcode 0xff/],
  ['an empty stack', pickle(), /empty stack/],
  ['a missing mark', pickle('t'), /no mark/],
  ['a missing memo entry', pickle('h', 3), /recalls value 3/],
  ['text that is not UTF-8', pickle('X', u32(1), '\xff'), /not UTF-8/],
  ['items of no dictionary', pickle(']NNs'), /no dictionary/],
  ['half a pair', pickle('}(Nu'), /no dictionary/],
  ['an item of no list', pickle('}Na'), /no list/],
  ['an element of no set', pickle('](N\x90'), /no set/],
  ['arguments that are no tuple', pickle(global('torch.Size'), 'NR'), /not a tuple/],
  ['a persistent id of another kind', pickle('NQ'), /not a storage/],
  ['marks without end', pickle('('.repeat(1000)), /deeper than 512/],
  ['containers without end', pickle('}'.repeat(4_000_001)), /more than 4000000 operations/],
  ['a dictionary built from a list', pickle(global('collections.OrderedDict'), ']\x85R'), /not one/],
  ['a huge integer', pickle('\x8b', u32(300), 'x'.repeat(300)), /integer of 300 bytes/],
  ['a line without end', pickle('I', '1'.repeat(5000)), /line without end/],
  ['long text that is cut', pickle('X', u32(1000)), /truncated/],
  ['bytes without end', pickle('\x8e', u32(0xffffffff), u32(0x7fffffff)), /truncated/],
  [
    'text without end',
    pickle(unicode('x'.repeat(512)), `0X\0\x02\0\0${'x'.repeat(512)}`.repeat(131_073)),
    /more than 67108864 bytes/,
  ],
  ['a frame beyond the end', pickle('\x95', u32(99), u32(0), 'N'), /truncated/],
];

for (const [what, bytes, message] of damaged) {
  test(`${what} is an error of the checkpoint`, async (t) => {
    await failsWith(() => unpickle(bytes), 'ERR_CHECKPOINT', message);
    t.pass();
  });
}
