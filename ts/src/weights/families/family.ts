import type { ConfigOverrides, Detectron2Config, MaskRcnnConfig, ModelConfig, YolactConfig } from './config.js';
import { detectron2Tensors, inferDetectron2 } from './detectron2.js';
import { canonicalDetectron2Names } from './detectron2-names.js';
import type { Shapes } from './shapes.js';
import { canonicalTorchvisionNames, inferTorchvision, torchvisionTensors } from './torchvision.js';
import { canonicalYolactNames, inferYolact, yolactTensors } from './yolact.js';

/** What the loader has to know about weights of one origin. */
export interface Family<Config extends ModelConfig = ModelConfig> {
  /** For messages. */
  readonly description: string;
  /** The configuration, or undefined for weights of another family. */
  infer(
    tensors: Shapes,
    metadata: Readonly<Record<string, string>>,
    overrides: ConfigOverrides,
    /** Without its folder. */
    fileName: string,
  ): Config | undefined;
  /** Canonical names by names of the file; what is missing there is not needed. */
  canonicalNames(names: Iterable<string>): Map<string, string>;
  /** Names and shapes of all tensors that the model needs. */
  tensors(config: Config): Map<string, number[]>;
}

const torchvision: Family<MaskRcnnConfig> = {
  description: 'torchvision Mask R-CNN weights (ResNet with FPN)',
  infer: inferTorchvision,
  canonicalNames: canonicalTorchvisionNames,
  tensors: torchvisionTensors,
};

const yolact: Family<YolactConfig> = {
  description: 'YOLACT weights (dbolya/yolact)',
  infer: inferYolact,
  canonicalNames: canonicalYolactNames,
  tensors: yolactTensors,
};

const detectron2: Family<Detectron2Config> = {
  description: 'detectron2 Mask R-CNN weights (ResNet or ResNeXt with FPN)',
  infer: inferDetectron2,
  canonicalNames: canonicalDetectron2Names,
  tensors: detectron2Tensors,
};

/** All of them, in the order in which they are tried. */
export const FAMILIES: readonly Family[] = [torchvision, yolact, detectron2];
