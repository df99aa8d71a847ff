/** Weights of a network in a device's memory, addressed by their checkpoint names. */
import type { Device } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import type { Constant } from '../runtime/graph.js';
import type { LoadedCheckpoint, LoadedTensor } from '../weights/load.js';

/** Read access below a name prefix: `scope('backbone.body').get('conv1.weight')`. */
export class Parameters {
  readonly #constants: ReadonlyMap<string, Constant>;
  readonly #prefix: string;
  readonly #rename: (name: string) => string;

  constructor(constants: ReadonlyMap<string, Constant>, prefix = '', rename = (name: string): string => name) {
    this.#constants = constants;
    this.#prefix = prefix;
    this.#rename = rename;
  }

  scope(name: string): Parameters {
    return new Parameters(this.#constants, `${this.#prefix}${name}.`, this.#rename);
  }

  /** The same weights for layers that know them by other names: `rename` gives the checkpoint's. */
  renamed(rename: (name: string) => string): Parameters {
    return new Parameters(this.#constants, this.#prefix, (name) => this.#rename(rename(name)));
  }

  has(name: string): boolean {
    return this.find(name) !== undefined;
  }

  /** @throws InstasegError ERR_WEIGHTS where there is no such tensor */
  get(name: string): Constant {
    const constant = this.find(name);
    if (constant) return constant;
    throw new InstasegError('ERR_WEIGHTS', `the weights have no tensor "${this.#rename(this.#prefix + name)}"`);
  }

  find(name: string): Constant | undefined {
    return this.#constants.get(this.#rename(this.#prefix + name));
  }

  /** Frees the memory of all of them (of every scope). */
  dispose(): void {
    for (const constant of this.#constants.values()) constant.dispose();
  }
}

async function toConstant(device: Device, { info, read }: LoadedTensor): Promise<Constant> {
  const constant = device.constant('f32', info.shape, info.name);
  const elements = info.shape.reduce((product, dim) => product * dim, 1);
  let offset = 0;
  let bytes = 0;
  const all = elements === 0 ? 1 : byteSize(info.dtype);
  for await (const chunk of read()) {
    constant.write(offset, info.dtype, chunk);
    bytes += chunk.byteLength;
    offset = bytes / all;
  }
  return constant;
}

function byteSize(dtype: string): number {
  return { f64: 8, i64: 8, f32: 4, i32: 4, f16: 2, bf16: 2, i16: 2, i8: 1, u8: 1, bool: 1 }[dtype] ?? 4;
}

/** Streams a checkpoint's tensors into the device's memory, widened to f32, in pieces of a few megabytes. */
export async function loadParameters(
  device: Device,
  checkpoint: LoadedCheckpoint,
  signal?: AbortSignal,
): Promise<Parameters> {
  const constants = new Map<string, Constant>();
  try {
    for (const [name, tensor] of checkpoint.tensors) {
      signal?.throwIfAborted();
      constants.set(name, await toConstant(device, tensor));
    }
  } catch (error) {
    new Parameters(constants).dispose();
    throw error;
  }
  return new Parameters(constants);
}
