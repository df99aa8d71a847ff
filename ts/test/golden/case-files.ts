/** The folders of reference data: where the cases are, what is in them. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { SeededRule } from '../../src/weights/seeded.js';

/** A tensor of the reference data, row-major, in PyTorch's layouts. int64 is narrowed to int32, bool to bytes. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array;
}

export type GoldenTensors = ReadonlyMap<string, GoldenTensor>;

/** One call of an op: `inputs` and `outputs` name tensors. */
export interface SubCase {
  readonly name: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
}

/** `case.json` of an operator family. */
export interface OpFile {
  readonly op: string;
  readonly tolerances?: { readonly rtol: number; readonly atol: number };
  readonly cases?: readonly SubCase[];
  /** The table of `resize_sizes`. */
  readonly rows?: readonly (readonly number[])[];
  readonly tensors_sha256?: string;
}

export interface GoldenMask {
  readonly size: readonly [number, number];
  readonly counts: string;
  readonly area: number;
  /** Mask R-CNN: distance in pixels from the next place where the pasted mask changes size. */
  readonly paste_gap_px?: number;
  readonly pixels_within_1e_3: number;
}

/** A tensor of which every `step`-th element is stored. */
export interface Sample {
  readonly shape: readonly number[];
  readonly step: number;
  readonly count: number;
  readonly absmax: number;
}

/** `case.json` of a Mask R-CNN. */
export interface ModelFile {
  readonly model: string;
  readonly num_classes: number;
  readonly seed: number;
  readonly rules: readonly SeededRule[];
  readonly images: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly image_sha256_rgb: readonly string[];
  readonly image_shapes: readonly (readonly [number, number])[];
  readonly transformed_sizes: readonly (readonly [number, number])[];
  readonly batch_shape: readonly number[];
  readonly proposals: readonly number[];
  readonly detections: readonly number[];
  readonly labels: readonly (readonly number[])[];
  readonly tolerances: Readonly<Record<string, unknown>>;
  readonly margins?: readonly { readonly rpn?: { readonly nms_pairs_within_2e_4?: number } }[];
  readonly masks: readonly (readonly GoldenMask[])[];
  readonly samples: Readonly<Record<string, Sample>>;
  readonly tensors_sha256?: string;
}

/** `case.json` of detectron2's Mask R-CNN: a narrow network, whose classes are counted without the background. */
export interface Detectron2File extends ModelFile {
  readonly architecture: {
    readonly blocks: readonly number[];
    readonly groups: number;
    readonly stride_in_1x1: boolean;
    readonly channels: number;
    readonly fcs: readonly number[];
    readonly mask_convs: readonly number[];
  };
  readonly state_dict: {
    readonly count: number;
    readonly shapes: Readonly<Record<string, readonly number[]>>;
  };
}

/** How far the decisions of one detection list are from flipping; null where there was none. */
export interface YolactMargins {
  readonly nms_iou_margin: number | null;
  readonly nms_pair_score_gap: number | null;
  readonly topk_gap: number | null;
}

/** `case.json` of a YOLACT: one image. */
export interface YolactFile {
  readonly model: string;
  readonly seed: number;
  readonly rules: readonly SeededRule[];
  readonly images: readonly [string];
  readonly config: Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly image_sha256_rgb: readonly [string];
  readonly image_shapes: readonly [readonly [number, number]];
  /** Before the score threshold, and after it. */
  readonly raw_detections: number;
  readonly detections: number;
  /** Without the background. */
  readonly labels: readonly number[];
  readonly margins: { readonly raw_margins: YolactMargins };
  readonly tolerances: Readonly<Record<string, unknown>>;
  readonly state_dict: {
    readonly count: number;
    readonly shapes: Readonly<Record<string, readonly number[]>>;
  };
  readonly masks: readonly GoldenMask[];
  readonly samples: Readonly<Record<string, Sample>>;
  readonly tensors_sha256?: string;
}

/** A case on disk. */
export interface CaseFolder {
  /** Relative to the folder that was searched. */
  readonly name: string;
  readonly folder: string;
  readonly file: CaseFile;
}

export type CaseFile = OpFile | ModelFile | YolactFile;

/** Folders of reference data that are not cases of the network, with the number of their files. */
export interface OtherFolder {
  readonly name: string;
  readonly files: number;
}

export interface FoundCases {
  readonly cases: readonly CaseFolder[];
  readonly others: readonly OtherFolder[];
}

export function isModelFile(file: CaseFile): file is ModelFile | YolactFile {
  return 'model' in file;
}

export function isDetectron2File(file: CaseFile): file is Detectron2File {
  return 'model' in file && file.model === 'detectron2';
}

export function isYolactFile(file: CaseFile): file is YolactFile {
  return 'model' in file && file.model.startsWith('yolact');
}

/** All cases under `root`, which may be one itself, in the order of their names. */
export function findCases(root: string): FoundCases {
  if (!existsSync(root) || !statSync(root).isDirectory()) throw new Error(`${root} is not a folder`);
  const cases: CaseFolder[] = [];
  const others: OtherFolder[] = [];
  const visit = (folder: string): void => {
    const name = path.relative(root, folder) || path.basename(path.resolve(root));
    const entries = readdirSync(folder, { withFileTypes: true });
    if (existsSync(path.join(folder, 'case.json'))) {
      const file = JSON.parse(readFileSync(path.join(folder, 'case.json'), 'utf8')) as CaseFile;
      cases.push({ name, folder, file });
    } else if (existsSync(path.join(folder, 'expected.json'))) {
      others.push({ name, files: entries.length });
    } else {
      const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
      for (const child of folders.sort()) visit(path.join(folder, child));
    }
  };
  visit(root);
  return { cases, others };
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The tensors of a case; throws where the file is not the one that case.json was written with. */
export function readTensors({ folder, file }: CaseFolder): GoldenTensors {
  const bytes = readFileSync(path.join(folder, 'tensors.safetensors'));
  const digest = createHash('sha256').update(bytes).digest('hex');
  if (file.tensors_sha256 !== undefined && file.tensors_sha256 !== digest) {
    throw new Error('tensors.safetensors is not the file that case.json was written with (SHA-256)');
  }
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, HeaderEntry>;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    // A copy: the data need not be aligned in the file.
    const own = Uint8Array.from(bytes.subarray(start + offsets[0], start + offsets[1]));
    tensors.set(name, { shape, data: typedData(name, dtype, own) });
  }
  return tensors;
}

function typedData(name: string, dtype: string, bytes: Uint8Array): GoldenTensor['data'] {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer);
    case 'I32':
      return new Int32Array(bytes.buffer);
    case 'I64':
      return Int32Array.from(new BigInt64Array(bytes.buffer), (value) => {
        const narrow = Number(BigInt.asIntN(32, value));
        if (BigInt(narrow) !== value) throw new Error(`${name} holds ${value}, which is more than 32 bits`);
        return narrow;
      });
    case 'U8':
    case 'BOOL':
      return bytes;
    default:
      throw new Error(`${name} has the dtype ${dtype}, which no case uses`);
  }
}
