"""YOLACT / YOLACT++ reference cases with the official repository's code.

    YOLACT_REPO=<checkout of github.com/dbolya/yolact> python3 make_yolact.py CASE_OR_SPEC.json OUTDIR

The repository runs unchanged, on the CPU: the CUDA-only DCNv2 extension is replaced by a module with the same parameters over
torchvision's deform_conv2d, and OpenCV / pycocotools (imported, not used on this path) by empty modules where absent.
"""
import json
import os
import platform
import sys
import time
import types

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn

import seeded
from common import Recorder, image_sha256, rle_encode

SPEC_KEYS = ['title', 'model', 'seed', 'rules', 'images', 'config', 'store_full', 'sample_limit']
REPO_COMMIT = '902073d414728280b496c5f0a59a8e8285b3c13c'


class DCN(nn.Module):
    def __init__(self, cin, cout, kernel_size, stride, padding, dilation=1, deformable_groups=1):
        super().__init__()
        k = kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.weight = nn.Parameter(torch.zeros(cout, cin, k, k))
        self.bias = nn.Parameter(torch.zeros(cout))
        self.conv_offset_mask = nn.Conv2d(cin, deformable_groups * 3 * k * k, k, stride, padding, bias=True)

    def forward(self, x):
        o1, o2, mask = torch.chunk(self.conv_offset_mask(x), 3, dim=1)
        off = torch.cat((o1, o2), dim=1)
        self.last_offset_absmax = float(off.abs().max())
        return torchvision.ops.deform_conv2d(x, off, self.weight, self.bias, self.stride, self.padding, self.dilation, torch.sigmoid(mask))


def import_repo():
    repo = os.environ['YOLACT_REPO']
    sys.path.insert(0, repo)
    torch.cuda.current_device = lambda: 0
    torch.cuda.device_count = lambda: 2  # turns the repository's TorchScript off
    torch.Tensor.cuda = lambda self, *a, **k: self
    for name in ('cv2', 'pycocotools', 'pycocotools.mask', 'pycocotools.coco'):
        try:
            __import__(name)
        except ImportError:
            sys.modules[name] = types.ModuleType(name)
    if not hasattr(sys.modules['pycocotools'], 'mask'):
        sys.modules['pycocotools'].mask = sys.modules['pycocotools.mask']
    sys.modules['dcn_v2'] = types.ModuleType('dcn_v2')
    sys.modules['dcn_v2'].DCN = DCN
    import yolact
    return yolact


def build(spec):
    Y = import_repo()
    import data
    data.set_cfg(spec['model'] + '_config')
    data.cfg.mask_proto_debug = False
    net = Y.Yolact()
    net.eval()  # returns None: the repository's train() does not return self
    seeded.fill(net, spec['seed'], spec['rules'])
    net.detect.use_fast_nms = True
    net.detect.use_cross_class_nms = bool(spec.get('config', {}).get('cross_class_nms', False))
    return net, data.cfg


def load_bgr(path):
    a = np.array(Image.open(path).convert('RGB'))[:, :, ::-1].copy()
    return torch.from_numpy(a).float()[None]


@torch.no_grad()
def forward(net, img):
    """Everything up to (not including) Detect. img: [1,h,w,3] BGR float."""
    from utils.augmentations import FastBaseTransform
    o, hooks = {}, []
    x = FastBaseTransform()(img)
    o['image'] = x
    hooks.append(net.backbone.register_forward_hook(lambda m, i, r: o.__setitem__('backbone', [t.clone() for t in r])))
    hooks.append(net.fpn.register_forward_hook(lambda m, i, r: o.__setitem__('fpn', [t.clone() for t in r])))
    det = net.detect
    net.detect = lambda preds, n: o.__setitem__('preds', preds)
    raw = {'conf': [], 'mask': []}
    p0 = net.prediction_layers[0]
    hooks.append(p0.conf_layer.register_forward_hook(lambda m, i, r: raw['conf'].append(r.permute(0, 2, 3, 1).reshape(r.shape[0], -1, p0.num_classes))))
    hooks.append(p0.mask_layer.register_forward_hook(lambda m, i, r: raw['mask'].append(r.permute(0, 2, 3, 1).reshape(r.shape[0], -1, p0.mask_dim))))
    try:
        net(x)
    finally:
        net.detect = det
        for h in hooks:
            h.remove()
    o['conf_logits'] = torch.cat(raw['conf'], 1)
    o['mask_pre_tanh'] = torch.cat(raw['mask'], 1)
    return o


@torch.no_grad()
def detect(net, o):
    return net.detect({k: v.clone() for k, v in o['preds'].items()}, net)


@torch.no_grad()
def post(net, cfg, dets, w, h, score_threshold=0.15):
    """-> (classes, scores, integer boxes, float 0/1 masks, soft masks, maskiou or None), through the official postprocess."""
    import layers.output_utils as ou
    soft, iou = [], []
    real = torch.nn.functional.interpolate

    def spy(x, *a, **k):
        y = real(x, *a, **k)
        soft.append(y.squeeze(0).clone())
        return y

    hook = net.maskiou_net.register_forward_hook(lambda m, i, r: iou.append(r.clone())) if cfg.use_maskiou else None
    d = [{'detection': {k: v.clone() for k, v in dets[0]['detection'].items()}, 'net': net}]
    ou.F.interpolate = spy
    try:
        c, s, b, m = ou.postprocess(d, w, h, score_threshold=score_threshold)
    finally:
        ou.F.interpolate = real
        if hook:
            hook.remove()
    mi = torch.gather(iou[0], 1, c.unsqueeze(1)).squeeze(1) if iou else None
    return c, s, b, m, soft[-1], mi


def iou_np(a, b):
    lt, rb = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    wh = np.clip(rb - lt, 0, None)
    i = wh[..., 0] * wh[..., 1]
    ar = lambda x: (x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1])
    return i / np.maximum(ar(a)[:, None] + ar(b)[None] - i, 1e-30)


def margins(net, o, dets, thr=0.15, cross=False):
    from layers.box_utils import decode
    conf = o['preds']['conf'][0].double().numpy()[:, 1:]
    box = decode(o['preds']['loc'][0], o['preds']['priors']).double().numpy()
    mx = conf.max(1)
    keep = mx > net.detect.conf_thresh
    conf, box = conf[keep], box[keep]
    d = dets[0]['detection']
    sc = d['score'].double().numpy()
    res = dict(candidates=int(keep.sum()), conf_thresh_gap=float(np.abs(mx - net.detect.conf_thresh).min()), raw_detections=len(sc),
               raw_min_score=float(sc[-1]), final=int((sc > thr).sum()), classes=int(len(set(d['class'][d['score'] > thr].tolist()))))
    if cross:
        groups = [(conf.max(1), np.arange(len(conf)))]
    else:
        groups = [(conf[:, c], np.arange(len(conf))) for c in range(conf.shape[1])]
    for tag, low in (('final', thr), ('raw', float(sc[-1]) - 1e-9)):
        im, gap, supp, tk, allkept = [], [], 0, [], []
        for s, _ in groups:
            order = np.argsort(-s, kind='stable')
            n = int((s[order] > low - 2e-4).sum())
            if len(order) > net.detect.top_k and n >= net.detect.top_k:
                tk.append(s[order[net.detect.top_k - 1]] - s[order[net.detect.top_k]])
            idx = order[:min(n, net.detect.top_k)]
            if not len(idx):
                continue
            v = np.triu(iou_np(box[idx], box[idx]), 1)
            mxv = v.max(0)
            allkept += s[idx][mxv <= net.detect.nms_thresh].tolist()
            supp += int((mxv > net.detect.nms_thresh).sum())
            # a decision flips when the maximum crosses the threshold
            im += np.abs(mxv[1:] - net.detect.nms_thresh).tolist()
            # or when the order of an overlapping pair flips
            ii, jj = np.nonzero(v > net.detect.nms_thresh)
            gap += (s[idx[ii]] - s[idx[jj]]).tolist()
        k = np.sort(np.array(allkept))[::-1]
        kk = k[k > low]
        res[tag + '_margins'] = dict(nms_suppressed=supp, nms_iou_margin=min(im) if im else None, nms_pair_score_gap=min(gap) if gap else None,
                                     topk_gap=float(min(tk)) if tk else None, score_threshold_gap=float(np.abs(np.array(allkept) - low).min()) if tag == 'final' else None,
                                     min_adjacent_score_gap=float(np.min(-np.diff(kk))) if len(kk) > 1 else None)
    return res


def absmaxes(net, o):
    d = {'image': float(o['image'].abs().max())}
    for i, t in enumerate(o['backbone']):
        d['c%d' % (i + 2)] = float(t.abs().max())
    for i, t in enumerate(o['fpn']):
        d['p%d' % (i + 3)] = float(t.abs().max())
    d['proto'] = [float(o['preds']['proto'].mean()), float(o['preds']['proto'].max())]
    d['loc_std_max'] = [float(o['preds']['loc'].std()), float(o['preds']['loc'].abs().max())]
    d['mask_pre_tanh_std'] = float(o['mask_pre_tanh'].std())
    d['conf_logits'] = [float(x) for x in (o['conf_logits'].min(), o['conf_logits'].std(), o['conf_logits'].max())]
    d['dcn_offset_absmax'] = [round(m.last_offset_absmax, 3) for m in net.modules() if isinstance(m, DCN)]
    return d


def pixels(transform):
    """(x * scale - mean) / std of 8-bit values, as FastBaseTransform does it; settings without a scale mean 1."""
    if transform.to_float:
        return dict(mean_bgr=[0, 0, 0], std_bgr=[1, 1, 1], scale=1 / 255)
    assert transform.normalize
    return dict(mean_bgr=[103.94, 116.78, 123.68], std_bgr=[57.38, 57.12, 58.40])


def record(net, cfg, spec, o, dets, outdir, img_hw, seconds):
    large = spec.get('sample_limit', 65536)  # of the big predictions; the others have at most 4096 elements
    rec = Recorder(limit=min(large, 4096))
    rec.sample('image', o['image'])
    for i, t in enumerate(o['backbone']):
        rec.sample('backbone.c%d' % (i + 2), t)
    for i, t in enumerate(o['fpn']):
        rec.sample('fpn.p%d' % (i + 3), t)
    p = o['preds']
    rec.sample('proto', p['proto'], limit=large)
    if 'proto' in spec.get('store_full', []):
        rec.full('proto', p['proto'])
    cand = torch.nonzero(p['conf'][0, :, 1:].max(1)[0] > 0.9 * net.detect.conf_thresh).squeeze(1)
    rec.full('cand.index', cand)
    for k in ('loc', 'conf', 'mask'):
        rec.full('cand.' + k, p[k][0, cand])
    rec.full('cand.prior', p['priors'][cand])
    rec.sample('loc', p['loc'], limit=large // 2)
    rec.sample('conf_logits', o['conf_logits'], limit=large)
    rec.sample('conf', p['conf'], limit=large)
    rec.sample('mask', p['mask'], limit=large // 2)
    rec.sample('priors', p['priors'], limit=large // 4)
    d = dets[0]['detection']
    for k in ('class', 'score', 'box', 'mask'):
        rec.full('raw.' + k, d[k])
    h, w = img_hw
    c, s, b, m, soft, mi = post(net, cfg, dets, w, h)
    rec.full('post.class', c)
    if isinstance(s, list):
        rec.full('post.box_score', s[0])
        rec.full('post.mask_score', s[1])
        rec.full('post.maskiou', mi)
    else:
        rec.full('post.score', s)
    rec.full('post.box', b)
    rec.sample('post.mask_soft', soft, limit=large // 4)
    masks = [dict(rle_encode(m[i].numpy()), area=int(m[i].sum()), pixels_within_1e_3=int(((soft[i] - 0.5).abs() < 1e-3).sum())) for i in range(len(c))]
    n = len(c)
    rel = d['box'][d['score'] > 0.15][:n].double()
    px = (rel * torch.tensor([w, h, w, h], dtype=torch.float64)).clamp(min=0)
    frac = (px - px.round()).abs()
    case = {k: spec[k] for k in SPEC_KEYS if k in spec}
    case['settings'] = dict(max_size=cfg.max_size, num_classes=cfg.num_classes, conf_thresh=net.detect.conf_thresh, nms_thresh=net.detect.nms_thresh,
                            top_k=net.detect.top_k, max_num_detections=cfg.max_num_detections, score_threshold=0.15, crop_masks=True,
                            fast_nms=True, cross_class_nms=net.detect.use_cross_class_nms, use_maskiou=bool(cfg.use_maskiou), rescore_mask=bool(cfg.rescore_mask),
                            rescore_bbox=bool(cfg.rescore_bbox), pred_scales=cfg.backbone.pred_scales, aspect_ratios=cfg.backbone.pred_aspect_ratios,
                            use_square_anchors=bool(cfg.backbone.use_square_anchors), backbone_args=list(cfg.backbone.args), **pixels(cfg.backbone.transform))
    case['environment'] = dict(torch=torch.__version__, torchvision=torchvision.__version__, numpy=np.__version__, python=platform.python_version(), machine=platform.machine(),
                               yolact_commit=REPO_COMMIT, forward_seconds=round(seconds, 1))
    case['image_sha256_rgb'] = [image_sha256(os.path.join(outdir, p)) for p in spec['images']]
    case['image_shapes'] = [[h, w]]
    case['raw_detections'], case['detections'] = len(d['score']), n
    case['labels'] = [int(x) for x in c]
    case['margins'] = margins(net, o, dets, cross=net.detect.use_cross_class_nms)
    case['margins']['box_coordinates_within_1e_3_of_an_integer'] = int(((frac < 1e-3) & (frac > 0)).sum())
    case['absmax'] = absmaxes(net, o)
    case['tolerances'] = dict(features_relative_to_absmax=2e-5, scores_abs=1e-4, boxes_relative=2e-5, integer_boxes_may_differ_by=1, maskiou_abs=1e-3, mask_pixels_may_differ='pixels_within_1e_3')
    case['state_dict'] = dict(count=len(net.state_dict()), shapes={k: list(v.shape) for k, v in net.state_dict().items()})
    case['masks'] = masks
    if 'stability' in spec:
        case['stability'] = spec['stability']
    rec.write(outdir, case)
    return case


def main():
    spec = json.load(open(sys.argv[1], encoding='utf-8'))
    outdir = sys.argv[2]
    os.makedirs(outdir, exist_ok=True)
    net, cfg = build(spec)
    img = load_bgr(os.path.join(outdir, spec['images'][0]))
    t = time.time()
    o = forward(net, img)
    dets = detect(net, o)
    case = record(net, cfg, spec, o, dets, outdir, tuple(img.shape[1:3]), time.time() - t)
    print(outdir, case['environment']['forward_seconds'], 's', json.dumps(case['margins']), flush=True)


if __name__ == '__main__':
    main()
