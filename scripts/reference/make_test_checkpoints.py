"""Small checkpoints for the tests of ts/src/weights, and the names and shapes of torchvision's Mask R-CNN models.

    python3 scripts/reference/make_test_checkpoints.py          # from the root of the repository

Needs PyTorch and torchvision (0.14 or newer). Writes ts/test/fixtures/checkpoints/ and
ts/test/weights/torchvision-tensors.json. The values are small integers, so that they can be read in a hex dump.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import zipfile

import torch
import torchvision
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

CHECKPOINTS = 'ts/test/fixtures/checkpoints'
NAMES = 'ts/test/weights/torchvision-tensors.json'


def counting(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def views():
    """Tensors that share storages, have gaps, or have no elements."""
    base = counting(6, 8)
    return collections.OrderedDict(
        base=base,
        slice=base[2:5, 1:7:2],
        row=base[3],
        transposed=base.t(),
        expanded=base[0:1].expand(4, 8),
        scalar=torch.tensor(1.25),
        view_scalar=base[5, 7],
        empty=torch.zeros(0, 3),
        channels_last=counting(2, 3, 4, 5, dtype=torch.float16).contiguous(memory_format=torch.channels_last),
        swapped_bytes=counting(3, 4, dtype=torch.uint8).t(),
        swapped_longs=counting(3, 4, dtype=torch.int64).t(),
    )


def nested():
    """What a training script saves: the model beside its optimizer, and Python objects that hold no tensors."""
    layer = torch.nn.Linear(3, 2)
    norm = torch.nn.BatchNorm1d(2)
    model = torch.nn.Sequential(layer, norm)
    with torch.no_grad():
        for i, value in enumerate(model.state_dict().values()):
            value.copy_(counting(*value.shape) + i)
    return {
        'model': model.state_dict(),
        'optimizer': {'state': {0: {'momentum_buffer': counting(2, 3)}}, 'param_groups': [{'lr': 0.1, 'params': [0, 1]}]},
        'parameter': torch.nn.Parameter(counting(2)),
        'args': argparse.Namespace(data='coco', lr=0.02),
        'scheduler': {'milestones': collections.Counter([16, 22]), 'last_epoch': 25},
        'epoch': 25,
        'loss': float('inf'),
        'big': 2**70,
        'negative': -300,
        'flags': (True, None, {'a', 'b'}),
    }


def dtypes():
    kinds = ['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool']
    return {kind: counting(3, dtype=getattr(torch, kind)) for kind in kinds}


class Hostile:
    def __reduce__(self):
        return os.system, ('echo this must never run',)


def save(name, value, protocol=2):
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol)
    # As if it had been saved to a file of a fixed name, so that the fixtures do not depend on PyTorch's choice.
    write(name, rezip(buffer.getvalue()))


def rezip(data, compression=zipfile.ZIP_STORED, change=lambda name, content: content):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, 'w', compression) as target:
        for info in source.infolist():
            name = 'archive/' + info.filename.split('/', 1)[1]
            content = change(name, source.read(info))
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = compression
            target.writestr(entry, content)
    return out.getvalue()


def write(name, data):
    with open(os.path.join(CHECKPOINTS, name), 'wb') as file:
        file.write(data)


def read(name):
    with open(os.path.join(CHECKPOINTS, name), 'rb') as file:
        return file.read()


def entry(tensor):
    flat = tensor.detach().contiguous()
    data = (flat.view(torch.int16) if flat.dtype == torch.bfloat16 else flat).numpy().tobytes()
    return {
        'dtype': str(flat.dtype).replace('torch.', ''),
        'shape': list(flat.shape),
        'sha256': hashlib.sha256(data).hexdigest(),
    }


def describe(value, prefix=''):
    found = {}
    for key, item in value.items():
        if isinstance(item, torch.Tensor):
            found[prefix + str(key)] = entry(item)
        elif isinstance(item, dict):
            found.update(describe(item, f'{prefix}{key}/'))
    return found


def write_checkpoints():
    os.makedirs(CHECKPOINTS, exist_ok=True)
    expected = {}
    for name, value, protocol in [
        ('views.pth', views(), 2),
        ('nested.pth', nested(), 2),
        ('nested_protocol4.pth', nested(), 4),
        ('dtypes.pth', dtypes(), 2),
    ]:
        save(name, value, protocol)
        expected[name] = describe(value)
    # PyTorch's own writer: zip64 records, data descriptors, aligned entries.
    torch.save(dtypes(), os.path.join(CHECKPOINTS, 'as_written.pth'))
    expected['as_written.pth'] = expected['dtypes.pth']
    write('deflated.pth', rezip(read('views.pth'), zipfile.ZIP_DEFLATED))
    expected['deflated.pth'] = expected['views.pth']
    save('hostile.pth', {'model': {'w': counting(2)}, 'x': Hostile()})
    save('big_endian.pth', {'w': counting(2)})
    with zipfile.ZipFile(os.path.join(CHECKPOINTS, 'big_endian.pth'), 'a') as archive:
        archive.writestr(zipfile.ZipInfo('archive/byteorder', (1980, 1, 1, 0, 0, 0)), 'big')
    write_json(os.path.join(CHECKPOINTS, 'expected.json'), expected)


def shapes(model):
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def digest(model):
    """SHA-256 of the sorted lines "name: 1,2,3" without training counters."""
    lines = [
        f'{name}: {",".join(map(str, shape))}'
        for name, shape in sorted(shapes(model).items())
        if not name.endswith('.num_batches_tracked')
    ]
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def write_names():
    options = {'weights': None, 'weights_backbone': None}
    resnet101 = resnet_fpn_backbone(backbone_name='resnet101', weights=None, norm_layer=FrozenBatchNorm2d)
    resnext50 = resnet_fpn_backbone(backbone_name='resnext50_32x4d', weights=None, norm_layer=FrozenBatchNorm2d)
    write_json(
        NAMES,
        {
            'torchvision': torchvision.__version__,
            'models': {
                'maskrcnn_resnet50_fpn': shapes(maskrcnn_resnet50_fpn(**options)),
                'maskrcnn_resnet50_fpn_v2': shapes(maskrcnn_resnet50_fpn_v2(**options)),
            },
            'digests': {
                'maskrcnn_resnet50_fpn, 3 classes': digest(maskrcnn_resnet50_fpn(num_classes=3, **options)),
                'maskrcnn_resnet50_fpn_v2, 3 classes': digest(maskrcnn_resnet50_fpn_v2(num_classes=3, **options)),
                'resnet101': digest(MaskRCNN(resnet101, 91)),
                'resnext50_32x4d': digest(MaskRCNN(resnext50, 91)),
            },
        },
    )


def write_json(path, value):
    """Run prettier on the result."""
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=1)
        file.write('\n')


if __name__ == '__main__':
    write_checkpoints()
    write_names()
