"""The comparison with query models: figures, data that no method may see, resumption, every user mistake."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from configs.cqd import query_models as config_file
from cqd import sampling
from cqd.runs import clock, comparison, query_models
from experiment.errors import NonFiniteError, UserError
from experiment.workdir import Workdir
from tests.experiment import inside


def config(arg="smoke", **fields):
    result = config_file.get_config(arg)
    result.update(fields)
    return FrozenConfigDict(result)


execute = functools.partial(inside.execute, query_models)


def timeless(tree):
    """Returns figures without those of time."""
    if not isinstance(tree, dict):
        return tree
    return {key: timeless(value) for key, value in tree.items() if key not in ("cpu_s", "wall_s")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, execute(path, config())


def test_figures_are_there_and_sound(whole):
    path, figures = whole
    assert list(figures["methods"]) == ["gqe", "query2box", "betae", "cqd beam k=4", "cqd beam k=4 calibrated certain"]
    for method, by_amount in figures["methods"].items():
        assert list(by_amount) == (["0.5", "1"] if method.startswith("cqd") else ["0", "3"])
        few, many = by_amount.values()
        assert few["training_queries"]["value"] < many["training_queries"]["value"]
        for of in (few, many):
            assert ("negation" in of["mrr"]) == (method not in ("gqe", "query2box"))
            values = [of["mrr"][name]["value"] for name in ("1p", "2p", "up")]
            assert of["mrr"]["average"]["value"] == pytest.approx(np.mean(values))
            assert of["mrr"]["seen"]["value"] == pytest.approx(np.mean(values[:2]))
            assert of["mrr"]["unseen"] == of["mrr"]["up"]
            assert of["cpu_s"]["value"] > 0
            assert of["wall_s"]["value"] > 0
            assert of["parameters"] > 1000
            assert set(of["mrr"]["1p"]) == {"value", "sd", "seeds"}
    # A query of one edge is a head and a relation: CQD has as many at most as GQE has at least.
    assert (
        figures["methods"]["cqd beam k=4"]["1"]["training_queries"]
        == figures["methods"]["gqe"]["0"]["training_queries"]
    )
    assert figures["methods"]["gqe"]["3"]["training_queries"]["value"] - 4 * 3 == pytest.approx(
        figures["methods"]["gqe"]["0"]["training_queries"]["value"]
    )
    assert 0.005 < figures["chance"]["average"]["value"] < 0.02
    for of in figures["advantage"].values():
        assert of["unseen"]["low"] <= of["unseen"]["value"] <= of["unseen"]["high"]
        assert len(of["unseen"]["against"]) == 2
    for name in ("mrr_by_training_queries", "mrr_by_type"):
        assert (path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (path / "figures" / f"{name}.csv").read_text().count("\n") > 20


def test_training_queries_are_of_the_training_graph_alone(monkeypatch):
    settings = config(seeds=(0,))
    data = query_models.load(settings)
    world, seen = data.worlds[0], []
    sample = sampling.sample
    monkeypatch.setattr(sampling, "sample", lambda *args, **kwargs: seen.append(kwargs) or sample(*args, **kwargs))
    drawn = query_models._training_queries(settings, data, 0)
    assert set(drawn) == {"1p", "2p", "3p", "2i", "3i", "2in", "3in", "inp", "pin", "pni"}
    for kwargs in seen:
        assert not len(kwargs["observed"].tails)
        edges = {tuple(edge) for edge in kwargs["full"].triples()[:, :3].tolist() if edge[1] % 2 == 0}
        assert edges == {tuple(edge) for edge in world.splits.train.tolist()}
    heads, relations = drawn["1p"]["rows"][:, 0], drawn["1p"]["rows"][:, 3]
    owner = np.repeat(np.arange(len(heads)), drawn["1p"]["counts"])
    edges = np.stack([heads[owner], relations[owner], drawn["1p"]["answers"]], axis=1)
    forward = {tuple(edge) for edge in edges[edges[:, 1] % 2 == 0].tolist()}
    assert forward == {tuple(edge) for edge in world.splits.train.tolist()}


def test_no_complex_type_is_drawn_more_often_than_single_edges():
    drawn = {
        name: {"rows": np.zeros((size, 11)), "counts": np.ones(size, int), "answers": np.arange(size)}
        for name, size in (("1p", 10), ("2p", 40))
    }
    for amount, share in ((0, 0), (5, 1 / 3), (40, 1 / 2)):
        rows, answers, weights = query_models._chosen(drawn, ("1p", "2p"), amount)
        assert len(rows) == len(answers) == len(weights) == 10 + amount
        assert weights[10:].sum() / weights.sum() == pytest.approx(share)


@pytest.mark.parametrize("breaks", [3, 11])
def test_resumed_is_uninterrupted(whole, tmp_path, monkeypatch, breaks):
    """A run that breaks off after some calls of training or ranking ends with the same figures, but for its time."""
    left = iter(range(breaks))
    stage, loop = Workdir.stage, Workdir.loop

    def breaking(method):
        def call(workdir, name, *args, **kwargs):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return method(workdir, name, *args, **kwargs)

        return call

    monkeypatch.setattr(Workdir, "stage", breaking(stage))
    monkeypatch.setattr(Workdir, "loop", breaking(loop))
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, config())
    monkeypatch.undo()
    assert timeless(execute(tmp_path, config())) == timeless(whole[1])
    own, other = (sorted((folder / "metrics.jsonl").read_text().splitlines()) for folder in (tmp_path, whole[0]))
    assert own == other


def test_a_clock_counts_on_where_a_run_broke_off(tmp_path):
    calls = []

    def step(state, number):
        calls.append(number)
        return state + 1, {"loss": state}

    def train(path):
        with Workdir(path, {}) as workdir:
            timed = clock.Clock(workdir, "x", program="p", warm=set())
            return timed.loop("train", jnp.float32(0), step, num_steps=3), timed.seconds

    state, seconds = train(tmp_path)
    assert (state, calls) == (3, [0, 0, 1, 2]), "the first call is made twice, and counted once"
    assert seconds["wall_s"] > 0
    assert train(tmp_path) == (state, seconds)


def results(**of_method):
    """Returns results of two seeds: of_method has {name: {amount: (queries, MRR of each seed)}}."""

    def of(seed):
        trials = {}
        for method, by_amount in of_method.items():
            for amount, (queries, values) in by_amount.items():
                ranked = {name: {"mrr": values[seed]} for name in ("1p", "ip")}
                trial = comparison.Trial(method.replace("_", " "), amount)
                trials[trial] = {
                    "training_queries": queries,
                    "parameters": 5,
                    "cpu_s": 1.0,
                    "wall_s": 2.0,
                    "ranked": ranked,
                }
        return {"chance": {"1p": 0.1, "ip": 0.1}, "trials": trials}

    return [of(0), of(1)]


def test_the_comparison_by_hand():
    found = comparison.figures(
        results(
            gqe={0: (10, (0.2, 0.3)), 5: (90, (0.4, 0.3))},
            betae={0: (10, (0.3, 0.4)), 5: (90, (0.1, 0.2))},
            cqd_beam={0.5: (5, (0.36, 0.36)), 1: (10, (0.5, 0.6))},
        ),
        {"paper": "cqd beam"},
    )
    advantage = found["advantage"]["paper"]["unseen"]
    assert advantage["against"] == ["gqe 5", "betae 0"]
    assert advantage["value"] == pytest.approx(((0.5 - 0.4) + (0.6 - 0.4)) / 2)
    half = 12.706 * 0.1 / 2**0.5 / 2**0.5  # Student's t of one degree of freedom
    assert advantage["high"] - advantage["value"] == pytest.approx(half, rel=1e-3)
    assert advantage["value"] - advantage["low"] == pytest.approx(half, rel=1e-3)
    best = found["data"]["paper"]  # gqe on 90 queries and betae on 10 are level: the first
    assert (best["against"], best["share"], best["queries"], best["fold"]) == ("gqe 5", 0.5, 5, 18)
    assert found["weakest_over_chance"]["method"] == "betae"
    assert found["weakest_over_chance"]["value"] == pytest.approx(1.5)
    assert comparison.interval([0.5]) == {"value": 0.5, "sd": None, "seeds": 1, "low": None, "high": None}


def test_no_share_may_be_enough():
    found = comparison.figures(
        results(gqe={0: (10, (0.9, 0.9))}, cqd_beam={1: (10, (0.5, 0.6))}), {"paper": "cqd beam"}
    )
    assert found["data"]["paper"] == {"against": "gqe 0", "others": 10, "share": None, "queries": None, "fold": 0.0}


def test_queries_of_valid(tmp_path):
    data = query_models.load(config(part="valid", seeds=(0,)))
    assert len(data.worlds[0].splits.test) == 118
    assert not len(data.worlds[0].splits.valid)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": ("transe",)}, r"config\.models: 'transe'; choose among gqe, query2box, betae"),
        ({"models": ()}, r"config\.models=\(\): one or more, all different"),
        ({"models": ("gqe", "gqe")}, r"config\.models"),
        ({"part": "train"}, r"config\.part: 'train'; choose among test, valid"),
        ({"part": "valid", "patience": 2}, r"config\.patience: queries of valid"),
        ({"num_training": (-1, 3)}, r"config\.num_training=.*numbers from 0 up"),
        ({"num_training": (0.5,)}, r"config\.num_training: 0\.5 among whole numbers"),
        ({"shares": (0.0, 1.0)}, r"config\.shares=.*above 0 and at most 1"),
        ({"shares": (1.5,)}, r"config\.shares"),
        ({"types": ("1p", "4p")}, r"config\.types: '4p'"),
        ({"types": ("1p", "2p")}, r"config\.types=.*some of ip, pi, 2u, up are due"),
        ({"types": ("ip", "up")}, r"config\.types=.*some of 1p"),
        ({"query_steps": 5}, r"config\.query_steps=5 is not a multiple"),
        ({"query_batch_size": 0}, r"config\.query_batch_size=0: at least 1"),
        ({"num_negatives": 0}, r"config\.num_negatives=0: at least 1"),
        ({"num_queries": 0}, r"config\.num_queries=0: at least 1"),
        ({"betae": {"dim": 0}}, r"config\.betae\.dim=0: a number above 0"),
        ({"gqe": {"learning_rate": -1.0}}, r"config\.gqe\.learning_rate=-1\.0"),
        ({"methods": ("beam godel",)}, r"config\.methods: 'beam godel'"),
        ({"paper": "exact min"}, r"config\.paper='exact min': due to be one of config\.methods"),
        ({"seeds": (0, 0)}, r"config\.seeds"),
        ({"rank": 0}, r"config\.rank=0"),
        ({"graph": "absent.tsv"}, "absent.tsv"),
    ],
)
def test_mistakes_are_one_clear_error(fields, message):
    with pytest.raises((ValueError, OSError), match=message):
        query_models.load(config(**fields))


def test_more_training_queries_than_the_graph_has(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_BATCHES", 2)
    settings = config(num_training=(100_000,), seeds=(0,))
    with pytest.raises(UserError, match=r"config\.num_training: 100000 queries of type 2p.*ask for fewer"):
        query_models._training_queries(settings, query_models.load(settings), 0)


def test_scores_that_are_no_numbers_name_the_rate_of_their_model(monkeypatch, tmp_path):
    monkeypatch.setattr(
        query_models.query_model, "scores", lambda model, params, queries, **_: np.full((len(queries), 822), np.nan)
    )
    with pytest.raises(NonFiniteError, match=r"queries: .*lower config\.gqe\.learning_rate in another workdir"):
        execute(tmp_path, config(models=("gqe",), seeds=(0,)))


def test_graphs_by_argument():
    with pytest.raises(ValueError, match=r"graph='wordnet': choose one of countries, umls, fb15k237"):
        config_file.get_config("graph=wordnet")
    with pytest.raises(ValueError, match=r"config\.graph: this run needs .*umls"):
        query_models.load(config("smoke,graph=umls"))
