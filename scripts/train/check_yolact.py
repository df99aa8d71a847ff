"""The reference model's parts against what torchvision and the official YOLACT gave, and its gradients.

    python3 check_yolact.py [FOLDER_OF_OP_CASES ...]        # by default the fixtures of the tests

The cases are those that scripts/reference makes, with the compiled deformable convolution and the official code.
"""
import json
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'reference'))
from common import load_safetensors  # noqa: E402
from yolact_detect import fast_nms  # noqa: E402
from yolact_model import box_iou, crop, decode, deform_conv2d, level_priors, preprocess  # noqa: E402

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../ts/test/fixtures/ops')


def cases(folder, op):
    """Name, parameters, inputs and outputs of the cases of an operator."""
    folder = os.path.join(folder, op)
    with open(os.path.join(folder, 'case.json'), encoding='utf-8') as file:
        about = json.load(file)
    tensors = {name: torch.from_numpy(value.copy()) for name, value in load_safetensors(os.path.join(folder, 'tensors.safetensors')).items()}
    for case in about['cases']:
        named = lambda part: {key: tensors[name] for key, name in case.get(part, {}).items()}
        yield case['name'], case['params'], named('inputs'), named('outputs')


def report(name, actual, expected, tolerance):
    worst = ((actual - expected).abs() / expected.abs().clamp(min=1)).max().item() if actual.numel() else 0.0
    print(f'{name:<40} {worst:.1e}')
    assert actual.shape == expected.shape and worst <= tolerance, name


def check_deform_conv(folder):
    for name, params, given, wanted in cases(folder, 'deform_conv2d'):
        if params['groups'] != 1 or params['offset_groups'] != 1 or params['dilation'] != 1 or 'mask' not in given:
            continue  # YOLACT++ has none of these
        actual = deform_conv2d(given['input'], given['offset'], given['mask'], given['weight'], given.get('bias'), params['stride'], params['padding'])
        report(f'deform_conv2d {name}', actual, wanted['output'], 1e-4)


def check_yolact(folder):
    for name, params, given, wanted in cases(folder, 'yolact'):
        function = params['fn']
        label = f'yolact {name}'
        if function == 'decode':
            report(label, decode(given['loc'], given['priors']), wanted['output'], 1e-5)
        elif function == 'jaccard':
            report(label, box_iou(given['a'], given['b']), wanted['output'], 1e-5)
        elif function == 'crop':
            report(label, crop(given['masks'].permute(2, 0, 1), given['boxes']).permute(1, 2, 0), wanted['output'], 0)
        elif function == 'Detect.fast_nms' and given['scores'].ndim == 2:
            scores = given['scores'].mT
            rows, classes = fast_nms(given['boxes'], scores, params['top_k'], params['max_num_detections'])
            report(f'{label} boxes', given['boxes'][rows], wanted['boxes'], 0)
            report(f'{label} classes', classes, wanted['classes'], 0)
            report(f'{label} scores', scores[rows, classes], wanted['scores'], 0)
        elif function == 'make_priors' and not params['use_square_anchors']:
            every = level_priors([params['grid']] * 2, params['scales'], params['max_size'])[::params['step']]
            report(label, every, wanted['every'], 1e-6)
        elif function == 'FastBaseTransform':
            image = given['bgr'].reshape(given['bgr'].shape[-3:]).flip(2)
            report(label, preprocess(image, params['max_size']), wanted['output'].reshape(3, *[params['max_size']] * 2), 1e-5)


def check_gradients():
    torch.manual_seed(1)
    random = lambda *shape: torch.randn(shape, dtype=torch.double, requires_grad=True)
    for stride in (1, 2):
        side = -(-6 // stride)
        inputs = (random(2, 3, 6, 6), random(2, 18, side, side), random(2, 9, side, side), random(4, 3, 3, 3), random(4))
        assert torch.autograd.gradcheck(lambda *given: deform_conv2d(*given, stride=stride), inputs)
        print(f'deform_conv2d gradients, stride {stride}     ok')


for cases_folder in sys.argv[1:] or [FIXTURES]:
    check_deform_conv(cases_folder)
    check_yolact(cases_folder)
check_gradients()
