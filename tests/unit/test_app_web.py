"""The page over HTTP: who is answered, what is refused, and that viewers cost the loop nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgert.app import Finding, Scene
from edgert.app.feed import MOST_VIEWERS, SHARE, PictureFeed, pause_s
from edgert.app.findings import WIDEST, draw_findings
from edgert.app.live import LiveSource
from edgert.app.loop import Controls, Loop
from edgert.app.model import AppModel
from edgert.app.notify import Notifier
from edgert.app.page import Page
from edgert.app.page_guard import COOKIE, Access
from edgert.app.page_state import PageState
from edgert.app.producers import SyntheticProducer, decode_image, moving_pattern
from edgert.app.sensors import SensorThread
from edgert.errors import DeviceError, UsageError
from edgert.runtime.results import Result
from tests import app_example as example

pytest.importorskip("cv2")
pytest.importorskip("tornado")

TOKEN = "a-secret-of-some-length"
LONGEST_S = 30.0


def hostile(frame: Any, result: Result, controls: Controls) -> Scene:
    return Scene(frame.values, frame.sequence, (Finding("</script><b>", 0.5, (1, 1, 20, 20)),), ("3 passed",))


class Site:
    """A page with a loop behind it that runs in a thread."""

    def __init__(self, bundle: Path, access: Access) -> None:
        self.model = AppModel(bundle)
        self.source = LiveSource("synthetic", lambda: SyntheticProducer(50, 48, 64))
        self.sensors, self.feed = SensorThread("none"), PictureFeed(50)
        self.controls = Controls(self.model, 0.25)
        self.loop = Loop(self.source, self.controls, hostile, self.feed.publish, self.sensors, Notifier({}))
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()
        self.access = access
        self.page = Page(PageState("<title>", self.loop, self.controls, self.feed, self.sensors), access, 0)

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, Any, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=LONGEST_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in named)
        for name, value in named.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() if body is not None else None)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def change(self, path: str, value: object, **headers: str) -> tuple[int, str]:
        with_token = {"X_Edgert_Token": self.access.form_token, **headers}
        status, _, text = self.ask(path, "POST", json.dumps({"value": value}), **with_token)
        return status, text

    def stream(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=LONGEST_S)
        connection.request("GET", "/stream.mjpg")
        return connection

    def close(self) -> None:
        self.loop.stop()
        self.thread.join()
        for part in (self.page, self.feed, self.sensors, self.source, self.model):
            part.close()


def wait_for(claim: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LONGEST_S
    while not claim():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.write(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def site(bundle: Path) -> Iterator[Site]:
    site = Site(bundle, Access())
    yield site
    site.close()


@pytest.fixture
def closed_site(bundle: Path) -> Iterator[Site]:
    site = Site(bundle, Access(token=TOKEN))
    yield site
    site.close()


def test_the_page_and_its_headers(site: Site) -> None:
    status, headers, text = site.ask("/")
    assert status == 200
    assert "<h1>&lt;title&gt;</h1>" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src 'self'; script-src 'self';")
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
    assert (headers["Referrer-Policy"], headers["Server"]) == ("no-referrer", "edgert")
    assert "<script>" not in text and "onclick" not in text


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd", "/page.js/..", "/STATE"])
def test_nothing_else_is_served(site: Site, path: str) -> None:
    status, headers, text = site.ask(path)
    assert (status, text) == (404, "there is no such page\n")
    assert "Content-Security-Policy" in headers


def test_state_health_and_metrics(site: Site) -> None:
    wait_for(lambda: site.loop.state().frames > 3)
    state = json.loads(site.ask("/state")[2])
    assert state["scene"]["findings"] == [{"label": "</script><b>", "score": 0.5}]
    assert (state["variants"], state["threshold"]) == ([example.FIRST, example.SECOND], 0.25)
    assert json.loads(site.ask("/healthz")[2])["ok"] is True
    lines = site.ask("/metrics")[2].splitlines()
    assert "# TYPE edgert_frames_total counter" in lines
    assert not any(line.startswith("edgert_events_total") for line in lines)
    assert "edgert_healthy 1" in lines
    assert any(line.startswith('edgert_latency_milliseconds_count{stage="inference"} ') for line in lines)


def test_health_is_bad_without_frames(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.app.loop.STALE_S", 0.0)
    status, _, text = site.ask("/healthz")
    assert (status, json.loads(text)["ok"]) == (503, False)


def test_changes(site: Site) -> None:
    assert site.change("/variant", example.SECOND)[0] == 200
    assert site.model.variant == example.SECOND
    assert site.change("/threshold", 0.75) == (200, '{"threshold": 0.75}')
    assert site.controls.threshold == 0.75


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("/variant", "onnx-fp31", "no variant 'onnx-fp31'"),
        ("/variant", 3, "the variant is no text"),
        ("/threshold", 2, "no number between 0 and 1"),
        ("/threshold", True, "no number between 0 and 1"),
        ("/threshold", "NaN", "no number between 0 and 1"),
    ],
)
def test_changes_that_make_no_sense(site: Site, path: str, value: object, words: str) -> None:
    status, text = site.change(path, value)
    assert status == 400
    assert words in text


@pytest.mark.parametrize("body", ["", "{", "[]", '{"value": 1, "more": 2}', '{"value": NaN}', "[" * 4000])
def test_bodies_that_are_no_request(site: Site, body: str) -> None:
    status, _, _ = site.ask("/threshold", "POST", body, X_Edgert_Token=site.access.form_token)
    assert status == 400
    assert site.controls.threshold == 0.25


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Edgert_Token": "guessed"},
        {"X_Edgert_Token": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_changes_from_elsewhere_are_refused(site: Site, headers: dict[str, str]) -> None:
    status, text = site.change("/threshold", 0.9, **headers)
    assert (status, text) == (403, "changes are taken from the page itself only\n")
    assert site.controls.threshold == 0.25


def test_a_name_that_was_bent_to_this_computer_is_refused(site: Site) -> None:
    assert site.ask("/state", Host="evil.example")[0] == 421
    assert site.ask("/state", Host="localhost:1234")[0] == 200
    assert site.ask("/state", Host="[::1]:1234")[0] == 200


def test_large_requests_are_refused(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.page.port, timeout=LONGEST_S)
    connection.putrequest("POST", "/threshold")
    connection.putheader("Content-Length", "5000")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_with_a_token_nothing_is_open_without_it(closed_site: Site) -> None:
    for path in ("/", "/state", "/metrics", "/healthz", "/stream.mjpg", "/?token=wrong-but-long-enough"):
        assert closed_site.ask(path)[0] == 401, path
    assert closed_site.change("/threshold", 0.9)[0] == 401
    assert closed_site.ask("/metrics", Authorization=f"Bearer {TOKEN}", Host="board.local")[0] == 200
    status, headers, _ = closed_site.ask(f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (302, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert closed_site.ask("/state", Cookie=f"{COOKIE}={TOKEN}")[0] == 200


@pytest.mark.parametrize(
    ("address", "token", "message"),
    [
        ("0.0.0.0", None, "open to everybody who reaches 0.0.0.0; set EDGERT_PAGE_TOKEN"),
        ("::", None, "open to everybody"),
        ("0.0.0.0", "short", "needs at least 16 ASCII characters"),
        ("board", None, "'board' is no IP address"),
    ],
)
def test_other_addresses_need_a_token(address: str, token: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Access(address, token)
    Access("0.0.0.0", TOKEN)


def test_a_port_that_is_taken(site: Site) -> None:
    state = PageState("t", site.loop, site.controls, site.feed, site.sensors)
    with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1 port {site.page.port}: .* choose another"):
        Page(state, Access(), site.page.port)


def test_pictures_are_encoded_once_and_only_while_somebody_looks(site: Site) -> None:
    wait_for(lambda: site.loop.state().frames > 5)
    assert site.feed.encoded == 0
    viewers = [site.stream() for _ in range(MOST_VIEWERS)]
    answers = [viewer.getresponse() for viewer in viewers]
    parts = [answer.read(4000) for answer in answers]
    for part in parts:
        assert part.startswith(b"--edgert-picture\r\nContent-Type: image/jpeg\r\n")
    assert site.feed.viewers == MOST_VIEWERS
    one_more = site.stream()
    refused = one_more.getresponse()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    assert site.feed.encoded <= site.loop.state().frames
    for connection in (*viewers, one_more):
        connection.close()
    for answer in answers:
        answer.close()
    wait_for(lambda: site.feed.viewers == 0)
    assert site.ask("/state")[0] == 200


def test_a_viewer_that_takes_nothing_does_not_hold_the_loop(site: Site) -> None:
    viewer = site.stream()
    wait_for(lambda: site.feed.viewers == 1)
    before = site.loop.state().frames
    wait_for(lambda: site.loop.state().frames > before + 30)
    viewer.close()


def test_a_new_viewer_sees_the_last_picture_of_a_source_that_is_down() -> None:
    feed = PictureFeed(1000)
    scene = Scene(moving_pattern(1, 48, 64), 1, (Finding("label", 0.9),))
    feed.publish(scene)

    async def look() -> bytes:
        feed.attach(asyncio.get_running_loop())
        assert feed.join()
        return (await feed.next_picture(0, LONGEST_S))[1]

    picture = decode_image(asyncio.run(look()))
    feed.close()
    assert picture is not None
    assert picture.shape == (48, 64, 3)


def test_drawing_leaves_the_frame_alone() -> None:
    pixels = moving_pattern(1, 96, 128)
    before = pixels.copy()
    marks = ((0.0, 50.0, 127.0, 50.0),)
    drawn = draw_findings(Scene(pixels, 1, (Finding("ü", 0.5, (8, 8, 60, 60)), Finding("b", 0.1)), ("note",), marks))
    assert (pixels == before).all()
    assert (drawn != before).any()


def test_a_deployed_app_says_which_release_it_is(site: Site) -> None:
    assert json.loads(site.ask("/state")[2])["release"] is None
    assert "edgert_release_info" not in site.ask("/metrics")[2]
    state = PageState("t", site.loop, site.controls, site.feed, site.sensors, release='a"b')
    assert state.state()["release"] == 'a"b'
    line = f'edgert_release_info{{release="a\\"b",model="digits",variant="{example.FIRST}"}} 1'
    assert line in state.metrics().splitlines()


def test_a_large_picture_is_drawn_small_with_everything_in_its_place() -> None:
    pixels = np.zeros((1080, 1920, 3), np.uint8)
    scene = Scene(pixels, 1, (Finding("x", 0.5, (600, 600, 1200, 900)),), (), ((0.0, 540.0, 1919.0, 540.0),))
    drawn = draw_findings(scene)
    assert drawn.shape == (360, WIDEST, 3)
    assert tuple(drawn[280, 200]) == (64, 220, 140)  # the left edge of the box, at a third of its place
    assert tuple(drawn[180, 100]) == (255, 214, 10)
    assert not drawn[340:].any()


def test_pictures_take_a_share_of_the_computer_and_no_more() -> None:
    assert pause_s(0.1, 0.001, 2) == 0.1
    slow = pause_s(0.1, 0.05, 4)
    assert 0.05 / (0.05 + slow) == pytest.approx(4 * SHARE)
