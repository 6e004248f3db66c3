import numpy as np
import pytest

from configs.ntk_asgd import averaging as config_file
from ntk_asgd import circle
from ntk_asgd.runs import averaging, descent

SEEDS = 400


def _risks(seed, rows=1):
    return np.random.default_rng(seed).lognormal(sigma=0.5, size=(rows, SEEDS))


def test_bootstrap_means_spread_like_the_error_of_a_mean():
    risks = _risks(0)
    spread = descent.resampled(risks).std()
    assert spread == pytest.approx(risks.std(ddof=1) / np.sqrt(SEEDS), rel=0.1)


def test_paired_rows_draw_the_same_seeds_and_others_do_not():
    both = np.repeat(_risks(0), 2, axis=0)
    paired, apart = descent.resampled(both, paired=True), descent.resampled(both)
    np.testing.assert_array_equal(paired[:, 0], paired[:, 1])
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.15


def test_a_ratio_has_the_error_of_its_pairs():
    """Of 2x over x it is zero; of independent rows it is that of the delta method."""
    x, y = _risks(1, rows=2)
    exact = descent.ratio_figure(2 * x, x)
    assert (exact["value"], exact["se"]) == (pytest.approx(2), pytest.approx(0, abs=1e-12))
    loose = descent.ratio_figure(x, y)
    relative = np.hypot(x.std(ddof=1) / x.mean(), y.std(ddof=1) / y.mean()) / np.sqrt(SEEDS)
    assert loose["se"] == pytest.approx(loose["value"] * relative, rel=0.1)


def test_a_slope_has_the_error_of_independent_rows():
    steps = np.array([64, 128, 256, 512])
    risks = steps[:, None] ** -0.7 * _risks(2, rows=4)
    rows = [{"step": step, "averaged": row, "known": 3 * step**-0.5} for step, row in zip(steps.tolist(), risks)]
    figure = descent.slope_figure(rows, predicted="known", theory=-1)
    centred = np.log(steps) - np.log(steps).mean()
    errors = risks.std(axis=1, ddof=1) / risks.mean(axis=1) / np.sqrt(SEEDS)
    expected = np.sqrt(np.sum((centred * errors) ** 2)) / np.sum(centred**2)
    assert figure["se"] == pytest.approx(expected, rel=0.1)
    assert figure["value"] == pytest.approx(-0.7, abs=4 * expected)
    assert (figure["predicted"], figure["theory"]) == (pytest.approx(-0.5), -1)
    assert "predicted" not in descent.slope_figure(rows)


def test_the_tail_average_starts_half_way(monkeypatch):
    asked = []

    def reference(config, workdir, name, problems, num_samples, key, **modes):
        asked.append((num_samples, modes))
        raise StopIteration

    monkeypatch.setattr(descent, "reference", reference)
    config = config_file.get_config("smoke")
    with pytest.raises(StopIteration):
        averaging.run(config, averaging.load(config), None)
    ((num_samples, modes),) = asked
    assert modes["average_from"] == (0, num_samples // 2, 0)
    assert modes["power"] == (0.0, 0.0, config.power)


def test_an_unstable_lambda_is_refused_with_its_bound():
    problem = circle.Problem(np.ones(1), np.ones(1), 0.25, 0.1, 2.0, 0.5, constant=1.0)
    descent.check_stable("config.constant=1.0", problem, 1.0, 64)
    with pytest.raises(ValueError, match=r"config.constant=1e3 at T=64: eta lambda = .* must be below 1"):
        descent.check_stable("config.constant=1e3", problem._replace(constant=1e3), 1.0, 64)


def test_targets_beyond_assumption_a2_are_named(monkeypatch):
    said = []
    monkeypatch.setattr(descent.logging, "warning", lambda words, *rest: said.append(words))
    config = config_file.get_config("runlocal")
    config.sup_norm = 0.9
    averaging.load(config)
    assert any("Assumption A2" in words for words in said)
