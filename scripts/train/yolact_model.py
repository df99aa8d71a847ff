"""A compact YOLACT++ in PyTorch: the reference for the demo weights, for exports and for tests.

YOLACT (Bolya et al., 2019) and YOLACT++ (Bolya et al., 2020), with the parts and the tensor names of the published
checkpoints but any widths, so that a state dict of it is one that `instaseg convert` reads. It runs on the CPU, the
deformable convolutions included, and everything in it can be differentiated.

Shapes: B images, levels of h x w cells, P priors in all, K prototypes of H x W cells, C foreground classes.
"""
import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

MEAN_BGR = (103.94, 116.78, 123.68)
STD_BGR = (57.38, 57.12, 58.40)
RATIOS = (1, 1 / 2, 2)
VARIANCES = (0.1, 0.2)


@dataclass(frozen=True)
class YolactConfig:
    """Sizes of a model; stages are C2 to C5."""

    class_names: tuple  # foreground only
    size: int = 224  # pixels of both sides of the input
    stem: int = 16
    blocks: tuple = (2, 2, 3, 2)
    widths: tuple = (16, 32, 64, 128)  # of the 3x3 convolutions
    outputs: tuple = (64, 128, 192, 256)
    deformable: tuple = (0, 0, 2, 1)  # as `dcn_layers` of the official code; see `deformable_blocks`
    interval: int = 1
    channels: int = 64  # of the pyramid
    downsamples: int = 1  # levels after P5
    prototypes: int = 16
    proto_width: int = 48
    upfeature: int = 48
    maskiou: tuple = (8, 16, 32, 64)
    base_scale: float = 21.0  # of the finest level's anchors in pixels of the input; each level doubles it

    @property
    def levels(self):
        return 3 + self.downsamples

    @property
    def scales(self):
        """In pixels of the input, a list a level: three within an octave, as YOLACT++ has them."""
        return [[self.base_scale * 2 ** (level + j / 3) for j in range(3)] for level in range(self.levels)]

    @property
    def anchors_per_cell(self):
        return 3 * len(RATIOS)

    def deformable_blocks(self, stage):
        """Which blocks of a stage are deformable: the last `deformable[stage]` of them, every `interval`-th one."""
        count, last = self.blocks[stage], self.deformable[stage]
        return [i + last >= count and i % self.interval == 0 for i in range(count)]


def bilinear_rows(x, at_y, at_x, weight):
    """Samples of the maps x [B, c, h, w] at positions [B, n], times weight [B, n]: [B, n, c].

    Each of the four neighbours of a position that lies outside the map counts as zero. Position and weight can be
    differentiated, too. A row of channels is gathered at a time, which is quick where channels come last in memory.
    """
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    y0, x0 = at_y.detach().floor(), at_x.detach().floor()
    fy, fx = at_y - y0, at_x - x0
    first = torch.arange(batch).view(-1, 1) * (height * width)
    indices, weights = [], []
    for dy, dx in product((0, 1), (0, 1)):
        cy, cx = y0 + dy, x0 + dx
        inside = (cy >= 0) & (cy < height) & (cx >= 0) & (cx < width)
        share = (fy if dy else 1 - fy) * (fx if dx else 1 - fx)
        indices.append(first + cy.clamp(0, height - 1).long() * width + cx.clamp(0, width - 1).long())
        weights.append(torch.where(inside, share * weight, torch.zeros_like(share)))
    indices = torch.stack(indices, -1).view(-1, 4)
    weights = torch.stack(weights, -1).view(-1, 4)
    return F.embedding_bag(indices, rows, mode='sum', per_sample_weights=weights).view(batch, -1, channels)


def deform_conv2d(x, offset, mask, weight, bias, stride=1, padding=1):
    """Modulated deformable convolution (DCNv2): tap k of the kernel reads x at its place plus offset, times mask.

    x [B, c, h, w], offset [B, 2T, oh, ow] with dy and dx of tap t in channels 2t and 2t + 1, mask [B, T, oh, ow],
    weight [o, c, kh, kw] with T = kh * kw: [B, o, oh, ow], equal to torchvision.ops.deform_conv2d.
    """
    batch, channels = x.shape[:2]
    out, _, kernel_h, kernel_w = weight.shape
    out_h, out_w = offset.shape[2:]
    taps = kernel_h * kernel_w
    kind = dict(dtype=x.dtype)
    top = torch.arange(out_h, **kind).view(-1, 1, 1) * stride - padding + torch.arange(kernel_h, **kind).repeat_interleave(kernel_w)
    left = torch.arange(out_w, **kind).view(1, -1, 1) * stride - padding + torch.arange(kernel_w, **kind).repeat(kernel_h)
    moved = offset.view(batch, taps, 2, out_h, out_w).permute(2, 0, 3, 4, 1)  # [2, B, oh, ow, T]
    at_y, at_x = (top + moved[0]).reshape(batch, -1), (left + moved[1]).reshape(batch, -1)
    columns = bilinear_rows(x, at_y, at_x, mask.permute(0, 2, 3, 1).reshape(batch, -1))
    matrix = weight.permute(0, 2, 3, 1).reshape(out, taps * channels)
    y = F.linear(columns.view(batch, out_h, out_w, taps * channels), matrix, bias)
    return y.permute(0, 3, 1, 2)


class DeformConv2d(nn.Module):
    """3x3 DCNv2 with a bias, whose offsets and mask are predicted by a convolution that starts as zero."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.conv_offset_mask = nn.Conv2d(inputs, 27, 3, stride, 1)
        nn.init.kaiming_normal_(self.weight, nonlinearity='relu')

    def forward(self, x):
        predicted = self.conv_offset_mask(x).float()
        offset, mask = predicted[:, :18], torch.sigmoid(predicted[:, 18:])
        return deform_conv2d(x.float(), offset, mask, self.weight, self.bias, self.stride)


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1, each normalised, and a shortcut."""

    def __init__(self, inputs, width, outputs, stride, deformable, project):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = DeformConv2d(width, width, stride) if deformable else nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if project:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.stem)
        self.layers = nn.ModuleList()
        inputs = config.stem
        for stage, (width, outputs) in enumerate(zip(config.widths, config.outputs)):
            blocks = []
            for i, deformable in enumerate(config.deformable_blocks(stage)):
                stride = 2 if i == 0 and stage > 0 else 1
                blocks.append(Bottleneck(inputs, width, outputs, stride, deformable, project=i == 0))
                inputs = outputs
            self.layers.append(nn.Sequential(*blocks))

    def forward(self, x):
        """The maps of C2 to C5."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for stage in self.layers:
            x = stage(x)
            maps.append(x)
        return maps


class Pyramid(nn.Module):
    """Laterals summed top-down with bilinear enlargement; the modules of index 0 are the coarsest level's."""

    def __init__(self, inputs, channels, downsamples):
        super().__init__()
        self.lat_layers = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in reversed(inputs))
        self.pred_layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs)
        self.downsample_layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(downsamples))

    def forward(self, maps):
        levels, above = [], None
        for x, lateral, predict in zip(reversed(maps), self.lat_layers, self.pred_layers):
            y = lateral(x)
            if above is not None:
                y = y + F.interpolate(above, size=y.shape[-2:], mode='bilinear', align_corners=False)
            above = y
            levels.insert(0, F.relu(predict(y)))
        for downsample in self.downsample_layers:
            levels.append(downsample(levels[-1]))
        return levels


class PredictionHead(nn.Module):
    """Boxes, class scores and mask coefficients of every anchor; one head for all levels."""

    def __init__(self, config):
        super().__init__()
        self.classes, self.prototypes = 1 + len(config.class_names), config.prototypes
        anchors = config.anchors_per_cell
        self.upfeature = nn.Sequential(nn.Conv2d(config.channels, config.upfeature, 3, padding=1), nn.ReLU())
        self.bbox_layer = nn.Conv2d(config.upfeature, 4 * anchors, 3, padding=1)
        self.conf_layer = nn.Conv2d(config.upfeature, self.classes * anchors, 3, padding=1)
        self.mask_layer = nn.Conv2d(config.upfeature, self.prototypes * anchors, 3, padding=1)

    def forward(self, x):
        x = self.upfeature(x)
        rows = lambda y, size: y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, size).float()
        coefficients = torch.tanh(rows(self.mask_layer(x), self.prototypes))
        return rows(self.bbox_layer(x), 4), rows(self.conf_layer(x), self.classes), coefficients


class MaskIouNet(nn.Module):
    """How good a mask is, for each class: [N, 1, H, W] probabilities within the box to [N, C].

    Training sees the values before the last ReLU, which leaves no gradient to a class whose values all became negative.
    """

    def __init__(self, widths, classes):
        super().__init__()
        layers, inputs = [], 1
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, 2), nn.ReLU()]
            inputs = width
        self.maskiou_net = nn.Sequential(*layers, nn.Conv2d(inputs, classes, 1), nn.ReLU())

    def forward(self, masks):
        quality = self.maskiou_net[:-1](masks).amax((2, 3))
        return quality if self.training else self.maskiou_net[-1](quality)


class Yolact(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        classes = len(config.class_names)
        width = config.proto_width
        self.backbone = ResNet(config)
        enlarge = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False)
        self.proto_net = nn.Sequential(
            nn.Conv2d(config.channels, width, 3, padding=1), nn.ReLU(), enlarge, nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, config.prototypes, 1), nn.ReLU())
        self.maskiou_net = MaskIouNet(config.maskiou, classes)
        self.fpn = Pyramid(config.outputs[1:], config.channels, config.downsamples)
        self.prediction_layers = nn.ModuleList([PredictionHead(config)])
        self.semantic_seg_conv = nn.Conv2d(config.channels, classes, 1)  # its loss only
        self._initialise()

    def _initialise(self):
        for name, module in self.named_modules():
            if not isinstance(module, nn.Conv2d):
                continue
            if name.endswith('conv_offset_mask'):  # the deformable convolution starts as half a plain one
                nn.init.zeros_(module.weight)
            elif name.startswith('backbone.'):
                nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
            elif name.endswith(('bbox_layer', 'conf_layer')):
                nn.init.normal_(module.weight, std=0.01)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, image, see=None):
        """image [B, 3, s, s] as `preprocess` gives it; see(name, tensor) is shown the stages."""
        see = see or (lambda name, tensor: None)
        maps = self.backbone(image)
        for i, x in enumerate(maps):
            see(f'backbone.c{i + 2}', x)
        levels = self.fpn(maps[1:])
        for i, x in enumerate(levels):
            see(f'fpn.p{i + 3}', x)
        outputs = [self.prediction_layers[0](level) for level in levels]
        loc, conf, mask = (torch.cat(parts, 1) for parts in zip(*outputs))
        outputs = dict(proto=self.proto_net(levels[0]).float(), loc=loc, conf=conf, mask=mask,
                       priors=priors(self.config, [level.shape[-2:] for level in levels]))
        if self.training:
            outputs['semantic'] = self.semantic_seg_conv(levels[0]).float()
        return outputs


def preprocess(image, size):
    """[h, w, 3] RGB of 0 to 255 to the network's input [3, size, size]: resized without antialiasing, then normalised."""
    x = image.permute(2, 0, 1)[None].float()
    x = F.interpolate(x, size=(size, size), mode='bilinear', align_corners=False)[0]
    mean, std = (torch.tensor(values[::-1]).view(3, 1, 1) for values in (MEAN_BGR, STD_BGR))
    return (x - mean) / std


def priors(config, grids):
    """[P, 4] of centre and size, relative to the image: those of every level, the finest first."""
    return torch.cat([level_priors(grid, scales, config.size) for grid, scales in zip(grids, config.scales)])


def level_priors(grid, scales, size):
    """Cells by row, then scales (pixels of an input of `size`), then ratios."""
    height, width = grid
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing='ij')
    centres = torch.stack([x, y], -1).view(-1, 1, 2)
    shapes = torch.tensor([[s * math.sqrt(r) / size, s / math.sqrt(r) / size] for s in scales for r in RATIOS])
    cells, anchors = height * width, len(shapes)
    return torch.cat([centres.expand(cells, anchors, 2), shapes.expand(cells, anchors, 2)], -1).reshape(-1, 4)


def decode(loc, priors):
    """Boxes x1, y1, x2, y2 relative to the image, neither clipped nor clamped."""
    centre = priors[:, :2] + loc[..., :2] * VARIANCES[0] * priors[:, 2:]
    size = priors[:, 2:] * torch.exp(loc[..., 2:] * VARIANCES[1])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], -1)


def encode(boxes, priors):
    """The inverse of `decode`."""
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - priors[:, :2]) / (VARIANCES[0] * priors[:, 2:])
    size = torch.log((boxes[:, 2:] - boxes[:, :2]) / priors[:, 2:]) / VARIANCES[1]
    return torch.cat([centre, size], 1)


def box_iou(a, b):
    """[n, 4] and [m, 4] corners to [n, m]."""
    overlap = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
    shared = overlap.clamp(min=0).prod(2)
    area = lambda box: (box[:, 2:] - box[:, :2]).prod(1)
    return shared / (area(a)[:, None] + area(b)[None] - shared)


def crop(masks, boxes, padding=1):
    """masks [n, H, W] set to zero outside boxes [n, 4], which are relative and enlarged by `padding` cells."""
    height, width = masks.shape[1:]
    low = torch.minimum(boxes[:, :2], boxes[:, 2:])
    high = torch.maximum(boxes[:, :2], boxes[:, 2:])
    x1, x2 = (low[:, 0] * width - padding).clamp(min=0), (high[:, 0] * width + padding).clamp(max=width)
    y1, y2 = (low[:, 1] * height - padding).clamp(min=0), (high[:, 1] * height + padding).clamp(max=height)
    x, y = torch.arange(width).view(1, 1, -1), torch.arange(height).view(1, -1, 1)
    column = lambda v: v.view(-1, 1, 1)
    return masks * ((x >= column(x1)) & (x < column(x2)) & (y >= column(y1)) & (y < column(y2)))
