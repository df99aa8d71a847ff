"""PyTorch's side of the networks: `python worker_torch.py '{"threads": 2}'`. See workers.mjs for the protocol."""
import gc
import json
import os
import re
import sys
import time
import traceback

import models  # before torchvision
import numpy as np
import torch
import torchvision
from torch.nn import functional as F


def peak_memory():
    """Highest resident size of this process in bytes, since it began or was reset."""
    with open('/proc/self/status') as file:
        return int(re.search(r'VmHWM:\s+(\d+) kB', file.read()).group(1)) * 1024


class Worker:
    def about(self, request):
        return dict(name='PyTorch', version=torch.__version__, torchvision=torchvision.__version__,
                    operators=models.operators, deformable=models.operators == "torchvision's own",
                    capability=torch.backends.cpu.get_cpu_capability())

    def convolution(self, request):
        """In NCHW, as torch.nn has it; what the sides compute comes in files."""
        work = request['work']
        given = {name: torch.from_numpy(np.fromfile(file['path'], np.float32)).reshape(file['shape'])
                 for name, file in request['files'].items()}
        x, weight, bias = given['x'], given['weight'], given['bias']
        window = dict(stride=work['stride'], padding=(work['kernel'] - 1) // 2)
        if work['op'] == 'deformConv2d':
            offset, mask = given['offset'], given['mask']
            self.call = lambda: torchvision.ops.deform_conv2d(x, offset, weight, bias, mask=mask, **window)
        else:
            self.call = lambda: F.conv2d(x, weight, bias, **window)
        self.call().permute(0, 2, 3, 1).contiguous().numpy().tofile(request['output'])

    def model(self, request):
        self.module, spec = models.build(request['name'])
        self.family = spec['config']['family']
        self.image = models.test_image(self.family, request['image']['height'], request['image']['width'])
        found = self.forward()
        # What the comparison of results takes does not count.
        self.peak = peak_memory()
        self.write(found, request)
        del found
        gc.collect()
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')
        self.call = self.forward

    def write(self, found, request):
        """Detections as JSON, and their masks: 1, 0, or 2 where a pixel is too near to the threshold to say."""
        if self.family == 'torchvision':
            boxes, labels, scores, masks = (found[key] for key in ('boxes', 'labels', 'scores', 'masks'))
        else:
            boxes, labels, _, scores, masks = found
        rows = zip(labels.tolist(), scores.tolist(), boxes.tolist())
        with open(request['output'] + '.json', 'w') as file:
            json.dump([dict(label=label, score=score, box=box) for label, score, box in rows], file)
        bits = (masks > 0.5).to(torch.uint8)
        bits[(masks - 0.5).abs() < request['undecided']] = 2
        bits.numpy().tofile(request['output'] + '.masks')

    def forward(self):
        return self.module([self.image])[0] if self.family == 'torchvision' else self.module(self.image)

    def run(self, request):
        started = time.perf_counter()
        self.call()
        return dict(ms=(time.perf_counter() - started) * 1000)

    def memory(self, request):
        return dict(peak=max(self.peak, peak_memory()))

    def close(self, request):
        self.module = self.call = None


def main():
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    torch.set_num_threads(settings.get('threads', 1))
    worker = Worker()
    with os.fdopen(3, 'w', buffering=1) as replies, torch.inference_mode():
        for line in sys.stdin:
            request = json.loads(line)
            try:
                reply = getattr(worker, request['do'])(request) or {}
            except Exception:
                reply = dict(error=traceback.format_exc())
            replies.write(json.dumps(reply) + '\n')


if __name__ == '__main__':
    main()
