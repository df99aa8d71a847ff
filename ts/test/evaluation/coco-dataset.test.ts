import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { loadCocoDataset, loadCocoResults, parseCocoDataset } from '../../src/index.js';
import { FIXTURE } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'instaseg-coco-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const image = { id: 1, width: 20, height: 10, file_name: 'a.jpg' };
const annotation = { id: 5, image_id: 1, category_id: 3, area: 4, iscrowd: 0, bbox: [1, 2, 2, 2] };
const good = { images: [image], categories: [{ id: 3, name: 'car' }], annotations: [annotation] };

test('a data set is read with all that an evaluation needs', async (t) => {
  const path = join(FIXTURE, 'gt.json');
  const dataset = await loadCocoDataset(path);
  t.is(dataset.source, path);
  t.deepEqual([dataset.images.length, dataset.categories.length], [9, 4]);
  t.is(dataset.images[0]!.fileName, '000000001000.jpg');
  t.true(dataset.annotations.some(({ isCrowd }) => isCrowd));
  t.true(dataset.annotations.some(({ ignore }) => ignore));
  t.deepEqual(await loadCocoDataset(pathToFileURL(path)), dataset);
  t.is((await loadCocoResults(join(FIXTURE, 'dt.json'))).length, 176);
});

test('what may be absent is', (t) => {
  const { id, image_id, category_id, area } = annotation;
  const dataset = parseCocoDataset({ ...good, annotations: [{ id, image_id, category_id, area, segmentation: [] }] });
  t.deepEqual(dataset.annotations, [
    {
      ...{ id: 5, imageId: 1, categoryId: 3, area: 4, bbox: undefined, segmentation: undefined },
      ...{ isCrowd: false, ignore: false },
    },
  ]);
});

test('files that cannot be read, are no JSON or no results', async (t) => {
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const missing = join(folder, 'missing.json');
  await t.throwsAsync(loadCocoDataset(missing), { code: 'ERR_FILE', message: `${missing}: no such file` });
  await t.throwsAsync(loadCocoDataset(folder), { code: 'ERR_FILE', message: /cannot be read \(EISDIR\)/ });
  const cut = write('cut.json', '{"images": [');
  await t.throwsAsync(loadCocoDataset(cut), { code: 'ERR_FILE', message: /cut\.json: is not JSON \(/ });
  const list = write('list.json', '\ufeff[]');
  await t.throwsAsync(loadCocoDataset(list), { code: 'ERR_ARGUMENT', message: /list\.json must be an object/ });
  t.deepEqual(await loadCocoResults(list), []);
  const object = write('object.json', '{}');
  await t.throwsAsync(loadCocoResults(object), { code: 'ERR_ARGUMENT', message: /object\.json must be an array/ });
  await t.throwsAsync(loadCocoDataset(''), { code: 'ERR_ARGUMENT' });
  await t.throwsAsync(loadCocoDataset(new URL('https://example.org/gt.json')), { code: 'ERR_ARGUMENT' });
});

test('what is wrong in a data set is named', (t) => {
  const cases: [json: unknown, message: string][] = [
    [{ ...good, images: undefined }, 'dataset: images must be an array; received undefined'],
    [{ ...good, images: [image, 7] }, 'dataset: images[1] must be an object; received 7'],
    [{ ...good, images: [{ ...image, id: 'a' }] }, 'dataset: images[0].id must be an integer; received "a"'],
    [
      { ...good, images: [{ ...image, width: 0 }] },
      'dataset: images[0].width must be an integer of at least 1; received 0',
    ],
    [{ ...good, images: [image, image] }, 'dataset: images[1].id is 1, which is the id of dataset: images[0] too'],
    [{ ...good, categories: {} }, 'dataset: categories must be an array; received an object (Object)'],
    [
      { ...good, annotations: [annotation, annotation] },
      'dataset: annotations[1].id is 5, which is the id of dataset: annotations[0] too',
    ],
  ];
  for (const [json, message] of cases) t.throws(() => parseCocoDataset(json), { code: 'ERR_ARGUMENT', message });
  const fields: [change: object, message: string][] = [
    [{ area: undefined }, '.area must be a finite number; received undefined'],
    [{ image_id: 1.5 }, '.image_id must be an integer; received 1.5'],
    [{ iscrowd: 2 }, '.iscrowd must be 0 or 1; received 2'],
    [{ bbox: [0, 0, 1, null] }, '.bbox must be [x, y, width, height] in finite numbers; received [0, 0, 1, null]'],
    [
      { segmentation: [1, 2, 3] },
      '.segmentation must be polygons [[x, y, ...], ...] or {"size": [height, width], "counts": ...}; received [1, 2, 3]',
    ],
  ];
  for (const [change, message] of fields) {
    const json = { ...good, annotations: [{ ...annotation, ...change }] };
    t.throws(() => parseCocoDataset(json, 'gt'), { code: 'ERR_ARGUMENT', message: `gt: annotations[0]${message}` });
  }
});
