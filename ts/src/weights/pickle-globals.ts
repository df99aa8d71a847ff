import { arrayFromBuffer, encode, makeDType, reconstructArray, setArrayState, setDTypeState } from './pickle-numpy.js';
import { rebuildTensor, STORAGE_DTYPES } from './pickle-torch.js';
import { broken, type GlobalRef, isKind, type PickleValue, unsafe } from './pickle-values.js';

// All that a pickle may name, and what it makes of it. Nothing is ever executed: a global is a name, and the few names
// of this table build plain JavaScript values.

type Construct = (args: readonly PickleValue[]) => PickleValue;

/** Values without contents that training checkpoints hold beside their tensors. */
const INERT_NAMES = [
  ...['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool'].map(
    (x) => `torch.${x}`,
  ),
  ...['list', 'dict', 'tuple', 'int', 'float', 'bool', 'str'].map((x) => `builtins.${x}`),
];

const opaque = (name: string) => (): PickleValue => ({ kind: 'opaque', name });

/** `null`: it may be mentioned, not called. */
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
  ['builtins.bytes', emptyBytes], // protocol 2 again; others than empty ones are encoded text
  ['_codecs.encode', encode],
  ['torch.Size', ([items = null]) => items],
  ['torch.device', opaque('torch.device')],
  ['argparse.Namespace', opaque('argparse.Namespace')],
  ['numpy.dtype', makeDType],
  ['numpy.ndarray', null],
  // NumPy 1 and 2
  ...['numpy.core', 'numpy._core'].flatMap((core): [string, Construct][] => [
    [`${core}.multiarray._reconstruct`, reconstructArray],
    [`${core}.multiarray.scalar`, opaque('numpy.scalar')],
    [`${core}.numeric._frombuffer`, arrayFromBuffer],
  ]),
  ...Object.keys(STORAGE_DTYPES).map((name) => [name, null] as const),
  ...INERT_NAMES.map((name) => [name, null] as const),
]);

/** Containers are passed on, not copied: a pickle can ask for the same copy a million times. */
function toMap(value: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (value === undefined) return new Map();
  if (!(value instanceof Map)) throw broken('a dictionary is built from something that is not one');
  return value;
}

function emptyBytes(args: readonly PickleValue[]): PickleValue {
  if (args.length > 0) throw broken('bytes are built from something that is not text');
  return new Uint8Array();
}

export function findGlobal(module: PickleValue, name: PickleValue): GlobalRef {
  if (typeof module !== 'string' || typeof name !== 'string') throw broken('the pickle names a global without text');
  // Protocol 2 uses the module names of Python 2.
  const full = `${module === '__builtin__' ? 'builtins' : module}.${name}`;
  if (!GLOBALS.has(full)) throw unsafe(`${module}.${name}`);
  return { kind: 'global', name: full };
}

export function callGlobal(callee: PickleValue, args: PickleValue): PickleValue {
  const construct = isKind(callee, 'global') ? GLOBALS.get(callee.name) : undefined;
  if (!construct) throw unsafe(`a call of ${describe(callee)}`);
  if (!Array.isArray(args)) throw broken('the pickle calls with arguments that are not a tuple');
  return construct(args);
}

/**
 * Sets the state of an object. That of a dictionary or a namespace is dropped: for an OrderedDict it is the `_metadata`
 * of Module.state_dict().
 */
export function setState(target: PickleValue, state: PickleValue): void {
  if (isKind(target, 'array')) setArrayState(target, state);
  else if (isKind(target, 'dtype')) setDTypeState(target, state);
  else if (!(target instanceof Map) && !(isKind(target, 'opaque') && target.name === 'argparse.Namespace')) {
    throw unsafe(`setting the state of ${describe(target)}`);
  }
}

function describe(value: PickleValue): string {
  if (isKind(value, 'global') || isKind(value, 'opaque')) return value.name;
  if (value instanceof Map) return 'a dictionary';
  if (isKind(value, 'tensor') || isKind(value, 'array')) return `a${value.kind === 'array' ? 'n' : ''} ${value.kind}`;
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}
