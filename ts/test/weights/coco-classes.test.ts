import test from 'ava';
import { classList, COCO_IDS, COCO_NAMES, COCO_SLOTS } from '../../src/weights/coco-classes.js';

test('COCO has 91 slots and 80 categories', (t) => {
  t.is(COCO_SLOTS.length, 91);
  t.is(COCO_NAMES.length, 80);
  t.is(new Set(COCO_NAMES).size, 80);
  t.deepEqual([COCO_SLOTS[1], COCO_SLOTS[17], COCO_SLOTS[90]], ['person', 'cat', 'toothbrush']);
  t.deepEqual([COCO_IDS[0], COCO_IDS[11], COCO_IDS[79]], [1, 13, 90]);
  t.deepEqual(COCO_NAMES[11], 'stop sign');
});

test('91 and 81 classes without names are COCO', (t) => {
  const slots = classList(91);
  t.deepEqual([slots.classNames[17], slots.categoryIds[17]], ['cat', 17]);
  t.deepEqual([slots.classNames[0], slots.categoryIds[0]], ['background', 0]);
  const contiguous = classList(81);
  t.deepEqual([contiguous.classNames[80], contiguous.categoryIds[80]], ['toothbrush', 90]);
});

test('names that are COCO keep its ids, whatever the background is called', (t) => {
  t.deepEqual(classList(81, COCO_NAMES).categoryIds.slice(0, 14), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14]);
  t.is(classList(91, ['__background__', ...COCO_SLOTS.slice(1)]).categoryIds[90], 90);
});

test('other classes are numbered from 1', (t) => {
  t.deepEqual(classList(3), { classNames: ['background', 'class 1', 'class 2'], categoryIds: [0, 1, 2] });
  t.deepEqual(classList(3, ['cup', 'saucer']), { classNames: ['background', 'cup', 'saucer'], categoryIds: [0, 1, 2] });
  t.deepEqual(classList(3, ['none', 'cup', 'saucer']).classNames, ['none', 'cup', 'saucer']);
  const renamed = classList(
    91,
    COCO_SLOTS.map((name, i) => (i === 17 ? 'my cat' : name)),
  );
  t.is(renamed.categoryIds[17], 17);
});
