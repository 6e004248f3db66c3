"""A DARTS cell and the NAS-Bench-201 supernet by PyTorch, in PyTorch's own environment.

Written after arXiv:1806.09055 and 2001.00326 with what PyTorch users use: `torch.nn` modules, channels_last. Started by
`benchmarks.darts_perturb.supernet` with the interpreter that has torch. Reads one JSON line {"case", "batch"} at a
time, computes one forward pass and all gradients, and answers with {"cpu_s", "wall_s"}. Imports nothing from here.
"""

import importlib.metadata
import json
import os
import sys
import time

CHANNELS, SIDE, CLASSES = 16, 32, 10
CASES = ("cell", "nb201")


def modules():
    """Returns {case: function of a batch size that gives the function to time}."""
    import torch
    from torch import nn
    from torch.nn import functional

    def norm(channels, affine=False):
        return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)

    def conv(num_in, num_out, size, stride=1):
        return nn.Conv2d(num_in, num_out, size, stride, size // 2, bias=False)

    def relu_conv_norm(num_in, num_out, size, stride=1, affine=False):
        return nn.Sequential(nn.ReLU(), conv(num_in, num_out, size, stride), norm(num_out, affine))

    def separable(size, dilation):
        border = dilation * (size // 2)
        depthwise = nn.Conv2d(CHANNELS, CHANNELS, size, padding=border, dilation=dilation, groups=CHANNELS, bias=False)
        return nn.Sequential(nn.ReLU(), depthwise, conv(CHANNELS, CHANNELS, 1), norm(CHANNELS))

    def pool(kind):
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if kind == "avg" else nn.MaxPool2d(3, 1, 1)

    class DartsEdge(nn.Module):
        def __init__(self):
            super().__init__()
            self.ops = nn.ModuleList(
                [
                    nn.Sequential(pool("max"), norm(CHANNELS)),
                    nn.Sequential(pool("avg"), norm(CHANNELS)),
                    nn.Identity(),
                    nn.Sequential(separable(3, 1), separable(3, 1)),
                    nn.Sequential(separable(5, 1), separable(5, 1)),
                    separable(3, 2),
                    separable(5, 2),
                ]
            )

        def forward(self, x, weights):
            return sum(weight * op(x) for weight, op in zip(weights, self.ops))

    class DartsCell(nn.Module):
        def __init__(self):
            super().__init__()
            self.edges = nn.ModuleList(DartsEdge() for _ in range(14))

        def forward(self, x, weights):
            nodes, edge = [x, x.flip(0)], 0
            for _ in range(4):
                total = 0
                for node in nodes:
                    total, edge = total + self.edges[edge](node, weights[edge]), edge + 1
                nodes.append(total)
            return torch.cat(nodes[2:], dim=1)

    class Cell201(nn.Module):
        ends = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

        def __init__(self, channels):
            super().__init__()
            self.edges = nn.ModuleList(
                nn.ModuleList(
                    [
                        nn.Identity(),
                        relu_conv_norm(channels, channels, 1),
                        relu_conv_norm(channels, channels, 3),
                        pool("avg"),
                    ]
                )
                for _ in self.ends
            )

        def forward(self, x, weights):
            nodes = [x, 0, 0, 0]
            for number, (source, target) in enumerate(self.ends):
                shares = [w * op(nodes[source]) for w, op in zip(weights[number][1:], self.edges[number])]
                nodes[target] = nodes[target] + sum(shares)
            return nodes[3]

    class Residual(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.a = relu_conv_norm(channels, 2 * channels, 3, 2, affine=True)
            self.b = relu_conv_norm(2 * channels, 2 * channels, 3, affine=True)
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), conv(channels, 2 * channels, 1))

        def forward(self, x, _):
            return self.b(self.a(x)) + self.shortcut(x)

    class Net201(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(conv(3, CHANNELS, 3), norm(CHANNELS, True))
            blocks = []
            for stage in range(3):
                blocks += [Cell201(CHANNELS << stage)] + ([Residual(CHANNELS << stage)] if stage < 2 else [])
            self.blocks = nn.ModuleList(blocks)
            self.last = nn.Sequential(norm(4 * CHANNELS, True), nn.ReLU())
            self.classifier = nn.Linear(4 * CHANNELS, CLASSES)

        def forward(self, x, weights):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x, weights)
            return self.classifier(self.last(x).mean((2, 3)))

    def timed(module, weights, inputs, loss_fn):
        module = module.to(memory_format=torch.channels_last)
        wanted = [*module.parameters(), weights, *([inputs] if inputs.requires_grad else [])]

        def call():
            return torch.autograd.grad(loss_fn(module(inputs, functional.softmax(weights, -1))), wanted)

        return call

    def cell(batch):
        x = torch.randn(batch, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last).requires_grad_()
        target = torch.randn(batch, 4 * CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last)
        alpha = (1e-3 * torch.randn(14, 7)).requires_grad_()
        return timed(DartsCell(), alpha, x, lambda out: (out * target).sum())

    def nb201(batch):
        x = torch.randn(batch, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (batch,))
        alpha = (1e-3 * torch.randn(6, 5)).requires_grad_()
        return timed(Net201(), alpha, x, lambda out: functional.cross_entropy(out, labels))

    return {"cell": cell, "nb201": nb201}


def main():
    """Answers requests until the input ends."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    cases, ready = modules(), {}
    answer = {"torch": importlib.metadata.version("torch")}
    while True:
        print(json.dumps(answer), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        which = (request["case"], request["batch"])
        if which not in ready:
            ready[which] = cases[which[0]](which[1])
        wall, cpu = time.perf_counter(), time.process_time()
        ready[which]()
        answer = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


if __name__ == "__main__":
    main()
