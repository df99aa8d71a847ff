"""Finds seeded weights with which a small Mask R-CNN case has detections of many classes, all decided by safe margins.

    python3 choose_rules.py SPEC.json OUTDIR [FIRST_SEED]

The spec is that of make_maskrcnn.py without seed and without the biases of the classes. For each seed the network runs
once; then every class gets a bias that puts its logits on a common level, and the background one that leaves between
15 and 30 detections an image. The first seed whose margins are all wide enough is written to OUTDIR/spec.json.
"""
import itertools
import json
import os
import sys

import numpy as np
import torch

import make_maskrcnn as make

WANTED = dict(detections=(15, 30), score_threshold_gap=1.5e-3, nms_iou_margin=4e-3, nms_pair_score_gap=2e-3,
              min_adjacent_score_gap=1e-3)
WANTED_RPN = dict(topk_logit_gap=4e-4, nms_min_iou_margin=2.5e-4, nms_pair_logit_gap=5e-4, post_cut_logit_gap=1e-3)


def wide(margin, wanted):
    return all(margin[k] is None or margin[k] >= v for k, v in wanted.items() if not isinstance(v, tuple))


def good(margins):
    """A lone image has at least 15 detections, one of several at least 10."""
    low, high = WANTED['detections']
    return (all(low - 5 <= m['detections'] <= high and m['classes'] >= 8 and wide(m, WANTED) for m in margins)
            and sum(m['detections'] for m in margins) >= low and sum(m['nms_suppressed'] for m in margins) >= 2)


@torch.no_grad()
def detections(model, out, extra):
    """The final stage again with other class biases."""
    logits, deltas = out['box_out']
    logits = logits + torch.tensor(extra, dtype=torch.float32)
    boxes, scores, labels = model.roi_heads.postprocess_detections(logits, deltas, out['proposals'], out['image_sizes'])
    found = [dict(boxes=b, scores=s, labels=n) for b, s, n in zip(boxes, scores, labels)]
    return dict(out, box_out=(logits, deltas), dets=found)


def main():
    spec = json.load(open(sys.argv[1], encoding='utf-8'))
    outdir = sys.argv[2]
    os.makedirs(outdir, exist_ok=True)
    images = [make.load_image(os.path.join(outdir, p)) for p in spec['images']]
    for seed in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1, 1000):
        spec['seed'] = seed
        model = make.build(spec)
        out = make.run(model, images)
        rpn = [m['rpn'] for m in make.margins(model, out)]
        print('seed', seed, json.dumps(rpn), flush=True)
        if not all(wide(m, WANTED_RPN) for m in rpn):
            continue
        logits = out['box_out'][0].numpy()
        for share, background in itertools.product((0.97, 0.9, 0.8, 0.6), np.arange(0, 25, 0.1)):
            extra = np.round(-np.quantile(logits, share, axis=0), 1)
            extra[0] += np.round(background, 1)
            found = detections(model, out, extra)
            if not all(5 <= len(d['labels']) <= 40 for d in found['dets']):
                continue  # measuring margins takes much longer
            m = [m['final'] for m in make.margins(model, found)]
            if good(m):
                print(json.dumps(m))
                rule = next(r for r in spec['rules'] if 'cls_score' in r[0])
                rule[3:] = [{str(i): float('%.1f' % e) for i, e in enumerate(extra)}]
                json.dump(spec, open(os.path.join(outdir, 'spec.json'), 'w'), indent=1)
                return
    raise SystemExit('no seed has wide margins')


if __name__ == '__main__':
    main()
