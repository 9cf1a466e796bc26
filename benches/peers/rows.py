"""The measurements. Each function fills the rows of one group; `run` calls them in order.

Used by `run`; not a program of its own. Needs psycopg from the virtual environment that `run` makes; wrk and redis-benchmark.

Rules for all: A and B are measured in turn within one run, at least three rounds, and the ratio is taken per round; the figure is
the median of the rounds. Percentiles over queries are of each query's best round (the machine's noise goes, the algorithm's own
tail stays); the tail beside writes is the median of the rounds' own. Servers are pinned to one core and clients to another where one
query at a time is timed; elsewhere both systems have all cores. PostgreSQL is asked over a unix socket with prepared statements and answers with the ten best numbers; selfsame is asked
over HTTP and answers with ten whole contacts. "Per core" is per second of processor time of the server, user and system, as the
kernel counts it. An answer that is not whole makes its row fail: there are no figures of broken answers.
"""

import collections
import csv
import gc
import hashlib
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import threading
import time

import people
import wire
from servers import Postgres, Redis, Selfsame, cpu_seconds, die_with_parent, pin, say, status_bytes, thread_seconds

TENANT = "main"
MATCH = f"/v1/tenants/{TENANT}/contacts:match"
IMPORT_ROWS = 50_000

# --- PostgreSQL's side of the job: names by trigrams, identifiers by btrees, the score in SQL.
TABLE = """create table {t}(id bigint primary key, first text, last text, phone text, email text, company text, city text,
  name text generated always as (lower(first||' '||last)) stored)"""
INDEXES = ["create index on {t}(email) where email<>''", "create index on {t}(phone) where phone<>''",
           "create index on {t}(dmetaphone(last), dmetaphone(first))", "create index on {t} using gin(name gin_trgm_ops)"]
COLUMNS = "id,name,first,last,email,phone,company,city"
SCORE = """(2*greatest(similarity(name,%(n)s), .95*similarity(name,%(sw)s)) + .6*(dmetaphone(last)=dmetaphone(%(l)s))::int
  + .3*(left(first,1)=left(%(f)s,1))::int
  + case when email<>'' and email=%(e)s then 3 else 0 end + case when phone<>'' and phone=%(p)s then 3 else 0 end
  + case when split_part(email,'@',1)<>'' and split_part(email,'@',1)=split_part(%(e)s,'@',1) then 1 else 0 end
  + case when company<>'' and %(c)s<>'' then similarity(company,%(c)s)-.2 else 0 end
  + case when city<>'' and %(t)s<>'' then (city=%(t)s)::int-.2 else 0 end)"""
EXACT = (f"select {COLUMNS} from people where (email=%(e)s and email<>'') "
         f"union select {COLUMNS} from people where (phone=%(p)s and phone<>'')")
TOP20 = (f"with c as ({EXACT} union (select {COLUMNS} from people where name %% %(n)s order by similarity(name,%(n)s) desc limit 20)) "
         f"select id from c order by {SCORE} desc limit 10")
EVERY = (f"with c as ({EXACT} union (select {COLUMNS} from people where name %% %(n)s)) "
         f"select id from c order by {SCORE} desc limit 10")


def median(values):
    return statistics.median(values)


def at(values, share):
    """A percentile by rank."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def ms(seconds):
    return f"{seconds * 1e3:.3f} ms" if seconds < .01 else f"{seconds * 1e3:.1f} ms"


def contact(fields):
    """The six fields as selfsame takes them."""
    first, last, phone, email, company, city = fields
    out = {"first_name": first, "last_name": last}
    if phone:
        out["phone"] = phone
    if email:
        out["email"] = email
    if company:
        out["organization"] = company
    if city:
        out["addresses"] = [{"city": city}]
    return out


def parameters(fields):
    """The six fields as the SQL takes them."""
    first, last, phone, email, company, city = fields
    return {"n": f"{first} {last}".lower(), "sw": f"{last} {first}".lower(), "f": first, "l": last, "p": phone, "e": email, "c": company,
            "t": city}


class Run:
    """What all rows share."""

    def __init__(self, options, folder, report):
        self.options, self.folder, self.report = options, pathlib.Path(folder), report
        self.size, self.quick, self.rounds = options.size, options.quick, options.rounds
        cores = sorted(os.sched_getaffinity(0))
        self.all_cores = set(cores)
        self.server_core, self.client_core = cores[0], cores[-1]
        self.memory_max = options.memory_gb << 30  # resident; from there on nothing is added to a server
        self.started = []
        self.small = None

    def stop(self):
        for server in reversed(self.started):
            server.discard()

    def keep(self, server):
        self.started.append(server)
        return server

    def apart(self, *pids):
        """Servers on one core, this client on another."""
        pin(pids, {self.server_core})
        os.sched_setaffinity(0, {self.client_core})

    def together(self, *pids):
        """Everybody on all cores again."""
        os.sched_setaffinity(0, self.all_cores)
        pin(pids, self.all_cores)

    # --- the same people in both

    def prepare(self):
        began = time.perf_counter()
        self.tsv = self.folder / "people.tsv"
        count = 500 if self.quick else 2000
        self.questions, facts = people.write(self.tsv, self.size, count, self.options.seed)
        self.report.facts["data"] = {**facts, "seed": self.options.seed}
        say(f"made {self.size:,} people in {time.perf_counter() - began:.0f} s")
        self.some_rows = []
        with open(self.tsv, encoding="utf-8") as lines:
            for line in lines:
                self.some_rows.append(line.rstrip("\n").split("\t")[1:])
                if len(self.some_rows) == min(self.size, 100_000):
                    break

    def start_selfsame(self, load=True):
        self.ours = self.keep(Selfsame(self.options.binary, self.folder / "selfsame"))
        self.ours.start()
        self.empty_bytes = status_bytes(self.ours.pid, "VmRSS")
        if not load:
            return
        began = time.perf_counter()
        self.load(TENANT, self.size)
        seconds = time.perf_counter() - began
        say(f"selfsame holds {self.size:,} records after {seconds:.0f} s")
        self.loaded_bytes = status_bytes(self.ours.pid, "VmRSS")
        self.loaded_peak = status_bytes(self.ours.pid, "VmHWM")
        stats = self.ours.must("GET", f"/v1/tenants/{TENANT}/stats")
        if stats["records"] != self.size:
            raise RuntimeError(f"selfsame holds {stats['records']} records of {self.size}")
        self.contacts = stats["contacts"]
        self.report.facts["loading"] = {"selfsame import, s": round(seconds, 1), "contacts": self.contacts,
                                        "people joined with somebody else": self.size - self.contacts}
        began = time.perf_counter()
        self.ours.must("POST", "/v1/admin/snapshot")
        say(f"snapshot in {time.perf_counter() - began:.1f} s")

    def load(self, tenant, count):
        """The first people of the file, as one source, by imports."""
        def send(lines, number):
            answer = self.ours.must("POST", f"/v1/tenants/{tenant}/imports?source=crm", b"\n".join(lines), "application/x-ndjson")
            if answer["rows"] != len(lines) or answer["invalid"]:
                raise RuntimeError(f"import: {answer}")
            held = status_bytes(self.ours.pid, "VmRSS")
            say(f"  {tenant}: {number:,} records, {held >> 20} MB")
            if held > self.memory_max:
                raise RuntimeError(f"{number:,} records take {held >> 20} MB; --memory-gb says how much a server may have")
        lines = []
        with open(self.tsv, encoding="utf-8") as rows:
            for number, row in enumerate(rows):
                if number == count:
                    break
                key, *fields = row.rstrip("\n").split("\t")
                lines.append(json.dumps({"source_record_id": key, **contact(fields)}, ensure_ascii=False).encode())
                if len(lines) == IMPORT_ROWS:
                    send(lines, number + 1)
                    lines = []
        if lines:
            send(lines, count)

    def start_postgres(self):
        self.pg = self.keep(Postgres(self.folder / "postgres"))
        self.pg.start()
        self.report.facts["versions"]["PostgreSQL"] = self.pg.version
        self.report.facts["versions"]["psycopg"] = self.pg.client
        self.report.facts["PostgreSQL settings"] = {name: value for name, value in self.pg.settings.items()
                                                    if name not in ("listen_addresses", "unix_socket_directories", "port")}
        self.pg_cpu = []
        self.pg_loads = [self.copy("people")]
        with self.pg.connect() as link:
            link.execute("vacuum analyze people")
            link.execute("checkpoint")
            count = link.execute("select count(*) from people").fetchone()[0]
            table, indexes = link.execute("select pg_table_size('people'), pg_indexes_size('people')").fetchone()
        if count != self.size:
            raise RuntimeError(f"PostgreSQL holds {count} rows of {self.size}")
        self.report.facts["PostgreSQL size"] = {"table MB": table >> 20, "indexes MB": indexes >> 20}
        say(f"PostgreSQL {self.pg.version} holds {count:,} rows after {self.pg_loads[0]:.1f} s")

    def copy(self, table):
        """Seconds of COPY and the indexes, committed."""
        with self.pg.connect() as link:
            link.execute("checkpoint")
            began, before = time.perf_counter(), thread_seconds(link.info.backend_pid)
            with link.transaction():
                link.execute(TABLE.format(t=table))
                with link.cursor().copy(f"copy {table}(id,first,last,phone,email,company,city) from stdin") as into, \
                        open(self.tsv, "rb") as rows:
                    while block := rows.read(1 << 20):
                        into.write(block)
                for index in INDEXES:
                    link.execute(index.format(t=table))
            self.pg_cpu.append(thread_seconds(link.info.backend_pid) - before)
            return time.perf_counter() - began

    def ask_postgres(self, every=False):
        """A connection that is ready to ask."""
        link = self.pg.connect()
        link.execute("set pg_trgm.similarity_threshold=.3")
        link.execute("set plan_cache_mode=" + ("force_custom_plan" if every else "auto"))
        return link

    def small_tenant(self):
        """A tenant of 10,000 of the same people beside the large one."""
        if not self.small:
            self.load("small", 10_000)
            self.small = "/v1/tenants/small/contacts:match"
        return self.small


# --- rows

def match(run):
    """match p50, p99, throughput, recall."""
    questions = run.questions
    bodies = [wire.request("POST", MATCH, {"contact": contact(fields), "limit": 10, "threshold": 0}) for _, _, fields in questions]
    timed = list(range(min(len(questions), 300 if run.quick or run.size > 1_000_000 else 1000)))
    link, http = run.ask_postgres(), wire.Http(run.ours.port)
    backend = link.info.backend_pid
    run.apart(run.ours.pid, run.pg.pid, backend)
    found_pg, found_ours, rounds, pg_cpu, pg_asked = {}, {}, [], 0, 0
    best_pg, best_ours = [float("inf")] * len(timed), [float("inf")] * len(timed)
    control = wire.request("GET", "/healthz")

    def ask_pg(at_):
        nonlocal pg_cpu, pg_asked
        before = thread_seconds(backend)
        for number in at_:
            values = parameters(questions[number][2])
            began = time.perf_counter()
            rows = link.execute(TOP20, values).fetchall()
            took = time.perf_counter() - began
            times_pg[number], best_pg[number] = took, min(best_pg[number], took)
            found_pg[number] = [row[0] for row in rows]
        pg_cpu, pg_asked = pg_cpu + thread_seconds(backend) - before, pg_asked + len(at_)

    def ask_ours(at_):
        for number in at_:
            took, answer = http.timed(bodies[number])
            times_ours[number], best_ours[number] = took, min(best_ours[number], took)
            found_ours[number] = right_numbers(answer)

    for number in timed[:50]:  # plans, caches
        link.execute(TOP20, parameters(questions[number][2])).fetchall()
        wire.read(http.ask(bodies[number]))
    plan = "\n".join(row[0] for row in link.execute("explain " + TOP20, parameters(questions[0][2])).fetchall())
    trigrams = "people_name_idx" in plan
    gc.collect()
    gc.disable()
    for turn in range(run.rounds):
        times_pg, times_ours, controls = {}, {}, []
        for block in range(0, len(timed), 50):
            part = timed[block:block + 50]
            for ask in (ask_pg, ask_ours) if (turn + block // 50) % 2 else (ask_ours, ask_pg):
                ask(part)
            controls += [http.timed(control)[0] for _ in range(20)]
        one = {"pg_p50": at(times_pg.values(), .5), "pg_p99": at(times_pg.values(), .99), "ours_p50": at(times_ours.values(), .5),
               "ours_p99": at(times_ours.values(), .99), "healthz_p50": at(controls, .5)}
        rounds.append(one)
        say(f"match round {turn + 1}: PostgreSQL p50 {ms(one['pg_p50'])}, ours p50 {ms(one['ours_p50'])} p99 {ms(one['ours_p99'])}")
    selects = []
    for _ in range(300):
        began = time.perf_counter()
        link.execute("select 1").fetchall()
        selects.append(time.perf_counter() - began)
    gc.enable()
    p50 = median([one["pg_p50"] / one["ours_p50"] for one in rounds])
    pg_p50, ours_p50, ours_p99 = at(best_pg, .5), at(best_ours, .5), at(best_ours, .99)
    run.match_seconds = {"ours_p50": ours_p50, "healthz_p50": median([one["healthz_p50"] for one in rounds])}
    both = f"p50 {ms(ours_p50)}, p99 {ms(ours_p99)}", f"p50 {ms(pg_p50)}, p99 {ms(at(best_pg, .99))}"
    note = (f"controls through the same clients: /healthz {ms(at(controls, .5))}, select 1 {ms(at(selects, .5))}; "
            + ("PostgreSQL uses its trigram index" if trigrams else "PostgreSQL finds a scan cheaper than its trigram index at this size"))
    run.report.figure("match_p50", p50, *both, note, rounds=rounds, queries=len(timed), plan=plan)
    run.report.figure("match_p99_100k" if run.size < 1_000_000 else "match_p99_1m", pg_p50 / ours_p99, *both,
                      "each query's best of the rounds", worst_round=max(one["ours_p99"] for one in rounds))

    # Recall: the same questions to both, and PostgreSQL once more with every trigram hit scored.
    for number in range(len(questions)):
        if number not in found_ours:
            found_ours[number] = right_numbers(http.ask(bodies[number]))
        if number not in found_pg:
            found_pg[number] = [row[0] for row in link.execute(TOP20, parameters(questions[number][2])).fetchall()]
    every = run.ask_postgres(every=True)
    wanted = [number for number, one in enumerate(questions) if one[0].endswith("_noid")]
    slow = wanted[:500] if run.size > 1_000_000 else wanted
    found_every = {number: [row[0] for row in every.execute(EVERY, parameters(questions[number][2])).fetchall()] for number in slow}
    every.close()

    def recall(found, among, first=1):
        return sum(any(questions[n][1] in (one if isinstance(one, set) else {one}) for one in found[n][:first]) for n in among) / len(among)

    alone = sum(found_ours[n][:1] == [{questions[n][1]}] for n in wanted) / len(wanted)
    kept = [number for number in range(len(questions)) if number not in set(wanted)]
    by_kind = collections.defaultdict(list)
    for number, one in enumerate(questions):
        by_kind[one[0]].append(number)
    answered = sum(bool(found_ours[n]) for n in range(len(questions))), sum(bool(found_pg[n]) for n in range(len(questions)))
    agree = sum(1 for n in kept if found_ours[n] and found_pg[n] and found_pg[n][0] in found_ours[n][0]) / len(kept)
    ours, top20, all_hits = recall(found_ours, wanted), recall(found_pg, wanted), recall(found_every, slow)
    run.report.figure(
        "recall", ours, f"{ours:.3f} (in the first 10: {recall(found_ours, wanted, 10):.3f})",
        f"top 20: {top20:.3f}, every hit scored: {all_hits:.3f}",
        f"{len(wanted)} questions; {alone:.3f} where the right contact is not joined with somebody else; with an identifier "
        f"{recall(found_ours, kept):.3f} and {recall(found_pg, kept):.3f}, both name the same first in {agree:.3f}",
        None if ours >= all_hits else "below PostgreSQL scoring every hit in this run",
        answered={"ours": answered[0], "top20": answered[1], "asked": len(questions)},
        by_kind={kind: {"ours": recall(found_ours, among), "top20": recall(found_pg, among), "asked": len(among)}
                 for kind, among in sorted(by_kind.items())})
    if recall(found_pg, kept) < .9 or recall(found_ours, kept) < .9:
        raise RuntimeError("a system does not find people by their exact mail address or phone: the comparison is broken")
    http.close()
    link.close()

    # Throughput: wrk keeps our server busy; PostgreSQL's was measured above, with one client, its best case.
    def busy():
        before = cpu_seconds(run.ours.pid)
        count, seconds = wire.wrk(run.folder, run.ours.port, bodies, 4, 2 if run.quick else 5, run.client_core)
        return count / (cpu_seconds(run.ours.pid) - before), count / seconds
    turns = [busy() for _ in range(run.rounds)]
    per_core, wall = median([one[0] for one in turns]), median([one[1] for one in turns])
    pg_core = pg_asked / pg_cpu
    run.report.figure("throughput", per_core / pg_core, f"{per_core:,.0f}/s per core", f"{pg_core:,.1f}/s per core",
                      f"ours with 4 connections, {wall:,.0f}/s by the clock on one core", turns=turns)
    run.together(run.ours.pid, run.pg.pid)


def right_numbers(answer):
    """For each candidate the numbers of the people whose records it holds."""
    return [{int(record["source_record_id"]) for record in one["contact"]["records"] if record["source"] == "crm"}
            for one in wire.read(answer)["candidates"]]


def scaling(run):
    """p50 of this size over that of 10,000."""
    if run.size <= 10_000:
        return run.report.figure("scaling", None, note="needs --size above 10000")
    small = run.small_tenant()
    asked = [fields for _, number, fields in run.questions][:500]
    bodies = {path: [wire.request("POST", path, {"contact": contact(f), "limit": 10, "threshold": 0}) for f in asked]
              for path in (MATCH, small)}
    http, ratios, shown = wire.Http(run.ours.port), [], []
    run.apart(run.ours.pid)
    gc.disable()
    for turn in range(run.rounds + 1):
        times = {MATCH: [], small: []}
        for block in range(0, len(asked), 50):
            for path in times:
                for body in bodies[path][block:block + 50]:
                    took, answer = http.timed(body)
                    if wire.status(answer) != 200:
                        raise RuntimeError(answer[:400])
                    times[path].append(took)
        if turn:  # the first warms up
            shown.append((at(times[MATCH], .5), at(times[small], .5)))
    gc.enable()
    ratios = [one / other for one, other in shown]
    run.report.figure("scaling", median(ratios), ms(median([s[0] for s in shown])), f"10,000: {ms(median([s[1] for s in shown]))}",
                      rounds=ratios)
    run.together(run.ours.pid)


def overhead(run):
    """What HTTP and JSON add to a match. The match in process needs the library: see --in-process-us."""
    if not hasattr(run, "match_seconds"):
        return run.report.figure("overhead", None, note="needs the rows of `match`")
    http, bare = run.match_seconds["ours_p50"], run.match_seconds["healthz_p50"]
    ours = f"over HTTP {ms(http)}, /healthz {ms(bare)}"
    inside = run.options.in_process_us
    if inside is None:
        return run.report.figure("overhead", None, ours, note="give the p50 of the same match in process as --in-process-us; /healthz of "
                                 f"the same server is the bare round trip; upper bound {http / bare:.2f}")
    run.report.figure("overhead", (http - inside / 1e6) / bare, ours, f"in process {inside} us", "/healthz is the bare round trip")


def lookup(run):
    """Is this hashed phone known: one call of 1,000, and single ones over 16 connections."""
    probe = run.ours.call("POST", "/v1/tenants/none/discovery/lookup", {"identifiers": []})
    if probe[0] == 404 and (probe[1] or {}).get("code") == "no_such_path":
        for key in ("lookup_batch", "lookup_one"):
            run.report.figure(key, None, note="not built: this binary has no discovery/lookup")
        return
    count = min(run.size, run.options.directory, 10_000 if run.quick else 10 ** 9)
    phone = lambda number: f"+1202{2_000_000 + number}" if number < 8_000_000 else f"+1303{number - 6_000_000}"
    digest = lambda number: hashlib.sha256(phone(number).encode()).hexdigest()
    tenant = "/v1/tenants/directory"
    quota = {"quota_new_max": 1_000_000_000, "quota_leak_per_hour": 1_000_000_000}
    run.ours.must("PUT", "/v1/admin/tenants/directory", {})
    run.ours.must("PUT", f"{tenant}/settings", {"discovery": {"users": "app", **quota}})
    ids = {}

    def keep(number, answer):
        for offset, result in enumerate(wire.read(answer)["results"]):
            ids[number * 500 + offset] = result["contact_id"]

    def records(batch):
        return [{"source": "app", "source_record_id": str(n), "name": f"User N{n}", "phone": phone(n),
                 "external_ids": [{"system": "app", "id": f"u{n}"}]} for n in range(batch, min(batch + 500, count))]
    wire.pump(run.ours.port, (wire.request("POST", f"{tenant}/contacts:upsert", {"records": records(b)}) for b in range(0, count, 500)),
              2, keep)
    if len(ids) != count or len(set(ids.values())) != count:
        raise RuntimeError(f"the directory has {len(set(ids.values()))} contacts of {count}")
    policies = (wire.request("PUT", f"{tenant}/contacts/{ids[n]}/discovery", {"policy": "everyone"}) for n in range(count))
    wire.pump(run.ours.port, policies, 16)
    say(f"directory of {count:,} users")

    redis = run.keep(Redis(run.folder / "redis"))
    redis.start()
    link = wire.Resp(redis.port)
    info = link.command("INFO", "server")
    link.socket.sendall(info)
    text = link.socket.recv(65536).decode()
    run.report.facts["versions"]["Redis"] = text.split("redis_version:")[1].split("\r\n")[0]
    for start in range(0, count, 1000):  # the value is a contact's number in eight digits
        part = range(start, min(start + 1000, count))
        words = [word for n in part for word in (digest(n), f"{n:08}")]
        link.exactly(link.command("MSET", *words), 5)

    # Half of each batch is known.
    dice = random.Random(run.options.seed)
    batches = []
    for _ in range(20):
        numbers = [dice.randrange(count) if dice.random() < .5 else 10 ** 7 // 2 + dice.randrange(10 ** 6) for _ in range(1000)]
        known = [n if n < count else None for n in numbers]
        hashes = [digest(n) for n in numbers]
        body = wire.request("POST", f"{tenant}/discovery/lookup", {"identifiers": [{"sha256": h, "kind": "phone"} for h in hashes]})
        mget = link.command("MGET", *hashes)
        length = len(b"*1000\r\n") + sum(14 if n is not None else 5 for n in known)  # $8 and eight digits, or $-1
        batches.append((body, mget, length, known))
    http = wire.Http(run.ours.port)
    for body, mget, length, known in batches:  # the same answers, position by position
        ours = [one["contact"] for one in wire.read(http.ask(body))["results"]]
        theirs = [int(one) if one else None for one in parse_mget(link.exactly(mget, length))]
        if ours != [ids[n] if n is not None else None for n in known] or theirs != known:
            raise RuntimeError(f"look-ups are wrong: {sum(o is not None for o in ours)} hits of {sum(n is not None for n in known)}")
    run.apart(run.ours.pid, redis.pid)
    gc.disable()
    rounds = []
    for _ in range(run.rounds):
        times = [], []
        for _ in range(10 if run.quick else 25):
            for body, mget, length, _ in batches:
                took, answer = http.timed(body)
                if wire.status(answer) != 200:
                    raise RuntimeError(answer[-400:])
                times[0].append(took)
                began = time.perf_counter()
                link.exactly(mget, length)
                times[1].append(time.perf_counter() - began)
        rounds.append((at(times[0], .5), at(times[1], .5)))
    gc.enable()
    run.report.figure("lookup_batch", median([b / a for a, b in rounds]), ms(median([a for a, _ in rounds])),
                      ms(median([b for _, b in rounds])), f"{count:,} keys, half of each batch known, answers compared", rounds=rounds)

    # One key: the same hit rate; redis-benchmark makes keys of 12 digits behind a prefix, 64 characters in all.
    prefix = "a" * 52
    link.exactly(link.command("SELECT", 1), 5)
    for start in range(0, count, 1000):
        words = [word for n in range(start, min(start + 1000, count)) for word in (f"{prefix}{2 * n:012}", f"{n:08}")]
        link.exactly(link.command("MSET", *words), 5)
    singles = []
    for n in range(20_000):
        number = dice.randrange(count) if n % 2 else 10 ** 7 // 2 + n
        singles.append(wire.request("POST", f"{tenant}/discovery/lookup", {"identifiers": [{"sha256": digest(number), "kind": "phone"}]}))
    seconds, turns = (2 if run.quick else 4), []
    for _ in range(run.rounds):
        before = cpu_seconds(run.ours.pid)
        asked, took = wire.wrk(run.folder, run.ours.port, singles, 16, seconds, run.client_core)
        ours = asked / (cpu_seconds(run.ours.pid) - before), asked / took
        number = 100_000 * seconds
        before, began = cpu_seconds(redis.pid), time.perf_counter()
        line = ["taskset", "-c", run.client_core, "redis-benchmark", "-p", redis.port, "-c", 16, "-n", number, "-r", 2 * count,
                "--dbnum", 1, "-q", "GET", f"{prefix}__rand_int__"]
        done = subprocess.run([str(word) for word in line], capture_output=True, text=True)
        if done.returncode or "requests per second" not in done.stdout:
            raise RuntimeError(f"redis-benchmark: {done.stdout} {done.stderr}")
        took = time.perf_counter() - began
        theirs = number / (cpu_seconds(redis.pid) - before), number / took
        turns.append((ours, theirs))
    link.socket.sendall(link.command("INFO", "stats"))
    stats = link.socket.recv(65536).decode()
    hits, misses = (int(stats.split(name + ":")[1].split("\r\n")[0]) for name in ("keyspace_hits", "keyspace_misses"))
    if not .3 < hits / (hits + misses) < .7:
        raise RuntimeError(f"Redis hit {hits} of {hits + misses} keys; half was meant")
    shown = lambda side: f"{median([t[side][0] for t in turns]):,.0f}/s per core"
    clock = [median([t[side][1] for t in turns]) for side in (0, 1)]
    run.report.figure("lookup_one", median([a[0] / b[0] for a, b in turns]), shown(0), shown(1),
                      f"by the clock, each server on one core: {clock[0]:,.0f}/s and {clock[1]:,.0f}/s", turns=turns)
    run.together(run.ours.pid, redis.pid)
    http.close()
    link.close()
    redis.discard()


def parse_mget(answer):
    lines = answer.split(b"\r\n")[1:-1]
    out = []
    for line in lines:
        if line == b"$-1":
            out.append(None)
        elif not line.startswith(b"$"):
            out.append(line)
    return out


class Writes:
    """Records for writes, in files of their own, so that no round says again what an earlier one said."""

    def __init__(self, run, count, each):
        self.run, self.each, self.used = run, each, 0
        self.records = people.write_upserts(run.some_rows, count, run.options.seed)

    def file(self):
        part = self.records[self.used:self.used + self.each]
        if len(part) < self.each:
            raise RuntimeError("no records for writes are left")
        self.used += self.each
        path = self.run.folder / "writes.ndjson"
        with open(path, "w", encoding="utf-8") as out:
            for fields in part:
                out.write(json.dumps(contact(fields), ensure_ascii=False) + "\n")
        return path


def upsert(run):
    """Single durable upserts, both with fsync on one file system; ours decide who it is, PostgreSQL's do not."""
    seconds = 1 if run.quick else 5
    each = 20_000 * seconds
    writes = Writes(run, each * 2 * run.rounds, each)
    # Every other row is there already. Names as common as they are among the people; arrays are constants to the planner.
    firsts = ",".join("'" + row[0].replace("'", "''") + "'" for row in run.some_rows[:64])
    lasts = ",".join("'" + row[1].replace("'", "''") + "'" for row in run.some_rows[:512])
    script = run.folder / "upsert.sql"
    script.write_text(
        f"\\set i random(0, {2 * run.size - 1})\n\\set f random(1, 64)\n\\set l random(1, 512)\n"
        "insert into people(id,first,last,phone,email,company,city) values (:i, "
        f"(array[{firsts}])[:f], (array[{lasts}])[:l], '+1'||(2000000000+:i), 'a'||:i||'@example.com', 'Acme Incorporated', 'Oakville') "
        "on conflict (id) do update set first=excluded.first, last=excluded.last, phone=excluded.phone, email=excluded.email, "
        "company=excluded.company, city=excluded.city;\n")
    turns, latency = [], []
    for turn in range(run.rounds):
        one = {}
        def ours(connections):
            told = run.ours.bench(TENANT, "--file", writes.file(), "--write-share", 1, "--rate", "max", "--connections", connections,
                                  "--seconds", seconds, "--rounds", 1)
            latency.append((connections, told["upsert"]["p50_us"], told["upsert"]["p99_us"]))
            if told["upsert"]["records"] > each:
                say(f"  {told['upsert']['records']} upserts of {each} records: the last ones were said before")
            return told["upsert"]["records_per_second"]
        steps = [("ours_1", lambda: ours(1)), ("pg_1", lambda: run.pg.pgbench(script, 1, seconds)),
                 ("ours_64", lambda: ours(64)), ("pg_4", lambda: run.pg.pgbench(script, 4, seconds))]
        for name, step in steps if turn % 2 == 0 else reversed(steps):
            one[name] = step()
        turns.append(one)
        say("upserts a second: " + ", ".join(f"{name} {value:,.0f}" for name, value in one.items()))
    mid = lambda name: f"{median([one[name] for one in turns]):,.0f}/s"
    sync = run.report.facts["machine"].get("write and fdatasync p50, us")
    run.report.figure("upsert_1", median([one["ours_1"] / one["pg_1"] for one in turns]), mid("ours_1"), mid("pg_1"),
                      f"a bare 300-byte write and fdatasync takes {sync} us", turns=turns, latency_us=latency)
    run.report.figure("upsert_64", median([one["ours_64"] / one["pg_4"] for one in turns]), mid("ours_64"), mid("pg_4"),
                      "every other record is somebody known; PostgreSQL resolves nothing", turns=turns)

    # Read your writes: a person nobody knows is put, then asked for on another connection.
    put, ask, seen, count = wire.Http(run.ours.port), wire.Http(run.ours.port), 0, 200 if run.quick else 1000
    for number in range(count):
        mail = f"read.your.write.{run.options.seed}.{number}@example.com"
        told = wire.read(put.ask(wire.request("POST", f"/v1/tenants/{TENANT}/contacts:upsert", {"record": {
            "source": "seen", "source_record_id": str(number), "name": f"Zyx{number} Qwortle{number}", "email": mail}})))
        found = wire.read(ask.ask(wire.request("POST", MATCH, {"contact": {"email": mail}})))["candidates"]
        seen += any(one["contact_id"] == told["results"][0]["contact_id"] for one in found)
    run.report.figure("seen", seen / count, f"{seen} of {count}", "", "by mail address, on another connection, at once")


class Probe:
    """Matches and /healthz in turn at fixed times; a latency counts from when the request was due."""

    def __init__(self, run, rate=100):
        self.port, self.rate = run.ours.port, rate
        self.bodies = [wire.request("POST", MATCH, {"contact": contact(f), "limit": 10}) for _, _, f in run.questions]

    def watch(self, seconds):
        """p50 and p99 of match and control in seconds."""
        links = wire.Http(self.port), wire.Http(self.port)
        control, times = wire.request("GET", "/healthz"), ([], [])
        gap, count = 1 / (2 * self.rate), int(seconds * self.rate * 2)
        start = time.perf_counter() + .05
        gc.disable()
        for number in range(count):
            due = start + number * gap
            while (left := due - time.perf_counter()) > 0:
                if left > .0003:
                    time.sleep(left - .0002)
            kind = number % 2
            answer = links[kind].ask(control if kind else self.bodies[number // 2 % len(self.bodies)])
            times[kind].append(time.perf_counter() - due)
            if wire.status(answer) != 200:
                raise RuntimeError(answer[-400:])
        gc.enable()
        for link in links:
            link.close()
        return {"match_p50": at(times[0], .5), "match_p99": at(times[0], .99),
                "control_p50": at(times[1], .5), "control_p99": at(times[1], .99)}


def mixed(run):
    """The tail of matches while 1,000 durable upserts a second run, against the same without them."""
    seconds = 2 if run.quick else 10
    each = 1000 * (seconds + 2)
    writes, probe, turns = Writes(run, each * run.rounds, each), Probe(run), []
    probe.watch(1)
    for turn in range(run.rounds):
        idle = probe.watch(seconds)
        told, failed = {}, []

        def load(file=writes.file()):
            try:
                told.update(run.ours.bench(TENANT, "--file", file, "--write-share", 1, "--rate", 1000, "--connections", 32, "--seconds",
                                           seconds + 1, "--rounds", 1, may_fall_behind=True))
            except Exception as error:
                failed.append(error)
        thread = threading.Thread(target=load)
        records = run.ours.must("GET", f"/v1/tenants/{TENANT}/stats")["seq"]
        thread.start()
        while run.ours.must("GET", f"/v1/tenants/{TENANT}/stats")["seq"] < records + 100:  # after the load's own control
            time.sleep(.02)
            if not thread.is_alive():
                break
        beside = probe.watch(seconds - .5)
        thread.join()
        if failed:
            raise failed[0]
        turns.append({"idle": idle, "beside": beside, "upserts_per_second": told["upsert"]["records_per_second"],
                      "upsert_p99_us": told["upsert"]["p99_us"]})
        say(f"match p99 idle {ms(idle['match_p99'])} (control {ms(idle['control_p99'])}), beside {told['upsert']['records_per_second']:.0f} "
            f"upserts a second {ms(beside['match_p99'])} (control {ms(beside['control_p99'])})")
    over = {side: median([one[side]["match_p99"] - one[side]["control_p99"] for one in turns]) for side in ("idle", "beside")}
    # Where /healthz alone is half as slow as a match, the tails are the machine's and a ratio of them says nothing.
    control = median([one["idle"]["control_p99"] for one in turns])
    hidden = over["idle"] < control or over["beside"] <= 0
    mid = lambda side, name: ms(median([one[side][name] for one in turns]))
    rate = median([one["upserts_per_second"] for one in turns])
    quotient = median([one["beside"]["match_p99"] / one["beside"]["control_p99"] / (one["idle"]["match_p99"] / one["idle"]["control_p99"])
                       for one in turns])
    run.report.figure(
        "mixed", None if hidden else over["beside"] / over["idle"],
        f"beside p99 {mid('beside', 'match_p99')} (control {mid('beside', 'control_p99')}), idle p99 {mid('idle', 'match_p99')} "
        f"(control {mid('idle', 'control_p99')})", "", f"{'the noise of this machine hides the tail: /healthz is nearly as slow as a match; ' if hidden else ''}"
        f"over = minus; as quotients {quotient:.2f}; {rate:,.0f} upserts a second reached",
        None if rate >= 970 else f"only {rate:,.0f} upserts a second were reached", turns=turns)


def startup(run):
    """Start from the snapshot to ready, against COPY and the same indexes; file caches warm for both, all cores for both."""
    ours, theirs, used = [], list(run.pg_loads), []
    run.together(run.ours.pid, run.pg.pid)
    for turn in range(run.rounds):
        run.ours.stop(seconds=900)
        ours.append(run.ours.start())
        used.append(cpu_seconds(run.ours.pid))
        stats = run.ours.must("GET", f"/v1/tenants/{TENANT}/stats")
        if stats["records"] < run.size:
            raise RuntimeError(f"after the start {stats['records']} records of {run.size} are there")
        if turn:
            theirs.append(run.copy("people_again"))
            with run.pg.connect() as link:
                link.execute("drop table people_again")
        say(f"start {turn + 1}: ours {ours[-1]:.2f} s, PostgreSQL {theirs[-1]:.2f} s")
    run.restarted_bytes = status_bytes(run.ours.pid, "VmRSS")
    run.report.figure("startup", median([b / a for a, b in zip(ours, theirs)]), f"{median(ours):.2f} s", f"{median(theirs):.2f} s",
                      f"process start to /readyz 200; processor time {median(used):.2f} s, of "
                      f"PostgreSQL's backend {median(run.pg_cpu):.2f} s", seconds=list(zip(ours, theirs)))


def memory(run):
    """Resident memory of the whole process, after the load and after a start from the snapshot."""
    if not hasattr(run, "restarted_bytes"):
        run.ours.stop(seconds=900)
        run.ours.start()
        run.restarted_bytes = status_bytes(run.ours.pid, "VmRSS")
    http = wire.Http(run.ours.port)
    for _, _, fields in run.questions[:500]:  # whatever grows with the first queries has grown
        http.ask(wire.request("POST", MATCH, {"contact": contact(fields)}))
    http.close()
    after = status_bytes(run.ours.pid, "VmRSS")
    stats = run.ours.must("GET", f"/v1/tenants/{TENANT}/stats")
    run.bytes_each = (max(after, run.loaded_bytes) - run.empty_bytes) / run.size
    text = run.report.facts["data"]["bytes_of_text_each"]
    run.report.figure("memory", max(after, run.loaded_bytes) / run.size, f"{after >> 20} MB after a start, {run.loaded_bytes >> 20} MB after the load",
                      "", f"the larger counts; {text} bytes of text each; empty process {run.empty_bytes >> 20} MB, peak of the load "
                      f"{run.loaded_peak >> 20} MB", stats=stats["bytes"])


def tenants(run):
    """Many tenants of 200 in a server of their own, filled by batches for as long as --tenant-minutes allows."""
    if run.options.tenant_minutes <= 0:
        return run.report.figure("tenants", None, note="--tenant-minutes 0")
    server = run.keep(Selfsame(run.options.binary, run.folder / "tenants", park_after_seconds=60))
    server.start()
    empty = status_bytes(server.pid, "VmRSS")
    rows, wanted = run.some_rows, run.options.tenants

    def fill():
        for number in range(wanted):
            first = number * 200 % max(1, len(rows) - 200)
            body = {"records": [{"source": "crm", "source_record_id": str(n), **contact(rows[n])} for n in range(first, first + 200)]}
            if number % 100 == 99:
                say(f"  {number + 1:,} tenants, {status_bytes(server.pid, 'VmRSS') >> 20} MB")
                if status_bytes(server.pid, "VmRSS") > run.memory_max:
                    return
            yield wire.request("POST", f"/v1/tenants/t{number}/contacts:upsert", body)
    began = time.perf_counter()
    made = wire.pump(server.port, fill(), 4, seconds=run.options.tenant_minutes * 60)
    seconds = time.perf_counter() - began
    loaded = status_bytes(server.pid, "VmRSS")
    server.must("POST", "/v1/admin/snapshot")
    server.stop()
    ready = server.start(park_after_seconds=0)  # so all are whole
    again = status_bytes(server.pid, "VmRSS")
    server.stop()
    rested = server.start()  # all stay in the snapshot
    idle = status_bytes(server.pid, "VmRSS")
    woken = []
    for n in range(0, made, max(1, made // 50)):
        asked = time.perf_counter()
        server.must("GET", f"/v1/tenants/t{n}/contacts?limit=1")
        woken.append(time.perf_counter() - asked)
    probe = [server.must("GET", f"/v1/tenants/t{n}/stats")["records"] for n in (0, made // 2, made - 1)]
    if set(probe) != {200}:
        raise RuntimeError(f"tenants hold {probe} records, 200 each were put")
    server.stop()
    text = run.report.facts["data"]["bytes_of_text_each"]
    each = getattr(run, "bytes_each", None)
    own = min(each or 600, 600) * 200  # as in one large tenant, and never more than the goal for that allows
    whole = (again - empty) / made
    run.report.figure(
        "tenants", whole - own, f"{whole:,.0f} B a tenant in all", "",
        f"{made:,} tenants; 200 contacts count as {own:,.0f} B (what they take in one large tenant, at most 600 each); as text they are "
        f"{text * 200:,.0f} B; "
        f"start to ready {ready:.1f} s, {loaded >> 20} MB before it and {again >> 20} MB after. At rest: start to ready {rested:.1f} s, "
        f"{idle >> 20} MB, so {(idle - empty) / made:,.0f} B a tenant; the first call of such a one {median(woken) * 1e3:.1f} ms",
        None if made >= 20_000 else "fewer than 20,000 tenants: see --tenants, --tenant-minutes, --memory-gb", seconds_to_fill=seconds)


def f1(found, truth):
    """Pairwise precision, recall, F1 of clusters."""
    pairs = lambda counts: sum(n * (n - 1) // 2 for n in counts)
    right = pairs(collections.Counter(zip(found, truth)).values())
    said, there = pairs(collections.Counter(found).values()), pairs(collections.Counter(truth).values())
    precision, recall = right / max(said, 1), right / max(there, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def measured(line, folder):
    """Runs a program on two cores: (seconds, peak bytes, its output)."""
    cores = set(sorted(os.sched_getaffinity(0))[:2])
    log = open(folder / "child.log", "wb")
    began = time.perf_counter()
    child = subprocess.Popen([str(part) for part in line], stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                             preexec_fn=lambda: (die_with_parent(), os.sched_setaffinity(0, cores)))
    _, code, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(code)
    seconds = time.perf_counter() - began
    log.close()
    text = (folder / "child.log").read_text(errors="replace")
    if child.returncode:
        raise RuntimeError(f"{line[0]}: {text[-2000:]}")
    return seconds, used.ru_maxrss * 1024, text


def dedupe_of(run, count, rounds, key, memory_key=None):
    path = run.folder / "duplicates.csv"
    truth = people.write_duplicates(path, count, run.options.seed)
    turns, splink_facts = [], {}
    for turn in range(rounds):
        def ours():
            seconds, peak, _ = measured([run.options.binary, "dedupe", path, "-o", run.folder / "clusters.csv", "--json"], run.folder)
            found = [None] * count
            with open(run.folder / "clusters.csv", encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    found[int(row["record_index"])] = row["cluster_id"]
            return seconds, peak, f1(found, truth)

        def theirs():
            script = pathlib.Path(__file__).with_name("splink_dedupe.py")
            _, peak, _ = measured([run.options.python, script, path, run.folder / "splink"], run.folder)
            told = json.loads((run.folder / "splink.json").read_text())
            splink_facts.update(told)
            best = max(((threshold, f1((run.folder / f"splink.{threshold}").read_text().split("\n")[:count], truth))
                        for threshold in told["thresholds"]), key=lambda one: one[1][2])
            return told["seconds"], peak, best[1], best[0]
        order = (ours, theirs) if turn % 2 == 0 else (theirs, ours)
        got = {step: step() for step in order}
        turns.append((got[ours], got[theirs]))
        say(f"dedupe of {count:,}: ours {got[ours][0]:.1f} s F1 {got[ours][2][2]:.3f}, splink {got[theirs][0]:.1f} s F1 {got[theirs][2][2]:.3f}")
    run.report.facts["versions"].update(splink_facts.get("versions", {}))
    a, b = turns[-1]
    side = lambda turn, who: (f"{median([t[who][0] for t in turns]):.1f} s, {turn[1] >> 20} MB, P {turn[2][0]:.3f} R {turn[2][1]:.3f} "
                              f"F1 {turn[2][2]:.3f}")
    refused = None if a[2][2] >= b[2][2] else "F1 is below splink's"
    run.report.figure(key, median([t[0][0] / t[1][0] for t in turns]), side(a, 0), side(b, 1) + f" at {b[3]}",
                      f"{count:,} rows, a fifth duplicates{'' if count >= 100_000 else ' (the goal is for 100,000)'}; splink's time is without "
                      f"its imports, and the threshold of its best F1 of {splink_facts['thresholds']} counts", refused, rounds=[(t[0][0], t[1][0]) for t in turns], splink=splink_facts)
    if memory_key:
        run.report.figure(memory_key, a[1] / b[1], f"{a[1] >> 20} MB", f"{b[1] >> 20} MB")


def dedupe(run):
    dedupe_of(run, min(100_000, run.size) if run.quick or run.size < 100_000 else 100_000, 1 if run.quick else run.rounds, "dedupe")


def dedupe1m(run):
    dedupe_of(run, 1_000_000, 1, "dedupe1m", "dedupe1m_memory")
