//! Why a task ended, in words for people, and how much one such end proves.
//!
//! The `rows` are matched against texts that AWS documents or that were recorded; hand-written fakes and
//! hand-written parsers agree with each other and with nothing else.

mod rows;

use self::rows::ROWS;
use super::view::{ContainerView, TaskView};

/// How much one ended task says about the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Says nothing about the revision: Spot, a host, capacity, throttling, an operator, the scheduler.
    Noise,
    /// May be bad luck once; twice it is the revision.
    NeedsTwo,
    /// Every further task of this revision will end the same way.
    Deterministic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub class: Class,
    /// What happened and what to do, without a full stop.
    pub words: String,
}

/// How the words begin of a task that had too little of it.
pub const OUT_OF_MEMORY: &str = "it ran out of memory";

/// And of one whose target was unhealthy.
pub(super) const UNHEALTHY_TARGET: &str = "the load balancer found it unhealthy";

/// What is known of why `task` ended.
#[must_use]
pub fn reason(task: &TaskView) -> Reason {
    let mut text = task.stopped_reason.clone().unwrap_or_default();
    for container in &task.containers {
        if let Some(reason) = &container.reason {
            text.push('\n');
            text.push_str(reason);
        }
    }
    if let Some(found) = of_text(&text) {
        return found;
    }
    // All that is said where the agent of the host is not connected.
    if task.stopped_reason.as_deref() == Some("AGENT") {
        return noise("the agent of its container instance is not connected: look at that instance");
    }
    match task.stop_code.as_deref() {
        // AWS's sample event has the one for a Spot interruption, its reference the other.
        Some("SpotInterruption" | "TerminationNotice") => {
            return noise("its host was taken away: this is not about the image, ECS starts another");
        }
        Some("UserInitiated") => return noise("somebody stopped it"),
        Some(_) | None => {}
    }
    if let Some(found) = of_exit(task) {
        return found;
    }
    let told = task.stopped_reason.clone().or_else(|| task.stop_code.clone());
    Reason {
        class: Class::NeedsTwo,
        words: told.map_or_else(|| "it ended and ECS gave no reason".to_owned(), |told| format!("ECS says: {told}")),
    }
}

/// [`reason`] in words alone.
#[must_use]
pub fn explain(task: &TaskView) -> String {
    reason(task).words
}

/// What one line of text says: a service event, or the last line of a container's log.
#[must_use]
pub fn of_text(text: &str) -> Option<Reason> {
    let lower = text.to_lowercase();
    let row = ROWS
        .iter()
        .find(|row| row.any.iter().any(|fragments| fragments.iter().all(|fragment| lower.contains(fragment))));
    match (row, missing(text)) {
        (Some(row), None) => {
            let wanted = wanted(text).filter(|_| row.class == Class::Deterministic);
            let words = wanted.map_or_else(|| row.words.to_owned(), |wanted| format!("{}; {wanted}", row.words));
            Some(Reason { class: row.class, words })
        }
        // What is not allowed once is not allowed the next time.
        (Some(row), Some(missing)) => Some(Reason {
            class: if row.class == Class::Noise { Class::Noise } else { Class::Deterministic },
            words: format!("{}; {missing}", row.words),
        }),
        // An action of a service this table has no row for.
        (None, Some(missing)) => Some(Reason { class: Class::Deterministic, words: missing }),
        (None, None) => None,
    }
}

/// What IAM itself names: `User: arn:aws:sts::1:assumed-role/NAME/x is not authorized to perform: ACTION on resource: y`.
fn missing(text: &str) -> Option<String> {
    let (before, after) = text.split_once("not authorized to perform: ")?;
    let action = after.split_whitespace().next()?.trim_end_matches(['.', ',', ';']);
    let role = before.rsplit_once(":assumed-role/").and_then(|(_, role)| role.split(['/', ' ']).next());
    Some(match role {
        Some(role) => format!("role {role} lacks {action}"),
        None => format!("what it lacks is {action}"),
    })
}

/// The secret, parameter or JSON key that the agent could not get.
fn wanted(text: &str) -> Option<String> {
    let after = |words: &str| text.split_once(words).map(|(_, rest)| rest);
    let name = after("failed to fetch secret ")
        .filter(|name| name.starts_with("arn:"))
        .or_else(|| after("invalid parameters: ").filter(|_| text.contains("from ssm")))
        .or_else(|| after("did not contain json key "))?;
    let name = name.split_whitespace().next()?.trim_end_matches([':', '.', ';']);
    Some(format!("what it asked for is {name}"))
}

/// What a service event says of trouble. The everyday ones, one of an unhealthy task that was replaced
/// among them, say nothing.
#[must_use]
pub fn of_event(text: &str) -> Option<Reason> {
    let is_trouble = [
        "failed to launch a task",
        "was unable to",
        "is unable to consistently",
        "is unhealthy in",
        "failed container health checks",
        "are being throttled",
        "failed ELB health checks",
    ];
    is_trouble.iter().any(|words| text.contains(words)).then(|| of_text(text)).flatten()
}

/// The limit that a task reached which ran out of memory, in MiB: that of its container, else that of the task.
#[must_use]
pub fn memory_limit(definition: &serde_json::Value, container: &str) -> Option<String> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let containers = definition["containerDefinitions"].as_array()?;
    let own = containers.iter().find(|found| found["name"] == container).and_then(|found| text(&found["memory"]));
    own.filter(|memory| memory != "0").or_else(|| text(&definition["memory"]))
}

fn noise(words: &str) -> Reason {
    Reason { class: Class::Noise, words: words.to_owned() }
}

/// From the exit code: of the container that failed, else of the one that finished.
fn of_exit(task: &TaskView) -> Option<Reason> {
    let exits = || task.containers.iter().filter_map(|container| Some((container, container.exit_code?)));
    let (container, code) = exits().find(|(_, code)| *code != 0).or_else(|| exits().next())?;
    let ContainerView { name, last_status: _, exit_code: _, reason: _, health: _ } = container;
    let after = match (task.started_ms, task.stopping_ms.or(task.stopped_ms)) {
        (Some(started), Some(ended)) if ended >= started => format!(" after {} s", (ended - started) / 1000),
        (Some(_) | None, Some(_) | None) => String::new(),
    };
    let (class, words) = match code {
        0 => (
            Class::NeedsTwo,
            format!("{name} finished{after} with exit code 0: a service needs a process that keeps running"),
        ),
        126 => (Class::Deterministic, format!("{name} exited (126): its command is not executable")),
        127 => (Class::Deterministic, format!("{name} exited (127): its command was not found in the image")),
        134 => (Class::NeedsTwo, format!("{name} aborted{after} (134, SIGABRT)")),
        137 => {
            // From the wish to stop to the end.
            let asked = match (task.stopping_ms, task.stopped_ms) {
                (Some(asked), Some(ended)) if ended >= asked + 2_000 => {
                    format!(" {} s after it was asked to end", (ended - asked) / 1000)
                }
                (Some(_) | None, Some(_) | None) => String::new(),
            };
            let words = format!(
                "{name} was killed{after} (137, SIGKILL){asked}: it did not end within `stopTimeout` after SIGTERM, or was killed from outside"
            );
            (Class::NeedsTwo, words)
        }
        139 => (Class::NeedsTwo, format!("{name} crashed{after} (139, SIGSEGV)")),
        143 => (Class::NeedsTwo, format!("{name} was ended{after} by SIGTERM (143)")),
        other => (Class::NeedsTwo, format!("{name} exited ({other}){after}: its last log lines say why")),
    };
    Some(Reason { class, words })
}

#[cfg(test)]
pub(super) mod table;
#[cfg(test)]
mod tests;
