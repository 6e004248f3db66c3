"""A cell of the supernet: every edge is the weighted sum of its operations.

Two forms of one function. Merged: the operations of one name on all edges that leave a node run together, which keeps
an accelerator busy. Scanned: one compiled loop over the edges, which compiles in a fraction of the time and keeps what
it works on in a CPU's cache.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from darts_perturb.layers import ops, windows
from darts_perturb.space import Space

CARRIED = "carried"  # the collection of what operations give; kept where it is asked for


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
        scanned = scanned and not self.is_mutable_collection(CARRIED)
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
                self.sow(CARRIED, f"{source}_{op}", out)
                own = [weights[edge, choices[edge].index(op)] for edge in edges]
                for edge, share in zip(edges, _shares(own, out)):
                    nodes[self.space.edges[edge][1]] += share
        return nodes

    def _operation(self, op, edges, name):
        stride = self.space.stride(self.kind, edges[0])
        return ops.Operation(op, len(edges), self.affine, stride, self.space.pool_norm, name=name)


def _shares(weights, out):
    """Returns [weight times what its edge carries] of out [E, C, H, W, B], or [1, ...] where all carry the same."""
    if len(out) == 1:
        return [weight * out[0] for weight in weights]
    # the gradient of a split is one array; that of E slices is a sum of E arrays, zero but for one edge
    shares = jnp.stack(weights)[:, None, None, None, None] * out
    return [share[0] for share in lax.split(shares, [1] * len(weights))]


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
    key_impl = None if key is None else jax.random.key_impl(key)

    def run(nodes, sources, edges, stride):
        """Returns the nodes after adding some edges; sources is where they read, None for the nodes themselves."""
        modules = [ops.Operation(op, 1, False, stride, space.pool_norm) for _, op in live]

        def edge_fn(x, noise, weight, edge_params):
            keys = None if noise is None else jax.random.wrap_key_data(noise, impl=key_impl)[None]
            total = 0.0
            for module, (index, op), own in zip(modules, live, edge_params):
                total += weight[index] * module.apply({"params": own}, x, keys if op == "noise" else None)[0]
            return total

        ends = jnp.asarray([space.edges[edge] for edge in edges])
        own = [edge_params(params, space, kind, op, edges) for _, op in live]
        index = jnp.asarray(edges)
        # as plain numbers: the gradient draws the same noise again
        noise = None if key is None else jax.random.key_data(noise_keys(key, "noise", index))
        return _summed(edge_fn, nodes, sources, (ends[:, 0], ends[:, 1], noise), (weights[index], own))

    by_stride = {}
    # by target: a node is complete before an edge reads it
    for edge in sorted(range(len(space.edges)), key=lambda edge: space.edges[edge][1]):
        by_stride.setdefault(space.stride(kind, edge), []).append(edge)
    first = jnp.stack(inputs)
    if 2 not in by_stride:
        nodes = jnp.pad(first, [(0, space.num_nodes - len(inputs))] + [(0, 0)] * 4)
        return run(nodes, None, by_stride[1], 1)
    _, channels, height, width, batch = first.shape
    nodes = jnp.zeros((space.num_nodes, channels, -(-height // 2), -(-width // 2), batch), first.dtype)
    nodes = run(nodes, first, by_stride[2], 2)
    return run(nodes, None, by_stride[1], 1) if 1 in by_stride else nodes


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(edge_fn, nodes, sources, places, learned):
    """Returns the nodes after every edge has added what it carries to its target, in a loop over edges.

    The gradient runs the loop backwards and computes every edge again: nothing but the nodes is stored, where the
    derivative of a scan would store them once for every edge.

    Args:
        edge_fn: (x, its row of noise, *its rows of learned) -> what an edge carries.
        nodes: [nodes, C, H, W, B].
        sources: what the edges read, [sources, C, H, W, B]; None for the nodes themselves.
        places: (source, target, noise) of every edge, [edges, ...] each, none before one that ends in its source.
        learned: (op weights [edges, ops], parameters) of every edge.
    """

    def add(nodes, inputs):
        (source, target, noise), own = inputs
        return _plus(nodes, target, edge_fn((nodes if sources is None else sources)[source], noise, *own)), None

    return lax.scan(add, nodes, (places, learned))[0]


def _summed_forward(edge_fn, nodes, sources, places, learned):
    nodes = _summed(edge_fn, nodes, sources, places, learned)
    return nodes, (nodes if sources is None else None, sources, places, learned)


def _summed_backward(edge_fn, saved, g_nodes):
    nodes, sources, places, learned = saved

    def back(g_read, inputs):
        (source, target, noise), own = inputs
        x = (nodes if sources is None else sources)[source]
        pull = jax.vjp(lambda x, *own: edge_fn(x, noise, *own), x, *own)[1]
        g_x, *g_own = pull((g_read if sources is None else g_nodes)[target])
        return _plus(g_read, source, g_x), tuple(g_own)

    start = g_nodes if sources is None else jnp.zeros_like(sources)
    g_read, g_learned = lax.scan(back, start, (places, learned), reverse=True)
    return (g_read, None, None, g_learned) if sources is None else (g_nodes, g_read, None, g_learned)


_summed.defvjp(_summed_forward, _summed_backward)


def _plus(rows, index, value):
    return lax.dynamic_update_index_in_dim(rows, rows[index] + value, index, 0)


def edge_params(params, space, kind, op, edges):
    """Returns the parameters of one operation on some edges, [edges, 1, ...]."""
    rows = {}
    for source in range(space.num_nodes - 1):
        for place, edge in enumerate(sharing(space, kind, source, op)):
            rows[edge] = jax.tree.map(lambda leaf, place=place: leaf[place], params.get(f"from_{source}_{op}", {}))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves)[:, None], *[rows[edge] for edge in edges])
