"""Parquet files in an object store: large ones go in parts, they can be read by others, and a wrong key is told."""
import json
import time

import parquet
from object_store import ACCESS, SECRET, ObjectStore
from plant import BUILD, Gateway, mqtt_config, wait_until
from test_way_of_a_reading import publish


def sink(store, more: str = "", secret: str = SECRET) -> str:
    return (f'[[sinks]]\nid = "up"\nkind = "s3"\nurl = "http://127.0.0.1:{store.port}/{store.bucket}"\naccess_key = "{ACCESS}"\n'
            f'secret_key = "{secret}"\nexport_every = "1s"\n{more}')


def test_a_large_hour_goes_in_parts_and_every_value_is_what_it_was(plant, broker):
    store = ObjectStore(plant)
    try:
        key = 'key = "telemetry/gateway={gateway}/device={device}/day={date}/{hour}.parquet"\npart_size = "6MB"\n'
        gateway = Gateway(plant, '[[devices]]\nid = "D1"\ntype = "press"\nlocation = "Hall 1"\n' + mqtt_config(broker, 1000) + sink(store, key))
        gateway.wait_connected()
        identity = gateway.status()["gateway_id"]
        hour = (int(time.time()) // 3600 - 5) * 3600
        sent = {}
        for number in range(1200):
            # Texts that nothing makes small, so that the file has more than one part.
            text = "".join(f"{(number * 2654435761 + i * 40503) * 2246822519 % 2 ** 64:016x}" for i in range(600))
            fields = {"power": number / 3, "count": number, "on": number % 3 == 0, "text": text, "mixed": number if number % 2 else "odd"}
            if number % 5 == 0:
                fields["seldom"] = float(number)
            sent[(hour + number * 3 - (number == 0) * 0) * 1_000_000] = fields
        publish(broker.port, [("devices/D1/telemetry", json.dumps({"timestamp": at // 1_000_000, **fields})) for at, fields in sent.items()])
        gateway.wait_committed(len(sent))

        def whole() -> bool:
            keys = store.keys()
            return len(keys) == 1 and len(parquet.read(store.get(keys[0]))[0]) == len(sent)
        wait_until(whole, 60, every=1, what="the file is whole")
        [name] = store.keys()
        assert name == f"telemetry/gateway={identity}/device=D1/day={time.strftime('%Y%m%d/%H', time.gmtime(hour))}.parquet"
        file = store.get(name)
        assert len(file) > 6_000_000, "in more than one part"
        rows, metadata = parquet.read(file)
        assert metadata == {"gateway": identity}
        for row in rows:
            fields = sent[row["timestamp"]]
            assert (row["device_id"], row["device_type"], row["location"], row["quality"]) == ("D1", "press", "Hall 1", 0)
            assert {name: row[name] for name in row if name not in ("timestamp", "device_id", "device_type", "location", "quality")} == \
                {**fields, "count": float(fields["count"]), "mixed": str(fields["mixed"])}
        # What is sent again is the same file.
        assert gateway.ctl_json("sync", "backfill", "up", "--from", "8h")["sent_readings"] == len(sent)
        assert store.keys() == [name] and parquet.read(store.get(name))[0] == rows
    finally:
        store.close()


def test_sending_again_while_readings_come_leaves_whole_hours(plant, broker):
    store = ObjectStore(plant)
    try:
        gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store))
        gateway.wait_connected()
        hour = (int(time.time()) // 3600 - 2) * 3600
        def reading(at: float) -> tuple:
            return "devices/D1/telemetry", json.dumps({"timestamp": at, "power": at % 1000})
        publish(broker.port, [reading(hour + number) for number in range(1000)])
        gateway.wait_committed(1000)
        job = gateway.plant.run("backfill", [BUILD / "wattctl", "--socket", gateway.socket, "sync", "backfill", "up", "--from", "5h"])
        said = 1000
        while job.alive():
            publish(broker.port, [reading(hour + said), reading(time.time())])
            said += 1
        assert "readings sent" in job.text()
        gateway.wait_committed(1000 + 2 * (said - 1000))

        def whole() -> bool:
            rows = [len(parquet.read(store.get(key))[0]) for key in store.keys()]
            return len(rows) >= 2 and max(rows) == said and sum(rows) == said + (said - 1000)
        wait_until(whole, 30, every=.5, what="every hour is whole")
    finally:
        store.close()


def test_a_wrong_key_is_told_and_nothing_is_lost(plant, broker):
    store = ObjectStore(plant)
    try:
        gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, secret="falsch"))
        gateway.wait_connected()
        publish(broker.port, [("devices/D1/telemetry", json.dumps({"power": 1.5}))])
        wait_until(lambda: "SignatureDoesNotMatch" in (gateway.status()["sinks"][0]["last_error"] or ""), what="it is told")
        tested = gateway.ctl("sync", "test", "up", check=False)
        assert tested.returncode == 1 and "SignatureDoesNotMatch" in tested.stderr
        gateway.stop()
        gateway.write_config(mqtt_config(broker, 1000) + sink(store))
        gateway.start()
        wait_until(lambda: len(store.keys()) == 1, 30, what="it has arrived")
        assert parquet.read(store.get(store.keys()[0]))[0][0]["power"] == 1.5
        assert gateway.ctl_json("dead-letters", "list")["items"] == []
    finally:
        store.close()
