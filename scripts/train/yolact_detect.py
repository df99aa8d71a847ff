"""From the outputs of the network to masks: Detect with fast NMS, rescoring and mask assembly, as YOLACT++ has them."""
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch.nn import functional as F

from yolact_model import box_iou, crop, decode, preprocess

CONF_THRESHOLD, NMS_THRESHOLD, TOP_K, MAX_DETECTIONS = 0.05, 0.5, 200, 100


def fast_nms(boxes, scores, top_k=TOP_K, most=MAX_DETECTIONS):
    """boxes [n, 4], scores [n, C]: rows and classes kept, by descending score.

    A class at a time, where boxes that are suppressed still suppress those after them.
    """
    rows, classes = [], []
    for c in range(scores.shape[1]):
        order = scores[:, c].argsort(descending=True, stable=True)[:top_k]
        iou = box_iou(boxes[order], boxes[order]).triu(1)
        kept = order[iou.amax(0) <= NMS_THRESHOLD]
        rows.append(kept)
        classes.append(torch.full_like(kept, c))
    rows, classes = torch.cat(rows), torch.cat(classes)
    best = scores[rows, classes].argsort(descending=True, stable=True)[:most]
    return rows[best], classes[best]


@torch.no_grad()
def detect(model, image):
    """image [3, s, s]: boxes [n, 4] (relative corners), labels [n] (from 0), box scores [n], mask scores [n] and
    probabilities [n, H, W] within the boxes, on the grid of the prototypes."""
    outputs = model(image[None])
    scores = torch.softmax(outputs['conf'][0], 1)[:, 1:]
    candidates = scores.amax(1) > CONF_THRESHOLD
    scores, coefficients = scores[candidates], outputs['mask'][0, candidates]
    boxes = decode(outputs['loc'][0, candidates], outputs['priors'][candidates])
    if len(boxes) == 0:
        side = outputs['proto'].shape[-2:]
        empty = torch.zeros(0)
        return boxes, empty.long(), empty, empty, torch.zeros(0, *side)
    rows, labels = fast_nms(boxes, scores)
    boxes, coefficients, scores = boxes[rows], coefficients[rows], scores[rows, labels]
    masks = crop(torch.sigmoid(torch.einsum('khw,nk->nhw', outputs['proto'][0], coefficients)), boxes)
    iou = model.maskiou_net(masks[:, None]).gather(1, labels[:, None])[:, 0]
    return boxes, labels, scores, scores * iou, masks


def whole_boxes(boxes, width, height):
    """Corners in whole pixels: truncated, not below zero at the left and the top, not beyond the right and the bottom."""
    size = torch.tensor([width, height])
    low = (torch.minimum(boxes[:, :2], boxes[:, 2:]) * size).clamp(min=0)
    high = torch.minimum(torch.maximum(boxes[:, :2], boxes[:, 2:]) * size, size)
    return torch.cat([low, high], 1).long()


@torch.no_grad()
def segment(model, image, image_id, category_ids):
    """COCO results of an image [h, w, 3] of 8-bit RGB, by descending mask score."""
    height, width = image.shape[:2]
    found = detect(model, preprocess(torch.from_numpy(image), model.config.size))
    boxes, labels, _, scores, masks = found
    if len(boxes) == 0:
        return []
    large = F.interpolate(masks[None], size=(height, width), mode='bilinear', align_corners=False)[0] > 0.5
    results = []
    for box, label, score, mask in zip(whole_boxes(boxes, width, height).tolist(), labels.tolist(), scores.tolist(), large):
        x1, y1, x2, y2 = box
        if x2 <= x1 or y2 <= y1:
            continue
        rle = coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        rle['counts'] = rle['counts'].decode('ascii')
        results.append(dict(image_id=image_id, category_id=category_ids[label], score=score,
                            bbox=[x1, y1, x2 - x1, y2 - y1], segmentation=rle))
    return sorted(results, key=lambda result: -result['score'])
