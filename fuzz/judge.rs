//! What must hold for any bytes. The fuzzers call these functions, and a test of the program calls them with the corpus.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{
    config::{
        duration, environment_file,
        error::{ConfigErrors, Look, Place, render_warnings},
        file,
        resolve::{Facts, Typed, judge, resolve},
        show,
        sources::Sources,
        spec::{GitFacts, WorkTree},
        variables::{self, Broken, Piece},
    },
    docker::{
        ignore::Ignore,
        lines::JsonLines,
        rawjson::{self, Heard},
    },
    id::{Arn, TaskDefArn},
    image::{Digest, EcrHost, ImageName, Reference, Tag},
    sandbox::wire::form::Form,
};

const LOOK: Look = Look { colour: false, unicode: true, width: 80 };

/// Beside every file lies an environment file and a base.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("common.env") => Ok(b"LOG_LEVEL=info\nDB_PASSWORD=hunter2\nexport A=1\n".to_vec()),
        Some("base.toml") => Ok(b"format = 1\n[images.api]\nrepository = \"jobs/api\"\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn facts() -> Facts {
    Facts {
        root: PathBuf::from("/repo"),
        home: Some(PathBuf::from("/home/ann")),
        variables: BTreeMap::from([("BUILD_NUMBER".to_owned(), "7".to_owned())]),
        git: Ok(GitFacts {
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            short: "0123456789ab".to_owned(),
            branch: Some("main".to_owned()),
            tag: None,
            work_tree: WorkTree::Clean,
        }),
        now_ms: 1_795_462_839_000,
        read,
    }
}

/// `ship.toml`: whatever it is, it is understood, or every mistake lies in the file it names and can be drawn.
pub fn config(bytes: &[u8]) {
    let Ok(text) = file::text(bytes) else { return };
    let facts = facts();
    let parsed = file::parse_all("ship.toml", text, &facts.root, read);
    let _ = file::names(text);
    match resolve(&parsed, &Typed::default(), &facts) {
        Ok(resolved) => {
            for warning in &resolved.warnings {
                lies_in(&resolved.sources, &warning.place);
            }
            let _ = render_warnings(&resolved.warnings, &resolved.sources, LOOK);
            for place in resolved.origins.values() {
                lies_in(&resolved.sources, place);
            }
            let tables = show::show(&resolved);
            let _ = (show::to_toml(&tables), show::to_json(&tables));
        }
        Err(errors) => drawn(&errors),
    }
    match judge(&parsed, None, &facts) {
        Ok(judged) => drop(render_warnings(&judged.warnings, &judged.sources, LOOK)),
        Err(errors) => drawn(&errors),
    }
}

fn drawn(errors: &ConfigErrors) {
    assert!(!errors.errors.is_empty(), "refused without a reason");
    for error in &errors.errors {
        lies_in(&errors.sources, &error.place);
        assert!(!error.to_string().is_empty());
    }
    assert!(!errors.render(LOOK).is_empty());
}

fn lies_in(sources: &Sources, place: &Place) {
    let Place::File(span) = place else { return };
    let (source, own) = sources.locate(span).expect("it lies in a text");
    assert!(source.text.get(own.clone()).is_some(), "{own:?} is no part of {}", source.name);
    assert!(source.line_and_column(own.start).is_some());
}

/// `${…}`: what is taken apart covers the text, and what is wrong lies in it.
pub fn variables(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match variables::pieces(text) {
        Ok(pieces) => {
            let mut end = 0;
            for piece in pieces {
                if let Piece::Variable(variable) = piece {
                    assert!(variable.range.start >= end, "out of order");
                    assert!(
                        text[variable.range.clone()].starts_with("${") && text[..variable.range.end].ends_with('}')
                    );
                    end = variable.range.end;
                }
            }
        }
        Err(
            Broken::LoneDollar { range }
            | Broken::Unclosed { range }
            | Broken::Nameless { range }
            | Broken::Nested { range },
        ) => assert!(text[range].starts_with('$')),
    }
    let quoted = toml::Value::String(text.to_owned());
    config(format!("format = 1\n[images.api]\nrepository = \"a/b\"\nargs = {{ A = {quoted}, TOKEN = {quoted} }}\n[services.api]\ncluster = {quoted}\n").as_bytes());
}

/// References, tags, digests, hosts and durations: what is read prints as something that reads the same.
pub fn reference(bytes: &[u8]) {
    fn again<T: std::str::FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) {
        if let Ok(read) = text.parse::<T>() {
            assert_eq!(read.to_string().parse::<T>().ok().as_ref(), Some(&read));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    again::<Reference>(text);
    again::<ImageName>(text);
    again::<Tag>(text);
    again::<Digest>(text);
    again::<EcrHost>(text);
    if let Some(read) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::print(read)), Some(read));
    }
    if let Some(guessed) = duration::guess(text) {
        assert!(duration::parse(&guessed).is_some(), "{guessed}");
    }
}

/// ARNs print as they were read.
pub fn arn(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(arn) = text.parse::<Arn>() {
        assert_eq!(arn.to_string(), text);
    }
    let revision = TaskDefArn::new(text);
    assert!(text.ends_with(revision.short()) && revision.short().starts_with(revision.family()));
    if let Some(number) = revision.revision() {
        assert_eq!(revision.at_revision(number).revision(), Some(number));
    }
}

/// `.dockerignore`: the first line is a path, the rest are patterns.
pub fn dockerignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (path, patterns) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(ignore) = Ignore::parse(patterns) {
        let _ = (ignore.verdict(path), ignore.below(path));
    }
}

/// `KEY=value` lines: every value and every mistake lies in the text.
pub fn environment_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (lines, mistakes) = environment_file::parse(text, 0);
    for line in lines {
        assert_eq!(text.get(line.value.span), Some(line.value.value.as_str()));
    }
    for (_, span) in mistakes {
        assert!(text.get(span).is_some_and(|part| !part.contains('\n')));
    }
}

/// The engine's streams, cut anywhere: whole and in two halves they give the same values.
pub fn json_lines(bytes: &[u8]) {
    let mut whole = JsonLines::default();
    let Ok(values) = whole.feed(bytes) else { return };
    // A number may be cut into two, and a stream may break off; the engine sends whole objects.
    if whole.finish().is_err() || !values.iter().all(serde_json::Value::is_object) {
        return;
    }
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut halves = JsonLines::default();
    let mut given = halves.feed(first).expect("its first half is good as well");
    given.extend(halves.feed(second).expect("and so is the second"));
    assert_eq!(given, values);
}

/// buildx's standard error: every line is in a piece of the graph or told, whole and once.
pub fn rawjson(bytes: &[u8]) {
    let mut reader = rawjson::Reader::default();
    let mut pending = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        pending += line.len();
        match reader.feed(line) {
            Heard::More => {}
            Heard::Piece(_) => pending = 0,
            Heard::Words(words) => {
                assert_eq!(words.len(), pending);
                assert!(words.ends_with(line));
                pending = 0;
            }
        }
    }
    assert_eq!(reader.finish().len(), pending);
}

/// AWS Query: what was sent is found under its name, in its structure and in its list.
pub fn query(bytes: &[u8]) {
    let form = Form::parse(bytes);
    for (name, _) in url::form_urlencoded::parse(bytes) {
        assert!(form.get(&name).is_some() && form.contains(&name));
        if let Some((structure, member)) = name.split_once('.') {
            assert!(form.contains(structure));
            assert!(form.group(structure).get(member).is_some());
        }
        let number = |rest: &str| rest.split('.').next().is_some_and(|number| number.parse::<u64>().is_ok());
        if let Some((list, rest)) = name.split_once(".member.").filter(|(_, rest)| number(rest)) {
            assert!(!form.members(list).is_empty());
            assert!(form.strings(list).len() <= form.members(list).len());
            assert!(rest.contains('.') || !form.strings(list).is_empty());
        }
        if let Some((list, _)) = name.split_once('.').filter(|(_, rest)| number(rest)) {
            assert!(!form.items(list).is_empty());
        }
    }
}
