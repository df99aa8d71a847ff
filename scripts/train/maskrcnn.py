"""The demo's Mask R-CNN: torchvision's own class on a slim bottleneck ResNet with FPN, and its export for instaseg."""

import json
import math

import tv  # noqa: F401  (before torchvision)
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import Bottleneck
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

BLOCKS = [2, 2, 2, 2]
STEM = 16
WIDTHS = [16, 32, 64, 96]  # of the 3x3 convolutions; a block puts out twice as many channels
FPN = 48
FCS = 128
MASK_CONVS = [48, 48]
MASK_PREDICTOR = 48
ANCHORS = [[24], [40], [60], [88], [128]]
MIN_SIZE = 144
MAX_SIZE = 320
RPN_TOP = 200
CANONICAL_SCALE = 96
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
EPSILON = 1e-5


class SlimResNet(nn.Module):
    """torchvision's ResNet, with its names and its Bottleneck, at free widths."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = STEM
        for stage, (count, width) in enumerate(zip(BLOCKS, WIDTHS), 1):
            blocks = []
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                down = None
                if i == 0:
                    down = nn.Sequential(nn.Conv2d(inputs, 2 * width, 1, stride, bias=False), nn.BatchNorm2d(2 * width))
                # A Bottleneck of `planes` puts out 4 * planes and is planes * base_width / 64 wide inside.
                blocks.append(Bottleneck(inputs, width // 2, stride, down, base_width=128))
                inputs = 2 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)


def build(num_classes, **options):
    """`num_classes` counts the background. `options` go to torchvision's MaskRCNN."""
    backbone = BackboneWithFPN(
        SlimResNet(),
        {f"layer{i}": str(i - 1) for i in (1, 2, 3, 4)},
        [2 * width for width in WIDTHS],
        FPN,
        LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d,
    )
    levels = ["0", "1", "2", "3"]

    def pool(size):
        return MultiScaleRoIAlign(levels, size, 2, canonical_scale=CANONICAL_SCALE)

    return MaskRCNN(
        backbone,
        min_size=options.pop("min_size", MIN_SIZE),
        max_size=MAX_SIZE,
        rpn_anchor_generator=AnchorGenerator(tuple(map(tuple, ANCHORS)), ((0.5, 1.0, 2.0),) * len(ANCHORS)),
        rpn_pre_nms_top_n_test=RPN_TOP,
        rpn_post_nms_top_n_test=RPN_TOP,
        box_roi_pool=pool(7),
        box_head=TwoMLPHead(FPN * 49, FCS),
        box_predictor=FastRCNNPredictor(FCS, num_classes),
        mask_roi_pool=pool(14),
        mask_head=MaskRCNNHeads(FPN, MASK_CONVS, 1, norm_layer=nn.BatchNorm2d),
        mask_predictor=MaskRCNNPredictor(MASK_CONVS[-1], MASK_PREDICTOR, num_classes),
        **options,
    )


def config(classes):
    """What instaseg reads from the file's metadata: everything that a forward pass needs and the weights do not say."""
    clamp = math.log(1000 / 16)
    return {
        "family": "torchvision",
        "model": "maskrcnn_demo",
        "numClasses": len(classes) + 1,
        "classNames": ["background", *classes],
        "categoryIds": list(range(len(classes) + 1)),
        "image": {
            "channelOrder": "rgb",
            "scale": 1 / 255,
            "mean": MEAN,
            "std": STD,
            "normalizeBeforeResize": True,
            "minSize": MIN_SIZE,
            "maxSize": MAX_SIZE,
            "sizeDivisor": 32,
            "resizeRounding": "floor",
            "antialias": False,
        },
        "backbone": {
            "blocks": BLOCKS,
            "stem": STEM,
            "widths": WIDTHS,
            "outputs": [2 * width for width in WIDTHS],
            "groups": 1,
            "strideIn": "3x3",
        },
        "batchNorm": {"kind": "batch", "epsilon": EPSILON},
        "fpn": {"channels": FPN, "norm": True},
        "anchors": {"sizes": ANCHORS, "ratios": [0.5, 1, 2], "rounding": "round-half-even"},
        "rpn": {
            "convDepth": 1,
            "preNmsTopN": RPN_TOP,
            "postNmsTopN": RPN_TOP,
            "nmsThreshold": 0.7,
            "minSize": 1e-3,
            "scoreThreshold": 0,
            "coderWeights": [1, 1, 1, 1],
            "coderClamp": clamp,
        },
        "roiAlign": {
            "aligned": False,
            "samplingRatio": 2,
            "boxSize": 7,
            "maskSize": 14,
            "levelEps": 1e-6,
            "canonicalScale": CANONICAL_SCALE,
            "canonicalLevel": 4,
        },
        "box": {
            "head": {"kind": "fc", "fcs": [FCS, FCS]},
            "scoreThreshold": 0.05,
            "nmsThreshold": 0.5,
            "maxDetections": 100,
            "minSize": 1e-2,
            "coderWeights": [10, 10, 5, 5],
            "coderClamp": clamp,
            "background": "first",
        },
        "mask": {
            "convs": MASK_CONVS,
            "norm": True,
            "predictor": MASK_PREDICTOR,
            "paste": "torchvision",
            "threshold": 0.5,
        },
    }


def save(path, state, classes):
    """f16 safetensors with the configuration; the counters that only training needs are left out."""
    write_safetensors(path, state, {"instaseg.config": json.dumps({"version": 1, "config": config(classes)})})


def write_safetensors(path, state, metadata):
    """Every float tensor of a state dict as f16, in its order."""
    header, blobs, position = {"__metadata__": metadata}, [], 0
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        blob = tensor.detach().to(torch.float16).contiguous().numpy().tobytes()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [position, position + len(blob)]}
        blobs.append(blob)
        position += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path):
    """The state dict of such a file, as f32: what instaseg computes with."""
    import numpy as np

    data = open(path, "rb").read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    state = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data, np.float16, (end - begin) // 2, 8 + length + begin)
            state[name] = torch.from_numpy(values.astype(np.float32).reshape(entry["shape"]))
    return state
