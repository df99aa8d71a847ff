/** An evaluation as text and as JSON. */
import { randomUUID } from 'node:crypto';
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { InstasegError, type CategoryFigures, type CocoEvaluation } from '../index.js';
import { formatTable, printable, type Terminal } from './terminal.js';

const NAMES = { bbox: 'boxes', segm: 'masks' } as const;

/** -1 stands for nothing to average. */
const number = (value: number): string => (value < 0 ? '-' : value.toFixed(3));

/** The twelve figures. */
export function formatStats(split: string, evaluation: CocoEvaluation): string {
  const { iouType, useCategories, imageIds, objects, detections, iouThresholds, stats } = evaluation;
  const range = `${iouThresholds[0]!.toFixed(2)}:${iouThresholds.at(-1)!.toFixed(2)}`;
  const rows = stats.map(({ name, kind, iouThreshold, area, maxDets, value }) => [
    name,
    `average ${kind}`,
    iouThreshold?.toFixed(2) ?? range,
    area,
    String(maxDets),
    number(value),
  ]);
  const counts = `${imageIds.length} images, ${objects} objects, ${detections} detections`;
  const title = `${split}, ${NAMES[iouType]} (${iouType})${useCategories ? '' : ', without categories'}: ${counts}`;
  return `${title}\n${formatTable([['', 'figure', 'IoU', 'size', 'best', 'value'], ...rows], [4, 5])}`;
}

/** A row for each category. */
export function formatCategories({ iouType, perCategory }: CocoEvaluation): string {
  const header = ['category', 'objects', 'detections', 'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR'];
  const rows = perCategory.map((category) => [
    printable(category.name),
    String(category.objects),
    String(category.detections),
    ...figuresOf(category).map(number),
  ]);
  return `${NAMES[iouType]} by category\n${formatTable([header, ...rows], header.map((_, i) => i).slice(1))}`;
}

function figuresOf({ ap, ap50, ap75, apSmall, apMedium, apLarge, ar }: CategoryFigures): number[] {
  return [ap, ap50, ap75, apSmall, apMedium, apLarge, ar];
}

/** Writes JSON: `about`, and for each kind of evaluation the figures by name, -1 for nothing to average. */
export async function writeReport(
  target: string,
  about: object,
  evaluations: readonly CocoEvaluation[],
  terminal: Terminal,
): Promise<void> {
  const parts = evaluations.map(({ iouType, useCategories, objects, detections, stats, perCategory, warnings }) => {
    const figures = Object.fromEntries(stats.map(({ name, value }) => [name, value]));
    return [iouType, { useCategories, objects, detections, stats: figures, perCategory, warnings }];
  });
  const text = `${JSON.stringify({ ...about, ...Object.fromEntries(parts) }, null, 2)}\n`;
  if (target === '-') terminal.write(text);
  else await replaceFile(target, text);
}

/** A regular file is replaced in one step; what is none (a pipe, /dev/stdout) is written to. */
async function replaceFile(path: string, text: string): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  const temporary = existing && !existing.isFile() ? path : `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, text);
    if (temporary !== path) await rename(temporary, path);
  } catch (cause) {
    if (temporary !== path) await rm(temporary, { force: true });
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new InstasegError('ERR_FILE', `${path}: cannot be written (${reason})`, { cause });
  }
}
