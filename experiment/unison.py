"""Several runs in one process that share the heavy calls of their loops: a call of all is one vmapped program.

Every run goes its ordinary way in a thread of its own, one thread at a time. Where it comes to a `call` it waits; once
all wait or have ended, calls of the same function, static arguments and shapes are computed together. What a run does
besides, such as checkpoints, rows and plots, stays its own, so it leaves the workdir that it leaves alone.
"""

import functools
import threading

import jax
import jax.numpy as jnp
from absl import logging

_here = threading.local()


def call(fn, *args, **static):
    """Returns fn(*args, **static), computed with the same calls of other runs where `run` has them.

    Args:
        fn: compiled function, the same object in every run.
        *args: pytrees of arrays and numbers, in which runs may differ.
        **static: hashable; runs that differ in one of them compute apart.
    """
    member = getattr(_here, "member", None)
    return fn(*args, **static) if member is None else member.ask(fn, args, static)


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
            waiting = [member for member in waiting if member.question is not None]
            for group in _alike(waiting):
                _answer(group)
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
        self.question = (fn, tuple(sorted(static.items())), tree, kinds), leaves
        self._is_back.release()
        self._may_go.acquire()
        answer, self.answer = self.answer, None
        if isinstance(answer, Exception):
            raise answer
        return answer

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
    (fn, static, tree, _), _ = members[0].question
    columns = list(zip(*(member.question[1] for member in members)))
    try:
        axes = tuple(None if _is_one(column) else 0 for column in columns)
        if any(axis == 0 for axis in axes):
            leaves = [column[0] if axis is None else jnp.stack(column) for column, axis in zip(columns, axes)]
            found = _program(fn, static, tree, axes, len(members))(leaves)
            answers = [jax.tree.map(functools.partial(_part, i), found) for i in range(len(members))]
        else:  # one member, or all with the same arguments
            answers = [fn(*jax.tree.unflatten(tree, [column[0] for column in columns]), **dict(static))] * len(members)
    except Exception as error:
        answers = [error] * len(members)
    for member, answer in zip(members, answers):
        member.answer = answer


def _is_one(column):
    """Returns whether all give the same array, or the same Python number, which then stays one: of a weak type."""
    first = column[0]
    if isinstance(first, (bool, int, float)):
        return all(type(leaf) is type(first) and leaf == first for leaf in column)
    return all(leaf is first for leaf in column)


def _part(i, leaf):
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf[i]
    return jax.random.wrap_key_data(jax.random.key_data(leaf)[i], impl=jax.random.key_impl(leaf))


@functools.cache
def _program(fn, static, tree, axes, count):
    """Returns the compiled function of the leaves of all members' arguments."""
    logging.info("%d runs as one program: %s", count, getattr(fn, "__name__", fn))

    def one(*leaves):
        return fn(*jax.tree.unflatten(tree, leaves), **dict(static))

    return jax.jit(lambda leaves: jax.vmap(one, in_axes=axes)(*leaves))
