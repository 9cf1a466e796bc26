//! Floors: F1 on the labelled sets at default settings, learned from the set itself, just below what was reached.
//!
//! The sets lie at `../shared/data` beside the project and are not part of it; where they are missing this test says so and passes.
//! They are public benchmarks that the default model was tuned on: a floor shows that nothing was lost, not how good selfsame is on
//! other data. All of them take 45 seconds together, historical_50k 36 of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::server::{folder, run, stderr, stdout};

/// A set: its folder, its task, pairwise F1 over all true pairs that it must reach, and the part of them that must be
/// compared at all (0 where that is not told).
struct Floor {
    set: &'static str,
    task: Task,
    f1: f64,
    candidates: f64,
}

#[derive(Clone, Copy)]
enum Task {
    /// Clusters of one file.
    Dedupe,
    /// Pairs between the sources `a` and `b`.
    Link,
}

/// .003 below what was measured when the table was last written.
const FLOORS: [Floor; 5] = [
    Floor { set: "febrl3", task: Task::Dedupe, f1: 0.998, candidates: 0.999 },
    Floor { set: "febrl4", task: Task::Link, f1: 0.997, candidates: 0.0 },
    Floor { set: "fake_1000", task: Task::Dedupe, f1: 0.973, candidates: 0.95 },
    Floor { set: "restaurants", task: Task::Dedupe, f1: 0.955, candidates: 0.999 },
    Floor { set: "historical_50k", task: Task::Dedupe, f1: 0.918, candidates: 0.925 },
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")
}

/// Runs the program, whose answer must be a success.
fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// What `evaluate --json` says of a set at default settings.
fn figures(set: &Path, task: Task) -> Value {
    let (records, truth) = (set.join("records.csv"), set.join("truth.csv"));
    let (records, truth) = (records.to_str().unwrap(), truth.to_str().unwrap());
    let json = match task {
        Task::Dedupe => done(&["evaluate", records, "--truth", truth, "--errors", "0", "--json"]),
        Task::Link => {
            let home = folder();
            let pairs = home.path().join("pairs.csv");
            let pairs = pairs.to_str().unwrap();
            let (left, right) = (format!("{records}#source=a"), format!("{records}#source=b"));
            done(&["link", &left, &right, "-o", pairs]);
            done(&["evaluate", records, "--truth", truth, "--pairs", pairs, "--json"])
        }
    };
    serde_json::from_str(&json).unwrap()
}

#[test]
fn no_labelled_set_falls_below_its_floor() {
    let mut below = Vec::new();
    for floor in FLOORS {
        let set = data().join(floor.set);
        if !set.is_dir() {
            println!("{}: not found at {}, left out", floor.set, set.display());
            continue;
        }
        let figures = figures(&set, floor.task);
        let f1 = figures["pairwise"]["f1"].as_f64().unwrap();
        let candidates = figures["candidate_recall"].as_f64().unwrap_or(0.0);
        println!("{}: F1 {f1:.4}, floor {:.3}; compared {candidates:.4}", floor.set, floor.f1);
        if f1 < floor.f1 || candidates < floor.candidates {
            below.push(format!("{} {f1:.4} < {:.3} or {candidates:.4} < {:.3}", floor.set, floor.f1, floor.candidates));
        }
    }
    assert!(below.is_empty(), "below their floors: {below:?}");
}
