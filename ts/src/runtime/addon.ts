/**
 * The native addon, and the types of its whole surface. Nothing else in the package touches the addon directly.
 */
import { types } from 'node:util';
import { loadAddonFile, type AddonFile, type BundledAddon } from './addon-file.js';
import { callerOf } from './caller.js';
import { InstasegError, type ErrorCode } from './errors.js';
import type { DType } from './tensor.js';

export type Attributes = Readonly<Record<string, number | boolean | string | readonly number[] | undefined>>;

export type NativeData = Float32Array | Int32Array | Uint8Array | Uint8ClampedArray | Uint16Array;

export interface NativeTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: NativeData;
}

export interface NativeDevice {
  /** Opens an accelerator; the CPU needs no opening. */
  open(): Promise<void>;
  info(): { threads: number; isa: string };
  memory(): { inUse: number; cached: number; peak: number };
  trim(): void;
  /** Cancels what runs and joins the device's thread. */
  stop(): void;
}

export interface NativeConstant {
  write(offset: number, sourceDType: string, data: Uint8Array): void;
  release(): void;
}

export interface NativeValue {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface NativeGraph {
  input(dtype: DType, shape: readonly number[]): number;
  constant(constant: NativeConstant): number;
  node(op: string, attributes: Attributes, inputs: readonly number[], label?: string): NativeValue[];
  compile(device: NativeDevice, outputs: readonly number[], variant: string | undefined): Promise<NativePlan>;
}

export interface PlanStep {
  readonly op: string;
  /** The kernel that was chosen. */
  readonly variant: string;
  /** The layer whose weights it has, by its name in the checkpoint. */
  readonly label?: string;
  /** Whether it works on counted rows: it then does less than `flops` and `bytes` say where fewer are valid. */
  readonly counted: boolean;
  readonly flops: number;
  /** Inputs and outputs, weights included. */
  readonly bytes: number;
  readonly output: readonly number[];
}

/** Milliseconds of one run, as the device's thread saw it. */
export interface NativeProfile {
  /** Of each step. */
  readonly milliseconds: readonly number[];
  /** Behind other runs. */
  readonly queued: number;
  /** From its begin to its end: the steps and what is around them. */
  readonly running: number;
}

export interface NativePlan {
  run(
    inputs: readonly NativeTensor[],
    profile: boolean,
  ): { promise: Promise<{ outputs: NativeTensor[]; profile?: NativeProfile }>; cancel(): void };
  describe(): { arenaBytes: number; planBytes: number; steps: PlanStep[] };
  release(): void;
}

/** One kernel variant of this build: what it computes, on what, and what it needs. */
export interface KernelRow {
  readonly op: string;
  readonly device: 'cpu' | 'cuda';
  readonly dtype: DType;
  readonly variant: string;
  readonly isa: 'baseline' | 'avx2' | 'avx512';
  /** Of CUDA kernels: the least that they need, 10 * major + minor; 0 where any will do. */
  readonly computeCapability: number;
  readonly rank: number;
}

/** The kind of device that a build has beside the CPU. */
export interface NativeAccelerator {
  readonly name: 'cuda' | 'cuda-emulated';
  readonly description: string;
  /** Why no device can be used at all. */
  readonly reason?: string;
  readonly devices: readonly {
    readonly index: number;
    readonly name: string;
    readonly uuid: string;
    readonly computeCapability: number;
    readonly memory: number;
    readonly l2Cache: number;
    readonly reason?: string;
  }[];
}

export interface NativeAddon {
  /** Of the package that it was compiled from. */
  readonly version: string;
  Device: new (options: {
    kind: 'cpu' | 'cuda';
    index?: number;
    threads?: number;
    isa?: string;
    variant?: string;
    memoryLimit?: number;
  }) => NativeDevice;
  Constant: new (device: NativeDevice, dtype: DType, shape: readonly number[]) => NativeConstant;
  Graph: new () => NativeGraph;
  cpuInfo(): { isa: KernelRow['isa']; threads: number };
  accelerator(): NativeAccelerator | null;
  kernels(): KernelRow[];
}

let bundled: BundledAddon | undefined;
let loaded: (AddonFile & { readonly exports: NativeAddon }) | undefined;

/** For the entries of single platforms: how to load the addon, in the place of looking for its file. */
export function provideAddon(provided: BundledAddon): void {
  bundled = provided;
}

/** The addon and where it came from, loaded on first use, so that importing the package does nothing. */
export function addonFile(): AddonFile & { readonly exports: NativeAddon } {
  loaded ??= loadAddonFile(bundled) as AddonFile & { readonly exports: NativeAddon };
  return loaded;
}

/** The addon. Throws ERR_ADDON. */
export function addon(): NativeAddon {
  return addonFile().exports;
}

/** An error of native code as InstasegError; its stack is that of `at`, the public function that was called. */
export function fromNative(error: unknown, at?: (...args: never[]) => unknown): unknown {
  // Not instanceof Error: in Jest the addon's errors are of another realm than this code's.
  if (!types.isNativeError(error) || error instanceof InstasegError || !('code' in error)) return error;
  const wrapped = new InstasegError(error.code as ErrorCode, error.message);
  if (at) Error.captureStackTrace(wrapped, at);
  return wrapped;
}

/** Calls into native code, turning its errors into InstasegError. */
export function callNative<T>(call: () => T, at?: (...args: never[]) => unknown): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error, at);
  }
}

/** Awaits native work begun by the public function `at`. Its errors become InstasegError with the caller's stack. */
export async function awaitNative<T>(work: Promise<T>, at: (...args: never[]) => unknown): Promise<T> {
  const caller = callerOf(at);
  try {
    return await work;
  } catch (error) {
    const wrapped = fromNative(error);
    if (wrapped instanceof InstasegError) wrapped.stack = `${wrapped.name}: ${wrapped.message}${caller.frames}`;
    throw wrapped;
  }
}
