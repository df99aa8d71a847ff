"""Writes the networks of benchmarks/models as ONNX files for onnxruntime: `python export.py FOLDER [MODEL...]`.

With torch.onnx's exporter of traced graphs and torchvision's own rules for NMS and RoIAlign, at opset 19, whose
DeformConv onnxruntime computes. The image has the size of the description: [3, H, W], 0 to 1 for Mask R-CNN, 0 to 255 for
YOLACT++. What was computed with PyTorch on the test image is kept beside it, for the comparison before any timing.
"""
import os
import sys
import warnings

import models  # before torchvision
import torch
from torchvision.ops._register_onnx_ops import roi_align_opset16, symbolic_multi_label_nms

OPSET = 19
NAMES = {'torchvision': ['boxes', 'labels', 'scores', 'masks'],
         'yolact': ['boxes', 'labels', 'box_scores', 'scores', 'masks']}


@torch.onnx.symbolic_helper.parse_args('v', 'v', 'v', 'v', 'v', 'i')
def deform_conv(g, x, offset, mask, weight, bias, stride):
    return g.op('DeformConv', x, weight, offset, bias, mask, kernel_shape_i=[3, 3], strides_i=[stride, stride],
                pads_i=[1, 1, 1, 1], dilations_i=[1, 1], group_i=1, offset_group_i=1)


def main(folder, names):
    torch.onnx.register_custom_op_symbolic('torchvision::nms', symbolic_multi_label_nms, OPSET)
    torch.onnx.register_custom_op_symbolic('torchvision::roi_align', roi_align_opset16, OPSET)
    torch.onnx.register_custom_op_symbolic('peers::deform_conv2d', deform_conv, OPSET)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        model, spec = models.build(name)
        image = models.test_image(spec)
        family = spec['config']['family']
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            argument = ([image],) if family == 'torchvision' else (image,)
            torch.onnx.export(model, argument, os.path.join(folder, f'{name}.onnx'), opset_version=OPSET, dynamo=False,
                              input_names=['image'], output_names=NAMES[family], do_constant_folding=True)
        print(f'{name}: {os.path.getsize(os.path.join(folder, name + ".onnx")) / 1e6:.0f} MB', flush=True)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:] or ['maskrcnn_resnet50_fpn', 'yolact_plus_resnet50'])
