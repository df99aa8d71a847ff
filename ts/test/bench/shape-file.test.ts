import test from 'ava';
import { InstasegError } from '../../src/index.js';
import { checkCase, opCase } from '../../src/bench/op-cases.js';
import { parseShapes, readShapes, shapeFiles } from '../../src/bench/shape-file.js';

test('a line is an op, a name and values; comments and empty lines are not', (t) => {
  const text = '# a network\n\nconv2d stem input=1x8x8x3 outputs=4 kernel=3 times=2 # twice\nrelu last input=1x8\n';
  t.deepEqual(parseShapes(text, 'net'), [
    {
      model: 'net',
      op: 'conv2d',
      name: 'stem',
      times: 2,
      values: new Map([
        ['input', '1x8x8x3'],
        ['outputs', '4'],
        ['kernel', '3'],
      ]),
      where: 'net:3',
    },
    { model: 'net', op: 'relu', name: 'last', times: 1, values: new Map([['input', '1x8']]), where: 'net:4' },
  ]);
});

test('what a line lacks is said with the line', (t) => {
  const cases: [text: string, message: RegExp][] = [
    ['conv2d', /^net:1: expected an op, a name/],
    ['conv2d input=1x8x8x3', /^net:1: expected an op, a name/],
    ['\nconv2d a input', /^net:2: expected key=value, received "input"/],
    ['conv2d a times=0', /^net:1: expected a positive integer for times/],
    ['conv2d a outputs=4', /^net:1: expected input=\.\.\. for conv2d/],
    ['conv2d a input=1x8x8 outputs=4', /^net:1: expected 4 sizes joined by x for input, received 1x8x8/],
    ['conv2d a input=1x8x8x3 outputs=4 colour=red', /^net:1: expected input, .* for conv2d, received colour/],
    ['conv2d a input=1x8x8x3 outputs=4 activation=tanh', /^net:1: expected none or relu for activation, received tanh/],
    [
      'conv2d a input=1x8x8x3 outputs=4\nconv2d a input=1x9x9x3 outputs=4',
      /^net:2: expected another name for conv2d than "a", which net:1 has/,
    ],
    ['convolve a input=1x8x8x3', /^net:1: expected one of conv2d, .*, received "convolve"/],
  ];
  for (const [text, message] of cases) {
    const error = t.throws(() => parseShapes(text, 'net').map(opCase), { instanceOf: InstasegError }, text);
    t.regex(error.message, message);
  }
});

test('every case of every file in the package makes sense', (t) => {
  t.deepEqual(shapeFiles(), ['maskrcnn_resnet50_fpn', 'yolact_plus_resnet50']);
  for (const file of shapeFiles()) {
    const cases = readShapes(file);
    t.true(cases.length > 30);
    const names = cases.map(({ op, name }) => `${op} ${name}`);
    t.is(new Set(names).size, names.length, 'a case is found by its name');
    for (const shape of cases) t.notThrows(() => checkCase(shape), shape.where);
  }
});

test('a file that is not there is named, with those that are', (t) => {
  const error = t.throws(() => readShapes('nowhere.txt'), { instanceOf: InstasegError });
  t.is(error.code, 'ERR_FILE');
  t.regex(error.message, /nowhere\.txt.*ENOENT.*maskrcnn_resnet50_fpn/);
});
