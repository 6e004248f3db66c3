"""A cell of the supernet: every edge is the weighted sum of its operations.

Two forms of one function. Merged: the operations of one name on all edges that leave a node run together, which keeps
an accelerator busy. Scanned: one compiled loop over the edges, which compiles in a fraction of the time and keeps what
it works on in a CPU's cache.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from darts_perturb.layers import ops, windows
from darts_perturb.space import Space


class MixedCell(nn.Module):
    """Nodes of a cell of the supernet; the operations of all edges that leave a node run together.

    Attributes:
        space: `space.Space`.
        affine: whether normalisation learns a scale and bias.
        kind: kind of cell.
        scanned: whether the edges run in a loop, where they can; None is by backend.
    """

    space: Space
    affine: bool = False
    kind: str = "cell"
    scanned: bool | None = None

    @nn.compact
    def __call__(self, x, weights, key=None):
        """Returns (output, None).

        Args:
            x: the input [C, H, W, B], or a tuple of inputs.
            weights: [edges, choices].
            key: of the noise operation.

        Returns:
            The last node if there is one input, else all nodes but the inputs side by side, [channels, H, W, B].
        """
        inputs = x if isinstance(x, tuple) else (x,)
        scanned = not windows.on_accelerator() if self.scanned is None else self.scanned
        if scanned and not self.is_initializing() and can_scan(self.space, self.affine):
            nodes = scanned_nodes(self.variables["params"], inputs, weights, key, space=self.space, kind=self.kind)
        else:
            nodes = self._merged(inputs, weights, key)
        return (nodes[-1] if len(inputs) == 1 else jnp.concatenate(nodes[len(inputs) :])), None

    def _merged(self, inputs, weights, key):
        nodes = [*inputs] + [0.0] * (self.space.num_nodes - len(inputs))
        choices = self.space.edge_ops(self.kind)
        for source in range(self.space.num_nodes - 1):
            for op in self.space.ops:
                edges = sharing(self.space, self.kind, source, op)
                if op == "none" or not edges:
                    continue
                out = self._operation(op, edges, f"from_{source}_{op}")(
                    nodes[source], noise_keys(key, op, jnp.asarray(edges))
                )
                for place, edge in enumerate(edges):
                    share = weights[edge, choices[edge].index(op)] * out[min(place, out.shape[0] - 1)]
                    nodes[self.space.edges[edge][1]] += share
        return nodes

    def _operation(self, op, edges, name):
        stride = self.space.stride(self.kind, edges[0])
        return ops.Operation(op, len(edges), self.affine, stride, self.space.pool_norm, name=name)


def sharing(space, kind, source, op):
    """Returns the edges that leave a node and have an operation, in the order of the merged parameters."""
    return tuple(edge for edge in space.edges_from(source) if op in space.edge_ops(kind)[edge])


def noise_keys(key, op, edges):
    """Returns the keys of the noise operation on some edges, None for the other operations."""
    return None if key is None or op != "noise" else jax.vmap(lambda edge: jax.random.fold_in(key, edge))(edges)


def can_scan(space, affine=False):
    """Returns whether the edges of a cell can run in one loop: all have the same operations, each with its own weights.

    Plain convolutions stay merged: those of one input are one matrix product.
    """
    return not (space.choices or affine or any(op.startswith("nor_conv") for op in space.ops))


def scanned_nodes(params, inputs, weights, key, *, space, kind):
    """Returns the nodes of a cell, computed edge by edge in a loop for every stride.

    Args:
        params: of a MixedCell.
        inputs: tuple of arrays [C, H, W, B].
        weights: [edges, choices].
        key: of the noise operation.
        space: `space.Space`.
        kind: kind of cell.

    Returns:
        [nodes, C, H, W, B]; the inputs are zeros where the cell halves the image.
    """
    live = [(index, op) for index, op in enumerate(space.ops) if op != "none"]

    def run(nodes, sources, edges, stride):
        """Returns the nodes after adding some edges; sources is where they read, None for the nodes themselves."""
        modules = [ops.Operation(op, 1, False, stride, space.pool_norm) for _, op in live]

        def edge_sum(nodes, xs):
            number, source, target, weight, edge_params = xs
            x = (nodes if sources is None else sources)[source]
            total = 0.0
            for module, (index, op), own in zip(modules, live, edge_params):
                total += weight[index] * module.apply({"params": own}, x, noise_keys(key, op, number[None]))[0]
            return nodes.at[target].add(total), None

        ends = jnp.asarray([space.edges[edge] for edge in edges])
        index = jnp.asarray(edges)
        own = [edge_params(params, space, kind, op, edges) for _, op in live]
        # computing an edge again costs less than storing all it computed: every stored array is a stack over edges
        edge_sum = jax.checkpoint(edge_sum, prevent_cse=False)
        return lax.scan(edge_sum, nodes, (index, ends[:, 0], ends[:, 1], weights[index], own))[0]

    by_stride = {}
    for edge in range(len(space.edges)):
        by_stride.setdefault(space.stride(kind, edge), []).append(edge)
    first = jnp.stack(inputs)
    if 2 not in by_stride:
        nodes = jnp.pad(first, [(0, space.num_nodes - len(inputs))] + [(0, 0)] * 4)
        return run(nodes, None, by_stride[1], 1)
    _, channels, height, width, batch = first.shape
    nodes = jnp.zeros((space.num_nodes, channels, -(-height // 2), -(-width // 2), batch), first.dtype)
    nodes = run(nodes, first, by_stride[2], 2)
    return run(nodes, None, by_stride[1], 1) if 1 in by_stride else nodes


def edge_params(params, space, kind, op, edges):
    """Returns the parameters of one operation on some edges, [edges, 1, ...]."""
    rows = {}
    for source in range(space.num_nodes - 1):
        for place, edge in enumerate(sharing(space, kind, source, op)):
            rows[edge] = jax.tree.map(lambda leaf, place=place: leaf[place], params.get(f"from_{source}_{op}", {}))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves)[:, None], *[rows[edge] for edge in edges])
