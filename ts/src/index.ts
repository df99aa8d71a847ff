/** instaseg's public API. Importing it loads nothing native; the addon is loaded on first use. */
export { InstasegError, type ErrorCode } from './runtime/errors.js';
export { version } from './runtime/version.js';

// Models.
export { load, type LoadOptions } from './models/load.js';
export { InstanceSegmenter, type ModelDeviceInfo } from './models/segmenter.js';
export type { SegmentBatchOptions, SegmenterOptions, SegmentOptions, StreamOptions } from './models/options.js';
export {
  SegmentationResult,
  type CocoResult,
  type Instance,
  type SegmentProfile,
  type Timings,
} from './models/result.js';

// Images.
export { decodeImage, type DecodedImage, type DecodeOptions } from './image/decode.js';
export type { ImageInput, RawImage } from './image/input.js';
export type { Overlay, OverlayFormat, OverlayOptions } from './image/overlay.js';

// Masks.
export { Mask } from './masks/mask.js';
export type { Bitmap, MaskBits, Region } from './masks/bits.js';
export type { MultiPolygon, Point, Polygon, PolygonOptions, Ring } from './masks/polygons.js';
export { mergeRle, rleArea, rleToBbox, type Rle, type RleInput } from './masks/rle.js';
export { boxIou, rleIou, type Box } from './masks/iou.js';
export { rleFromBox, rleFromPolygons } from './masks/rasterize.js';

// Weights.
export { convertCheckpoint, type ConvertOptions, type ConvertProgress, type ConvertResult } from './weights/convert.js';
export {
  inspectCheckpoint,
  type CheckpointReport,
  type InspectedTensor,
  type InspectOptions,
} from './weights/inspect.js';
export type { CheckpointDType, CheckpointFormat, TensorInfo } from './weights/checkpoint.js';
export type { WeightDType } from './weights/cast.js';
export type {
  AnchorConfig,
  BackboneConfig,
  BatchNormConfig,
  BoxConfig,
  ConfigOverrides,
  Detectron2AnchorConfig,
  Detectron2BackboneConfig,
  Detectron2BoxConfig,
  Detectron2Config,
  Detectron2ImageConfig,
  Detectron2MaskConfig,
  Detectron2RoiAlignConfig,
  Detectron2RpnConfig,
  FpnConfig,
  ImageConfig,
  MaskConfig,
  MaskRcnnConfig,
  ModelConfig,
  ProtonetConfig,
  ProtonetLayer,
  RoiAlignConfig,
  RpnConfig,
  YolactAnchorConfig,
  YolactConfig,
  YolactDarkNetConfig,
  YolactDetectConfig,
  YolactFpnConfig,
  YolactHeadConfig,
  YolactImageConfig,
  YolactMaskConfig,
  YolactResNetConfig,
} from './weights/families/config.js';
export { objectNames } from './weights/families/config.js';

// Published checkpoints.
export {
  pullWeights,
  type DownloadOptions,
  type PulledWeights,
  type PullOptions,
  type PullProgress,
  type ZooOptions,
} from './weights/zoo/pull.js';
export { listZoo, type ZooModel } from './weights/zoo/manifest.js';
export { cacheDirectory } from './weights/zoo/cache.js';

// Evaluation.
export {
  evaluateCoco,
  type CocoEvaluation,
  type CocoMatches,
  type EvaluateCocoOptions,
} from './evaluation/coco-eval.js';
export {
  loadCocoDataset,
  parseCocoDataset,
  type CocoAnnotation,
  type CocoCategory,
  type CocoDataset,
  type CocoImage,
} from './evaluation/coco-dataset.js';
export { loadCocoResults, type CocoResultRow } from './evaluation/coco-results.js';
export type { CocoSegmentation } from './evaluation/segmentation.js';
export type { NumberGrid } from './evaluation/accumulate.js';
export type { AreaRange } from './evaluation/match.js';
export type { CategoryFigures, CocoStat } from './evaluation/summary.js';

// Devices and single kernels.
export type { KernelRow } from './runtime/addon.js';
export { Tensor, type DType } from './runtime/tensor.js';
export { Constant, SymbolicTensor, reshape, type InputSpec, type TensorLike } from './runtime/graph.js';
export {
  Plan,
  type Recorded,
  type ResultOf,
  type RunOptions,
  type RunProfile,
  type StepInfo,
  type SymbolicResult,
} from './runtime/plan.js';
export {
  Device,
  listDevices,
  listKernels,
  type CompileOptions,
  type DeviceInfo,
  type DeviceName,
  type DeviceOptions,
  type MemoryStats,
} from './runtime/device.js';
export { diagnostics, type AddonReport, type CacheReport, type Diagnostics } from './diagnostics/diagnostics.js';
export type { AddonOrigin } from './runtime/addon-file.js';
export type { Libc } from './runtime/platform.js';
export type { MemoryReport, ProcessorReport, SystemReport } from './diagnostics/system.js';
export * as ops from './ops/index.js';

// For tests and demonstrations: models of random, reproducible weights, whose detections mean nothing.
export { seededWeights, type SeededRule, type SeededTensor } from './weights/seeded.js';
export { writeSafetensors, type TensorSource, type WriteSafetensorsOptions } from './weights/safetensors.js';
export { detectron2Tensors } from './weights/families/detectron2.js';
export { torchvisionTensors } from './weights/families/torchvision.js';
export { yolactTensors } from './weights/families/yolact.js';
export { configToMetadata } from './weights/families/config.js';
