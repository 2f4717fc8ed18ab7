"""Holds what the gateway said within the guest against what its lines did."""
import calendar
import json
import pathlib
import re
import time

failures: list = []


def check(name: str, holds, detail=""):
    if not holds:
        failures.append(name)
    print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}")


class Guest:
    """What the guest wrote. Times are of its monotonic clock, in seconds."""

    def __init__(self, directory):
        self.r = pathlib.Path(directory)
        mono, real = map(int, (self.r / "first.shot").read_text().split())
        self.offset = (real - mono) / 1e9

    def at(self, name):
        return int((self.r / name).read_text().split()[0]) / 1e9

    def text(self, name):
        path = self.r / name
        return path.read_text().strip() if path.exists() else ""

    def items(self, shot, device):
        path = self.r / f"{shot}.{device}.json"
        items = json.loads(path.read_text() or "{}").get("items", []) if path.exists() else []
        for item in items:
            stamp = re.match(r"(.*T[\d:]+)(\.\d+)?Z$", item["timestamp"])
            whole = calendar.timegm(time.strptime(stamp[1], "%Y-%m-%dT%H:%M:%S"))
            item["at"] = whole + float(stamp[2] or 0) - self.offset
        return items

    def last(self, shot, device="S0", field="pulses"):
        return next((i[field] for i in reversed(self.items(shot, device)) if field in i), None)

    def edges(self, device):
        return [(int(t) / 1e9, state == "1") for t, state in map(str.split, self.text(f"{device}.log").splitlines())]

    def pulses(self, begin, end, device="S0", hold=0.020):
        """When pulses began that had lasted `hold` by `end`, by what the line did."""
        state, since, begun = False, None, []
        for at, active in self.edges(device) + [(end, None)]:
            if at > end:
                at, active = end, None
            if since is not None and at - since >= hold:
                state = not state
                if state and since > begin:
                    begun.append(since)
                since = None
            if active is None:
                break
            if at <= begin:
                state, since = active, None
            elif active == state:
                since = None
            elif since is None:
                since = at
        return begun

    def counted(self, begin, end, device="S0"):
        """The fewest and the most that can be right: the guest may be held up around the 20 ms."""
        return len(self.pulses(begin, end, device, 0.026)), len(self.pulses(begin, end, device, 0.014))

    def alerts(self, shot, rule):
        try:
            found = json.loads(self.text(f"{shot}.alerts.json"))
        except ValueError:
            return []
        found = found.get("items", []) if isinstance(found, dict) else found
        return [a for a in found if f"Alert: {rule} -" in a["message"] or f": {rule} " in a["message"]]


def judge(directory) -> int:
    g = Guest(directory)
    # Counting without trouble.
    begin = g.at("first.held")
    fewest, most = g.counted(begin, g.at("plain.shot"))
    check("S0 counts every pulse", fewest <= g.last("plain") <= most and most == 30, f"{g.last('plain')} of {fewest}..{most}")
    fewest, most = g.counted(begin, g.at("plain.shot"), "WATER")
    check("WATER, active low with pull-up, counts every pulse", fewest <= g.last("plain", "WATER") <= most and most == 20,
          f"{g.last('plain', 'WATER')} of {fewest}..{most}")
    final = g.items("unplug", "S0")
    wrong = [i for i in final if abs(i["energy_import_total"] - (123.5 + i["pulses"] / 1000)) > 1e-6]
    check("energy is start + pulses / constant in every reading", final and not wrong, f"{len(final)} readings, last {final[-1]['energy_import_total']} kWh")
    water = g.items("plain", "WATER")
    check("volume is pulses / constant", all(abs(i["volume_total"] - i["pulses"] / 100) < 1e-6 for i in water), water[-1].get("volume_total"))
    check("no power of water", not any("power_total" in i for i in water))
    late, early = 0, 0
    for item in g.items("plain", "S0"):
        late = max(late, len(g.pulses(begin, item["at"] - 0.05, hold=0.026)) - item["pulses"])
        early = max(early, item["pulses"] - len(g.pulses(begin, item["at"] + 0.001, hold=0.014)))
    check("each reading holds all pulses until its stamp, 50 ms aside, and none after it", late <= 0 and early <= 0, f"{late} behind, {early} ahead")

    begun = g.pulses(begin, g.at("plain.shot"))
    apart = [b - a for a, b in zip(begun, begun[1:])]
    told = [i["power_total"] for i in g.items("plain", "S0") if "power_total" in i and begun[1] <= i["at"] <= begun[-1] + 0.1]
    low, high = 3600 / max(apart), 3600 / min(apart)
    check("power from the distance of pulses within 3 %", len(told) > 5 and all(low * .97 <= p <= high * 1.03 for p in told),
          f"{len(told)} readings {min(told, default=0)}..{max(told, default=0)} W; pulses say {low:.0f}..{high:.0f} W")
    after = [i for i in g.items("decayed", "S0") if i["at"] > begun[-1] + 1 and "power_total" in i]
    check("power falls while no pulse comes", after and all(abs(i["power_total"] * (i["at"] - begun[-1]) / 3600 - 1) < .03 for i in after),
          [(round(i["at"] - begun[-1], 1), i["power_total"]) for i in after])
    idle = [i["at"] for i in g.items("decayed", "S0") if i["at"] > begun[-1]]
    check("a counter that stands still is told of every period of 5 s (2 s for the commit)", idle and max(b - a for a, b in zip(idle, idle[1:] + [g.at("decayed.shot")])) < 7,
          f"told of at {[round(t, 1) for t in idle]}, looked at {g.at('decayed.shot'):.1f}")
    check("relay of a severity, active low, follows power", [g.text(f"{n}.relays").split()[1] for n in ("first", "power_on", "power_off")] == ["1", "0", "1"])

    fewest, most = g.counted(g.at("decayed.shot"), g.at("bounces.shot"))
    check("bounces (20 edges at each side) and spikes of 3 ms count once and not", fewest <= g.last("bounces") - g.last("decayed") <= most,
          f"{g.last('bounces') - g.last('decayed')} of {fewest}..{most}, {sum(1 for t, _ in g.edges('S0') if g.at('decayed.shot') < t < g.at('bounces.shot'))} edges")

    # kill -9: the commit interval is 1 s.
    before = "bounces"
    for k in (1, 2, 3):
        base, killed = g.last(before), g.at(f"kill{k}.killed")
        sent = g.pulses(g.at(f"{before}.shot"), killed)
        # A pulse is counted 20 ms after it began, at the earliest; what waits for a commit is committed within 1 s.
        sure = g.pulses(g.at(f"{before}.shot"), killed - 1.25, hold=0.026)
        items = [i for i in g.items(f"kill{k}", "S0") if i["at"] > g.at(f"kill{k}.started")]
        stored = [i for i in g.items(f"kill{k}", "S0") if i["at"] < killed][-1]["pulses"]
        recalled = items[0]["pulses"] if items else None
        check(f"kill {k}: no more lost than the pulses of the last 1.25 s", recalled is not None and base + len(sure) <= recalled <= base + len(sent),
              f"{base} + {len(sent)} before it, {recalled} recalled: {base + len(sent) - (recalled or 0)} lost, the bound {len(sent) - len(sure)}")
        check(f"kill {k}: it goes on from what was stored", recalled == stored == g.last(f"kill{k}"), f"{stored} stored, {g.last(f'kill{k}')} told")
        fewest, most = g.counted(g.at(f"kill{k}.held"), g.at(f"after_kill{k}.shot"))
        total = g.last(f"after_kill{k}")
        check(f"kill {k}: exact afterwards", fewest <= total - recalled <= most and most == 7, f"{recalled} + {total - recalled} of {fewest}..{most}")
        before = f"after_kill{k}"

    fewest, most = g.counted(g.at("unseen.held"), g.at("unseen.shot"))
    check("a pulse that began while nobody looked is not counted", fewest <= g.last("unseen") - g.last(before) <= most and most == 3, f"{g.last('unseen') - g.last(before)} of {most}")
    sent = len(g.pulses(g.at("unseen.shot"), g.at("term.killed")))
    check("SIGTERM loses none", g.last("term") - g.last("unseen") == sent == 5, f"{g.last('term') - g.last('unseen')} of {sent}")

    # Inputs.
    held = g.at("term.held")
    door = [i["state"] for i in g.items("inputs", "DOOR") if i["at"] > held - 1.5]
    fuse = [i["tripped"] for i in g.items("inputs", "FUSE") if i["at"] > held - 1.5]
    check("an input tells its state at a start and each change", door[-3:] == [False, True, False], door)
    check("an input that is active low, spikes aside", fuse[-3:] == [False, True, False], fuse)
    opened = [t for t, s in g.edges("DOOR") if s][0]
    told = next(i["at"] for i in g.items("inputs", "DOOR") if i["state"] and i["at"] > opened)
    check("a change is told of when it has held", 0.02 <= told - opened < 0.25, f"after {1000 * (told - opened):.0f} ms")
    check("a rule on an input's state raises an alert and its relay", g.text("door_open.relays").split()[2] == "1" and g.alerts("door_open", "Door"),
          f"lamp {g.text('door_open.relays').split()[2]}, alerts {len(g.alerts('door_open', 'Door'))}")

    # Relays.
    horn = {n: g.text(f"{n}.relays").split()[0] for n in ("quiet", "horn_on", "dead", "again", "stands", "horn_off")}
    check("relay of a channel is on while the alert stands", (horn["quiet"], horn["horn_on"], horn["horn_off"]) == ("0", "1", "0"), horn)
    second = g.pulses(g.at("quiet.shot"), g.at("relay.killed"))[1]
    check("and follows soon", g.at("horn_on.at") - second < 2.5, f"{g.at('horn_on.at') - second:.2f} s after the pulse that tells of it")
    check("a dead daemon's relay falls off; it is on again after the start", (horn["dead"], horn["again"]) == ("0", "1"))
    powers = [i for i in g.items("stands", "S0") if i["at"] > g.at("relay.started") and "power_total" in i]
    check("an alert on power ends when no pulse comes after a restart, too", horn["stands"] == "0",
          f"horn {horn['stands']} {g.at('stands.shot') - g.at('relay.killed'):.0f} s after the last pulse, {len(powers)} readings of power since the start")

    # Where the kernel drops edges: it keeps 16 a line until they are read.
    for row in g.text("bursts").splitlines():
        edges, level, full, state = (row.split() + [""])[:4]
        right = (level == "1") == ("true" in state)
        what = "23 edges in 115 ms while wattd is stopped" if edges == "stopped" else f"{edges} edges at once"
        check(f"input after {what}", right, f"line {level}, {state}, {full} edges (of 10 that it would tell of) dropped by the kernel")
    got = g.last("stalled") - g.last("before_stalled")
    check("stopped for 20 pulses it counts the 16 edges that the kernel keeps", got == 8, got)
    check("and is right afterwards", g.last("after_stalled") - g.last("stalled") == 5, g.last("after_stalled") - g.last("stalled"))

    # A chip that goes and comes back.
    try:
        gone = json.loads(g.text("unplugged.status.json"))["gpio"][0].get("last_error")
        back = json.loads(g.text("plugged.status.json"))["gpio"][0].get("last_error")
    except (ValueError, KeyError):
        gone = back = "no status"
    check("status says that the chip is gone, and is back", "cannot be" in str(gone) and not back, [gone, back])
    fewest, most = g.counted(g.at("plugged.held"), g.at("unplug.shot"))
    check("it counts again when it is back", fewest <= g.last("unplug") - g.last("before_unplug") <= most and most == 4, f"{g.last('unplug') - g.last('before_unplug')} of {most}")
    check("lines are let go at the end", g.text("held_last") == "0", g.text("held_last"))
    print(f"{len(failures)} failed {failures}")
    return 1 if failures else 0
