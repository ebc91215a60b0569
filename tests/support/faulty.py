"""Sources and servers that fail, for tests of what becomes of a write then."""

import os
import random
import signal
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np


class FaultySource:
    """An array in a file, read by processes, that does something bad when one of its samples is read.

    Parameters
    ----------
    path
        Of a ``.npy`` file.
    flags
        Directory in which it is noted how often that was.
    fault
        What happens: ``"kill"``, ``"memory"``, ``"error"`` or ``"interrupt"``.
    times
        How often.
    sample
        Which sample it is.
    """

    def __init__(self, path, flags, fault, times=1, sample=0):
        self.path, self.flags, self.fault, self.times, self.sample = Path(path), Path(flags), fault, times, sample
        array = np.load(path, mmap_mode="r")
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.flags.mkdir(exist_ok=True)

    def __getitem__(self, key):
        array = np.load(self.path, mmap_mode="r")
        position = np.unravel_index(self.sample, self.shape)
        hit = all(part.start <= where < part.stop for part, where in zip(key, position, strict=True))
        if hit and array[key].size and len(list(self.flags.iterdir())) < self.times:
            (self.flags / f"{time.time_ns()}").touch()
            self.fail()
        return np.array(array[key])

    def fail(self):
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        if self.fault == "error":
            raise OSError("the disk is gone")
        if self.fault == "memory":
            held = [np.ones(2**24, "u1") for _ in range(60)]  # 0.9 GiB, touched
            time.sleep(20)  # the worker's nanny looks at it every tenth of a second
            raise AssertionError(f"nobody minded {len(held)} arrays")


class UnreliableProxy(BaseHTTPRequestHandler):
    """Passes requests on to a server, but for a tenth of them, which it answers with an error, or not in time."""

    protocol_version = "HTTP/1.1"
    upstream = ("127.0.0.1", 0)
    chance = random.Random(0)
    share = 0.1
    faults: list[str]

    def handle_all(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.chance.random() < self.share:
            fault = ("500", "503", "timeout")[len(self.faults) % 3]  # in turn, so that each occurs
            self.faults.append(fault)
            if fault == "timeout":
                time.sleep(0.7)
                self.close_connection = True
                return
            self.send_response(int(fault))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = HTTPConnection(*self.upstream, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_all

    def log_message(self, *args):
        pass
