/** Averages of the tables: the twelve figures of COCO, and the same for each category. */
import type { NumberGrid, Tables } from './accumulate.js';
import type { AreaRange } from './match.js';

/** One of the twelve figures. */
export interface CocoStat {
  /** AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl. */
  readonly name: string;
  /** 0 to 1; -1 where there is nothing to average. */
  readonly value: number;
  /** Average precision, or average recall. */
  readonly kind: 'precision' | 'recall';
  /** The one IoU threshold, or null for the mean over all. */
  readonly iouThreshold: number | null;
  /** Name of the area range. */
  readonly area: string;
  /** Most detections of an image that count. */
  readonly maxDets: number;
}

/** Figures of one category, 0 to 1; -1 where there is nothing to average. All with the last of `maxDets`. */
export interface CategoryFigures {
  readonly categoryId: number;
  readonly name: string;
  /** Objects that count, crowds not among them, and detections looked at. */
  readonly objects: number;
  readonly detections: number;
  readonly ap: number;
  readonly ap50: number;
  readonly ap75: number;
  readonly apSmall: number;
  readonly apMedium: number;
  readonly apLarge: number;
  readonly ar: number;
}

/** What the dimensions of the tables stand for. */
export interface Axes {
  readonly iouThresholds: readonly number[];
  readonly areaRanges: readonly AreaRange[];
  readonly maxDets: readonly number[];
}

type Query = Pick<CocoStat, 'kind' | 'iouThreshold' | 'area'> & { readonly limit: number };

/** The twelve figures in pycocotools' order. */
export function summarize(tables: Tables, axes: Axes): CocoStat[] {
  const last = axes.maxDets.length - 1;
  const precision = (name: string, iouThreshold: number | null = null, area = 'all') =>
    ({ name, kind: 'precision', iouThreshold, area, limit: last }) as const;
  const recall = (name: string, limit = last, area = 'all') =>
    ({ name, kind: 'recall', iouThreshold: null, area, limit }) as const;
  const figures = [
    precision('AP'),
    precision('AP50', 0.5),
    precision('AP75', 0.75),
    precision('APs', null, 'small'),
    precision('APm', null, 'medium'),
    precision('APl', null, 'large'),
    ...axes.maxDets.map((maxDets, i) => recall(`AR${maxDets}`, i)),
    recall('ARs', last, 'small'),
    recall('ARm', last, 'medium'),
    recall('ARl', last, 'large'),
  ];
  return figures.map(({ limit, ...figure }) => ({
    ...figure,
    maxDets: axes.maxDets[limit]!,
    value: average(tables, axes, { ...figure, limit }),
  }));
}

/** The figures of class `k` alone. */
export function summarizeClass(
  tables: Tables,
  axes: Axes,
  k: number,
): Pick<CategoryFigures, 'ap' | 'ap50' | 'ap75' | 'apSmall' | 'apMedium' | 'apLarge' | 'ar'> {
  const limit = axes.maxDets.length - 1;
  const ap = (iouThreshold: number | null = null, area = 'all'): number =>
    average(tables, axes, { kind: 'precision', iouThreshold, area, limit }, k);
  return {
    ap: ap(),
    ap50: ap(0.5),
    ap75: ap(0.75),
    apSmall: ap(null, 'small'),
    apMedium: ap(null, 'medium'),
    apLarge: ap(null, 'large'),
    ar: average(tables, axes, { kind: 'recall', iouThreshold: null, area: 'all', limit }, k),
  };
}

/** The mean of the cells that a figure is about, leaving out -1; -1 when none is left. */
function average(tables: Tables, axes: Axes, { kind, iouThreshold, area, limit }: Query, only?: number): number {
  const a = axes.areaRanges.findIndex(({ name }) => name === area);
  if (a < 0) return -1;
  const { data }: NumberGrid = tables[kind];
  const { recalls, classes, areas, limits } = tables.size;
  const perThreshold = kind === 'precision' ? recalls : 1;
  const values: number[] = [];
  axes.iouThresholds.forEach((threshold, t) => {
    if (iouThreshold !== null && threshold !== iouThreshold) return;
    for (let row = t * perThreshold; row < (t + 1) * perThreshold; row++) {
      for (let k = only ?? 0; k <= (only ?? classes - 1); k++) {
        const value = data[((row * classes + k) * areas + a) * limits + limit]!;
        if (value > -1) values.push(value);
      }
    }
  });
  return values.length === 0 ? -1 : pairwiseSum(values, 0, values.length) / values.length;
}

/** Adds in the order of numpy's `sum` over contiguous numbers, so that means agree to the last digit. */
function pairwiseSum(values: readonly number[], from: number, count: number): number {
  if (count > 128) {
    const half = Math.floor(count / 2);
    const first = half - (half % 8);
    return pairwiseSum(values, from, first) + pairwiseSum(values, from + first, count - first);
  }
  const whole = count - (count % 8);
  let sum = 0;
  if (whole > 0) {
    const lanes = values.slice(from, from + 8);
    for (let i = 8; i < whole; i++) lanes[i % 8]! += values[from + i]!;
    const [a, b, c, d, e, f, g, h] = lanes as [number, number, number, number, number, number, number, number];
    sum = a + b + (c + d) + (e + f + (g + h));
  }
  for (let i = whole; i < count; i++) sum += values[from + i]!;
  return sum;
}
