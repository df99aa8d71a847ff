/** The built command line as a child process, and small models and pictures for it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { seededWeights, torchvisionTensors, writeSafetensors, type MaskRcnnConfig } from '../../src/index.js';
import { inferTorchvision } from '../../src/weights/families/torchvision.js';

const MAIN = join(__dirname, '../../src/cli/main.js');
const LISTS = resolve(__dirname, '../../../ts/test/weights/torchvision-tensors.json');

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(args: readonly string[], cwd?: string): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

export function finished(child: ChildProcess): Promise<Finished> {
  return new Promise((done, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

/** Runs `instaseg ...args` to its end. */
export function instaseg(args: readonly string[], cwd?: string): Promise<Finished> {
  return finished(start(args, cwd));
}

/** A folder for the tests of a file; `remove` it after them. */
export function temporaryFolder(): { path: (...names: string[]) => string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-cli-'));
  return {
    path: (...names) => join(folder, ...names),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/**
 * Writes a Mask R-CNN so narrow that a small image takes milliseconds, without metadata, as PyTorch's files are. With
 * random weights it "detects" things of several classes nearly everywhere.
 */
export async function writeTinyModel(path: string, numClasses: number): Promise<void> {
  const lists = JSON.parse(readFileSync(LISTS, 'utf8')) as { models: Record<string, Record<string, number[]>> };
  const shapes = Object.entries(lists.models['maskrcnn_resnet50_fpn']!).map(
    ([name, shape]) => [name, { shape }] as const,
  );
  const full = inferTorchvision(new Map(shapes))!;
  const tiny: MaskRcnnConfig = {
    ...full,
    numClasses,
    backbone: { ...full.backbone, blocks: [1, 1, 1, 1], stem: 8, widths: [8, 8, 8, 8], outputs: [16, 16, 16, 16] },
    fpn: { ...full.fpn, channels: 16 },
    box: { ...full.box, head: { kind: 'fc', fcs: [32, 32] } },
    mask: { ...full.mask, convs: [16, 16], predictor: 16 },
  };
  const rules = [
    ['rpn\\.head\\.bbox_pred', 0.2, 0],
    ['cls_score', 6, 0],
    ['box_predictor\\.bbox_pred', 0.5, 0],
    ['mask_fcn_logits', 2, 0],
  ] as const;
  await writeSafetensors(path, seededWeights(torchvisionTensors(tiny), 3, rules));
}

/** A PNG of coloured noise, coarse enough to have shapes. */
export async function writeImage(path: string, width: number, height: number, seed = 1): Promise<void> {
  const cells = Buffer.from(
    Array.from({ length: 8 * 6 * 3 }, (_, i) => (Math.imul(i + seed, 0x9e3779b1) >>> 20) & 255),
  );
  await sharp(cells, { raw: { width: 8, height: 6, channels: 3 } })
    .resize(width, height, { fit: 'fill' })
    .png()
    .toFile(path);
}

/** The area of a COCO RLE, decoded as pycocotools does it, independently of the package. */
export function areaOfRle({ size: [height, width], counts }: { size: [number, number]; counts: string }): number {
  const runs: number[] = [];
  for (let at = 0; at < counts.length;) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const code = counts.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
      more = (code & 32) !== 0;
      if (!more && (code & 16) !== 0) value |= -1 << shift;
    }
    runs.push(runs.length > 2 ? value + runs[runs.length - 2]! : value);
  }
  const total = runs.reduce((sum, run) => sum + run, 0);
  if (total !== height * width) throw new Error(`the runs cover ${total} pixels of ${height * width}`);
  return runs.reduce((sum, run, i) => (i % 2 === 1 ? sum + run : sum), 0);
}
