"""The rows of the comparison, what each must reach, and the table.

Used by `run`; not a program of its own. Standard library only.
"""

import json
import pathlib

# key: (group for --rows, title, must, good, +1 more is better or -1 less is better, contacts the goal is for or None, digits)
ROWS = {
    "match_p50": ("match", "match p50 over HTTP: pg_trgm p50 / ours", 20, 60, 1, 1_000_000, 1),
    "match_p99_1m": ("match", "match p99, 1,000,000: pg_trgm p50 / our p99", 5, 20, 1, 1_000_000, 1),
    "match_p99_100k": ("match", "match p99, 100,000: pg_trgm p50 / our p99", 2, 5, 1, 100_000, 1),
    "throughput": ("match", "match throughput per core: ours / pg_trgm", 40, 120, 1, 1_000_000, 1),
    "recall": ("match", "recall@1 without a usable identifier", .969, .985, 1, 1_000_000, 3),
    "scaling": ("scaling", "match p50 over HTTP: this size / 10,000 contacts", 4, None, -1, 1_000_000, 2),
    "overhead": ("overhead", "(match over HTTP - in process) p50 / bare round trip p50", 2.5, 1.6, -1, 1_000_000, 2),
    "lookup_batch": ("lookup", "hashed look-up of 1,000: Redis MGET p50 / ours", 3, 8, 1, None, 2),
    "lookup_one": ("lookup", "hashed look-up of one, 16 connections, per core: ours / Redis GET", .7, 1, 1, None, 2),
    "upsert_1": ("upsert", "durable upsert, 1 client: ours / PostgreSQL", .6, 1, 1, 1_000_000, 2),
    "upsert_64": ("upsert", "durable upsert: ours at 64 clients / PostgreSQL at 4", .5, 1.2, 1, 1_000_000, 2),
    "seen": ("upsert", "acknowledged writes seen by the next query", 1, 1, 1, None, 4),
    "mixed": ("mixed", "match p99 over its control, 1,000 durable upserts a second / idle", 3, 1.5, -1, 1_000_000, 2),
    "startup": ("startup", "start to ready: PostgreSQL COPY and indexes / ours", 4, 10, 1, 1_000_000, 1),
    "memory": ("memory", "memory of the process per contact, bytes", 600, 300, -1, 1_000_000, 0),
    "tenants": ("tenants", "memory per tenant of 200 beyond its contacts, bytes", 16384, 4096, -1, None, 0),
    "dedupe": ("dedupe", "offline dedupe of 100,000: ours / splink, wall, better F1", 1, .3, -1, None, 2),
    "dedupe1m": ("dedupe1m", "offline dedupe of 1,000,000: ours / splink, wall", 1, .3, -1, None, 2),
    "dedupe1m_memory": ("dedupe1m", "offline dedupe of 1,000,000: peak memory / splink's", 1, .5, -1, None, 2),
}
GROUPS = list(dict.fromkeys(row[0] for row in ROWS.values()))


class Report:
    """Figures as they come; written out after each, so that a run which is stopped has left something."""

    def __init__(self, out, facts):
        self.out, self.rows = pathlib.Path(out), {}
        self.facts = facts
        self.out.mkdir(parents=True, exist_ok=True)

    def figure(self, key, value, ours="", peer="", note="", refused=None, **details):
        """`value` None: not measured, `note` says why. `refused`: why a figure that is good counts as missed."""
        self.rows[key] = {"value": value, "ours": ours, "peer": peer, "note": note, "refused": refused, "details": details}
        self.rows[key]["verdict"] = self.verdict(key)
        self.write()

    def verdict(self, key):
        _, _, must, good, sign, size, _ = ROWS[key]
        row = self.rows[key]
        if row["value"] is None:
            return "MISSES" if row["refused"] else "not measured"
        reaches = lambda goal: (row["value"] - goal) * sign >= 0
        told = "MISSES" if row["refused"] or not reaches(must) else "good" if good is None or reaches(good) else "must"
        if size and size != self.facts["size"]:
            told += f" (goal is for {size:,})"
        return told

    def write(self):
        whole = {"facts": self.facts, "rows": {
            key: {"title": ROWS[key][1], "must": ROWS[key][2], "good": ROWS[key][3], "better": "more" if ROWS[key][4] > 0 else "less",
                  "goal_for_contacts": ROWS[key][5], **row} for key, row in self.rows.items()}}
        (self.out / "peers.json").write_text(json.dumps(whole, indent=1, default=str) + "\n")
        (self.out / "peers.md").write_text(self.table())

    def table(self):
        lines = [f"# selfsame and its peers, {self.facts['size']:,} contacts", ""]
        for name, value in self.facts.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {what}" for key, what in value.items())
            lines.append(f"- {name}: {value}")
        lines += ["", "| figure | must | good | this run | ours | peer | verdict | remarks |", "|---|---|---|---|---|---|---|---|"]
        for key in ROWS:
            if key not in self.rows:
                continue
            _, title, must, good, sign, _, digits = ROWS[key]
            row, than = self.rows[key], "at least" if sign > 0 else "at most"
            value = "-" if row["value"] is None else f"{row['value']:,.{digits}f}"
            note = "; ".join(text for text in (row["refused"], row["note"]) if text)
            lines.append(f"| {title} | {than} {must:,} | {'' if good is None else f'{good:,}'} | **{value}** | {row['ours']} | "
                         f"{row['peer']} | {row['verdict']} | {note} |")
        return "\n".join(lines) + "\n"
