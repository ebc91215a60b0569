"""A directory on disk as others see it: its files by content, and served over HTTP."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


def files_of(path):
    """Read every file below ``path``, by its relative path."""
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def serve(directory):
    """Serve the files of a directory over HTTP; yields the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=directory)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
