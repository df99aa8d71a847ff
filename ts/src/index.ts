/** instaseg's public API. Importing it loads nothing native; the addon is loaded on first use. */
export { InstasegError, type ErrorCode } from './runtime/errors.js';
export { Tensor, type DType } from './runtime/tensor.js';
export { Constant, SymbolicTensor, reshape, type InputSpec, type TensorLike } from './runtime/graph.js';
export { Plan, type ResultOf, type RunOptions, type StepInfo, type SymbolicResult } from './runtime/plan.js';
export {
  Device,
  listDevices,
  listKernels,
  type DeviceInfo,
  type DeviceName,
  type DeviceOptions,
  type MemoryStats,
} from './runtime/device.js';
export * as ops from './ops/index.js';
