#!/usr/bin/python3
"""Runs every test of the project and closes with one line: N passed, N failed, N skipped.

Steps; names on the command line pick some of them, anything else picks scenarios by pytest's -k:
  layering   rooms include only what stands on lower floors
  unit       the unit tests, in a release-like build
  asan       the same under AddressSanitizer and UndefinedBehaviorSanitizer
  tsan       the same under ThreadSanitizer
  fuzz       each libFuzzer target for a short time
  scenarios  the real daemon with real servers
  package    the Debian packages: built, linted, installed, purged
"""
import json
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "results"
FUZZ_SECONDS = int(os.environ.get("WATTD_FUZZ_SECONDS", "5"))
passed = failed = skipped = 0


def count(ok: bool, name: str, text: str = ""):
    global passed, failed
    passed, failed = passed + ok, failed + (not ok)
    if not ok:
        print(f"FAILED {name}\n{text}", flush=True)


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def build(preset: str) -> bool:
    done = run("./dev", "build", preset)
    if done.returncode != 0:
        count(False, f"build {preset}", done.stdout[-6000:])
    return done.returncode == 0


def layering():
    done = run("/usr/bin/python3", "tests/layering.py", ROOT)
    count(done.returncode == 0, "layering", done.stdout)


def unit_tests(preset: str, env: dict | None = None):
    if not build(preset):
        return
    report = RESULTS / f"{preset}.json"
    done = run(ROOT / "build" / preset / "tests" / "unit_tests", f"--gtest_output=json:{report}", env={**os.environ, **(env or {})})
    if not report.exists():
        return count(False, f"unit tests ({preset})", done.stdout[-6000:])
    for suite in json.loads(report.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            failures = "\n".join(failure["failure"] for failure in test.get("failures", []))
            count(not failures, f"{preset} {suite['name']}.{test['name']}", failures)
    if done.returncode != 0 and "FAILED TESTS" not in done.stdout and "FAILED TEST" not in done.stdout:
        count(False, f"unit tests ({preset}) ended with {done.returncode}", done.stdout[-6000:])


def unit():
    unit_tests("dev")


# Sanitizers are slow: fewer power cuts, each of which is looked at more closely.
def asan():
    unit_tests("asan", {"WATTD_CRASHES": "10", "UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=1"})


def tsan():
    unit_tests("tsan", {"WATTD_CRASHES": "5", "TSAN_OPTIONS": "halt_on_error=1"})


def fuzz():
    if not build("asan"):
        return
    for target in sorted((ROOT / "build" / "asan" / "tests").glob("fuzz_*")):
        corpus = RESULTS / f"{target.name}.corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "tests" / "fuzz" / "seeds" / target.name.removeprefix("fuzz_")
        done = run(target, corpus, *([seeds] if seeds.is_dir() else []), f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=1024",
                   "-malloc_limit_mb=600", f"-artifact_prefix={RESULTS}/", "-seed=1")
        count(done.returncode == 0, target.name, done.stdout[-6000:])


def pytest(where: str, *options: str):
    global passed, failed, skipped
    report = RESULTS / "pytest.xml"
    report.unlink(missing_ok=True)
    done = run("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", where, f"--junitxml={report}", *options)
    if not report.exists():
        return count(False, where, done.stdout[-6000:])
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        problems = [child for child in case if child.tag in ("failure", "error")]
        if problems:
            count(False, f"{case.get('classname')}.{case.get('name')}", (problems[0].text or "")[-4000:])
        elif case.find("skipped") is not None:
            skipped += 1
            print(f"skipped {case.get('name')}: {case.find('skipped').get('message')}", flush=True)
        else:
            passed += 1


def scenarios():
    if build("dev"):
        pytest("tests/scenarios", "-n", "3")  # they wait more than they work


def package():
    pytest("tests/package")


STEPS = {"layering": layering, "unit": unit, "scenarios": scenarios, "asan": asan, "tsan": tsan, "fuzz": fuzz, "package": package}


def main(names: list) -> int:
    RESULTS.mkdir(parents=True, exist_ok=True)
    if names and not set(names) <= set(STEPS):
        if build("dev"):
            pytest("tests/scenarios", "-k", " or ".join(names))
    else:
        for name in names or STEPS:
            began = time.monotonic()
            STEPS[name]()
            print(f"{name}: {time.monotonic() - began:.0f} s, so far {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
