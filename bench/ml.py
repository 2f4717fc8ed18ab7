"""What the models are worth and what they cost, on public data that the project does not carry ($WATTD_DATA/ml/data; skipped with a word without it).

Accuracy is that of wattml's files under the scorers that lie beside the data: the gateway's models, one configuration for every file.
Costs are those of the models alone, on one core; where scikit-learn and statsmodels are installed they do the same work in the same run.
seconds and peak_mb are those of the wattml processes of a figure, the longest and the largest where there are many.
"""
import concurrent.futures
import csv
import gzip
import importlib
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from plant import BUILD
from report import report

WATTML, BENCH = BUILD / "wattml", BUILD / "bench" / "bench_ml"
SERIES_WEEK_H = 168


# A process counts the memory of whoever started it as its own until it is itself: so a small one starts it.
MEASURED = """import os, sys, time
began = time.monotonic()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
sys.stdout.write(f"\\0{time.monotonic() - began} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))"""


class Cost:
    """Of the processes behind a figure."""

    def __init__(self):
        self.seconds, self.peak_mb, self.calls = 0.0, 0.0, 0

    def run(self, *arguments, errors=None) -> str:
        done = subprocess.run([sys.executable, "-S", "-c", MEASURED, str(WATTML), *map(str, arguments)], stdout=subprocess.PIPE, stderr=errors, text=True)
        assert done.returncode == 0, f"wattml {' '.join(map(str, arguments))} ended with {done.returncode}"
        text, _, last = done.stdout.rpartition("\x00")
        seconds, peak_kb = map(float, last.split())
        self.seconds, self.peak_mb, self.calls = max(self.seconds, seconds), max(self.peak_mb, peak_kb / 1024), self.calls + 1
        return text

    def figures(self) -> dict:
        return {"seconds": round(self.seconds, 3), "peak_mb": round(self.peak_mb, 1), "runs": self.calls}


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def installed(name: str):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def each(work, items) -> list:
    """Two at a time: accuracy does not mind the neighbour."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, items))


# --- anomalies ---

def streams(ml: pathlib.Path, work: pathlib.Path, name: str, threshold: float, target: float):
    import score_nab
    data, cost = ml / name / "data", Cost()
    for path in sorted(data.rglob("*.csv.gz")):
        out = work / name / path.relative_to(data).with_suffix("")
        out.parent.mkdir(parents=True, exist_ok=True)
        cost.run("anomaly", "--model", "stream", "--in", path, "--out", out)
    windows = json.loads((ml / name / "windows.json").read_text())
    result = score_nab.score(str(work / name), windows, threshold=threshold)
    weeks = alarms = 0
    for key in windows:
        stamps, scores = score_nab.load(str(work / name), key, "anomaly_score")
        first = min(len(stamps) * 15 // 100, 750)
        inside = [(score_nab.parse_ts(a), score_nab.parse_ts(b)) for a, b in windows[key]]
        weeks += (stamps[-1] - stamps[first]).total_seconds() / 3600 / SERIES_WEEK_H
        alarms += sum(score >= threshold and not any(a <= stamp <= b for a, b in inside) for stamp, score in zip(stamps[first:], scores[first:]))
    report(f"ml.{name}", result["normalised"], "NAB score", target=target, threshold=threshold, windows=result["windows"], hit=result["hit"],
           false_alarms_a_series_week=round(alarms / weeks, 3), **({"false_alarm_target": .25} if name == "meter_injected" else {}), **cost.figures())


def tables(ml: pathlib.Path, work: pathlib.Path):
    import numpy
    import score_tabular
    sets = sorted((ml / "tabular_anomaly").glob("*.csv.gz"))
    for model, name, target in (("isolation-forest", "ml.iforest.auc", .87), ("ensemble", "ml.ensemble.auc", .89), ("autoencoder", "ml.autoencoder.auc", .86)):
        cost, areas = Cost(), {}
        for path in sets:
            for seed in range(1, 6 if model != "autoencoder" else 3):
                cost.run("anomaly-table", "--model", model, "--seed", seed, "--in", path, "--out", work / "table.csv")
                rows = score_tabular.rd(str(work / "table.csv"))
                areas.setdefault(path.name.split(".")[0], []).append(score_tabular.anomaly(rows["label"], rows["score"])["roc_auc"])
        more = {name: round(mean(values), 4) for name, values in areas.items()}
        forest = installed("sklearn.ensemble")
        if forest and model != "ensemble":
            anchor = []
            for path in sets:
                with gzip.open(path, "rt") as file:
                    values = numpy.array(list(csv.reader(file))[1:], float)
                x, label = values[:, :-1], values[:, -1]
                if model == "isolation-forest":
                    anchor.append(mean(score_tabular.roc_auc(label, -forest.IsolationForest(random_state=seed).fit(x).score_samples(x)) for seed in range(3)))
                else:
                    z = (x - x.mean(0)) / x.std(0)
                    pca = installed("sklearn.decomposition").PCA(.9).fit(z)
                    anchor.append(score_tabular.roc_auc(label, ((z - pca.inverse_transform(pca.transform(z))) ** 2).sum(1)))
            more |= {"against": "scikit-learn IsolationForest" if model == "isolation-forest" else "PCA reconstruction", "anchor": round(mean(anchor), 4)}
        report(name, mean(mean(values) for values in areas.values()), "mean ROC AUC", target=target, **more, **cost.figures())
    false_alarms(sets, work)
    if installed("sklearn.ensemble"):
        plain_forest(sets[0], work)


def false_alarms(sets: list, work: pathlib.Path):
    """Models of half of the usual rows, on the other half and on the odd ones: how many are flagged of each where one in a hundred was asked for."""
    for model in ("isolation-forest", "ensemble", "autoencoder"):
        cost, flagged, found = Cost(), {}, []
        for path in sets:
            with gzip.open(path, "rt") as file:
                head, *rows = list(csv.reader(file))
            random.Random(1).shuffle(rows)
            usual = [row for row in rows if float(row[-1]) == 0]
            for name, some in (("seen", usual[::2]), ("unseen", usual[1::2] + [row for row in rows if float(row[-1]) != 0])):
                with open(work / f"{name}.csv", "w", newline="") as file:
                    csv.writer(file).writerows([head, *some])
            cost.run("anomaly-table", "--model", model, "--in", work / "seen.csv", "--save", work / "usual.wml", "--out", work / "table.csv")
            cost.run("anomaly-table", "--model", model, "--load", work / "usual.wml", "--false-alarms", .01, "--in", work / "unseen.csv", "--out", work / "table.csv")
            with open(work / "table.csv") as file:
                judged = [(float(row["label"]), int(row["anomaly"])) for row in csv.DictReader(file)]
            flagged[path.name.split(".")[0]] = round(100 * mean(flag for label, flag in judged if label == 0), 2)
            found.append(mean(flag for label, flag in judged if label != 0))
        report(f"ml.false_alarms.{model}", mean(flagged.values()), "% of usual rows that were not fitted on", asked_for=1.0, **flagged, odd_rows_found=round(100 * mean(found), 1), **cost.figures())


def plain_forest(path, work: pathlib.Path):
    """Without the weights of columns the scores are scikit-learn's, as far as two seeds of that agree."""
    import numpy
    forest = installed("sklearn.ensemble").IsolationForest
    Cost().run("anomaly-table", "--model", "isolation-forest", "--tails", 0, "--in", path, "--out", work / "table.csv")
    ours = numpy.array([float(row["score"]) for row in csv.DictReader(open(work / "table.csv"))])
    with gzip.open(path, "rt") as file:
        x = numpy.array(list(csv.reader(file))[1:], float)[:, :-1]
    theirs = [-forest(random_state=seed).fit(x).score_samples(x) for seed in range(4)]
    between = mean(numpy.abs(a - b).mean() for i, a in enumerate(theirs) for b in theirs[:i])
    report("ml.iforest.same", mean(numpy.abs(ours - a).mean() for a in theirs), "mean distance from scikit-learn's scores", between_its_seeds=round(float(between), 5),
           ratio=round(float(mean(numpy.abs(ours - a).mean() for a in theirs) / between), 3), correlation=round(float(numpy.corrcoef(ours, theirs[0])[0, 1]), 4))


# --- forecasts ---

def loads(ml: pathlib.Path) -> list:
    return [path for path in sorted((ml / "load_hourly").glob("*.csv.gz")) if not path.name.startswith("exog") and "pv_generation" not in path.name]


def scored(path, *files_and_horizons) -> dict:
    """Under score_forecast.py, as anyone would call it."""
    scorer = pathlib.Path(sys.modules["score_forecast"].__file__)
    result = {}
    for file, horizons in files_and_horizons:
        out = file.with_suffix(".json")
        subprocess.run([sys.executable, scorer, "--actual", path, "--forecast", file, "--horizons", horizons, "--json", out], check=True, stdout=subprocess.DEVNULL)
        result |= json.loads(out.read_text())
    return result


def naive(path, week: pathlib.Path, hour: pathlib.Path):
    """The weekly naive forecast for the same origins and steps."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.reader(file))[1:]
    place = {row[0]: i for i, row in enumerate(rows)}
    for source in (week, hour):
        with open(source) as file, open(source.with_suffix(".naive.csv"), "w") as out:
            print("origin,timestamp,mean", file=out)
            for row in list(csv.reader(file))[1:]:
                print(row[0], row[1], rows[place[row[1]] - SERIES_WEEK_H][1], sep=",", file=out)


def forecasts(ml: pathlib.Path, work: pathlib.Path):
    import score_forecast  # noqa: F401
    cost = Cost()

    def one(path) -> tuple:
        week, hour = work / f"{path.name}.week.csv", work / f"{path.name}.hour.csv"
        cost.run("forecast", "--model", "auto", "--in", path, "--protocol", "rolling56", "--out", week, "--hourly", hour)
        naive(path, week, hour)
        ours = scored(path, (week, "24,168"), (hour, "1"))
        theirs = scored(path, (week.with_suffix(".naive.csv"), "24,168"), (hour.with_suffix(".naive.csv"), "1"))
        return path.name.split(".")[0], ours, theirs

    results = each(one, loads(ml))
    for horizon, target in (("1", .41), ("24", .63), ("168", .75)):
        at = [(name, ours[horizon], theirs[horizon]) for name, ours, theirs in results]
        behind = [name for name, ours, theirs in at if ours["MASE168"] > theirs["MASE168"]]
        report(f"ml.forecast.{horizon}h", mean(ours["MASE168"] for _, ours, _ in at), "mean MASE", target=target,
               weekly_naive=round(mean(theirs["MASE168"] for _, _, theirs in at), 4), worse_than_naive=behind, series=len(at),
               **{f"band{level}": round(mean(ours[f"cover{level}"] for _, ours, _ in at), 2) for level in (80, 95)},
               **{f"worst{level}": round(min(ours[f"cover{level}"] for _, ours, _ in at), 1) for level in (80, 95)},
               winkler80=round(mean(ours["winkler80"] for _, ours, _ in at), 3), **cost.figures())
    beside(ml, work)


def beside(ml: pathlib.Path, work: pathlib.Path):
    """The other methods on four series and four origins each, beside the linear model on the same."""
    chosen = loads(ml)[3::4]
    figures = {}
    for model in ("linear", "auto", "lstm", "holt-winters", "sarima", "additive", "seasonal-naive"):
        cost, errors = Cost(), []
        for path in chosen:
            with gzip.open(path, "rt") as file:
                stamps = [row[0] for row in csv.reader(file)][1:]
            origins = work / "origins.csv"
            origins.write_text("origin\n" + "".join(f"{stamps[len(stamps) - 1 - 1344 + 336 * i]}\n" for i in range(4)))
            out = work / "beside.csv"
            cost.run("forecast", "--model", model, "--in", path, "--origins", origins, "--horizon", 168, "--out", out)
            errors.append(scored(path, (out, "24,168")))
        figures[model] = {"24h": round(mean(e["24"]["MASE168"] for e in errors), 4), "168h": round(mean(e["168"]["MASE168"] for e in errors), 4), **cost.figures()}
    report("ml.lstm", figures["lstm"]["24h"], "mean MASE, a day", ratio=round(figures["lstm"]["24h"] / figures["linear"]["24h"], 3), against="the linear model",
           series=[path.name.split(".")[0] for path in chosen], origins=4, methods=figures)


# --- failures ---

AI4I = ["--target", "Machine failure", "--ignore", "UDI,Product ID,TWF,HDF,PWF,OSF,RNF", "--limit", "strain:Type:L=11000,M=12000,H=13000", "--band", "power:3500:9000"]


def failures(ml: pathlib.Path, work: pathlib.Path):
    import score_tabular
    rows, cost, out = ml / "maintenance" / "ai4i2020_dev.csv.gz", Cost(), work / "predictions.csv"
    results = []
    for seed in (1, 2, 3):
        cost.run("fit", "--model", "failure", *AI4I, "--in", rows, "--folds", 5, "--seed", seed, "--predictions", out, errors=subprocess.DEVNULL)
        judged = score_tabular.rd(str(out))
        results.append(score_tabular.classify(judged["label"], judged["prob"]))
    at = lambda name: mean(result[name] for result in results)
    report("ml.ai4i", results[0]["pr_auc"], "PR AUC", target=.90, of_three_seeds=[round(result["pr_auc"], 4) for result in results], roc_auc=round(at("roc_auc"), 4),
           f1=round(at("f1"), 4), brier=round(at("brier"), 5), brier_target=.0072, ece=round(at("ece"), 4), **cost.figures())
    cost = Cost()
    cost.run("fit", "--model", "remaining-life", "--in", ml / "maintenance" / "cmapss_train_FD001.txt.gz", "--folds", 5, "--predictions", out, errors=subprocess.DEVNULL)
    judged = score_tabular.rd(str(out))
    result = score_tabular.rul(judged["rul"], judged["pred"], 125, judged["lo"], judged["hi"])
    report("ml.cmapss", result["rmse"], "cycles RMSE", target=13.5, coverage=round(result["coverage"], 2), width=round(result["width"], 1), nasa=round(result["nasa"]),
           rows=result["n"], folds="5, by engine", **cost.figures())


def survival(ml: pathlib.Path, work: pathlib.Path):
    reference = json.loads((ml / "survival" / "cox_reference.json").read_text())
    calls = {"rossi": ["--time", "week", "--event", "arrest"], "gbsg2": ["--time", "time", "--event", "cens", "--reference", "menostat=Pre"]}
    worst, likelihood, cost = 0.0, 0.0, Cost()
    reference = {name: expected for name, expected in reference.items() if "/" in name}
    for name, expected in reference.items():
        file, ties = name.split("/")
        text = cost.run("fit", "--model", "cox", "--ties", ties, *calls[file], "--in", ml / "survival" / f"{file}.csv", errors=subprocess.DEVNULL)
        found = {line.rsplit(" ", 3)[0].lower(): float(line.split()[-3]) for line in text.splitlines() if " se " in line}
        for column, value in expected["coef"].items():
            worst = max(worst, abs(found[column.lower()] - value))
        likelihood = max(likelihood, abs(float(text.split()[-1]) - expected["llf"]))
    report("ml.cox", 1e6 * worst, "1e-6, largest difference of a coefficient", target=10, log_likelihood=round(likelihood, 7), fits=len(reference), **cost.figures())


# --- costs ---

def numbers(*arguments) -> dict:
    text = subprocess.run([BENCH, *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}


def took(work) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def costs():
    figures, sklearn = numbers("speed"), installed("sklearn.ensemble")
    anchor = {}
    if sklearn:
        import numpy
        x = numpy.random.default_rng(1).normal(size=(120_960, 4))
        forest = sklearn.IsolationForest(random_state=1)
        anchor = {"fit": 1e3 * took(lambda: forest.fit(x)), "score": 1e6 / len(x) * took(lambda: forest.score_samples(x)),
                  "one": 1e6 / 20 * took(lambda: [forest.score_samples(x[i:i + 1]) for i in range(20)])}
    for name, unit, target in (("fit", "ms", 10), ("score", "us a row", 2), ("one", "us", 5)):
        more = {"ratio": round(figures[f"iforest.{name}"] / anchor[name], 5), "against": "scikit-learn", "anchor": round(anchor[name], 3)} if anchor else {}
        report(f"ml.iforest.{name}", figures[f"iforest.{name}"], unit, target=target, rows="120,960 x 4", peak_mb=round(figures["speed.peak"], 1), **more)
    report("ml.iforest.model", figures["iforest.model"], "kB", target=160)
    report("ml.stream", figures["stream"], "us a sample", target=2, state_bytes=int(figures["stream.state"]), state_target=4096)


def tree_costs(ml: pathlib.Path, work: pathlib.Path):
    with gzip.open(ml / "maintenance" / "ai4i2020_dev.csv.gz", "rt") as file:
        source = list(csv.DictReader(file))
    rows = []
    for row in source:
        air, process, speed, torque, wear = (float(row[name]) for name in ("Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]"))
        rows.append(["LMH".index(row["Type"]), air, process, speed, torque, wear, process - air, torque * speed * math.pi / 30, torque * wear, float(row["Machine failure"])])
    plain = work / "rows.csv"
    plain.write_text("a,b,c,d,e,f,g,h,i,target\n" + "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows))
    figures, sklearn = numbers("rows", plain), installed("sklearn.ensemble")
    anchors = {}
    if sklearn:
        import numpy
        x = numpy.array(rows)
        x, y = x[:, :-1], x[:, -1]
        for name, model in (("rf", sklearn.RandomForestClassifier(300, random_state=1)), ("gb", sklearn.GradientBoostingClassifier(n_estimators=200, max_depth=4, random_state=1))):
            anchors[name] = took(lambda: model.fit(x, y)), 1e6 / len(x) * took(lambda: model.predict_proba(x))
    for name, fit, row in (("rf", .8, 5), ("gb", .4, .8)):
        more = {"ratio": round(figures[f"{name}.fit"] / anchors[name][0], 4), "against": "scikit-learn", "anchor_fit": round(anchors[name][0], 3),
                "anchor_row_us": round(anchors[name][1], 2)} if anchors else {}
        report(f"ml.{name}", figures[f"{name}.fit"], "s to fit", target=fit, row_us=round(figures[f"{name}.row"], 3), row_target=row, rows=len(rows), peak_mb=round(figures["trees.peak"], 1), **more)


def sarima_cost(ml: pathlib.Path, work: pathlib.Path):
    with gzip.open(ml / "load_hourly" / "tetouan_z1_kw.csv.gz", "rt") as file:
        values = [row[1] for row in csv.reader(file)][-672:]
    series = work / "series.txt"
    series.write_text("\n".join(values) + "\n")
    figures = numbers("sarima", series)
    more, statsmodels = {}, installed("statsmodels.api")
    if statsmodels:
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = statsmodels.tsa.SARIMAX([float(value) for value in values], order=(1, 0, 1), seasonal_order=(1, 1, 1, 24))
            began = time.monotonic()
            fitted = model.fit(disp=False)
            more = {"against": "statsmodels", "anchor_s": round(time.monotonic() - began, 2), "anchor_likelihood": round(fitted.llf, 3)}
            more["ratio"] = round(figures["sarima.fit"] / more["anchor_s"], 4)
    report("ml.sarima", figures["sarima.fit"], "s to fit", target=.5, log_likelihood=round(figures["sarima.likelihood"], 3), reference=-5362.127, within=.5,
           exact_start=round(figures["sarima.exact"], 3), peak_mb=round(figures["sarima.peak"], 1), peak_target=8, order="(1,0,1)(1,1,1)24", points=len(values), **more)


def main():
    costs()
    shared = pathlib.Path(os.environ.get("WATTD_DATA", "")) / "ml"
    if "WATTD_DATA" not in os.environ or not shared.is_dir():
        print("ml: WATTD_DATA names no directory with ml/ in it: accuracy is not measured", file=sys.stderr)
        return
    sys.path.insert(0, str(shared / "scorers"))
    data = shared / "data"
    with tempfile.TemporaryDirectory(prefix="wattd-ml-") as directory:
        work = pathlib.Path(directory)
        tree_costs(data, work)
        sarima_cost(data, work)
        survival(data, work)
        streams(data, work, "nab", 2.35, 60)
        streams(data, work, "meter_injected", 2.0, 60)
        tables(data, work)
        failures(data, work)
        forecasts(data, work)
