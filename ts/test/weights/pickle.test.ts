import test from 'ava';
import { unpickle } from '../../src/weights/pickle.js';
import { global, pickle, storage, tensor, u32, unicode } from './pickle-builder.js';
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
  ['a frame beyond the end', pickle('\x95', u32(99), u32(0), 'N'), /truncated/],
];

for (const [what, bytes, message] of damaged) {
  test(`${what} is an error of the checkpoint`, async (t) => {
    await failsWith(() => unpickle(bytes), 'ERR_CHECKPOINT', message);
    t.pass();
  });
}
