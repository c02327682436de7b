"""A web server that resumes, ignores, breaks off, changes or refuses."""

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

OLD, NEW = (np.random.default_rng(seed).bytes(3_000_000) for seed in (0, 1))


class Server(ThreadingHTTPServer):
    """Serves ``content``; ``breaks`` lists after how many bytes each of the next answers ends."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.date = OLD, '"old"', None
        self.ranges = self.if_range = self.length = True
        self.short_ranges = False  # fewer bytes than asked for, as HTTP allows
        self.breaks, self.statuses, self.requests = [], [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights.h5"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked, start = self.server, self.headers.get("Range"), 0
        server.requests.append((asked, self.headers.get("If-Range")))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        version = server.tag or server.date
        if server.ranges and asked and (not server.if_range or self.headers.get("If-Range") == version):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(server.content):
                self.send_error(416)
                return
        end = start + server.breaks.pop(0) if server.breaks else len(server.content)
        promised = end if start and server.short_ranges else len(server.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{promised - 1}/{len(server.content)}")
        if server.length:
            self.send_header("Content-Length", str(promised - start))
        for name, value in (("ETag", server.tag), ("Last-Modified", server.date)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.content[start:end])

    def log_message(self, *arguments):
        pass
