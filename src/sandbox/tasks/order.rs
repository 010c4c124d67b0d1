//! In which order the containers of a task start and stop: `dependsOn`, as the container agent reads it.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::super::world::ecs::run::Part;

/// "If a startTimeout is not specified, the default is 3 minutes" (Fargate). Real time: a process takes what it takes.
const START_TIMEOUT: u64 = 180;

/// What is known of a container that another one depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Running {
        healthy: bool,
        since: Duration,
    },
    Ended {
        code: i64,
    },
    /// It depended on something that never came.
    NeverStarted,
}

/// Whether a container may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    Closed,
    /// Not now and not later: the agent's own words.
    Never(String),
}

/// `dependsOn`: container and condition.
pub(super) fn depends_on(part: &Part) -> impl Iterator<Item = (&str, &str)> {
    part.definition["dependsOn"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one["containerName"].as_str()?, one["condition"].as_str().unwrap_or("START"))))
}

/// | condition | the other one |
/// |---|---|
/// | `START` | has started, whatever has become of it |
/// | `COMPLETE` | has ended |
/// | `SUCCESS` | has ended with 0 |
/// | `HEALTHY` | is healthy |
///
/// The three last ones are waited for no longer than the other one's `startTimeout`.
pub(super) fn way(part: &Part, all: &[Part], seen: &HashMap<String, Seen>) -> Way {
    let mut way = Way::Open;
    for (name, condition) in depends_on(part) {
        let Some(other) = all.iter().find(|other| other.name == name) else { continue };
        let one = match (condition, seen.get(name)) {
            (_, Some(Seen::NeverStarted)) => never(
                "failed to resolve container ordering dependency",
                &on(other, "NONE->RUNNING"),
                part,
                " because dependency will never start",
            ),
            ("START", Some(_)) | ("COMPLETE", Some(Seen::Ended { .. })) => Way::Open,
            ("SUCCESS", Some(Seen::Ended { code: 0 })) | ("HEALTHY", Some(Seen::Running { healthy: true, .. })) => {
                Way::Open
            }
            (_, Some(Seen::Ended { code })) => never(
                "failed to resolve container ordering dependency",
                &format!("{} - Exit: {code}", on(other, "STOPPED->RUNNING")),
                part,
                " as dependency did not exit successfully.",
            ),
            (_, Some(Seen::Running { since, .. })) if *since > start_timeout(other) => {
                never("container ordering dependency", &on(other, "RUNNING->RUNNING"), part, " has timed out.")
            }
            (_, Some(Seen::Running { .. }) | None) => Way::Closed,
        };
        way = match (way, one) {
            (Way::Never(why), _) | (_, Way::Never(why)) => Way::Never(why),
            (Way::Closed, _) | (_, Way::Closed) => Way::Closed,
            (Way::Open, Way::Open) => Way::Open,
        };
    }
    way
}

fn on(part: &Part, states: &str) -> String {
    format!("{}({}) ({states})", part.name, part.image.reference())
}

fn never(what: &str, other: &str, part: &Part, why: &str) -> Way {
    let target = on(part, "NONE->RUNNING");
    Way::Never(format!("CannotStartContainerError: dependency graph: {what} [{other}] for target [{target}]{why}"))
}

fn start_timeout(part: &Part) -> Duration {
    Duration::from_secs(part.definition["startTimeout"].as_u64().unwrap_or(START_TIMEOUT))
}

/// Whether somebody waits for its end: such a container is gone when the others run.
pub(super) fn is_awaited(part: &Part, all: &[Part]) -> bool {
    all.iter()
        .flat_map(depends_on)
        .any(|(name, condition)| name == part.name && ["COMPLETE", "SUCCESS"].contains(&condition))
}

/// Who is stopped when: all of a round at once, and a container only when none is left that depends on it.
pub(super) fn rounds<Live>(containers: &[Live], part: impl Fn(&Live) -> &Part) -> Vec<Vec<&Live>> {
    let mut left: Vec<&Live> = containers.iter().collect();
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let needed = |live: &Live| {
            let name = &part(live).name;
            left.iter().any(|other| part(other).name != *name && depends_on(part(other)).any(|(on, _)| on == name))
        };
        let (later, mut now): (Vec<&Live>, Vec<&Live>) = left.iter().copied().partition(|live| needed(live));
        let mut later = later;
        if now.is_empty() {
            // A circle, which no definition should have: then all at once.
            now = std::mem::take(&mut later);
        }
        rounds.push(now);
        left = later;
    }
    rounds
}

/// `restartPolicy`: whether a container that ended is started once more in its task. "If it isn't able to run for this
/// time period and exits early, it will not be restarted."
pub(super) fn restarts(definition: &Value, code: i64, ran: Duration, period: impl Fn(Duration) -> Duration) -> bool {
    let policy = &definition["restartPolicy"];
    let ignored = policy["ignoredExitCodes"].as_array().is_some_and(|codes| codes.contains(&Value::from(code)));
    // "By default, a container must run for 300 seconds before it can be restarted."
    let least = Duration::from_secs(policy["restartAttemptPeriod"].as_u64().unwrap_or(300));
    policy["enabled"] == true && !ignored && ran >= period(least)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::world::ecs::run::Image;
    use super::*;

    fn part(name: &str, depends_on: &[(&str, &str)]) -> Part {
        let depends: Vec<Value> = depends_on
            .iter()
            .map(|(name, condition)| json!({ "containerName": name, "condition": condition }))
            .collect();
        Part {
            name: name.to_owned(),
            definition: json!({ "dependsOn": depends, "startTimeout": 60 }),
            image: Image::Foreign { reference: format!("{name}:1") },
            secrets: Vec::new(),
            log: None,
        }
    }

    #[test]
    fn conditions_open_the_way_or_close_it() {
        let running = |healthy, since| Seen::Running { healthy, since: Duration::from_secs(since) };
        let (open, closed) = (Way::Open, Way::Closed);
        let failed = "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency \
                      [db(db:1) (STOPPED->RUNNING) - Exit: 1] for target [app(app:1) (NONE->RUNNING)] as dependency did \
                      not exit successfully.";
        let late = "CannotStartContainerError: dependency graph: container ordering dependency \
                    [db(db:1) (RUNNING->RUNNING)] for target [app(app:1) (NONE->RUNNING)] has timed out.";
        for (condition, seen, expected) in [
            ("START", None, closed.clone()),
            ("START", Some(running(false, 0)), open.clone()),
            ("START", Some(Seen::Ended { code: 1 }), open.clone()),
            ("COMPLETE", Some(running(false, 0)), closed.clone()),
            ("COMPLETE", Some(Seen::Ended { code: 1 }), open.clone()),
            ("SUCCESS", Some(Seen::Ended { code: 0 }), open.clone()),
            ("SUCCESS", Some(Seen::Ended { code: 1 }), Way::Never(failed.to_owned())),
            ("HEALTHY", Some(running(false, 10)), closed.clone()),
            ("HEALTHY", Some(running(true, 10)), open),
            ("HEALTHY", Some(running(false, 61)), Way::Never(late.to_owned())),
        ] {
            let all = [part("db", &[]), part("app", &[("db", condition)])];
            let seen: HashMap<String, Seen> = seen.map(|seen| ("db".to_owned(), seen)).into_iter().collect();
            assert_eq!(way(&all[1], &all, &seen), expected, "{condition} {seen:?}");
        }
        let all = [part("db", &[]), part("app", &[("db", "START")])];
        let seen = HashMap::from([("db".to_owned(), Seen::NeverStarted)]);
        assert!(
            matches!(way(&all[1], &all, &seen), Way::Never(why) if why.ends_with("because dependency will never start"))
        );
    }

    #[test]
    fn who_depends_on_another_is_stopped_before_it() {
        let names = |parts: &[Part]| -> Vec<Vec<String>> {
            let rounds = rounds(parts, |part| part);
            rounds.into_iter().map(|round| round.into_iter().map(|part| part.name.clone()).collect()).collect()
        };
        let chain = [part("a", &[]), part("b", &[("a", "START")]), part("c", &[("b", "HEALTHY")]), part("d", &[])];
        assert_eq!(names(&chain), [vec!["c", "d"], vec!["b"], vec!["a"]]);
        let circle = [part("a", &[("b", "START")]), part("b", &[("a", "START")])];
        assert_eq!(names(&circle), [vec!["a", "b"]]);
        assert!(is_awaited(&part("init", &[]), &[part("app", &[("init", "SUCCESS")])]));
        assert!(!is_awaited(&part("init", &[]), &[part("app", &[("init", "START")])]));
    }

    #[test]
    fn a_restart_policy_restarts_what_ran_long_enough() {
        let policy =
            json!({ "restartPolicy": { "enabled": true, "ignoredExitCodes": [0], "restartAttemptPeriod": 60 } });
        let real = |period: Duration| period;
        for (definition, code, ran, expected) in [
            (&policy, 1, 60, true),
            (&policy, 1, 59, false),
            (&policy, 0, 600, false),
            (&json!({}), 1, 600, false),
            (&json!({ "restartPolicy": { "enabled": true } }), 1, 299, false),
            (&json!({ "restartPolicy": { "enabled": true } }), 1, 300, true),
        ] {
            assert_eq!(
                restarts(definition, code, Duration::from_secs(ran), real),
                expected,
                "{definition} {code} {ran}"
            );
        }
    }
}
