import type { TensorInfo } from '../tensor-info.js';

// Names and shapes of a model's tensors: read out of a file, and listed for a configuration. Shapes are PyTorch's:
// [out, in, height, width].

/** The tensors of a file, by name. */
export type Shapes = ReadonlyMap<string, Pick<TensorInfo, 'shape'>>;

/** The tensors of a file under their canonical names; those that `names` leaves out are left out. */
export function renamed(tensors: Shapes, names: ReadonlyMap<string, string>): Shapes {
  return new Map([...names].map(([original, name]) => [name, tensors.get(original) as Pick<TensorInfo, 'shape'>]));
}

/** A dimension of a tensor; 1, which no check lets pass, where the tensor is missing. */
export const size = (shapes: Shapes, name: string, axis: number): number => shapes.get(name)?.shape[axis] ?? 1;

/** How many of the names `name(0)`, `name(1)`, ... there are. */
export function countNames(shapes: Shapes, name: (index: number) => string): number {
  let index = 0;
  while (shapes.has(name(index))) index++;
  return index;
}

/** Names and shapes of the tensors of a model, in the order in which its layers are added. */
export class TensorList {
  readonly shapes = new Map<string, number[]>();

  /** A weight and a bias. */
  layer(name: string, shape: number[], outputs = shape[0] as number): void {
    this.shapes.set(`${name}.weight`, shape);
    this.shapes.set(`${name}.bias`, [outputs]);
  }

  /** A weight without a bias, and the batch normalisation after it. */
  normed(conv: string, norm: string, shape: number[]): void {
    this.shapes.set(`${conv}.weight`, shape);
    this.batchNorm(norm, shape[0] as number);
  }

  batchNorm(name: string, width: number): void {
    for (const leaf of ['weight', 'bias', 'running_mean', 'running_var']) this.shapes.set(`${name}.${leaf}`, [width]);
  }
}
