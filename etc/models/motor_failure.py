#!/usr/bin/python3
"""Histories of motors, on which the shipped baseline motor-failure.wml is fitted: ./motor_failure.py SEED > motors.csv

Six hundred motors, a row every hour of some of their days, everything in shares of what the name plate says, so that one model serves all sizes:
voltage and current over their rated values, the temperature above ambient over the rise that the load explains, its mean over a day and its rate, the power factor.
What ends a motor, as the maintenance handbooks have it: a bearing that wears (losses and heat grow over weeks), a winding whose insulation ages by heat (half its life for each 10 K),
overload and a stalled rotor, low voltage under load, a fan that is blocked. `failure` is 1 in the 24 hours before the end.
"""
import math
import random
import sys

COLUMNS = "voltage_share,current_share,power_factor,temperature_share,temperature_share_day,temperature_share_rate,load_share,failure"


def motor(chance: random.Random):
    """The last hours of one motor, or hours of one that goes on: rows of COLUMNS."""
    mode = chance.choices(["none", "bearing", "winding", "overload", "voltage", "fan"], [70, 10, 5, 6, 4, 5])[0]
    hours = 24 * chance.randint(4, 10)
    base, swing = chance.uniform(.4, .8), chance.uniform(.05, .25)
    quality = chance.gauss(1, .02)
    shares, before = [], None
    for hour in range(hours):
        left = hours - hour
        near = math.exp(-left / {"bearing": 60, "winding": 90, "overload": 14, "voltage": 10, "fan": 30, "none": 1}[mode]) if mode != "none" else 0
        load = max(.05, base + swing * math.sin(hour * math.pi / 12) + chance.gauss(0, .03))
        voltage = chance.gauss(1, .012) - (.14 * near if mode == "voltage" else 0)
        if mode == "overload":
            load += .7 * near
        current = load / voltage * quality * (1 + (.12 * near if mode == "bearing" else 0)) + chance.gauss(0, .01)
        factor = min(.95, .55 + .35 * math.sqrt(load)) - (.05 * near if mode in ("bearing", "voltage") else 0) + chance.gauss(0, .006)
        heat = 1 + near * {"bearing": .45, "winding": .25, "overload": .15, "voltage": .2, "fan": .7, "none": 0}[mode] + chance.gauss(0, .03)
        shares.append(heat)
        day = sum(shares[-24:]) / len(shares[-24:])
        rate = 0 if before is None else heat - before
        before = heat
        yield voltage, current, factor, heat, day, rate, load, int(mode != "none" and left <= 24)


def main(seed: int):
    chance = random.Random(seed)
    print(COLUMNS)
    for _ in range(600):
        # Every other hour: neighbours say the same.
        for row in list(motor(chance))[::2]:
            print(",".join(f"{value:.5g}" for value in row))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
