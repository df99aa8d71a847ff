import { type ArrayContent, isKind, type PickleValue, type TensorRef } from './pickle-values.js';
import type { SourceFile } from './source-file.js';
import { type CheckpointDType, checkpointError, type TensorInfo } from './tensor-info.js';

// What a pickled checkpoint holds under which names.

/** Dictionaries inside dictionaries. */
const MAX_NESTING = 64;
/** Entries visited in all: a few shared dictionaries can stand for billions of paths. */
const MAX_VISITS = 4_000_000;
/** Characters of all names: a few long keys can stand for many longer names. */
const MAX_NAME_CHARACTERS = 64 * 1024 * 1024;

/** Keys under which training scripts keep the model's state dict. */
const WRAPPERS = ['model', 'state_dict', 'model_state_dict'];

/** A tensor or an array, and where its elements are. */
export interface NamedTensor extends TensorInfo {
  readonly strides: readonly number[];
  readonly ref: TensorRef | ArrayContent;
}

export interface NamedTensors {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  /** See `Checkpoint.stateDictPrefix`. */
  readonly stateDictPrefix: string;
}

/**
 * All tensors and arrays below dictionaries, names joined with "/". Those inside lists have no name and are left out, as
 * are arrays of element types that no weights have.
 */
export function nameTensors(file: SourceFile, root: PickleValue): NamedTensors {
  const tensors = new Map<string, NamedTensor>();
  let visits = 0;
  let characters = 0;
  const visit = (dict: ReadonlyMap<PickleValue, PickleValue>, prefix: string, depth: number): void => {
    if (depth > MAX_NESTING) throw checkpointError(file.path, `nests dictionaries deeper than ${MAX_NESTING} levels`);
    for (const [key, value] of dict) {
      if (++visits > MAX_VISITS) throw checkpointError(file.path, `holds more than ${MAX_VISITS} values`);
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') continue;
      const name = `${prefix}${key}`;
      if (value instanceof Map) visit(value, `${name}/`, depth + 1);
      const found = describeValue(file, name, value);
      if (!found) continue;
      if (tensors.has(name)) throw checkpointError(file.path, `has two tensors called "${name}"`);
      characters += name.length;
      if (characters > MAX_NAME_CHARACTERS) {
        throw checkpointError(file.path, `has names of more than ${MAX_NAME_CHARACTERS} characters`);
      }
      tensors.set(name, { name, ...found });
    }
  };
  if (root instanceof Map) visit(root, '', 0);
  if (tensors.size === 0) {
    throw checkpointError(file.path, 'holds no named tensors: save a state dict, torch.save(model.state_dict(), path)');
  }
  return { tensors, stateDictPrefix: findStateDict(root, [...tensors.keys()]) };
}

function describeValue(file: SourceFile, name: string, value: PickleValue): Omit<NamedTensor, 'name'> | undefined {
  if (isKind(value, 'tensor')) return describeRef(value.storage.dtype, value);
  if (!isKind(value, 'array')) return undefined;
  if (!value.content) throw checkpointError(file.path, `array "${name}" has no data`);
  return value.content.dtype && describeRef(value.content.dtype, value.content);
}

const describeRef = (dtype: CheckpointDType, ref: NamedTensor['ref']): Omit<NamedTensor, 'name'> => ({
  ...{ dtype, ref, shape: ref.shape, strides: ref.strides },
});

/**
 * The prefix of the model's own tensors. A state dict holds no dictionaries, so one that holds tensors under a wrapper's
 * key is the wrapped one, whatever lies beside it.
 */
function findStateDict(dict: PickleValue, names: readonly string[], prefix = ''): string {
  if (!(dict instanceof Map)) return prefix;
  const inside = (key: string): string[] => names.filter((name) => name.startsWith(`${prefix}${key}/`));
  const wrapper = WRAPPERS.find((key) => dict.get(key) instanceof Map && inside(key).length > 0);
  if (wrapper === undefined) return prefix;
  return findStateDict(dict.get(wrapper) as PickleValue, inside(wrapper), `${prefix}${wrapper}/`);
}
