"""Ctrl-C and SIGTERM: a training saves its state and ends."""

import signal


class Stop:
    """Turns the first SIGINT or SIGTERM inside its `with` into a flag, so that a loop saves its state and ends.

    The second one kills, as usual.
    """

    def __init__(self):
        self.requested, self.before = False, {}

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _request(self, number, frame):
        self.requested = True
        signal.signal(number, signal.SIG_DFL)
