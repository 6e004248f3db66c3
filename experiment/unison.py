"""Several runs in one process that share the heavy calls of their loops: a call of all is one vmapped program.

Every run goes its ordinary way in a thread of its own, one thread at a time. Where it comes to a `call` it waits; once
all wait or have ended, calls of the same function, static arguments and shapes are computed together. What a run does
besides, such as checkpoints, rows and plots, stays its own, so it leaves the workdir that it leaves alone.

Arguments that all have alike, the same array or equal numpy arrays or numbers, are not multiplied.
"""

import functools
import math
import threading

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

_here = threading.local()
_MEETING = (None, None)  # the question of `meet`


def call(fn, *args, **static):
    """Returns fn(*args, **static), computed with the same calls of other runs where `run` has them.

    Args:
        fn: compiled function, the same object in every run.
        *args: pytrees of arrays and numbers, in which runs may differ.
        **static: hashable; runs that differ in one of them compute apart.
    """
    member = getattr(_here, "member", None)
    return fn(*args, **static) if member is None else member.ask(fn, args, static)


def meet():
    """Waits until every other run is here too or has ended: those that make fewer calls do not run ahead."""
    member = getattr(_here, "member", None)
    if member is not None:
        member.wait(_MEETING)


def run(fns, signals):
    """Returns [fn() for fn in fns], which share their calls.

    Args:
        fns: functions without arguments.
        signals: experiment.signals.Signals, which the functions check, as workdirs do.

    Raises:
        Exception: the first that one of them raised, after the others have ended.
        Interrupted: a signal arrived; each of them has seen it.
    """
    members = list(map(_Member, fns))
    waiting = members
    with signals.deferred():
        while waiting:
            for member in waiting:
                member.go_on()
            asking = [member for member in members if member.question not in (None, _MEETING)]
            for group in _alike(asking):
                _answer(group)
            waiting = asking or [member for member in members if member.question is not None]
        for member in members:
            if member.error is not None:
                raise member.error
    return [member.result for member in members]


class _Member:
    """One run, in a thread that computes only while `go_on` waits for its next question or its end.

    Attributes:
        question: (what has to be equal in calls computed together, leaves of the arguments), None at its end.
        answer: of the question, or an exception to raise in its place.
        result, error: of the run.
    """

    def __init__(self, fn):
        self.question = self.answer = self.result = self.error = None
        self._fn = fn
        self._may_go, self._is_back = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._live, daemon=True).start()

    def go_on(self):
        """Returns once the run has a question or has ended."""
        self._may_go.release()
        self._is_back.acquire()

    def ask(self, fn, args, static):
        """Returns the answer of a call, in the thread of the run."""
        leaves, tree = jax.tree.flatten(args)
        kinds = tuple((jnp.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)
        self.wait(((fn, tuple(sorted(static.items())), tree, kinds), leaves))
        answer, self.answer = self.answer, None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, question):
        """Returns once `go_on` is called again; in the thread of the run."""
        self.question = question
        self._is_back.release()
        self._may_go.acquire()

    def _live(self):
        _here.member = self
        self._may_go.acquire()
        try:
            self.result = self._fn()
        except BaseException as error:  # an Interrupted too: `run` raises it in its own thread
            self.error = error
        self.question = None
        self._is_back.release()


def _alike(members):
    """Returns lists of members whose calls are computed together."""
    groups = {}
    for member in members:
        groups.setdefault(member.question[0], []).append(member)
    return groups.values()


def _answer(members):
    """Gives each member its answer."""
    (fn, static, tree, kinds), _ = members[0].question
    columns = list(zip(*(member.question[1] for member in members)))
    try:
        axes = tuple(map(_axis, columns))
        if set(axes) <= {_ONE}:  # one member, or all with the same arguments
            answers = [fn(*jax.tree.unflatten(tree, [column[0] for column in columns]), **dict(static))] * len(members)
        else:
            answers = _program(fn, static, tree, kinds, axes)(columns, len(members))
    except Exception as error:
        answers = [error] * len(members)
    for member, answer in zip(members, answers):
        member.answer = answer


_AXES = _NUMBERS, _ONE, _ARRAYS = "numbers", "one", "arrays"


def _axis(column):
    """Returns what the members give: the same array or equal numbers, Python numbers, or arrays.

    Python's numbers are not made arrays on the way: they are of a weak type.
    """
    first = column[0]
    if all(leaf is first for leaf in column):
        return _ONE
    if isinstance(first, (bool, int, float)):
        return _ONE if all(type(leaf) is type(first) and leaf == first for leaf in column) else _NUMBERS
    same = all(isinstance(leaf, (np.ndarray, np.generic)) and np.array_equal(leaf, first) for leaf in column)
    return _ONE if same else _ARRAYS


@functools.cache
def _program(fn, static, tree, kinds, axes):
    """Returns the function of (columns, their length) that gives all answers.

    Arguments go in and results come out packed: leaf by leaf they would cost more of the host than a short call does,
    and put together and taken apart inside the program they would cost more compilation than the call itself.
    """
    sizes, given, result = set(), [], []

    def one(own, shared, pack):
        """Returns the packed result of one member; own and shared have None where the leaf is of another kind."""
        arrays = iter(_unpacked(pack, given[0]))
        leaves = [next(arrays) if axis == _ARRAYS else (own, shared)[axis == _ONE][i] for i, axis in enumerate(axes)]
        found, form = jax.tree.flatten(fn(*jax.tree.unflatten(tree, leaves), **dict(static)))
        result[:] = form, _like(found)
        return _packed(found)

    @jax.jit
    def every(own, shared, packs):
        logging.info("%d runs as one program: %s", len(packs), getattr(fn, "__name__", fn))
        own = [column and jnp.stack(column) for column in own]
        found = jax.vmap(one, in_axes=(0, None, 0))(own, shared, jax.tree.map(lambda *parts: jnp.stack(parts), *packs))
        return [jax.tree.map(lambda part, place=place: part[place], found) for place in range(len(packs))]

    def answers(columns, count):
        # runs that fall out of step compile no program of their own, unless it is of half the size
        size = min((size for size in sizes if count <= size < 2 * count), default=count)
        sizes.add(size)
        columns = [column + column[:1] * (size - count) for column in columns]
        own, shared, arrays = ([c if a == axis else None for c, a in zip(columns, axes)] for axis in _AXES)
        arrays = [list(leaves) for leaves in zip(*filter(None, arrays))] or [[]] * size
        given[:] = [_like(arrays[0])]
        found = every(own, [column and column[0] for column in shared], list(map(_pack, arrays)))
        form, like = result
        return [jax.tree.unflatten(form, _unpack(pack, like)) for pack in found[:count]]

    return answers


def _like(leaves):
    """Returns (shape, type, implementation of a key or None) of arrays, of keys that of their numbers."""
    impls = [jax.random.key_impl(leaf) if _is_key(leaf) else None for leaf in leaves]
    raw = jax.eval_shape(lambda leaves: list(map(_raw, leaves)), leaves)
    return tuple((each.shape, each.dtype, impl) for each, impl in zip(raw, impls))


def _packed(leaves):
    """Returns arrays as one vector of each type; on several devices as they are, for they may be spread over them."""
    raw, parts = list(map(_raw, leaves)), {}
    if jax.device_count() > 1:
        return dict(enumerate(raw))
    for leaf in raw:
        parts.setdefault(str(leaf.dtype), []).append(leaf.ravel())
    return {name: jnp.concatenate(vectors) for name, vectors in parts.items()}


def _unpacked(pack, like):
    """Returns the arrays that were packed, as `_like` describes them."""
    leaves, start = [], dict.fromkeys(pack, 0)
    for number, (shape, dtype, impl) in enumerate(like):
        if jax.device_count() > 1:
            leaf = pack[number]
        else:
            name, size = str(dtype), math.prod(shape)
            leaf = pack[name][start[name] : start[name] + size].reshape(shape)
            start[name] += size
        leaves.append(leaf if impl is None else jax.random.wrap_key_data(leaf, impl=impl))
    return leaves


_pack = jax.jit(_packed)
_unpack = jax.jit(_unpacked, static_argnames="like")


def _raw(leaf):
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
