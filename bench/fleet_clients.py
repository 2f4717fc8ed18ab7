"""Light gateways: each has ten values a second, and speaks what wattd's sink speaks: gzipped line protocol over one connection that is kept.

What was answered for stays until it has settled; after a failure, and after a connection that had to be opened anew, all of that is sent
again. fleet_clients.py PORT CLIENTS SECONDS SETTLE; ends when everything has settled, and prints how many samples each has said.
"""
import asyncio
import collections
import gzip
import random
import sys
import time

FIELDS = 10
EVERY = 5  # s between two requests of one


class Client:
    def __init__(self, number: int, port: int, settle: float):
        self.name, self.port, self.settle = f"F{number}", port, settle
        self.waiting: list = []  # lines
        self.unsettled: collections.deque = collections.deque()  # (answered at, lines)
        self.said = self.storms = 0
        self.writer = None

    def say(self):
        at = int(time.time() * 1_000_000)
        values = ",".join(f"f{field}={random.randrange(10_000) / 10}" for field in range(FIELDS))
        self.waiting.append(f"device_telemetry,device_id={self.name},gateway={self.name} {values} {at}\n")
        self.said += 1

    def begin_again(self):
        for _, lines in reversed(self.unsettled):
            self.waiting[:0] = lines
        self.unsettled.clear()
        if self.writer:
            self.writer.transport.abort()
        self.writer = None

    async def post(self, lines: list):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = gzip.compress("".join(lines).encode(), 6)
        self.writer.write(b"POST /write?db=telemetry&precision=u HTTP/1.1\r\nHost: v\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 204 " not in head.split(b"\r\n", 1)[0]:
            raise OSError(head)

    async def run(self, end: float):
        await asyncio.sleep(random.uniform(0, EVERY))  # a fleet that was switched on together does not come together
        said_at = sent_at = 0.0
        pause = .5
        while time.monotonic() < end or self.waiting or self.unsettled:
            now = time.monotonic()
            if now < end and now - said_at >= 1:
                said_at = now
                self.say()
            while self.unsettled and now - self.unsettled[0][0] >= self.settle:
                self.unsettled.popleft()
            if self.waiting and now - sent_at >= EVERY:
                sent_at = now
                batch = self.waiting[:1000]
                try:
                    await asyncio.wait_for(self.post(batch), 10)
                    del self.waiting[:len(batch)]
                    self.unsettled.append((time.monotonic(), batch))
                    pause = .5
                    if self.waiting:
                        sent_at = 0
                except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                    self.storms += 1
                    self.begin_again()
                    sent_at = now - EVERY + pause * random.uniform(.5, 1)
                    pause = min(pause * 2, 10)
            await asyncio.sleep(.2)


async def main():
    port, clients, seconds, settle = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    all_of_them = [Client(number, port, settle) for number in range(clients)]
    end = time.monotonic() + seconds
    await asyncio.gather(*(client.run(end) for client in all_of_them))
    for client in all_of_them:
        print(client.name, client.said * FIELDS, client.storms)


asyncio.run(main())
