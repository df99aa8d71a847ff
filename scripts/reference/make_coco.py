"""A small COCO-style data set with detections, and what pycocotools makes of them.

    python3 make_coco.py OUTDIR SEED
"""
import contextlib
import io
import json
import os
import sys
from importlib import metadata

import numpy as np
from pycocotools import mask as mu
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common import rle_counts, rng, save_safetensors

OUT, SEED = sys.argv[1], int(sys.argv[2])
os.makedirs(OUT, exist_ok=True)
R = rng(SEED, 1)
S = lambda r: dict(size=[int(v) for v in r['size']], counts=r['counts'].decode() if isinstance(r['counts'], bytes) else r['counts'])


def blob(h, w, cx, cy, rx, ry):
    """A wobbly filled shape as a mask."""
    yy, xx = np.mgrid[0:h, 0:w]
    a = np.arctan2((yy - cy) / ry, (xx - cx) / rx)
    k = R.integers(2, 6)
    rad = 1 + 0.25 * np.sin(k * a + R.random() * 6)
    return (((xx - cx) / rx) ** 2 + ((yy - cy) / ry) ** 2 <= rad ** 2).astype(np.uint8)


def polygon(cx, cy, rx, ry, n):
    a = np.sort(R.random(n)) * 2 * np.pi
    r = 0.7 + 0.5 * R.random(n)
    p = np.stack([cx + rx * r * np.cos(a), cy + ry * r * np.sin(a)], 1)
    return [round(float(v), 2) for v in p.reshape(-1)]


def dataset():
    cats = [dict(id=i, name=n) for i, n in ((1, 'person'), (3, 'car'), (18, 'dog'), (90, 'toothbrush'))]
    images, anns, dets = [], [], []
    aid = 0
    for k in range(9):
        h, w = int(R.integers(90, 170)), int(R.integers(90, 200))
        img = dict(id=1000 + 37 * k, width=w, height=h, file_name='%012d.jpg' % (1000 + 37 * k))
        images.append(img)
        n = 0 if k in (2, 6) else int(R.integers(1, 9))
        for _ in range(n):
            cat = [1, 3, 18][int(R.choice(3, p=[.5, .3, .2]))]
            big = np.exp(R.random() * 3.2 + 0.9)
            cx, cy, rx, ry = R.random() * w, R.random() * h, max(1.5, big * (0.6 + R.random())), max(1.5, big * (0.6 + R.random()))
            crowd = int(R.random() < 0.15)
            kind = R.integers(0, 3)
            if crowd:
                m = blob(h, w, cx, cy, rx * 2, ry * 2)
                seg = dict(size=[h, w], counts=[int(v) for v in rle_counts(m)])
                rle = mu.frPyObjects(seg, h, w)
            elif kind == 0:
                m = blob(h, w, cx, cy, rx, ry)
                rle = mu.encode(np.asfortranarray(m))
                seg = S(rle)
            else:
                polys = [polygon(cx, cy, rx, ry, int(R.integers(4, 12)))]
                if R.random() < 0.3:
                    polys.append(polygon(cx + rx * 1.5, cy, rx * 0.5, ry * 0.5, 5))
                seg = polys
                rle = mu.merge(mu.frPyObjects(polys, h, w))
            area = float(mu.area(rle))
            if area < 4:
                continue
            bb = [round(float(v), 2) for v in mu.toBbox(rle)]
            aid += 1
            a = dict(id=aid, image_id=img['id'], category_id=cat, segmentation=seg, area=area, bbox=bb, iscrowd=crowd)
            if R.random() < 0.05 and not crowd:
                a['ignore'] = 1
            anns.append(a)
            full = mu.decode(rle)
            for _d in range(int(R.choice([0, 1, 1, 1, 2, 3]))):
                dx, dy = (R.standard_normal(2) * 0.15 * np.array([rx, ry])).round().astype(int)
                mm = np.roll(full, (dy, dx), (0, 1)) if R.random() < 0.8 else blob(h, w, cx + dx, cy + dy, rx, ry)
                if mm.sum() == 0:
                    continue
                r2 = mu.encode(np.asfortranarray(mm))
                b2 = mu.toBbox(r2) + R.standard_normal(4) * 0.7
                dets.append(dict(image_id=img['id'], category_id=cat if R.random() < 0.9 else 3, segmentation=S(r2), bbox=[round(float(v), 2) for v in [b2[0], b2[1], max(b2[2], 1), max(b2[3], 1)]],
                                 score=float(np.round(0.2 + 0.8 * R.random(), 1 if R.random() < 0.5 else 5))))
        nf = 0 if k == 6 else (115 if k == 4 else int(R.integers(0, 5)))
        for _ in range(nf):
            m = blob(h, w, R.random() * w, R.random() * h, 2 + R.random() * 25, 2 + R.random() * 25)
            if m.sum() == 0:
                continue
            r2 = mu.encode(np.asfortranarray(m))
            dets.append(dict(image_id=img['id'], category_id=int(R.choice([1, 3, 18, 90], p=[.85, .05, .05, .05] if k == 4 else None)), segmentation=S(r2), bbox=[float(v) for v in mu.toBbox(r2)], score=float(np.round(R.random() * 0.7, 2))))
    order = R.permutation(len(dets))
    return dict(info={}, images=images, annotations=anns, categories=cats), [dets[i] for i in order]


def evaluate(gt, dt):
    exp, tens = {}, {}
    with contextlib.redirect_stdout(io.StringIO()):
        c = COCO()
        c.dataset = json.loads(json.dumps(gt))
        c.createIndex()
        for kind in ('bbox', 'segm'):
            single = json.loads(json.dumps(dt))
            for r in single:  # official result files hold either boxes or masks
                r.pop('segmentation' if kind == 'bbox' else 'bbox')
            d = c.loadRes(single)
            for cats in (1, 0):
                e = run(c, d, kind, useCats=cats)
                e.summarize()
                key = kind + ('' if cats else '_no_categories')
                exp[key] = dict(stats=[float(v) for v in e.stats])
                if cats:
                    exp[key].update(details(e))
                    tens[kind + '.precision'] = np.ascontiguousarray(e.eval['precision'][:, :, :, 0, 2])
                    tens[kind + '.scores'] = np.ascontiguousarray(e.eval['scores'][:, :, :, 0, 2])
                    tens[kind + '.recall'] = np.ascontiguousarray(e.eval['recall'])
            both = c.loadRes(json.loads(json.dumps(dt)))  # boxes and masks in one file
            e = run(c, both, kind)
            e.summarize()
            exp[kind + '_both_fields'] = dict(stats=[float(v) for v in e.stats])
            # Other than the default settings.
            options = dict(maxDets=[1, 2, 4], imgIds=[i['id'] for i in gt['images'][3:8]], catIds=[3, 1], iouThrs=np.array([0.3, 0.5, 0.75]),
                           areaRng=[[0, 1e10], [100, 900]], areaRngLbl=['all', 'some'])
            e = run(c, d, kind, **options)
            tens[kind + '.options.recall'] = np.ascontiguousarray(e.eval['recall'])
            for name in ('precision', 'scores'):  # at every fifth recall
                tens[kind + '.options.' + name] = np.ascontiguousarray(e.eval[name][:, ::5])
    return exp, tens


def run(c, d, kind, **options):
    e = COCOeval(c, d, kind)
    for name, value in options.items():
        setattr(e.params, name, value)
    e.evaluate()
    e.accumulate()
    return e


def details(e):
    P = e.eval['precision']
    per_category = {}
    for i, k in enumerate(e.params.catIds):
        p = P[:, :, i, 0, 2]
        per_category[str(k)] = float(p[p > -1].mean()) if (p > -1).any() else -1.0
    ious = {'%d/%d' % key: np.array(v).tolist() for key, v in e.ious.items() if len(v)}
    matches = []
    for r in e.evalImgs:
        if r and r['aRng'] == [0, 1e10] and r['maxDet'] == 100:
            matches.append(dict(image_id=int(r['image_id']), category_id=int(r['category_id']), gtIds=[int(v) for v in r['gtIds']],
                                dtScores=[float(v) for v in r['dtScores']], gtIgnore=[int(v) for v in r['gtIgnore']],
                                dtMatches_50=[int(v) for v in r['dtMatches'][0]], dtMatches_75=[int(v) for v in r['dtMatches'][5]],
                                dtIgnore_50=[int(v) for v in r['dtIgnore'][0]]))
    return dict(per_category_ap=per_category, ious=ious, matches=matches)


gt, dt = dataset()
exp, tens = evaluate(gt, dt)
exp['environment'] = dict(pycocotools=metadata.version('pycocotools'), numpy=np.__version__)
exp['seed'] = SEED
exp['note'] = ('stats: the 12 numbers of COCOeval.summarize(). Boxes were evaluated with detections of only "bbox", masks of only "segmentation"; '
               '_both_fields: with detections of both.')
for name, value in (('gt.json', gt), ('dt.json', dt), ('expected.json', exp)):
    with open(os.path.join(OUT, name), 'w') as f:
        json.dump(value, f)
save_safetensors(os.path.join(OUT, 'eval.safetensors'), tens)
print(len(gt['annotations']), 'annotations', len(dt), 'detections', sum(a['iscrowd'] for a in gt['annotations']), 'crowds')
for k, v in exp.items():
    if isinstance(v, dict) and 'stats' in v:
        print(k, [round(n, 4) for n in v['stats']])
