/** The networks by the family that a checkpoint's configuration names. */
import type { ModelConfig } from '../weights/families/config.js';
import { detectron2 } from './detectron2.js';
import { maskRcnn } from './mask-rcnn.js';
import type { Network } from './network.js';
import { yolact } from './yolact.js';

/** A network takes the configurations of its own family only, which is what the key says. */
const NETWORKS: { readonly [family in ModelConfig['family']]: Network<never> } = {
  torchvision: maskRcnn as Network<never>,
  detectron2: detectron2 as Network<never>,
  yolact: yolact as unknown as Network<never>,
};

export function networkOf({ family }: ModelConfig): Network<ModelConfig> {
  return NETWORKS[family];
}
