//! How tasks ended, and what is to be said of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Sighting, Weight, finding, round_up, slowest_stop_ms, stop_ms};
use crate::{
    report::words,
    rollout::reason,
    sandbox::witness::{ExitSeen, Life, Side},
};

/// How one task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself after SIGTERM, with 0.
    Finished,
    /// By the signal, which it does not handle.
    BySignal,
    /// By itself after SIGTERM, with an error.
    WithError(i64),
    /// SIGKILL after its stop timeout.
    Killed,
    /// SIGKILL for its memory.
    OutOfMemory,
    /// Before anybody told it to.
    Unasked(i64),
    /// It runs, or nothing is known of its end.
    None,
}

/// 128 and the number of the signal, as shells and the engine count it.
const SIGKILL: i64 = 137;
const SIGTERM: i64 = 143;

impl Ending {
    /// For scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::BySignal => "by_signal",
            Self::WithError(_) => "with_error",
            Self::Killed => "killed",
            Self::OutOfMemory => "out_of_memory",
            Self::Unasked(_) => "unasked",
            Self::None => "none",
        }
    }

    #[must_use]
    pub fn of(life: &Life) -> Self {
        let Some(exit) = decisive(life) else { return Self::None };
        let out_of_memory = exit.reason.as_deref().is_some_and(|reason| reason.starts_with("OutOfMemory"));
        match exit.code {
            _ if out_of_memory => Self::OutOfMemory,
            // Whatever the task as a whole was told meanwhile: one may crash while its task drains.
            code if exit.by_itself => Self::Unasked(code),
            0 => Self::Finished,
            SIGKILL => Self::Killed,
            SIGTERM => Self::BySignal,
            code => Self::WithError(code),
        }
    }
}

/// Of its containers' ends the one that says how the task ended: one that ended by itself took the others with it; else
/// the worst of them.
fn decisive(life: &Life) -> Option<&ExitSeen> {
    let essential = life.exits.iter().filter(|exit| exit.essential);
    essential.max_by_key(|exit| (exit.by_itself, exit.code == SIGKILL, exit.code))
}

pub(super) fn endings(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, seen, .. } = sighting;
    let with = |wanted: fn(Ending) -> bool| -> Vec<&Life> {
        seen.lives.iter().filter(|life| wanted(Ending::of(life))).collect()
    };
    let killed = with(|ending| ending == Ending::Killed);
    if !killed.is_empty() {
        let after = killed.iter().filter_map(|life| stop_ms(life)).max().unwrap_or_default();
        found.push(finding(
            "killed",
            Weight::Bad,
            format!(
                "{} had not ended {} after SIGTERM and had to be killed (exit 137)",
                words::count(killed.len(), "task"),
                words::duration(after)
            ),
            format!(
                "handle SIGTERM; a shell in front of the program does not pass it on: write ENTRYPOINT [\"program\"], or \
                 `exec program` in the script. If it needs longer than {} s, raise `stopTimeout` (at most 120 on Fargate)",
                production.stop_timeout_s
            ),
        ));
    } else if let Some(slowest) = slowest_stop_ms(seen)
        && slowest * 10 >= production.stop_timeout_s * 1000 * 7
    {
        found.push(finding(
            "stop_timeout_tight",
            Weight::Tight,
            format!(
                "tasks took up to {} to end after SIGTERM, and are killed after {} s",
                words::duration(slowest),
                production.stop_timeout_s
            ),
            format!("`stopTimeout`: {} (at most 120 on Fargate)", round_up(slowest * 2)),
        ));
    }
    let dropped = with(|ending| ending == Ending::BySignal);
    if !dropped.is_empty() {
        found.push(finding(
            "ended_by_signal",
            Weight::Note,
            format!(
                "{} ended by SIGTERM itself (exit 143): the program does not handle it, and ends whatever it is doing",
                words::count(dropped.len(), "task")
            ),
            "on SIGTERM, answer what has begun and exit with 0".to_owned(),
        ));
    }
    let errors = with(|ending| matches!(ending, Ending::WithError(_)));
    if let Some(first) = errors.first() {
        let code = decisive(first).map_or(0, |exit| exit.code);
        found.push(finding(
            "stop_with_error",
            Weight::Note,
            format!("{} ended after SIGTERM with exit {code}", words::count(errors.len(), "task")),
            None,
        ));
    }
    let memory = with(|ending| ending == Ending::OutOfMemory);
    if !memory.is_empty() {
        let were = if memory.len() == 1 { "was" } else { "were" };
        found.push(finding(
            "out_of_memory",
            Weight::Bad,
            format!(
                "{} {were} killed for using more memory than it may (exit 137)",
                words::count(memory.len(), "task")
            ),
            "raise `memory`, or see what the program keeps".to_owned(),
        ));
    }
    let unasked = with(|ending| matches!(ending, Ending::Unasked(_)));
    if !unasked.is_empty() {
        let codes: BTreeSet<String> =
            unasked.iter().filter_map(|life| decisive(life).map(|exit| exit.code.to_string())).collect();
        let itself = if unasked.len() == 1 { "itself" } else { "themselves" };
        let lived = unasked.iter().filter_map(|life| lived_ms(life)).max();
        let after = lived.map(|ms| format!(", at most {} after their start", words::duration(ms))).unwrap_or_default();
        found.push(finding(
            "ended_unasked",
            Weight::Bad,
            format!(
                "{} ended by {itself} (exit {}){after}",
                words::count(unasked.len(), "task"),
                codes.into_iter().collect::<Vec<_>>().join(", ")
            ),
            "the last lines they wrote are above, with the rollout (not with --progress quiet)".to_owned(),
        ));
    }
    let reclaimed = seen.lives.iter().filter(|life| super::is_reclaimed(life)).count();
    if reclaimed > 0 {
        let its = if reclaimed == 1 { "its" } else { "their" };
        found.push(finding(
            "spot_lost",
            Weight::Note,
            format!("{} lost {its} Spot capacity", words::count(reclaimed, "task")),
            None,
        ));
    }
}

/// From its start to its end.
pub(super) fn lived_ms(life: &Life) -> Option<u64> {
    Some(life.ended_at?.saturating_sub(life.started_at?))
}

/// New tasks that ended before they had begun, with what ECS says of it.
pub(super) fn never_started(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let mut reasons = BTreeMap::<String, usize>::new();
    for life in sighting.seen.side(Side::New).filter(|life| life.started_at.is_none()) {
        // One that was no longer wanted is nobody's failure.
        if life.stop_code.as_deref() == Some("TaskFailedToStart")
            && let Some(reason) = &life.stopped_reason
        {
            *reasons.entry(explained(reason)).or_default() += 1;
        }
    }
    for (reason, times) in reasons {
        let what = format!("{} did not start: {reason}", words::count(times, "new task"));
        found.push(finding("not_started", Weight::Bad, what, None));
    }
}

/// A stop reason in words for people.
#[must_use]
pub fn explained(reason: &str) -> String {
    reason::of_text(reason).map_or_else(|| words::brief(reason), |known| known.words)
}
