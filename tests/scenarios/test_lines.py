"""Lines to meters, looked at and pulled out: traces that Wireshark reads, adapters that come back under another number."""
import json
import os
import re
import subprocess

from plant import PROFILES, Gateway, free_port, wait_until


def wireshark(*arguments) -> list:
    """What Wireshark says of a file, a line a packet."""
    done = subprocess.run(["tshark", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def meters(plant, tty, port: int) -> Gateway:
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--profile", "eastron-sdm120", "--unit", 7, name="tcp")
    plant.sim("modbus", "--profiles", PROFILES, "--pty", tty, "--profile", "eastron-sdm120", "--unit", 3, name="rtu")
    wait_until(lambda: os.path.lexists(tty), what="the line is there")
    return Gateway(plant, f'[[buses]]\nid = "lan"\nhost = "127.0.0.1"\nport = {port}\n[[buses.meters]]\ndevice = "T"\nunit = 7\nprofile = "eastron-sdm120"\n'
                          f'[[buses]]\nid = "line"\ndevice = "{tty}"\n[[buses.meters]]\ndevice = "R"\nunit = 3\nprofile = "eastron-sdm120"\n')


def test_what_passes_on_a_bus_is_seen_from_the_shell_and_in_wireshark(plant):
    gateway = meters(plant, plant.directory / "ttyM", free_port())
    gateway.wait_committed(4)
    for bus, unit in (("lan", 7), ("line", 3)):
        file = plant.directory / f"{bus}.pcap"
        seen = [json.loads(line) for line in gateway.ctl("--json", "bus", "trace", bus, "--seconds", 3, "--pcap", file).stdout.splitlines()]
        assert len(seen) >= 4 and {frame["sent"] for frame in seen} == {True, False}
        assert any(re.search(rf"unit {unit}: read \d+ input registers from \d+", frame["says"]) for frame in seen if frame["sent"])
        assert all("broken" not in frame["says"] and "checksum" not in frame["says"] and "no frame" not in frame["says"] for frame in seen)
        if bus == "lan":
            packets = wireshark("-r", file, "-T", "fields", "-e", "mbtcp.unit_id", "-e", "modbus.func_code", "-e", "_ws.malformed")
            assert packets == [f"{unit}\t4\t"] * len(seen)
        else:
            packets = wireshark("-r", file, "-d", "rtacser.data,mbrtu", "-T", "fields", "-e", "mbrtu.unit_id", "-e", "modbus.func_code", "-e", "mbrtu.crc16.status")
            assert len(packets) == len(seen) and {packet.split("\t")[0] for packet in packets} == {str(unit)}
    text = gateway.ctl("bus", "trace", "line", "--seconds", 2).stdout
    assert re.search(r"\d\d:\d\d:\d\d\.\d+Z -> unit 3: read \d+ input registers from \d+\n    03 04 ", text), text
    missing = gateway.ctl("bus", "trace", "nowhere", check=False)
    assert missing.returncode == 1 and 'there is no bus "nowhere"; wattctl status names them' in missing.stderr


def test_an_adapter_that_comes_back_under_another_number_is_found_by_its_id(plant):
    by_id, number = plant.directory / "by-id" / "usb-FTDI_RS485-if00-port0", iter(range(9))
    by_id.parent.mkdir()

    def plug():
        tty = plant.directory / f"ttyUSB{next(number)}"
        child = plant.sim("modbus", "--profiles", PROFILES, "--pty", tty, "--profile", "eastron-sdm120", "--unit", 3)
        wait_until(lambda: os.path.lexists(tty), what="the line is there")
        by_id.symlink_to(tty)
        return child

    adapter = plug()
    gateway = Gateway(plant, f'[[buses]]\nid = "line"\ndevice = "{by_id}"\n[[buses.meters]]\ndevice = "R"\nunit = 3\nprofile = "eastron-sdm120"\nfast = "200ms"\n')
    gateway.wait_committed(2)
    for _ in range(2):
        by_id.unlink()
        adapter.stop()
        wait_until(lambda: gateway.status()["buses"][0]["meters"][0]["last_error"], what="the loss is noticed")
        before = gateway.status()["pipeline"]["committed"]
        adapter = plug()
        wait_until(lambda: gateway.status()["pipeline"]["committed"] > before + 2, what="readings come again")
        wait_until(lambda: gateway.status()["buses"][0]["meters"][0]["last_error"] is None, what="it is well again")
