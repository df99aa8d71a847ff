// The categories of the COCO data set (https://cocodataset.org). Their ids run from 1 to 90 with ten gaps; models are
// trained either on all 91 slots, ids as they are, or on the 80 categories in the order of their ids.

/** Name of the class that stands for no object. */
export const BACKGROUND = 'background';

/** Stands for the ids that COCO never used. */
export const UNUSED = 'N/A';

/** Names by COCO id: 91 entries, index 0 is the background, unused ids are 'N/A'. */
export const COCO_SLOTS: readonly string[] = [
  BACKGROUND,
  ...['person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light'],
  ...['fire hydrant', UNUSED, 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep'],
  ...['cow', 'elephant', 'bear', 'zebra', 'giraffe', UNUSED, 'backpack', 'umbrella', UNUSED, UNUSED],
  ...['handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat'],
  ...['baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle', UNUSED, 'wine glass', 'cup', 'fork'],
  ...['knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza'],
  ...['donut', 'cake', 'chair', 'couch', 'potted plant', 'bed', UNUSED, 'dining table', UNUSED, UNUSED, 'toilet'],
  ...[UNUSED, 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink'],
  ...['refrigerator', UNUSED, 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush'],
];

/** The COCO ids of the 80 categories, ascending. */
export const COCO_IDS: readonly number[] = COCO_SLOTS.flatMap((name, id) => (id === 0 || name === UNUSED ? [] : [id]));

/** The names of the 80 categories, in the order of their ids. */
export const COCO_NAMES: readonly string[] = COCO_IDS.map((id) => COCO_SLOTS[id] as string);

/** Names and category ids of a model's classes; the background has id 0. */
export interface ClassList {
  readonly classNames: readonly string[];
  readonly categoryIds: readonly number[];
}

const SLOT_LIST: ClassList = { classNames: COCO_SLOTS, categoryIds: COCO_SLOTS.map((_, id) => id) };
const CONTIGUOUS_LIST: ClassList = { classNames: [BACKGROUND, ...COCO_NAMES], categoryIds: [0, ...COCO_IDS] };

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, i) => i === 0 || name === b[i]);

/**
 * The class list of a model with `numClasses` classes (background included, first or last). Without names, 81 classes are
 * COCO's 80 categories, 91 (where the background is first) its slots, and any other number gives "class 1", "class 2" and
 * so on. Names, where given, may leave out the background. Category ids are COCO's where the names are COCO's, otherwise
 * they count from 1. The caller has checked that the number of names fits.
 */
export function classList(
  numClasses: number,
  names?: readonly string[],
  background: 'first' | 'last' = 'first',
): ClassList {
  if (background === 'first') return backgroundFirst(numClasses, names, [SLOT_LIST, CONTIGUOUS_LIST]);
  const full = names?.length === numClasses ? [names.at(-1) as string, ...names.slice(0, -1)] : names;
  const { classNames, categoryIds } = backgroundFirst(numClasses, full, [CONTIGUOUS_LIST]);
  return {
    classNames: [...classNames.slice(1), classNames[0] as string],
    categoryIds: [...categoryIds.slice(1), categoryIds[0] as number],
  };
}

function backgroundFirst(
  numClasses: number,
  names: readonly string[] | undefined,
  lists: readonly ClassList[],
): ClassList {
  const full = names && (names.length === numClasses ? names : [BACKGROUND, ...names]);
  const known = lists.find(({ classNames }) => (full ? sameNames(full, classNames) : classNames.length === numClasses));
  if (known) return known;
  const indices = Array.from({ length: numClasses }, (_, i) => i);
  return {
    classNames: full ?? indices.map((i) => (i === 0 ? BACKGROUND : `class ${i}`)),
    categoryIds: indices,
  };
}
