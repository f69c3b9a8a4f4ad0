"""A server between a model's server and those that call it, which counts what passes."""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):  # who was killed says no goodbye
        pass


class Counting:
    """Forwards every POST; counts requests for completions and those that were answered."""

    def __init__(self, target: str) -> None:
        self.requests = self.answered = 0
        lock, counting = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_bought = self.path.endswith("/chat/completions")
                with lock:
                    counting.requests += is_bought
                headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
                request = urllib.request.Request(target + self.path, data=body, headers=headers)  # noqa: S310
                try:
                    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                        status, raw = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, raw = error.code, error.read()
                with lock:
                    counting.answered += is_bought and status == 200
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except ConnectionError:  # who asked was killed meanwhile; the model has worked all the same
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
