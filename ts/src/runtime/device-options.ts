/** Checks of the options of devices and plans. */
import type { CompileOptions, DeviceOptions } from './device.js';
import { callback, flag, integer, oneOf, optional, abortSignal, text, type OptionChecks } from './options.js';
import type { RunOptions, RunProfile } from './plan.js';

export const DEVICE_OPTIONS = {
  threads: optional(integer(1, 1024)),
  isa: optional(oneOf('baseline', 'avx2', 'avx512')),
  variant: optional(text),
  memoryLimit: optional(integer(1)),
} satisfies OptionChecks<DeviceOptions>;

export const COMPILE_OPTIONS = { variant: optional(text) } satisfies OptionChecks<CompileOptions>;

export const RUN_OPTIONS = {
  signal: abortSignal,
  profile: optional(flag),
  onProfile: optional(callback<[RunProfile]>),
} satisfies OptionChecks<RunOptions>;
