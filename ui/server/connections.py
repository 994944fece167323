"""Connections: how many, how many of one client, how long one may be silent. Uvicorn itself bounds none of them."""

import resource
from collections import Counter
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ui.server.quiet import say

# httptools' or h11's, whichever is installed: their attributes are the same
Protocol: Any = AutoHTTPProtocol
# seconds in which the head of a request must have come
SILENCE = 15.0
# descriptors for files, threads and the libraries
RESERVE = 128
# connections at once, where the system's limit of descriptors allows it
MOST = 2000
# share of them that one client may hold; a proxy that is trusted may hold all
SHARE = 0.5


def limit() -> int:
    """Connections at once. Raises the process's own limit of descriptors as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MOST + RESERVE:
        soft = min(hard if hard != resource.RLIM_INFINITY else MOST + RESERVE, MOST + RESERVE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(MOST, soft - RESERVE))


def bounded(trusted: str = "127.0.0.1", most: int | None = None) -> type:
    """Uvicorn's protocol with these bounds. trusted: addresses, with commas, of proxies that many visitors share."""
    most, proxies, held = most or limit(), set(trusted.replace(" ", "").split(",")), Counter()

    class Bounded(Protocol):
        counted, silence = False, None

        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            self.host = self.client[0] if self.client else ""
            own = most if self.host in proxies or "*" in proxies else SHARE * most
            if held.total() >= most or held[self.host] >= own:
                say("connections: there are too many, so new ones are closed")
                transport.abort()
                return
            self.counted = True
            held[self.host] += 1
            self.silence = self.loop.call_later(SILENCE, self.end_silence)

        def data_received(self, data) -> None:
            super().data_received(data)
            # the beginning of a later request
            if self.silence is None and self.idle():
                self.silence = self.loop.call_later(SILENCE, self.end_silence)

        def idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def end_silence(self) -> None:
            """Close if there is still no request."""
            self.silence = None
            if self.idle() and not self.transport.is_closing():
                self.transport.abort()

        def connection_lost(self, exc) -> None:
            if self.silence is not None:
                self.silence.cancel()
            if self.counted:
                self.counted = False
                held[self.host] -= 1
                if held[self.host] <= 0:
                    del held[self.host]
            super().connection_lost(exc)

        def _should_upgrade(self) -> bool:
            """No: the page uses no WebSocket."""
            return False

    return Bounded
