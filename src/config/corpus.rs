//! Every file of `tests/config` with the report it gets: the manual of our error messages.
//!
//! A file may begin with lines that set the scene: `#@ --environment NAME`, `#@ --region NAME`,
//! `#@ service NAME`, `#@ set NAME=VALUE`, `#@ git none|dirty|detached`. Files that it extends or names are those of
//! `tests/config/beside`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    error::{ConfigErrors, Look, Place, render_warnings},
    file,
    resolve::{Facts, Typed, resolve},
    sources::Sources,
    spec::{GitFacts, NoGit, WorkTree},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

fn scene(text: &str) -> (Typed, Facts) {
    let mut typed = Typed::default();
    let mut git = GitFacts {
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        short: "0123456789ab".to_owned(),
        branch: Some("main".to_owned()),
        tag: None,
        work_tree: WorkTree::Clean,
    };
    let mut no_git = None;
    let mut variables = BTreeMap::new();
    for line in text.lines().map_while(|line| line.strip_prefix("#@ ")) {
        match line.split_once(' ').expect("a word and a value") {
            ("--environment", name) => typed.environment = Some(name.to_owned()),
            ("--region", name) => typed.region = Some(name.to_owned()),
            ("service", name) => typed.services.push(name.to_owned()),
            ("set", pair) => {
                let (name, value) = pair.split_once('=').expect("a name and a value");
                variables.insert(name.to_owned(), value.to_owned());
            }
            ("git", "none") => no_git = Some(NoGit::NotARepository),
            ("git", "dirty") => git.work_tree = WorkTree::Dirty,
            ("git", "detached") => git.branch = None,
            (word, value) => panic!("`#@ {word} {value}` is not a scene"),
        }
    }
    let git = no_git.map_or(Ok(git), Err);
    let home = Some("/home/ann".into());
    (typed, Facts { root: "/repo".into(), home, variables, git, now_ms: 1_795_462_839_000, read })
}

/// What lies beside `ship.toml`.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let beside = path.strip_prefix("/repo").map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    fs::read(folder().join("beside").join(beside))
}

/// What a user would see.
fn report(name: &str, bytes: &[u8], look: Look) -> String {
    let text = match file::text(bytes) {
        Ok(text) => text,
        Err(error) => {
            let errors = ConfigErrors { sources: Sources::of(name, ""), errors: vec![error] };
            return format!("error: {errors}\n{}", errors.render(look));
        }
    };
    let (typed, facts) = scene(text);
    match resolve(&file::parse_all(name, text, &facts.root, read), &typed, &facts) {
        Ok(resolved) => format!("understood\n{}", render_warnings(&resolved.warnings, &resolved.sources, look)),
        Err(errors) => format!("error: {errors}\n{}", errors.render(look)),
    }
}

#[test]
fn every_bad_file_gets_a_report_that_helps() {
    let look = Look { colour: false, unicode: true, width: 100 };
    let mut names = Vec::new();
    for path in files("toml") {
        let name = path.file_stem().expect("a name").to_str().expect("plain letters").to_owned();
        let report = report("ship.toml", &fs::read(&path).expect("the file"), look);
        assert_ne!(report, "understood\n", "{name} is not bad at all");
        // Blank ends of lines would be lost in editors.
        let report = report.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        insta::with_settings!({
            snapshot_path => folder(),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(name.clone(), report) });
        names.push(name);
    }
    assert!(names.len() >= 150, "the corpus has only {} files", names.len());
    for path in files("snap") {
        let stem = path.file_stem().expect("a name").to_str().expect("plain letters");
        assert!(names.iter().any(|name| name == stem), "{stem}.snap belongs to no file");
    }
}

#[test]
fn a_report_can_do_without_unicode_and_with_colour() {
    let text = "format = 1\n[images.api]\nrepositry = \"jobs/api\"\n";
    let ascii = report("ship.toml", text.as_bytes(), Look { colour: false, unicode: false, width: 80 });
    assert!(ascii.is_ascii(), "{ascii}");
    let coloured = report("ship.toml", text.as_bytes(), Look { colour: true, unicode: true, width: 80 });
    assert!(coloured.contains("\u{1b}["), "{coloured}");
}

#[test]
fn no_report_shows_a_secret() {
    let text = "format = 1\n[images.api]\nrepo = \"jobs/api\"\nargs = { NPM_TOKEN = \"npm_1234\", API_TOKEN = 12345 }\n\
                [services.api.sandbox.environment]\nDB_PASSWORD = \"hunter2 ${\"\n";
    let report = report("ship.toml", text.as_bytes(), Look { colour: false, unicode: true, width: 100 });
    for secret in ["npm_1234", "12345", "hunter2"] {
        assert!(!report.contains(secret), "{report}");
    }
}

/// The secrets that somebody has written into a file of the corpus.
const SECRETS: [&str; 5] = ["npm_1234567890", "tok_1234", "hunter2", "pa$word", "AKIAIOSFODNN7EXAMPLE"];

#[test]
fn no_report_of_the_corpus_shows_a_secret() {
    let mut written = 0;
    for path in files("toml") {
        let bytes = fs::read(&path).expect("the file");
        written += usize::from(SECRETS.iter().any(|secret| String::from_utf8_lossy(&bytes).contains(secret)));
        for width in [60, 100] {
            let report = report("ship.toml", &bytes, Look { colour: false, unicode: true, width });
            for secret in SECRETS {
                assert!(!report.contains(secret), "{}: {secret}\n{report}", path.display());
            }
        }
    }
    assert!(written >= 6, "only {written} files have a secret to hide");
}

/// What a schema can see: the form of a file, and nothing that the surroundings decide.
fn is_of_form(code: &str) -> bool {
    matches!(
        code,
        "config::unknown_key"
            | "config::nameless"
            | "config::named_text"
            | "config::wrong_type"
            | "config::bad_name"
            | "config::no_format"
            | "config::unknown_format"
            | "config::newer_format"
            | "config::bad_region"
            | "config::bad_account"
            | "config::bad_role"
            | "config::bad_word"
            | "config::bad_builder"
            | "config::bad_on_failure"
    )
}

/// What a real validator says about each of the values, by name. Python's, because the validators among the
/// crates would be more to compile than the rest of the tests.
fn validated(values: &serde_json::Map<String, serde_json::Value>) -> BTreeMap<String, Vec<String>> {
    const SCRIPT: &str = "import json, sys, jsonschema\n\
        given = json.load(sys.stdin)\n\
        jsonschema.Draft7Validator.check_schema(given['schema'])\n\
        judge = jsonschema.Draft7Validator(given['schema'])\n\
        json.dump({name: [e.message for e in judge.iter_errors(v)] for name, v in given['values'].items()}, sys.stdout)";
    let given = serde_json::json!({ "schema": super::schema::schema(), "values": values });
    let mut python = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/bin/python"))
        .args(["-W", "ignore", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test needs Python and its jsonschema: run tests/ensure-tools");
    let mut input = python.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || input.write_all(given.to_string().as_bytes()));
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the test needs jsonschema: run tests/ensure-tools");
    writer.join().expect("no panic").expect("it reads all of it");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_schema_takes_what_is_right_and_refuses_what_it_can_tell() {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let mut values = serde_json::Map::new();
    for path in files("toml") {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Ok(table) = text.parse::<toml::Table>() else { continue };
        values.insert(name.clone(), serde_json::to_value(table).expect("TOML is JSON"));
        let (typed, facts) = scene(&text);
        let parsed = file::parse_all("ship.toml", &text, &facts.root, read);
        let here = |place: &Place| match place {
            Place::File(span) => parsed.sources.locate(span).is_some_and(|(source, _)| source.begin == 0),
            Place::Nowhere => true,
            Place::Flag(_) | Place::Variable(_) => false,
        };
        match resolve(&parsed, &typed, &facts) {
            Ok(_) => good.push(name),
            // A value that a variable fills in is out of its sight, and so is what was typed.
            Err(errors) => {
                let visible = !text.contains("${") && !text.starts_with("#@ --region");
                if visible && errors.errors.iter().any(|error| is_of_form(error.mistake.code()) && here(&error.place)) {
                    bad.push(name);
                }
            }
        }
    }
    let whole = include_str!("../../examples/hello/ship.toml").parse::<toml::Table>().expect("TOML");
    values.insert("the example".to_owned(), serde_json::to_value(whole).expect("JSON"));
    good.push("the example".to_owned());
    let told = validated(&values);
    for name in &good {
        assert!(told[name].is_empty(), "{name}: {:?}", told[name]);
    }
    for name in &bad {
        assert!(!told[name].is_empty(), "{name}: the schema sees nothing wrong");
    }
    assert!(good.len() >= 5 && bad.len() >= 20, "{} taken, {} refused", good.len(), bad.len());
}
