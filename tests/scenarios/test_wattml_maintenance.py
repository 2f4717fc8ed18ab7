"""wattml fit, predict and calibrate: failures, remaining life and survival."""
import gzip
import json
import pathlib
import random
import subprocess
import sys

import pytest

from wattml import rows_of, wattml


def test_failures_are_told_by_a_model_that_was_kept_in_a_file(data, scorer, tmp_path):
    rows = data / "maintenance" / "ai4i2020_dev.csv.gz"
    call = ["fit", "--model", "failure", "--target", "Machine failure", "--ignore", "UDI,Product ID,TWF,HDF,PWF,OSF,RNF", "--limit",
            "strain:Type:L=11000,M=12000,H=13000", "--band", "power:3500:9000"]
    done = wattml(*call, "--in", rows, "--save", tmp_path / "a.wml", "--folds", 5, "--predictions", tmp_path / "p.csv")
    judged = scorer("score_tabular").rd(str(tmp_path / "p.csv"))
    result = scorer("score_tabular").classify(judged["label"], judged["prob"])
    assert result["pr_auc"] >= .89 and result["brier"] <= .0072
    # What it says of itself is what the scorer says of it.
    assert json.loads(done.stderr.splitlines()[-1])["pr_auc"] == pytest.approx(result["pr_auc"], abs=1e-5)
    wattml(*call, "--in", rows, "--save", tmp_path / "b.wml")
    assert (tmp_path / "a.wml").read_bytes() == (tmp_path / "b.wml").read_bytes()
    wattml("predict", "--load", tmp_path / "a.wml", "--in", rows, "--out", tmp_path / "q.csv", "--explain")
    assert {*rows_of(tmp_path / "q.csv")[0]} == {"label", "prob", "reason"}


def test_the_flags_of_a_failure_are_no_features(data, tmp_path):
    done = wattml("fit", "--model", "random-forest", "--target", "Machine failure", "--in", data / "maintenance" / "ai4i2020_dev.csv.gz", "--save", tmp_path / "m.wml")
    for flag in ("TWF", "HDF", "PWF", "OSF"):
        assert f"left out {flag}: is set only where the target is" in done.stderr


def test_survival_is_that_of_the_reference(data):
    reference = json.loads((data / "survival" / "cox_reference.json").read_text())
    calls = {"rossi": ["--time", "week", "--event", "arrest"], "gbsg2": ["--time", "time", "--event", "cens", "--reference", "menostat=Pre"]}
    for name, expected in reference.items():
        if "/" not in name:
            continue
        file, ties = name.split("/")
        text = wattml("fit", "--model", "cox", "--ties", ties, *calls[file], "--in", data / "survival" / f"{file}.csv").stdout
        found = {line.split()[0].lower(): float(line.split()[1]) for line in text.splitlines() if " se " in line}
        for column, value in expected["coef"].items():
            assert found[column.lower()] == pytest.approx(value, abs=1e-5), (name, column)
        assert float(text.split()[-1]) == pytest.approx(expected["llf"], abs=1e-4), name


def test_engines_are_judged_from_their_own_file_format(data, tmp_path):
    source = data / "maintenance" / "cmapss_train_FD001.txt.gz"
    with gzip.open(source, "rt") as file:
        lines = [line for line in file if int(line.split()[0]) <= 24]
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("".join(line for line in lines if int(line.split()[0]) <= 20))
    # The last four stop long before their end, as the published test set does.
    ends = {unit: max(int(line.split()[1]) for line in lines if int(line.split()[0]) == unit) for unit in range(21, 25)}
    test.write_text("".join(line for line in lines if int(line.split()[0]) > 20 and int(line.split()[1]) <= ends[int(line.split()[0])] - 60))
    (tmp_path / "lives.txt").write_text("60\n" * 4)
    wattml("fit", "--model", "remaining-life", "--in", train, "--save", tmp_path / "e.wml")
    wattml("predict", "--load", tmp_path / "e.wml", "--in", test, "--lives", tmp_path / "lives.txt", "--out", tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    assert [row["rul"] for row in rows] == ["60"] * 4
    assert all(float(row["lo"]) <= float(row["pred"]) <= float(row["hi"]) for row in rows)
    assert abs(sum(float(row["pred"]) for row in rows) / 4 - 60) < 30


def test_the_shipped_baseline_is_what_its_histories_make_and_knows_others(tmp_path):
    models = pathlib.Path(__file__).resolve().parents[2] / "etc" / "models"
    for seed in (1, 2):
        text = subprocess.run([sys.executable, models / "motor_failure.py", str(seed)], check=True, capture_output=True, text=True).stdout
        (tmp_path / f"{seed}.csv").write_text(text)
    wattml("fit", "--model", "gradient-boosting", "--target", "failure", "--in", tmp_path / "1.csv", "--save", tmp_path / "m.wml")
    assert (tmp_path / "m.wml").read_bytes() == (models / "motor-failure.wml").read_bytes()
    wattml("predict", "--load", models / "motor-failure.wml", "--in", tmp_path / "2.csv", "--out", tmp_path / "p.csv")
    rows = [(float(row["prob"]), row["label"] == "1") for row in rows_of(tmp_path / "p.csv")]
    alarms = [failed for probability, failed in rows if probability >= .5]
    assert sum(alarms) / len(alarms) > .9 and sum(alarms) > .6 * sum(failed for _, failed in rows)
    # A site with a third of those hours without failures: the same motors fail more often.
    lines = (tmp_path / "2.csv").read_text().splitlines()
    (tmp_path / "site.csv").write_text("\n".join(line for i, line in enumerate(lines) if i == 0 or line.endswith(",1") or i % 3 == 0) + "\n")
    said = [json.loads(line) for line in wattml("calibrate", "--load", models / "motor-failure.wml", "--in", tmp_path / "site.csv", "--save", tmp_path / "ours.wml").stderr.splitlines()]
    before, after = said[0]["before"], said[1]["after"]
    assert after["brier"] < before["brier"] and abs(after["expected"] - after["failures"]) < abs(before["expected"] - before["failures"]) < .5 * before["failures"]
    wattml("predict", "--load", tmp_path / "ours.wml", "--in", tmp_path / "site.csv", "--explain", "--hours", "--out", tmp_path / "p.csv")
    assert all(row["time_to_failure_hours"] == ("1" if float(row["prob"]) > .8 else "6" if float(row["prob"]) > .6 else "24" if float(row["prob"]) > .4 else "-1") for row in rows_of(tmp_path / "p.csv"))
    assert sum(float(row["prob"]) for row in rows_of(tmp_path / "p.csv")) == pytest.approx(after["expected"], abs=.05)


def test_survival_is_fitted_on_complete_cases(tmp_path):
    chance = random.Random(3)
    rows = [(chance.randint(1, 60), chance.randint(0, 1), chance.random(), chance.random()) for _ in range(80)]
    text = lambda chosen: "time,event,x,y,notes\n" + "".join(f"{t},{e},{x},{y},\n" for t, e, x, y in chosen)
    (tmp_path / "whole.csv").write_text(text(rows[:70]))
    (tmp_path / "holes.csv").write_text(text(rows[:70]) + "".join(f"{t},{e},NA,{y},\n" for t, e, _, y in rows[70:]))
    call = ["fit", "--model", "cox", "--event", "event", "--ignore", "notes", "--in"]
    holes = wattml(*call, tmp_path / "holes.csv")
    assert holes.stdout == wattml(*call, tmp_path / "whole.csv").stdout
    assert "left out 10 of 80 rows with an empty cell" in holes.stderr
