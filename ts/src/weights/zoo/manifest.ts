/** The public checkpoints, as their authors publish them. */

/** A published checkpoint. */
export interface ZooModel {
  /** What `load` and `instaseg pull` take; the name of the model in the project that published it. */
  readonly name: string;
  /** Other names it goes by. */
  readonly aliases: readonly string[];
  readonly family: 'torchvision' | 'detectron2' | 'yolact';
  /** Where the authors publish the file. */
  readonly url: string;
  /** Size in bytes, where it is known exactly: a file of another size is refused. */
  readonly bytes: number | undefined;
  /** Size in millions of bytes, for people: approximate where `bytes` is unknown, from the tensors that the model has. */
  readonly megabytes: number;
  /**
   * Checksum, as far as it is known: all digits or the first ones, in hexadecimal. Without one the server's own
   * statement is checked, where it makes one (`X-Linked-Etag`).
   */
  readonly checksum: { readonly algorithm: 'sha256' | 'md5'; readonly digits: string } | undefined;
  /** Of the weights, as their authors state it. */
  readonly licence: string;
  /** Page that the figures come from. */
  readonly source: string;
  /** Published COCO mask AP in percent, and the images that it was measured on. */
  readonly maskAp: number;
  readonly boxAp: number | undefined;
  readonly split: 'val2017' | 'test-dev';
}

/**
 * The first eight digits are in the file's name, by the convention of torch.hub; all of them, and the sizes, as several
 * public projects pin them. The sizes agree with `_file_size` in torchvision's weights enums, which has MiB.
 */
const TORCHVISION: readonly ZooModel[] = [
  {
    name: 'maskrcnn_resnet50_fpn',
    aliases: ['maskrcnn_resnet50_fpn_coco', 'maskrcnn_resnet50_fpn_v1'],
    url: 'https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth',
    bytes: 178_090_079,
    megabytes: 178,
    sha256: 'bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0',
    maskAp: 34.6,
    boxAp: 37.9,
  },
  {
    name: 'maskrcnn_resnet50_fpn_v2',
    aliases: ['maskrcnn_resnet50_fpn_v2_coco'],
    url: 'https://download.pytorch.org/models/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth',
    bytes: 185_828_065,
    megabytes: 186,
    sha256: '73cbd0190fcbe3ba339921fbce2c3a0b6bb9126c9a133c85e43a2a8e060a109e',
    maskAp: 41.8,
    boxAp: 47.4,
  },
].map(({ sha256, ...model }) => ({
  ...model,
  family: 'torchvision',
  checksum: { algorithm: 'sha256', digits: sha256 },
  licence: 'none stated (code: BSD-3-Clause)',
  source: `https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.detection.${model.name}.html`,
  split: 'val2017',
}));

/** Paths and figures from detectron2's MODEL_ZOO.md, which says that the file names carry the first digits of the MD5. */
const DETECTRON2: readonly ZooModel[] = [
  {
    config: 'mask_rcnn_R_50_FPN_3x',
    id: '137849600',
    md5: 'f10217',
    bytes: 177_841_981, // as public projects pin it
    megabytes: 178,
    maskAp: 37.2,
    boxAp: 41.0,
  },
  {
    config: 'mask_rcnn_R_101_FPN_3x',
    id: '138205316',
    md5: 'a3ec72',
    bytes: undefined,
    megabytes: 254,
    maskAp: 38.6,
    boxAp: 42.9,
  },
  {
    config: 'mask_rcnn_X_101_32x8d_FPN_3x',
    id: '139653917',
    md5: '2d9806',
    bytes: undefined,
    megabytes: 431,
    maskAp: 39.5,
    boxAp: 44.3,
  },
].map(({ config, id, md5, ...figures }) => ({
  name: config,
  aliases: [`detectron2_${config}`, `COCO-InstanceSegmentation/${config}`, `COCO-InstanceSegmentation/${config}.yaml`],
  family: 'detectron2',
  url: `https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/${config}/${id}/model_final_${md5}.pkl`,
  checksum: { algorithm: 'md5', digits: md5 },
  licence: 'CC BY-SA 3.0',
  source: 'https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md',
  split: 'val2017',
  ...figures,
}));

/**
 * The authors' re-uploads of 2025 ("the original download links expired"), with the AP on test-dev that their README
 * gives. No checksums are published with them; Hugging Face states the SHA-256 of a file when it is asked for it.
 */
const YOLACT: readonly ZooModel[] = [
  { name: 'yolact_resnet50', aliases: [], megabytes: 125, maskAp: 28.2 },
  { name: 'yolact_darknet53', aliases: [], megabytes: 191, maskAp: 28.7 },
  { name: 'yolact_base', aliases: ['yolact_resnet101'], megabytes: 204, maskAp: 29.8 },
  { name: 'yolact_im700', aliases: [], megabytes: 204, maskAp: 31.2 },
  { name: 'yolact_plus_resnet50', aliases: ['yolact_plus'], megabytes: 135, maskAp: 34.1 },
  { name: 'yolact_plus_base', aliases: ['yolact_plus_resnet101'], megabytes: 211, maskAp: 34.6 },
].map((model) => ({
  ...model,
  family: 'yolact',
  url: `https://huggingface.co/dbolya/${model.name.replaceAll('_', '-')}/resolve/main/${model.name}_54_800000.pth`,
  bytes: undefined,
  checksum: undefined,
  licence: 'MIT',
  source: 'https://github.com/dbolya/yolact#evaluation',
  boxAp: undefined,
  split: 'test-dev',
}));

const ZOO: readonly ZooModel[] = Object.freeze([...TORCHVISION, ...DETECTRON2, ...YOLACT]);

/** The published checkpoints that `load` and `pullWeights` know by name, by family. */
export function listZoo(): readonly ZooModel[] {
  return ZOO;
}
