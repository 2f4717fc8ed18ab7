"""A link between a gateway and its upstream that can be cut, stall, drip, or lose answers after they were written."""
import asyncio
import contextlib
import threading

from plant import free_port


class BadLink:
    """Passes TCP connections on to a port on this machine, in the way that `how` says at the moment:

    good; cut: connections are refused and those that stand are reset; stalled: all stay open and nothing passes; lost: what
    is asked arrives, the answers do not, and the connection is reset some time later; slow: 20 kB/s.
    """

    def __init__(self, port: int):
        self.target, self.port, self.how = port, free_port(), "good"
        self.connections = 0
        self.loop = asyncio.new_event_loop()
        self.writers: set = set()
        ready = threading.Event()
        threading.Thread(target=self.serve, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def serve(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.pass_on, "127.0.0.1", self.port))
        ready.set()
        self.loop.run_forever()

    def become(self, how: str):
        self.how = how
        if how == "cut":
            self.loop.call_soon_threadsafe(self.reset_all)

    def reset_all(self):
        for writer in list(self.writers):
            writer.transport.abort()

    async def pass_on(self, reader, writer):
        self.connections += 1
        if self.how == "cut":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self.writers |= both
        await asyncio.gather(self.carry(reader, far_writer, both, False), self.carry(far_reader, writer, both, True), return_exceptions=True)
        self.writers -= both

    async def carry(self, reader, writer, both, is_answer: bool):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while self.how == "stalled":
                    await asyncio.sleep(.05)
                if self.how == "lost" and is_answer:
                    await asyncio.sleep(.3)
                    break
                if self.how == "slow":
                    await asyncio.sleep(len(data) / 20_000)
                writer.write(data)
                await writer.drain()
        for one in both:
            one.transport.abort()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
