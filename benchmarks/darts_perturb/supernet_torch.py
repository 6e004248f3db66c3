"""The DARTS and NAS-Bench-201 supernets by PyTorch, in PyTorch's own environment.

Written after arXiv:1806.09055 and 2001.00326 with what PyTorch users use: `torch.nn` modules, channels_last,
`torch.optim`. Started by `benchmarks.darts_perturb.supernet` with the interpreter that has torch; asked for {"case",
"batch", "count", "lean"} it answers with {"parameters"}.
"""

import functools
import importlib.metadata
import os

from benchmarks import peers

CHANNELS, SIDE, CLASSES, LAYERS = 16, 32, 10, 8
CASES = ("cell", "nb201", "darts")


def modules():
    """Returns {case: module}: a module takes what it reads, then its op weights."""
    import torch
    from torch import nn

    def norm(channels, affine=False):
        return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)

    def conv(num_in, num_out, size, stride=1):
        return nn.Conv2d(num_in, num_out, size, stride, size // 2, bias=False)

    def relu_conv_norm(num_in, num_out, size, stride=1, affine=False):
        return nn.Sequential(nn.ReLU(), conv(num_in, num_out, size, stride), norm(num_out, affine))

    def separable(channels, size, stride, dilation=1):
        border = dilation * (size // 2)
        depthwise = nn.Conv2d(channels, channels, size, stride, border, dilation, groups=channels, bias=False)
        return nn.Sequential(nn.ReLU(), depthwise, conv(channels, channels, 1), norm(channels))

    def pool(kind, stride=1):
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False) if kind == "avg" else nn.MaxPool2d(3, stride, 1)

    class Halved(nn.Module):
        """Half of the channels from the even pixels, half from the odd ones."""

        def __init__(self, num_in, num_out):
            super().__init__()
            self.even, self.odd = (conv(num_in, num_out // 2, 1, 2) for _ in range(2))
            self.norm = norm(num_out)

        def forward(self, x):
            x = torch.relu(x)
            return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))

    class DartsEdge(nn.Module):
        def __init__(self, channels, stride):
            super().__init__()
            self.ops = nn.ModuleList(
                [
                    *(nn.Sequential(pool(kind, stride), norm(channels)) for kind in ("max", "avg")),
                    nn.Identity() if stride == 1 else Halved(channels, channels),
                    *(
                        nn.Sequential(separable(channels, size, stride), separable(channels, size, 1))
                        for size in (3, 5)
                    ),
                    *(separable(channels, size, stride, dilation=2) for size in (3, 5)),
                ]
            )

        def forward(self, x, weights):
            return sum(weight * op(x) for weight, op in zip(weights, self.ops))

    class DartsCell(nn.Module):
        def __init__(self, channels, reduces=False):
            super().__init__()
            strides = [2 if reduces and source < 2 else 1 for node in range(2, 6) for source in range(node)]
            self.edges = nn.ModuleList(DartsEdge(channels, stride) for stride in strides)

        def forward(self, inputs, weights):
            nodes, edge = list(inputs), 0
            for _ in range(4):
                total = 0
                for node in nodes:
                    total, edge = total + self.edges[edge](node, weights[edge]), edge + 1
                nodes.append(total)
            return torch.cat(nodes[2:], dim=1)

    class DartsNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(conv(3, 3 * CHANNELS, 3), norm(3 * CHANNELS, True))
            before, last, channels, after_reduction = 3 * CHANNELS, 3 * CHANNELS, CHANNELS, False
            self.prepare, self.cells, self.reduces = nn.ModuleList(), nn.ModuleList(), []
            for layer in range(LAYERS):
                reduces = layer in (LAYERS // 3, 2 * LAYERS // 3)
                channels = 2 * channels if reduces else channels
                older = Halved(before, channels) if after_reduction else relu_conv_norm(before, channels, 1)
                self.prepare.append(nn.ModuleList([older, relu_conv_norm(last, channels, 1)]))
                self.cells.append(DartsCell(channels, reduces))
                self.reduces.append(reduces)
                before, last, after_reduction = last, 4 * channels, reduces
            self.classifier = nn.Linear(last, CLASSES)

        def forward(self, x, weights):
            before = last = self.stem(x)
            for prepare, cell, reduces in zip(self.prepare, self.cells, self.reduces):
                before, last = last, cell((prepare[0](before), prepare[1](last)), weights[int(reduces)])
            return self.classifier(last.mean((2, 3)))

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

    return {"cell": lambda: DartsCell(CHANNELS), "nb201": Net201, "darts": DartsNet}


def passes(module, batch):
    """Returns the function of a count that takes so many gradients of a cell: of its inputs, weights and alpha."""
    import torch

    x = torch.randn(batch, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last).requires_grad_()
    target = torch.randn(batch, 4 * CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last)
    alpha = (1e-3 * torch.randn(14, 7)).requires_grad_()
    wanted = [*module.parameters(), alpha, x]

    def run(count):
        for _ in range(count):
            loss = (module((x, x.flip(0)), alpha.softmax(-1)) * target).sum()
            gradients = torch.autograd.grad(loss, wanted)
            with torch.no_grad():
                torch._foreach_add_(wanted, gradients, alpha=-1e-6)

    return run


def steps(module, batch, alpha_shape, lean):
    """Returns the function of a count that takes so many steps of a search: Adam on alpha, then SGD on the weights.

    `lean` asks in each half-step for the gradients that it uses; the public codes call backward(), which gives all.
    """
    import torch
    from torch.nn import functional

    x = torch.randn(2, batch, 3, SIDE, SIDE)
    labels = torch.randint(CLASSES, (2, batch))
    alpha = (1e-3 * torch.randn(alpha_shape)).requires_grad_()
    weights = list(module.parameters())
    of_alpha = torch.optim.Adam([alpha], 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    of_weights = torch.optim.SGD(weights, 0.025, momentum=0.9, weight_decay=3e-4)

    def half(number, optimizer):
        images = x[number].to(memory_format=torch.channels_last)
        alpha.grad = None
        of_weights.zero_grad()
        loss = functional.cross_entropy(module(images, alpha.softmax(-1)), labels[number])
        loss.backward(inputs=([alpha], weights)[number] if lean else [alpha, *weights])
        if optimizer is of_weights:
            torch.nn.utils.clip_grad_norm_(weights, 5)
        optimizer.step()

    def run(count):
        for _ in range(count):
            half(0, of_alpha)
            half(1, of_weights)

    return run


def ready(case, batch, lean):
    """Returns (function of a count that takes so many passes or steps, the number of parameters)."""
    import torch

    module = modules()[case]().to(memory_format=torch.channels_last)
    shape = (6, 5) if case == "nb201" else (2, 14, 7)
    run = passes(module, batch) if case == "cell" else steps(module, batch, shape, lean)
    return run, sum(leaf.numel() for leaf in module.parameters())


def main():
    """Answers requests until the input ends."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    made = functools.cache(ready)

    def answer(case, batch, count, lean):
        run, num_parameters = made(case, batch, lean)

        def work():
            run(count)
            return {"parameters": num_parameters}

        return work

    peers.serve({"torch": importlib.metadata.version("torch")}, answer)


if __name__ == "__main__":
    main()
