//! `dedupe`, `link` and `evaluate` on files, without a server.

use serde_json::Value;

use crate::server::{file, folder, run, stderr, stdout};

const PEOPLE: &str = "id,given_name,surname,date_of_birth,E-mail,soc_sec_id,colour,cluster\n\
    a1,John,Smith,1980-02-03,john.smith@example.com,5550001,red,1\n\
    b2,Jon,Smith,1980-02-03,john.smith@example.com,5550001,blue,1\n\
    c3,Mary,Jones,1975-11-30,mary@example.org,5550002,red,2\n\
    d4,\"Peter, the one\",Novak,1990-01-01,peter@example.net,5550003,red,3\n\
    e5,Mary,Jones,1975-11-30,mary@example.org,5550002,green,2\n";

fn read(path: &std::path::Path) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn dedupe_writes_every_line_with_its_cluster() {
    let home = folder();
    let input = file(home.path(), "people.csv", PEOPLE);
    let clusters = home.path().join("clusters.csv");
    let pairs = home.path().join("pairs.csv");
    let page = home.path().join("report.html");
    let output = run(&[
        "dedupe",
        input.to_str().unwrap(),
        "-o",
        clusters.to_str().unwrap(),
        "--pairs",
        pairs.to_str().unwrap(),
        "--report",
        page.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("surname"), "says what was recognised: {}", stderr(&output));
    let text = read(&clusters);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "cluster_id,record_index,confidence,id,given_name,surname,date_of_birth,E-mail,soc_sec_id,colour,cluster"
    );
    assert_eq!(lines.len(), 6);
    let cluster = |at: usize| lines[at + 1].split(',').next().unwrap().to_string();
    let index: Vec<&str> = lines[1..].iter().map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(index, ["0", "1", "2", "3", "4"]);
    assert_eq!(cluster(0), cluster(1));
    assert_eq!(cluster(2), cluster(4));
    assert_ne!(cluster(0), cluster(2));
    assert!(lines[4].contains("\"Peter, the one\""), "{}", lines[4]);
    assert!(read(&pairs).lines().count() >= 3);
    assert!(read(&page).contains("<html"));
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((summary["records"].as_u64(), summary["clusters"].as_u64()), (Some(5), Some(3)), "{summary}");
}

#[test]
fn evaluate_agrees_with_a_truth_column_and_a_truth_file() {
    let home = folder();
    let input = file(home.path(), "people.csv", PEOPLE);
    let input = input.to_str().unwrap();
    let truth = file(home.path(), "truth.csv", "id,entity_id\na1,1\nb2,1\nc3,2\nd4,3\ne5,2\n");
    let clusters = home.path().join("clusters.csv");
    let clusters = clusters.to_str().unwrap();
    assert_eq!(run(&["dedupe", input, "-o", clusters]).status.code(), Some(0));
    let cases: &[&[&str]] = &[
        &["evaluate", input, "--truth", "cluster", "--json"],
        &["evaluate", input, "--truth", truth.to_str().unwrap(), "--json"],
        &["evaluate", input, "--truth", truth.to_str().unwrap(), "--clusters", clusters, "--json"],
    ];
    for arguments in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        let figures: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(figures["pairwise"]["f1"].as_f64(), Some(1.0), "{arguments:?}: {figures}");
        assert_eq!(figures["b_cubed"]["f1"].as_f64(), Some(1.0), "{figures}");
    }
}

#[test]
fn link_joins_two_files_and_two_parts_of_one() {
    let home = folder();
    let left =
        file(home.path(), "left.csv", "id,name,email\nl0,Ann Other,ann@example.org\nl1,John Smith,john@example.org\n");
    let right =
        file(home.path(), "right.csv", "id,name,email\nr0,Jon Smith,john@example.org\nr1,Zoe Else,zoe@example.org\n");
    let pairs = home.path().join("pairs.csv");
    let pairs_text = pairs.to_str().unwrap();
    let output = run(&["link", left.to_str().unwrap(), right.to_str().unwrap(), "-o", pairs_text]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = read(&pairs);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "left_index,right_index,probability,left_id,right_id");
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].starts_with("1,0,") && lines[1].ends_with(",l1,r0"), "{}", lines[1]);

    let both = file(
        home.path(),
        "both.csv",
        "id,source,name,email\nx,a,Ann Other,ann@example.org\ny,b,Ann Other,ann@example.org\nz,b,Zoe Else,zoe@example.org\n",
    );
    let truth = file(home.path(), "truth.csv", "id,entity_id\nx,1\ny,1\nz,2\n");
    let both = both.to_str().unwrap();
    let (a, b) = (format!("{both}#source=a"), format!("{both}#source=b"));
    let output = run(&["link", &a, &b, "-o", pairs_text]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(read(&pairs).lines().nth(1).unwrap().starts_with("0,1,"), "indexes are lines of the whole file");
    let output = run(&["evaluate", both, "--truth", truth.to_str().unwrap(), "--pairs", pairs_text, "--json"]);
    let figures: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(figures["pairwise"]["f1"].as_f64(), Some(1.0), "{figures}");
}
