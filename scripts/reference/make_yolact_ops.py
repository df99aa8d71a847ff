"""Small cases for YOLACT's own functions, computed by the official repository's code.

    YOLACT_REPO=... python3 make_yolact_ops.py OUTDIR SEED        (writes OUTDIR/yolact)
"""
import os
import platform
import sys

import numpy as np
import torch
import torchvision

from common import rng, save_safetensors, sha256_file, write_json
from make_yolact import import_repo

OUT, SEED = sys.argv[1], int(sys.argv[2])
Y = import_repo()
from data import cfg, set_cfg  # noqa: E402
from layers import box_utils as bu  # noqa: E402
from layers.functions.detection import Detect  # noqa: E402
from utils.augmentations import FastBaseTransform  # noqa: E402

R = rng(SEED, 500)
cases, tens = [], {}
f32 = lambda a: torch.from_numpy(np.asarray(a).astype(np.float32))


def add(name, params, inputs, outputs, note=None):
    c = dict(name=name, params=params, inputs={}, outputs={})
    if note:
        c['note'] = note
    for kind, d in (('inputs', inputs), ('outputs', outputs)):
        for k, v in d.items():
            # An output may have the name of an input (boxes, masks, scores).
            key = name + ('.out.' if kind == 'outputs' and k in inputs else '.') + k
            tens[key] = v.detach().contiguous().numpy()
            c[kind][k] = key
    cases.append(c)


def boxes(n, spread=1.0, lo=0.02, hi=0.4):
    c, s = R.random((n, 2)) * spread, lo + R.random((n, 2)) * (hi - lo)
    return np.concatenate([c - s / 2, c + s / 2], 1)


pri = f32(np.concatenate([R.random((60, 2)), 0.02 + R.random((60, 2)) * 0.5], 1))
loc = f32(R.standard_normal((60, 4)) * 3)
add('decode', dict(fn='decode', variances=[0.1, 0.2]), dict(loc=loc, priors=pri), dict(output=bu.decode(loc, pri)), 'priors are cx, cy, w, h; result x1, y1, x2, y2, all relative')
a, b = f32(boxes(12)), f32(boxes(17))
add('jaccard', dict(fn='jaccard'), dict(a=a, b=b), dict(output=bu.jaccard(a, b)))
x1, x2 = f32([0.1, 0.9, -0.2, 0.5, 1.2, 0.3333, 0.0, 0.7]), f32([0.6, 0.2, 0.4, 0.5, 1.4, 1.01, 1.0, -0.1])
for pad in (0, 1):
    for cast in (False, True):
        o = bu.sanitize_coordinates(x1.clone(), x2.clone(), 138, pad, cast)
        add('sanitize_pad%d_%s' % (pad, 'cast' if cast else 'float'), dict(fn='sanitize_coordinates', size=138, padding=pad, cast=cast), dict(x1=x1, x2=x2), dict(x1=o[0], x2=o[1]),
            'reversed pairs are swapped; only the lower end is clamped at 0 and only the upper end at the size')
h, w, n = 21 + SEED % 5, 17 + SEED % 3, 14
bx = f32(np.concatenate([boxes(9), [[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0.8, 0.9, 0.2, 0.1], [-0.5, -0.4, 0.3, 0.2], [1.2, 0.1, 1.6, 0.4]]]))
m = f32(0.1 + R.random((h, w, n)))
add('crop', dict(fn='crop', padding=1), dict(masks=m, boxes=bx), dict(output=bu.crop(m, bx)), 'masks [h, w, n]')
m1 = f32(R.random((h, w, 32)))
cf = f32(np.tanh(R.standard_normal((n, 32))))
lin = torch.sigmoid((m1 - 0.5) @ cf.t())
add('lincomb', dict(fn='sigmoid(proto @ coef^T)'), dict(proto=m1 - 0.5, coef=cf), dict(output=lin))


def good(bb, sc, thr=0.5):
    j = bu.jaccard(bb, bb)
    j.fill_diagonal_(1)
    return bool(((j - thr).abs() > 1e-4).all())


det = Detect(81, bkg_label=0, top_k=20, conf_thresh=0.05, nms_thresh=0.5)
cfg.max_num_detections = 30
for _ in range(200):
    bb = f32(boxes(60, 0.5, 0.1, 0.4))
    if good(bb, None):
        break
for k, name in ((6, 'fast_nms'), (6, 'cc_fast_nms')):
    sc = f32((R.permutation(6 * 60).reshape(6, 60) + 1) / 361.0)
    mm = f32(R.standard_normal((60, 32)))
    r = getattr(det, name)(bb, mm, sc, 0.5, 20)
    add(name, dict(fn='Detect.' + name, iou_threshold=0.5, top_k=20, max_num_detections=30), dict(boxes=bb, masks=mm, scores=sc), dict(boxes=r[0], masks=r[1], classes=r[2], scores=r[3]),
        'scores [classes, boxes] without background; suppressed boxes still suppress; cc_fast_nms has no cut at max_num_detections')
def nms_plus_one(dets, thresh):
    """What utils/cython_nms.pyx computes (it needs a compiler and an old numpy): +1 widths, float32, IoU >= threshold."""
    x1, y1, x2, y2, s = dets.T
    one = np.float32(1)
    area = (x2 - x1 + one) * (y2 - y1 + one)
    order, dead = s.argsort()[::-1], np.zeros(len(s), bool)
    for k, i in enumerate(order):
        if not dead[i]:
            for j in order[k + 1:]:
                ww = max(np.float32(0), min(x2[i], x2[j]) - max(x1[i], x1[j]) + one)
                hh = max(np.float32(0), min(y2[i], y2[j]) - max(y1[i], y1[j]) + one)
                if ww * hh / (area[i] + area[j] - ww * hh) >= np.float32(thresh):
                    dead[j] = True
    return np.where(~dead)[0].astype(np.float32)


import types  # noqa: E402
sys.modules['pyximport'] = types.SimpleNamespace(install=lambda **k: None)
sys.modules['utils.cython_nms'] = types.SimpleNamespace(nms=nms_plus_one)
sc = f32((R.permutation(6 * 60).reshape(6, 60) + 1) / 361.0 - 0.1)
mm = f32(R.standard_normal((60, 32)))
r = det.traditional_nms(bb, mm, sc, 0.5, 0.05)
add('traditional_nms', dict(fn='Detect.traditional_nms', iou_threshold=0.5, conf_thresh=0.05, max_size=int(cfg.max_size), max_num_detections=30), dict(boxes=bb, masks=mm, scores=sc), dict(boxes=r[0], masks=r[1], classes=r[2], scores=r[3]),
    'fast_nms off: boxes times max_size, widths + 1, IoU >= threshold, only scores > conf_thresh per class')
for model in ('yolact_base', 'yolact_plus_base', 'yolact_resnet50', 'yolact_resnet50_pascal', 'yolact_im400', 'yolact_im700'):
    set_cfg(model + '_config')
    cfg._tmp_img_w = cfg._tmp_img_h = cfg.max_size
    for lv, size in enumerate(((69, 35, 18, 9, 5) if cfg.max_size == 550 else (50, 25, 13, 7, 4) if cfg.max_size == 400 else (88, 44, 22, 11, 6))):
        if lv not in (0, 2, 4):
            continue
        cfg.num_heads, cfg.mask_dim = 5, 32
        pm = Y.PredictionModule(8, 8, aspect_ratios=cfg.backbone.pred_aspect_ratios[lv], scales=cfg.backbone.pred_scales[lv]) if cfg.extra_head_net is None else None
        if pm is None:
            import types
            pm = types.SimpleNamespace(aspect_ratios=cfg.backbone.pred_aspect_ratios[lv], scales=cfg.backbone.pred_scales[lv], last_img_size=None, priors=None)
        p = Y.PredictionModule.make_priors(pm, size, size, torch.device('cpu'))
        step = 1 if p.shape[0] <= 300 else 37
        add('priors_%s_%d' % (model, size), dict(fn='make_priors', grid=size, max_size=cfg.max_size, scales=cfg.backbone.pred_scales[lv], ratios=cfg.backbone.pred_aspect_ratios[lv],
                                                 use_square_anchors=bool(cfg.backbone.use_square_anchors), total=p.shape[0], step=step), {}, dict(every=p[::step]))
set_cfg('yolact_base_config')
cfg.max_size = 64
im = torch.from_numpy(R.integers(0, 256, (1, 37, 51, 3)).astype(np.uint8))
add('transform', dict(fn='FastBaseTransform', max_size=64), dict(bgr=im), dict(output=FastBaseTransform()(im.float())), 'uint8 BGR HWC -> RGB CHW float, max_size reduced to 64')

d = os.path.join(OUT, 'yolact')
os.makedirs(d, exist_ok=True)
p = os.path.join(d, 'tensors.safetensors')
save_safetensors(p, tens)
write_json(os.path.join(d, 'case.json'), dict(op='yolact', seed=SEED, tolerances=dict(rtol=1e-5, atol=1e-5), environment=dict(torch=torch.__version__, torchvision=torchvision.__version__, numpy=np.__version__, python=platform.python_version()),
                                              cases=cases, tensors_sha256=sha256_file(p)))
print('yolact', len(cases), 'cases', os.path.getsize(p), 'bytes')
