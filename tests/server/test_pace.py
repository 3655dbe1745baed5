"""No client keeps the event loop to itself, whatever it sends: turns of the loop are counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.server.http_messages import read_body
from realtime_drf.server.pace import MAX_SECONDS, MAX_STEPS, Pace
from tests.server.harness import Client, Site

MANY = 20 * MAX_STEPS


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(client_events=True, client_events_per_second=10_000, max_channels=10_000) as site:
        yield site


def watch(site: Site, *clients: Client) -> list[int]:
    """Return the number of frames answered in each iteration of the loop, until all were."""

    async def count() -> list[int]:
        answered: list[int] = []
        while any(not client._inbox.empty() for client in clients):
            before = sum(client._inbox.qsize() for client in clients)
            await asyncio.sleep(0)
            answered.append(before - sum(client._inbox.qsize() for client in clients))
        return answered

    return site.run(count())


def leave_and_come(client: Client, number: int) -> None:
    client.subscribe("news", settle=False)
    client.leave("news", settle=False)


FLOODS: dict[str, Callable[[Client, int], None]] = {
    "nonsense": lambda client, number: client.say("[", settle=False),
    "pings": lambda client, number: client.say({"event": "pusher:ping"}, settle=False),
    "wrong signatures": lambda client, number: client.subscribe(
        "private-a", auth="app-key:a", settle=False
    ),
    "one channel again and again": leave_and_come,
    "many channels": lambda client, number: client.subscribe(f"news-{number}", settle=False),
    "presence": lambda client, number: client.join(f"presence-{number}", "ann", settle=False),
    "cache channels": lambda client, number: client.subscribe(f"cache-{number}", settle=False),
    "events": lambda client, number: client.trigger("client-a", "private-own", {}, settle=False),
    "sign-in": lambda client, number: client.sign_in("ann", watchlist=["bob", "cid"], settle=False),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_client_that_never_stops_takes_a_few_frames_of_each_turn(
    site: Site, flood: Callable[[Client, int], None]
) -> None:
    client = site.connect()
    client.join("private-own")
    for number in range(MANY):
        flood(client, number)
    answered = watch(site, client)
    assert sum(answered) >= MANY - MAX_STEPS
    assert max(answered) <= MAX_STEPS


def test_a_bystander_is_answered_while_others_never_stop(site: Site) -> None:
    flooders = [site.connect() for _ in range(5)]
    bystander = site.connect()
    bystander.subscribe("news")
    for _ in range(MANY):
        for flooder in flooders:
            flooder.say("[", settle=False)
    bystander.say({"event": "pusher:ping"}, settle=False)
    bystander.take()

    async def wait() -> int:
        turns = 0
        while not bystander.frames[bystander._seen :]:
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert site.run(wait()) <= 3
    answered = watch(site, *flooders)
    # One frame is answered before anybody can know that the turn has had enough.
    assert max(answered) <= MAX_STEPS + len(flooders)


def test_frames_that_take_long_give_way_sooner() -> None:
    now = 0.0

    def clock() -> float:
        return now

    async def work() -> list[int]:
        nonlocal now
        pace = Pace(clock)
        steps = 0

        async def step() -> None:
            nonlocal now, steps
            while steps < 100:
                now += 2 * MAX_SECONDS
                steps += 1
                await pace.give_way()

        task = asyncio.create_task(step())
        seen = []
        while not task.done():
            before = steps
            await asyncio.sleep(0)
            seen.append(steps - before)
        return seen

    assert max(asyncio.run(work())) <= 2


def test_who_sends_a_little_is_not_made_to_wait() -> None:
    async def work() -> bool:
        pace = Pace(lambda: 0.0)
        others_ran = False

        def run() -> None:
            nonlocal others_ran
            others_ran = True

        for _ in range(3):
            asyncio.get_running_loop().call_soon(run)
            for _ in range(MAX_STEPS - 1):
                await pace.give_way()
            if others_ran:
                return False
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            others_ran = False
        return True

    assert asyncio.run(work())


def test_a_body_in_many_pieces_lets_others_go_between_them() -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x", "more_body": taken < 100}

    async def read() -> None:
        task = asyncio.create_task(read_body(receive))
        while not task.done():
            before = taken
            await asyncio.sleep(0)
            assert taken - before <= 1
        assert len(task.result()) == 100

    asyncio.run(read())


def test_a_flood_is_answered_in_order(site: Site) -> None:
    client = site.connect()
    client.take()
    for number in range(MANY):
        client.say(json.dumps({"event": f"no-{number}"}), settle=False)
    site.settle()
    messages = [frame["data"]["message"] for frame in client.take()]
    assert len(messages) == MANY
    assert all(f"'no-{number}'" in message for number, message in enumerate(messages))
