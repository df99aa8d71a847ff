/** Seeded models: written as checkpoints with the official names, loaded as any user's file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Device } from '../../src/index.js';
import { load } from '../../src/models/load.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import type { ConfigOverrides } from '../../src/weights/families/config.js';
import { writeSafetensors, type TensorSource } from '../../src/weights/safetensors.js';
import { seededWeights, type SeededRule } from '../../src/weights/seeded.js';
import { stateDict, type ModelName } from './state-dict.js';

interface Seeded {
  readonly seed: number;
  readonly rules: readonly SeededRule[];
}

/** One of torchvision's, whose tensors are known by its name, or any other with its tensors. */
export type SeededModel = Seeded &
  (
    | { readonly model: ModelName; readonly num_classes: number }
    | { readonly state_dict: { readonly shapes: Readonly<Record<string, readonly number[]>> } }
  );

function shapesOf(model: SeededModel): Map<string, readonly number[]> {
  return 'state_dict' in model
    ? new Map(Object.entries(model.state_dict.shapes))
    : stateDict(model.model, model.num_classes);
}

/** Counters are int64, as PyTorch has them; everything else is as `seededWeights` gives it. */
function sources(model: SeededModel): TensorSource[] {
  return seededWeights(shapesOf(model), model.seed, model.rules).map((tensor) =>
    tensor.name.endsWith('.num_batches_tracked')
      ? { name: tensor.name, dtype: 'i64', shape: tensor.shape, read: () => [new Uint8Array(8)] }
      : tensor,
  );
}

/** Writes the checkpoint of a seeded model (120 to 210 MB). */
export async function writeSeededModel(file: string, model: SeededModel): Promise<void> {
  await writeSafetensors(file, sources(model));
}

function keyOf(model: SeededModel): string {
  return JSON.stringify([[...shapesOf(model)], model.seed, model.rules]);
}

/** Writes each model once and keeps the one that was loaded last. */
export class SeededModels {
  readonly #device: Device;
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'instaseg-golden-'));
  #written: { key: string; file: string } | undefined;
  #loaded: { key: string; model: InstanceSegmenter } | undefined;

  constructor(device: Device) {
    this.#device = device;
  }

  /** The model, loaded with the configuration that cannot be given to a single call. */
  async get(seeded: SeededModel, overrides: ConfigOverrides): Promise<InstanceSegmenter> {
    const key = JSON.stringify([keyOf(seeded), overrides]);
    if (this.#loaded?.key === key) return this.#loaded.model;
    await this.#loaded?.model.dispose();
    this.#loaded = undefined;
    const loaded = await load(await this.#file(seeded), { ...overrides, device: this.#device });
    this.#loaded = { key, model: loaded };
    return loaded;
  }

  /** Frees the model and removes the files. */
  async close(): Promise<void> {
    await this.#loaded?.model.dispose();
    rmSync(this.#folder, { recursive: true });
  }

  async #file(seeded: SeededModel): Promise<string> {
    const key = keyOf(seeded);
    if (this.#written?.key !== key) {
      // One file at a time: each has up to 210 MB.
      if (this.#written) rmSync(this.#written.file);
      const file = path.join(this.#folder, 'model.safetensors');
      await writeSeededModel(file, seeded);
      this.#written = { key, file };
    }
    return this.#written.file;
  }
}
