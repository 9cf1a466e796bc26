//! The shape of the source: what a reader may rely on, checked by reading the files.
//!
//! In one crate nothing but this test stops modules from using each other in circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Each layer and what it may use. `lib.rs` shows the same order with a sentence each.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("error", &["model"]),
    ("cow", &[]),
    ("host", &["model", "error"]),
    ("normalize", &["model", "error"]),
    ("formats", &["model", "error", "normalize"]),
    ("matching", &["model", "error", "cow", "normalize"]),
    ("index", &["model", "error", "cow", "normalize", "matching"]),
    ("discovery", &["model", "error", "normalize"]),
    ("journal", &["model", "error", "host"]),
    ("store", &["model", "error", "cow", "normalize", "formats", "matching", "index", "discovery"]),
    ("resolve", &["model", "error", "cow", "normalize", "formats", "matching", "index", "discovery", "store"]),
    (
        "engine",
        &[
            "model",
            "error",
            "cow",
            "host",
            "normalize",
            "formats",
            "matching",
            "index",
            "discovery",
            "journal",
            "store",
            "resolve",
        ],
    ),
    ("auth", &["model", "error", "host", "engine"]),
    ("config", &["model", "error", "host", "engine", "auth"]),
    ("telemetry", &["error", "config"]),
    (
        "http",
        &[
            "model",
            "error",
            "cow",
            "host",
            "normalize",
            "formats",
            "matching",
            "index",
            "discovery",
            "journal",
            "store",
            "resolve",
            "engine",
            "auth",
            "config",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "error",
            "cow",
            "host",
            "normalize",
            "formats",
            "matching",
            "index",
            "discovery",
            "journal",
            "store",
            "resolve",
            "engine",
            "auth",
            "config",
            "telemetry",
            "http",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder of the project with one of the endings, sorted.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if endings.iter().any(|ending| path.extension().is_some_and(|e| e == *ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "tests", "benches"].iter().flat_map(|folder| files(folder, &["rs"])).collect()
}

fn read(path: &Path) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test that reads the source")]
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The source without comments, strings, and the test module at its end.
fn code_of(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skip = comment(rest).or_else(|| string(rest)).or_else(|| character(rest));
        match skip {
            Some(length) => {
                code.push(' ');
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// Length of the comment that starts here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// Length of the string literal that starts here, raw ones included.
fn string(rest: &str) -> Option<usize> {
    for hashes in ["", "#", "##"] {
        if rest.starts_with(&format!("r{hashes}\"")) && (!hashes.is_empty() || rest.starts_with("r\"")) {
            let close = format!("\"{hashes}");
            let open = 2 + hashes.len();
            return Some(rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()));
        }
    }
    let mut escaped = false;
    let mut chars = rest.char_indices();
    if !rest.starts_with('"') {
        return None;
    }
    chars.next();
    for (at, c) in chars {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Length of the character literal that starts here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map(|end| end + 4);
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].starts_with('\'').then(|| 2 + c.len_utf8())
}

/// The layers that a file's code names by `crate::x`, `crate::{x, y::z}` or a chain of `super`.
/// `depth` is how many modules lie between the file and the crate's root.
fn used_layers(code: &str, depth: usize) -> Vec<String> {
    let tokens: Vec<&str> = tokens(code);
    let mut used = Vec::new();
    for at in 0..tokens.len() {
        let after = match tokens[at] {
            "crate" => at + 1,
            "super" if at == 0 || tokens[at - 1] != "::" => match supers(&tokens[at..]) {
                (count, length) if count >= depth => at + length,
                _ => continue,
            },
            _ => continue,
        };
        if tokens.get(after) == Some(&"::") {
            used.extend(heads(&tokens[after + 1..]));
        }
    }
    used
}

/// Identifiers, `::` and single marks.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    tokens
}

/// How many `super`s follow each other, and how many tokens they are without the last `::`.
fn supers(tokens: &[&str]) -> (usize, usize) {
    let mut count = 1;
    while tokens.get(count * 2 - 1) == Some(&"::") && tokens.get(count * 2) == Some(&"super") {
        count += 1;
    }
    (count, count * 2 - 1)
}

/// The first name of a path, or of each path in a group.
fn heads(tokens: &[&str]) -> Vec<String> {
    if tokens.first() != Some(&"{") {
        return tokens.first().map(|name| (*name).to_string()).into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for token in tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => fresh = true,
            name if depth == 1 && fresh => {
                names.push(name.to_string());
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Files that are modules of tests: `#[cfg(test)] mod name;` in the file above them.
fn only_for_tests() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for path in files("src", &["rs"]) {
        let inside = match path.file_name().unwrap().to_str().unwrap() {
            "mod.rs" | "lib.rs" => path.parent().unwrap().to_path_buf(),
            _ => path.with_extension(""),
        };
        for part in read(&path).split("#[cfg(test)]\nmod ").skip(1) {
            if let Some((name, _)) = part.split_once(';').filter(|(name, _)| !name.contains([' ', '{'])) {
                found.insert(inside.join(format!("{name}.rs")));
                found.insert(inside.join(name).join("mod.rs"));
            }
        }
    }
    found
}

/// The layer that a file belongs to, and how many modules it lies below the root.
fn place(path: &Path) -> (String, usize) {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = parts.pop().unwrap();
    if last != "mod.rs" {
        parts.push(last.trim_end_matches(".rs").to_string());
    }
    (parts[0].clone(), parts.len())
}

#[test]
fn a_layer_uses_only_what_lies_below_it() {
    let table: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut wrong = String::new();
    let only_for_tests = only_for_tests();
    for path in files("src", &["rs"]) {
        let (layer, depth) = place(&path);
        // `build` runs before the crate is there.
        if ["lib", "main", "build"].contains(&layer.as_str()) || only_for_tests.contains(&path) {
            continue;
        }
        let Some(allowed) = table.get(layer.as_str()) else {
            writeln!(wrong, "{}: `{layer}` is not in the table of layers", short(&path)).unwrap();
            continue;
        };
        for used in used_layers(&code_of(&read(&path)), depth) {
            let is_layer = table.contains_key(used.as_str());
            if is_layer && used != layer && !allowed.contains(&used.as_str()) {
                writeln!(wrong, "{}: `{layer}` may not use `{used}`", short(&path)).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_table_of_layers_has_no_circle() {
    let order: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    for (at, (layer, allowed)) in LAYERS.iter().enumerate() {
        for used in *allowed {
            let below = order.iter().position(|name| name == used);
            assert!(below.is_some_and(|below| below < at), "`{layer}` uses `{used}`, which is not below it");
        }
    }
}

#[test]
fn the_walk_sees_every_spelling_of_a_path() {
    let source = "use crate::{engine::api, store}; // crate::cli\nuse super::super::http::x;\n\
        fn f<'a>(c: &'a str) { let _ = (\"crate::journal\", '\"', r#\"crate::index\"#); crate::host::f(); }\n\
        #[cfg(test)]\nmod tests { use crate::cow; }";
    assert_eq!(used_layers(&code_of(source), 2), ["engine", "store", "http", "host"]);
    assert_eq!(used_layers("use super::inner;", 2), Vec::<String>::new());
    assert_eq!(used_layers("use super::store;", 1), ["store"]);
}

/// Evaluating must be blind: what handles blinded elements names no state, no view and no engine, so it cannot compare what
/// it is asked with what a directory holds. The gate is the one file that makes its parts.
#[test]
fn what_evaluates_cannot_reach_a_record() {
    let blind = ["src/http/discovery/evaluate.rs", "src/engine/oprf/evaluator.rs", "src/discovery/oprf.rs"];
    let sights =
        ["store", "resolve", "index", "journal", "Engine", "Core", "Tenant", "View", "Shard", "Scope", "Served", "Set"];
    for file in blind {
        let code = code_of(&read(&root().join(file)));
        let tokens = tokens(&code);
        let seen: Vec<&&str> = sights.iter().filter(|sight| tokens.contains(sight)).collect();
        assert!(seen.is_empty(), "{file} names {seen:?}");
        assert!(tokens.len() > 100, "{file} was read");
    }
    let handler = code_of(&read(&root().join(blind[0])));
    assert!(!used_layers(&handler, 2).iter().any(|layer| layer != "http"), "the handler uses http alone");
    let gate = code_of(&read(&root().join("src/http/discovery/gate.rs")));
    assert!(tokens(&gate).contains(&"Scope"), "so the words are those that would be there");
}

#[test]
fn every_file_opens_with_a_header() {
    let bad: Vec<String> =
        rust_files().iter().filter(|path| !read(path).starts_with("//! ")).map(|path| short(path)).collect();
    assert!(bad.is_empty(), "these files do not open with `//! `: {bad:#?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> =
        rust_files().iter().filter(|path| read(path).lines().count() >= 800).map(|path| short(path)).collect();
    assert!(long.is_empty(), "split these files, they have 800 lines or more: {long:#?}");
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore"), concat!("FIX", "ME")];
    let mut found = Vec::new();
    for path in rust_files() {
        let source = read(&path);
        found.extend(
            words.iter().filter(|word| source.contains(**word)).map(|word| format!("{}: {word}", short(&path))),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What a build and a run with the defaults leave behind is not part of the project (`.gitignore`).
#[test]
fn nothing_lies_about_at_the_top() {
    const PARTS: [&str; 8] = ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "src", "benches", "tests", "data"];
    const MADE: [&str; 2] = ["target", "selfsame-data"];
    let entries = std::fs::read_dir(root()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !name.ends_with(".key"))
        .filter(|name| !PARTS.contains(&name.as_str()) && !MADE.contains(&name.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let words = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("index.cra", "tes.io"),
        concat!("pypi", ".org"),
    ];
    let mut found = Vec::new();
    let mut paths = rust_files();
    paths.extend(files("data", &["md", "json", "toml"]));
    paths.extend(["README.md", "Cargo.toml", "tests/run", ".ci/run"].map(|name| root().join(name)));
    for path in paths {
        let text = read(&path);
        found.extend(words.iter().filter(|word| text.contains(**word)).map(|word| format!("{}: {word}", short(&path))));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The targets of Markdown links in a text.
fn link_targets(text: &str) -> Vec<String> {
    text.match_indices("](")
        .filter_map(|(at, _)| {
            let rest = &text[at + 2..];
            rest.find(')').map(|end| rest[..end].to_string())
        })
        .collect()
}

#[test]
fn no_link_is_dead() {
    let mut pages = files("data", &["md"]);
    pages.push(root().join("README.md"));
    let mut dead = Vec::new();
    for page in pages {
        for target in link_targets(&read(&page)) {
            let path = target.split('#').next().unwrap();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !path.is_empty() && !page.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {target}", short(&page)));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_readme_is_finished() {
    let readme = read(&root().join("README.md"));
    for word in [concat!("T", "BD"), concat!("TO", "DO"), concat!("XX", "X")] {
        assert!(!readme.contains(word), "README.md has a {word}");
    }
}
