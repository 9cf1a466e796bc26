"""Starting, watching and stopping the three servers of the comparison: selfsame, PostgreSQL and Redis.

Used by `run`; not a program of its own. Standard library only; Linux (/proc). Everything listens on loopback or on a unix socket
below the temporary directory that `run` makes and removes.
"""

import ctypes
import glob
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def cpu_seconds(*pids):
    """Processor time of processes so far, all threads, user and system."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def thread_seconds(pid):
    """Processor time of a process with one thread, to the nanosecond: ticks are too coarse for short blocks."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def status_bytes(pid, field):
    """VmRSS or VmHWM of a process."""
    return int(re.search(rf"{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def children(pid):
    out = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            out += [int(one) for one in pathlib.Path(path).read_text().split()]
        except OSError:
            pass
    return out


def pin(pids, cores):
    """Keeps processes, all their threads and children on some cores. A thread that ends meanwhile is no harm."""
    for pid in pids:
        for one in [pid] + children(pid):
            for path in glob.glob(f"/proc/{one}/task/*"):
                try:
                    os.sched_setaffinity(int(path.rsplit("/", 1)[1]), cores)
                except (OSError, ValueError):
                    pass


def die_with_parent():
    """In a child before it runs its program: it ends when this program does, even when that is killed."""
    os.setpgrp()  # Ctrl-C in the terminal reaches `run` alone, which stops everything in order
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Server:
    """A process that is stopped at the end."""

    process = None

    def stop(self, how=signal.SIGTERM, seconds=60):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def discard(self):
        """Stops at once: the data goes too."""
        self.stop(signal.SIGKILL)

    @property
    def pid(self):
        return self.process.pid

    def dead(self):
        return self.process is None or self.process.poll() is not None


class Selfsame(Server):
    def __init__(self, binary, folder, **settings):
        """`settings`: keys of the configuration."""
        self.binary, self.folder = binary, pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {f"SELFSAME_{key.upper()}": str(value) for key, value in settings.items()}

    def start(self, **settings):
        """Starts, with more settings for this once; returns the seconds from the start of the process to ready."""
        log = open(self.folder / "log", "ab")
        more = {f"SELFSAME_{key.upper()}": str(value) for key, value in settings.items()}
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data-dir", str(self.folder / "data"), "--key-file", str(self.folder / "key"),
             "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log, env=self.environment | more,
            preexec_fn=die_with_parent)
        log.close()
        while True:
            if self.dead():
                raise RuntimeError("selfsame did not start: " + (self.folder / "log").read_text()[-2000:])
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return time.perf_counter() - began
            except OSError:
                pass
            time.sleep(.002)

    def call(self, method, path, body=None, content_type="application/json", timeout=3600):
        """(status, answer as JSON)"""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
            link.request(method, path, data, {"Content-Type": content_type} if data is not None else {})
            answer = link.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            link.close()

    def must(self, method, path, body=None, content_type="application/json"):
        status, answer = self.call(method, path, body, content_type)
        if status not in (200, 201, 202, 204):
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def bench(self, tenant, *options, may_fall_behind=False):
        """`selfsame bench` as JSON; it fails where any answer was not whole, or was never asked for because the server fell behind."""
        line = [self.binary, "bench", "--json", "--url", self.url, "--tenant", tenant, *map(str, options)]
        done = subprocess.run(line, capture_output=True, text=True)
        behind = may_fall_behind and "the server cannot keep up" in done.stderr and "0 not 200, 0 malformed" in done.stderr
        if done.returncode and not (behind and done.stdout):
            raise RuntimeError(f"{' '.join(line[1:])}: {done.stderr[-1500:]}")
        return json.loads(done.stdout)


class Postgres(Server):
    """Of the newest version that is installed. It refuses to run as root, so root runs it as the user `postgres`."""

    @staticmethod
    def folder_of_programs():
        found = glob.glob("/usr/lib/postgresql/*/bin/postgres") + glob.glob("/usr/pgsql-*/bin/postgres")
        if found:
            return pathlib.Path(max(found, key=lambda path: int(re.search(r"(\d+)/bin", path).group(1)))).parent
        there = shutil.which("postgres")
        return pathlib.Path(there).resolve().parent if there else None

    def __init__(self, folder):
        self.programs = self.folder_of_programs()
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.user = []
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=INT"]
        self.data = self.folder / "data"

    def start(self):
        # The empty environment keeps settings of the caller (PGHOST, a locale that is missing) out.
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
        subprocess.run([*self.user, self.programs / "initdb", "-D", self.data, "-U", "bench", "-A", "trust", "-E", "UTF8",
                        "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/", env=environment)
        memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) // 1024
        self.settings = {
            "listen_addresses": "", "unix_socket_directories": str(self.folder), "port": self.port,
            "shared_buffers": f"{min(2048, memory // 4)}MB", "effective_cache_size": f"{min(8192, memory // 2)}MB",
            "maintenance_work_mem": f"{min(1024, memory // 8)}MB", "work_mem": "64MB", "max_wal_size": "8GB",
            "checkpoint_timeout": "30min", "wal_level": "minimal", "max_wal_senders": 0, "jit": "off",
            "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "random_page_cost": 1.1,
            "max_parallel_workers_per_gather": 0,
        }
        line = [*self.user, self.programs / "postgres", "-D", self.data]
        for name, value in self.settings.items():
            line += ["-c", f"{name}={value}"]
        log = open(self.folder.parent / "postgres.log", "ab")
        self.process = subprocess.Popen(line, stdout=log, stderr=log, cwd="/", env=environment, preexec_fn=die_with_parent)
        log.close()
        for _ in range(600):
            if self.dead():
                raise RuntimeError("PostgreSQL did not start: " + (self.folder.parent / "postgres.log").read_text()[-2000:])
            if (self.folder / f".s.PGSQL.{self.port}").exists():
                try:
                    with self.connect() as link:
                        link.execute("create extension pg_trgm; create extension fuzzystrmatch")
                        self.version = link.execute("show server_version").fetchone()[0]
                    return
                except Exception as error:  # still starting
                    if "starting up" not in str(error):
                        raise
            time.sleep(.1)
        raise RuntimeError("PostgreSQL does not answer")

    def connect(self):
        import psycopg  # from the virtual environment
        self.client = psycopg.__version__
        link = psycopg.connect(host=str(self.folder), port=self.port, user="bench", dbname="postgres", autocommit=True)
        link.prepare_threshold = 1
        return link

    def pgbench(self, script, clients, seconds):
        """Transactions a second of a script in prepared mode, over the unix socket."""
        done = subprocess.run([self.programs / "pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(clients), "-j", "1",
                               "-T", str(seconds), "-h", self.folder, "-p", str(self.port), "-U", "bench", "postgres"],
                              capture_output=True, text=True)
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
        if done.returncode or not rate or (failed and int(failed.group(1))):
            raise RuntimeError(f"pgbench: {done.stdout[-800:]} {done.stderr[-800:]}")
        return float(rate.group(1))

    def discard(self):
        self.stop(signal.SIGQUIT, 20)  # without a checkpoint, but with its shared memory given back


class Redis(Server):
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()

    def start(self):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(self.folder), "--daemonize", "no"], stdout=log, stderr=log, preexec_fn=die_with_parent)
        log.close()
        for _ in range(500):
            if self.dead():
                raise RuntimeError("Redis did not start: " + (self.folder / "log").read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(.02)
        raise RuntimeError("Redis does not answer")
