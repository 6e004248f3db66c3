"""A sweep on this machine, as a user runs it: what is run, tried again, skipped, stopped and refused."""

import json
import os
import pathlib
import signal
import time

import pytest

from experiment.sweep import local
from tests.experiment import binary
from tests.experiment.sweep import sweeping
from tests.experiment.sweep.sweeping import NAMES, QUICK, TOY

SLOW = ["--config.sleep_s=0.2", "--config.num_steps=40"]
TWO = "return [{'seed': 1}, {'seed': 2}]"


def start(*args):
    """Returns a started driver."""
    return binary.start("experiment.sweep", *args, "--compilation_cache=off")


def wait_for(condition, process=None, timeout_s=60):
    """Waits until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def rows_of(root, name):
    """Returns how many metrics rows a point has written."""
    return sweeping_text(root, name, "metrics.jsonl").count("\n")


def sweeping_text(root, name, file):
    path = pathlib.Path(root) / "points" / name / file
    return path.read_text() if path.exists() else ""


def is_alive(pid):
    """Returns whether a process runs; one that only waits to be reaped does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_sweep_runs_every_point_and_writes_the_table(here, tmp_path):
    root = tmp_path / "w"
    status, line, err = here(QUICK, f"--workdir={root}", "--num_workers=2", "--config.seed=3")
    assert status == 0, err
    assert line["table"] == str(root / "results.csv")
    assert [line[name] for name in ("points", "done", "failed", "unfinished")] == [4, 4, 0, 0]
    rows = sweeping.table(root)
    assert [row["point"] for row in rows] == NAMES
    assert [float(row["risk.value"]) for row in rows] == [7.0, 11.0, 11.0, 19.0]
    assert [(row["config.inner.width"], row["config.rate"]) for row in rows][1] == ("8", "1.0")
    assert (root / "figures" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert (root / "figures" / "sweep.csv").read_text().startswith("figure,x,line,value,spread\n")
    assert err.count(": running") == err.count(": done in") == 4
    assert "[count] 2/2" in sweeping_text(root, NAMES[0], "log.txt")


def test_a_point_is_what_the_binary_makes_and_the_other_way_round(here, tmp_path):
    """A point that the binary has finished is skipped, and one of the sweep's is finished for the binary."""
    root = tmp_path / "w"
    own = ["--config.inner.width=8", "--config.rate=0.5", f"--workdir={root / 'points' / NAMES[0]}"]
    status, by_hand, _ = binary.run("quick.main", QUICK, *own)
    assert status == 0
    assert here(QUICK, f"--workdir={root}", "--num_workers=2")[0] == 0
    assert [len(sweeping.tries(root, name)) for name in NAMES] == [1, 1, 1, 1]
    own = ["--config.inner.width=16", "--config.rate=1.0", f"--workdir={root / 'points' / NAMES[3]}"]
    status, again, _ = binary.run("quick.main", QUICK, *own)
    assert (status, len(sweeping.tries(root, NAMES[3]))) == (0, 1)
    assert json.loads(again)["figures"]["risk"]["value"] == 16.0
    assert json.loads(by_hand)["figures"]["risk"]["value"] == 4.0


def test_a_finished_sweep_runs_nothing_and_writes_the_same_table(here, tmp_path):
    root = tmp_path / "w"
    assert here(QUICK, f"--workdir={root}")[0] == 0
    before = {path: content for path, content in sweeping.files(root).items() if path.name != ".lock"}
    status, line, err = here(QUICK, f"--workdir={root}")
    assert (status, line["done"]) == (0, 4)
    assert "4 of them finished already" in err
    assert ": running" not in err
    assert {path: content for path, content in sweeping.files(root).items() if path.name != ".lock"} == before


def test_points_may_be_added_and_put_in_another_order(here, tmp_path):
    config = sweeping.config_file(tmp_path, "return [{'seed': 1}, {'seed': 2}]")
    root = tmp_path / "w"
    assert here(config, f"--workdir={root}")[0] == 0
    sweeping.config_file(tmp_path, "return [{'seed': 3, 'rate': 2.0}, {'seed': 2}, {'seed': 1}]")
    status, line, _ = here(config, f"--workdir={root}")
    assert (status, line["points"]) == (0, 3)
    rows = sweeping.table(root)
    assert [(row["point"], row["config.rate"]) for row in rows] == [
        ("rate=2.0,seed=3", "2.0"),
        ("seed=2", "0.5"),
        ("seed=1", "0.5"),
    ]
    assert [len(sweeping.tries(root, row["point"])) for row in rows] == [1, 1, 1]


def test_another_config_or_base_in_the_directory_is_refused(here, tmp_path):
    root = tmp_path / "w"
    assert here(QUICK, f"--workdir={root}")[0] == 0
    before = sweeping.files(root)
    for other in ([QUICK, "--config.seed=1"], [f"{QUICK}:long"], [TOY]):
        status, line, err = here(*other, f"--workdir={root}")
        assert (status, line) == (2, None)
        assert "holds a run of another config" in err
        assert sweeping.files(root) == before
    status, _, err = binary.run("toy.main", TOY, f"--workdir={root}")
    assert (status, "absent here" in err or "absent there" in err) == (2, True)
    spoilt = root / "points" / NAMES[0]
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps({**config, "word": "other"}))
    status, _, err = here(QUICK, f"--workdir={root}")
    assert status == 2
    assert f"point {NAMES[0]}" in err
    assert "config.word" in err


def test_a_config_that_is_edited_meanwhile_is_not_mixed_in(here, tmp_path):
    """The runs read the file when they start; those that would be of another config are refused and start nothing."""
    config = sweeping.config_file(tmp_path, TWO)
    flags = [config, f"--workdir={tmp_path / 'w'}", "--num_workers=1", "--config.num_steps=8", "--config.sleep_s=0.2"]
    driver = start(*flags)
    wait_for(lambda: rows_of(tmp_path / "w", "seed=1"), driver)
    path = tmp_path / "quick" / "config.py"
    before = path.read_text()
    path.write_text(before.replace("config.rate = 0.5", "config.rate = 2.5"))
    _, err = driver.communicate()
    assert driver.returncode == 1
    assert "seed=2: failed (refused: " in err
    assert "holds a run of another config" in err
    assert [row["state"] for row in sweeping.table(tmp_path / "w")] == ["done", "failed"]
    assert sweeping.tries(tmp_path / "w", "seed=2") == []
    path.write_text(before)
    assert here(*flags)[0] == 0
    assert [float(row["risk.value"]) for row in sweeping.table(tmp_path / "w")] == [5.0, 6.0]


def test_a_table_of_somebody_else_is_left_alone(here, tmp_path):
    root = tmp_path / "w"
    root.mkdir()
    (root / "results.csv").write_text("mine")
    status, _, err = here(QUICK, f"--workdir={root}")
    assert status == 2
    assert "has results.csv but no config.json" in err
    assert [path.name for path in root.iterdir()] == ["results.csv"]


@pytest.mark.parametrize(("ends", "word"), [("crash", "crashed: RuntimeError: something broke"), ("kill", "SIGKILL")])
def test_what_breaks_once_is_tried_again_and_goes_on_where_it_was(here, tmp_path, ends, word):
    root = tmp_path / "w"
    status, _, err = here(sweeping.config_file(tmp_path, TWO), f"--workdir={root}", f"--config.ends=once_{ends}")
    assert status == 0, err
    for name in ("seed=1", "seed=2"):
        assert [step for _, step, _ in sweeping.tries(root, name)] == [0, 1]
    assert err.count(f"waiting, try 1 ({word}") == 0  # the first try is not counted aloud
    assert err.count(word) == 2
    assert err.count("try 2") == 4


def test_a_run_that_somebody_stops_goes_on_and_that_is_no_failure(here, tmp_path):
    root = tmp_path / "w"
    config = sweeping.config_file(tmp_path, "return [{'seed': 1}]")
    flags = [f"--workdir={root}", "--max_retries=0", "--config.num_steps=20", "--config.sleep_s=0.1"]
    driver = start(config, *flags)
    for number in range(2):
        wait_for(lambda tried=number: len(sweeping.tries(root, "seed=1")) > tried, driver)
        os.kill(sweeping.tries(root, "seed=1")[number][0], signal.SIGTERM)
    _, err = driver.communicate()
    assert driver.returncode == 0, err
    assert err.count("waiting (stopped by SIGTERM)") == 2
    assert len(sweeping.tries(root, "seed=1")) == 3


@pytest.mark.parametrize(
    ("ends", "tries", "word"),
    [("crash", 3, "RuntimeError: something broke"), ("mistake", 1, "no such word"), ("nan", 1, "rate is not finite")],
)
def test_a_point_that_fails_does_not_keep_the_others_from_finishing(here, tmp_path, ends, tries, word):
    sweep = f"return [{{'seed': 1}}, {{'seed': 2, 'ends': {ends!r}}}, {{'seed': 3}}]"
    config = sweeping.config_file(tmp_path, sweep)
    root = tmp_path / "w"
    status, line, err = here(config, f"--workdir={root}", "--max_retries=2", "--num_workers=1")
    assert status == 1
    assert (line["done"], line["failed"]) == (2, 1)
    assert [row["state"] for row in sweeping.table(root)] == ["done", "failed", "done"]
    name = f"ends={ends},seed=2"
    assert len(sweeping.tries(root, name)) == tries
    (said,) = [line for line in err.splitlines() if "[sweep] failed: " in line]
    assert name in said
    assert word in said
    assert str(root / "points" / name / "log.txt") in said
    assert word in (root / "points" / name / "log.txt").read_text()


def test_a_failed_point_is_tried_by_the_next_driver(here, tmp_path):
    config = sweeping.config_file(tmp_path, "return [{'input': 'crash'}]")
    root = tmp_path / "w"
    assert here(config, f"--workdir={root}", "--config.ends=crash", "--max_retries=0")[0] == 1
    assert here(config, f"--workdir={root}", "--config.ends=crash", "--max_retries=1")[0] == 1
    assert len(sweeping.tries(root, "input=crash")) == 3


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_sweep_resumes(here, tmp_path, signum):
    root = tmp_path / "w"
    args = [sweeping.config_file(tmp_path, TWO), f"--workdir={root}", "--num_workers=2"]
    args += ["--config.num_steps=20", "--config.sleep_s=0.15"]
    driver = start(*args)
    wait_for(lambda: rows_of(root, "seed=1") and rows_of(root, "seed=2"), driver)
    driver.send_signal(signum)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == binary.SIGNALLED[signum], err
    assert out == ""
    assert "Traceback" not in err
    assert "2 running: they save and leave" in err
    assert err.count(f": stopped (stopped by {signal.Signals(signum).name})") == 2
    assert [row["state"] for row in sweeping.table(root)] == ["unfinished"] * 2
    for name in ("seed=1", "seed=2"):
        (pid, *_) = sweeping.tries(root, name)[0]
        assert not is_alive(pid)
        assert "the same command resumes" in sweeping_text(root, name, "log.txt")
    done = rows_of(root, "seed=1")
    assert here(*args)[0] == 0
    assert [step for _, step, _ in sweeping.tries(root, "seed=1")] == [0, done]
    assert rows_of(root, "seed=1") == 20


def test_children_leave_with_a_killed_driver_and_the_next_one_goes_on(here, tmp_path):
    root = tmp_path / "w"
    driver = start(QUICK, f"--workdir={root}", "--num_workers=1", "--config.sleep_s=0.1", "--config.num_steps=12")
    wait_for(lambda: rows_of(root, NAMES[0]), driver)
    driver.kill()
    driver.communicate()
    (pid, *_) = sweeping.tries(root, NAMES[0])[0]
    wait_for(lambda: not is_alive(pid), timeout_s=10)
    assert rows_of(root, NAMES[0]) < 12
    status, line, err = here(
        QUICK, f"--workdir={root}", "--num_workers=4", "--config.sleep_s=0.1", "--config.num_steps=12"
    )
    assert (status, line["done"]) == (0, 4), err
    for name in NAMES:
        rows = [json.loads(row)["step"] for row in sweeping_text(root, name, "metrics.jsonl").splitlines()]
        assert rows == list(range(1, 13))  # no step twice: nobody began again


def test_a_point_that_somebody_else_runs_is_waited_for(here, tmp_path):
    root = tmp_path / "w"
    workdir = root / "points" / NAMES[0]
    flags = ["--config.num_steps=10", "--config.sleep_s=0.2"]
    other = binary.start(
        "quick.main", QUICK, f"--workdir={workdir}", "--config.inner.width=8", "--config.rate=0.5", *flags
    )
    wait_for(lambda: rows_of(root, NAMES[0]), other)
    status, line, err = here(QUICK, f"--workdir={root}", *flags)
    other.communicate()
    assert (status, line["done"]) == (0, 4)
    assert f"{NAMES[0]}: held elsewhere" in err
    assert f"{NAMES[0]}: running" not in err
    assert len(sweeping.tries(root, NAMES[0])) == 1


def test_a_second_driver_on_the_directory_is_refused(here, tmp_path):
    root = tmp_path / "w"
    driver = start(QUICK, f"--workdir={root}", "--num_workers=1", *SLOW)
    wait_for(lambda: rows_of(root, NAMES[0]), driver)
    status, line, err = here(QUICK, f"--workdir={root}", *SLOW)
    driver.terminate()
    driver.communicate()
    assert (status, line) == (2, None)
    assert "another process is running in it" in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "--config=configs/SYSTEM/RUN.py is missing"),
        (["--config=no/such.py"], "no/such.py: no such file"),
        ([QUICK, "--backend=cloud"], "backend"),
        ([QUICK, "--num_workers=0"], "num_workers"),
        ([QUICK, "--speed=3"], "speed"),
        ([QUICK, "--config.sed=3"], "--config.sed: unknown field; did you mean seed"),
        ([QUICK, "--config.seed", "3"], "unexpected argument '3'"),
        ([QUICK, "--slurm.partition=gpu"], "--slurm.partition: has no meaning with --backend=local"),
        ([QUICK, "--vectorize_size=3"], "--vectorize_size: has no meaning without --vectorize"),
        ([QUICK, "--vectorize"], "--vectorize: config.run='count' has no points that run together"),
        ([QUICK, "--system=nowhere"], "no package 'nowhere' runs it"),
    ],
)
def test_a_mistake_is_one_line(here, tmp_path, args, words):
    status, line, err = here(*args, f"--workdir={tmp_path / 'w'}")
    assert (status, line) == (2, None)
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert words in error
    assert "Traceback" not in err
    assert not (tmp_path / "w" / "points").exists()


def test_the_workdir_is_asked_for_and_help_is_given(here):
    assert "--workdir=DIR is missing" in here(QUICK)[2]
    status, _, err = here("--help")
    assert status == 0
    assert "--backend" in err
    assert "sweep()" in err


def test_every_worker_has_a_gpu_of_its_own(here, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("JAX_PLATFORMS", "")
    root = tmp_path / "w"
    assert here(QUICK, f"--workdir={root}", "--config.sleep_s=0.3")[0] == 0
    used = [sweeping.tries(root, name)[0][2] for name in NAMES]
    assert sorted(used[:2]) == ["3", "5"]
    assert set(used) == {"3", "5"}
    assert local.visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1", "JAX_PLATFORMS": "cpu"}) == ()
    assert local.visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert local.visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b", "JAX_PLATFORMS": "cuda"}) == ("GPU-a", "GPU-b")


def test_the_default_is_a_worker_a_core(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local.Local().num_workers == len(os.sched_getaffinity(0))


def test_the_driver_takes_less_than_a_second_a_point(tmp_path):
    """Its own CPU seconds, of which other processes take none; half of them load jax and draw the plot."""
    config = sweeping.config_file(tmp_path, "return [{'seed': seed} for seed in range(4)]")
    process = start(config, f"--workdir={tmp_path / 'w'}", "--num_workers=2")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    line = json.loads(out)
    assert line["driver_cpu_s"] / line["points"] < 1.0
    assert line["driver_cpu_s"] > 0.1  # it was measured
