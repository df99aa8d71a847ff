/** A result as text. */
import type { SegmentationResult } from '../index.js';
import { formatDuration, formatTable, printable } from './terminal.js';

const HEADER = ['#', 'label', 'score', 'x', 'y', 'width', 'height', 'area'];

/** The image's name and size, and a row for each object; boxes in pixels, areas in mask pixels. */
export function formatResult(name: string, result: SegmentationResult, times = false): string {
  const { width, height, instances, timings } = result;
  const count = `${instances.length} ${instances.length === 1 ? 'object' : 'objects'}`;
  const spent =
    times && timings ? `, decode ${formatDuration(timings.decode)}, forward ${formatDuration(timings.forward)}` : '';
  const title = `${name}: ${width}x${height}, ${count}${spent}`;
  if (instances.length === 0) return title;
  const rows = instances.map(({ label, score, box, area }, i) => [
    String(i),
    printable(label),
    score.toFixed(3),
    ...box.map((value) => value.toFixed(1)),
    String(area),
  ]);
  return `${title}\n${formatTable([HEADER, ...rows], [0, 2, 3, 4, 5, 6, 7])}`;
}
