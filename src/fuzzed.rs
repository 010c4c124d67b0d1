//! The corpus of the fuzzers, in the test suite: what one of them once found stays found.

use std::{fs, panic, path::Path};

#[expect(unreachable_pub, reason = "the fuzzers reach it, in a crate of their own")]
#[path = "../fuzz/judge.rs"]
mod judge;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 9] = [
    ("config", judge::config),
    ("variables", judge::variables),
    ("reference", judge::reference),
    ("arn", judge::arn),
    ("dockerignore", judge::dockerignore),
    ("environment_file", judge::environment_file),
    ("json_lines", judge::json_lines),
    ("rawjson", judge::rawjson),
    ("query", judge::query),
];

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_of_every_fuzzer_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut bad = Vec::new();
    for (name, target) in TARGETS {
        let mut corpus = files(&root.join("fuzz/corpus").join(name));
        assert!(corpus.len() >= 3, "the corpus of {name} has only {} files", corpus.len());
        if name == "config" {
            corpus.extend(files(&root.join("tests/config")));
        }
        for path in corpus {
            let bytes = fs::read(&path).expect("the file");
            // All that break are told, not only the first.
            if panic::catch_unwind(|| target(&bytes)).is_err() {
                bad.push(path);
            }
        }
    }
    assert_eq!(bad, Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_fuzzer_is_known_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("its manifest");
    let listed: Vec<String> = files(&root.join("targets"))
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into())
        .collect();
    let mut known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(listed, known);
    let nightly = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows/nightly.yml"));
    let nightly = nightly.expect("the workflow");
    for name in known {
        assert!(nightly.contains(&format!("          - {name}\n")), "{name} is not in the nightly workflow");
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not in fuzz/Cargo.toml");
    }
}
