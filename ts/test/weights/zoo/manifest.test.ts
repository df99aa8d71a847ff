import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { cacheDirectory, InstasegError, listZoo, pullWeights } from '../../../src/index.js';
import { publishedName } from '../../../src/weights/zoo/cache.js';
import { findZooModel } from '../../../src/weights/zoo/find.js';

test('every name and alias belongs to one model', (t) => {
  const names = listZoo().flatMap(({ name, aliases }) => [name, ...aliases]);
  t.is(new Set(names.map((name) => name.toLowerCase())).size, names.length);
  for (const model of listZoo()) {
    for (const name of [model.name, ...model.aliases]) t.is(findZooModel(name), model);
  }
  t.is(findZooModel('MaskRCNN-ResNet50-FPN')?.name, 'maskrcnn_resnet50_fpn');
  t.is(findZooModel('./maskrcnn_resnet50_fpn'), undefined);
});

test('the manifest agrees with itself', (t) => {
  t.is(listZoo().length, 11);
  for (const model of listZoo()) {
    const { name, url, checksum, bytes, megabytes, family } = model;
    t.regex(url, /^https:\/\/[a-z.]+\/[\w/.-]+\.(pth|pkl)$/, name);
    t.regex(name, /^\w+$/);
    if (bytes !== undefined) t.is(Math.round(bytes / 1e6), megabytes, name);
    // The published names carry the first digits of the checksum.
    const digits = /[-_]([0-9a-f]{6}|[0-9a-f]{8})\.(pth|pkl)$/.exec(publishedName(model))?.[1];
    if (family === 'yolact') t.is(checksum, undefined);
    else t.is(checksum?.digits.slice(0, digits?.length), digits, name);
    if (checksum && checksum.digits.length > 8) {
      t.is(checksum.digits.length, createHash(checksum.algorithm).digest('hex').length);
    }
    t.true(model.maskAp > 25 && model.maskAp < 45 && (model.boxAp === undefined || model.boxAp > model.maskAp));
  }
});

test('a name that is none is refused with the names that there are', async (t) => {
  for (const name of ['maskrcnn', '', 5]) {
    const error = await t.throwsAsync(pullWeights(name as string), { instanceOf: InstasegError });
    t.is(error?.code, 'ERR_ARGUMENT');
    t.regex(error?.message ?? '', /There are maskrcnn_resnet50_fpn, .*, yolact_plus_base$/);
  }
});

test.serial('the cache is where option, environment or system say', (t) => {
  const saved = { ...process.env };
  try {
    delete process.env['INSTASEG_CACHE'];
    process.env['XDG_CACHE_HOME'] = '/var/cache/somebody';
    if (process.platform === 'linux') t.is(cacheDirectory(), '/var/cache/somebody/instaseg');
    process.env['XDG_CACHE_HOME'] = 'relative';
    if (process.platform === 'linux') t.is(cacheDirectory(), join(homedir(), '.cache', 'instaseg'));
    process.env['INSTASEG_CACHE'] = 'elsewhere';
    t.is(cacheDirectory(), resolve('elsewhere'));
    t.is(cacheDirectory('/here'), '/here');
  } finally {
    process.env = saved;
  }
});
