"""The page of an app: one tornado server in a thread of its own. Nothing of the file system is served."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from edgert.app.page_assets import ICON, STYLE, page_html
from edgert.app.page_guard import COOKIE, HEADERS, Access
from edgert.app.page_script import SCRIPT
from edgert.app.page_state import PageState
from edgert.errors import DeviceError, EdgertError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from tornado.web import Application, RequestHandler

__all__ = ["Page"]

_BOUNDARY = "edgert-picture"
_SLOW_S = 10.0
_AGAIN_S = 5.0
_MOST_BODY_BYTES = 4096

Answer = Callable[["RequestHandler"], Awaitable[None]]


class Page:
    """Serves until closed; `port` is where. The loop never waits for it."""

    def __init__(self, state: PageState, access: Access, port: int) -> None:
        if importlib.util.find_spec("tornado") is None:
            raise MissingExtraError("tornado", "apps", "the page")
        self._socket = _listen(access.address, port)
        self._state, self._access = state, access
        self.port: int = self._socket.getsockname()[1]
        self._ended: asyncio.Event | None = None
        self._server: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="page", daemon=True)
        self._thread.start()
        self._up.wait()

    def close(self) -> None:
        """Ends the server; open streams are cut."""
        if self._server is not None and self._ended is not None and not self._server.is_closed():
            self._server.call_soon_threadsafe(self._ended.set)
        self._thread.join(timeout=5)

    async def _serve(self) -> None:
        from tornado.httpserver import HTTPServer

        self._ended, self._server = asyncio.Event(), asyncio.get_running_loop()
        self._state.feed.attach(self._server)
        server = HTTPServer(
            _application(self._state, self._access),
            idle_connection_timeout=30,
            body_timeout=10,
            max_body_size=_MOST_BODY_BYTES,
            max_header_size=16384,
        )
        server.add_socket(self._socket)
        self._up.set()
        await self._ended.wait()
        server.stop()
        await server.close_all_connections()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two programs share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((address, port))
        listener.listen(32)
    except OSError as error:
        listener.close()
        raise DeviceError(f"the page cannot listen on {address} port {port}: {error}; choose another --port") from error
    return listener


def _application(state: PageState, access: Access) -> Application:
    from tornado.web import Application, RequestHandler

    gets, posts = _answers(state, access), {"/variant": _set_variant(state), "/threshold": _set_threshold(state)}

    class Handler(RequestHandler):
        """Every request: the guard first, then the answer of its path."""

        def set_default_headers(self) -> None:
            for name, value in HEADERS.items():
                self.set_header(name, value)

        def prepare(self) -> None:
            headers = self.request.headers
            if not access.knows_host(self.request.host):
                _refuse(self, 421, "this page answers to localhost only")
            elif self.request.path == "/" and access.is_token(self.get_query_argument("token", "")):
                self.set_cookie(COOKIE, access.token or "", httponly=True, samesite="Strict")
                self.redirect("/")
            elif not access.is_open(headers, self.get_cookie(COOKIE)):
                _refuse(self, 401, "open this page once with ?token=... in its address")
            elif self.request.method == "POST" and not access.may_change(headers):
                _refuse(self, 403, "changes are taken from the page itself only")

        async def get(self) -> None:
            await self._answer(gets)

        async def post(self) -> None:
            await self._answer(posts)

        async def _answer(self, answers: dict[str, Answer]) -> None:
            answer = answers.get(self.request.path)
            if answer is None:
                _refuse(self, 404, "there is no such page")
            else:
                await answer(self)

    return Application([(r"/.*", Handler)], log_function=lambda _: None)


def _answers(state: PageState, access: Access) -> dict[str, Answer]:
    html = page_html(state.title, access.form_token, has_pictures=state.has_pictures)
    fixed = {"/": (html, "text/html"), "/page.css": (STYLE, "text/css"), "/page.js": (SCRIPT, "text/javascript")}
    answers = {path: _fixed(text, kind) for path, (text, kind) in fixed.items()}

    async def state_json(handler: RequestHandler) -> None:
        _send_json(handler, state.state())

    async def health(handler: RequestHandler) -> None:
        is_healthy, words = state.health()
        handler.set_status(200 if is_healthy else 503)
        _send_json(handler, words)

    async def metrics(handler: RequestHandler) -> None:
        handler.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        handler.write(state.metrics())

    async def stream(handler: RequestHandler) -> None:
        await _stream(handler, state)

    more = {"/state": state_json, "/healthz": health, "/metrics": metrics, "/icon.svg": _fixed(ICON, "image/svg+xml")}
    pictures = {"/stream.mjpg": stream} if state.has_pictures else {}
    return {**answers, **more, **pictures}


def _fixed(text: str, kind: str) -> Answer:
    async def answer(handler: RequestHandler) -> None:
        handler.set_header("Content-Type", f"{kind}; charset=utf-8")
        handler.write(text)

    return answer


def _send_json(handler: RequestHandler, values: object) -> None:
    handler.set_header("Content-Type", "application/json; charset=utf-8")
    handler.write(json.dumps(values, allow_nan=False))


def _refuse(handler: RequestHandler, status: int, words: str) -> None:
    handler.set_status(status)
    handler.set_header("Content-Type", "text/plain; charset=utf-8")
    handler.finish(words + "\n")


async def _stream(handler: RequestHandler, state: PageState) -> None:
    """Sends pictures until the viewer goes, or does not take one within 10 s; a slow viewer gets fewer, not older."""
    from tornado.iostream import StreamClosedError

    feed = state.feed
    if not feed.join():
        handler.set_header("Retry-After", "30")
        _refuse(handler, 503, "as many browsers as allowed look at this picture already")
        return
    handler.set_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
    seen = 0
    try:
        handler.write(f"--{_BOUNDARY}\r\n")
        while True:
            seen, data = await feed.next_picture(seen, _AGAIN_S)
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            handler.write(head + data + f"\r\n--{_BOUNDARY}\r\n".encode())
            taken = handler.flush()
            await asyncio.wait((taken,), timeout=_SLOW_S)  # wait_for would make a task for each picture and viewer
            if not taken.done():
                return  # the viewer takes nothing
            taken.result()
    except (StreamClosedError, asyncio.CancelledError):
        return  # the viewer went, or the app ends
    finally:
        feed.leave()


def _set_variant(state: PageState) -> Answer:
    async def answer(handler: RequestHandler) -> None:
        try:
            variant = _variant_of(handler)
            await asyncio.get_running_loop().run_in_executor(None, state.controls.model.switch, variant)
        except EdgertError as error:
            _refuse(handler, 400, str(error))
            return
        _send_json(handler, {"variant": state.controls.model.variant})

    return answer


def _set_threshold(state: PageState) -> Answer:
    async def answer(handler: RequestHandler) -> None:
        try:
            state.controls.threshold = _threshold_of(handler, state.controls.most)
        except UsageError as error:
            _refuse(handler, 400, str(error))
            return
        _send_json(handler, {"threshold": state.controls.threshold})

    return answer


def _variant_of(handler: RequestHandler) -> str:
    value = _value_of(handler)
    if isinstance(value, str):
        return value
    raise UsageError("the variant is no text")


def _threshold_of(handler: RequestHandler, most: float) -> float:
    value = _value_of(handler)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise UsageError(f"the threshold is no number between 0 and {most:g}")


def _value_of(handler: RequestHandler) -> object:
    try:
        body = json.loads(handler.request.body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is no JSON") from error
    if not isinstance(body, dict) or set(body) != {"value"}:
        raise UsageError('the request is not {"value": ...}')
    value: object = body["value"]
    return value
