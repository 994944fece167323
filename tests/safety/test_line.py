"""The queue under attack: nothing that happens to one session ends it, holds up the others, or fills the memory."""

import functools
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
from gradio.server_messages import ProcessGeneratingMessage

from benchmarks.load import last_face
from ui.server import line
from ui.server.line import Line, Unread, client_of, owner, too_long

LONG = ["", "", 1, 1000, 2.0, "dpmpp"]
SHORT = ["a man", "", 1, 2, 2.0, "dpmpp"]


@pytest.fixture(scope="module")
def client(deployed):
    # a connection for each request: the server ends those that are idle, also while the next request is on its way
    with httpx.Client(
        base_url=deployed.server.api, trust_env=False, timeout=60, headers={"connection": "close"}
    ) as client:
        yield client


@functools.cache
def event_of(client: httpx.Client, name: str) -> int:
    return next(item["id"] for item in client.get("../config").json()["dependencies"] if item["api_name"] == name)


def call(client: httpx.Client, name: str, data: list) -> str:
    asked = client.post(f"/call/{name}", json={"data": data})
    assert asked.status_code == 200, asked.text
    return client.get(f"/call/{name}/{asked.json()['event_id']}").text


def join(client: httpx.Client, session: str, data: list = LONG, name: str = "generate") -> httpx.Response:
    return client.post("/queue/join", json={"data": data, "fn_index": event_of(client, name), "session_hash": session})


# --- nothing ends it --------------------------------------------------------------------------------------------------


def test_five_requests_do_not_end_the_service(client):
    """Two long runs, two sessions without a name, one cancel."""
    long = [join(client, f"long{number}") for number in range(2)]
    for _ in range(2):
        assert join(client, "").status_code == 400
    for number, run in enumerate(long):
        client.post(
            "/cancel",
            json={
                "session_hash": f"long{number}",
                "fn_index": event_of(client, "generate"),
                "event_id": run.json()["event_id"],
            },
        )
    last_face(call(client, "generate", SHORT))
    assert '"ok"' in call(client, "health", [])


@pytest.mark.parametrize("session", ["", " ", "a b", "../a", "é", "a" * 65, "a\n", "\x00"])
def test_odd_sessions_are_refused_at_the_door(client, session):
    assert join(client, session).status_code == 400
    tick = next(item for item in client.get("../config").json()["dependencies"] if item["targets"][0][1:] == ["tick"])
    asked = client.post("/run/predict", json={"data": [], "fn_index": tick["id"], "session_hash": session})
    assert asked.status_code >= 400 or session == ""
    last_face(call(client, "generate", SHORT))


def test_many_sessions_push_out_nobody_who_waits(client):
    """310 of them, while one runs and one waits: both get their faces."""
    with ExitStack() as stack:
        streams: dict[str, str] = {}

        def read(session: str) -> None:
            streams[session] = client.get("/queue/data", params={"session_hash": session}).text

        sessions = [f"waits{number}" for number in range(4)]
        for session in sessions:
            assert join(client, session, ["", "", 1, 60, 2.0, "dpmpp"]).status_code == 200
        readers = [threading.Thread(target=read, args=(session,)) for session in sessions]
        for reader in readers:
            reader.start()
            stack.callback(reader.join, 100)
        for number in range(line.SESSIONS + 10):
            assert join(client, f"crowd{number}", [], "health").status_code in (200, 503)
    assert all(
        '"process_completed"' in streams[session] and '"success":true' in streams[session] for session in sessions
    )
    last_face(call(client, "generate", SHORT))


def test_a_loop_that_ends_begins_again(app, monkeypatch):
    queue, broken = app.demo._queue, threading.Event()
    get_events = queue.get_events

    def break_once():
        if not broken.is_set():
            broken.set()
            raise KeyError("a session")
        return get_events()

    monkeypatch.setattr(queue, "get_events", break_once)
    with httpx.Client(base_url=app.demo.local_api_url, timeout=60) as client:
        deadline = time.monotonic() + 30
        # while the loop is beginning again, who comes is told to come back
        while True:
            asked = client.post("/call/health", json={"data": []})
            if (
                asked.status_code == 200
                and broken.is_set()
                and "event: complete" in (client.get(f"/call/health/{asked.json()['event_id']}").text)
            ):
                break
            assert time.monotonic() < deadline, "the queue is dead"
            time.sleep(0.05)


# --- nobody is held up ------------------------------------------------------------------------------------------------


def test_runs_that_nobody_reads_come_after_those_that_are_read(client):
    for number in range(34):
        assert join(client, f"unread{number}").status_code == 200
    last_face(call(client, "generate", SHORT))
    # they still wait
    assert client.get("/queue/status").json()["queue_size"] >= 30
    # a stream that is closed at once takes its run along
    for number in range(34):
        with client.stream("GET", "/queue/data", params={"session_hash": f"unread{number}"}) as stream:
            next(stream.iter_raw())
    last_face(call(client, "generate", SHORT))


def event(client: str, session: str = "s", since: float = 0.0) -> SimpleNamespace:
    request = SimpleNamespace(client=SimpleNamespace(host=client))
    return SimpleNamespace(
        request=request, session_hash=session, enqueue_time=since, concurrency_id="networks", alive=True, data=None
    )


@pytest.fixture
def idle(app):
    """A queue of its own, which does not run."""
    queue = Line(app.demo._queue)
    for fn in app.demo.fns.values():
        queue.create_event_queue_for_fn(fn)
    queue.active_jobs = [None] * 40
    return queue


def test_the_client_served_longest_ago_is_next_and_readers_before_all(idle):
    waiting = idle.event_queue_per_concurrency_id["networks"].queue
    waiting += [event("1.1.1.1", f"a{number}") for number in range(5)] + [event("2.2.2.2", "b"), event("3.3.3.3", "c")]
    idle.served = {"1.1.1.1": 50.0, "3.3.3.3": 10.0}
    assert [each.session_hash for each in idle.order("networks")][:3] == ["b", "c", "a0"]
    idle.begin_reading("a3")
    assert idle.order("networks")[0].session_hash == "a3"


@pytest.mark.parametrize("network", ["10.0.0.{}", "127.0.0.1"], ids=["an address each", "one address"])
def test_of_64_who_ask_again_and_again_each_is_served_in_turn(idle, monkeypatch, network):
    """Whoever has waited longest is next, and nobody gets a second face before each has had one."""
    now = [100.0]
    monkeypatch.setattr(line.time, "monotonic", lambda: now[0])
    waiting, served = idle.event_queue_per_concurrency_id["networks"].queue, []
    for user in range(64):
        idle.begin_reading(f"user{user}")
        waiting.append(event(network.format(user), f"user{user}", now[0] + user / 100))
    for _ in range(3 * 64):
        now[0] += 1
        [next_one] = idle.get_events()[0]
        served.append(next_one.session_hash)
        idle.served[owner(next_one)] = now[0]
        waiting.append(event(next_one.request.client.host, next_one.session_hash, now[0]))
    turns = [served[start : start + 64] for start in range(0, len(served), 64)]
    assert all(turn == [f"user{user}" for user in range(64)] for turn in turns)


def test_newcomers_without_end_do_not_hold_up_who_waits(idle, monkeypatch):
    """A new address each time comes after who came before it, also if that one had a face before."""
    now = [100.0]
    monkeypatch.setattr(line.time, "monotonic", lambda: now[0])
    waiting = idle.event_queue_per_concurrency_id["networks"].queue
    idle.served["1.1.1.1"] = now[0]
    waiting.append(event("1.1.1.1", "patient", now[0]))
    for number in range(5):
        now[0] += 1
        waiting.append(event(f"2.2.2.{number}", f"new{number}", now[0]))
    assert [each.session_hash for each in idle.order("networks")] == ["patient", *(f"new{each}" for each in range(5))]


def test_one_client_does_not_get_every_run_side_by_side(idle):
    lane = idle.event_queue_per_concurrency_id["networks"]
    lane.concurrency_limit, lane.current_concurrency = 2, 2
    idle.active_jobs[:2] = [[event("1.1.1.1", "x")], [event("1.1.1.1", "y")]]
    lane.queue += [event("1.1.1.1", "z")]
    assert idle.get_events() is None
    lane.queue += [event("2.2.2.2", "other")]
    assert idle.get_events()[0][0].session_hash == "other"


def test_one_client_does_not_get_every_place(idle, app):
    generate = next(fn for fn in app.demo.fns.values() if fn.api_name == "generate")
    body = SimpleNamespace(session_hash="a", fn_index=generate._id, data=[], event_data=None)
    own, other = event("1.1.1.1").request, event("2.2.2.2").request
    waiting = idle.event_queue_per_concurrency_id["networks"].queue
    waiting += [event("1.1.1.1", f"a{number}") for number in range(int(line.SHARE * line.PLACES["networks"]))]
    assert idle.refusal(body, own)[1] == "queue_full" and idle.refusal(body, other) is None
    waiting += [event(f"3.3.3.{number}", "b") for number in range(line.PLACES["networks"] - len(waiting))]
    assert idle.refusal(body, other)[1] == "queue_full"


def test_addresses_of_one_network_are_one_client():
    assert client_of(event("2001:db8::1").request) == client_of(event("2001:db8::ffff:2").request)
    assert client_of(event("2001:db8:0:1::1").request) != client_of(event("2001:db8::1").request)
    assert client_of(event("10.0.0.1").request) != client_of(event("10.0.0.2").request)


# --- what it holds ----------------------------------------------------------------------------------------------------


def test_answers_that_nobody_reads_are_bounded_in_bytes(idle):
    idle.pending_messages_per_session["s"] = None
    run, message = event("1.1.1.1"), ProcessGeneratingMessage(output={"data": ["x" * 2**20]}, success=True)
    run._id = "1"
    for _ in range(200):
        idle.send_message(run, message.model_copy())
        assert sum(each.size for each in idle.pending_messages_per_session.values()) <= line.SESSION_UNREAD + 2**21
    assert not run.alive and "s" not in idle.pending_messages_per_session
    runs = [event("1.1.1.1", f"s{number}") for number in range(20)]
    for number, run in enumerate(runs):
        run._id, idle.pending_messages_per_session[run.session_hash] = str(number), None
        for _ in range(10):
            idle.send_message(run, message.model_copy())
    assert sum(each.size for each in idle.pending_messages_per_session.values()) <= line.UNREAD + 2**21
    assert any(not run.alive for run in runs)


def test_a_run_that_nobody_reads_ends(idle):
    """After some seconds where somebody else waits and reads, else after PATIENCE; one that only waits goes then."""
    now = time.monotonic()
    waiting = idle.event_queue_per_concurrency_id["networks"].queue
    fresh, unread = (event("1.1.1.1", "unread", now - age) for age in (line.ARRIVING - 1, line.ARRIVING + 1))
    assert line.ARRIVING < line.PATIENCE and not idle.why_end(fresh) and not idle.why_end(unread)
    waiting.append(event("2.2.2.2", "reader", now))
    idle.begin_reading("reader")
    assert not idle.why_end(fresh) and "nobody reads" in idle.why_end(unread)
    old = event("1.1.1.1", "unread", now - line.PATIENCE - 1)
    idle.begin_reading("unread")
    assert not idle.why_end(old)
    idle.end_reading("unread")
    idle.end_reading("reader")
    assert not idle.why_end(unread) and "nobody reads" in idle.why_end(old)
    old._id, idle.event_ids_to_events["old"] = "old", old
    waiting.append(old)
    idle.tidy(now)
    assert [each.session_hash for each in waiting] == ["reader"] and not idle.event_ids_to_events


def test_what_is_read_counts_no_more():
    unread = Unread()
    unread["s"] = None
    message = ProcessGeneratingMessage(output={"data": ["x" * 1000]}, success=True)
    unread["s"].put_nowait(message)
    assert unread["s"].size > 1000 and unread["s"].get_nowait() is message and unread["s"].size == 0
    # gradio deletes a session twice where two streams read it
    del unread["s"], unread["s"]


def test_requests_that_wait_are_bounded_in_bytes(idle, app):
    generate = next(fn for fn in app.demo.fns.values() if fn.api_name == "generate")
    picture = "data:image/png;base64," + "A" * 7_000_000
    body = SimpleNamespace(session_hash="a", fn_index=generate._id, data=[picture], event_data=None)
    taken = 0
    for number in range(40):
        if idle.refusal(body, event("1.1.1.1").request):
            break
        run = event("1.1.1.1", f"a{number}")
        run.data, taken = body, taken + 1
        idle.event_ids_to_events[str(number)] = run
    assert taken == int(line.SHARE * line.CARRIED) // line.weigh([body.data, None])
    assert idle.refusal(body, event("2.2.2.2").request) is None
    # and so are those of all clients together
    for number in range(40):
        refused = idle.refusal(body, event(f"3.3.3.{number}").request)
        if refused:
            break
        run = event(f"3.3.3.{number}", f"b{number}")
        run.data, taken = body, taken + 1
        idle.event_ids_to_events[f"b{number}"] = run
    assert "carry too much" in refused[0] and taken == line.CARRIED // line.weigh([body.data, None])


def test_sessions_are_bounded_and_the_one_idle_longest_goes(idle, app):
    understand = next(fn for fn in app.demo.fns.values() if fn.api_name == "understand")
    body = SimpleNamespace(session_hash="new", fn_index=understand._id, data=[""], event_data=None)
    for number in range(line.SESSIONS):
        idle.pending_messages_per_session[f"s{number}"] = None
        idle.pending_messages_per_session[f"s{number}"].changed = float(abs(number - 7))
        idle.begin_reading(f"s{number}")
    assert "too many sessions" in idle.refusal(body, event("1.1.1.1").request)[0]
    for number in range(line.SESSIONS):
        idle.end_reading(f"s{number}")
    assert idle.refusal(body, event("1.1.1.1").request) is None
    assert "s7" not in idle.pending_messages_per_session
    assert len(idle.pending_messages_per_session) == line.SESSIONS - 1


def test_texts_are_bounded_and_pictures_are_not_texts(client):
    assert too_long({"a": ["x" * 30_000]}) and too_long([[]] * 5000) and too_long({"x" * 30_000: 1})
    assert not too_long(["data:image/png;base64," + "A" * 10**6, "x" * 2000])
    nested: list = []
    for _ in range(3000):
        nested = [nested]
    # no recursion
    assert not too_long(nested)
    assert join(client, "texts", ["x" * 30_000, *LONG[1:]]).status_code == 400
    assert client.post("/call/generate", json={"data": ["x" * 70_000, *LONG[1:]]}).status_code == 413


def test_memory_goes_back_once_a_minute_if_somebody_has_run(idle):
    assert not idle.spares(1000.0)
    idle.served["1.1.1.1"] = 900.0
    assert idle.spares(1000.0)
    idle.spared = 950.0
    assert not idle.spares(1000.0) and not idle.spares(2000.0)
    # a long run counts to its end
    idle.event_ids_to_events["1"] = event("1.1.1.1", "draws")
    assert not idle.spares(1000.0) and idle.spares(950.0 + line.SPARING + 1)
    idle.event_ids_to_events.clear()
    idle.served["1.1.1.1"] = 960.0
    assert not idle.spares(1000.0) and idle.spares(950.0 + line.SPARING + 1)


def test_idle_sessions_are_forgotten_busy_ones_are_not(idle):
    for session in ("idle", "waits", "reads"):
        idle.pending_messages_per_session[session] = None
        idle.pending_event_ids_session[session] = {"1"}
        idle.pending_messages_per_session[session].changed = 0.0
    idle.event_ids_to_events["1"] = event("1.1.1.1", "waits")
    idle.begin_reading("reads")
    idle.tidy(1000.0)
    assert set(idle.pending_messages_per_session) == set(idle.pending_event_ids_session) == {"waits", "reads"}
    idle.end_reading("reads")
    idle.tidy(time.monotonic() + line.FORGOTTEN + 1)
    assert set(idle.pending_messages_per_session) == {"waits"}
