import type { DecodedImage } from '../image/decode.js';
import type * as Drawing from '../image/overlay.js';
import type { Overlay, OverlayOptions } from '../image/overlay.js';
import type { Mask } from '../masks/mask.js';
import { InstasegError } from '../runtime/errors.js';
import type { RunProfile } from '../runtime/plan.js';

/** One object that was found. Coordinates and sizes are pixels of the original image, as displayed. */
export interface Instance {
  /** Name of the class. */
  label: string;
  /** Index of the class in the model, from 0. */
  classId: number;
  /** Category of the data set that the model was trained on (COCO: 1 to 90, with gaps). */
  categoryId: number;
  /** 0 to 1. With YOLACT++ the class score times the predicted IoU of the mask. */
  score: number;
  /** YOLACT: the class score. */
  boxScore?: number;
  box: [x: number, y: number, width: number, height: number];
  /** Number of pixels in the mask. */
  area: number;
  mask: Mask;
}

/** A detection as COCO's results format has it; `label` is an addition that its readers ignore. */
export interface CocoResult {
  image_id: string | number;
  category_id: number;
  label: string;
  bbox: [x: number, y: number, width: number, height: number];
  score: number;
  /** YOLACT: the class score; `score` is that of the mask. */
  box_score?: number;
  segmentation: { size: [height: number, width: number]; counts: string };
}

/** Where the time of one image went, in milliseconds. */
export interface Timings {
  /** Reading and decoding the image. */
  readonly decode: number;
  /** From the decoded image to the instances, waiting included. */
  readonly forward: number;
}

/** Where the time of one image went in detail, in milliseconds. The stages follow one another. */
export interface SegmentProfile {
  /** Reading and decoding the image. */
  readonly decode: number;
  /** Finding the plan for the image's size, or compiling it. */
  readonly plan: number;
  /** Whether the plan had to be compiled, as for the first image of a size. */
  readonly compiled: boolean;
  /** The run of the plan: preprocessing, network, selection, masks. */
  readonly run: RunProfile;
  /** Making the instances out of the plan's outputs. */
  readonly instances: number;
  /** From the image to the instances; waiting for a slot is not in it. */
  readonly total: number;
}

export interface ResultOptions {
  imageId?: string | number;
  timings?: Timings;
  profile?: SegmentProfile | undefined;
}

/**
 * What a model found in an image. `JSON.stringify(result)` gives a COCO results array.
 *
 * It keeps the decoded image (3 bytes a pixel, 12 for Float32 input) for `overlay()`: whoever collects the results of
 * many images should collect `result.toJSON()` or `result.instances`.
 */
export class SegmentationResult {
  /** Size of the image, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Best class score first (`boxScore` with YOLACT, whose `score` is that of the mask). */
  readonly instances: readonly Instance[];
  /** The caller's `imageId`, else the file's base name, as a number where it is one; null for pixels without a name. */
  readonly imageId: string | number | null;
  /** Null where it was not measured. */
  readonly timings: Timings | null;
  /** Of a call with `profile`; null otherwise. */
  readonly profile: SegmentProfile | null;
  readonly #image: DecodedImage;

  constructor(image: DecodedImage, instances: readonly Instance[], options: ResultOptions = {}) {
    this.width = image.width;
    this.height = image.height;
    this.instances = instances;
    this.imageId = options.imageId ?? (image.name === undefined ? null : imageIdOfName(image.name));
    this.timings = options.timings ?? null;
    this.profile = options.profile ?? null;
    this.#image = image;
  }

  /**
   * The image with the objects drawn over it. Drawing code is loaded, and runs, only when it is asked for pixels.
   * @throws InstasegError ERR_ARGUMENT for masks of another size (YOLACT's `maskResolution`)
   */
  overlay(options?: OverlayOptions): Overlay {
    const [image, instances] = [this.#image, this.instances];
    if (instances.some(({ mask }) => mask.width !== image.width || mask.height !== image.height)) {
      throw new InstasegError('ERR_ARGUMENT', 'masks of another size than the image cannot be drawn over it');
    }
    const toBuffer: Overlay['toBuffer'] = async (format = 'png') => {
      const { drawOverlay, encodeImage } = require('../image/overlay.js') as typeof Drawing;
      return encodeImage(drawOverlay(image, instances, options), image.width, image.height, format);
    };
    const toFile: Overlay['toFile'] = async (path) => {
      const { formatOfPath, writeImage } = require('../image/overlay.js') as typeof Drawing;
      await writeImage(path, await toBuffer(formatOfPath(path)));
    };
    return { toBuffer, toFile };
  }

  /** COCO results, numbers in full precision; image_id is 0 where the image has neither name nor id. */
  toJSON(): CocoResult[] {
    return this.instances.map(({ label, categoryId, score, boxScore, box, mask }) => ({
      image_id: this.imageId ?? 0,
      category_id: categoryId,
      label,
      bbox: [...box],
      score,
      ...(boxScore !== undefined && { box_score: boxScore }),
      segmentation: mask.toRLE(),
    }));
  }
}

/** COCO's tools want integers, and its files are named by them: '000000000139' is image 139. Other names stay. */
function imageIdOfName(name: string): string | number {
  const number = Number(name);
  return /^\d+$/.test(name) && Number.isSafeInteger(number) ? number : name;
}
