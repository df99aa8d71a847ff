"""Small checkpoints for the tests of ts/src/weights, and the names and shapes of torchvision's Mask R-CNN models.

    python3 scripts/reference/make_test_checkpoints.py          # from the root of the repository

Needs PyTorch, torchvision (0.14 or newer) and numpy; run prettier on the .json files afterwards. Writes ts/test/fixtures/checkpoints/ and
ts/test/weights/torchvision-tensors.json. The values are small integers, so that they can be read in a hex dump.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
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
        'flags': (True, None, {1, 2}),
    }


def dtypes():
    kinds = ['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool']
    return {kind: counting(3, dtype=getattr(torch, kind)) for kind in kinds}


class Hostile:
    def __reduce__(self):
        return os.system, ('echo this must never run',)


def arrays():
    """What a detectron2 .pkl holds: arrays of all kinds, beside values that are none."""
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    kinds = ['f8', 'f4', 'f2', 'i8', 'i4', 'i2', 'i1', 'u1', 'b1']
    return {
        'model': {
            'weight': base,
            'fortran': np.asfortranarray(base),
            'transposed': base.transpose(1, 0, 2),
            'gaps': base[:, ::2],
            'scalar': np.array(2.5, np.float32),
            'empty': np.zeros((0, 2), np.float32),
            # Long enough to be passed over, with every byte there is.
            'long': np.arange(-300, 300, dtype=np.int16).reshape(20, 30),
            'long_fortran': np.asfortranarray(np.arange(600, dtype=np.float64).reshape(20, 30)),
            'bytes': np.tile(np.arange(256, dtype=np.uint8), 3),
            **{kind: np.arange(3).astype(kind) for kind in kinds},
        },
        'state': {'key': np.arange(3, dtype=np.uint32), 'names': np.array(['a', 'b'])},
        'number': np.float32(0.5),
        'nothing': b'',
        'note': 'n' * 1000,
        '__author__': 'The instaseg authors',
        'matching_heuristics': True,
    }


def representable(value):
    """Without what no checkpoint tensor is."""
    return {key: item for key, item in value.items() if key != 'state'}


def python2_string(data):
    return b'U' + bytes([len(data)]) + data if len(data) < 256 else b'T' + struct.pack('<i', len(data)) + data


def python2_array(array):
    """As NumPy pickled it on Python 2: the data are a string."""
    number = lambda value: b'M' + struct.pack('<H', value)
    return b''.join(
        [
            b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85' + python2_string(b'b') + b'tR',
            b'(K\x01(' + b''.join(number(size) for size in array.shape) + b't',
            b'cnumpy\ndtype\n(' + python2_string(array.dtype.str[1:].encode()) + b'K\x00K\x01tR',
            b'(K\x03' + python2_string(b'<') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb',
            b'\x89' + python2_string(array.tobytes()) + b'tb',
        ]
    )


def python2_pickle(blobs):
    items = b''.join(python2_string(name.encode()) + python2_array(array) for name, array in blobs.items())
    return b'\x80\x02}' + python2_string(b'blobs') + b'}(' + items + b'us.'


class StorageSizes(pickle.Unpickler):
    """Bytes of each storage that a legacy file names, in that order."""

    def __init__(self, stream):
        super().__init__(stream)
        self.sizes = {}

    def find_class(self, module, name):
        if module == 'posix' or name.startswith('_rebuild'):
            return lambda *args: None
        return super().find_class(module, name)

    def persistent_load(self, ids):
        _, kind, key, _, numel, *_ = ids
        self.sizes.setdefault(key, numel * torch.zeros(0, dtype=kind.dtype).element_size())


def save_legacy(name, value, protocol=2, change=lambda data: data):
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    # Keys are addresses, and the storages are sorted by them. Numbers of the same length, in the order in which the
    # object names them, make the same file each time.
    stream = io.BytesIO(data)
    for _ in range(3):
        pickle.load(stream)
    names = StorageSizes(stream)
    names.load()
    end = stream.tell()
    storages = {key: stream.read(8 + names.sizes[key]) for key in pickle.load(stream)}
    keys = {key: str(i).zfill(len(key)) for i, key in enumerate(names.sizes)}
    data = data[:end]
    for key, number in keys.items():
        data = data.replace(key.encode(), number.encode())
    data += pickle.dumps(list(keys.values()), protocol) + b''.join(storages[key] for key in keys)
    write(name, change(data))


def old_views(data):
    """What PyTorch before 0.4 wrote for a storage that is a part of another: here elements 2 to 5 of six."""
    end = data.index(b'Ntq')
    view = b'(X\x01\x00\x00\x00vK\x02K\x03t'
    return data[:end] + view + data[end + 1 :]


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
    if isinstance(tensor, np.ndarray):
        data = tensor.tobytes()
        return {'dtype': tensor.dtype.name, 'shape': list(tensor.shape), 'sha256': hashlib.sha256(data).hexdigest()}
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
        if isinstance(item, (torch.Tensor, np.ndarray)):
            found[prefix + str(key)] = entry(item)
        elif isinstance(item, dict):
            found.update(describe(item, f'{prefix}{key}/'))
    return found


def write_checkpoints():
    os.makedirs(CHECKPOINTS, exist_ok=True)
    expected = {}

    def expect(name, kind, value):
        expected[name] = {'format': kind, 'tensors': describe(value)}

    for name, value, protocol in [
        ('views.pth', views(), 2),
        ('nested.pth', nested(), 2),
        ('nested_protocol4.pth', nested(), 4),
        ('dtypes.pth', dtypes(), 2),
        ('arrays.pth', arrays(), 2),
    ]:
        save(name, value, protocol)
        expect(name, 'torch-zip', representable(value))
    # PyTorch's own writer: zip64 records, data descriptors, aligned entries.
    torch.save(dtypes(), os.path.join(CHECKPOINTS, 'as_written.pth'))
    expect('as_written.pth', 'torch-zip', dtypes())
    write('deflated.pth', rezip(read('views.pth'), zipfile.ZIP_DEFLATED))
    expect('deflated.pth', 'torch-zip', views())
    hostile = {'model': {'w': counting(2)}, 'x': Hostile()}
    save('hostile.pth', hostile)
    save('big_endian.pth', {'w': counting(2)})
    with zipfile.ZipFile(os.path.join(CHECKPOINTS, 'big_endian.pth'), 'a') as archive:
        archive.writestr(zipfile.ZipInfo('archive/byteorder', (1980, 1, 1, 0, 0, 0)), 'big')

    for name, value, protocol in [
        ('legacy_views.pth', views(), 2),
        ('legacy_nested.pth', nested(), 2),
        ('legacy_protocol4.pth', nested(), 4),
        ('legacy_dtypes.pth', dtypes(), 2),
        ('legacy_arrays.pth', {**arrays(), 'tensor': counting(2, 3).t()}, 2),
    ]:
        save_legacy(name, value, protocol)
        expect(name, 'torch-legacy', representable(value))
    save_legacy('legacy_old_views.pth', {'w': counting(6)[:3]}, 2, old_views)
    expect('legacy_old_views.pth', 'torch-legacy', {'w': counting(6)[2:5]})
    save_legacy('legacy_hostile.pth', hostile)
    little = b'little_endianq\x02\x88'
    save_legacy('legacy_big_endian.pth', {'w': counting(2)}, 2, lambda data: data.replace(little, little[:-1] + b'\x89'))

    for protocol in (2, 3, 4, 5):
        name = f'arrays_protocol{protocol}.pkl'
        write(name, pickle.dumps(arrays(), protocol))
        expect(name, f'pickle-{protocol}', representable(arrays()))
    blobs = {'conv1_w': np.arange(300, dtype=np.float32).reshape(3, 100), 'conv1_b': np.arange(3, dtype=np.float64)}
    write('python2.pkl', python2_pickle(blobs))
    assert describe(pickle.loads(read('python2.pkl'), encoding='latin1')) == describe({'blobs': blobs})
    expect('python2.pkl', 'pickle-2', {'blobs': blobs})
    write('hostile.pkl', pickle.dumps({'model': {'w': blobs['conv1_b']}, 'x': Hostile()}, 4))
    write('objects.pkl', pickle.dumps({'w': np.array([1, 'a', None], object)}, 2))
    write('big_endian.pkl', pickle.dumps({'w': np.arange(3, dtype='>f4')}, 4))
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
