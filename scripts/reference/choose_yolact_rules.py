"""Finds seeded weights with which a YOLACT case has detections of many classes, all decided by safe margins.

    YOLACT_REPO=... python3 choose_yolact_rules.py SPEC.json OUTDIR [FIRST_SEED]

The spec is that of make_yolact.py without seed and without the biases of the classes. For each seed the network runs
once; then every class of every anchor gets a bias that puts its logits on a common level, and the background one that
leaves between 15 and 40 detections. The first seed whose margins are all wide enough is written to OUTDIR/spec.json.
"""
import json
import os
import sys

import numpy as np
import torch

import make_yolact as make

DETECTIONS, FILLED, CLASSES, SUPPRESSED = (15, 40), 10, 6, 2
WANTED = dict(nms_iou_margin=4e-3, nms_pair_score_gap=1e-3, score_threshold_gap=1.5e-3, min_adjacent_score_gap=5e-4)
WANTED_CANDIDATES = 1.5e-4
# Of a coordinate in pixels from the next integer, where truncation jumps.
WANTED_PIXELS = 0.01
# Of the predicted IoU: the scores of the masks are to differ from those of the boxes.
WANTED_MASK_IOU = 0.05


def wide(found, cross):
    final = found['final_margins']
    return (DETECTIONS[0] <= found['final'] <= DETECTIONS[1] and found['classes'] >= CLASSES
            and final['nms_suppressed'] >= SUPPRESSED and found['conf_thresh_gap'] >= WANTED_CANDIDATES
            and all(final[k] is None or final[k] >= v for k, v in WANTED.items()))


@torch.no_grad()
def finished(net, cfg, dets, size):
    """Whether the boxes' coordinates are far from integers and the mask scores vary."""
    h, w = size
    _, scores, boxes, masks, _, iou = make.post(net, cfg, dets, w, h)
    d = dets[0]['detection']
    px = d['box'][:len(boxes)].double() * torch.tensor([w, h, w, h], dtype=torch.float64)
    far = bool(((px - px.round()).abs() > WANTED_PIXELS).all())
    inside = int(((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).sum())
    filled = int((masks.sum((1, 2)) > 0).sum())
    varied = iou is None or float(iou.min()) < float(iou.max()) - WANTED_MASK_IOU and float(iou.max()) < 1
    print('   far', far, 'inside', inside, 'filled', filled, 'iou', None if iou is None else (float(iou.min()), float(iou.max())), flush=True)
    return far and inside >= DETECTIONS[0] and filled >= FILLED and varied


def main():
    spec = json.load(open(sys.argv[1], encoding='utf-8'))
    outdir = sys.argv[2]
    os.makedirs(outdir, exist_ok=True)
    image = make.load_bgr(os.path.join(outdir, spec['images'][0]))
    size = tuple(image.shape[1:3])
    for seed in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1, 1000):
        spec['seed'] = seed
        net, cfg = make.build(spec)
        o = make.forward(net, image)
        logits = o['conf_logits'][0].numpy()
        anchors = sum(len(r) for r in cfg.backbone.pred_aspect_ratios[0]) * len(cfg.backbone.pred_scales[0])
        by_anchor = logits.reshape(-1, anchors, logits.shape[1])
        print('seed', seed, 'absmax', json.dumps(make.absmaxes(net, o)), flush=True)
        for share in (0.995, 0.99, 0.97):
            level = -np.quantile(by_anchor, share, axis=0)
            cross = net.detect.use_cross_class_nms
            for background in np.arange(-4, 16, 0.1):
                extra = np.round(level, 1)
                extra[:, 0] = np.round(level[:, 0] + background, 1)
                moved = torch.from_numpy((by_anchor + extra.astype(np.float32)).reshape(logits.shape))[None]
                conf = torch.softmax(moved, -1)
                best = conf[0, :, 1:].max(1)[0]
                if not 10 <= int((best > 0.15).sum()) <= 150 or int((best > net.detect.conf_thresh).sum()) > 1500:
                    continue  # measuring margins takes much longer
                case = dict(o, conf_logits=moved, preds=dict(o['preds'], conf=conf))
                dets = make.detect(net, case)
                found = make.margins(net, case, dets, cross=cross)
                if wide(found, cross) and finished(net, cfg, dets, size):
                    print(json.dumps(found))
                    rule = next(r for r in spec['rules'] if r[0] == 'conf_layer')
                    rule[3:] = [{str(i): float('%.1f' % e) for i, e in enumerate(extra.reshape(-1))}]
                    json.dump(spec, open(os.path.join(outdir, 'spec.json'), 'w'), indent=1)
                    return
    raise SystemExit('no seed has wide margins')


if __name__ == '__main__':
    main()
