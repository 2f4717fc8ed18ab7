"""A Modbus TCP server that is not ours: pymodbus, with register images that are built from meters' published maps.

Run as a program, PORT FILE [tcp|rtu], it serves the images of a JSON file: {"unit": {"3": {"address": word}, "4": {…}}}; other registers are 0.
"""
import asyncio
import csv
import json
import pathlib
import random
import struct
import sys

SIZES = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2, "uint64": 4, "int64": 4, "float64": 4}
FORMATS = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f", "uint64": ">Q", "int64": ">q", "float64": ">d"}


def words_of(kind: str, order: str, value) -> list[int]:
    if kind.startswith("string"):
        raw = value.encode().ljust(int(kind[6:]), b"\0")
    else:
        raw = struct.pack(FORMATS[kind], value)
    words = list(struct.unpack(f">{len(raw) // 2}H", raw))
    return words[::-1] if order == "little" and not kind.startswith("string") else words


USUAL = {"voltage_ll": 400.0, "voltage_l1_l2": 400.0, "voltage_l2_l3": 401.0, "voltage_l3_l1": 399.0, "voltage_l": 230.0, "frequency": 50.0, "current": 12.5,
         "power_factor": 0.95, "power": 2700.0, "energy": 12345.0, "thd": 2.5}


class Image:
    """One meter: its registers and what its rows are to be read as."""

    def __init__(self, path: pathlib.Path, seed: int, base: int = 0, as_in_a_plant: bool = False):
        self.tables = {"3": {}, "4": {}}
        self.expected = {}
        chance = random.Random(seed)
        exponents = {}
        for row in csv.DictReader(path.open()):
            name, kind, scale = row["measurand"], row["type"], row["scale"]
            address, table = base + int(row["address"]), self.tables[row["function_code"]]
            if name.startswith("sf_"):
                continue
            raw = self.usual(name, kind, scale) if as_in_a_plant else self.raw(kind, chance)
            if name.startswith("power_factor") and kind.startswith("float"):
                raw /= 8192  # beyond one it may stand for something else
            table.update(zip(range(address, address + 200), words_of(kind, row["word_order"], raw)))
            if kind.startswith("string"):
                self.expected[name] = (row["verified"], raw)
                continue
            factor, _, register = scale.partition("*10^[+")
            if register:
                register = int(register.rstrip("]"))
                exponent = exponents.setdefault(register, chance.choice([-3, -2, -1, 0, 1]))
                table[base + register] = exponent & 0xFFFF
                factor = float(factor) * 10.0 ** exponent
            self.expected[name] = (row["verified"], raw * float(factor))

    @staticmethod
    def usual(name: str, kind: str, scale: str):
        """What a meter of a quiet building would say."""
        if kind.startswith("string"):
            return "text"[:int(kind[6:])]
        value = next((value for start, value in USUAL.items() if name.startswith(start)), 1.0)
        raw = value / float(scale.partition("*10^[+")[0])
        if kind.startswith("float"):
            return struct.unpack(">f", struct.pack(">f", raw))[0] if kind == "float32" else raw
        most = 2 ** (16 * SIZES[kind] - 2)
        return max(-most, min(most, round(raw)))

    @staticmethod
    def raw(kind: str, chance: random.Random):
        if kind.startswith("string"):
            return f"text {chance.randrange(10**6)}"[:int(kind[6:])]
        if kind.startswith("float"):
            return struct.unpack(">f", struct.pack(">f", chance.uniform(-5000, 5000)))[0]
        bits = 16 * SIZES[kind]
        # Far from the numbers that stand for "not available".
        return chance.randrange(1, 2 ** (bits - 2)) * (chance.choice([-1, 1]) if kind.startswith("int") else 1)


def sunspec(path: pathlib.Path, seed: int, model: int) -> Image:
    """The image behind a SunSpec marker and a model 1, as the walk finds it."""
    base = 40000 + 2 if model == 1 else 40000 + 2 + 68
    image = Image(path, seed, base)
    table = image.tables["3"]
    longest = max((address - base for address in table if address >= base), default=0)
    length = 66 if model == 1 else max(longest - 1, 60)
    table.update({40000: 0x5375, 40001: 0x6E53, 40002: 1, 40003: 66})
    if model != 1:
        table.update({base: model, base + 1: length})
    table.update({base + 2 + length: 0xFFFF, base + 3 + length: 0})
    return image


def main(port: int, path: str, framing: str = "tcp", product: str = ""):
    from pymodbus.device import ModbusDeviceIdentification
    from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
    from pymodbus.server import StartAsyncTcpServer
    from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer

    def block(words: dict) -> ModbusSequentialDataBlock:
        registers = [0] * 65536
        for address, word in words.items():
            registers[int(address)] = word
        return ModbusSequentialDataBlock(0, registers)

    units = {int(unit): ModbusSlaveContext(hr=block(tables["3"]), ir=block(tables["4"]), zero_mode=True)
             for unit, tables in json.loads(pathlib.Path(path).read_text()).items()}
    identity = ModbusDeviceIdentification(info_name={"VendorName": "Schneider Electric", "ProductCode": product, "MajorMinorRevision": "1.4"})
    asyncio.run(StartAsyncTcpServer(identity=identity if product else None, context=ModbusServerContext(slaves=units, single=False), address=("127.0.0.1", port),
                                    framer=ModbusRtuFramer if framing == "rtu" else ModbusSocketFramer))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
