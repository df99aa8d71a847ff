import { InstasegError } from '../runtime/errors.js';
import { callGlobal, findGlobal, setState } from './pickle-globals.js';
import { loadStorage } from './pickle-torch.js';
import { broken, type LongRef, type PickleValue, type StorageRef, unsafe } from './pickle-values.js';
import type { SourceFile } from './source-file.js';
import { inFile } from './tensor-info.js';

// The pickle format of protocols 2 to 5 (opcodes as documented in CPython's Lib/pickletools.py). What a pickle may name
// is in pickle-globals.ts.

/** Nested marks; PyTorch's own files stay below 20. */
const MAX_DEPTH = 512;
/**
 * Opcodes; a tensor takes about 40. One can make a container of some 200 bytes, so this bounds the memory of the stack,
 * the memo and all values.
 */
const MAX_OPERATIONS = 4_000_000;
/** Bytes of one integer: 2048 bits. */
const MAX_INTEGER_BYTES = 256;
/** Text and bytes beyond this many bytes are left where they are: names are shorter, data mostly longer. */
const MAX_KEPT_BYTES = 512;
/** All text and bytes that are kept. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
/** Bytes of a line: a number, or the name of a module or global. */
const MAX_LINE_BYTES = 4096;
/** Read from a file at a time: a few milliseconds of work, and more than any operation takes. */
const WINDOW_BYTES = 64 * 1024;

/** One run of the pickle machine. */
interface Machine {
  /** Where the source ends. */
  readonly end: number;
  /** The part of the source that is at hand, and where it starts. */
  window: Buffer;
  base: number;
  /** Counts from the start of the source, as all places do. */
  at: number;
  operations: number;
  /** Bytes of text and bytes that are kept. */
  kept: number;
  stack: PickleValue[];
  /** Stacks set aside by MARK. */
  readonly marked: PickleValue[][];
  readonly memo: Map<number, PickleValue>;
  readonly storages: Map<string, StorageRef>;
}

/** Thrown by an operation that needs what lies beyond the window, before it has changed anything but `at`. */
const BEYOND_WINDOW = Symbol('beyond the window');

function take(m: Machine, count: number): Buffer {
  const end = m.at + count;
  if (end > m.end) throw broken('the pickle is truncated');
  if (end > m.base + m.window.length) throw BEYOND_WINDOW;
  const taken = m.window.subarray(m.at - m.base, end - m.base);
  m.at = end;
  return taken;
}

const u8 = (m: Machine): number => take(m, 1).readUInt8();
const u16 = (m: Machine): number => take(m, 2).readUInt16LE();
const u32 = (m: Machine): number => take(m, 4).readUInt32LE();
const i32 = (m: Machine): number => take(m, 4).readInt32LE();
const u64 = (m: Machine): number => Number(take(m, 8).readBigUInt64LE());

function line(m: Machine): string {
  const from = m.at - m.base;
  const length = m.window.subarray(from, from + MAX_LINE_BYTES).indexOf(0x0a);
  if (length < 0) {
    if (m.window.length - from >= MAX_LINE_BYTES) throw broken('the pickle has a line without end');
    throw m.base + m.window.length < m.end ? BEYOND_WINDOW : broken('the pickle is truncated');
  }
  const text = decodeUtf8(take(m, length));
  m.at++;
  return text;
}

/** Text or bytes: kept if they are short, skipped otherwise. */
function content<T>(m: Machine, length: number, form: LongRef['form'], keep: (bytes: Buffer) => T): T | LongRef {
  if (length <= MAX_KEPT_BYTES) {
    const bytes = take(m, length);
    m.kept += length;
    if (m.kept > MAX_TOTAL_BYTES) throw broken(`the pickle holds more than ${MAX_TOTAL_BYTES} bytes of text`);
    return keep(bytes);
  }
  const start = m.at;
  if (start + length > m.end) throw broken('the pickle is truncated');
  m.at += length;
  return { kind: 'long', start, length, form };
}

const unicode = (m: Machine, length: number): PickleValue => content(m, length, 'utf8', decodeUtf8);
/** Of Python 2. */
const string = (m: Machine, length: number): PickleValue =>
  content(m, length, 'latin1', (bytes) => bytes.toString('latin1'));
/** Copied: a part would keep the whole window in memory. */
const bytes = (m: Machine, length: number): PickleValue => content(m, length, 'bytes', (part) => Buffer.from(part));

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
function integer(m: Machine, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES) throw broken(`the pickle holds an integer of ${length} bytes`);
  const digits = take(m, length);
  if (length === 0) return 0;
  const value = BigInt.asIntN(8 * length, BigInt(`0x${Buffer.from(digits).reverse().toString('hex')}`));
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
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
  if (u64(m) > m.end - m.at) throw broken('the pickle is truncated');
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
  0x8a: push((m) => integer(m, u8(m))), // LONG1
  0x8b: push((m) => integer(m, u32(m))), // LONG4
  0x47: push((m) => take(m, 8).readDoubleBE()), // BINFLOAT
  // text and bytes; Python 2 strings are latin-1
  0x8c: push((m) => unicode(m, u8(m))), // SHORT_BINUNICODE
  0x58: push((m) => unicode(m, u32(m))), // BINUNICODE
  0x8d: push((m) => unicode(m, u64(m))), // BINUNICODE8
  0x55: push((m) => string(m, u8(m))), // SHORT_BINSTRING
  0x54: push((m) => string(m, u32(m))), // BINSTRING
  0x43: push((m) => bytes(m, u8(m))), // SHORT_BINBYTES
  0x42: push((m) => bytes(m, u32(m))), // BINBYTES
  0x8e: push((m) => bytes(m, u64(m))), // BINBYTES8
  0x96: push((m) => bytes(m, u64(m))), // BYTEARRAY8
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
  0x52: pushFromTwo(callGlobal), // REDUCE
  0x81: pushFromTwo(callGlobal), // NEWOBJ
  0x62: (m) => {
    const state = pop(m); // BUILD
    setState(top(m), state);
  },
  0x51: push((m) => loadStorage(pop(m), m.storages)), // BINPERSID
  0x69: (m) => refuse(`an instance of ${findGlobal(line(m), line(m)).name}`)(), // INST
  0x6f: refuse('an instance built with OBJ'),
  0x92: refuse('an instance built with NEWOBJ_EX'),
  0x82: refuse('the copyreg extension registry'), // EXT1
  0x83: refuse('the copyreg extension registry'), // EXT2
  0x84: refuse('the copyreg extension registry'), // EXT4
};

const STOP = 0x2e;

/** What a pickle holds. */
export interface Unpickled {
  readonly value: PickleValue;
  /** Just after its STOP. */
  readonly end: number;
  /** Every storage that it names, by key. */
  readonly storages: ReadonlyMap<string, StorageRef>;
}

/**
 * Reads one pickle from the start of `source`. Throws ERR_CHECKPOINT_UNSAFE, by name, for any global, call or state
 * outside the fixed list that builds tensors, arrays and containers, and ERR_CHECKPOINT for damage. The messages are to
 * be prefixed with the file's path.
 */
export function unpickle(source: Buffer): Unpickled {
  return run(makeMachine(source, 0, source.length)) as Unpickled; // there is nothing beyond this window
}

/**
 * Reads one pickle of a file, from `start`. Only structure and names are held in memory, and the places of what is long.
 * Rejects as `unpickle` does, with the path in front.
 */
export async function unpickleFile(file: SourceFile, start: number): Promise<Unpickled> {
  const machine = makeMachine(Buffer.alloc(0), start, file.size);
  for (;;) {
    const done = inFile(file.path, () => run(machine));
    if (done) return done;
    machine.window = await file.bytes(machine.at, Math.min(machine.at + WINDOW_BYTES, file.size));
    machine.base = machine.at;
  }
}

const makeMachine = (window: Buffer, base: number, end: number): Machine => ({
  ...{ window, base, end, at: base, kept: 0, operations: 0 },
  ...{ stack: [], marked: [], memo: new Map(), storages: new Map() },
});

/** Runs until the pickle ends, or until what the next operation needs lies beyond the window. */
function run(machine: Machine): Unpickled | undefined {
  for (;;) {
    const start = machine.at;
    try {
      if (machine.operations > MAX_OPERATIONS) throw broken(`the pickle has more than ${MAX_OPERATIONS} operations`);
      const opcode = u8(machine);
      if (opcode === STOP) return { value: pop(machine), end: machine.at, storages: machine.storages };
      const operation = OPCODES[opcode];
      if (!operation) throw broken(`the pickle has the unsupported opcode 0x${opcode.toString(16)}`);
      operation(machine);
      machine.operations++;
    } catch (error) {
      if (error === BEYOND_WINDOW) {
        machine.at = start;
        return undefined;
      }
      if (!(error instanceof InstasegError)) throw error;
      throw new InstasegError(error.code, `${error.message} (pickle byte ${start})`);
    }
  }
}
