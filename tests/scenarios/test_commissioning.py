"""What a person does on the first afternoon: probing, scanning, reading through the daemon, and docs/commissioning.md, command by command."""
import json
import os
import pathlib
import re
import subprocess

import modbus_peer
from plant import BUILD, PROFILES, ROOT, Gateway, can_connect, free_port, wait_until

SAYS_NOTHING = {"eastron-sdm72d-m", "acrel-adw300"}  # no voltage or no frequency in what is verified


def wattctl(*arguments, check: bool = True) -> str:
    done = subprocess.run([BUILD / "wattctl", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout if check else done.stderr


def serve(plant, images: dict, framing: str = "tcp") -> int:
    """The images as units 1, 2, … of a server that is not ours."""
    port, file = free_port(), plant.directory / f"images-{framing}.json"
    file.write_text(json.dumps({unit: image.tables for unit, image in enumerate(images.values(), 1)}))
    plant.run(f"pymodbus-{framing}", ["/usr/bin/python3", modbus_peer.__file__, port, file, framing])
    wait_until(lambda: can_connect(port), 60, what="pymodbus answers")
    return port


def plain_images(shared) -> dict:
    paths = sorted(path for path in (shared / "meters").glob("*.csv") if path.stem != "_index" and not path.stem.startswith("sunspec"))
    return {path.stem: modbus_peer.Image(path, seed, as_in_a_plant=True) for seed, path in enumerate(paths)}


def test_a_scan_names_the_meters_that_answer(plant, shared):
    images = plain_images(shared)
    port = serve(plant, images)
    found = {unit["unit"]: [candidate["profile"] for candidate in unit["candidates"]] for unit in json.loads(
        wattctl("--json", "meter", "scan", "--tcp", f"127.0.0.1:{port}", "--units", f"1-{len(images)}", "--profiles", PROFILES))}
    ranks = {name: found[unit].index(name) if name in found[unit] else None for unit, name in enumerate(images, 1)}
    assert {name for name, rank in ranks.items() if rank is None} <= SAYS_NOTHING, ranks
    assert sum(rank == 0 for rank in ranks.values()) >= .8 * len(images), ranks


def test_a_probe_tells_the_framing(plant, shared):
    images = dict(list(plain_images(shared).items())[:2])
    for framing, name in (("tcp", "Modbus TCP"), ("rtu", "RTU over TCP")):
        port = serve(plant, images, framing)
        assert name in wattctl("meter", "probe", "--tcp", f"127.0.0.1:{port}")
    silent = wattctl("meter", "probe", "--tcp", "127.0.0.1:1", "--timeout", "100", check=False)
    assert "Connection refused" in silent


def test_a_line_of_the_daemon_is_read_through_it(plant):
    line = plant.directory / "line"
    plant.sim("modbus", "--profiles", PROFILES, "--pty", line, "--unit", 4)
    wait_until(line.is_symlink, what="the line is there")
    gateway = Gateway(plant, f'[[buses]]\nid = "line/1"\ndevice = "{line}"\n[[buses.meters]]\ndevice = "MAIN"\nunit = 4\nprofile = "eastron-sdm630"\n')
    gateway.wait_committed(2)
    found = json.loads(gateway.ctl("--json", "meter", "scan", "--bus", "line/1", "--units", "4", "--timeout", "200", "--profiles", PROFILES).stdout)
    assert [unit["unit"] for unit in found] == [4]
    assert "eastron-sdm630" in [candidate["profile"] for candidate in found[0]["candidates"]]
    rows = {row["measurand"]: row.get("value") for row in json.loads(
        gateway.ctl("--json", "meter", "read", "eastron-sdm630", "--bus", "line/1", "--unit", "4", "--profiles", PROFILES).stdout)}
    assert 80 < rows["voltage_l1_n"] < 300
    wrong = gateway.ctl("meter", "read", "eastron-sdm630", "--bus", "elsewhere", "--profiles", PROFILES, check=False)
    assert wrong.returncode == 1 and "there is no bus" in wrong.stderr
    status = gateway.status()["buses"][0]
    assert status["meters"][0]["failures"] == 0 and 0 < status["load"] <= 1


def test_every_command_of_the_commissioning_page_works(plant, tmp_path):
    port = free_port()
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--unit", 3)
    wait_until(lambda: can_connect(port), what="the meter answers")
    gateway = Gateway(plant, "", profiles=PROFILES)
    (gateway.directory / "conf.d").mkdir()
    # As on an installed gateway: sudo, systemctl and the paths of the package.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in (("sudo", 'exec "$@"'), ("systemctl", f"kill -HUP {gateway.process.pid}")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    page = (ROOT / "docs" / "commissioning.md").read_text()
    commands = [re.sub(r"^       ", "", block, flags=re.M).strip() for block in re.findall(r"(?:^       .*\n)+", page, flags=re.M)]
    assert 6 <= len(commands) < 10
    environment = {**os.environ, "PATH": f"{tools}:{BUILD}:{os.environ['PATH']}", "WATTD_SOCKET": str(gateway.socket)}
    said = []
    for command in commands:
        command = command.replace("192.0.2.10:502", f"127.0.0.1:{port}").replace("192.0.2.10", "127.0.0.1").replace("port = 502", f"port = {port}")
        command = command.replace("/etc/wattd", str(gateway.directory))
        command = re.sub(r"meter (scan|read)", rf"meter \1 --profiles {PROFILES}", command)
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said.append(done.stdout)
        if "systemctl" in command:
            gateway.wait_committed(2)
    probe, scan, read, _, _, _, status, tail, stored = said
    assert "Modbus TCP" in probe and "eastron-sdm630" in scan and "voltage_l1_n" in read
    assert "MAIN" in status and "% in use" in status
    assert tail.count("MAIN") == 3 and "power_total" in stored
    assert gateway.process.alive()
