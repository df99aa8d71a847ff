import { InstasegError } from '../runtime/errors.js';
import type { CheckpointDType } from './tensor-info.js';

// What reading a pickle gives. Nothing here holds the data of a tensor: those stay in the file.

/** A storage named by a pickle: `numel` elements of `dtype`, kept outside the pickle under `key`. */
export interface StorageRef {
  readonly kind: 'storage';
  readonly dtype: CheckpointDType;
  readonly key: string;
  readonly numel: number;
  /** What old legacy files name instead of the whole storage: `numel` elements from `offset`. */
  readonly view?: { readonly offset: number; readonly numel: number };
}

/** A view of a storage; `offset` and `strides` count elements of the whole storage. Always inside it. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/**
 * Text or bytes too long to be kept: where they lie in the source of the pickle. `bytes` are themselves, and so is the
 * text of Python 2 (`latin1`); `utf8` is text; `encoded` is UTF-8 text whose characters stand for bytes.
 */
export interface LongRef {
  readonly kind: 'long';
  readonly start: number;
  readonly length: number;
  readonly form: 'bytes' | 'latin1' | 'utf8' | 'encoded';
}

/** A NumPy element type; its `order` is set by a state of its own. */
export interface DTypeRef {
  readonly kind: 'dtype';
  /** Kind and bytes of an element: "f4". */
  readonly code: string;
  order: string;
}

/** What an array holds; the strides count elements, and the data are exactly its elements. */
export interface ArrayContent {
  /** `undefined` for a type that no weights have: complex numbers, strings, dates. */
  readonly dtype: CheckpointDType | undefined;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly data: Uint8Array | LongRef;
}

/** A NumPy array, empty until its state is set. */
export interface ArrayRef {
  readonly kind: 'array';
  content: ArrayContent | undefined;
}

/** A global of the allow-list that was named but not called. */
export interface GlobalRef {
  readonly kind: 'global';
  readonly name: string;
}

/** An allowed object whose contents say nothing about tensors: a device, a namespace of training arguments. */
export interface OpaqueRef {
  readonly kind: 'opaque';
  readonly name: string;
}

type Ref = StorageRef | TensorRef | LongRef | DTypeRef | ArrayRef | GlobalRef | OpaqueRef;

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
  | Ref;

export const isKind = <K extends Ref['kind']>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<Ref, { kind: K }> =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;

/** A safe integer from 0. */
export const isIndex = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

/** Thrown inside the machine; `unpickle` adds the place. */
export const broken = (problem: string): InstasegError => new InstasegError('ERR_CHECKPOINT', problem);

export function unsafe(what: string): InstasegError {
  const shown = JSON.stringify(what.slice(0, 120)).slice(1, -1);
  return new InstasegError(
    'ERR_CHECKPOINT_UNSAFE',
    `the pickle asks for ${shown}, which could run code and is refused; nothing was executed. If the file is yours, ` +
      'save the weights alone: torch.save(model.state_dict(), path)',
  );
}
