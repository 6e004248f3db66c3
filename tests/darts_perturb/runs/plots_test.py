import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from darts_perturb import drawing, genotype, space
from darts_perturb import edges as edges_
from darts_perturb.runs import plots
from darts_perturb.runs.plots import accuracy, alpha, cells, names, projection, strengths
from experiment.workdir import Workdir

SEARCHES = ("first_order", "fixed")
TUNE = 3


def search_rows(found, searches=SEARCHES, seeds=(0, 1, 2)):
    """The op weights of three calls of every search."""
    rng, listed = np.random.default_rng(0), edges_.listed(found)
    for search, seed, call in itertools.product(searches, seeds, (1, 2, 3)):
        weights = rng.dirichlet(np.ones(len(listed[0].ops)), size=len(listed))
        shown = {f"weight_{row}_{choice}": float(value) for (row, choice), value in np.ndenumerate(weights)}
        yield {"stage": f"search_{search}_{seed}", "step": 20 * call, "loss": 1.0, "entropy": 1.5, **shown}


def strength_rows(found, searches=SEARCHES, seeds=(0, 1, 2)):
    rng = np.random.default_rng(1)
    for search, seed in itertools.product(searches, seeds):
        cases = [(row, edge, op) for row, edge in enumerate(edges_.listed(found)) for op in edge.ops]
        for step, (row, edge, op) in enumerate(cases):
            known = {"row": row, "kind": edge.kind, "source": edge.source, "target": edge.target, "op": op}
            values = {"weight": rng.uniform(0.01, 0.9), "loss_rise": rng.normal(), "loss_se": rng.uniform(0.01, 0.1)}
            values |= {"accuracy_drop": 0.01, "accuracy_se": 0.001}
            yield {"stage": f"strengths_{search}_{seed}", "step": step, **known, **values}


def selection_rows(found, way, searches=SEARCHES, seeds=(0, 1, 2)):
    """Every edge decided in order, a kind by turns, with fine-tuning in between; then nodes 3 and 4."""
    rng, kinds, per_kind = np.random.default_rng(2), len(found.kinds), len(found.edges)
    tune = [(-1, -1)] * (TUNE if way == "perturbation" else 0)
    turns = [[(kind * per_kind + edge, edge % 2) for kind in range(kinds)] + tune for edge in range(per_kind)]
    nodes = [[(0, node), (1, node)] + [(-1, -1)] * len(tune) for node in (3, 4)] if kinds > 1 else []
    for search, seed in itertools.product(searches, seeds):
        for step, (edge, op) in enumerate(itertools.chain(*turns), start=1):
            values = {"accuracy": rng.uniform(0.3, 0.6), "loss": rng.uniform(1, 2), "loss_rise": 0.1}
            yield {"stage": f"{way}_{search}_{seed}", "step": step, "edge": edge, "op": op, **values}
        for step, (kind, node) in enumerate(itertools.chain(*nodes), start=1):
            values = {"accuracy": rng.uniform(0.3, 0.6), "loss": rng.uniform(1, 2)}
            yield {"stage": f"{way}_topology_{search}_{seed}", "step": step, "kind": kind, "node": node, **values}


def cell_rows(found, *, retrained=True, seeds=(0, 1, 2), num_random=12):
    rng = np.random.default_rng(3)
    selections = ("magnitude of first_order", "perturbation of first_order", "perturbation of fixed")
    cases = [*itertools.product(selections, seeds), *(("random", number) for number in range(num_random))]
    for step, (selection, seed) in enumerate(cases):
        row = {"stage": "cells", "step": step, "selection": selection, "seed": seed, "params": 9, "flops": 99}
        row["genotype"] = genotype.format(genotype.random(rng, found))
        row["test_accuracy"] = rng.uniform(0.5, 0.7, 2 if selection != "random" else 1).tolist() if retrained else []
        if found.name == "nas_bench_201":
            row |= {"table_cifar10": rng.uniform(80, 94), "rank_cifar10": int(rng.integers(1, 15626))}
        yield row


def every_row(found, searches=SEARCHES, seeds=(0, 1, 2)):
    parts = [search_rows(found, searches, seeds), strength_rows(found, searches, seeds), cell_rows(found, seeds=seeds)]
    parts += [selection_rows(found, way, searches, seeds) for way in ("perturbation", "one_shot")]
    return list(itertools.chain(*parts))


def drawn(name, **options):
    return {each: figure for each, figure, _ in plots.pictures(every_row(space.get(name), **options), space.get(name))}


def test_stages_are_told_apart_by_search_and_seed():
    stages = ("search_first_order_12", "search_sdarts_rs_0", "perturbation_fixed_1", "perturbation_topology_fixed_1")
    rows = [{"stage": stage, "step": 1} for stage in (*stages, "search_unheard_of_1", "retrain_000000_0")]
    found = [(row["search"], row["seed"]) for row in names.staged(rows, "search")]
    assert found == [("first_order", 12), ("sdarts_rs", 0)]
    assert [row["stage"] for row in names.staged(rows, "perturbation")] == ["perturbation_fixed_1"]
    assert [row["stage"] for row in names.staged(rows, "perturbation_topology")] == ["perturbation_topology_fixed_1"]


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "s1"])
def test_mean_op_weights_are_those_of_the_edges_that_have_the_operation(name):
    found = space.get(name)
    rows = names.staged(list(search_rows(found)), "search")
    for row, means in zip(rows, alpha.means(rows, found)):
        assert (means["search"], means["seed"], means["step"]) == (row["search"], row["seed"], row["step"])
        for op in found.ops:
            values = [
                row[f"weight_{number}_{choice}"]
                for number, edge in enumerate(edges_.listed(found))
                for choice, other in enumerate(edge.ops)
                if other == op
            ]
            np.testing.assert_allclose(means[f"weight_{op}"], sum(values) / len(values), rtol=1e-12)


def test_alpha_shows_the_median_over_seeds_and_the_lead_over_a_convolution():
    found = space.get("nas_bench_201")
    rows = alpha.means(names.staged(list(search_rows(found, ("first_order",))), "search"), found)
    figure = alpha.plot_alpha(rows, found)
    left, right = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["first order", "operation minus conv 3x3"]
    table = {
        op: np.reshape([row[f"weight_{op}"] for row in rows], (3, 3))  # [seeds, steps]
        for op in found.ops
    }
    assert [line.get_linestyle() for line in left.lines] == ["--", "--", "-", "-", "--"]
    for op, line in zip(found.ops, left.lines):
        np.testing.assert_array_equal(line.get_xdata(), [20, 40, 60])
        np.testing.assert_allclose(line.get_ydata(), np.median(table[op], axis=0))
        assert line.get_color() == drawing.COLOURS[op]
    for op, line in zip(found.parameter_free, right.lines):
        np.testing.assert_allclose(line.get_ydata(), np.median(table[op] - table["nor_conv_3x3"], axis=0))
    assert "3 seeds" in figure.get_suptitle()


def test_alpha_of_several_searches_has_a_panel_each_and_compares_their_skips():
    found = space.get("s1")
    searches = ("first_order", "second_order", "sdarts_rs", "sdarts_adv")
    rows = alpha.means(names.staged(list(search_rows(found, searches, (4,))), "search"), found)
    figure = alpha.plot_alpha(rows, found)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["first order", "second order", "SDARTS-RS", "SDARTS-ADV", "skip minus sep 3x3"]
    first = [row for row in rows if row["search"] == "first_order"]
    lead = [row["weight_skip_connect"] - row["weight_sep_conv_3x3"] for row in first]
    np.testing.assert_allclose(figure.axes[-1].lines[0].get_ydata(), lead)
    assert not figure.axes[0].collections  # one seed has no quartiles
    assert "1 seed;" in figure.get_suptitle()


@pytest.mark.parametrize(("name", "lead"), [("s4", "noise minus sep 3x3"), ("s2", "operation minus sep 3x3")])
def test_the_lead_is_that_of_operations_the_space_has(name, lead):
    found = space.get(name)
    searches = ("first_order", "sdarts_rs") if name == "s4" else ("first_order",)
    rows = alpha.means(names.staged(list(search_rows(found, searches)), "search"), found)
    assert alpha.plot_alpha(rows, found).axes[-1].get_title() == lead


@pytest.mark.parametrize(("name", "panels"), [("nas_bench_201", 6), ("darts", 28), ("s1", 28)])
def test_alpha_of_every_edge_is_its_rows(name, panels):
    found = space.get(name)
    rows = alpha.first_run(names.staged(list(search_rows(found, ("sdarts_rs", "first_order"))), "search"))
    assert {(row["search"], row["seed"]) for row in rows} == {("sdarts_rs", 0)}
    figure = alpha.plot_alpha_edges(rows, found)
    assert len(figure.axes) == panels
    for number, (axis, edge) in enumerate(zip(figure.axes, edges_.listed(found))):
        ends = [rows[-1][f"weight_{number}_{choice}"] for choice in range(len(edge.ops))]
        best = names.of_op(edge.ops[np.argmax(ends)])
        assert axis.get_title() == f"{names.of_edge(edge)}\n{best}"
        for choice, line in enumerate(axis.lines):
            np.testing.assert_array_equal(line.get_ydata(), [row[f"weight_{number}_{choice}"] for row in rows])
    kinds = ["reduction" if "reduction" in axis.get_title() else "normal" for axis in figure.axes[: panels // 2]]
    assert set(kinds) == {"normal"}


def test_none_is_never_said_to_be_chosen_where_it_may_not_be():
    found = space.get("s3")
    rows = [{**row, **{f"weight_{number}_0": 2.0 for number in range(28)}} for row in search_rows(found)]
    titles = [axis.get_title() for axis in alpha.plot_alpha_edges(names.staged(rows, "search")[:3], found).axes]
    assert not any("none" in title for title in titles)
    strong = [{**row, "loss_rise": 9.0 * (row["op"] == "none")} for row in strength_rows(found)]
    picked = strengths.chosen(names.staged(strong, "strengths"), found, "loss_rise")
    assert "none" not in {row["op"] for row in picked}


def test_strengths_of_few_edges_are_their_rows():
    found = space.get("nas_bench_201")
    rows = names.staged(list(strength_rows(found, ("first_order",))), "strengths")
    figure = strengths.plot_strengths(rows, found)
    assert len(figure.axes) == 6
    for number, axis in enumerate(figure.axes):
        own = [row for row in rows if row["row"] == number]
        same = 0
        for seed in range(3):
            mine = [row for row in own if row["seed"] == seed]
            first, second = (max(mine, key=lambda row: row[field]) for field in ("weight", "loss_rise"))
            same += first["op"] == second["op"]
        source, target = found.edges[number]
        assert axis.get_title() == f"edge {source}→{target}: same in {same} of 3 seeds"
        for op, bars in zip(found.ops, axis.containers):
            points = [(row["weight"], row["loss_rise"]) for row in own if row["op"] == op]
            np.testing.assert_array_equal(np.transpose(bars.lines[0].get_data()), points)
        by_alpha, by_removal = axis.collections[-2:]
        assert len(by_alpha.get_offsets()) == len(by_removal.get_offsets()) == 3
        tops = [max(row["loss_rise"] for row in own if row["seed"] == seed) for seed in range(3)]
        np.testing.assert_array_equal(by_removal.get_offsets()[:, 1], tops)


def test_with_fixed_alpha_operations_stand_side_by_side():
    found = space.get("nas_bench_201")
    rows = names.staged(list(strength_rows(found, ("fixed",))), "strengths")
    axis = strengths.plot_strengths(rows, found).axes[3]
    assert axis.get_title() == "edge 0→3"
    for place, bars in enumerate(axis.containers):
        np.testing.assert_array_equal([round(x) for x in bars.lines[0].get_xdata()], [place] * 3)


def test_op_weights_that_vanished_are_drawn_at_the_edge_of_the_logarithmic_axis():
    found = space.get("nas_bench_201")
    rows = [
        {**row, "weight": float(row["op"] == "none"), "loss_rise": 0.0, "loss_se": 0.0} for row in strength_rows(found)
    ]
    figure = strengths.plot_strengths(names.staged(rows, "strengths")[:30], found)
    low, high = figure.axes[0].get_xlim()
    assert 0 < low < strengths.LEAST_WEIGHT
    assert high > 1
    np.testing.assert_array_equal(figure.axes[0].containers[1].lines[0].get_xdata(), strengths.LEAST_WEIGHT)


@pytest.mark.parametrize("name", ["darts", "s1"])
def test_strengths_of_many_edges_are_maps_of_means_with_the_chosen_marked(name):
    found = space.get(name)
    rows = names.staged(list(strength_rows(found, ("first_order",))), "strengths")
    figure = strengths.plot_strengths(rows, found)
    maps = [axis for axis in figure.axes if axis.images]
    assert len(maps) == 4
    for place, field in ((0, "weight"), (1, "loss_rise"), (2, "weight"), (3, "loss_rise")):
        shown = maps[place].images[0].get_array().filled(np.nan)
        for row, edge in enumerate(edges_.listed(found)[14 * (place // 2) :][:14], start=14 * (place // 2)):
            for column, op in enumerate(found.ops):
                values = [each[field] for each in rows if each["row"] == row and each["op"] == op]
                assert (op in edge.ops) == bool(values)
                np.testing.assert_allclose(shown[row % 14, column], np.mean(values) if values else np.nan)
        marks = {"weight": 1, "loss_rise": 0}[field]
        np.testing.assert_array_equal(maps[place].collections[marks].get_offsets()[:, 0], np.nanargmax(shown, axis=1))


def test_with_fixed_alpha_there_is_no_map_of_op_weights():
    found = space.get("darts")
    figure = strengths.plot_strengths(names.staged(list(strength_rows(found, ("fixed",))), "strengths"), found)
    assert len([axis for axis in figure.axes if axis.images]) == 2


def test_topology_goes_on_where_the_projection_ended():
    found = space.get("darts")
    rows = projection.joined(list(selection_rows(found, "perturbation")), "perturbation")
    own = [row for row in rows if (row["search"], row["seed"]) == ("fixed", 1)]
    assert [row["step"] for row in own] == list(range(1, 14 * (2 + TUNE) + 2 * (2 + TUNE) + 1))
    assert [row["node"] for row in own if row["node"] >= 0] == [3, 3, 4, 4]
    assert [row["edge"] for row in own if row["edge"] >= 0][:4] == [0, 14, 1, 15]


@pytest.mark.parametrize("name", ["nas_bench_201", "s1"])
def test_the_projection_has_a_line_a_seed_and_the_choices_of_the_first(name):
    found = space.get(name)
    rows = projection.joined(list(selection_rows(found, "perturbation")), "perturbation")
    figure = projection.plot_projection(rows, found)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["first order", "fixed alpha"]
    for column, search in enumerate(SEARCHES):
        for line, field in enumerate(("accuracy", "loss")):
            lines = [each for each in figure.axes[2 * line + column].lines if each.get_label().startswith("seed")]
            assert [each.get_label() for each in lines] == ["seed 0", "seed 1", "seed 2"]
            for seed, each in enumerate(lines):
                points = [
                    (row["step"], row[field])
                    for row in rows
                    if (row["search"], row["seed"]) == (search, seed) and max(row["edge"], row["node"]) >= 0
                ]
                np.testing.assert_array_equal(np.transpose(each.get_data()), points)
        sequence = figure.axes[4 + column]
        decided = [row for row in rows if (row["search"], row["seed"]) == (search, 0) and row["edge"] >= 0]
        ops = [names.of_op(edges_.listed(found)[row["edge"]].ops[row["op"]]) for row in decided]
        assert [text.get_text() for text in sequence.texts] == ops
        assert [line.get_ydata()[0] for line in sequence.lines] == [row["edge"] for row in decided]
        assert sequence.get_title() == ("seed 0\nthen nodes n3, r3, n4, r4" if name == "s1" else "seed 0")


def test_accuracy_shows_cells_by_selection_before_random_ones():
    found = space.get("nas_bench_201")
    rows = list(cell_rows(found))[::-1]
    axis = accuracy.plot_accuracy(rows).axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[-1] == "random cells (12)"
    assert set(labels[:-1]) == {
        "perturbation, fixed alpha (3)",
        "perturbation, first order (3)",
        "magnitude, first order (3)",
    }
    circles = [line for line in axis.lines if line.get_marker() == "o"]
    for line, label in zip(circles, labels):
        own = [row for row in rows if names.of_selection(row["selection"]) == label.rpartition(" (")[0]]
        np.testing.assert_allclose(line.get_xdata(), [100 * np.mean(row["test_accuracy"]) for row in own])
    means = [100 * np.mean(row["test_accuracy"]) for row in rows if row["selection"] == "random"]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    np.testing.assert_allclose(spans, [np.quantile(means, (0, 1)), np.quantile(means, (0.25, 0.75))])


def test_the_table_shows_tabulated_accuracy_and_ranks():
    rows = list(cell_rows(space.get("nas_bench_201")))
    axis = accuracy.plot_table(rows).axes[0]
    first = [row for row in rows if row["selection"] == "magnitude of first_order"]
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [row["table_cifar10"] for row in first])
    ranks = sorted(row["rank_cifar10"] for row in first)
    assert axis.texts[0].get_text() == f"rank {ranks[0]:,} to {ranks[-1]:,}"
    assert len(axis.texts) == 3


@pytest.mark.parametrize(("name", "panels"), [("nas_bench_201", 9), ("darts", 18)])
def test_cells_of_at_most_three_seeds_are_drawn(name, panels):
    found = space.get(name)
    rows = cells.shown(list(cell_rows(found, seeds=(5, 6, 7, 8))))
    assert {row["seed"] for row in rows} == {5, 6, 7}
    assert "random" not in {row["selection"] for row in rows}
    figure = cells.plot_cells(rows, found)
    assert len(figure.axes) == panels
    mean = 100 * np.mean(rows[0]["test_accuracy"])
    title = figure.axes[0].get_title()
    assert title.startswith(
        f"magnitude, first order\n{'normal cell: ' if name == 'darts' else ''}seed 5, test {mean:.1f}%"
    )
    assert ("CIFAR-10 table" in title) == (name == "nas_bench_201")


def test_a_figure_without_rows_is_left_out():
    found = space.get("nas_bench_201")
    everything = list(drawn("nas_bench_201"))
    assert everything == [
        *("alpha", "alpha_edges", "strengths_first_order", "strengths_fixed"),
        *("projection", "projection_one_shot", "cells", "accuracy", "table"),
    ]
    assert list(drawn("nas_bench_201", searches=("fixed",)))[:2] == ["strengths_fixed", "projection"]
    untrained = [{**row, "table_cifar10": None} for row in cell_rows(found, retrained=False)]
    assert [name for name, *_ in plots.pictures(untrained, found)] == ["cells"]
    assert list(plots.pictures([], found)) == []


def test_every_figure_is_saved_with_its_points(tmp_path):
    found = space.get("nas_bench_201")
    with Workdir(tmp_path, {"a": 1}) as workdir:
        for row in itertools.chain(search_rows(found, seeds=(0,)), cell_rows(found)):
            workdir.log(**row)
        plots.save(workdir, found)
    for name in ("alpha", "alpha_edges", "cells", "accuracy", "table"):
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len((tmp_path / "figures" / f"{name}.csv").read_text().splitlines()) > 1


@pytest.mark.parametrize("name", ["nas_bench_201", "s1"])
def test_no_text_is_cut_off_or_covers_another(name, monkeypatch):
    really_draw, texts = Text.draw, {}

    def draw(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            texts[id(text)] = text
        return really_draw(text, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", draw)
    for picture, figure in drawn(name, searches=("first_order", "sdarts_rs", "fixed")).items():
        texts.clear()
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        assert len(texts) > 10
        boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in texts.values()]
        for text, box in boxes:
            inside = np.clip(box.extents, 0, [*figure.bbox.size, *figure.bbox.size])
            np.testing.assert_allclose(box.extents, inside, atol=1, err_msg=f"{picture}: {text}")
        for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
            across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            down = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert min(across, down) < 2, (picture, text, other)  # pixels
