"""wattml as a program: its help, its options, its files, and bad input."""
import math
import os
import pathlib
import subprocess

import pytest

from wattml import rows_of, wattml


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


@pytest.mark.parametrize("call, words", [
    (["anomaly", "--period", 24], "--period: is not for the model stream, but for s-h-esd"),
    (["anomaly", "--model", "s-h-esd", "--threshold", 2], "--threshold: is not for the model s-h-esd, but for stream"),
    (["anomaly-table", "--tails", 0], "--tails: is not for the model ensemble, but for isolation-forest"),
    (["forecast", "--model", "sarima", "--holidays", "days.csv"], "--holidays: is not for the model sarima"),
    (["fit", "--model", "cox", "--cap", 100], "--cap: is not for the model cox, but for remaining-life"),
])
def test_options_that_would_do_nothing_are_refused(call, words, series):
    assert words in wattml(*call, "--in", series, status=2).stderr


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
