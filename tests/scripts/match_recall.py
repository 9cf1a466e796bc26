"""How often `contacts:match` finds the right person: recall at 1 and at 10 over held-out queries.

    match_recall.py URL QUERIES.csv TRUTH.csv [--tenant main] [--threshold 0]

QUERIES has the columns of the imported file and `entity_id`; TRUTH says `id,entity_id` of the records on the server
(their `id` is the source_record_id). A query counts as found at k when one of the first k contacts holds a record of its
entity. Standard library only.
"""

import argparse
import csv
import json
import time
import urllib.request

FIELDS = {"first_name": "first_name", "last_name": "last_name", "phone": "phone", "email": "email",
          "company": "organization", "title": "job_title"}


def contact(row):
    out = {name: row[column] for column, name in FIELDS.items() if row.get(column)}
    place = {k: row[k] for k in ("city", "country") if row.get(k)}
    if place:
        out["addresses"] = [place]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("queries")
    parser.add_argument("truth")
    parser.add_argument("--tenant", default="main")
    parser.add_argument("--threshold", type=float, default=0.0)
    args = parser.parse_args()
    entity = {row["id"]: row["entity_id"] for row in csv.DictReader(open(args.truth, encoding="utf-8"))}
    known = set(entity.values())
    url = f"{args.url}/v1/tenants/{args.tenant}/contacts:match"
    asked, at1, at10, decided, right, began = 0, 0, 0, 0, 0, time.time()
    for row in csv.DictReader(open(args.queries, encoding="utf-8")):
        if row["entity_id"] not in known:
            continue
        body = {"contact": contact(row), "limit": 10, "threshold": args.threshold}
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=60))
        holds = [row["entity_id"] in {entity.get(r["source_record_id"]) for r in c["contact"]["records"]}
                 for c in answer["candidates"]]
        asked += 1
        at1 += bool(holds[:1] and holds[0])
        at10 += any(holds)
        if answer["decision"] == "match":
            decided += 1
            right += bool(holds[:1] and holds[0])
    print(f"{asked} queries, recall@1 {at1 / asked:.4f}, recall@10 {at10 / asked:.4f}; "
          f"{decided} answered `match`, {right / max(decided, 1):.4f} of them rightly; "
          f"{(time.time() - began) / asked * 1000:.2f} ms a query from this client")


if __name__ == "__main__":
    main()
