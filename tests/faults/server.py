"""An OpenAI-compatible server on loopback that breaks on request: the fault is chosen by the model's name.

    python -m tests.faults.server --port 8999

`GET /stats` is the bill: requests, completions billed, most in flight. `ok` answers; see FAULTS for the rest. A name may end in
`@N`: the fault happens on the first N requests for that model and `ok` after them; in `#N`: on the Nth request alone. Every
answer echoes the key in a header, every error in its body.
"""

import argparse
import asyncio
import contextlib
import functools
import gzip
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 500, 502, 503, 504, 529)
BILLED_BODIES = {
    "truncated": b'{"choices": [{"message": {"content": "ye',
    "not-json": b"<html>busy</html>",
    "empty-body": b"",
    "deep-json": b'{"choices": ' + b"[" * 50_000,
    "bad-utf8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
}
USAGES = {
    "usage-missing": None,
    "usage-negative": {"prompt_tokens": -5, "completion_tokens": -5, "total_tokens": -10},
    "usage-huge": {"prompt_tokens": 10**18, "completion_tokens": 10**18, "total_tokens": 2 * 10**18},
    "usage-nan": {"prompt_tokens": float("nan"), "completion_tokens": float("nan"), "total_tokens": float("nan")},
    "usage-strings": {"prompt_tokens": "many", "completion_tokens": "few", "total_tokens": "lots"},
}
CHOICES = (
    "no-choices", "more-choices", "null-choices", "no-message", "null", "filtered", "refusal", "cut", "list-content", "surrogate",
    "other-model", "n-unsupported",
)  # fmt: skip
BREAKS = ("reset", "reset-mid-body", "close-mid-body", "hang", "drip", "oversize", "gzip-bomb", "error-in-200")
REDIRECTS = ("redirect-loop", "redirect-away")
LIMITS = ("429", "429-long", "429-date", "429-once", "quota")
HARMLESS = ("ok", "slow", "echo", "429-bare", "504")  # no faults of their own, or others under another name
FAULTS = (*(str(s) for s in STATUSES if s != 504), *LIMITS, *BREAKS, *REDIRECTS, *BILLED_BODIES, *CHOICES, *USAGES)
DRIP_S = 0.1


@dataclass
class Stats:
    """What the provider would put on the bill."""

    requests: int = 0
    billed: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    seen: Counter = field(default_factory=Counter)  # requests by model
    billed_for: Counter = field(default_factory=Counter)  # completions by model
    fired: Counter = field(default_factory=Counter)  # faults by model
    keys: set = field(default_factory=set)


class FaultServer:
    """Serves until it is closed; `text` maps the request's messages to an answer, `delay_s` is how long `ok` takes."""

    def __init__(self, port=0, *, delay_s=0.0, text=lambda messages, nth: "yes"):
        self.delay_s, self.text, self.stats = delay_s, text, Stats()
        self._echo = ""
        self._port, self._ready, self._loop = port, threading.Event(), None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    @property
    def base(self):
        return f"http://127.0.0.1:{self._port}/v1"

    async def _serve(self):
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closing.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    async def _connection(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if lines[0].startswith("GET /stats"):
                    await self._send(writer, 200, {"requests": self.stats.requests, "billed": self.stats.billed,
                                                   "max_in_flight": self.stats.max_in_flight})  # fmt: skip
                    continue
                self.stats.requests += 1
                self.stats.keys.add(headers.get("authorization", ""))
                self.stats.in_flight += 1
                self.stats.max_in_flight = max(self.stats.max_in_flight, self.stats.in_flight)
                try:
                    await self._answer(writer, json.loads(body), headers)
                finally:
                    self.stats.in_flight -= 1
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def _answer(self, writer, request, headers):
        model = request["model"]
        self.stats.seen[model] += 1
        name = self._fault(model)
        self.stats.fired[model] += name not in HARMLESS
        if name == "n-unsupported":
            name = "400" if "n" in request else "ok"
        self._echo = headers.get("authorization", "")
        retry = {"429": "0.05", "429-long": "3600", "429-date": formatdate(time() - 60, usegmt=True)}
        if name in (*LIMITS, "429-bare"):
            extra = {"Retry-After": retry[name.removesuffix("-once")]} if name.removesuffix("-once") in retry else {}
            await self._send(writer, 429, _error("insufficient_quota" if name == "quota" else "slow down", headers), extra)
        elif name.isdigit():
            await self._send(writer, int(name), _error(f"status {name}", headers))
        elif name in REDIRECTS:
            host = self.base if name == "redirect-loop" else self.base.replace("127.0.0.1", "localhost")
            await self._send(writer, 307, {}, {"Location": host + "/chat/completions"})
        elif name == "error-in-200":
            await self._send(writer, 200, _error("over capacity", headers))
        else:
            self.stats.billed += 1
            self.stats.billed_for[model] += 1
            await self._billed(writer, name, request)

    def _fault(self, model):
        """What happens to this request: `name@N` breaks the first N for the model, `name#N` the Nth."""
        nth = self.stats.seen[model]
        for mark, is_hit in (("@", lambda n: nth <= n), ("#", lambda n: nth == n)):
            name, found, number = model.partition(mark)
            if found:
                return name if is_hit(int(number)) else "ok"
        return "ok" if model == "429-once" and nth > 1 else model

    async def _billed(self, writer, name, request):
        raw = json.dumps(self._completion(name, request)).encode()
        if name == "reset":
            writer.transport.abort()
        elif name.endswith("-mid-body"):
            writer.write(_head(200, len(raw)) + raw[: len(raw) // 2])
            await writer.drain()
            writer.close() if name == "close-mid-body" else writer.transport.abort()
        elif name == "hang":
            await asyncio.sleep(600)
        elif name == "drip":
            writer.write(_head(200, len(raw)))
            for byte in raw:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_S)
        elif name == "oversize":
            await self._send(writer, 200, b" " * (9 << 20) + raw)
        elif name == "gzip-bomb":
            await self._send(writer, 200, _bomb(), {"Content-Encoding": "gzip"})
        elif name in BILLED_BODIES:
            await self._send(writer, 200, BILLED_BODIES[name])
        else:
            delay = 0.2 if name == "slow" else self.delay_s
            if delay:
                await asyncio.sleep(delay)
            await self._send(writer, 200, raw)

    def _completion(self, name, request):
        text = self.text(request["messages"], self.stats.billed)
        message, reason = {"role": "assistant", "content": text}, "stop"
        if name in ("null", "filtered"):
            message["content"], reason = None, "content_filter" if name == "filtered" else "stop"
        elif name == "refusal":
            message |= {"content": None, "refusal": "I cannot help with that."}
        elif name == "cut":
            reason = "length"
        elif name == "list-content":
            message["content"] = [{"type": "text", "text": text}]
        elif name == "surrogate":
            message["content"] = text + " \ud800 \0"
        elif name == "echo":
            message["content"], reason = f"{text} {self._echo}", self._echo
        n_choices = {"no-choices": 0, "more-choices": 3}.get(name, 1)
        usage = USAGES.get(name, {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12})
        choices = [{"index": i, "message": message, "finish_reason": reason} for i in range(n_choices)]
        if name == "null-choices":
            choices = None
        elif name == "no-message":
            choices = [{"index": 0, "finish_reason": reason}]
        served = {"other-model": "somebody-else", "echo": self._echo}.get(name, request["model"])
        return {
            "id": f"c{self.stats.billed}", "object": "chat.completion", "created": 0, "model": served, "choices": choices,
            **({} if usage is None else {"usage": usage}),
        }  # fmt: skip

    async def _send(self, writer, status, body, extra=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        writer.write(_head(status, len(raw), {"X-Echo": self._echo, **(extra or {})}) + raw)
        await writer.drain()


@functools.cache
def _bomb():
    return gzip.compress(b" " * (16 << 20), compresslevel=1)


def _head(status, length, extra=()):
    lines = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(lines + [f"{k}: {v}" for k, v in dict(extra).items()]) + "\r\n\r\n").encode()


def _error(words, headers):
    """An error that repeats the key, as careless providers do."""
    return {"error": {"message": f"{words}; you sent {headers.get('authorization', 'no key')}", "type": words, "code": words}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8999)
    parser.add_argument("--delay", type=float, default=0.2, help="seconds that an ok answer takes")
    arguments = parser.parse_args()
    with FaultServer(arguments.port, delay_s=arguments.delay) as server:
        print(f"{server.base}: models are openai/ and one of {', '.join((*HARMLESS, *FAULTS))}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
