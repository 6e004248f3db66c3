import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.darts_perturb import digits
from darts_perturb import edges, perturb, search, selection
from darts_perturb.runs import datasets, jobs
from darts_perturb.space import Space
from experiment import unison
from experiment.signals import Signals
from experiment.workdir import Workdir
from tests.darts_perturb import tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Returns (Jobs of a tiny space on digits, the state before a search)."""
    config = FrozenConfigDict(digits.get_config("smoke"))
    dataset = datasets.load(config)
    with Workdir(tmp_path_factory.mktemp("jobs"), {}) as workdir:
        found = jobs.Jobs(config, tiny.STAGES_SPACE, dataset, workdir)
        yield found, found.init(jax.random.key(0))


def test_scores_batch_by_batch_are_those_of_one_program(made):
    found, state = made
    rows = selection.held_out(found.images, found.config.eval_batch_size)
    assert len(rows) > 1
    images = found.images.x[rows], found.images.y[rows]
    weights = search.op_weights(state.alpha, state.choice)
    for method in ("map", "vmap"):
        score = jax.jit(
            lambda params, weights, x, y, method=method: perturb.removal_scores(
                params, weights, x, y, space=tiny.STAGES_SPACE, method=method
            )
        )
        whole = score(state.params, weights, *images)
        part = found.removal(jax.random.key(0), state, jnp.arange(3), found.images)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), part, whole)


def test_every_edge_is_scored_against_one_baseline(tmp_path):
    noisy = Space("noisy", ("noise", "nor_conv_1x1"), ((0, 1), (0, 2), (1, 2)))
    config = FrozenConfigDict(digits.get_config("smoke"))
    with Workdir(tmp_path, {}) as workdir:
        found = jobs.Jobs(config, noisy, datasets.load(config), workdir)
        state = found.init(jax.random.key(0))
        scores = found.strengths("first_order", 0, state)
    key = jax.random.fold_in(jax.random.key(0), 3)
    whole = found.removal(key, state, jnp.arange(3), found.images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), scores, whole)


def test_accuracy_counts_every_image_once(made):
    found, state = made
    x, y = found.dataset.x_test[:250], found.dataset.y_test[:250]
    assert len(y) % found.config.eval_batch_size
    weights = edges.by_cell(tiny.STAGES_SPACE, search.op_weights(state.alpha, state.choice))
    # batch statistics: the last batch is filled up from the one before
    pieces = [(0, 120, 0), (120, 240, 0), (130, 250, 110)]
    hits = []
    for start, end, first in pieces:
        _, correct = search.losses(state.params, weights, x[start:end], y[start:end], space=tiny.STAGES_SPACE)
        hits.extend(np.asarray(correct)[first:])
    assert len(hits) == 250
    assert float(found.accuracy(state.params, state, x, y)) == pytest.approx(np.mean(hits))


@pytest.mark.parametrize(
    ("epoch_steps", "asked", "unit", "expected"),
    [
        (351, 120, 1, (351, 117)),
        (351, 120, 2, (348, 116)),
        (9, 6, 1, (8, 4)),
        (9, 18, 1, (9, 9)),
        (9, 18, 2, (8, 8)),
        (1, 1, 2, (2, 2)),
        (1201, 100, 1, (1196, 92)),
    ],
)
def test_an_epoch_is_whole_calls_of_about_the_length_asked_for(epoch_steps, asked, unit, expected):
    assert jobs._calls(epoch_steps, asked, unit) == expected
    total, size = expected
    assert total % size == size % unit == 0


TOGETHER = [
    (tiny.STAGES_SPACE, "first_order", False),
    pytest.param(tiny.CELLS_SPACE, "sdarts_adv", False, marks=pytest.mark.slow),
    pytest.param(tiny.CELLS_SPACE, "second_order", True, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("space", "name", "official"), TOGETHER)
def test_runs_of_other_traced_numbers_are_one_program(tmp_path, monkeypatch, space, name, official):
    changes = [{"search.learning_rate": 0.05}, {"search.epsilon": (0.1, 0.2), "projection.criterion": "loss"}]
    configs = [digits.get_config("smoke"), digits.get_config("smoke")]
    for config, own in zip(configs, changes):
        config.update_from_flattened_dict({"searches": (name,), "projection.official": official, **own})
    configs = list(map(FrozenConfigDict, configs))
    assert all(field in jobs.TRACED for own in changes for field in own)
    ways = ("perturbation", "one_shot")

    def run(folder, seed):
        with Workdir(tmp_path / folder / str(seed), {}) as workdir:
            found = jobs.Jobs(configs[seed], space, datasets.load(configs[seed]), workdir)
            state = found.search(name, seed)
            scores = found.strengths(name, seed, state)
            return state.params, scores, [found.select(way, name, seed, state, scores) for way in ways]

    monkeypatch.setattr(jobs.genotypes, "from_choice", lambda _, *choice: jax.tree.map(np.asarray, choice))
    together = unison.run([lambda seed=seed: run("together", seed) for seed in range(2)], Signals())
    for seed, own in enumerate(together):
        with jax.debug_key_reuse(False):  # official scores of all edges are of one key
            alone = run("alone", seed)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), own, alone)
    assert not np.allclose(together[0][1].loss, together[1][1].loss)


def test_runs_of_the_same_settings_share_their_images_and_programs(made, tmp_path):
    first, _ = made
    with Workdir(tmp_path, {}) as workdir:
        second = jobs.Jobs(first.config, tiny.STAGES_SPACE, datasets.load(first.config), workdir)
    assert second.augment is first.augment
    compiled = jobs._init._cache_size()
    second.init(jax.random.key(5))
    assert jobs._init._cache_size() == compiled
    runs = [lambda: jobs.Jobs(first.config, tiny.STAGES_SPACE, datasets.load(first.config), workdir)] * 2
    both = unison.run(runs, Signals())
    assert both[0].images.x is both[1].images.x


def test_codes_of_genotypes_tell_them_apart():
    from darts_perturb import genotype, space

    rng = np.random.default_rng(0)
    for name in ("nas_bench_201", "darts"):
        cells = {genotype.random(rng, space.get(name)) for _ in range(50)}
        assert len({jobs.code(cell) for cell in cells}) == len(cells)
        assert all(jobs.code(cell).isalnum() for cell in cells)
