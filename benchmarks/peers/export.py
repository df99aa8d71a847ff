"""Writes a network of benchmarks/models as an ONNX file for onnxruntime: `python export.py OUT.onnx MODEL HEIGHT WIDTH`.

With torch.onnx's exporter of traced graphs and torchvision's own rules for NMS and RoIAlign, at opset 19, whose
DeformConv onnxruntime computes. The image is [3, HEIGHT, WIDTH], 0 to 1 for Mask R-CNN, 0 to 255 for YOLACT++.
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


def main(file, name, height, width):
    torch.onnx.register_custom_op_symbolic('torchvision::nms', symbolic_multi_label_nms, OPSET)
    torch.onnx.register_custom_op_symbolic('torchvision::roi_align', roi_align_opset16, OPSET)
    torch.onnx.register_custom_op_symbolic('peers::deform_conv2d', deform_conv, OPSET)
    model, spec = models.build(name)
    family = spec['config']['family']
    image = models.test_image(family, height, width)
    os.makedirs(os.path.dirname(os.path.abspath(file)), exist_ok=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        argument = ([image],) if family == 'torchvision' else (image,)
        torch.onnx.export(model, argument, file, opset_version=OPSET, dynamo=False, input_names=['image'],
                          output_names=NAMES[family], do_constant_folding=True)
    print(f'{file}: {os.path.getsize(file) / 1e6:.0f} MB', flush=True)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
