"""torchvision without its compiled operators: imports it, with NMS and a differentiable RoIAlign in plain PyTorch.

Import this module before anything of torchvision. Where the compiled operators exist they are left alone.
"""

import importlib.util

import numpy as np
import torch

_SCHEMAS = {
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,"
    " int sampling_ratio, bool aligned) -> Tensor",
}


def nms(boxes, scores, iou_threshold):
    """Greedy NMS: indices of the boxes kept, by falling score, ties by index; IoU in f32, threshold in f64."""
    if len(boxes) == 0:
        return torch.empty(0, dtype=torch.int64)
    order = np.argsort(-scores.detach().numpy(), kind="stable")
    x0, y0, x1, y1 = boxes.detach().float().numpy()[order].T
    area = (x1 - x0) * (y1 - y0)
    left, top = np.maximum(x0[:, None], x0), np.maximum(y0[:, None], y0)
    right, bottom = np.minimum(x1[:, None], x1), np.minimum(y1[:, None], y1)
    inter = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    with np.errstate(invalid="ignore"):
        over = (inter / (area[:, None] + area - inter)).astype(np.float64) > iou_threshold
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~over[i, i + 1 :]
    return torch.from_numpy(order[alive])


def roi_align(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """torchvision.ops.roi_align for a fixed number of samples a bin: a weighted sum of rows of the feature map."""
    if isinstance(boxes, (list, tuple)):
        boxes = torch.cat([torch.cat([b.new_full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)])
    assert sampling_ratio > 0, "an adaptive number of samples is not written here"
    bins_y, bins_x = (output_size, output_size) if isinstance(output_size, int) else output_size
    batch, channels, height, width = input.shape
    with torch.no_grad():
        rois = boxes.float()
        x0, y0, x1, y1 = (rois[:, 1:] * spatial_scale - (0.5 if aligned else 0)).unbind(1)
        least = 0 if aligned else 1
        row, row_weight = _taps(y0, (y1 - y0).clamp(min=least), bins_y, sampling_ratio, height)
        col, col_weight = _taps(x0, (x1 - x0).clamp(min=least), bins_x, sampling_ratio, width)
        base = (rois[:, 0].long() * height * width)[:, None, None, None, None]
        index = base + row[:, :, None, :, None] * width + col[:, None, :, None, :]
        weight = row_weight[:, :, None, :, None] * col_weight[:, None, :, None, :]
        taps = 4 * sampling_ratio**2
    rows = input.float().permute(0, 2, 3, 1).reshape(-1, channels)
    pooled = torch.nn.functional.embedding_bag(
        index.reshape(-1, taps), rows, per_sample_weights=weight.reshape(-1, taps), mode="sum"
    )
    return pooled.reshape(len(rois), bins_y, bins_x, channels).permute(0, 3, 1, 2)


def mask_targets(masks, rois, size, scale):
    """What torchvision uses to cut the training masks out: its grid grows with the box, here it is 2 x 2 a bin."""
    return roi_align(masks, rois, size, scale, 2)


def _taps(start, extent, bins, samples, size):
    """Along one axis: positions and weights, both [rois, bins, 2 * samples]."""
    step = torch.arange(bins * samples, dtype=torch.float32).add(0.5) / (bins * samples)
    at = start[:, None] + extent[:, None] * step
    inside = (at >= -1) & (at <= size)
    at = at.clamp(min=0)
    low = at.floor().long().clamp(max=size - 1)
    at = torch.where(low == size - 1, low.float(), at)
    high = (low + 1).clamp(max=size - 1)
    frac = at - low
    weights = torch.stack([1 - frac, frac], -1) * inside[..., None] / samples
    shape = (len(start), bins, 2 * samples)
    return torch.stack([low, high], -1).reshape(shape), weights.reshape(shape)


def _install():
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS.values():
        library.define(schema)
    library.impl("nms", nms, "CPU")
    import torchvision.extension
    import torchvision.models.detection.roi_heads
    import torchvision.ops.boxes
    import torchvision.ops.poolers

    torchvision.ops.boxes._assert_has_ops = lambda: None
    torchvision.ops.poolers.roi_align = roi_align
    torchvision.models.detection.roi_heads.roi_align = mask_targets
    return library


def _compiled():
    """Whether torchvision's operators load here; asked without importing it, which would fail where they do not."""
    spec = importlib.util.find_spec("torchvision")
    library = next((p for p in __import__("pathlib").Path(spec.origin).parent.glob("_C*.so")), None)
    if library is None:
        return False
    try:
        torch.ops.load_library(str(library))
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")


_LIBRARY = None if _compiled() else _install()
