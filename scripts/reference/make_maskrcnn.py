"""Mask R-CNN reference cases with torchvision's own code.

    python3 make_maskrcnn.py CASE_OR_SPEC.json OUTDIR

The JSON gives model, seed, rules, images (paths relative to the OUTDIR) and config; an existing case.json is a valid
spec, so every case can be regenerated from itself. `sample_limit` is the number of elements kept of a large tensor.
"""
import json
import os
import platform
import sys
import time

import numpy as np
import torch
import torchvision
from PIL import Image

import seeded
from common import Recorder, image_sha256, rle_encode

SPEC_KEYS = ['title', 'model', 'num_classes', 'seed', 'rules', 'images', 'config', 'store_full', 'sample_limit']
DEFAULTS = dict(min_size=800, max_size=1333, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
                size_divisible=32, rpn_pre_nms_top_n_test=1000, rpn_post_nms_top_n_test=1000, rpn_nms_thresh=0.7,
                rpn_score_thresh=0.0, rpn_min_size=1e-3, box_score_thresh=0.05, box_nms_thresh=0.5,
                box_detections_per_img=100, box_min_size=1e-2, mask_threshold=0.5)
PASSED = ['min_size', 'max_size', 'rpn_pre_nms_top_n_test', 'rpn_post_nms_top_n_test', 'rpn_nms_thresh',
          'box_score_thresh', 'box_nms_thresh', 'box_detections_per_img']


def build(spec):
    cfg = {k: spec.get('config', {}).get(k, DEFAULTS[k]) for k in PASSED}
    if spec['model'] == 'maskrcnn_resnet50_fpn':
        # what maskrcnn_resnet50_fpn(weights=COCO_V1) builds: FrozenBatchNorm2d with eps overwritten to 0.0
        from torchvision.models.detection._utils import overwrite_eps
        from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
        from torchvision.models.detection.mask_rcnn import MaskRCNN
        from torchvision.ops.misc import FrozenBatchNorm2d
        body = torchvision.models.resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
        model = MaskRCNN(_resnet_fpn_extractor(body, 0), spec['num_classes'], **cfg)
        overwrite_eps(model, 0.0)
    elif spec['model'] == 'maskrcnn_resnet50_fpn_v2':
        from torchvision.models.detection import maskrcnn_resnet50_fpn_v2
        model = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=spec['num_classes'], **cfg)
    else:
        raise SystemExit('unknown model ' + spec['model'])
    return seeded.fill(model.eval(), spec['seed'], spec['rules'])


def load_image(path):
    a = np.array(Image.open(path).convert('RGB'))
    return torch.from_numpy(a.copy()).permute(2, 0, 1).contiguous().float().div(255)


@torch.no_grad()
def run(model, imgs):
    """The official eval path, stage by stage, with the intermediate values kept."""
    out, hooks = {}, []

    def keep(mod, key):
        hooks.append(mod.register_forward_hook(lambda m, i, o: out.__setitem__(key, o)))

    keep(model.rpn.head, 'rpn_head')
    keep(model.rpn.anchor_generator, 'anchors')
    rh = model.roi_heads
    for m, k in [(rh.box_roi_pool, 'box_roi'), (rh.box_head, 'box_feat'), (rh.box_predictor, 'box_out'),
                 (rh.mask_roi_pool, 'mask_roi'), (rh.mask_head, 'mask_feat'), (rh.mask_predictor, 'mask_logits')]:
        keep(m, k)
    orig_filter = model.rpn.filter_proposals

    def filt(proposals, objectness, *a):
        out['rpn_decoded'] = proposals
        r = orig_filter(proposals, objectness, *a)
        out['proposals'], out['proposal_scores'] = r
        return r

    model.rpn.filter_proposals = filt
    sizes = [tuple(i.shape[-2:]) for i in imgs]
    images, _ = model.transform([i.clone() for i in imgs])
    out['images'], out['image_sizes'] = images.tensors, images.image_sizes
    keep(model.backbone.body, 'body')
    feats = model.backbone(images.tensors)
    out['feats'] = feats
    proposals, _ = model.rpn(images, feats)
    dets, _ = rh(feats, proposals, images.image_sizes)
    out['raw_dets'] = [dict(d) for d in dets]
    out['dets'] = model.transform.postprocess([dict(d) for d in dets], images.image_sizes, sizes)
    for h in hooks:
        h.remove()
    del model.rpn.filter_proposals
    return out


def iou_matrix(a, b):
    lt = np.maximum(a[:, None, :2], b[None, :, :2])
    rb = np.minimum(a[:, None, 2:], b[None, :, 2:])
    wh = np.clip(rb - lt, 0, None)
    inter = wh[..., 0] * wh[..., 1]
    area = lambda x: (x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1])
    return inter / (area(a)[:, None] + area(b)[None] - inter + 1e-12)


def nms_margin(boxes, scores, groups, thr):
    """Greedy NMS per group -> keep, |IoU - threshold| of all deciding pairs, n suppressed, the smallest score gap
    between a box and one that it suppresses (below it the survivor of the pair would change)."""
    keep, marg, supp, gap = [], [], 0, float('inf')
    for g in np.unique(groups):
        idx = np.flatnonzero(groups == g)
        o = idx[np.argsort(-scores[idx], kind='stable')]
        while o.size:
            i = o[0]
            keep.append(i)
            v = iou_matrix(boxes[i:i + 1].astype(np.float64), boxes[o[1:]].astype(np.float64))[0]
            marg.append(np.abs(v - thr))
            hit = o[1:][v > thr]
            if len(hit):
                supp += len(hit)
                gap = min(gap, float((scores[i] - scores[hit]).min()))
            o = o[1:][v <= thr]
    m = np.concatenate(marg) if marg else np.zeros(0)
    return np.array(keep, np.int64), m, supp, (gap if supp else None)


def margins(model, out):
    """How far every decision is from flipping."""
    res = []
    obj, deltas = out['rpn_head']
    n = len(out['dets'])
    per_level = [o.shape[1] * o.shape[2] * o.shape[3] for o in obj]
    pre = model.rpn.pre_nms_top_n()
    logits_all = [o.permute(0, 2, 3, 1).reshape(n, -1).double().numpy() for o in obj]
    cls, reg = out['box_out']
    nprops = [len(p) for p in out['proposals']]
    off = 0
    for b in range(n):
        m = {}
        gaps, lvl, sel, base = [], [], [], 0
        for li, o in enumerate(logits_all):
            s = np.sort(o[b])[::-1]
            if len(s) > pre:
                gaps.append(float(s[pre - 1] - s[pre]))
            top = np.argsort(-o[b], kind='stable')[:pre]
            sel.append(top + base)
            lvl.append(np.full(len(top), li))
            base += per_level[li]
        sel, lvl = np.concatenate(sel), np.concatenate(lvl)
        H, W = out['image_sizes'][b]
        boxes = out['rpn_decoded'][b].numpy()[sel].copy()
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, W)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, H)
        lg = np.concatenate([o[b] for o in logits_all])[sel]
        keep, mg, supp, gap = nms_margin(boxes, lg, lvl, model.rpn.nms_thresh)
        sk = np.sort(lg[keep])[::-1]
        post = model.rpn.post_nms_top_n()
        m['rpn'] = dict(topk_logit_gap=min(gaps) if gaps else None, nms_pairs_within_2e_4=int((mg < 2e-4).sum()),
                        nms_pairs_within_1e_5=int((mg < 1e-5).sum()), nms_min_iou_margin=float(mg.min()),
                        nms_suppressed=supp, nms_pair_logit_gap=gap, kept_before_cut=int(len(keep)), proposals=nprops[b],
                        post_cut_logit_gap=float(sk[post - 1] - sk[post]) if len(sk) > post else None,
                        per_level_kept=[int((lvl[keep] == i).sum()) for i in range(len(obj))],
                        max_prob=float(out['proposal_scores'][b].max()))
        # final detections
        c = cls[off:off + nprops[b]].double()
        p = torch.softmax(c, -1).numpy()
        bx = model.roi_heads.box_coder.decode(reg[off:off + nprops[b]], [out['proposals'][b]]).numpy().copy()
        bx[..., 0::2] = bx[..., 0::2].clip(0, W)
        bx[..., 1::2] = bx[..., 1::2].clip(0, H)
        off += nprops[b]
        k = p.shape[1]
        boxes = bx[:, 1:].reshape(-1, 4)
        sc = p[:, 1:].reshape(-1)
        lab = np.tile(np.arange(1, k), (len(p), 1)).reshape(-1)
        thr = model.roi_heads.score_thresh
        cand = sc > thr
        near = float(np.abs(sc - thr).min())
        bb, ss, ll = boxes[cand], sc[cand], lab[cand]
        wh = np.minimum(bb[:, 2] - bb[:, 0], bb[:, 3] - bb[:, 1])
        szm = float(np.abs(wh - 1e-2).min()) if len(wh) else None
        ok = wh >= 1e-2
        bb, ss, ll = bb[ok], ss[ok], ll[ok]
        keep, mg, supp, gap = nms_margin(bb, ss, ll, model.roi_heads.nms_thresh)
        ks = np.sort(ss[keep])[::-1]
        D = model.roi_heads.detections_per_img
        final = ks[:D]
        m['final'] = dict(candidates=int(len(ss)), nms_suppressed=supp, nms_pair_score_gap=gap, kept_before_cut=int(len(ks)),
                          detections=int(len(out['dets'][b]['labels'])),
                          classes=int(len(set(out['dets'][b]['labels'].tolist()))),
                          score_threshold_gap=near, nms_iou_margin=float(mg.min()) if len(mg) else None,
                          nms_pairs=int((mg < 1).sum()), min_size_gap=szm,
                          cut_score_gap=float(ks[D - 1] - ks[D]) if len(ks) > D else None,
                          min_adjacent_score_gap=float(np.min(-np.diff(final))) if len(final) > 1 else None,
                          score_max=float(final.max()) if len(final) else None)
        res.append(m)
    return res


def absmaxes(out):
    d = {'image': float(out['images'].abs().max())}
    for k, v in out['body'].items():
        d['c' + str(int(k) + 2)] = float(v.abs().max())
    for k, v in out['feats'].items():
        d['p_' + k] = float(v.abs().max())
    d['deltas'] = [float(x.abs().max()) for x in out['rpn_head'][1]]
    d['objectness'] = [[float(x.min()), float(x.mean()), float(x.std()), float(x.max())] for x in out['rpn_head'][0]]
    for k in ('box_roi', 'box_feat', 'mask_feat', 'mask_logits'):
        if k in out:
            d[k] = float(out[k].abs().max())
    d['cls_logits'] = [float(x) for x in (out['box_out'][0].min(), out['box_out'][0].std(), out['box_out'][0].max())]
    d['box_deltas'] = [float(out['box_out'][1].std()), float(out['box_out'][1].abs().max())]
    return d


def paste_gap(boxes, m=28, pad=1):
    """Distance (px) of each box's four expanded coordinates from the next integer at which the pasted mask changes size or place."""
    b = np.asarray(boxes, np.float64)
    k = (m + 2 * pad) / m
    half, mid = (b[:, 2:] - b[:, :2]) / 2 * k, (b[:, 2:] + b[:, :2]) / 2
    e = np.concatenate([mid - half, mid + half], 1)
    r = np.where(np.abs(e) < 0.5, np.where(e < 0, -1.0, 1.0), np.round(e))  # truncation is smooth through zero
    return np.abs(e - r).min(1)


def record(model, spec, out, outdir, seconds):
    limit = spec.get('sample_limit', 4096)
    rec = Recorder(limit)
    rec.sample('image', out['images'])
    for k, v in out['body'].items():
        rec.sample('body.c' + str(int(k) + 2), v)
    for k, v in out['feats'].items():
        rec.sample('fpn.' + k, v)
    for i, (o, d) in enumerate(zip(*out['rpn_head'])):
        rec.sample('rpn.objectness.%d' % i, o)
        rec.sample('rpn.deltas.%d' % i, d)
        if 'rpn' in spec.get('store_full', []):
            rec.full('rpn.objectness.%d' % i, o)
            rec.full('rpn.deltas.%d' % i, d)
    rec.sample('rpn.anchors', torch.cat([a for a in out['anchors'][:1]]))
    nprops, ndets = [len(p) for p in out['proposals']], [len(d['labels']) for d in out['dets']]
    for b in range(len(out['dets'])):
        rec.full('proposals.%d' % b, out['proposals'][b])
        rec.full('proposal_scores.%d' % b, out['proposal_scores'][b])
    rec.sample('box_roi_pool', out['box_roi'])
    rec.sample('box_head', out['box_feat'])
    rec.full('box_logits', out['box_out'][0])
    rec.full('box_deltas', out['box_out'][1])
    rec.sample('mask_roi_pool', out['mask_roi'])
    rec.sample('mask_head', out['mask_feat'])
    rec.sample('mask_logits_all_classes', out['mask_logits'], limit=4 * limit)
    masks, off = [], 0
    for b, d in enumerate(out['dets']):
        n = ndets[b]
        lab = d['labels']
        rec.full('mask_logits.%d' % b, out['mask_logits'][off:off + n][torch.arange(n), lab])
        off += n
        rec.full('mask_probs.%d' % b, out['raw_dets'][b]['masks'][:, 0])
        rec.full('boxes_transformed.%d' % b, out['raw_dets'][b]['boxes'])
        rec.full('boxes.%d' % b, d['boxes'])
        rec.full('scores.%d' % b, d['scores'])
        rec.full('labels.%d' % b, lab)
        m = d['masks'][:, 0]
        rec.sample('masks_pasted.%d' % b, m, limit=4 * limit)
        thr = DEFAULTS['mask_threshold']
        gaps = paste_gap(d['boxes'].numpy())
        masks.append([dict(rle_encode((x > thr).numpy()), area=int((x > thr).sum()), paste_gap_px=float('%.4g' % g),
                           pixels_within_1e_3=int(((x - thr).abs() < 1e-3).sum()),
                           mean_probability=float(x.double().sum() / max(int((x > 0).sum()), 1))) for x, g in zip(m, gaps)])
    case = {k: spec[k] for k in SPEC_KEYS if k in spec}
    case['config'] = {**DEFAULTS, **spec.get('config', {})}
    case['environment'] = dict(torch=torch.__version__, torchvision=torchvision.__version__, numpy=np.__version__,
                               python=platform.python_version(), machine=platform.machine(),
                               forward_seconds=round(seconds, 1))
    case['image_sha256_rgb'] = [image_sha256(os.path.join(outdir, p)) for p in spec['images']]
    case['image_shapes'] = [list(Image.open(os.path.join(outdir, p)).size[::-1]) for p in spec['images']]
    case['transformed_sizes'] = [list(map(int, s)) for s in out['image_sizes']]
    case['batch_shape'] = list(out['images'].shape)
    case['proposals'] = nprops
    case['detections'] = ndets
    case['labels'] = [[int(x) for x in d['labels']] for d in out['dets']]
    case['margins'] = margins(model, out)
    case['absmax'] = absmaxes(out)
    case['tolerances'] = dict(features_relative_to_absmax=2e-5, per_roi_relative_to_absmax=3e-4, proposals_abs_px=2e-2, scores_abs=3e-4, boxes_abs_px=2e-2,
                              mask_prob_abs=1e-3, mask_pixels_may_differ='pixels_within_1e_3 where paste_gap_px > 0.02')
    case['masks'] = masks
    for k in ('stability',):
        if k in spec:
            case[k] = spec[k]
    rec.write(outdir, case)


def main():
    spec = json.load(open(sys.argv[1], encoding='utf-8'))
    outdir = sys.argv[2]
    os.makedirs(outdir, exist_ok=True)
    model = build(spec)
    imgs = [load_image(os.path.join(outdir, p)) for p in spec['images']]
    t = time.time()
    out = run(model, imgs)
    seconds = time.time() - t
    record(model, spec, out, outdir, seconds)
    for b, m in enumerate(margins(model, out)):
        print(outdir, b, json.dumps(m), flush=True)


if __name__ == '__main__':
    main()
