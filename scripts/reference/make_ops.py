"""Operator reference cases, computed by PyTorch and torchvision's C++ CPU operators.

    python3 make_ops.py OUTDIR SEED [small]

Inputs come from numpy's PCG64(SEED, group, index); some shapes depend on SEED too. One folder per operator family:
case.json lists the sub-cases (parameters, names of input and output tensors), tensors.safetensors holds them; equal
inputs of a family are stored once. With `small` the largest sub-cases have fewer channels, boxes and pixels.
"""
import os
import platform
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision import ops
from torchvision.ops import _box_convert  # noqa: F401  (fails early where torchvision is not complete)

from common import rng, save_safetensors, sha256_file, write_json

OUT, SEED = sys.argv[1], int(sys.argv[2])
SMALL = sys.argv[3:] == ['small']
J = np.random.Generator(np.random.PCG64([SEED, 999]))  # shape jitter


def j(lo, hi):
    return int(J.integers(lo, hi + 1))


def size(full, small):
    return small if SMALL else full


class Group:
    n = 0

    def __init__(self, name, note='', rtol=1e-5, atol=1e-5):
        Group.n += 1
        self.name, self.note, self.cases, self.t, self.tol = name, note, [], {}, dict(rtol=rtol, atol=atol)
        self.stored = {}
        self.r = rng(SEED, Group.n)

    def rand(self, *shape, scale=1.0):
        return torch.from_numpy((self.r.standard_normal(shape) * scale).astype(np.float32))

    def uni(self, *shape, lo=0.0, hi=1.0):
        return torch.from_numpy((lo + (hi - lo) * self.r.random(shape)).astype(np.float32))

    def add(self, name, params, inputs, outputs, note=None):
        c = dict(name=name, params=params, inputs={}, outputs={})
        if note:
            c['note'] = note
        for kind, d in (('inputs', inputs), ('outputs', outputs)):
            for k, v in d.items():
                if v is None:
                    continue
                key = '%s.%s' % (name, k)
                a = v.detach().contiguous().numpy() if hasattr(v, 'detach') else np.asarray(v)
                if kind == 'inputs':
                    key = self.stored.setdefault((a.dtype.name, a.shape, a.tobytes()), key)
                self.t.setdefault(key, a)
                c[kind][k] = key
        self.cases.append(c)

    def write(self):
        d = os.path.join(OUT, self.name)
        os.makedirs(d, exist_ok=True)
        p = os.path.join(d, 'tensors.safetensors')
        save_safetensors(p, self.t)
        write_json(os.path.join(d, 'case.json'), dict(
            op=self.name, note=self.note, seed=SEED, tolerances=self.tol, environment=dict(
                torch=torch.__version__, torchvision=torchvision.__version__, numpy=np.__version__,
                python=platform.python_version(), machine=platform.machine()),
            cases=self.cases, tensors_sha256=sha256_file(p)))
        print('%-22s %3d cases %8d bytes' % (self.name, len(self.cases), os.path.getsize(p)), flush=True)


def conv2d():
    g = Group('conv2d', 'torch.nn.functional.conv2d; accumulation order differs between implementations', 1e-4, 1e-4)
    rows = [  # name, n, cin, h, w, cout, k, s, p, d, groups, bias
        ('k1', 1, j(8, 20), j(5, 9), j(5, 9), j(8, 20), 1, 1, 0, 1, 1, True),
        ('k1_s2_odd', 1, 16, j(3, 6) * 2 + 1, j(3, 6) * 2, 24, 1, 2, 0, 1, 1, False),
        ('k3_p1', 1, j(3, 12), j(6, 13), j(6, 13), j(4, 20), 3, 1, 1, 1, 1, True),
        ('k3_s2_p1_odd', 2, 8, j(4, 7) * 2 + 1, j(4, 7) * 2, 16, 3, 2, 1, 1, 1, False),
        ('k3_valid', 1, 5, j(5, 9), j(5, 9), 7, 3, 1, 0, 1, 1, True),
        ('k7_s2_p3_stem', 1, 3, j(15, 20), j(18, 24), 64, 7, 2, 3, 1, 1, False),
        ('k3_dil2', 1, 6, j(7, 10), j(7, 10), 9, 3, 1, 2, 2, 1, True),
        ('k3_dil3_s2', 1, 4, j(11, 14), j(11, 14), 6, 3, 2, 3, 3, 1, False),
        ('k3_groups4', 1, 16, j(5, 8), j(5, 8), 24, 3, 1, 1, 1, 4, True),
        ('k3_groups2_s2', 2, 6, j(5, 8), j(5, 8), 4, 3, 2, 1, 1, 2, False),
        ('dw3', 1, j(9, 17), j(6, 9), j(6, 9), 0, 3, 1, 1, 1, -1, True),
        ('dw5_s2', 1, j(5, 9), j(8, 12), j(8, 12), 0, 5, 2, 2, 1, -1, False),
        ('dw3_mult2', 1, 6, 7, 5, 12, 3, 1, 1, 1, 6, True),
        ('k5_p4', 1, 3, j(4, 6), j(4, 6), 5, 5, 1, 4, 1, 1, True),
        ('k1x3', 1, 4, 6, j(7, 9), 6, (1, 3), (1, 2), (0, 1), 1, 1, True),
        ('k3x1_dil', 1, 4, j(8, 10), 5, 6, (3, 1), (2, 1), (2, 0), (2, 1), 1, False),
        ('pixel', 1, 3, 1, 1, 4, 3, 1, 1, 1, 1, True),
        ('wide', 1, size(128, 48), j(5, 7), j(5, 7), size(96, 40), 3, 1, 1, 1, 1, True),
        ('wide_k1_batch', 3, size(256, 128), 4, j(3, 5), size(64, 40), 1, 1, 0, 1, 1, True)]
    for name, n, ci, h, w, co, k, s, p, d, gr, bias in rows:
        if gr == -1:
            gr = co = ci
        k2 = (k, k) if isinstance(k, int) else k
        x, wt = g.rand(n, ci, h, w), g.rand(co, ci // gr, *k2, scale=0.2)
        b = g.rand(co) if bias else None
        y = F.conv2d(x, wt, b, s, p, d, gr)
        pr = lambda v: list(v) if isinstance(v, tuple) else [v, v]
        g.add(name, dict(stride=pr(s), padding=pr(p), dilation=pr(d), groups=gr),
              dict(input=x, weight=wt, bias=b), dict(output=y))
    g.write()


def conv_transpose2d():
    g = Group('conv_transpose2d', 'weight layout [in, out/groups, kh, kw]', 1e-4, 1e-4)
    rows = [('k2_s2', 2, 8, j(4, 7), j(4, 7), 12, 2, 2, 0, 0, 1, 1, True), ('k3_s2_p1_op1', 1, 6, 5, j(4, 6), 4, 3, 2, 1, 1, 1, 1, True),
            ('k4_s2_p1', 1, 5, j(4, 6), 6, 7, 4, 2, 1, 0, 1, 1, False), ('k3_s1', 1, 4, 5, 5, 3, 3, 1, 1, 0, 1, 1, True),
            ('k3_dil2', 1, 4, 5, 6, 3, 3, 2, 2, 1, 1, 2, True), ('groups2', 1, 8, 4, 5, 6, 3, 2, 1, 1, 2, 1, True),
            ('k2_s3_gap', 1, 3, 4, 4, 2, 2, 3, 0, 0, 1, 1, True)]
    for name, n, ci, h, w, co, k, s, p, op, gr, d, bias in rows:
        x, wt, b = g.rand(n, ci, h, w), g.rand(ci, co // gr, k, k, scale=0.3), (g.rand(co) if bias else None)
        g.add(name, dict(stride=s, padding=p, output_padding=op, groups=gr, dilation=d), dict(input=x, weight=wt, bias=b),
              dict(output=F.conv_transpose2d(x, wt, b, s, p, op, gr, d)))
    g.write()


def pooling():
    g = Group('max_pool2d', 'padding never wins (behaves as -inf); indices are flat per plane; first maximum wins', 0, 0)
    for name, h, w, k, s, p, d, ceil in [
            ('k3_s2_p1', j(7, 12), j(7, 12), 3, 2, 1, 1, False), ('k3_s2_p1_even', 8, 10, 3, 2, 1, 1, False), ('k1_s2', j(5, 8), j(5, 8), 1, 2, 0, 1, False),
            ('k2_s2', 7, 9, 2, 2, 0, 1, False), ('k2_s2_ceil', 7, 9, 2, 2, 0, 1, True), ('k3_s2_ceil', j(3, 5) * 2, 9, 3, 2, 0, 1, True),
            ('k3_s2_p1_ceil', j(7, 10), j(7, 10), 3, 2, 1, 1, True), ('k2_s3_ceil_last_window_dropped', 7, 7, 2, 3, 1, 1, True), ('k3_s1_p1_dil2', 9, 8, 3, 1, 1, 2, False),
            ('k5_s1_p2', 6, 7, 5, 1, 2, 1, False)]:
        x = g.rand(2, 3, h, w) - 2.0
        y, i = F.max_pool2d(x, k, s, p, d, ceil, True)
        g.add(name, dict(kernel=k, stride=s, padding=p, dilation=d, ceil_mode=ceil), dict(input=x), dict(output=y, indices=i))
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 1] = float('-inf')
    y, i = F.max_pool2d(x, 2, 2, 0, 1, False, True)
    g.add('ties', dict(kernel=2, stride=2, padding=0, dilation=1, ceil_mode=False), dict(input=x), dict(output=y, indices=i))
    x = g.rand(2, 4, 5, 7)
    g.add('global', dict(kernel=[5, 7], stride=[5, 7], padding=0, dilation=1, ceil_mode=False), dict(input=x), dict(output=F.max_pool2d(x, (5, 7))))
    g.write()
    g = Group('avg_pool2d', '', 1e-5, 1e-6)
    for name, k, s, p, ceil, inc, div in [('k2', 2, 2, 0, False, True, None), ('k3_s2_p1_inc', 3, 2, 1, False, True, None), ('k3_s2_p1_exc', 3, 2, 1, False, False, None),
                                          ('k3_s2_ceil', 3, 2, 0, True, True, None), ('k3_s2_p1_ceil_inc', 3, 2, 1, True, True, None), ('k3_s2_p1_ceil_exc', 3, 2, 1, True, False, None), ('divisor', 3, 2, 1, False, True, 5)]:
        x = g.rand(1, 3, j(6, 9), j(6, 9))
        g.add(name, dict(kernel=k, stride=s, padding=p, ceil_mode=ceil, count_include_pad=inc, divisor_override=div), dict(input=x),
              dict(output=F.avg_pool2d(x, k, s, p, ceil, inc, div)))
    g.write()
    g = Group('adaptive_pool2d', 'window i: floor(i*in/out) .. ceil((i+1)*in/out)', 1e-5, 1e-6)
    for kind, f in (('avg', F.adaptive_avg_pool2d), ('max', F.adaptive_max_pool2d)):
        for o in [(1, 1), (7, 7), (3, 5), (8, 2)]:
            x = g.rand(1, 4, j(5, 13), j(5, 13))
            g.add('%s_%dx%d' % (kind, *o), dict(kind=kind, output=list(o)), dict(input=x), dict(output=f(x, o)))
    g.write()
    g = Group('max_unpool2d', '', 0, 0)
    for name, h, w, k, s, p, size in [('k2_s2', 6, 8, 2, 2, 0, None), ('k2_s2_odd_size', 7, 9, 2, 2, 0, (7, 9)), ('k3_s3', 9, 6, 3, 3, 0, None), ('k2_s2_p1', 6, 8, 2, 2, 1, None)]:
        x = g.rand(1, 3, h, w)
        y, i = F.max_pool2d(x, k, s, p, 1, False, True)
        g.add(name, dict(kernel=k, stride=s, padding=p, output_size=list(size) if size else None), dict(input=y, indices=i), dict(output=F.max_unpool2d(y, i, k, s, p, size)))
    g.write()


def interpolate():
    g = Group('interpolate', 'bilinear/nearest; size or scale_factor. With scale_factor and recompute_scale_factor unset/false the given '
              'factor maps coordinates; with recompute true the factor is output/input. Output size floor(in*scale).', 1e-5, 2e-5)
    for name, mode, h, w, size, sf, ac, rec in [
            ('up2_size', 'bilinear', 6, 7, (12, 14), None, False, None), ('up2_scale', 'bilinear', 5, 6, None, 2.0, False, None),
            ('odd_fpn', 'bilinear', 18, 18, (35, 35), None, False, None), ('odd_fpn2', 'bilinear', 9, 18, (18, 35), None, False, None), ('down', 'bilinear', j(20, 30), j(20, 30), (j(7, 11), j(7, 11)), None, False, None),
            ('down_align', 'bilinear', j(12, 20), j(12, 20), (j(5, 9), j(5, 9)), None, True, None), ('up_align', 'bilinear', j(4, 7), j(4, 7), (j(9, 15), j(9, 15)), None, True, None),
            ('to_one_align', 'bilinear', 5, 6, (1, 1), None, True, None), ('from_one', 'bilinear', 1, 1, (4, 5), None, False, None), ('to_one', 'bilinear', 6, 9, (1, 1), None, False, None),
            ('scale17', 'bilinear', j(9, 13), j(9, 13), None, 1.7, False, None), ('scale17_recompute', 'bilinear', j(9, 13), j(9, 13), None, 1.7, False, True),
            ('scale045_recompute', 'bilinear', j(19, 23), j(19, 23), None, 0.45, False, True), ('scale045', 'bilinear', j(19, 23), j(19, 23), None, 0.45, False, None),
            ('image_to_square', 'bilinear', j(30, 40), j(40, 50), (55, 55), None, False, None), ('identity', 'bilinear', 6, 6, (6, 6), None, False, None),
            ('nearest_up2', 'nearest', 5, 6, (10, 12), None, None, None), ('nearest_odd', 'nearest', 7, 10, (13, 19), None, None, None), ('nearest_fpn', 'nearest', 4, 5, (7, 10), None, None, None),
            ('nearest_down', 'nearest', j(15, 20), j(15, 20), (j(5, 9), j(5, 9)), None, None, None), ('nearest_scale', 'nearest', 6, 7, None, 1.6, None, None), ('nearest_scale_recompute', 'nearest', 6, 7, None, 1.6, None, True),
            ('nearest_exact', 'nearest-exact', 7, 10, (13, 16), None, None, None)]:
        x = g.rand(1, 2, h, w)
        y = F.interpolate(x, size=size, scale_factor=sf, mode=mode, align_corners=ac, recompute_scale_factor=rec)
        g.add(name, dict(mode=mode, size=list(size) if size else None, scale_factor=sf, align_corners=ac, recompute_scale_factor=rec), dict(input=x), dict(output=y))
    g.write()
    g = Group('grid_sample', 'bilinear, zeros padding', 1e-5, 1e-5)
    for ac in (False, True):
        x, gr = g.rand(2, 3, j(5, 8), j(5, 8)), g.uni(2, 6, 7, 2, lo=-1.4, hi=1.4)
        g.add('align_%s' % ac, dict(align_corners=ac), dict(input=x, grid=gr), dict(output=F.grid_sample(x, gr, mode='bilinear', padding_mode='zeros', align_corners=ac)))
    g.write()


def norm_linear_act():
    g = Group('batch_norm', 'inference mode: (x - mean) / sqrt(var + eps) * weight + bias', 1e-5, 1e-5)
    for name, eps in [('bn_1e-5', 1e-5), ('frozen_0', 0.0), ('frozen_1e-5', 1e-5)]:
        c = j(5, 19)
        x, w, b, m, v = g.rand(2, c, 5, 6), g.rand(c), g.rand(c), g.rand(c), g.uni(c, lo=0.05, hi=2)
        if name.startswith('frozen'):
            f = torchvision.ops.misc.FrozenBatchNorm2d(c, eps=eps)
            for k, t in (('weight', w), ('bias', b), ('running_mean', m), ('running_var', v)):
                getattr(f, k).copy_(t)
            y = f(x)
        else:
            y = F.batch_norm(x, m, v, w, b, False, 0.1, eps)
        g.add(name, dict(eps=eps), dict(input=x, weight=w, bias=b, running_mean=m, running_var=v), dict(output=y))
    g.write()
    g = Group('linear', '', 1e-4, 1e-4)
    for n, i, o, bias in [(1, 7, 5, True), (j(3, 9), j(60, 130), j(20, 40), True), (5, 33, 17, False), (2, 784, size(96, 24), True)]:
        x, w, b = g.rand(n, i), g.rand(o, i, scale=0.1), (g.rand(o) if bias else None)
        g.add('n%d_%dx%d' % (n, i, o), {}, dict(input=x, weight=w, bias=b), dict(output=F.linear(x, w, b)))
    g.write()
    g = Group('activations', 'extreme values included', 1e-6, 1e-7)
    x = torch.cat([g.rand(200, scale=4), torch.tensor([0., -0., 30., -30., 88., -88., 100., -104., 1e-8, -1e-8, 17.4, 9.0])])
    for n, f in (('sigmoid', torch.sigmoid), ('tanh', torch.tanh), ('relu', torch.relu), ('exp_clamped', lambda t: torch.exp(t.clamp(max=4.135166556742356)))):
        g.add(n, {}, dict(input=x), dict(output=f(x)))
    for n, sh, d in (('softmax_last', (j(5, 9), 81), -1), ('softmax_dim1', (2, 7, 3, 4), 1)):
        x = g.rand(*sh, scale=6)
        x.view(-1)[::37] += 60
        g.add(n, dict(dim=d), dict(input=x), dict(output=F.softmax(x, d)))
    g.write()
    g = Group('topk', 'values and indices of distinct inputs; for ties only the values are defined', 0, 0)
    for n, k in [(j(50, 90), 10), (1200, 300), (j(20, 30), 20), (64, 64)]:
        x = torch.from_numpy((g.r.permutation(n * 3)[:n] / 7.0 - n / 5.0).astype(np.float32))
        v, i = x.topk(k)
        g.add('n%d_k%d' % (n, k), dict(k=k, largest=True, sorted=True), dict(input=x), dict(values=v, indices=i))
    x = torch.from_numpy(g.r.integers(0, 5, 60).astype(np.float32))
    g.add('ties', dict(k=25, largest=True, sorted=True), dict(input=x), dict(values=x.topk(25)[0]), 'indices not defined')
    x = g.rand(3, 40)
    v, i = x.topk(7, dim=1)
    g.add('rows', dict(k=7, dim=1, largest=True, sorted=True), dict(input=x), dict(values=v, indices=i))
    x = torch.from_numpy(g.r.integers(0, 6, 50).astype(np.float32))
    v, i = torch.sort(x, stable=True, descending=True)
    g.add('stable_sort_descending', dict(stable=True), dict(input=x), dict(values=v, indices=i))
    g.write()


def deform():
    g = Group('deform_conv2d', 'offset channels are (dy, dx) interleaved per kernel tap and offset group; mask is v2; sampling outside (-1, H) x (-1, W) is zero', 1e-4, 1e-4)
    for name, n, ci, co, h, w, k, s, p, d, gr, og, mask, scale, bias in [
            ('v1', 1, 4, 6, j(6, 9), j(6, 9), 3, 1, 1, 1, 1, 1, False, 1.0, True), ('v2', 1, 6, 8, j(6, 9), j(6, 9), 3, 1, 1, 1, 1, 1, True, 1.0, True), ('v2_s2_odd', 2, 5, 7, 9, j(7, 10), 3, 2, 1, 1, 1, 1, True, 1.5, False),
            ('v2_dil2', 1, 4, 5, j(8, 10), 9, 3, 1, 2, 2, 1, 1, True, 1.0, True), ('v1_groups2', 1, 8, 6, 6, 7, 3, 1, 1, 1, 2, 1, False, 1.0, True), ('v2_offset_groups2', 1, 8, 6, 7, 6, 3, 1, 1, 1, 1, 2, True, 1.0, True),
            ('v2_groups4_og2', 2, 8, 8, 6, 6, 3, 2, 1, 1, 4, 2, True, 2.0, False), ('v2_far_out', 1, 4, 4, 7, 7, 3, 1, 1, 1, 1, 1, True, 12.0, True), ('v1_k1', 1, 4, 5, 6, 6, 1, 1, 0, 1, 1, 1, False, 2.0, True), ('v2_k5', 1, 3, 4, 8, 8, 5, 1, 2, 1, 1, 1, True, 1.0, True),
            ('v2_wide', 1, size(64, 24), size(64, 24), 9, 9, 3, 1, 1, 1, 1, 1, True, 1.5, True)]:
        x, wt = g.rand(n, ci, h, w), g.rand(co, ci // gr, k, k, scale=0.3)
        oh, ow = (h + 2 * p - d * (k - 1) - 1) // s + 1, (w + 2 * p - d * (k - 1) - 1) // s + 1
        off = g.rand(n, 2 * og * k * k, oh, ow, scale=scale)
        m = torch.sigmoid(g.rand(n, og * k * k, oh, ow)) if mask else None
        b = g.rand(co) if bias else None
        g.add(name, dict(stride=s, padding=p, dilation=d, groups=gr, offset_groups=og), dict(input=x, weight=wt, offset=off, mask=m, bias=b),
              dict(output=ops.deform_conv2d(x, off, wt, b, s, p, d, m)))
    x, wt = g.rand(1, 2, 5, 5), g.rand(3, 2, 3, 3)
    for name, o in [('zero_offset', 0.0), ('integer_offset', 1.0), ('edge_minus_half', -0.5), ('edge_exactly_minus_one', -1.0), ('edge_half_over', 0.5)]:
        off = torch.full((1, 18, 5, 5), o)
        g.add(name, dict(stride=1, padding=1, dilation=1, groups=1, offset_groups=1), dict(input=x, weight=wt, offset=off), dict(output=ops.deform_conv2d(x, off, wt, None, 1, 1, 1, None)))
    g.write()


def roi():
    g = Group('roi_align', 'boxes are [batch index, x1, y1, x2, y2]; includes boxes outside, tiny, empty and reversed', 1e-5, 2e-5)
    H, W = j(18, 26), j(20, 30)
    x = g.rand(2, size(5, 3), H, W)
    def boxes(scale):
        r = []
        for i in range(size(24, 14)):
            c, s = g.r.random(2) * [W, H], np.exp(g.r.random(2) * 5 - 2)
            r.append([i % 2, *((c - s / 2) / scale), *((c + s / 2) / scale)])
        r += [[0, 0, 0, W / scale, H / scale], [1, -20 / scale, -9 / scale, 5 / scale, 4 / scale], [0, (W - 2) / scale, (H - 3) / scale, (W + 8) / scale, (H + 9) / scale],
              [0, (W + 3) / scale, 2 / scale, (W + 9) / scale, 9 / scale], [1, 4 / scale, 4 / scale, 4 / scale, 4 / scale], [0, 3.3 / scale, 3.3 / scale, 3.31 / scale, 3.32 / scale], [1, 9 / scale, 9 / scale, 4 / scale, 3 / scale]]
        return torch.tensor(r, dtype=torch.float32)
    for al in (False, True):
        for sr in (0, 2):
            for scale, o in ((1.0, (7, 7)), (0.25, (3, 5))):
                b = boxes(scale)
                g.add('aligned_%s_sr%d_s%g' % (al, sr, scale), dict(aligned=al, sampling_ratio=sr, spatial_scale=scale, output_size=list(o)), dict(input=x, boxes=b), dict(output=ops.roi_align(x, b, o, scale, sr, al)))
    b = boxes(0.125)
    g.add('out14', dict(aligned=False, sampling_ratio=2, spatial_scale=0.125, output_size=[14, 14]), dict(input=x, boxes=b), dict(output=ops.roi_align(x, b, 14, 0.125, 2, False)))
    g.write()
    g = Group('multiscale_roi_align', 'torchvision MultiScaleRoIAlign: level = floor(4 + log2(sqrt(area)/224) + 1e-6) clamped, sampling_ratio 2, aligned false. features "0".."3"', 1e-5, 2e-5)
    from collections import OrderedDict
    ih, iw = 256, 320
    f = OrderedDict((str(i), g.rand(2, 3, ih >> (i + 2), iw >> (i + 2))) for i in range(4))
    bs = []
    for b in range(2):
        c, s = g.r.random((size(40, 12), 2)) * [iw, ih], np.exp(g.r.random((size(40, 12), 2)) * 4.2 + 1.5)
        bx = np.concatenate([c - s / 2, c + s / 2], 1)
        bx = np.concatenate([bx, [[0, 0, 112, 112], [0, 0, 224, 224], [0, 0, 111.999, 112], [10, 10, 234, 234], [5, 5, 5, 5]]]) if b == 0 else bx
        bx[:, 0::2] = bx[:, 0::2].clip(0, iw)
        bx[:, 1::2] = bx[:, 1::2].clip(0, ih)
        bs.append(torch.from_numpy(bx.astype(np.float32)))
    for o in (7, 14):
        m = ops.MultiScaleRoIAlign(['0', '1', '2', '3'], o, 2)
        y = m(f, bs, [(ih, iw)] * 2)
        lv = m.map_levels(bs)
        g.add('out%d' % o, dict(output_size=o, sampling_ratio=2, image=[ih, iw], scales=[float(s) for s in m.scales]), {**{'f' + k: v for k, v in f.items()}, 'boxes0': bs[0], 'boxes1': bs[1]}, dict(output=y, levels=lv))
    g.write()


def rand_boxes(g, n, size=200.0, smin=4.0, smax=80.0):
    c = g.r.random((n, 2)) * size
    s = smin + g.r.random((n, 2)) * (smax - smin)
    return torch.from_numpy(np.concatenate([c - s / 2, c + s / 2], 1).astype(np.float32))


def clear_iou(b, thr, margin=1e-4):
    m = (ops.box_iou(b.double(), b.double()) - thr).abs()
    m.fill_diagonal_(1.0)
    return bool((m > margin).all())


def nms():
    g = Group('nms', 'stable descending sort, suppress when float32 IoU > threshold (threshold is float64). "keep" is in score order.', 0, 0)
    for n, thr in [(60, 0.5), (60, 0.3), (400, 0.7), (1500, 0.5)]:
        for _ in range(200):
            b = rand_boxes(g, n, size=30 + n * 0.7)
            if clear_iou(b, thr, 1e-4 if n < 100 else 3e-6 if n < 1000 else 2e-7):
                break
        s = torch.from_numpy(((g.r.permutation(n) + 0.5) / n).astype(np.float32))
        g.add('n%d_t%g' % (n, thr), dict(iou_threshold=thr), dict(boxes=b, scores=s), dict(keep=ops.nms(b, s, thr)))
    b = rand_boxes(g, 80, size=60)
    s = torch.from_numpy((g.r.integers(0, 4, 80) / 4.0).astype(np.float32))
    g.add('score_ties', dict(iou_threshold=0.4), dict(boxes=b, scores=s), dict(keep=ops.nms(b, s, 0.4)), 'equal scores keep input order')
    b = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6], [0, 0, 10, 7], [20, 20, 20, 20], [20, 20, 20, 20], [30, 30, 25, 25], [100, 100, 110, 110]], dtype=torch.float32)
    s = torch.tensor([.9, .8, .7, .6, .5, .4, .3, .2, .1])
    for t in (0.5, 0.6, 0.7, 0.49, 1.0, 0.0):
        g.add('exact_t%g' % t, dict(iou_threshold=t), dict(boxes=b, scores=s), dict(keep=ops.nms(b, s, t)), 'IoU exactly 1, 0.5, 0.6, 0.7; empty boxes give 0/0')
    pairs = []
    for i, (bw, bh) in enumerate([(10, 5), (10, 6), (10, 7), (10, 3), (10, 1), (9, 10), (4, 5)]):
        pairs += [[i * 100, 0, i * 100 + 10, 10], [i * 100, 0, i * 100 + bw, bh]]
    b = torch.tensor(pairs, dtype=torch.float32)
    s = torch.linspace(0.9, 0.2, len(pairs))
    for t in (0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9):
        g.add('pairs_exact_t%g' % t, dict(iou_threshold=t), dict(boxes=b, scores=s), dict(keep=ops.nms(b, s, t)),
              'isolated pairs of IoU 0.5, 0.6, 0.7, 0.3, 0.1, 0.9, 0.2: float32 IoU against a float64 threshold')
    g.add('empty', dict(iou_threshold=0.5), dict(boxes=torch.zeros(0, 4), scores=torch.zeros(0)), dict(keep=ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)))
    g.write()
    g = Group('batched_nms', 'torchvision: up to 1000 boxes (4000 numbers) the coordinate-offset trick, above it one nms per class', 0, 0)
    for n, k, thr in [(120, 5, 0.5), (700, 3, 0.7), (1400, 6, 0.5)]:
        b, c = rand_boxes(g, n, size=150), torch.from_numpy(g.r.integers(0, k, n))
        s = torch.from_numpy(((g.r.permutation(n) + 0.5) / n).astype(np.float32))
        y = ops.batched_nms(b, s, c, thr)
        from torchvision.ops.boxes import _batched_nms_coordinate_trick, _batched_nms_vanilla
        same = bool(torch.equal(_batched_nms_vanilla(b, s, c, thr), _batched_nms_coordinate_trick(b, s, c, thr)))
        g.add('n%d_k%d' % (n, k), dict(iou_threshold=thr, both_strategies_agree=same), dict(boxes=b, scores=s, classes=c), dict(keep=y))
    g.write()


def boxes():
    g = Group('boxes', 'box_iou, clip_boxes_to_image, remove_small_boxes, BoxCoder.decode', 1e-5, 1e-5)
    a, b = rand_boxes(g, 20, size=50), rand_boxes(g, 15, size=50)
    g.add('box_iou', dict(fn='box_iou'), dict(a=a, b=b), dict(output=ops.box_iou(a, b)))
    x = rand_boxes(g, 30, size=100)
    g.add('clip', dict(fn='clip_boxes_to_image', size=[61, 83]), dict(boxes=x), dict(output=ops.clip_boxes_to_image(x, (61, 83))))
    c = ops.clip_boxes_to_image(x, (61, 83))
    g.add('remove_small', dict(fn='remove_small_boxes', min_size=20.0), dict(boxes=c), dict(keep=ops.remove_small_boxes(c, 20.0)))
    from torchvision.models.detection._utils import BoxCoder
    for name, w in (('rpn', (1., 1., 1., 1.)), ('heads', (10., 10., 5., 5.))):
        n, k = 25, 1 if name == 'rpn' else 7
        x, d = rand_boxes(g, n), g.rand(n, 4 * k, scale=1.0 if name == 'rpn' else 6.0)
        d[0, 2], d[1, 3], d[2, 2] = 60.0, 25.0, -60.0
        y = BoxCoder(w).decode(d, [x])
        g.add('decode_' + name, dict(fn='BoxCoder.decode', weights=list(w), clip=float(np.log(1000. / 16))), dict(boxes=x, deltas=d), dict(output=y), 'output [n, k, 4]; dw, dh clamped at log(1000/16)')
    g.write()
    g = Group('anchors', 'torchvision AnchorGenerator: base anchors rounded half to even, integer strides image // grid', 0, 1e-4)
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList
    sizes, ratios = ((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5
    for name, (h, w), sz, ra in [('padded_320x448', (320, 448), sizes, ratios), ('odd', (j(5, 9) * 32, j(5, 9) * 32), sizes, ratios), ('multi_size', (96, 128), ((16, 24, 37),) * 2, ((0.5, 1.0, 2.0, 0.33),) * 2)]:
        n = len(sz)
        fm = [torch.zeros(1, 1, -(-h // (4 << i)), -(-w // (4 << i))) for i in range(n)]
        ag = AnchorGenerator(sz, ra)
        out = ag(ImageList(torch.zeros(1, 3, h, w), [(h, w)]), fm)[0]
        d = {'base%d' % i: c for i, c in enumerate(ag.cell_anchors)}
        keep = max(1, out.shape[0] // size(2000, 800))
        d['anchors_every_%d' % keep] = out[::keep]
        g.add(name, dict(image=[h, w], grids=[list(f.shape[-2:]) for f in fm], sizes=[list(s) for s in sz], ratios=[list(r) for r in ra], total=out.shape[0], step=keep), {}, d)
    g.write()


def masks():
    from torchvision.models.detection.roi_heads import paste_masks_in_image
    g = Group('paste_masks', 'torchvision paste_masks_in_image (1 px padding, boxes expanded by 30/28 then truncated to integers, bilinear '
              'resize) and the detectron2 style (grid_sample at pixel centres, threshold >= 0.5). Both give probabilities here.', 1e-5, 2e-5)
    h, w, n = j(50, 60), j(60, 75), size(14, 7)
    h, w = size((h, w), (h - 16, w - 20))
    m = torch.sigmoid(F.interpolate(g.rand(n, 1, 7, 7, scale=3), (28, 28), mode='bilinear', align_corners=False))
    b = rand_boxes(g, n, size=min(h, w), smin=3, smax=40).clamp(min=0)
    b[:, 0::2] = b[:, 0::2].clamp(0, w)
    b[:, 1::2] = b[:, 1::2].clamp(0, h)
    b[0], b[1], b[2] = torch.tensor([0., 0., w, h]), torch.tensor([10.2, 10.4, 10.9, 11.1]), torch.tensor([w - 3.5, h - 6.5, float(w), float(h)])
    b[3] = torch.tensor([5., 7., 33., 35.])
    y = paste_masks_in_image(m, b, (h, w))
    g.add('torchvision', dict(kind='torchvision', size=[h, w], padding=1), dict(masks=m, boxes=b), dict(output=y))

    def paste_d2(masks, boxes):
        x0, y0, x1, y1 = torch.split(boxes, 1, dim=1)
        iy, ix = torch.arange(0, h, dtype=torch.float32) + 0.5, torch.arange(0, w, dtype=torch.float32) + 0.5
        iy, ix = (iy - y0) / (y1 - y0) * 2 - 1, (ix - x0) / (x1 - x0) * 2 - 1
        gx, gy = ix[:, None, :].expand(len(masks), h, w), iy[:, :, None].expand(len(masks), h, w)
        return F.grid_sample(masks, torch.stack([gx, gy], dim=3), align_corners=False)

    b2 = b.clone()
    b2[4:7] += torch.tensor([-15., -9., 12., 20.])
    y = paste_d2(m, b2)
    g.add('detectron2', dict(kind='grid_sample', size=[h, w]), dict(masks=m, boxes=b2), dict(output=y, binary=(y >= 0.5)))
    g.write()


def resize_table():
    from torchvision.models.detection.transform import _resize_image_and_masks
    rows = []
    r = rng(SEED, 77)
    sizes = [(240, 320), (300, 400), (480, 640), (427, 640), (333, 500), (160, 512), (1080, 1920), (37, 211), (800, 800), (1333, 800), (1, 5)]
    sizes += [tuple(int(v) for v in r.integers(20, 1400, 2)) for _ in range(25)]
    for h, w in sizes:
        for mn, mx in ((800, 1333), (320, 640)):
            y, _ = _resize_image_and_masks(torch.zeros(1, h, w), float(mn), float(mx))
            s = min(mn / min(h, w), mx / max(h, w))
            rows.append([h, w, mn, mx, y.shape[1], y.shape[2], int(h * s), int(w * s)])
    d = os.path.join(OUT, 'resize_sizes')
    os.makedirs(d, exist_ok=True)
    write_json(os.path.join(d, 'case.json'), dict(
        op='resize_sizes', note='[h, w, min_size, max_size, out h, out w, out h and out w of newer torchvision] of torchvision GeneralizedRCNNTransform: scale = min(min_size * (1 / short), '
        'max_size * (1 / long)), every step in float32 (a Python number divided by a tensor is reciprocal, then multiply), widened to float64; out = floor(in * scale). Newer torchvision (0.28 in eager mode) divides Python numbers, so the scale is exact float64 and some sizes are one larger or smaller', seed=SEED,
        environment=dict(torch=torch.__version__, torchvision=torchvision.__version__), rows=rows))


for f in (conv2d, conv_transpose2d, pooling, interpolate, norm_linear_act, deform, roi, nms, boxes, masks, resize_table):
    f()
