"""The losses of YOLACT++: boxes, classes, masks, semantic segmentation, and the IoU that rescoring predicts."""
import torch
from torch.nn import functional as F

from yolact_model import box_iou, crop, encode

POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
NEGATIVES_PER_POSITIVE = 3
WEIGHTS = dict(box=1.5, mask=6.125, semantic=1.0, maskiou=25.0)
"""Relative to the class loss, as published."""

MASKS_PER_IMAGE = 40
RESCORED_PER_IMAGE = 8
SMALLEST_RESCORED = 25
"""Cells of the prototypes: the IoU of smaller masks says little."""


def match(boxes, labels, priors):
    """The object of each prior [P] and its class: 1 and up, 0 for the background, -1 for neither.

    A prior belongs to the object that it overlaps most, if by half; and each object gets the prior that overlaps it most.
    """
    corners = torch.cat([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], 1)
    iou = box_iou(boxes, corners)
    best, owner = iou.max(0)
    order = iou.amax(1).argsort()  # where two objects want a prior, the better fit is written last
    forced = iou[order].argmax(1)
    for object_, prior in zip(order.tolist(), forced.tolist()):
        best[prior], owner[prior] = 2, object_
    target = torch.where(best >= POSITIVE_IOU, labels[owner], torch.where(best < NEGATIVE_IOU, 0, -1))
    return owner, target


def hardest_negatives(logits, target):
    """Whether a prior counts for the class loss: the positive ones, and the most mistaken negative ones by image."""
    hardness = torch.logsumexp(logits, 2) - logits[:, :, 0]
    hardness = hardness.masked_fill(target != 0, -1)
    count = ((target > 0).sum(1) * NEGATIVES_PER_POSITIVE).clamp(max=target.shape[1] - 1)
    rank = hardness.argsort(1, descending=True).argsort(1)
    return (target > 0) | ((rank < count[:, None]) & (target == 0))


def losses(model, outputs, objects, generator):
    """Named losses, weighted. `objects` has a dict an image: boxes [n, 4] (relative corners), labels [n] (from 1) and
    masks [n, H, W] of 0 and 1 on the grid of the prototypes."""
    priors = outputs['priors']
    pairs = [match(o['boxes'], o['labels'], priors) for o in objects]
    target = torch.stack([t for _, t in pairs])
    positive = target > 0
    count = positive.sum().clamp(min=1)

    logits = outputs['conf']
    with torch.no_grad():
        chosen = hardest_negatives(logits, target)
    conf = F.cross_entropy(logits[chosen], target[chosen], reduction='sum') / count

    box = mask = semantic = 0
    rescored = []
    for i, (o, (owner, _)) in enumerate(zip(objects, pairs)):
        at = positive[i].nonzero()[:, 0]
        wanted = encode(o['boxes'][owner[at]], priors[at])
        box = box + F.smooth_l1_loss(outputs['loc'][i, at], wanted, reduction='sum')

        share = 1.0
        if len(at) > MASKS_PER_IMAGE:
            share = len(at) / MASKS_PER_IMAGE
            at = at[torch.randperm(len(at), generator=generator)[:MASKS_PER_IMAGE]]
        owned = owner[at]
        truth, boxes = o['masks'][owned], o['boxes'][owned]
        assembled = torch.einsum('khw,nk->nhw', outputs['proto'][i], outputs['mask'][i, at])
        errors = crop(F.binary_cross_entropy_with_logits(assembled, truth, reduction='none'), boxes)
        cells = (boxes[:, 2:] - boxes[:, :2]).prod(1) * truth[0].numel()
        mask = mask + share * (errors.sum((1, 2)) / cells.clamp(min=1)).sum()

        with torch.no_grad():
            few = torch.randperm(len(at), generator=generator)[:RESCORED_PER_IMAGE]
            few = few[truth[few].sum((1, 2)) >= SMALLEST_RESCORED]
            soft = crop(torch.sigmoid(assembled[few].detach()), boxes[few])
            hard = (soft > 0.5).float()
            shared = (hard * truth[few]).sum((1, 2))
            union = hard.sum((1, 2)) + truth[few].sum((1, 2)) - shared
            rescored.append((soft, shared / union, o['labels'][owned[few]] - 1))
        semantic = semantic + semantic_loss(outputs['semantic'][i], o)

    soft, iou, labels = (torch.cat(part) for part in zip(*rescored))
    maskiou = outputs['proto'].sum() * 0
    if len(soft):
        predicted = model.maskiou_net(soft[:, None]).gather(1, labels[:, None])[:, 0]
        maskiou = F.smooth_l1_loss(predicted, iou)
    return dict(conf=conf, box=WEIGHTS['box'] * box / count, mask=WEIGHTS['mask'] * mask / count,
                semantic=WEIGHTS['semantic'] * semantic / len(objects), maskiou=WEIGHTS['maskiou'] * maskiou)


def semantic_loss(logits, objects):
    """Mean binary cross-entropy by cell of which classes are there, summed over classes: logits [C, h, w]."""
    masks = F.adaptive_avg_pool2d(objects['masks'], logits.shape[-2:])
    truth = torch.zeros_like(logits)
    for label, mask in zip((objects['labels'] - 1).tolist(), masks > 0.5):
        truth[label][mask] = 1
    return F.binary_cross_entropy_with_logits(logits, truth, reduction='sum') / logits[0].numel()
