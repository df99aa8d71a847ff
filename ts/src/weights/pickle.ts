import { InstasegError } from '../runtime/errors.js';
import { type CheckpointDType, isShape, elementCount } from './tensor-info.js';

// The pickle format as PyTorch writes it (protocols 2 to 5; opcodes as documented in CPython's Lib/pickletools.py).
// Nothing is ever executed: a global is a name, and the few names of the table below build plain JavaScript values.

/** A storage named by a pickle: `numel` elements of `dtype`, kept outside the pickle under `key`. */
export interface StorageRef {
  readonly kind: 'storage';
  readonly dtype: CheckpointDType;
  readonly key: string;
  readonly numel: number;
}

/** A view of a storage; `offset` and `strides` count elements. Always inside its storage. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A global of the allow-list that was named but not called. */
interface GlobalRef {
  readonly kind: 'global';
  readonly name: string;
}

/** An allowed object whose contents say nothing about tensors: a dtype, a device, a namespace of training arguments. */
interface OpaqueRef {
  readonly kind: 'opaque';
  readonly name: string;
}

/** Tuples and lists are arrays, dictionaries are Maps, integers beyond 2^53 are bigints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | StorageRef
  | TensorRef
  | GlobalRef
  | OpaqueRef;

/** Nested marks; PyTorch's own files stay below 20. */
const MAX_DEPTH = 512;
/**
 * Opcodes; a tensor takes about 40. One can make a container of some 200 bytes, so this bounds the memory of the stack,
 * the memo and all values.
 */
const MAX_OPERATIONS = 4_000_000;
/** Bytes of one integer: 2048 bits. */
const MAX_INTEGER_BYTES = 256;

type Construct = (args: readonly PickleValue[]) => PickleValue;

const STORAGE_DTYPES: Readonly<Record<string, CheckpointDType>> = {
  'torch.DoubleStorage': 'f64',
  'torch.FloatStorage': 'f32',
  'torch.HalfStorage': 'f16',
  'torch.BFloat16Storage': 'bf16',
  'torch.LongStorage': 'i64',
  'torch.IntStorage': 'i32',
  'torch.ShortStorage': 'i16',
  'torch.CharStorage': 'i8',
  'torch.ByteStorage': 'u8',
  'torch.BoolStorage': 'bool',
};

/** Values without contents that training checkpoints hold beside their tensors. */
const INERT_NAMES = [
  ...['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool'].map(
    (x) => `torch.${x}`,
  ),
  ...['list', 'dict', 'tuple', 'int', 'float', 'bool', 'str'].map((x) => `builtins.${x}`),
];

const opaque = (name: string) => (): PickleValue => ({ kind: 'opaque', name });

/** All that a pickle may name. `null`: it may be mentioned, not called. */
const GLOBALS = new Map<string, Construct | null>([
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', ([data = null]) => data],
  ['torch._utils._rebuild_parameter_with_state', ([data = null]) => data],
  ['collections.OrderedDict', ([items]) => toMap(items)],
  ['collections.Counter', ([items]) => toMap(items)],
  ['collections.defaultdict', ([, items]) => toMap(items)],
  ['builtins.set', opaque('builtins.set')], // protocol 2; no set holds tensors
  ['builtins.frozenset', opaque('builtins.frozenset')],
  ['torch.Size', ([items = null]) => items],
  ['torch.device', opaque('torch.device')],
  ['argparse.Namespace', opaque('argparse.Namespace')],
  ['numpy.dtype', opaque('numpy.dtype')],
  ['numpy.core.multiarray.scalar', opaque('numpy.scalar')],
  ['numpy._core.multiarray.scalar', opaque('numpy.scalar')],
  ['_codecs.encode', opaque('bytes')], // how protocol 2 writes bytes
  ...Object.keys(STORAGE_DTYPES).map((name) => [name, null] as const),
  ...INERT_NAMES.map((name) => [name, null] as const),
]);

/** Opaque objects that may be given a state, which is dropped. */
const BUILDABLE = new Set(['argparse.Namespace', 'numpy.dtype']);

/** Thrown inside the machine; `unpickle` adds the place. */
const broken = (problem: string): InstasegError => new InstasegError('ERR_CHECKPOINT', problem);

function unsafe(what: string): InstasegError {
  const shown = JSON.stringify(what.slice(0, 120)).slice(1, -1);
  return new InstasegError(
    'ERR_CHECKPOINT_UNSAFE',
    `the pickle asks for ${shown}, which could run code and is refused; nothing was executed. If the file is yours, ` +
      'save the weights alone: torch.save(model.state_dict(), path)',
  );
}

/** Containers are passed on, not copied: a pickle can ask for the same copy a million times. */
function toMap(value: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (value === undefined) return new Map();
  if (!(value instanceof Map)) throw broken('a dictionary is built from something that is not one');
  return value;
}

const isKind = <K extends 'storage' | 'tensor' | 'global' | 'opaque'>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { kind: K }> =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;

export const isTensor = (value: PickleValue | undefined): value is TensorRef => isKind(value, 'tensor');

/** _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, ...) */
function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]): TensorRef {
  if (!isKind(storage, 'storage')) throw broken('a tensor is built without a storage');
  if (!isIndex(offset) || !isShape(shape)) throw broken('a tensor has an invalid offset or shape');
  if (!Array.isArray(strides) || strides.length !== shape.length || !strides.every(isIndex)) {
    throw broken('a tensor has invalid strides');
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] as number), offset);
  if (elementCount(shape) > 0 && last >= storage.numel) {
    throw broken(`a tensor reaches element ${last} of storage "${storage.key}", which has ${storage.numel}`);
  }
  // Copied: what was a list in the pickle could still grow after this check.
  return { kind: 'tensor', storage, offset, shape: [...shape], strides: [...strides] };
}

const isIndex = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

/** Persistent ids of torch.save: ('storage', storage type, key, location, number of elements). */
function loadStorage(id: PickleValue): StorageRef {
  if (!Array.isArray(id) || id.length < 5 || id[0] !== 'storage') throw broken('a persistent id is not a storage');
  const [, type, key, , numel] = id;
  const dtype = isKind(type, 'global') ? STORAGE_DTYPES[type.name] : undefined;
  if (dtype === undefined || typeof key !== 'string' || !isIndex(numel)) throw broken('a storage is not well formed');
  return { kind: 'storage', dtype, key, numel };
}

/** One run of the pickle machine. */
interface Machine {
  readonly bytes: Buffer;
  at: number;
  stack: PickleValue[];
  /** Stacks set aside by MARK. */
  readonly marked: PickleValue[][];
  readonly memo: Map<number, PickleValue>;
}

function take(m: Machine, count: number): Buffer {
  const end = m.at + count;
  if (end > m.bytes.length) throw broken('the pickle is truncated');
  const taken = m.bytes.subarray(m.at, end);
  m.at = end;
  return taken;
}

const u8 = (m: Machine): number => take(m, 1).readUInt8();
const u16 = (m: Machine): number => take(m, 2).readUInt16LE();
const u32 = (m: Machine): number => take(m, 4).readUInt32LE();
const i32 = (m: Machine): number => take(m, 4).readInt32LE();
const u64 = (m: Machine): number => Number(take(m, 8).readBigUInt64LE());

function line(m: Machine): string {
  const end = m.bytes.indexOf(0x0a, m.at);
  if (end < 0) throw broken('the pickle is truncated');
  const text = decodeUtf8(take(m, end - m.at));
  m.at++;
  return text;
}

function pop(m: Machine): PickleValue {
  const value = m.stack.pop();
  if (value === undefined) throw broken('the pickle takes a value from an empty stack');
  return value;
}

function popMark(m: Machine): PickleValue[] {
  const items = m.stack;
  const below = m.marked.pop();
  if (below === undefined) throw broken('the pickle has no mark where it needs one');
  m.stack = below;
  return items;
}

function top(m: Machine): PickleValue {
  const value = m.stack.at(-1);
  if (value === undefined) throw broken('the pickle looks at an empty stack');
  return value;
}

function mark(m: Machine): void {
  if (m.marked.length >= MAX_DEPTH) throw broken(`the pickle nests deeper than ${MAX_DEPTH} levels`);
  m.marked.push(m.stack);
  m.stack = [];
}

function memoize(m: Machine, index: number): void {
  m.memo.set(index, top(m));
}

function recall(m: Machine, index: number): PickleValue {
  const value = m.memo.get(index);
  if (value === undefined) throw broken(`the pickle recalls value ${index}, which it never stored`);
  return value;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw broken('the pickle holds text that is not UTF-8');
  }
}

/** Two's complement, little-endian. */
function integer(bytes: Buffer): number | bigint {
  if (bytes.length > MAX_INTEGER_BYTES) throw broken(`the pickle holds an integer of ${bytes.length} bytes`);
  if (bytes.length === 0) return 0;
  const value = BigInt.asIntN(8 * bytes.length, BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`));
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function findGlobal(module: PickleValue, name: PickleValue): GlobalRef {
  if (typeof module !== 'string' || typeof name !== 'string') throw broken('the pickle names a global without text');
  // Protocol 2 uses the module names of Python 2.
  const full = `${module === '__builtin__' ? 'builtins' : module}.${name}`;
  if (!GLOBALS.has(full)) throw unsafe(`${module}.${name}`);
  return { kind: 'global', name: full };
}

function call(callee: PickleValue, args: PickleValue): PickleValue {
  const construct = isKind(callee, 'global') ? GLOBALS.get(callee.name) : undefined;
  if (!construct) throw unsafe(`a call of ${describe(callee)}`);
  if (!Array.isArray(args)) throw broken('the pickle calls with arguments that are not a tuple');
  return construct(args);
}

/** State set on an object is dropped: for an OrderedDict it is the `_metadata` of Module.state_dict(). */
function build(m: Machine): void {
  pop(m);
  const target = top(m);
  if (target instanceof Map || (isKind(target, 'opaque') && BUILDABLE.has(target.name))) return;
  throw unsafe(`setting the state of ${describe(target)}`);
}

function describe(value: PickleValue): string {
  if (isKind(value, 'global') || isKind(value, 'opaque')) return value.name;
  if (value instanceof Map) return 'a dictionary';
  return Array.isArray(value) ? 'a list' : isTensor(value) ? 'a tensor' : `a value of type ${typeof value}`;
}

function setItems(target: PickleValue, items: readonly PickleValue[]): void {
  if (!(target instanceof Map) || items.length % 2 !== 0) throw broken('the pickle sets items of no dictionary');
  for (let i = 0; i < items.length; i += 2) target.set(items[i] as PickleValue, items[i + 1] as PickleValue);
}

function append(target: PickleValue, items: readonly PickleValue[]): void {
  if (!Array.isArray(target)) throw broken('the pickle appends to no list');
  for (const item of items) target.push(item);
}

function add(target: PickleValue, items: readonly PickleValue[]): void {
  if (!(target instanceof Set)) throw broken('the pickle adds to no set');
  for (const item of items) target.add(item);
}

function popMany(m: Machine, count: number): PickleValue[] {
  if (m.stack.length < count) throw broken('the pickle takes a value from an empty stack');
  return m.stack.splice(m.stack.length - count, count);
}

function proto(m: Machine): void {
  const version = u8(m);
  if (version < 2 || version > 5) throw broken(`the pickle has protocol ${version}, expected 2 to 5`);
}

function frame(m: Machine): void {
  if (u64(m) > m.bytes.length - m.at) throw broken('the pickle is truncated');
}

/** INT: also how Python 2 wrote booleans ("00", "01") and 64-bit integers. */
function textInteger(m: Machine): PickleValue {
  const text = line(m);
  if (text === '00' || text === '01') return text === '01';
  if (!/^[+-]?\d{1,32}$/.test(text)) throw broken('the pickle holds an integer that is not one');
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

const push =
  (make: (m: Machine) => PickleValue) =>
  (m: Machine): void => {
    const value = make(m); // may exchange the stack
    m.stack.push(value);
  };

/** With a pair of operands, the right one is popped first. */
function pushFromTwo(combine: (a: PickleValue, b: PickleValue) => PickleValue): (m: Machine) => void {
  return push((m) => {
    const second = pop(m);
    return combine(pop(m), second);
  });
}

const refuse = (what: string) => (): never => {
  throw unsafe(what);
};

const latin1 = (bytes: Buffer): string => bytes.toString('latin1');

const OPCODES: Readonly<Record<number, (m: Machine) => void>> = {
  0x80: proto,
  0x95: frame,
  // constants and numbers
  0x4e: push(() => null), // NONE
  0x88: push(() => true), // NEWTRUE
  0x89: push(() => false), // NEWFALSE
  0x4b: push(u8), // BININT1
  0x4d: push(u16), // BININT2
  0x4a: push(i32), // BININT
  0x49: push(textInteger), // INT
  0x8a: push((m) => integer(take(m, u8(m)))), // LONG1
  0x8b: push((m) => integer(take(m, u32(m)))), // LONG4
  0x47: push((m) => take(m, 8).readDoubleBE()), // BINFLOAT
  // text and bytes; Python 2 strings are latin-1
  0x8c: push((m) => decodeUtf8(take(m, u8(m)))), // SHORT_BINUNICODE
  0x58: push((m) => decodeUtf8(take(m, u32(m)))), // BINUNICODE
  0x8d: push((m) => decodeUtf8(take(m, u64(m)))), // BINUNICODE8
  0x55: push((m) => latin1(take(m, u8(m)))), // SHORT_BINSTRING
  0x54: push((m) => latin1(take(m, u32(m)))), // BINSTRING
  0x43: push((m) => take(m, u8(m))), // SHORT_BINBYTES
  0x42: push((m) => take(m, u32(m))), // BINBYTES
  0x8e: push((m) => take(m, u64(m))), // BINBYTES8
  0x96: push((m) => take(m, u64(m))), // BYTEARRAY8
  // containers
  0x7d: push(() => new Map()), // EMPTY_DICT
  0x5d: push(() => []), // EMPTY_LIST
  0x29: push(() => []), // EMPTY_TUPLE
  0x8f: push(() => new Set<PickleValue>()), // EMPTY_SET
  0x85: push((m) => popMany(m, 1)), // TUPLE1
  0x86: push((m) => popMany(m, 2)), // TUPLE2
  0x87: push((m) => popMany(m, 3)), // TUPLE3
  0x74: push(popMark), // TUPLE
  0x6c: push(popMark), // LIST
  0x91: push((m) => new Set(popMark(m))), // FROZENSET
  0x64: (m) => {
    const items = popMark(m); // DICT
    m.stack.push(new Map());
    setItems(top(m), items);
  },
  0x73: (m) => {
    const pair = popMany(m, 2); // SETITEM
    setItems(top(m), pair);
  },
  0x75: (m) => {
    const items = popMark(m); // SETITEMS
    setItems(top(m), items);
  },
  0x61: (m) => {
    const item = pop(m); // APPEND
    append(top(m), [item]);
  },
  0x65: (m) => {
    const items = popMark(m); // APPENDS
    append(top(m), items);
  },
  0x90: (m) => {
    const items = popMark(m); // ADDITEMS
    add(top(m), items);
  },
  // the stack and the memo
  0x28: mark, // MARK
  0x30: (m) => void pop(m), // POP
  0x31: (m) => void popMark(m), // POP_MARK
  0x32: push(top), // DUP
  0x71: (m) => memoize(m, u8(m)), // BINPUT
  0x72: (m) => memoize(m, u32(m)), // LONG_BINPUT
  0x94: (m) => memoize(m, m.memo.size), // MEMOIZE
  0x68: push((m) => recall(m, u8(m))), // BINGET
  0x6a: push((m) => recall(m, u32(m))), // LONG_BINGET
  // objects
  0x63: push((m) => findGlobal(line(m), line(m))), // GLOBAL
  0x93: pushFromTwo(findGlobal), // STACK_GLOBAL
  0x52: pushFromTwo(call), // REDUCE
  0x81: pushFromTwo(call), // NEWOBJ
  0x62: build, // BUILD
  0x51: push((m) => loadStorage(pop(m))), // BINPERSID
  0x69: (m) => refuse(`an instance of ${findGlobal(line(m), line(m)).name}`)(), // INST
  0x6f: refuse('an instance built with OBJ'),
  0x92: refuse('an instance built with NEWOBJ_EX'),
  0x82: refuse('the copyreg extension registry'), // EXT1
  0x83: refuse('the copyreg extension registry'), // EXT2
  0x84: refuse('the copyreg extension registry'), // EXT4
};

const STOP = 0x2e;

/**
 * Reads one pickle from the start of `bytes`; `end` is where it stops. Throws ERR_CHECKPOINT_UNSAFE, by name, for any
 * global, call or state outside the fixed list that builds tensors and containers, and ERR_CHECKPOINT for damage. The
 * messages are to be prefixed with the file's path.
 */
export function unpickle(bytes: Buffer): { value: PickleValue; end: number } {
  const machine: Machine = { bytes, at: 0, stack: [], marked: [], memo: new Map() };
  for (let operations = 0; ; operations++) {
    const start = machine.at;
    try {
      if (operations > MAX_OPERATIONS) throw broken(`the pickle has more than ${MAX_OPERATIONS} operations`);
      const opcode = u8(machine);
      if (opcode === STOP) return { value: pop(machine), end: machine.at };
      const operation = OPCODES[opcode];
      if (!operation) throw broken(`the pickle has the unsupported opcode 0x${opcode.toString(16)}`);
      operation(machine);
    } catch (error) {
      if (!(error instanceof InstasegError)) throw error;
      throw new InstasegError(error.code, `${error.message} (pickle byte ${start})`);
    }
  }
}
