"""What all stores of the tests have in common."""
import calendar
import signal
import time


def microseconds(stamp: str) -> int:
    whole, _, rest = stamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1_000_000 + int((rest + "000000")[:6])


class Store:
    holds_text = False
    takes_corrections = True
    precision = 1  # microseconds
    settles = 1  # s, after which what was taken survives a kill
    can_be_asked = False  # what it holds, by wattctl sync verify

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def close(self):
        if self.process.alive():
            self.process.stop()
