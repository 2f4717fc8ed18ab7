"""wattml forecast, under the scorer that lies beside the data."""
import datetime
import json
import math
import random
import subprocess
import sys
import zoneinfo

import pytest

from wattml import rows_of, wattml


def test_a_week_is_forecast_better_than_by_the_week_before_and_within_its_bands(data, tmp_path):
    actual = data / "load_hourly" / "tetouan_z1_kw.csv.gz"
    values = {row["timestamp"]: float(row["value"]) for row in rows_of(actual)}
    stamps = list(values)
    origins = tmp_path / "origins.csv"
    origins.write_text("origin\n" + "".join(f"{stamps[len(stamps) - 1345 + 336 * i]}\n" for i in range(4)))
    wattml("forecast", "--in", actual, "--origins", origins, "--out", tmp_path / "forecast.csv")
    json_file = tmp_path / "scores.json"
    subprocess.run([sys.executable, data.parent / "scorers" / "score_forecast.py", "--actual", actual, "--forecast", tmp_path / "forecast.csv", "--horizons", "168", "--json", json_file],
                   check=True, stdout=subprocess.DEVNULL)
    ours = json.loads(json_file.read_text())["168"]
    naive = [abs(values[row["timestamp"]] - values[stamps[stamps.index(row["timestamp"]) - 168]]) for row in rows_of(tmp_path / "forecast.csv")]
    assert len(naive) == 4 * 168
    assert ours["MAE"] < .9 * sum(naive) / len(naive)
    assert 68 <= ours["cover80"] <= 92


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
