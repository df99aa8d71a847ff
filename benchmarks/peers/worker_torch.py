"""PyTorch's side of the networks: `python worker_torch.py '{"threads": 2}'`. See workers.mjs for the protocol."""
import json
import os
import re
import sys
import time
import traceback

import models  # before torchvision
import torch
import torchvision


def peak_memory():
    with open('/proc/self/status') as file:
        return int(re.search(r'VmHWM:\s+(\d+) kB', file.read()).group(1)) * 1024


class Worker:
    def about(self, request):
        return dict(name='PyTorch', version=torch.__version__, torchvision=torchvision.__version__,
                    operators=models.operators, capability=torch.backends.cpu.get_cpu_capability())

    def model(self, request):
        self.module, spec = models.build(request['name'])
        self.family = spec['config']['family']
        self.image = models.test_image(self.family, request['image']['height'], request['image']['width'])
        found = self.forward()
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
        return dict(detections=len(boxes))

    def forward(self):
        return self.module([self.image])[0] if self.family == 'torchvision' else self.module(self.image)

    def run(self, request):
        started = time.perf_counter()
        self.forward()
        return dict(ms=(time.perf_counter() - started) * 1000)

    def memory(self, request):
        return dict(peak=peak_memory())

    def close(self, request):
        self.module = None


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
