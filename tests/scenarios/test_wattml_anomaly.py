"""wattml anomaly and anomaly-table, under the scorers that lie beside the data."""
import datetime
import json
import math
import random

import pytest

from wattml import rows_of, wattml


@pytest.mark.parametrize("corpus, threshold", [("nab", 2.35), ("meter_injected", 2.0)])
def test_one_threshold_finds_what_is_odd_in_every_series(data, scorer, corpus, threshold, tmp_path):
    series = data / corpus / "data"
    for path in series.rglob("*.csv.gz"):
        out = tmp_path / path.relative_to(series).with_suffix("")
        out.parent.mkdir(parents=True, exist_ok=True)
        wattml("anomaly", "--model", "stream", "--in", path, "--out", out)
    windows = json.loads((data / corpus / "windows.json").read_text())
    assert scorer("score_nab").score(str(tmp_path), windows, threshold=threshold)["normalised"] >= 60
    # What is flagged at a rate of one in a thousand outside the windows is about that.
    false, usual = 0, 0
    for out in tmp_path.rglob("*.csv"):
        inside, rows = windows.get(str(out.relative_to(tmp_path)), []), rows_of(out)
        for row in rows[min(750, int(.15 * len(rows))):]:
            usual += 1
            false += float(row["rate"]) <= .001 and not any(a[:19] <= row["timestamp"][:19] <= b[:19] for a, b in inside)
    assert .0005 < false / usual < .002


def test_rows_that_are_odd_score_high_in_every_table(data, scorer, tmp_path):
    areas = []
    for path in sorted((data / "tabular_anomaly").glob("*.csv.gz")):
        wattml("anomaly-table", "--model", "ensemble", "--in", path, "--out", tmp_path / "scores.csv")
        rows = scorer("score_tabular").rd(str(tmp_path / "scores.csv"))
        areas.append(scorer("score_tabular").anomaly(rows["label"], rows["score"])["roc_auc"])
    assert len(areas) == 3 and sum(areas) / 3 >= .89


def test_an_odd_hour_is_told_as_it_comes_and_when_it_is_looked_for(series, tmp_path):
    wattml("anomaly", "--in", series, "--out", tmp_path / "stream.csv")
    rows = rows_of(tmp_path / "stream.csv")
    assert len(rows) == 24 * 84
    flagged = [i for i, row in enumerate(rows) if row["anomaly"] == "1"]
    assert 1500 in flagged and len(flagged) <= 6
    assert rows[1500]["reason"] == "jump"
    wattml("anomaly", "--model", "s-h-esd", "--period", 168, "--in", series, "--out", tmp_path / "esd.csv")
    worst = max(rows_of(tmp_path / "esd.csv"), key=lambda row: float(row["anomaly_score"]))
    assert worst["timestamp"] == rows[1500]["timestamp"] and worst["anomaly"] == "1" and worst["reason"] == "above"


def test_a_stream_is_judged_without_what_comes_later(series, tmp_path):
    wattml("anomaly", "--in", series, "--out", tmp_path / "whole.csv")
    lines = series.read_text().splitlines()
    (tmp_path / "half.csv").write_text("\n".join(lines[:1001]) + "\n")
    wattml("anomaly", "--in", tmp_path / "half.csv", "--out", tmp_path / "half_scores.csv")
    assert (tmp_path / "whole.csv").read_text().splitlines()[:1001] == (tmp_path / "half_scores.csv").read_text().splitlines()


def test_without_a_name_a_series_is_judged_as_it_comes_and_a_table_as_a_whole(series, tmp_path):
    wattml("anomaly", "--in", series, "--out", tmp_path / "a.csv")
    wattml("anomaly", "--model", "stream", "--in", series, "--out", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_equal_rows_are_no_anomalies_and_huge_ones_no_end(tmp_path):
    (tmp_path / "same.csv").write_text("a,b\n" + "1,2\n" * 50 + "1,3\n")
    (tmp_path / "huge.csv").write_text("a,b\n" + "".join(f"{'-' if i % 2 else ''}1e308,{i}\n" for i in range(50)))
    for model in ("ensemble", "isolation-forest", "autoencoder"):
        said = wattml("anomaly-table", "--model", model, "--in", tmp_path / "same.csv", "--out", tmp_path / "s.csv").stderr
        assert "too few rows to flag any at --false-alarms 0.01: it can tell 0.019 and more" in said
        assert sum(int(row["anomaly"]) for row in rows_of(tmp_path / "s.csv")) <= 1, model
        wattml("anomaly-table", "--model", model, "--in", tmp_path / "huge.csv", "--out", tmp_path / "h.csv")
        assert all(math.isfinite(float(row["score"])) for row in rows_of(tmp_path / "h.csv")), model
        assert "cannot be kept" in wattml("anomaly-table", "--model", model, "--in", tmp_path / "huge.csv", "--save", tmp_path / "h.wml", "--out", tmp_path / "h.csv", status=1).stderr
        assert not (tmp_path / "h.wml").exists()


def test_a_model_of_usual_rows_is_kept_and_flags_few_others(tmp_path):
    random = __import__("random").Random(4)
    rows = [(current := random.gauss(10, 2), 230 * current + random.gauss(0, 30), random.choice(["idle", "run"])) for _ in range(2000)]
    write = lambda name, some: (tmp_path / name).write_text("current,power,state\n" + "".join(f"{a:.4f},{b:.3f},{c}\n" for a, b, c in some))
    write("usual.csv", rows[:1000]), write("new.csv", rows[1000:] + [(60, 230 * 60, "run")])
    wattml("anomaly-table", "--model", "ensemble", "--in", tmp_path / "usual.csv", "--save", tmp_path / "usual.wml", "--out", tmp_path / "first.csv")
    for share in (.05, .01):
        wattml("anomaly-table", "--load", tmp_path / "usual.wml", "--false-alarms", share, "--explain", "--in", tmp_path / "new.csv", "--out", tmp_path / "new.scores")
        judged = rows_of(tmp_path / "new.scores")
        assert judged[-1]["anomaly"] == "1" and judged[-1]["reason"] in ("current", "power")
        assert abs(sum(int(row["anomaly"]) for row in judged[:-1]) / 1000 - share) < .02
    (tmp_path / "cut.wml").write_bytes((tmp_path / "usual.wml").read_bytes()[:-9])
    for file, words in (("cut.wml", "damaged"), ("new.csv", "model")):
        assert words in wattml("anomaly-table", "--load", tmp_path / file, "--in", tmp_path / "new.csv", status=1).stderr


def test_a_stream_does_not_go_back_nor_into_another_series(series, tmp_path):
    wattml("anomaly", "--in", series, "--save", tmp_path / "s.wml", "--out", tmp_path / "a.csv")
    assert "has seen the series up to" in wattml("anomaly", "--in", series, "--load", tmp_path / "s.wml", status=1).stderr
    quarters = [(datetime.datetime(2040, 1, 1) + datetime.timedelta(minutes=15 * i), i % 7) for i in range(50)]
    (tmp_path / "q.csv").write_text("timestamp,value\n" + "".join(f"{at},{value}\n" for at, value in quarters))
    assert "a value each 900 s, and" in wattml("anomaly", "--in", tmp_path / "q.csv", "--load", tmp_path / "s.wml", status=1).stderr


def test_rows_of_which_nothing_is_known_are_not_usual(tmp_path):
    chance = random.Random(3)
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{chance.gauss(0, 1)},{chance.gauss(0, 1)}\n" for _ in range(400)))
    (tmp_path / "bad.csv").write_text("a,b\n,\n0,\n")
    for model in ("ensemble", "isolation-forest", "autoencoder"):
        wattml("anomaly-table", "--model", model, "--in", tmp_path / "t.csv", "--save", tmp_path / "m.wml", "--out", tmp_path / "s.csv")
        wattml("anomaly-table", "--load", tmp_path / "m.wml", "--in", tmp_path / "bad.csv", "--out", tmp_path / "s.csv")
        assert [(row["rate"] == "", row["anomaly"]) for row in rows_of(tmp_path / "s.csv")] == [(True, "0"), (False, "0")], model
    assert "--model excludes --load" in wattml("anomaly-table", "--load", tmp_path / "m.wml", "--model", "ensemble", "--in", tmp_path / "t.csv", status=2).stderr
    assert "there is no column truth" in wattml("anomaly-table", "--label", "truth", "--in", tmp_path / "t.csv", status=1).stderr


def test_a_stream_goes_on_where_it_was_left(series, tmp_path):
    lines = series.read_text().splitlines()
    for name, some in (("first.csv", lines[:900]), ("then.csv", lines[:1] + lines[900:])):
        (tmp_path / name).write_text("\n".join(some) + "\n")
    wattml("anomaly", "--in", tmp_path / "first.csv", "--save", tmp_path / "s.wml", "--out", tmp_path / "a.csv")
    wattml("anomaly", "--in", tmp_path / "then.csv", "--load", tmp_path / "s.wml", "--save", tmp_path / "s.wml", "--out", tmp_path / "b.csv")
    wattml("anomaly", "--in", series, "--save", tmp_path / "whole.wml", "--out", tmp_path / "c.csv")
    assert rows_of(tmp_path / "a.csv") + rows_of(tmp_path / "b.csv") == rows_of(tmp_path / "c.csv")
    assert (tmp_path / "s.wml").read_bytes() == (tmp_path / "whole.wml").read_bytes()
