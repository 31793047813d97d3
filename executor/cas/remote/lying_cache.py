#!/usr/bin/env python3
"""An HTTP cache that fails as asked: the first part of the path says how.

  /ok/...          GET, HEAD (with ranges) and PUT of /ac/KEY and /cas/HASH, kept in a folder
  /truncate/...    blobs come cut in half, and say so
  /flip/...        one bit of a blob is another one
  /wrong/...       other bytes of the same length
  /garbage/...     entries are no entries
  /die/...         the connection ends in the middle of a blob; with ranges one gets on
  /noranges/...    ranges are ignored, and the connection ends in the middle of the first answer of a blob
  /slow/...        blobs come at 32 KiB a second
  /hang/...        no answer
  /401/... /503/...  always that
  /507/... /403/...  to every PUT; the rest as /ok
  /closed/...      the connection ends before an answer

usage: lying_cache.py FOLDER [LOG]; prints its port, runs until its standard input ends. All modes share the folder's
blobs. LOG gets a line for each request: method, path, status, and what of Authorization, Expect, Transfer-Encoding and
Content-Length came with it.
"""

import http.server
import os
import random
import sys
import threading
import time

FOLDER = sys.argv[1]
LOG = open(sys.argv[2], "a", buffering=1) if len(sys.argv) > 2 else None
SLOW_BYTES_A_SECOND = 32 << 10


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *args):
        pass

    def note(self, status):
        if LOG:
            names = ("Authorization", "Expect", "Transfer-Encoding", "Content-Length", "Range")
            LOG.write("%s %s %s %s\n" % (self.command, self.path, status, " ".join(
                "%s=%s" % (name, self.headers[name].replace(" ", "_")) for name in names if name in self.headers)))

    def answer(self, status, body=b"", length=None, extra=()):
        self.note(status)
        self.send_response(status)
        for name, value in extra:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def take_apart(self):
        """Returns mode, kind and name, or None if it has been dealt with."""
        parts = self.path.strip("/").split("/")
        if len(parts) != 3 or parts[1] not in ("ac", "cas") or len(parts[2]) != 64:
            self.answer(400)
            return None
        mode = parts[0]
        if mode == "hang":
            self.note("hang")
            time.sleep(600)
        if mode == "closed":
            self.note("closed")
            self.close_connection = True
            return None
        if mode in ("401", "503"):
            self.close_connection = True  # a body may be on its way
            self.answer(int(mode))
            return None
        return parts

    def do_PUT(self):
        parts = self.take_apart()
        if parts is None:
            return
        mode, kind, name = parts
        if mode in ("507", "403"):
            self.close_connection = True
            return self.answer(int(mode))
        left = int(self.headers["Content-Length"])
        aside = os.path.join(FOLDER, "tmp.%d" % threading.get_ident())
        with open(aside, "wb") as out:
            while left > 0:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    return None
                out.write(piece)
                left -= len(piece)
        os.makedirs(os.path.join(FOLDER, kind), exist_ok=True)
        os.rename(aside, os.path.join(FOLDER, kind, name))
        return self.answer(201)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.take_apart()
        if parts is None:
            return
        mode, kind, name = parts
        path = os.path.join(FOLDER, kind, name)
        try:
            total = os.path.getsize(path)
        except FileNotFoundError:
            return self.answer(404)
        if kind == "ac" and mode == "garbage":
            return self.answer(200, b"no entry")
        if self.command == "HEAD":
            return self.answer(200, length=total)
        lies = mode if kind == "cas" else "ok"
        middle = total // 2
        if lies == "truncate":
            total = middle
        status, extra, first, last = 200, [], 0, total - 1
        if "Range" in self.headers and mode != "noranges":
            asked = self.headers["Range"].split("=")[1].split("-")
            first, last = int(asked[0]), int(asked[1]) if asked[1] else last
            if first >= total:
                return self.answer(416)
            status, extra = 206, [("Content-Range", "bytes %d-%d/%d" % (first, last, total))]
        with open(path, "rb") as file:
            file.seek(first)
            body = file.read(min(last, total - 1) + 1 - first)
        if lies == "flip" and first <= middle <= last:
            at = middle - first
            body = body[:at] + bytes([body[at] ^ 16]) + body[at + 1:]
        elif lies == "wrong":
            body = random.Random(1).randbytes(len(body))
        if lies == "slow":
            self.answer(status, length=len(body), extra=extra)
            for at in range(0, len(body), 4096):
                self.wfile.write(body[at:at + 4096])
                self.wfile.flush()
                time.sleep(4096 / SLOW_BYTES_A_SECOND)
            return None
        if lies == "die" or (lies == "noranges" and "Range" not in self.headers):
            self.answer(status, length=len(body), extra=extra, body=body[:max(1, len(body) * 2 // 3)])
            self.close_connection = True
            return None
        return self.answer(status, body, extra=extra)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients go away


def main():
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


main()
