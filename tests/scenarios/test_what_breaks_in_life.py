"""Kills, power cuts, brokers and stores that go away, malformed input, bad configuration."""
import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest

from plant import BUILD, BULB, BULBS, ROOT, Broker, Gateway, free_port, mqtt_config, sink_config, wait_until
from stream import Stream, numbers_stored, readings_stored
from test_way_of_a_reading import publish


def whole_calls(path) -> list:
    """The calls in the order in which they ended, those that strace cut in two put together."""
    calls, begun = [], {}
    for line in path.read_text().splitlines():
        thread, _, call = line.split(maxsplit=2)
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif call.startswith("<..."):
            calls.append(begun.pop(thread, "") + call.split("resumed>", 1)[1])
        else:
            calls.append(call)
    return calls


def test_no_puback_leaves_before_its_fdatasync(plant, broker):
    calls = plant.directory / "wattd" / "calls"
    gateway = Gateway(plant, mqtt_config(broker), strace=[
        "strace", "-f", "-ttt", "-y", "-s", "64", "-e", "trace=write,send,sendto,fdatasync,fsync,recvfrom,read,recvmsg", "-o", calls])
    gateway.wait_connected()
    publish(broker.port, [("devices/A/telemetry", json.dumps({"n": n})) for n in range(300)])
    gateway.wait_committed(300)
    gateway.stop()
    # A PUBLISH at QoS 1 begins with a byte 0x32, read by itself; a PUBACK is 40 02 and the packet id. Between reading
    # the one and writing the other there has to be a completed fdatasync of the WAL.
    lines = whole_calls(gateway.directory / "calls")
    broker_socket = next(re.search(r"<(socket:\[\d+\])>", line)[1] for line in lines if re.match(r'(write|sendto)\(\d+<socket:\[\d+\]>,\s+"@\\2', line))
    unsynced = published = acknowledged = 0
    for line in lines:
        if broker_socket in line and re.match(r'(read|recvfrom)\(.*,\s+"2", 1', line):
            unsynced += 1
            published += 1
        elif "wattd.db-wal" in line and re.match(r"f(data)?sync\(", line):
            assert line.endswith("= 0"), line
            unsynced = 0
        elif broker_socket in line and re.match(r'(write|sendto)\(.*,\s+"@\\2', line):
            acknowledged += 1
            assert unsynced == 0, f"a PUBACK left before the sync of {unsynced} messages: {line}"
    assert published == acknowledged == 300


def test_a_broker_that_restarts_is_found_again_and_nothing_is_lost(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker))
    gateway.wait_connected()
    publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n})) for n in range(100)])
    broker.stop()
    wait_until(lambda: any(not link["connected"] for link in gateway.status()["mqtt"]), what="the loss is noticed")
    broker.start()
    # The session is persistent: what comes before the gateway is back waits in the broker.
    publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n})) for n in range(100, 200)])
    gateway.wait_connected()
    wait_until(lambda: len(numbers_stored(gateway)) >= 200, what="everything is stored")
    assert sorted(numbers_stored(gateway)) == list(range(200))


def test_upstream_down_slow_and_back_gets_everything_once(plant, broker, upstream):
    gateway = Gateway(plant, BULBS + mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 50, "--interval", 0.1, "--count", 10)
    gateway.wait_committed(500)
    gateway.wait_shipped()
    upstream.stop()
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 50, "--interval", 0.1, "--count", 20)
    gateway.wait_committed(1500)
    wait_until(lambda: gateway.status()["sinks"][0]["last_error"], what="the outage is seen")
    assert gateway.ctl("doctor", check=False).returncode == 1
    gateway.stop()   # an outage outlives a restart
    gateway.start()
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 50, "--interval", 0.1, "--count", 10, "--seed", 9)
    gateway.wait_committed(500)
    upstream.start()
    gateway.wait_shipped()
    assert upstream.count() == gateway.local_samples() == 2000 * 4


def test_an_upstream_that_stalls_does_not_hold_up_readings(plant, broker):
    with socket.socket() as stalled:
        stalled.bind(("127.0.0.1", 0))
        stalled.listen(64)
        gateway = Gateway(plant, mqtt_config(broker) + f'[[sinks]]\nid = "s"\nurl = "http://127.0.0.1:{stalled.getsockname()[1]}"\ntimeout = "2s"\n')
        gateway.wait_connected()
        publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n})) for n in range(2000)])
        gateway.wait_committed(2000, 20)
        wait_until(lambda: "imed out" in (gateway.status()["sinks"][0]["last_error"] or ""), what="the stall is named")
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 10


def test_malformed_input_is_kept_and_replayed_once_the_schema_is_mended(plant, broker):
    gateway = Gateway(plant, BULB + mqtt_config(broker))
    gateway.wait_connected()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    good = {"device_id": "D1", "timestamp": stamp, "voltage": 260, "current": 0.85, "power": 195.9, "temperature": 45}
    raw = b'{"device_id":"D1", \x00\xff'
    publish(broker.port, [("devices/D1/telemetry", json.dumps(good)), ("devices/D1/telemetry", raw), ("devices/D1/telemetry", b"")])
    wait_until(lambda: gateway.status()["pipeline"]["rejected"] == 3, what="all three are refused")
    letters = {letter["reason"]: letter for letter in gateway.ctl_json("dead-letters", "list")["items"]}
    assert letters["validation_error"]["detail"] == "voltage is 260; expected 200 to 250 V"
    letter = letters["validation_error"]["id"]
    assert json.loads(gateway.ctl_json("dead-letters", "show", letter)["payload"]) == good
    refused = gateway.ctl("dead-letters", "replay", letter, check=False)
    assert refused.returncode == 1 and "refused again" in refused.stderr
    gateway.write_config(BULB + mqtt_config(broker) + "[schemas.bulb]\nversion = \"v2\"\n[schemas.bulb.fields.voltage]\nmax = 300\nrequired = true\n")
    gateway.process.child.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration was read again" in gateway.process.text(), what="it has reloaded")
    assert "1 replayed" in gateway.ctl("dead-letters", "replay", letter).stdout
    item = gateway.get("/api/v1/data/telemetry/D1?start_time=2020-01-01T00:00:00Z")["data"]["items"][0]
    assert item["timestamp"] == stamp and item["voltage"] == 260 and item["schema_version"] == "v2"
    again = gateway.ctl("dead-letters", "replay", letter, check=False)
    assert again.returncode == 1 and "replayed already" in again.stderr
    assert gateway.local_samples() == 4


def test_a_bad_configuration_exits_with_6_and_says_where(plant):
    gateway = Gateway(plant, '[[buses]]\nid = "b"\ndevice = "/dev/ttyS0"\nbaud = 9601\n', ready=False)
    expected = f"{gateway.path}:4:8: buses[0].baud is 9601; expected one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200\n"
    for arguments in (["--check-config"], []):
        done = subprocess.run([BUILD / "wattd", "--config", gateway.path, *arguments], capture_output=True, text=True)
        assert done.returncode == 6
        assert done.stderr == expected
    checked = gateway.ctl("check-config", "--config", gateway.path, check=False)
    assert checked.returncode == 6 and checked.stderr == expected
    for config, complaint in {
            '[[mqtt]]\ntls = { ca_file = "/nowhere/ca.pem" }\n': "mqtt[0].tls.ca_file is '/nowhere/ca.pem'; expected a file that can be read",
            '[[mqtt]]\ntopics = ["a/#/b"]\n': '"a/#/b" is not a topic filter',
            '[[rules]]\nname = "x"\nproperty = "p"\nthreshold = 1\ndevices = []\n': "expected at least one; leave it out for all",
            '[[sinks]]\nid = "s"\nurl = "ftp://x"\n': "expected http://",
            '[pipeline]\ncommit_interval = "2h"\n': "expected a duration from 5ms to 1min",
    }.items():
        gateway.write_config(config)
        done = subprocess.run([BUILD / "wattd", "--config", gateway.path, "--check-config"], capture_output=True, text=True)
        assert done.returncode == 6 and complaint in done.stderr, done.stderr
    gateway.write_config('[[mqtt]]\nprot = 1883\n')
    done = subprocess.run([BUILD / "wattd", "--config", gateway.path, "--check-config"], capture_output=True, text=True)
    assert done.returncode == 6 and f"{gateway.path}:2:1: mqtt[0].prot is not a key known here" in done.stderr


def test_a_reload_takes_over_the_new_or_keeps_the_old(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker))
    gateway.wait_connected()
    gateway.write_config("[[mqtt]]\nport = \"x\"\n")
    gateway.process.child.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old configuration stays" in gateway.process.text(), what="it refuses")
    publish(broker.port, [("devices/N/telemetry", '{"n": 1}')])
    gateway.wait_committed(1)
    gateway.write_config('[[mqtt]]\ntopics = ["plant/+/data"]\nport = %d\n' % broker.port + BULB)
    gateway.process.child.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration was read again" in gateway.process.text(), what="it takes the new one over")
    gateway.wait_connected()
    wait_until(lambda: any(d["device_id"] == "D1" for d in gateway.ctl_json("devices")), what="D1 is there")
    publish(broker.port, [("plant/P/data", '{"n": 2}')])
    gateway.wait_committed(2)
    assert gateway.get("/api/v1/data/telemetry/P")["data"]["items"][0]["n"] == 2


def test_a_gateway_with_nothing_configured_starts_and_says_what_is_missing(plant):
    gateway = Gateway(plant, "")
    missing = gateway.status()["missing"]
    assert any("[[mqtt]]" in text for text in missing) and any("[[sinks]]" in text for text in missing)
    assert "missing    No source is configured" in gateway.ctl("status").stdout
    assert gateway.get("/ready")["ready"] is True
    assert gateway.stop() == 0
    identity = (gateway.directory / "data" / "gateway-id").read_text()
    gateway.start()
    assert gateway.status()["gateway_id"] == identity.strip()


def test_systemd_is_told_of_readiness_life_reload_and_end(plant):
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(plant.directory / "notify"))
        listener.settimeout(0.1)
        gateway = Gateway(plant, "", ready=False)
        gateway.start({"NOTIFY_SOCKET": str(plant.directory / "notify"), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": ""})

        def heard(text: str) -> bool:
            try:
                told.append(listener.recv(4096).decode())
            except TimeoutError:
                pass
            return any(text in line for line in told)

        wait_until(lambda: heard("READY=1"), what="READY")
        wait_until(lambda: heard("STATUS="), what="STATUS")
        gateway.process.child.send_signal(signal.SIGHUP)
        wait_until(lambda: heard("RELOADING=1"), what="RELOADING")
        assert gateway.stop() == 0
        wait_until(lambda: heard("STOPPING=1"), what="STOPPING")


def test_a_sigterm_commits_and_acknowledges_what_is_in_hand(plant, broker):
    # An interval so long that only the drain can have committed.
    gateway = Gateway(plant, mqtt_config(broker, 1000) + '[pipeline]\ncommit_interval = "60s"\n')
    gateway.wait_connected()
    publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n})) for n in range(9)])
    wait_until(lambda: gateway.status()["pipeline"]["received"] == 9, what="all are in hand")
    assert gateway.status()["pipeline"]["committed"] == 0
    assert gateway.stop() == 0
    gateway.start()
    gateway.wait_connected()
    time.sleep(0.5)
    assert gateway.status()["pipeline"]["redelivered"] == 0, "they were acknowledged at the stop"
    assert numbers_stored(gateway) == list(range(9))


def test_a_hundred_devices_at_once_and_one_that_lies(plant, broker):
    gateway = Gateway(plant, BULBS + mqtt_config(broker))
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 100, "--interval", 1, "--count", 3, "--fault", "malformed=0.1",
                   "--fault", "clock_skew=0.1", "--fault", "dropout=0.05", "--seed", 3)
    status = wait_until(lambda: (s := gateway.status())["pipeline"]["backlog"] == 0 and s["pipeline"]["received"] > 250 and s, what="all is done")
    counts = status["pipeline"]
    assert counts["received"] == counts["committed"] + counts["rejected"]
    reasons = collections.Counter(letter["reason"] for letter in gateway.ctl_json("dead-letters", "list", "--limit", 1000)["items"])
    assert reasons["parse_error"] > 10 and reasons["timestamp_error"] > 10


def test_a_meter_that_dies_is_named_and_the_other_goes_on(plant):
    ports = [free_port(), free_port()]
    meters = [plant.sim("modbus", "--profiles", ROOT / "etc" / "profiles", "--port", port, "--profile", "eastron-sdm120", name=f"m{i}")
              for i, port in enumerate(ports)]
    gateway = Gateway(plant, "".join(f'[[buses]]\nid = "b{i}"\nhost = "127.0.0.1"\nport = {port}\ntimeout = "200ms"\n[[buses.meters]]\ndevice = "M{i}"\n'
                                     f'fast = "200ms"\nprofile = "eastron-sdm120"\n' for i, port in enumerate(ports)))
    gateway.wait_committed(6)
    meters[0].stop()

    def state():
        return [meter["last_error"] for bus in gateway.status()["buses"] for meter in bus["meters"]]

    wait_until(lambda: state()[0] and not state()[1], what="the dead one is named")
    done = gateway.ctl("doctor", check=False)
    assert done.returncode == 1 and "check power, wiring" in done.stdout
    before = gateway.status()["buses"][1]["meters"][0]["polls"]
    wait_until(lambda: gateway.status()["buses"][1]["meters"][0]["polls"] > before + 5, what="the other goes on")
    plant.sim("modbus", "--profiles", ROOT / "etc" / "profiles", "--port", ports[0], "--profile", "eastron-sdm120", name="back")
    wait_until(lambda: not state()[0], what="it comes back by itself")


def test_a_second_gateway_is_kept_out_of_the_data_directory(plant):
    gateway = Gateway(plant, "")
    second = plant.directory / "second.toml"
    second.write_text(gateway.path.read_text().replace(f"port = {gateway.port}", "port = 0"))
    done = subprocess.run([BUILD / "wattd", "--config", second], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "another wattd uses" in done.stderr
    assert gateway.ctl("status").returncode == 0, "the first one still has its socket"


def test_a_full_disk_acknowledges_nothing_and_heals_by_itself(plant, broker):
    directory = plant.directory / "wattd" / "data"
    gateway = Gateway(plant, mqtt_config(broker), ready=False)
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory], capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        gateway.start()
        gateway.wait_connected()
        publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n})) for n in range(10)])
        gateway.wait_committed(10)
        filler = directory / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        publish(broker.port, [("devices/N/telemetry", json.dumps({"n": n, "text": "t" * 200})) for n in range(10, 510)])
        problem = wait_until(lambda: gateway.status()["pipeline"]["commit_problem"], what="the full disk is seen")
        assert "full" in problem or "I/O" in problem
        assert "NOT COMMITTING" in gateway.ctl("status").stdout
        assert gateway.get("/api/v1/status")["data"]["pipeline"]["committed"] < 510
        gateway.kill()
        filler.unlink()
        gateway.start()
        wait_until(lambda: len(set(numbers_stored(gateway))) == 510, what="everything is stored")
        assert sorted(numbers_stored(gateway)) == list(range(510))
    finally:
        gateway.kill()
        subprocess.run(["umount", directory], check=True)
