"""The queue: gradio's own, made fair and bounded. Nothing that happens to one session ends it.

Two lanes: "networks" draws, "light" answers what takes milliseconds, so that nobody waits for another's face to be told
what a prompt says. In each lane those whose answer is being read come first, then the clients that have waited longest
since their last run, or since they came; one client cannot hold every place, nor every run. Bounded are the waiting
runs, what they carry, the sessions, and what nobody has read yet, all in bytes.
"""

import asyncio
import ipaddress
import random
import time
from collections import Counter
from typing import Any, cast

import gradio as gr
from gradio import queueing
from gradio.utils import run_coro_in_background

from ui.server import budget
from ui.server.doors import SESSION
from ui.server.quiet import fault, say
from ui.server.start import give_back_memory

MB = 2**20
# runs that may wait in a lane
PLACES = {"networks": 96, "light": 64}
# share of the places, and of the bytes, that one client may hold
SHARE = 0.75
# runs beside a lane's limit, for other clients than those that fill it
SPARE = 1
# bytes of all requests that wait or run
CARRIED = 64 * MB
# bytes of answers that nobody has read yet: of a session, of all
SESSION_UNREAD, UNREAD = 16 * MB, 96 * MB
# sessions that are remembered; those that wait or run are never forgotten
SESSIONS = 300
# seconds in which a reader may be on the way: a run is asked for first, and then its stream
ARRIVING = 3.0
# seconds that a run goes on while nobody has come to read it, if nobody else wants its place
PATIENCE = 30.0
# seconds after which answers that nobody fetches are dropped
FORGOTTEN = 60.0
# seconds between two looks for freed memory that the system can have back
SPARING = 60.0
# characters of any text that is not a picture
LONGEST_TEXT = 20_000
# texts, numbers, lists in one request
MOST_VALUES = 4_000


class Messages(asyncio.Queue):
    """What a session has not read yet; `size` is its texts in bytes."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self.size, self.changed = 0, time.monotonic()

    def _put(self, item: Any) -> None:
        weight = weigh(getattr(item, "output", None))
        self.size += weight
        super()._put((weight, item))

    def _get(self) -> Any:
        weight, item = super()._get()
        self.size -= weight
        self.changed = time.monotonic()
        return item


class Unread(dict[str, Messages]):
    """session -> Messages. Gradio deletes a session's twice where two streams read it."""

    def __setitem__(self, session: str, _: Any) -> None:
        super().__setitem__(session, Messages())

    def __delitem__(self, session: str) -> None:
        self.pop(session, None)


class Ids(dict[str, set[str]]):
    """session -> ids of its runs; of an unknown session none."""

    def __missing__(self, session: str) -> set[str]:
        return set()


def weigh(value: Any) -> int:
    """Bytes, about, that a JSON-like value takes."""
    total, stack = 0, [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list | tuple):
            stack += value
        total += 50 + (len(value) if isinstance(value, str | bytes) else 0)
    return total


def too_long(value: Any) -> bool:
    """Whether a request carries a text that no event needs, or more values than any has."""
    seen, stack = 0, [value]
    while stack:
        value, seen = stack.pop(), seen + 1
        if isinstance(value, dict):
            stack += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, str) and len(value) > LONGEST_TEXT and not value.startswith("data:image/"):
            return True
        if seen + len(stack) > MOST_VALUES:
            return True
    return False


def owner(event: Any) -> str:
    """`client_of` the request of one of gradio's events, which keeps it."""
    if not hasattr(event, "owner"):
        event.owner = client_of(event.request)
    return event.owner


def carried(event: Any) -> int:
    """Bytes, about, of what the request of one of gradio's events brought; the event keeps it."""
    if not hasattr(event, "carried"):
        event.carried = weigh([event.data.data, event.data.event_data]) if event.data else 0
    return event.carried


def client_of(request: Any) -> str:
    """Whose request it is: an address, 64 bits of it in IPv6. A trusted proxy's header counts (FORWARDED_ALLOW_IPS)."""
    host = request.client.host if request is not None and request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host


class Line(queueing.Queue):
    """Gradio's queue with other rules. (Its methods keep gradio's names and signatures.)"""

    pending_messages_per_session: Unread
    pending_event_ids_session: Ids

    def __init__(self, old: queueing.Queue):
        super().__init__(
            live_updates=old.live_updates,
            concurrency_count=old.max_thread_count,
            update_intervals=old.update_intervals,
            max_size=None,
            blocks=old.blocks,
            default_concurrency_limit=old.default_concurrency_limit,
        )
        self.pending_messages_per_session = Unread()
        self.pending_event_ids_session = Ids()
        # seconds between two looks
        self.sleep_when_free = 0.01
        # gradio sums up its statistics anew after every run
        self.ANALYTICS_MAX_EVENTS = 1
        # session -> streams that read it
        self.readers: Counter[str] = Counter()
        # session -> when the last of them ended
        self.left: dict[str, float] = {}
        # client -> when its last run began
        self.served: dict[str, float] = {}
        # when freed memory went back to the system
        self.spared = 0.0
        self.closed = False

    # --- who comes in -------------------------------------------------------------------------------------------------

    async def push(self, body, request, username):
        refused = self.refusal(body, request)
        return (False, *refused) if refused else await super().push(body, request, username)

    def refusal(self, body: Any, request: Any) -> tuple[str, str] | None:
        """Why this run cannot wait, as one line and gradio's word for it; None if it can."""
        if body.session_hash is not None and not SESSION.fullmatch(body.session_hash):
            return "A session is named by 1 to 64 letters, digits, - and _.", "error"
        fn = self.blocks.fns.get(body.fn_index)
        if fn is None or not fn.queue or fn.fn is None:
            return "There is no such event.", "error"
        if too_long([body.data, body.event_data]):
            return f"A text may have {LONGEST_TEXT:,} characters.", "error"
        lane, client = fn.concurrency_id, client_of(request)
        waiting = self.waiting(lane)
        places, own = self.places(lane), sum(owner(event) == client for event in waiting)
        size, held = weigh([body.data, body.event_data]), list(self.event_ids_to_events.values())
        if len(waiting) >= places or own >= SHARE * places:
            return f"Queue is full: {len(waiting)} runs wait already. Try again in a minute.", "queue_full"
        if size + sum(map(carried, held)) > CARRIED or (
            size + sum(carried(event) for event in held if owner(event) == client) > SHARE * CARRIED
        ):
            return "Queue is full: those that wait carry too much. Try again in a minute.", "queue_full"
        if body.session_hash not in self.pending_messages_per_session and not self.make_room():
            return "Queue is full: too many sessions. Try again in a minute.", "queue_full"
        return None

    def places(self, lane: str) -> int:
        return PLACES.get(lane, PLACES["light"])

    def waiting(self, lane: str) -> list[queueing.Event]:
        lane_queue = self.event_queue_per_concurrency_id.get(lane)
        return lane_queue.queue if lane_queue else []

    def make_room(self) -> bool:
        """Forget the session that has been idle longest where there are SESSIONS. False if all of them wait or run."""
        if len(self.pending_messages_per_session) < SESSIONS:
            return True
        busy = self.busy()
        idle = [session for session in self.pending_messages_per_session if session not in busy]
        if idle:
            self.forget(min(idle, key=lambda session: self.pending_messages_per_session[session].changed))
        return bool(idle)

    def busy(self) -> set[str]:
        """The sessions that wait, run or read."""
        return {event.session_hash for event in self.event_ids_to_events.values()} | self.readers.keys()

    def forget(self, session: str) -> None:
        self.pending_messages_per_session.pop(session, None)
        self.pending_event_ids_session.pop(session, None)
        self.left.pop(session, None)

    # --- who reads ----------------------------------------------------------------------------------------------------

    def session_of(self, event_id: str) -> str:
        """The session of a run; gradio names those without one by their run."""
        event = self.event_ids_to_events.get(event_id)
        if event is not None:
            return event.session_hash
        return next((session for session, ids in self.pending_event_ids_session.items() if event_id in ids), event_id)

    def begin_reading(self, session: str) -> None:
        self.readers[session] += 1

    def end_reading(self, session: str) -> None:
        self.readers[session] -= 1
        if self.readers[session] <= 0:
            del self.readers[session]
            self.left[session] = time.monotonic()

    def why_end(self, event: queueing.Event) -> str:
        """Why a run should not go on, "" if it should."""
        if not event.alive:
            return "Stopped: nobody reads the answer any more."
        if event.session_hash in self.readers:
            return ""
        waited = time.monotonic() - event.enqueue_time
        wanted = any(other.session_hash in self.readers for other in list(self.waiting(event.concurrency_id)))
        return "Stopped: nobody reads the answer." if waited > (ARRIVING if wanted else PATIENCE) else ""

    def send_message(self, event, event_message) -> None:
        messages = self.pending_messages_per_session.get(event.session_hash)
        if messages is None or not event.alive:
            event.alive = False
            return
        total = sum(each.size for each in self.pending_messages_per_session.values())
        if messages.size > SESSION_UNREAD or total > UNREAD and messages.size > UNREAD / SESSIONS:
            event.alive = False
            self.forget(event.session_hash)
            say("queue: a run was stopped, since its answers were not read")
            return
        event_message.event_id = event._id
        messages.put_nowait(event_message)

    # --- who is next --------------------------------------------------------------------------------------------------

    def order(self, lane: str) -> list[queueing.Event]:
        """Those that wait in a lane, in the order in which they would be served now."""
        running = self.running(lane)
        clients, sessions = Counter(map(owner, running)), Counter(event.session_hash for event in running)

        def rank(event: queueing.Event) -> tuple:
            client, session = owner(event), event.session_hash
            # a newcomer has waited since it came: were it put before all others, newcomers could hold up one for ever
            since = self.served.get(client, event.enqueue_time)
            return session not in self.readers, clients[client], since, sessions[session]

        # A stable sort: the same rank keeps the order of coming.
        return sorted(self.waiting(lane), key=rank)

    def running(self, lane: str) -> list[queueing.Event]:
        return [event for job in self.active_jobs if job for event in job if event.concurrency_id == lane]

    def get_events(self):
        """The next run of any lane with room: (runs, whether they are a batch, lane), or None. Asked all the time."""
        for lane in random.sample(list(self.event_queue_per_concurrency_id), len(self.event_queue_per_concurrency_id)):
            lane_queue = self.event_queue_per_concurrency_id[lane]
            limit = lane_queue.concurrency_limit or self.max_thread_count
            if not lane_queue.queue or lane_queue.current_concurrency >= limit + SPARE:
                continue
            running = Counter(map(owner, self.running(lane)))
            if any(running[owner(event)] < limit for event in lane_queue.queue):
                event = next(event for event in self.order(lane) if running[owner(event)] < limit)
                lane_queue.queue.remove(event)
                return [event], False, lane
        return None

    def broadcast_estimations(self, concurrency_id, after=None) -> None:
        """Gradio's, which runs in the loop that must not end."""
        try:
            super().broadcast_estimations(concurrency_id, after)
        except Exception as error:
            say(f"queue: {fault(error)}")

    # --- the loops ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.closed = False
        super().start()
        run_coro_in_background(self.keep_tidy)

    def close(self) -> None:
        self.closed = True
        super().close()

    async def start_processing(self) -> None:
        """Gradio's loop, begun again should it ever end by itself."""
        while not self.closed:
            try:
                await super().start_processing()
            except Exception as error:
                say(f"queue: begins again after {fault(error)}")
            if not self.closed:
                self.stopped = False
                await asyncio.sleep(0.05)

    async def process_events(self, events, batch, begin_time, fn) -> None:
        event = events[0]
        own = budget.begin(lambda: self.why_end(event))
        self.served[owner(event)] = time.monotonic()
        try:
            await super().process_events(events, batch, begin_time, fn)
        finally:
            own.over = True
            if messages := self.pending_messages_per_session.get(event.session_hash):
                messages.changed = time.monotonic()

    async def keep_tidy(self) -> None:
        """Once a second: forget what nobody wants."""
        while not self.closed:
            await asyncio.sleep(1)
            try:
                self.tidy(now := time.monotonic())
                if self.spares(now):
                    self.spared = now
                    await asyncio.to_thread(give_back_memory)
            except Exception as error:
                say(f"queue: {fault(error)}")

    def spares(self, now: float) -> bool:
        """Whether freed memory is to be given back: after SPARING, if somebody has run since. It takes 10 ms, and with
        visitors all the time there is no moment without a run."""
        ran = bool(self.busy()) or max(self.served.values(), default=0.0) > self.spared
        return ran and now - self.spared > SPARING

    def tidy(self, now: float) -> None:
        for lane_queue in self.event_queue_per_concurrency_id.values():
            for event in list(lane_queue.queue):
                if event.session_hash not in self.readers and now - event.enqueue_time > PATIENCE:
                    lane_queue.queue.remove(event)
                    self.event_ids_to_events.pop(event._id, None)
        busy = self.busy()
        for session, messages in list(self.pending_messages_per_session.items()):
            if session not in busy and now - max(messages.changed, self.left.get(session, 0.0)) > FORGOTTEN:
                self.forget(session)
        for session in [*self.pending_event_ids_session, *self.left]:
            if session not in self.pending_messages_per_session:
                self.forget(session)
        for client in [client for client, begun in self.served.items() if now - begun > 3600]:
            del self.served[client]


def line_of(demo: gr.Blocks) -> Line:
    """The page's queue, after `stand_in`."""
    return cast(Line, demo._queue)


def stand_in(demo: gr.Blocks) -> None:
    """Put this queue in the place of gradio's. Call it after queue()."""
    demo._queue = Line(demo._queue)
