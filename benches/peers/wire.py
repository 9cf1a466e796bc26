"""Clients that add as little as possible to what they time: bare sockets, requests built beforehand, answers read after the clock.

Used by `run`; not a program of its own. Standard library only, and wrk for many connections at once.
"""

import json
import pathlib
import re
import socket
import subprocess
import threading
import time

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def request(method, path, body=None):
    """The bytes of one HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body is None:
        return (head + "\r\n").encode()
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return (head + f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


class Http:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, data):
        """The whole answer, head and body, as bytes."""
        self.socket.sendall(data)
        got = self.socket.recv(262144)
        while (end := got.find(b"\r\n\r\n")) < 0:
            more = self.socket.recv(262144)
            if not more:
                raise OSError("the connection was closed")
            got += more
        length = LENGTH.search(got, 0, end + 2)
        if not length:
            raise OSError("an answer without Content-Length")
        whole = end + 4 + int(length.group(1))
        if len(got) < whole:
            parts, have = [got], len(got)
            while have < whole:
                more = self.socket.recv(262144)
                if not more:
                    raise OSError("the connection was closed")
                parts.append(more)
                have += len(more)
            got = b"".join(parts)
        return got

    def timed(self, data):
        """(seconds, answer)"""
        began = time.perf_counter()
        answer = self.ask(data)
        return time.perf_counter() - began, answer

    def close(self):
        self.socket.close()


def status(answer):
    return int(answer[9:12])


def read(answer):
    """The body of an answer, which must be 200, as JSON."""
    body = answer[answer.find(b"\r\n\r\n") + 4:]
    if status(answer) != 200:
        raise RuntimeError(f"status {status(answer)}: {body[:500]!r}")
    return json.loads(body)


class Resp:
    """One Redis connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @staticmethod
    def command(*words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        return b"".join(out)

    def exactly(self, data, length):
        """Sends and reads an answer whose length is known."""
        self.socket.sendall(data)
        parts, have = [], 0
        while have < length:
            more = self.socket.recv(262144)
            if not more:
                raise OSError("the connection was closed")
            parts.append(more)
            have += len(more)
            if parts[0][:1] == b"-":
                raise OSError(parts[0][:200].decode())
        return b"".join(parts)

    def close(self):
        self.socket.close()


def pump(port, requests, connections, on_answer=None, seconds=None):
    """Sends all requests over some connections, as fast as answers come; returns how many were answered with 200.

    `on_answer(number, answer)` is called for each, in the thread of its connection. Ends early after `seconds`.
    """
    source, lock, failures, done = enumerate(requests), threading.Lock(), [], [0]
    ends = time.monotonic() + seconds if seconds else float("inf")

    def one():
        try:
            link = Http(port)
            while time.monotonic() < ends and not failures:
                with lock:
                    item = next(source, None)
                if item is None:
                    break
                answer = link.ask(item[1])
                if status(answer) != 200:
                    raise RuntimeError(f"status {status(answer)}: {answer[-400:]!r}")
                if on_answer:
                    on_answer(item[0], answer)
                with lock:
                    done[0] += 1
            link.close()
        except Exception as error:  # told by the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=one, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return done[0]


def wrk(folder, port, requests, connections, seconds, core):
    """Many requests in turn over some connections by wrk; returns requests and seconds. All answers must be 200."""
    folder = pathlib.Path(folder)
    lines = folder / "wrk.requests"
    # Lua reads "length\nbytes" pairs: request bodies may hold anything.
    lines.write_bytes(b"".join(b"%d\n%s" % (len(data), data) for data in requests))
    script = folder / "wrk.lua"
    script.write_text(f"""
local all, at = {{}}, 0
local file = io.open("{lines}", "rb")
while true do
  local length = file:read("*l")
  if not length then break end
  all[#all + 1] = file:read(tonumber(length))
end
file:close()
function request()
  at = at % #all + 1
  return all[at]
end
function done(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write + e.timeout))
end
""")
    line = ["taskset", "-c", str(core)] if core is not None else []
    line += ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    out = subprocess.run(line, capture_output=True, text=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", out.stdout)
    if not found:
        raise RuntimeError(f"wrk: {out.stdout[-500:]} {out.stderr[-500:]}")
    count, micros, refused, broken = map(int, found.groups())
    if refused or broken or not count:
        raise RuntimeError(f"wrk: of {count} answers {refused} were refused, {broken} broke")
    return count, micros / 1e6
