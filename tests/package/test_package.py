"""The Debian packages: built from a clean copy, linted, installed into this machine and purged again."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INSTALLED_LIMIT = 6_000_000


def run(*command, check=True, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="session")
def packages():
    """Both packages, built and without an error by lintian (./dev deb runs it and fails otherwise)."""
    run(ROOT / "dev", "deb", cwd=ROOT)
    return [path for path in sorted((ROOT / "dist").glob("*.deb")) if "dbgsym" not in path.name]


def wattd_of(packages) -> pathlib.Path:
    return next(path for path in packages if path.name.startswith("wattd_"))


def test_the_package_holds_what_it_promises_and_is_small(packages):
    listing = run("dpkg-deb", "-c", wattd_of(packages)).stdout
    for path in ("/usr/sbin/wattd", "/usr/bin/wattctl", "/usr/share/wattd/models/motor-failure.wml", "/usr/share/wattd/profiles/eastron-sdm630.toml", "/etc/wattd/wattd.toml",
                 "/lib/systemd/system/wattd.service", "/usr/lib/sysusers.d/wattd.conf", "/usr/lib/tmpfiles.d/wattd.conf",
                 "/usr/share/man/man8/wattd.8.gz", "/usr/share/man/man1/wattctl.1.gz", "/usr/share/bash-completion/completions/wattctl"):
        assert f".{path}\n" in listing, path
    sizes = [int(line.split()[2]) for line in listing.splitlines()]
    assert sum(sizes) <= INSTALLED_LIMIT
    assert "/etc/wattd/wattd.toml" in run("dpkg-deb", "-I", wattd_of(packages), "conffiles").stdout


def test_the_unit_is_valid_and_hardened(packages, tmp_path):
    run("dpkg-deb", "-x", wattd_of(packages), tmp_path)
    unit = tmp_path / "lib/systemd/system/wattd.service"
    exposure = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit, check=False)
    assert exposure.returncode == 0, exposure.stdout[-300:]


@pytest.mark.skipif(os.geteuid() != 0, reason="installing needs root")
def test_install_start_and_purge_are_clean(packages, tmp_path):
    assert not shutil.which("wattd") and not pathlib.Path("/etc/wattd").exists(), "wattd is installed here already"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        run("apt-get", "install", "-y", "--no-install-recommends", *packages, env=environment)
        assert "u wattd" in pathlib.Path("/usr/lib/sysusers.d/wattd.conf").read_text()
        assert run("getent", "passwd", "wattd").stdout
        assert run("stat", "-c", "%U %a", "/var/lib/wattd").stdout == "wattd 750\n"
        assert run("stat", "-c", "%G %a", "/etc/wattd/wattd.toml").stdout == "wattd 640\n"
        assert "good" in run("wattctl", "check-config").stdout
        assert "fit" in run("wattml", "--help").stdout
        assert "eastron-sdm120" in run("wattctl", "meter", "profiles").stdout
        run("mandb", "-q", check=False)
        assert "wattctl" in run("man", "-w", "wattctl", check=False).stdout or not shutil.which("man")
        words = run("bash", "-c", "source /usr/share/bash-completion/completions/wattctl; COMP_WORDS=(wattctl d); COMP_CWORD=1; _wattctl; echo ${COMPREPLY[*]}").stdout
        assert sorted(words.split()) == ["db", "dead-letters", "devices", "diagnostics", "doctor"]
        # As the unit would, with its user, but on a port of the test's own.
        config = tmp_path / "wattd.toml"
        config.write_text(f'[storage]\ndirectory = "/var/lib/wattd"\n[api]\nsocket = "/var/lib/wattd/test.sock"\nport = 0\n')
        for folder in [tmp_path, *tmp_path.parents]:
            if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
                folder.chmod(0o755)
        daemon = subprocess.Popen(["setpriv", "--reuid", "wattd", "--regid", "wattd", "--clear-groups", "/usr/sbin/wattd", "--config", str(config)])
        try:
            for _ in range(100):
                status = run("wattctl", "--socket", "/var/lib/wattd/test.sock", "status", check=False)
                if status.returncode == 0:
                    break
                subprocess.run(["sleep", "0.1"])
            assert "No source is configured" in status.stdout, status.stderr
        finally:
            daemon.terminate()
            assert daemon.wait(20) == 0
    finally:
        run("apt-get", "purge", "-y", "wattd", "wattml", "wattsim", env=environment, check=False)
    for path in ("/etc/wattd", "/var/lib/wattd", "/usr/share/wattd", "/usr/sbin/wattd"):
        assert not pathlib.Path(path).exists(), f"{path} is left behind"
