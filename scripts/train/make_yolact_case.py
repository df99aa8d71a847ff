"""A case for `npm run test:golden` out of the compact YOLACT++: every stage, detections and masks in PyTorch.

    python3 make_yolact_case.py OUTDIR [FIRST_SEED]         # OUTDIR/../../images/shapes.png is the picture

Weights are seeded, as those of the official code's cases are (scripts/reference). For each seed, every class of every
anchor gets a bias that brings its best logits to one level, and the background one that leaves a handful of detections;
the first seed whose decisions are all far from their thresholds is recorded.
"""
import os
import platform
import sys

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'reference'))
import seeded  # noqa: E402
from common import Recorder, image_sha256, rle_encode  # noqa: E402
from yolact_data import load_image  # noqa: E402
from yolact_detect import CONF_THRESHOLD, MAX_DETECTIONS, NMS_THRESHOLD, TOP_K, detect, whole_boxes  # noqa: E402
from yolact_model import MEAN_BGR, RATIOS, STD_BGR, Yolact, YolactConfig, box_iou, decode, preprocess  # noqa: E402

PICTURE = '../../images/shapes.png'
SCORE_THRESHOLD = 0.15
CLASSES = 16
RULES = [['\\.bn3\\.weight$', 0.25, 0], ['fpn\\.lat_layers', 0.4, 0], ['conv_offset_mask', 0.5, 0], ['bbox_layer', 0.5, 0],
         ['mask_layer', 0.5, 0], ['maskiou_net\\.maskiou_net\\.8', 0.7, 0.3]]
DETECTIONS, KINDS, FILLED, SUPPRESSED = (10, 40), 5, 6, 2
WANTED = dict(nms_iou_margin=4e-3, nms_pair_score_gap=1e-3, topk_gap=1e-3, score_gap=5e-4)
WANTED_PIXELS = 0.01
"""Of a coordinate from the next integer, where truncation jumps."""

WANTED_CANDIDATES = 1e-4
"""Of the best score of an anchor from the threshold."""

WANTED_MASK_IOU = 0.05
"""That the predicted quality of the masks differs by at least."""


def margins(boxes, scores, lowest):
    """How close the decisions were that gave the detections with scores from `lowest`: boxes [n, 4], scores [n, C]."""
    found = dict(nms_iou_margin=1.0, nms_pair_score_gap=1.0, topk_gap=1.0, score_gap=1.0)
    suppressed, kept = 0, []
    for column in scores.T:
        order = column.argsort(descending=True, stable=True)
        order = order[column[order] > lowest - 1e-3]
        if len(order) > TOP_K:
            found['topk_gap'] = min(found['topk_gap'], (column[order[TOP_K - 1]] - column[order[TOP_K]]).item())
            order = order[:TOP_K]
        if len(order) == 0:
            continue
        iou = box_iou(boxes[order], boxes[order]).triu(1)
        worst = iou.amax(0)
        suppressed += int((worst > NMS_THRESHOLD).sum())
        kept.append(column[order][worst <= NMS_THRESHOLD])
        found['nms_iou_margin'] = min([found['nms_iou_margin']] + (worst[1:] - NMS_THRESHOLD).abs().tolist())
        first, second = (iou > NMS_THRESHOLD).nonzero(as_tuple=True)
        gaps = column[order[first]] - column[order[second]]
        found['nms_pair_score_gap'] = min([found['nms_pair_score_gap']] + gaps.tolist())
    kept = torch.cat(kept).sort(descending=True).values
    kept = kept[kept > lowest - 1e-3]
    found['score_gap'] = min([1.0] + (kept[:-1] - kept[1:]).tolist() + (kept - lowest).abs().tolist())
    return found, suppressed


@torch.no_grad()
def run(model, image):
    """Stages by name, as the package calls them, and the outputs."""
    x = preprocess(torch.from_numpy(image), model.config.size)[None]
    stages = {'image': x}
    outputs = model(x, lambda name, tensor: stages.__setitem__(name, tensor))
    stages.update(proto=outputs['proto'].permute(0, 2, 3, 1).contiguous(), loc=outputs['loc'], conf_logits=outputs['conf'],
                  conf=torch.softmax(outputs['conf'], -1), mask=outputs['mask'], priors=outputs['priors'])
    return stages, outputs


class Replayed(torch.nn.Module):
    """The model with the outputs that it gave before."""

    def __init__(self, model, outputs):
        super().__init__()
        self.maskiou_net, self.outputs = model.maskiou_net, outputs

    def forward(self, _):
        return self.outputs


def levelled(logits, anchors):
    """[anchors, classes]: biases that bring the best logits of each to zero, and the background's far below."""
    best = np.quantile(logits.reshape(-1, anchors, logits.shape[-1]), 0.99, axis=0)
    return np.round(-best, 1)


def search(image, first_seed):
    names = tuple(f'class {i + 1}' for i in range(CLASSES))
    config = YolactConfig(class_names=names, size=256, base_scale=24.0)
    size = (image.shape[1], image.shape[0])
    for seed in range(first_seed, first_seed + 1000):
        model = seeded.fill(Yolact(config), seed, RULES + [['conf_layer', 1.2, 0]]).eval()
        stages, outputs = run(model, image)
        level = levelled(outputs['conf'][0].numpy(), config.anchors_per_cell)
        for background in np.arange(2, 12, 0.25):
            extra = level.copy()
            extra[:, 0] = np.round(level[:, 0] + background, 1)
            moved = outputs['conf'] + torch.from_numpy(extra.astype(np.float32)).repeat(outputs['conf'].shape[1] // len(extra), 1)
            scores = torch.softmax(moved[0], 1)[:, 1:]
            best = scores.amax(1)
            candidates = best > CONF_THRESHOLD
            if not 10 <= int((best > SCORE_THRESHOLD).sum()) <= 150 or int(candidates.sum()) > 1500:
                continue
            boxes = decode(outputs['loc'][0, candidates], outputs['priors'][candidates])
            found, suppressed = margins(boxes, scores[candidates], SCORE_THRESHOLD)
            if suppressed < SUPPRESSED or any(found[key] < least for key, least in WANTED.items()):
                continue
            if (best - CONF_THRESHOLD).abs().min() < WANTED_CANDIDATES:
                continue
            boxes, labels, scores, mask_scores, masks = detect(Replayed(model, dict(outputs, conf=moved)), torch.zeros(3, 1, 1))
            above = scores > SCORE_THRESHOLD
            pixels = (boxes[above] * torch.tensor(size * 2)).double()
            whole = whole_boxes(boxes[above], *size)
            inside = int(((whole[:, 2] > whole[:, 0]) & (whole[:, 3] > whole[:, 1])).sum())
            filled = int((masks[above] > 0.5).any(2).any(1).sum())
            iou = (mask_scores / scores)[above]
            if (DETECTIONS[0] <= inside <= DETECTIONS[1] and filled >= FILLED and len(labels[above].unique()) >= KINDS
                    and (pixels - pixels.round()).abs().min() > WANTED_PIXELS
                    and iou.max() - iou.min() > WANTED_MASK_IOU and iou.max() < 1):
                biases = {str(i): float('%.1f' % value) for i, value in enumerate(extra.reshape(-1))}
                return seed, RULES + [['conf_layer', 1.2, 0, biases]], config
    raise SystemExit('no seed has wide margins')


def record(image, folder, seed, rules, config):
    model = seeded.fill(Yolact(config), seed, rules).eval()
    stages, outputs = run(model, image)
    recorder = Recorder(limit=2048)
    for name, tensor in stages.items():
        recorder.sample(name, tensor)
    scores = stages['conf'][0, :, 1:]
    rows = (scores.amax(1) > 0.9 * CONF_THRESHOLD).nonzero()[:, 0]
    recorder.full('cand.index', rows)
    for name in ('loc', 'conf', 'mask'):
        recorder.full(f'cand.{name}', stages[name][0, rows])
    recorder.full('cand.prior', stages['priors'][rows])
    boxes, labels, box_scores, mask_scores, masks = detect(model, stages['image'][0])
    coefficients = []
    decoded = decode(outputs['loc'][0], outputs['priors'])
    for box, label, score in zip(boxes, labels, box_scores):
        row = ((decoded == box).all(1) & (scores[:, label] == score)).nonzero()[0, 0]
        coefficients.append(outputs['mask'][0, row])
    for name, tensor in dict(score=box_scores, box=boxes, mask=torch.stack(coefficients)).items():
        recorder.full(f'raw.{name}', tensor)
    recorder.full('raw.class', labels)

    height, width = image.shape[:2]
    n = int((box_scores > SCORE_THRESHOLD).sum())
    soft = F.interpolate(masks[None, :n], size=(height, width), mode='bilinear', align_corners=False)[0]
    recorder.full('post.class', labels[:n])
    recorder.full('post.box_score', box_scores[:n])
    recorder.full('post.mask_score', mask_scores[:n])
    recorder.full('post.maskiou', mask_scores[:n] / box_scores[:n])
    recorder.full('post.box', whole_boxes(boxes[:n], width, height))
    recorder.sample('post.mask_soft', soft, limit=4096)
    candidates = scores.amax(1) > CONF_THRESHOLD
    raw, _ = margins(decoded[candidates], scores[candidates], box_scores[-1].item())
    encoded = [dict(rle_encode((mask > 0.5).numpy().astype(np.uint8)), area=int((mask > 0.5).sum()),
                    pixels_within_1e_3=int(((mask - 0.5).abs() < 1e-3).sum())) for mask in soft]
    case = dict(
        title='Compact YOLACT++', model='yolactplus_compact', seed=seed, rules=rules, images=[PICTURE], config=dict(cross_class_nms=False),
        settings=dict(
            max_size=config.size, num_classes=1 + CLASSES, conf_thresh=CONF_THRESHOLD, nms_thresh=NMS_THRESHOLD, top_k=TOP_K,
            max_num_detections=MAX_DETECTIONS, score_threshold=SCORE_THRESHOLD, crop_masks=True, fast_nms=True,
            cross_class_nms=False, use_maskiou=True, rescore_mask=True, rescore_bbox=False, pred_scales=config.scales,
            aspect_ratios=[[list(RATIOS)]] * config.levels, use_square_anchors=False,
            backbone_args=[list(config.blocks), list(config.deformable), config.interval],
            mean_bgr=list(MEAN_BGR), std_bgr=list(STD_BGR), scale=1),
        environment=dict(torch=torch.__version__, numpy=np.__version__, python=platform.python_version(), machine=platform.machine()),
        image_sha256_rgb=[image_sha256(os.path.join(folder, PICTURE))], image_shapes=[[height, width]],
        raw_detections=len(labels), detections=n, labels=labels[:n].tolist(), margins=dict(raw_margins=raw),
        tolerances=dict(features_relative_to_absmax=2e-5),
        state_dict=dict(count=len(model.state_dict()), shapes={name: list(value.shape) for name, value in model.state_dict().items()}),
        masks=encoded)
    recorder.write(folder, case)
    print(f'seed {seed}: {n} detections of {len(set(labels[:n].tolist()))} classes, {len(labels)} before the threshold')


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    image = load_image(os.path.join(folder, PICTURE))
    record(image, folder, *search(image, int(sys.argv[2]) if len(sys.argv) > 2 else 1))


if __name__ == '__main__':
    main()
