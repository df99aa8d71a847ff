/** One sub-case of an operator family while it runs: reads what case.json gives, remembers what was used and compared. */
import type { Device, Recorded, ResultOf, Tensor } from '../../src/index.js';
import type { GoldenTensor, GoldenTensors, SubCase } from './case-files.js';
import { compareShapes, compareValues, failed, type Comparison, type Tolerance } from './compare.js';
import { toNchw, toNhwc, toTensor } from './layout.js';

/** Named values of which each has to be read: an unknown one would change the result in silence. */
export class Fields {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  /** The value, null where it is absent. */
  any(name: string): unknown {
    this.#read.add(name);
    return this.#values[name] ?? null;
  }

  number(name: string): number {
    return this.#require(name, 'a number', (value) => typeof value === 'number') as number;
  }

  flag(name: string): boolean {
    return this.#require(name, 'true or false', (value) => typeof value === 'boolean') as boolean;
  }

  /** A number for both axes or one for each. */
  pair(name: string): number | [number, number] {
    return this.#require(name, 'a number or two', (value) => typeof value === 'number' || isPair(value)) as number;
  }

  /** Two numbers. */
  two(name: string): [number, number] {
    return this.#require(name, 'two numbers', isPair) as [number, number];
  }

  choice<T extends string>(name: string, ...choices: readonly T[]): T {
    return this.#require(name, choices.join(' or '), (value) => choices.includes(value as T)) as T;
  }

  /** Fails unless the value is this one. */
  only(name: string, value: unknown): void {
    this.#require(name, String(value), (actual) => actual === value);
  }

  has(name: string): boolean {
    return (this.#values[name] ?? null) !== null;
  }

  get unread(): string[] {
    return Object.keys(this.#values).filter((name) => !this.#read.has(name));
  }

  #require(name: string, what: string, test: (value: unknown) => boolean): unknown {
    const value = this.any(name);
    if (!test(value)) throw new Error(`"${name}" is ${JSON.stringify(value)}; this runner knows ${what}`);
    return value;
  }
}

function isPair(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && value.every((item) => typeof item === 'number');
}

export class OpCase {
  readonly params: Fields;
  readonly comparisons: Comparison[] = [];
  /** What the report says about the sub-case. */
  note: string | undefined;
  readonly #inputs: Fields;
  readonly #outputs: Fields;

  constructor(
    readonly device: Device,
    readonly tolerance: Tolerance,
    private readonly subCase: SubCase,
    private readonly tensors: GoldenTensors,
  ) {
    this.params = new Fields(subCase.params);
    this.#inputs = new Fields(subCase.inputs);
    this.#outputs = new Fields(subCase.outputs);
  }

  run<R>(body: () => R & Recorded<R>): Promise<ResultOf<R>> {
    return this.device.run(body);
  }

  get inputNames(): string[] {
    return Object.keys(this.subCase.inputs);
  }

  get outputNames(): string[] {
    return Object.keys(this.subCase.outputs);
  }

  golden(name: string): GoldenTensor {
    return this.#tensor(this.#inputs, name);
  }

  input(name: string): Tensor {
    return toTensor(this.golden(name));
  }

  optional(name: string): Tensor | undefined {
    return this.#inputs.has(name) ? this.input(name) : undefined;
  }

  /** An NCHW input as NHWC. */
  image(name: string): Tensor {
    return toNhwc(this.golden(name));
  }

  /**
   * Whether the tensor of this input is the output of that name: the first recipe of YOLACT's functions wrote both under
   * one key, so that the input is not in the case.
   */
  isOverwritten(name: string): boolean {
    return this.subCase.inputs[name] !== undefined && this.subCase.inputs[name] === this.subCase.outputs[name];
  }

  expected(name: string): GoldenTensor {
    return this.#tensor(this.#outputs, name);
  }

  has(output: string): boolean {
    return this.#outputs.has(output);
  }

  /** Compares with the output of that name, shapes included. */
  compare(output: string, actual: { shape: readonly number[]; data: ArrayLike<number> }, tolerance?: Tolerance): void {
    const expected = this.expected(output);
    this.comparisons.push(
      compareShapes(actual.shape, expected.shape) ??
        compareValues(actual.data, expected.data, tolerance ?? this.tolerance),
    );
  }

  /** Compares our NHWC tensor with the NCHW output of that name. */
  compareImage(output: string, actual: Tensor, tolerance?: Tolerance): void {
    this.compare(output, toNchw(actual), tolerance);
  }

  /** Everything in the sub-case has to be used; anything else is a case that this runner does not know. */
  finish(): Comparison[] {
    const unread = [this.params, this.#inputs, this.#outputs].flatMap((fields) => fields.unread);
    if (unread.length > 0) this.comparisons.push(failed(`this runner does not know ${unread.join(', ')}`));
    if (this.comparisons.length === 0) this.comparisons.push(failed('nothing was compared'));
    return this.comparisons;
  }

  #tensor(fields: Fields, name: string): GoldenTensor {
    const key = fields.any(name);
    const tensor = typeof key === 'string' ? this.tensors.get(key) : undefined;
    if (!tensor) throw new Error(`the case has no tensor "${name}"`);
    return tensor;
  }
}
