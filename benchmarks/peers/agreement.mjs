// Whether two sides found the same in one image: nothing is timed before.
import { readFileSync } from 'node:fs';

// What rounding may change: coordinates (YOLACT's boxes are cut to whole pixels), scores, masks at their edges; and where
// two candidates nearly tie, NMS and top-k may decide differently, so a few detections may have no partner.
const PIXELS = 1.01;
const SCORE = 1e-3;
const MASK_IOU = 0.98;
/** Pixels of a peer's soft mask this near to the threshold count for neither side; random weights leave many. */
export const UNDECIDED = 0.005;
const ALONE = 0.02;

/** `theirs` has 2 where its pixel is undecided. */
function maskIou(ours, theirs) {
  let [both, either] = [0, 0];
  for (let i = 0; i < ours.length; i += 1) {
    if (theirs[i] === 2) continue;
    both += ours[i] & theirs[i];
    either += ours[i] | theirs[i];
  }
  return either === 0 ? 1 : both / either;
}

/** What a worker left at a path: detections, each with its mask of 0 and 1. */
function read(path, pixels) {
  const masks = readFileSync(`${path}.masks`);
  return JSON.parse(readFileSync(`${path}.json`, 'utf8')).map((detection, i) => ({
    ...detection,
    mask: masks.subarray(i * pixels, (i + 1) * pixels),
  }));
}

/** Throws where they differ by more than rounding; otherwise says how much. */
export function requireAgreement(name, ours, peer, { width, height }) {
  const [expected, actual] = [read(peer, width * height), read(ours, width * height)];
  // A box that is empty once it is cut to the image is no detection with us.
  const real = expected.filter(({ box: [x1, y1, x2, y2] }) => x2 > x1 && y2 > y1);
  const free = new Set(actual);
  let [matched, worstBox, worstScore, leastIou] = [0, 0, 0, 1];
  for (const one of real) {
    const distance = ({ box }) => Math.max(...box.map((value, i) => Math.abs(value - one.box[i])));
    const candidates = [...free].filter(
      (other) => other.label === one.label && Math.abs(other.score - one.score) <= SCORE && distance(other) <= PIXELS,
    );
    candidates.sort((a, b) => distance(a) - distance(b));
    const partner = candidates[0];
    if (!partner) continue;
    const iou = maskIou(partner.mask, one.mask);
    if (iou < MASK_IOU) continue;
    free.delete(partner);
    matched += 1;
    worstBox = Math.max(worstBox, distance(partner));
    worstScore = Math.max(worstScore, Math.abs(partner.score - one.score));
    leastIou = Math.min(leastIou, iou);
  }
  const most = Math.max(real.length, actual.length);
  if (most - matched > Math.ceil(ALONE * most)) {
    throw new Error(
      `${name}: ${matched} detections agree, of ${actual.length} of ours and ${real.length} of the peer's`,
    );
  }
  return { detections: actual.length, matched, boxPixels: worstBox, score: worstScore, maskIou: leastIou };
}

/** Largest difference over the largest value; both are f32 files of the same layout. Throws above 1e-4. */
export function requireClose(name, ours, peer) {
  const floats = (path) => {
    const { buffer, byteOffset, byteLength } = readFileSync(path);
    return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  };
  const [a, b] = [floats(ours), floats(peer)];
  if (a.length !== b.length) throw new Error(`${name}: ${a.length} values against ${b.length}`);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < a.length; i += 1) {
    scale = Math.max(scale, Math.abs(b[i]));
    const error = Math.abs(a[i] - b[i]);
    if (!(error <= difference)) difference = error; // NaN stays
  }
  if (!(difference <= 1e-4 * scale)) throw new Error(`${name}: results differ by ${difference / scale} of the largest`);
  return difference / scale;
}
