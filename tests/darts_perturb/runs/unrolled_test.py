import functools

import numpy as np
import pytest

from configs.darts_perturb import unrolled as config_file
from darts_perturb.runs.analysis import unrolled, unrolled_plots
from experiment.workdir import Workdir
from tests.experiment import inside

config_of = functools.partial(inside.smoke_config, config_file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plain.layers": 1}, "config.plain.layers=1: need at least 2"),
        ({"residual.channels": 0}, "config.residual.channels=0: need at least 2"),
        ({"train.epochs": 0}, "config.train.epochs=0: need at least 1"),
        ({"train.batch_size": 1198}, "config.train.batch_size=1198 is larger than the 1197 images"),
        ({"train.momentum": -0.1}, "config.train.momentum=-0.1: need a finite number"),
        ({"num_exchanges": 0}, "config.num_exchanges=0: need at least 1"),
        ({"num_images": 361}, "config.num_images=361: need 1 to 360"),
        ({"searches": ("first_order", "fixed")}, "config.searches=('first_order', 'fixed'): one supernet"),
        ({"space": "s9"}, "config.space: unknown search space 's9'"),
        ({"seeds": ()}, "config.seeds=()"),
    ],
)
def test_a_config_that_cannot_run_is_one_line_with_its_field(changes, words):
    with pytest.raises((ValueError, OSError)) as caught:
        unrolled.load(config_of(**changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_it_stands_the_supernet_is_that_of_darts():
    assert config_file.get_config().space == "darts"
    assert config_file.get_config("runlocal").space == "nas_bench_201"
    assert config_file.get_config("smoke,space=s2").space == "s2"


def test_the_figures_by_hand():
    by_seed = [
        {"intact": np.array(0.9), "exchanged": np.array([0.2, 0.4]), "cosine": np.array([0.5, 0.7])},
        {"intact": np.array(0.8), "exchanged": np.array([0.1, 0.1]), "cosine": np.array([0.1, 0.1])},
    ]
    found = unrolled.figures(by_seed)
    assert found["exchanged"]["value"] == pytest.approx(0.2)
    assert found["exchanged"]["sd_within_a_seed"] == pytest.approx(np.std([0.2, 0.4], ddof=1) / 2)
    assert found["lost_by_exchange"]["value"] == pytest.approx((0.6 + 0.7) / 2)
    assert found["cosine"]["seeds"] == 2
    assert "lost_by_exchange_batch_statistics" not in found


def test_every_image_counts_once():
    y = np.arange(25) % 3

    def hits(x, y):
        return x == y

    x = np.where(np.arange(25) < 20, y, y + 1)
    assert unrolled._share(hits, x, y, 10) == pytest.approx(20 / 25)


@pytest.mark.slow
def test_a_run_exchanges_layers_of_every_net(tmp_path):
    config = config_of(seeds=(0,))
    with Workdir(tmp_path, config.to_dict()) as workdir:
        found = unrolled.run(config, unrolled.load(config), workdir)
        rows = workdir.rows()
    assert set(found["nets"]) == {"plain", "residual", "supernet"}
    for kind in ("plain", "residual"):
        own = [row for row in rows if row["stage"] == f"{kind}_measured_0"]
        # two layers a stage can be exchanged in one way
        assert [row["place"] for row in own if row["what"] == "exchanged"] == [0]
        assert len([row for row in own if row["what"] == "left_out_batch_statistics"]) == 6
        assert len([row for row in own if row["what"] == "cosine"]) == 6
    own = [row for row in rows if row["stage"] == "supernet_measured_0"]
    assert len([row for row in own if row["what"] == "exchanged"]) == config.num_exchanges
    assert len([row for row in own if row["what"] == "left_out"]) == 6
    gap = found["nets"]["residual"]["exchanged"]["value"] - found["nets"]["plain"]["exchanged"]["value"]
    assert found["residual_minus_plain"]["value"] == pytest.approx(gap)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"unrolled.png", "unrolled.csv"}


def test_the_picture_has_a_dot_for_every_measurement():
    rows = [
        {
            "stage": f"{net}_measured_{seed}",
            "net": net,
            "seed": seed,
            "what": what,
            "place": place,
            "value": 0.1 * place,
        }
        for net in ("plain", "supernet")
        for seed in (0, 1)
        for what in ("intact", "exchanged", "left_out", "cosine", "distance")
        for place in range(1 if what == "intact" else 3)
    ]
    accuracy, cosine, distance = unrolled_plots.plot(rows).axes
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["plain\nnet", "supernet"]
    assert sorted(len(line.get_xdata()) for line in accuracy.lines[::2]) == [2, 2, 6, 6, 6, 6]
    assert len(cosine.lines[0].get_ydata()) == len(distance.lines[0].get_ydata()) == 6
