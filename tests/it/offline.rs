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

/// Two people of three records each, one of which shares nothing with the others, and two namesakes.
const MARKED: &str = "id,first_name,last_name,email,phone,city,tags,who\n\
    1,Margaret,Zyskowski,m.zyskowski@example.com,+1 212 555 0143,Boston,,a\n\
    2,Maggie,Zyskowski,m.zyskowski@example.com,,Boston,nickname+case,a\n\
    3,Peggy,Thorne,,,,nickname+married,a\n\
    4,Ibrahim,Okonkwo,i.okonkwo@example.org,+1 212 555 0177,Leeds,,b\n\
    5,Ibrahim,Okonkwo,i.okonkwo@example.org,+1 212 555 0177,Leeds,case,b\n\
    6,Anna,Lindqvist,anna@example.net,+1 212 555 0188,Oslo,,c\n\
    7,Anna,Lindqvist,anna@example.net,+1 212 555 0188,Oslo,,d\n";

#[test]
fn evaluate_shows_what_went_wrong_and_why() {
    let home = folder();
    let input = file(home.path(), "marked.csv", MARKED);
    let arguments = ["evaluate", input.to_str().unwrap(), "--truth", "who", "--json"];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&run(&arguments)), "two runs are equal to the byte");
    let figures: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let number = |place: &str| figures.pointer(place).and_then(Value::as_f64).unwrap_or(f64::NAN);
    // True pairs: 1-2, 1-3, 2-3, 4-5. Found: 1-2 and 4-5, and 6-7 wrongly.
    assert_eq!([number("/true_pairs"), number("/pairwise/recall")], [4.0, 0.5], "{figures}");
    assert_eq!([number("/candidate_recall"), number("/candidates/closure_recall")], [0.5, 0.5], "{figures}");
    assert_eq!(number("/candidates/per_record/max"), 1.0, "{figures}");
    assert_eq!(number("/default_model/pairwise/recall"), 0.5, "{figures}");
    assert_eq!(figures["default_threshold"]["threshold"].as_f64(), Some(0.67));
    assert!(number("/best_threshold/pairwise/f1") >= number("/default_threshold/pairwise/f1"));
    let marks: Vec<(Option<&str>, f64)> = figures["recall_by_mark"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["mark"].as_str(), line["recall"].as_f64().unwrap()))
        .collect();
    let expected = [(Some("married"), 0.0), (Some("nickname"), 1.0 / 3.0), (Some("case"), 2.0 / 3.0)];
    assert_eq!(marks, expected, "the four pairs all carry a mark: {figures}");
    let wrong = &figures["false_positives"][0];
    assert_eq!((wrong["left"]["id"].as_str(), wrong["right"]["id"].as_str()), (Some("6"), Some("7")), "{wrong}");
    let parts = wrong["explanation"].as_array().unwrap();
    let sum = parts.iter().map(|part| part["weight_bits"].as_f64().unwrap()).sum::<f64>();
    assert!((sum + number("/false_positives/0/prior_bits") - number("/false_positives/0/weight_bits")).abs() < 1e-6);
    let missed = &figures["never_candidates"][0];
    assert_eq!((missed["candidate"].as_bool(), missed["right"]["id"].as_str()), (Some(false), Some("3")), "{missed}");
    assert_eq!(number("/error_counts/never_candidates"), 2.0, "{figures}");
    // Three candidate pairs, all near certain; one of them is wrong.
    assert_eq!(number("/calibration/pairs"), 3.0, "{figures}");
    assert!((number("/calibration/brier") - 1.0 / 3.0).abs() < 0.05, "{figures}");
}

#[test]
fn a_report_of_evaluate_needs_nothing_from_elsewhere() {
    let home = folder();
    let input = file(home.path(), "marked.csv", MARKED.replace("Leeds", "<script>alert(1)</script>"));
    let page = home.path().join("report.html");
    let arguments = ["evaluate", input.to_str().unwrap(), "--truth", "who", "--report", page.to_str().unwrap()];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for words in ["Brier", "nickname", "Worst false positives", "never candidates", "against < | > for"] {
        assert!(stdout(&output).contains(words), "{words}: {}", stdout(&output));
    }
    let html = read(&page);
    for bad in ["<script", "http:", "https:", "src=", "url(", "@import", "<link", "javascript:", "<iframe", "<img"] {
        assert!(!html.contains(bad), "{bad}");
    }
    assert_eq!(html.matches("<svg class=plot").count(), 3, "curve, histogram, reliability");
    assert!(html.matches("<svg").count() > 10, "the waterfalls");
    let clusters = home.path().join("clusters.csv");
    let (input, clusters, page) = (input.to_str().unwrap(), clusters.to_str().unwrap(), page.to_str().unwrap());
    assert_eq!(run(&["dedupe", input, "-o", clusters, "--map", "who=ignore"]).status.code(), Some(0));
    let output = run(&["evaluate", input, "--truth", "who", "--clusters", clusters, "--report", page]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(read(page.as_ref()).contains("Recall by mark"), "a page of what there is");
}
