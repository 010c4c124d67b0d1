//! Scenarios as people write them, and what is said of their mistakes.

use std::fmt::Write as _;

use super::reader::{DEPLOYS, FAULTS, HEALTH, Key, LOAD, SCALES, TASKS, read_duration};
use super::*;

#[test]
fn every_example_is_understood_and_says_something() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let scenario = parse(&text).unwrap_or_else(|mistakes| panic!("{:?}: {mistakes:?}", entry.path()));
        assert_ne!(scenario, Scenario::default(), "{:?}", entry.path());
        names.push(entry.file_name());
    }
    assert!(names.len() >= 14, "{names:?}");
}

#[test]
fn a_scenario_is_read_whole() {
    let scenario = parse(
        "format = 1\n[[tasks]]\nof = \"new\"\nservice = \"api\"\nfirst = 2\npull = \"20s\"\n\
         health = [{ for = \"1m30s\", answer = 503 }, { answer = \"own\" }]\ncrash_after = \"500ms\"\nout_of_memory = true\n\
         stop_after = \"2s\"\nspot_after = \"15s\"\n[[tasks]]\nof = \"old\"\nignores_sigterm = true\n\
         [[faults]]\nservice = \"ecs\"\noperation = \"UpdateService\"\nfault = \"stall\"\nfor = \"3s\"\nafter = 1\ntimes = 2\n\
         [[scales]]\nat = \"5s\"\nto = 4\n[[deploys]]\nat = \"5s\"\nservice = \"api\"\n\
         [load]\nrate = 50\nwebsockets = 3\nwebsocket_path = \"/ws\"\n",
    )
    .unwrap();
    let [new, old] = scenario.tasks.as_slice() else { panic!("{scenario:?}") };
    assert_eq!((new.of, new.first, new.pull), (Of::New, Some(2), Some(Duration::from_secs(20))));
    assert_eq!(
        new.health,
        [
            HealthStep { lasts: Some(Duration::from_secs(90)), answer: HealthAnswer::Status(503) },
            HealthStep { lasts: None, answer: HealthAnswer::Own },
        ]
    );
    let crash = new.crash.unwrap();
    assert_eq!((crash.after, crash.exit_code, crash.memory), (Duration::from_millis(500), 137, OutOfMemory::Yes));
    assert_eq!((new.stop, old.stop), (Some(OnStop::After(Duration::from_secs(2))), Some(OnStop::Never)));
    assert_eq!(scenario.faults[0].kind, FaultKind::Stall(Duration::from_secs(3)));
    assert_eq!((scenario.scales[0].to, scenario.deploys[0].at), (4, Duration::from_secs(5)));
    assert_eq!((scenario.load.rate, scenario.load.websockets), (Some(50), Some(3)));
}

#[test]
fn all_mistakes_are_found_at_once_each_with_what_to_write() {
    let text = "[[tasks]]\nboot = 8\ncrash = \"2s\"\n[[tasks]]\nof = \"neu\"\nexit_code = 3\nboot = \"1s\"\nhealth = [{ answer = \"tiemout\" }, { for = \"1s\" }]\n\
                [[faults]]\nservice = \"ec3\"\nfault = \"stall\"\n[[scales]]\nat = \"soon\"\n[deploys]\nat = \"1s\"\n[lod]\nrate = 1\n[load]\npath = \"x\"\n";
    let mistakes = parse(text).unwrap_err();
    let told: Vec<String> = mistakes
        .iter()
        .map(|mistake| {
            let place =
                mistake.span.as_ref().map_or("-", |span| &text[span.clone()]).lines().next().unwrap_or_default();
            let label = mistake.label.as_deref().unwrap_or("-");
            let help = mistake.help.as_deref().unwrap_or("-");
            format!("{place}: {} | {label} | {help}", mistake.message)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    -: the file does not say which format it is written in | - | write `format = 1` as the first line
    [[tasks]]: `of` is missing in [[tasks]] | `of` belongs into this table | write `of = "new"`
    8: `boot` must be a duration, and this is a whole number | ms, s or m | write `boot = "8s"`
    crash: unknown key `crash` in [[tasks]] | did you mean `crash_after`? | -
    "neu": `of` cannot be `neu` | did you mean `new`? | -
    3: `exit_code` means nothing without `crash_after` | - | add `crash_after = "2s"`
    { answer = "tiemout" }: what comes after this answer is never reached | lasts for ever | say how long it lasts: `for = "10s"`
    "tiemout": `answer` cannot be `tiemout` | did you mean `timeout`? | -
    { for = "1s" }: `answer` is missing in health | `answer` belongs into this table | write `answer = 503`
    "ec3": `service` cannot be `ec3` | did you mean `ecs`? | -
    "stall": `fault` means nothing without `for` | - | add `for = "3s"`
    [[scales]]: `to` is missing in [[scales]] | `to` belongs into this table | write `to = 4`
    "soon": `at` must be a duration, and this is `soon` | ms, s or m | write a number with its unit: `at = "5s"`
    [deploys]: [deploys] is one table, and there may be several | two brackets on each side | write `[[deploys]]`
    lod: unknown key `lod` at the top of the file | did you mean `load`? | -
    "x": `x` is not a path | begins with / | write `path = "/"`
    "#);
}

/// What a fault of this service and operation is told, where it is refused.
fn told_of(service: &str, operation: &str) -> String {
    let service = if service.is_empty() { String::new() } else { format!("service = \"{service}\"\n") };
    let text = format!("format = 1\n[[faults]]\n{service}operation = \"{operation}\"\nfault = \"cut\"\n");
    let Err(mistakes) = parse(&text) else { return "well".to_owned() };
    let [mistake] = mistakes.try_into().unwrap();
    assert_eq!(&text[mistake.span.unwrap()], format!("\"{operation}\""));
    format!("{} | {} | {}", mistake.message, mistake.label.unwrap(), mistake.help.unwrap_or_default())
}

#[test]
fn an_operation_that_is_none_is_refused_with_the_one_that_was_meant() {
    for (service, operation, told) in [
        ("ecs", "DescribeServices", "well"),
        ("", "describeservices", "well"),
        ("registry", "PUT", "well"),
        (
            "ecs",
            "DescribeServicez",
            "the sandbox has no operation `DescribeServicez` of ecs | did you mean `DescribeServices`? | ",
        ),
        ("", "GetLogEvent", "the sandbox has no operation `GetLogEvent` | did you mean `GetLogEvents`? | "),
        (
            "elb",
            "UpdateService",
            "the sandbox has no operation `UpdateService` of elb | it is one of ecs | write `service = \"ecs\"`",
        ),
        (
            "registry",
            "FETCH",
            "the sandbox has no operation `FETCH` of registry | not known here | what there is: docs/guide/sandbox.md, \"What it emulates\"",
        ),
    ] {
        assert_eq!(told_of(service, operation), told, "{service} {operation}");
    }
}

#[test]
fn what_is_no_toml_is_said_so() {
    let mistakes = parse("format = 1\n[[tasks]]\nof = new\n").unwrap_err();
    assert_eq!(mistakes[0].code, "scenario::syntax");
    assert!(mistakes[0].span.is_some());
}

#[test]
fn durations_have_units() {
    for (text, read) in [
        ("250ms", Some(250)),
        ("8s", Some(8_000)),
        ("1m30s", Some(90_000)),
        ("2h", Some(7_200_000)),
        ("8", None),
        ("s", None),
        ("8 s", None),
        ("", None),
        ("99999999999999999999s", None),
    ] {
        assert_eq!(read_duration(text).map(|duration| duration.as_millis()), read, "{text}");
    }
}

/// What each table's reference in the guide names in its first column.
fn documented(heading: &str) -> Vec<String> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/scenarios.md");
    let text = std::fs::read_to_string(page).unwrap();
    let part = text.split("\n## ").find(|part| part.lines().next().unwrap_or_default().contains(heading)).unwrap();
    let first = |line: &str| line.strip_prefix("| `").map(|row| row.split(" |").next().unwrap_or_default().to_owned());
    let cells = part
        .lines()
        .filter_map(first)
        .flat_map(|cell| cell.split(", ").map(|key| key.trim_matches('`').to_owned()).collect::<Vec<_>>());
    cells.collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_one() {
    for (heading, keys) in [("`[[tasks]]`", TASKS), ("`[[faults]]`", FAULTS), ("`[load]`", LOAD)] {
        let known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        assert_eq!(documented(heading), known, "{heading}");
    }
    let mut others: Vec<&str> = SCALES.iter().chain(DEPLOYS).map(|(key, _)| *key).collect();
    others.sort_unstable();
    others.dedup();
    let mut told = documented("`[[scales]]`");
    told.sort_unstable();
    assert_eq!(told, others);
    // The members of `health` are shown in its own row.
    assert_eq!(HEALTH.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["for", "answer"]);
}

/// The example of a key, with what it means nothing without.
fn written(table: &str, keys: &[Key], key: &str) -> String {
    let with: &[&str] = match (table, key) {
        ("[[tasks]]", "of" | "service" | "first") => &["of", "boot"],
        ("[[tasks]]", "exit_code" | "out_of_memory") => &["of", "crash_after"],
        ("[[tasks]]", "fails_for") => &["of", "fails"],
        ("[[tasks]]", _) => &["of"],
        ("[[scales]]", _) => &["at", "to"],
        ("[[deploys]]", _) => &["at"],
        ("[[faults]]", _) => &["fault"],
        (_, "slow_every" | "slow_path") => &["slow_every", "slow_path"],
        (_, "websocket_path") => &["websockets"],
        _ => &[],
    };
    let mut text = format!("format = 1\n{table}\n");
    for (name, example) in keys.iter().filter(|(name, _)| *name == key || with.contains(name)) {
        // What lasts is a stall, and a lack of capacity.
        let example = match (key, *name) {
            ("for", "fault") => "\"stall\"",
            ("fails_for", "fails") => "\"capacity\"",
            _ => example,
        };
        writeln!(text, "{name} = {example}").unwrap();
    }
    text
}

#[test]
fn every_key_is_read_and_changes_what_is_meant() {
    let tables = [
        ("[[tasks]]", TASKS),
        ("[[faults]]", FAULTS),
        ("[[scales]]", SCALES),
        ("[[deploys]]", DEPLOYS),
        ("[load]", LOAD),
    ];
    for (table, keys) in tables {
        for (key, _) in keys {
            let text = written(table, keys, key);
            let scenario = parse(&text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:?}"));
            assert_ne!(scenario, Scenario::default(), "{text}");
            // Without its line the file means something else, or no longer anything.
            let without: Vec<&str> = text.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect();
            assert_ne!(parse(&without.join("\n")).ok(), Some(scenario), "{text}");
        }
    }
}

#[test]
fn contradictions_and_what_means_nothing_are_mistakes() {
    let cases = [
        ("[[tasks]]\nof = \"new\"", "scenario::says_nothing"),
        ("[[tasks]]\nof = \"new\"\nfails = \"image\"\nboot = \"2s\"", "scenario::both"),
        ("[[tasks]]\nof = \"new\"\nfails = \"role\"\npull = \"2s\"", "scenario::both"),
        ("[[tasks]]\nof = \"new\"\nfails = \"image\"\nfails_for = \"2s\"", "scenario::needs_another"),
        ("[[tasks]]\nof = \"new\"\nboot = \"2s\"\nhealth = [{ answer = 200 }]", "scenario::both"),
        ("[[tasks]]\nof = \"old\"\nstop_after = \"2s\"\nignores_sigterm = true", "scenario::both"),
        ("[[tasks]]\nof = \"new\"\nhealth = [{ answer = 503 }, { answer = 200 }]", "scenario::never_reached"),
        ("[[tasks]]\nof = \"new\"\nhealth = [{ answer = 99 }]", "scenario::out_of_range"),
        ("[[tasks]]\nof = \"new\"\nfirst = 0\nboot = \"1s\"", "scenario::out_of_range"),
        ("[[tasks]]\nof = \"new\"\nboot = \"1.5s\"", "scenario::bad_duration"),
        ("[[faults]]\nfault = \"throttle\"\nfor = \"3s\"", "scenario::needs_another"),
        ("[[faults]]\nfault = \"stall\"", "scenario::needs_another"),
        ("[load]\nwebsocket_path = \"/ws\"", "scenario::needs_another"),
        ("[load]\nslow_every = 5", "scenario::needs_another"),
        ("[load]\nrate = \"fast\"", "scenario::wrong_type"),
        ("[[deploys]]\nat = \"1s\"\nphase = \"drain\"", "scenario::unknown_key"),
    ];
    for (text, code) in cases {
        let mistakes = parse(&format!("format = 1\n{text}\n")).unwrap_err();
        assert_eq!(mistakes.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), [code], "{text}");
    }
}

#[test]
fn what_happens_is_told_in_words() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut told = String::new();
    for file in files {
        let scenario = parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        writeln!(told, "{}", file.file_stem().unwrap().display()).unwrap();
        for act in scenario.acts() {
            writeln!(told, "  {act}").unwrap();
        }
    }
    insta::assert_snapshot!(told);
}
