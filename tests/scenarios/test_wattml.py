"""wattml on real data and on bad input, under the scorers that lie beside the data."""
import csv
import datetime
import gzip
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import zoneinfo

import pytest

from plant import BUILD

WATTML = BUILD / "wattml"
DATA = pathlib.Path(os.environ.get("WATTD_DATA", "/nonexistent")) / "ml" / "data"
SCORERS = DATA.parent / "scorers"
needs_data = pytest.mark.skipif("WATTD_DATA" not in os.environ, reason="WATTD_DATA names no directory with ml/ in it")


def wattml(*arguments, status=0) -> subprocess.CompletedProcess:
    done = subprocess.run([WATTML, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, f"{arguments} ended with {done.returncode}: {done.stderr}"
    return done


def scorer(name: str):
    if str(SCORERS) not in sys.path:
        sys.path.insert(0, str(SCORERS))
    return __import__(name)


def rows_of(path) -> list:
    with (gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def series(tmp_path):
    """Twelve weeks of a building, an hour a row, with an hour that is four times too high."""
    chance = random.Random(1)
    path = tmp_path / "series.csv"
    with open(path, "w") as out:
        print("timestamp,value,filled", file=out)
        for hour in range(24 * 84):
            day, at = hour // 24, hour % 24
            load = (100 if day % 7 < 5 and 7 <= at < 18 else 40) * (1 + chance.gauss(0, .03)) * (4 if hour == 1500 else 1)
            print(f"{datetime.datetime(2026, 2, 9) + datetime.timedelta(hours=hour)},{load:.3f},0", file=out)
    return path


@needs_data
@pytest.mark.parametrize("corpus, threshold", [("nab", 2.35), ("meter_injected", 2.0)])
def test_one_threshold_finds_what_is_odd_in_every_series(corpus, threshold, tmp_path):
    data = DATA / corpus / "data"
    for path in data.rglob("*.csv.gz"):
        out = tmp_path / path.relative_to(data).with_suffix("")
        out.parent.mkdir(parents=True, exist_ok=True)
        wattml("anomaly", "--model", "stream", "--in", path, "--out", out)
    windows = json.loads((DATA / corpus / "windows.json").read_text())
    assert scorer("score_nab").score(str(tmp_path), windows, threshold=threshold)["normalised"] >= 60
    # What is flagged at a rate of one in a thousand outside the windows is about that.
    false, usual = 0, 0
    for out in tmp_path.rglob("*.csv"):
        inside, rows = windows.get(str(out.relative_to(tmp_path)), []), rows_of(out)
        for row in rows[min(750, int(.15 * len(rows))):]:
            usual += 1
            false += float(row["rate"]) <= .001 and not any(a[:19] <= row["timestamp"][:19] <= b[:19] for a, b in inside)
    assert .0005 < false / usual < .002


@needs_data
def test_rows_that_are_odd_score_high_in_every_table(tmp_path):
    areas = []
    for path in sorted((DATA / "tabular_anomaly").glob("*.csv.gz")):
        wattml("anomaly-table", "--model", "ensemble", "--in", path, "--out", tmp_path / "scores.csv")
        rows = scorer("score_tabular").rd(str(tmp_path / "scores.csv"))
        areas.append(scorer("score_tabular").anomaly(rows["label"], rows["score"])["roc_auc"])
    assert len(areas) == 3 and sum(areas) / 3 >= .89


@needs_data
def test_a_week_is_forecast_better_than_by_the_week_before_and_within_its_bands(tmp_path):
    actual = DATA / "load_hourly" / "tetouan_z1_kw.csv.gz"
    values = {row["timestamp"]: float(row["value"]) for row in rows_of(actual)}
    stamps = list(values)
    origins = tmp_path / "origins.csv"
    origins.write_text("origin\n" + "".join(f"{stamps[len(stamps) - 1345 + 336 * i]}\n" for i in range(4)))
    wattml("forecast", "--in", actual, "--origins", origins, "--out", tmp_path / "forecast.csv")
    json_file = tmp_path / "scores.json"
    subprocess.run([sys.executable, SCORERS / "score_forecast.py", "--actual", actual, "--forecast", tmp_path / "forecast.csv", "--horizons", "168", "--json", json_file],
                   check=True, stdout=subprocess.DEVNULL)
    ours = json.loads(json_file.read_text())["168"]
    naive = [abs(values[row["timestamp"]] - values[stamps[stamps.index(row["timestamp"]) - 168]]) for row in rows_of(tmp_path / "forecast.csv")]
    assert len(naive) == 4 * 168
    assert ours["MAE"] < .9 * sum(naive) / len(naive)
    assert 68 <= ours["cover80"] <= 92


@needs_data
def test_failures_are_told_by_a_model_that_was_kept_in_a_file(tmp_path):
    rows = DATA / "maintenance" / "ai4i2020_dev.csv.gz"
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


@needs_data
def test_the_flags_of_a_failure_are_no_features(tmp_path):
    done = wattml("fit", "--model", "random-forest", "--target", "Machine failure", "--in", DATA / "maintenance" / "ai4i2020_dev.csv.gz", "--save", tmp_path / "m.wml")
    for flag in ("TWF", "HDF", "PWF", "OSF"):
        assert f"left out {flag}: is set only where the target is" in done.stderr


@needs_data
def test_survival_is_that_of_the_reference():
    reference = json.loads((DATA / "survival" / "cox_reference.json").read_text())
    calls = {"rossi": ["--time", "week", "--event", "arrest"], "gbsg2": ["--time", "time", "--event", "cens", "--reference", "menostat=Pre"]}
    for name, expected in reference.items():
        if "/" not in name:
            continue
        file, ties = name.split("/")
        text = wattml("fit", "--model", "cox", "--ties", ties, *calls[file], "--in", DATA / "survival" / f"{file}.csv").stdout
        found = {line.split()[0].lower(): float(line.split()[1]) for line in text.splitlines() if " se " in line}
        for column, value in expected["coef"].items():
            assert found[column.lower()] == pytest.approx(value, abs=1e-5), (name, column)
        assert float(text.split()[-1]) == pytest.approx(expected["llf"], abs=1e-4), name


@needs_data
def test_engines_are_judged_from_their_own_file_format(tmp_path):
    source = DATA / "maintenance" / "cmapss_train_FD001.txt.gz"
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


def test_every_forecaster_writes_what_was_asked_for(series, tmp_path):
    for model in ("auto", "linear", "seasonal-naive", "holt-winters", "sarima", "additive"):
        wattml("forecast", "--model", model, "--in", series, "--horizon", 24, "--out", tmp_path / "f.csv")
        rows = rows_of(tmp_path / "f.csv")
        assert len(rows) == 24 and rows[0]["origin"] < rows[0]["timestamp"] < rows[23]["timestamp"], model
        assert all(float(row["lo95"]) <= float(row["lo80"]) <= float(row["mean"]) <= float(row["hi80"]) <= float(row["hi95"]) for row in rows), model


def test_what_comes_after_an_origin_changes_nothing_there(series, tmp_path):
    origin = series.read_text().splitlines()[1801].split(",")[0]
    (tmp_path / "origins").write_text(origin + "\n")
    wattml("forecast", "--in", series, "--origins", tmp_path / "origins", "--horizon", 48, "--out", tmp_path / "a.csv")
    lines = series.read_text().splitlines()
    other = [line if i <= 1801 else line.split(",")[0] + ",999,0" for i, line in enumerate(lines)]
    (tmp_path / "other.csv").write_text("\n".join(other) + "\n")
    wattml("forecast", "--in", tmp_path / "other.csv", "--origins", tmp_path / "origins", "--horizon", 48, "--out", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_features_are_those_of_the_platform(tmp_path):
    (tmp_path / "d.csv").write_text("timestamp,voltage,current,power\n" + "".join(f"2026-02-07 22:{minute:02}:00,230,1,{200 + minute}\n" for minute in range(5)))
    (tmp_path / "days").write_text("date\n2026-02-07\n")
    wattml("features", "--window", 2, "--lags", 1, "--seasons", "--holidays", tmp_path / "days", "--in", tmp_path / "d.csv", "--out", tmp_path / "f.csv")
    row = rows_of(tmp_path / "f.csv")[3]
    assert row["is_holiday"] == "1" and math.atan2(float(row["day_sin"]), float(row["day_cos"])) % (2 * math.pi) == pytest.approx((22 + 3 / 60) / 12 * math.pi)
    assert float(row["week_cos"]) == pytest.approx(math.cos((5 + (22 + 3 / 60) / 24) / 7 * 2 * math.pi)) and float(row["year_cos"]) > .7
    assert (row["hour"], row["day_of_week"], row["is_weekend"]) == ("22", "5", "1")
    assert float(row["power_factor"]) == pytest.approx(203 / 230) and float(row["power_rolling_mean"]) == 202.5
    assert float(row["power_rolling_std"]) == pytest.approx(math.sqrt(.5)) and row["power_rate"] == "1" and row["power_lag_1"] == "202"


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


def test_months_and_hours_are_regressors_of_months_and_quarters(tmp_path):
    chance = random.Random(4)
    heat = [chance.random() * 20 for _ in range(200)]
    month = lambda i: f"{2005 + i // 12}-{i % 12 + 1:02}-01"
    (tmp_path / "m.csv").write_text("ds,y\n" + "".join(f"{month(i)},{100 + 5 * heat[i] + chance.gauss(0, 1):.3f}\n" for i in range(188)))
    (tmp_path / "heat.csv").write_text("ds,heat\n" + "".join(f"{month(i)},{heat[i]}\n" for i in range(200)))
    said = wattml("forecast", "--model", "holt-winters", "--in", tmp_path / "m.csv", "--regressors", tmp_path / "heat.csv", "--horizon", 12, "--out", tmp_path / "f.csv").stderr
    assert json.loads(said)["regressors"] is True
    assert all(abs(float(row["mean"]) - 100 - 5 * heat[188 + i]) < 15 for i, row in enumerate(rows_of(tmp_path / "f.csv")))
    start, sun = datetime.datetime(2026, 5, 4), [chance.random() * 10 for _ in range(24 * 30 + 30)]
    at = lambda quarter: sun[quarter // 4] + (sun[quarter // 4 + 1] - sun[quarter // 4]) * (quarter % 4) / 4
    (tmp_path / "q.csv").write_text("timestamp,value\n" + "".join(f"{start + datetime.timedelta(minutes=15 * q)},{50 - 3 * at(q) + chance.gauss(0, .3):.3f}\n" for q in range(96 * 30)))
    (tmp_path / "sun.csv").write_text("timestamp,sun,sky\n" + "".join(f"{start + datetime.timedelta(hours=h)},{value},grey\n" for h, value in enumerate(sun)))
    said = wattml("forecast", "--model", "holt-winters", "--in", tmp_path / "q.csv", "--regressors", tmp_path / "sun.csv", "--horizon", 16, "--out", tmp_path / "f.csv").stderr
    assert '"regressors": true' in said and "column sky holds texts" in said and "leaves out" not in said
    assert all(abs(float(row["mean"]) - 50 + 3 * at(96 * 30 + i)) < 3 for i, row in enumerate(rows_of(tmp_path / "f.csv")))
    (tmp_path / "days").write_text("date\nDec 25 2026\n")
    assert "days:2: \"Dec 25 2026\" is no time" in wattml("forecast", "--in", tmp_path / "q.csv", "--holidays", tmp_path / "days", status=1).stderr


def test_devices_pipes_and_links_stay_what_they_are(series, tmp_path):
    device, pipe, link = tmp_path / "null", tmp_path / "pipe", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "real.csv")
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        wattml("anomaly", "--in", series, "--out", pipe)
        piped = reader.communicate(timeout=20)[0]
    wattml("anomaly", "--in", series, "--out", link)
    assert pipe.is_fifo() and link.is_symlink() and piped == (tmp_path / "real.csv").read_text()
    device.symlink_to("/dev/null")
    wattml("anomaly", "--in", series, "--out", device)
    assert pathlib.Path("/dev/null").is_char_device() and device.is_symlink()


def test_a_stream_goes_on_where_it_was_left(series, tmp_path):
    lines = series.read_text().splitlines()
    for name, some in (("first.csv", lines[:900]), ("then.csv", lines[:1] + lines[900:])):
        (tmp_path / name).write_text("\n".join(some) + "\n")
    wattml("anomaly", "--in", tmp_path / "first.csv", "--save", tmp_path / "s.wml", "--out", tmp_path / "a.csv")
    wattml("anomaly", "--in", tmp_path / "then.csv", "--load", tmp_path / "s.wml", "--save", tmp_path / "s.wml", "--out", tmp_path / "b.csv")
    wattml("anomaly", "--in", series, "--save", tmp_path / "whole.wml", "--out", tmp_path / "c.csv")
    assert rows_of(tmp_path / "a.csv") + rows_of(tmp_path / "b.csv") == rows_of(tmp_path / "c.csv")
    assert (tmp_path / "s.wml").read_bytes() == (tmp_path / "whole.wml").read_bytes()


@pytest.mark.parametrize("minutes", [60, 15])
def test_the_hour_that_comes_twice_in_autumn_is_one_and_other_times_that_do_are_refused(minutes, tmp_path):
    berlin, at = zoneinfo.ZoneInfo("Europe/Berlin"), datetime.datetime(2026, 9, 21, tzinfo=datetime.timezone.utc)
    lines = []
    for step in range(45 * 24 * 60 // minutes):
        local = (at + datetime.timedelta(minutes=minutes * step)).astimezone(berlin)
        lines.append(f"{local:%Y-%m-%d %H:%M:%S},{100 + 30 * math.sin((local.hour + local.minute / 60) * math.pi / 12):.3f}")
    assert sum(line.startswith("2026-10-25 02:00") for line in lines) == 2
    (tmp_path / "autumn.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")
    wattml("forecast", "--model", "holt-winters", "--in", tmp_path / "autumn.csv", "--horizon", 24 * 60 // minutes, "--out", tmp_path / "f.csv")
    for row in rows_of(tmp_path / "f.csv"):
        when = datetime.datetime.fromisoformat(row["timestamp"])
        assert float(row["mean"]) == pytest.approx(100 + 30 * math.sin((when.hour + when.minute / 60) * math.pi / 12), abs=3), row
    (tmp_path / "one.csv").write_text("timestamp,value\n2026-10-25 02:00:00,1\n2026-10-25 02:00:00,2\n2026-10-25 02:00:00,3\n")
    assert "rows of one time are no series" in wattml("forecast", "--in", tmp_path / "one.csv", status=1).stderr
    wattml("anomaly", "--model", "s-h-esd", "--in", tmp_path / "one.csv", status=1)
    (tmp_path / "twice.csv").write_text("timestamp,value\n" + "\n".join(lines[:100] + lines[99:]) + "\n")
    assert "is not after the row before" in wattml("forecast", "--in", tmp_path / "twice.csv", status=1).stderr


@pytest.mark.parametrize("model, parts", [("auto", {"level", "season", "trend", "usual"}), ("holt-winters", {"level"}), ("additive", {"trend", "lately"}), ("linear", {"usual", "lately"})])
def test_a_forecaster_is_kept_and_goes_on_where_it_ended(model, parts, tmp_path):
    values = [(datetime.datetime(2026, 1, 5) + datetime.timedelta(hours=hour), 80 + 30 * math.sin(hour * math.pi / 12) + 10 * (hour // 24 % 7 < 5) + hour * 37 % 11) for hour in range(24 * 7 * 10)]
    write = lambda name, some: (tmp_path / name).write_text("timestamp,value\n" + "".join(f"{at},{value:.3f}\n" for at, value in some))
    write("series.csv", values[:-48]), write("later.csv", values[-60:]), write("far.csv", values[-20:])
    said = wattml("forecast", "--model", model, "--in", tmp_path / "series.csv", "--horizon", 48, "--explain", "--save", tmp_path / "m.wml", "--out", tmp_path / "first.csv").stderr
    accuracy = json.loads(said)
    assert 0 < accuracy["mase"] <= 2 and accuracy["smape"] > 0 and accuracy["model"] in (model, "load", "holt-winters", "additive", "seasonal-naive", "sarima")
    for row in rows_of(tmp_path / "first.csv"):
        named = dict(part.rsplit(" ", 1) for part in row["reason"].split("; ") if part)
        assert not named or (parts & set(named) and sum(map(float, named.values())) == pytest.approx(float(row["mean"]), rel=1e-2))
    wattml("forecast", "--load", tmp_path / "m.wml", "--in", tmp_path / "later.csv", "--horizon", 24, "--out", tmp_path / "then.csv")
    rows = rows_of(tmp_path / "then.csv")
    assert rows[0]["origin"] == str(values[-1][0]) and len(rows) == 24
    assert all(60 < float(row["mean"]) < 140 or model == "auto" for row in rows)
    assert "from there on" in wattml("forecast", "--load", tmp_path / "m.wml", "--in", tmp_path / "far.csv", status=1).stderr


@pytest.mark.parametrize("call, words", [
    (["anomaly", "--period", 24], "--period: is not for the model stream, but for s-h-esd"),
    (["anomaly", "--model", "s-h-esd", "--threshold", 2], "--threshold: is not for the model s-h-esd, but for stream"),
    (["anomaly-table", "--tails", 0], "--tails: is not for the model ensemble, but for isolation-forest"),
    (["forecast", "--model", "sarima", "--holidays", "days.csv"], "--holidays: is not for the model sarima"),
    (["fit", "--model", "cox", "--cap", 100], "--cap: is not for the model cox, but for remaining-life"),
])
def test_options_that_would_do_nothing_are_refused(call, words, series):
    assert words in wattml(*call, "--in", series, status=2).stderr


def test_months_holes_and_old_line_ends_are_series_too(series, tmp_path):
    months = [f"{year}-{month:02}-01,{100 + 5 * year % 7 + 20 * (month in (7, 8))}" for year in range(2015, 2025) for month in range(1, 13)]
    (tmp_path / "months.csv").write_text("ds,y\r" + "\r".join(months) + "\r")
    wattml("forecast", "--in", tmp_path / "months.csv", "--horizon", 14, "--out", tmp_path / "m.csv")
    rows = rows_of(tmp_path / "m.csv")
    assert [row["timestamp"] for row in rows][:1] + [rows[-1]["timestamp"]] == ["2025-01-01", "2026-02-01"]
    assert float(rows[6]["mean"]) > float(rows[4]["mean"]) + 10
    (tmp_path / "later.csv").write_text("ds,y\n" + "\n".join(f"2025-{month:02}-01,{100 + 20 * (month in (7, 8))}" for month in range(1, 6)) + "\n")
    wattml("forecast", "--in", tmp_path / "months.csv", "--horizon", 1, "--save", tmp_path / "months.wml", "--out", tmp_path / "m.csv")
    wattml("forecast", "--load", tmp_path / "months.wml", "--in", tmp_path / "later.csv", "--horizon", 4, "--out", tmp_path / "m.csv")
    then = rows_of(tmp_path / "m.csv")
    assert [row["timestamp"] for row in then] == [f"2025-{month:02}-01" for month in range(6, 10)] and float(then[1]["mean"]) > float(then[0]["mean"]) + 10
    lines = series.read_text().splitlines()
    (tmp_path / "holes.csv").write_text("\n".join(line for i, line in enumerate(lines) if not 400 <= i < 461 and i != 900) + "\n")
    flags = {}
    for name, path in (("whole", series), ("holes", tmp_path / "holes.csv")):
        wattml("anomaly", "--model", "s-h-esd", "--period", 168, "--in", path, "--out", tmp_path / "e.csv")
        flags[name] = sum(row["anomaly"] == "1" for row in rows_of(tmp_path / "e.csv"))
    assert flags["holes"] <= flags["whole"] + 3


def test_weather_that_is_known_ahead_is_used(tmp_path):
    stamp = lambda hour: f"2026-03-{1 + hour // 24:02} {hour % 24:02}:00:00"
    (tmp_path / "load.csv").write_text("timestamp,value\n" + "".join(f"{stamp(hour)},{500 - 2 * (hour * 37 % 101)}\n" for hour in range(24 * 28)))
    (tmp_path / "sun.csv").write_text("timestamp,sun\n" + "".join(f"{stamp(hour)},{hour * 37 % 101}\n" for hour in range(24 * 30)))
    wattml("forecast", "--model", "additive", "--in", tmp_path / "load.csv", "--regressors", tmp_path / "sun.csv", "--horizon", 24, "--out", tmp_path / "f.csv")
    assert all(abs(float(row["mean"]) - (500 - 2 * ((24 * 28 + h) * 37 % 101))) < 15 for h, row in enumerate(rows_of(tmp_path / "f.csv")))


def test_a_forecaster_with_regressors_asks_for_them_by_name_when_it_is_loaded(tmp_path):
    chance, known = random.Random(5), 24 * 70
    sun = [max(0, math.sin((hour % 24 - 6) / 12 * math.pi)) * chance.random() * 100 for hour in range(known + 96)]
    load = [300 + 50 * math.sin(hour / 12 * math.pi) - 2 * sun[hour] + chance.gauss(0, 3) for hour in range(known + 96)]
    stamp = lambda hour: datetime.datetime(2026, 1, 5) + datetime.timedelta(hours=hour)
    write = lambda name, head, rows: (tmp_path / name).write_text(head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    write("load.csv", "timestamp,value", [(stamp(hour), load[hour]) for hour in range(known)])
    write("later.csv", "timestamp,value", [(stamp(hour), load[hour]) for hour in range(known - 5, known + 48)])
    write("sun.csv", "timestamp,sun", [(stamp(hour), sun[hour]) for hour in range(known + 96)])
    write("more.csv", "timestamp,wind,sun", [(stamp(hour), 3, sun[hour]) for hour in range(known, known + 96)])
    write("other.csv", "timestamp,wind", [(stamp(hour), 3) for hour in range(known + 96)])
    say = lambda *call, status=0: wattml("forecast", *call, "--out", tmp_path / "f.csv", status=status).stderr
    assert '"regressors": true' in say("--model", "linear", "--in", tmp_path / "load.csv", "--regressors", tmp_path / "sun.csv", "--horizon", 24, "--save", tmp_path / "m.wml")
    later = ("--load", tmp_path / "m.wml", "--in", tmp_path / "later.csv", "--horizon", 24)
    assert "was fitted with sun: give --regressors" in say(*later, status=1)
    assert "there is no column sun" in say(*later, "--regressors", tmp_path / "other.csv", status=1)
    assert "leaves out 5 of 53 steps" in say(*later, "--regressors", tmp_path / "more.csv", "--explain")
    rows = rows_of(tmp_path / "f.csv")
    assert sum(abs(float(row["mean"]) - load[known + 48 + hour]) for hour, row in enumerate(rows)) / 24 < 12
    assert all(float(row["reason"].rsplit(" ", 1)[1]) for row in rows)


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


def test_the_help_has_every_call():
    text = wattml("--help").stdout
    for call in ("anomaly --model stream", "anomaly-table --model", "forecast --model auto", "--protocol rolling56", "fit --model failure", "fit --model cox",
                 "fit --model remaining-life", "predict --load"):
        assert f"wattml {call}" in text or call in text, call


@pytest.mark.parametrize("content, arguments, words", [
    ("", ["anomaly"], "is empty"),
    ("timestamp,value\n", ["anomaly"], "has no rows"),
    ("when,value\n1,2\n", ["anomaly"], "there is no column timestamp"),
    ("timestamp,value\n2026-02-07 11:26:00,1\nyesterday,2\n", ["anomaly"], ":3: \"yesterday\" is no timestamp, expected 2026-02-07 11:26:00"),
    ("timestamp,value\n2026-02-07 11:26:00,1,5\n", ["anomaly"], ":2: 3 cells, expected 2"),
    ("timestamp,value\n2026-02-07 11:26:00,high\n", ["anomaly"], ":2: column value holds \"high\", expected a number"),
    ("timestamp,value\n2026-02-07 11:00:00,1\n2026-02-07 11:00:00,1\n", ["forecast"], ":3: 2026-02-07 11:00:00 is not after the row before"),
    ("timestamp,value\n2026-02-07 11:00:00,1\n2026-02-07 12:00:00,1\n", ["forecast"], "fewer than four values"),
    ("timestamp,value\n2026-02-07 11:00:00,1\n2026-02-07 12:00:00,1\n", ["forecast", "--model", "prophet"], "no model is named prophet; there are auto, load"),
    ("timestamp,value\n2026-02-07 11:00:00,1\n2026-02-07 12:00:00,1\n", ["forecast", "--protocol", "rolling56"], "2 hours are too few for eight weeks of origins"),
    ("a,b\n1,2\n3,5\n", ["fit", "--model", "failure", "--target", "c"], "there is no column c; it has a, b"),
    ("a,b\n1,2\n3,5\n", ["fit", "--model", "failure", "--target", "b"], "the target is to be 0 or 1 in every row"),
    ("a,b\n1,2\n3,5\n", ["fit", "--model", "cox"], "cox needs --time and --event"),
    ("a,b\n1,0\n3,0\n", ["fit", "--model", "failure", "--target", "b"], "nothing has failed yet, or everything: there is nothing to learn from"),
    ("not a model", ["predict", "--load"], "model"),
])
def test_bad_input_is_refused_with_the_place_and_leaves_no_file(content, arguments, words, tmp_path):
    bad, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    bad.write_text(content)
    call = [*arguments, bad, "--in", bad, "--out", out] if arguments[-1] == "--load" else [*arguments, "--in", bad, "--save" if arguments[0] == "fit" else "--out", out]
    done = wattml(*call, status=1)
    assert words in done.stderr and done.stderr.startswith("wattml: ") and len(done.stderr.splitlines()) == 1
    assert not out.exists() and not list(tmp_path.glob("*.partial"))


def test_a_wrong_call_is_told_so():
    assert "--in is required" in wattml("anomaly", status=2).stderr
    assert wattml("anomaly", "--model", "oracle", "--in", "x", status=2).stderr
