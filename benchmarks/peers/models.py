"""The networks of benchmarks/models in PyTorch, with the same seeded weights as instaseg computes.

torchvision's Mask R-CNN as it is; YOLACT++ as scripts/train/yolact_model.py has it (the official code needs CUDA), with
detection, rescoring and masks at the image's size after it. Where torchvision's compiled operators do not load, NMS,
RoIAlign and deformable convolution are defined in PyTorch (scripts/train); `operators` says which.
"""
import json
import os
import sys

import numpy as np
import torch
from torch.nn import functional as F

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path[:0] = [os.path.join(ROOT, 'scripts', 'reference'), os.path.join(ROOT, 'scripts', 'train')]

import tv  # noqa: E402  before torchvision: defines the operators that it lacks
import seeded  # noqa: E402
import yolact_model  # noqa: E402

operators = "torchvision's own"
if tv._LIBRARY is not None:
    import torchvision.ops.poolers
    from torchvision.ops._utils import convert_boxes_to_roi_format

    operators = 'NMS, RoIAlign and deformable convolution in vectorised PyTorch'

    def roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):
        return tv.roi_align(input, rois, (pooled_height, pooled_width), spatial_scale, sampling_ratio, aligned)

    def pooled(input, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        rois = boxes if isinstance(boxes, torch.Tensor) else convert_boxes_to_roi_format(boxes)
        return torch.ops.torchvision.roi_align(input, rois, spatial_scale, *output_size, sampling_ratio, aligned)

    def nothing():  # a function that TorchScript can read
        return

    torchvision.ops.boxes._assert_has_ops = nothing
    tv._LIBRARY.impl('roi_align', roi_align, 'CPU')
    torchvision.ops.poolers.roi_align = pooled

# As one operator, so that an export has one node for it.
_library = torch.library.Library('peers', 'DEF')
_library.define('deform_conv2d(Tensor x, Tensor offset, Tensor mask, Tensor weight, Tensor bias, int stride) -> Tensor')
_plain_deform_conv2d = yolact_model.deform_conv2d
_library.impl('deform_conv2d', lambda x, offset, mask, weight, bias, stride: _plain_deform_conv2d(
    x, offset, mask, weight, bias, stride), 'CPU')
yolact_model.deform_conv2d = lambda x, offset, mask, weight, bias, stride=1: torch.ops.peers.deform_conv2d(
    x, offset, mask, weight, bias, stride)


def description(name):
    with open(os.path.join(ROOT, 'benchmarks', 'models', f'{name}.json')) as file:
        return json.load(file)


def mask_rcnn(spec):
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    # Not frozen without published weights, so torchvision's overwrite_eps would pass them by.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = spec['config']['batchNorm']['epsilon']
    return model


class YolactDetector(torch.nn.Module):
    """From the image [3, H, W] of 0 to 255 to boxes in its pixels, labels, scores and soft masks [D, 1, H, W] of it.

    Fast NMS over the best 200 of each class, the best 100 of all; a mask is the prototypes' sum within the box, enlarged
    to the image; its score is that of the box times the predicted IoU.
    """

    def __init__(self, config):
        super().__init__()
        self.network = yolact_model.Yolact(config)
        self.size = config.size

    def detect(self, image):
        """Everything at the size of the prototypes: relative boxes, classes, scores of boxes and masks, soft masks."""
        mean, std = (torch.tensor(v[::-1]).view(3, 1, 1) for v in (yolact_model.MEAN_BGR, yolact_model.STD_BGR))
        x = F.interpolate(image[None], size=(self.size, self.size), mode='bilinear', align_corners=False)
        out = self.network((x - mean) / std)
        scores = torch.softmax(out['conf'][0], -1)[:, 1:]
        kept = scores.max(1).values > 0.05
        scores, coefficients = scores[kept].t(), out['mask'][0][kept]
        boxes = yolact_model.decode(out['loc'][0], out['priors'])[kept]
        top, order = scores.sort(1, descending=True)
        top, order = top[:, :200], order[:, :200]
        candidates = boxes[order]  # [C, K, 4]
        low = torch.maximum(candidates[:, :, None, :2], candidates[:, None, :, :2])
        high = torch.minimum(candidates[:, :, None, 2:], candidates[:, None, :, 2:])
        shared = (high - low).clamp(min=0).prod(3)
        area = (candidates[..., 2:] - candidates[..., :2]).prod(2)
        iou = shared / (area[:, :, None] + area[:, None, :] - shared)
        free = iou.triu(diagonal=1).max(1).values <= 0.5
        classes = torch.arange(len(top))[:, None].expand_as(top)[free]
        best, at = top[free].sort(descending=True)
        best, at = best[:100], at[:100]
        index, classes = order[free][at], classes[at]
        boxes = boxes[index]
        masks = torch.sigmoid(torch.einsum('khw,dk->dhw', out['proto'][0], coefficients[index]))
        masks = yolact_model.crop(masks, boxes)
        quality = self.network.maskiou_net(masks[:, None]).gather(1, classes[:, None])[:, 0]
        return boxes, classes, best, best * quality, masks

    def forward(self, image):
        height, width = image.shape[-2:]
        boxes, classes, box_scores, scores, masks = self.detect(image)
        masks = F.interpolate(masks[:, None], size=(height, width), mode='bilinear', align_corners=False)
        # Corners in whole pixels, as the official code gives them.
        size = torch.tensor([width, height])
        low = (torch.minimum(boxes[:, :2], boxes[:, 2:]) * size).clamp(min=0)
        high = torch.minimum(torch.maximum(boxes[:, :2], boxes[:, 2:]) * size, size)
        boxes = torch.cat([low, high], 1).floor()
        return boxes, classes + 1, box_scores, scores, masks


def prototype_network(layers, channels):
    """A ReLU after every layer, the enlargement included, so that layer i is module 2 i."""
    modules = []
    for layer in layers:
        if layer['kind'] == 'upsample':
            modules.append(torch.nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False))
        else:
            modules.append(torch.nn.Conv2d(channels, layer['channels'], layer['kernel'], padding=layer['kernel'] // 2))
            channels = layer['channels']
        modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)


def yolact(spec):
    c = spec['config']
    plan = c['backbone']['deformable']
    config = yolact_model.YolactConfig(
        class_names=tuple(str(i) for i in range(1, c['numClasses'])), size=c['image']['size'],
        stem=c['backbone']['stem'], blocks=tuple(c['backbone']['blocks']), widths=tuple(c['backbone']['widths']),
        outputs=tuple(c['backbone']['outputs']), deformable=tuple(sum(stage) for stage in plan),
        channels=c['fpn']['channels'], downsamples=c['fpn']['downsamples'], prototypes=c['head']['coefficients'],
        proto_width=c['protonet']['layers'][0]['channels'], upfeature=c['head']['upfeature'][0],
        maskiou=tuple(c['mask']['rescore']['convs']), base_scale=c['anchors']['scales'][0][0])
    detector = YolactDetector(config)
    detector.network.proto_net = prototype_network(c['protonet']['layers'], c['fpn']['channels'])
    return detector


def build(name):
    spec = description(name)
    model = mask_rcnn(spec) if spec['config']['family'] == 'torchvision' else yolact(spec)
    seeded.fill(getattr(model, 'network', model), spec['seed'], spec['rules'])
    return model.eval(), spec


def test_image(family, height, width):
    """The image that every side computes, noise in squares (inputs.mjs), in the range of the family."""
    rows, columns = -(-height // 8), -(-width // 8)
    values, state = np.empty(rows * columns * 3, np.uint8), 1
    for i in range(len(values)):
        state = state * 48271 % 2147483647
        values[i] = state * 256 // 2147483647
    image = np.kron(values.reshape(rows, columns, 3), np.ones((8, 8, 1), np.uint8))[:height, :width]
    image = torch.from_numpy(image).permute(2, 0, 1).contiguous().float()
    return image / 255 if family == 'torchvision' else image
