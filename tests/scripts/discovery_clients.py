#!/usr/bin/env python3
"""Other people's clients and server against ours, over real HTTP.

    python3 tests/scripts/discovery_clients.py target/release/selfsame

- An oblivious client in JavaScript (oprf_client.mjs on @noble/curves 2.4.0) finds whom `selfsame discover` finds.
- matrix-js-sdk 43.0.0 finds the same through our Matrix calls and through matrix-sydent 2.6.1, the reference server, which
  is given the same people; and it recovers when the pepper changes under it.

Installs these three into a temporary folder with npm and pip. SELFSAME_CLIENTS_DIR names a folder to keep them in.
"""

import json
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PEOPLE = 60
HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = ["@noble/curves@2.4.0", "matrix-js-sdk@43.0.0"]
SYDENT = ["matrix-sydent==2.6.1", "prometheus_client", "setuptools<81"]


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def get(*command):
    """Runs an installer. Without the registries there is nothing to compare with, and the run says so."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout[-2000:])
        print("SKIPPED: the clients above could not be installed, so nothing was compared with them.")
        sys.exit(0)


def install(folder):
    """The three, where they are not there yet."""
    modules = folder / "node_modules"
    if not (modules / "matrix-js-sdk").exists():
        (folder / "package.json").write_text('{"private": true}')
        get("npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *PACKAGES)
    python = folder / "sydent" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder / "sydent")
        get(python, "-m", "pip", "install", "--quiet", *SYDENT)
    return modules, python


def start(binary, data):
    """Our server on a free port; process and URL."""
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url = None
    for line in process.stderr:
        found = re.search(r"listening on (http://\S+)", line)
        url = found.group(1) if found else url
        if "selfsame: ready" in line:
            return process, url
    sys.exit("the server did not start")


def phone(n):
    return f"+1212555{n:04}"


def email(n):
    return f"person{n}@example.com"


def mxid(n):
    return f"@user{n}:example.org"


def is_findable(n):
    return n % 7 != 0


def fill(url):
    """A directory of people, of whom everyone may find most. Contact ids by number."""
    at = f"{url}/v1/tenants/main"
    call("PUT", f"{at}/settings", {"discovery": {"users": "app", "matrix": True, "matrix_system": "matrix"}})
    ids = []
    for n in range(PEOPLE):
        record = {
            "source": "app", "source_record_id": str(n), "name": f"Given{n} Family{n}", "phone": phone(n), "email": email(n),
            "external_ids": [{"system": "matrix", "id": mxid(n)}],
        }
        ids.append(call("POST", f"{at}/contacts:upsert", {"record": record})["results"][0]["contact_id"])
        if is_findable(n):
            call("PUT", f"{at}/contacts/{ids[n]}/discovery", {"policy": "everyone"})
    seq = call("GET", f"{at}/stats")["seq"]
    for _ in range(600):
        try:
            if call("GET", f"{at}/discovery/oprf")["covers_seq"] >= seq:
                return ids
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
        time.sleep(0.05)
    sys.exit("the directory's set does not follow")


def oblivious(binary, modules, url, ids):
    book = [phone(n) for n in range(0, PEOPLE + 10, 3)] + [email(n) for n in range(1, PEOPLE + 10, 5)]
    known = {phone(n): ids[n] for n in range(PEOPLE) if is_findable(n)}
    known |= {email(n): ids[n] for n in range(PEOPLE) if is_findable(n)}
    expected = {one: known.get(one) for one in book}
    for by in ("filter", "buckets"):
        theirs = json.loads(run("node", HERE / "oprf_client.mjs", modules, url, "main", by, *book))
        ours = json.loads(run(binary, "discover", *book, "--by", by, "--json", "--url", url))
        ours = {one["identifier"]: one["contact"] for one in ours["results"]}
        assert theirs == expected, f"{by}: JavaScript differs: {theirs}"
        assert ours == expected, f"{by}: selfsame discover differs: {ours}"
    print(f"oblivious: JavaScript and Rust find the same {sum(1 for one in expected.values() if one)} of {len(book)}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def sydent(python, folder):
    """The reference server with the same people; process, URL and token."""
    port, home = free_port(), pathlib.Path(tempfile.mkdtemp(dir=folder))
    (home / "sydent.conf").write_text(
        f"[general]\nserver.name = localhost\nlog.path = {home}/log\npidfile.path = {home}/pid\n"
        f"[db]\ndb.file = {home}/sydent.db\n"
        f"[http]\nclientapi.http.bind_address = 127.0.0.1\nclientapi.http.port = {port}\ninternalapi.http.port =\n"
        "replication.https.port = 0\n[email]\n[crypto]\n"
    )
    environment = dict(os.environ, SYDENT_CONF=str(home / "sydent.conf"))
    log = open(home / "out", "w")

    def begin():
        return subprocess.Popen([python, "-m", "sydent.sydent"], cwd=home, env=environment, stdout=log, stderr=log)

    def wait(process):
        for _ in range(200):
            try:
                call("GET", f"http://127.0.0.1:{port}/_matrix/identity/v2")
                return
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    break
            time.sleep(0.1)
        sys.exit("sydent did not start:\n" + (home / "out").read_text()[-4000:])

    process = begin()
    wait(process)
    pepper = None
    with sqlite3.connect(home / "sydent.db") as db:
        pepper = db.execute("select lookup_pepper from hashing_metadata").fetchone()[0]
        now = int(time.time() * 1000)
        add = (
            "insert into global_threepid_associations (medium, address, lookup_hash, mxid, ts, notBefore, notAfter, "
            "originServer, originId, sgAssoc) values (?, ?, ?, ?, ?, ?, ?, 'localhost', ?, '{}')"
        )
        number = 0
        for n in filter(is_findable, range(PEOPLE)):
            for medium, address in (("msisdn", phone(n)[1:]), ("email", email(n))):
                hashed = hash_of(address, medium, pepper)
                number += 1
                db.execute(add, (medium, address, hashed, mxid(n), now, now - 1000, now + 10**9, number))
        db.execute("insert into accounts (user_id, created_ts) values ('@asker:example.org', ?)", (now,))
        db.execute("insert into tokens (token, user_id) values ('sydenttoken', '@asker:example.org')")
    db.close()
    return process, f"http://127.0.0.1:{port}", "sydenttoken"


def hash_of(address, medium, pepper):
    import base64
    import hashlib

    digest = hashlib.sha256(f"{address} {medium} {pepper}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def last_line(printed):
    """The library prints its diagnostics first."""
    lines = printed.strip().splitlines()
    assert lines, "the client printed nothing"
    return json.loads(lines[-1])


def matrix(python, modules, folder, url):
    asked = [f"{phone(n)[1:]}/msisdn" for n in range(PEOPLE + 5)] + [f"{email(n)}/email" for n in range(PEOPLE + 5)]
    expected = {phone(n)[1:]: mxid(n) for n in range(PEOPLE) if is_findable(n)}
    expected |= {email(n): mxid(n) for n in range(PEOPLE) if is_findable(n)}
    rotate = f"{url}/v1/tenants/main/discovery/rotate"
    client = HERE / "matrix_client.mjs"
    ours = last_line(run("node", client, modules, url, "lookup", rotate, *asked))
    assert ours == {"found": expected, "refused": None}, f"ours: {ours}"
    process, other, token = sydent(python, folder)
    try:
        environment = dict(os.environ, SELFSAME_KEY=token)
        theirs = last_line(run("node", client, modules, other, "lookup", rotate, *asked, env=environment))
    finally:
        process.terminate()
        process.wait()
    assert theirs == ours, f"sydent: {theirs}"
    stale = last_line(run("node", client, modules, url, "stale", rotate, *asked))
    assert stale == {"found": expected, "refused": "M_INVALID_PEPPER"}, f"stale: {stale}"
    print(f"matrix: matrix-js-sdk finds the same {len(expected)} through us and through sydent, and survives another pepper")


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(os.environ.get("SELFSAME_CLIENTS_DIR", temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        modules, python = install(folder)
        process, url = start(binary, pathlib.Path(temporary) / "data")
        try:
            ids = fill(url)
            oblivious(binary, modules, url, ids)
            matrix(python, modules, pathlib.Path(temporary), url)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
