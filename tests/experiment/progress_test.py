import time

from experiment.progress import Progress


def test_a_long_silent_stage_shows_that_it_goes_on(capsys):
    with Progress("gram", total=4, every_s=0.05) as progress:
        time.sleep(0.12)
        progress.update(2, {"loss": 0.123456})
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[gram] started"
    assert lines[1] == "[gram] 0/4 0 s"
    assert any(line.startswith("[gram] 2/4 ") and line.endswith(" s loss=0.1235") for line in lines)
    assert lines[-1].startswith("[gram] done in 0.")
    time.sleep(0.12)
    assert capsys.readouterr().err == ""


def test_a_stage_that_fails_is_not_done(capsys):
    try:
        with Progress("gram", initial=3):
            raise ValueError
    except ValueError:
        pass
    assert capsys.readouterr().err == "[gram] from step 3\n"


def test_a_line_shows_the_first_of_many_values(capsys):
    with Progress("search", total=1, every_s=0.05) as progress:
        progress.update(1, {f"v{number}": number for number in range(200)})
        time.sleep(0.12)
    assert capsys.readouterr().err.splitlines()[1].endswith("v0=0 v1=1 v2=2 v3=3 v4=4 v5=5")
