//! Scenarios as people write them, and what is said of their mistakes.

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
                [[faults]]\nservice = \"ec2\"\nfault = \"stall\"\n[[scales]]\nat = \"soon\"\n[deploys]\nat = \"1s\"\n[lod]\nrate = 1\n[load]\npath = \"x\"\n";
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
    "tiemout": `answer` cannot be `tiemout` | did you mean `timeout`? | -
    { for = "1s" }: `answer` is missing in health | `answer` belongs into this table | write `answer = 503`
    "ec2": `service` cannot be `ec2` | did you mean `ecs`? | -
    "stall": `fault` means nothing without `for` | - | add `for = "3s"`
    [[scales]]: `to` is missing in [[scales]] | `to` belongs into this table | write `to = 4`
    "soon": `at` must be a duration, and this is `soon` | ms, s or m | write a number with its unit: `at = "5s"`
    [deploys]: [deploys] is one table, and there may be several | two brackets on each side | write `[[deploys]]`
    lod: unknown key `lod` at the top of the file | did you mean `load`? | -
    "x": `x` is not a path | begins with / | write `path = "/"`
    "#);
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
