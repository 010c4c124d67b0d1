//! Why requests were lost, by what their target was doing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Finding, Sighting, Weight, count, ended_early, finding};
use crate::{
    report::words,
    sandbox::{
        load::{Blame, Lost},
        witness::{Seen, Side},
    },
};

/// Why a request was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its old task had been told to end, and ended with it unanswered.
    EndedOverIt,
    /// Its old task's time to finish was over.
    DrainOver,
    /// An old task that was being taken out answered it with an error.
    RefusedByOld,
    /// An old task was on it and nothing had been said to that task.
    OldFailed,
    /// Its task ended by itself.
    Crashed,
    /// Its task lost its Spot capacity.
    Reclaimed,
    /// A new task took it and did not answer.
    NewFailed,
    /// A new task answered it with an error.
    NewAnsweredWithError,
    /// No task was there to take it: those that should have been had ended by themselves.
    NobodyLeft,
    /// No task was there to take it.
    Nobody,
    /// This machine could not send it.
    NotSent,
    /// It cannot be said.
    Unknown,
}

impl Cause {
    #[must_use]
    pub fn of(lost: &Lost, seen: &Seen) -> Self {
        let end = lost.at + lost.took_ms;
        if lost.by == Blame::Load {
            return Self::NotSent;
        }
        let Some(target) = &lost.target else {
            // A connection that ended under a request comes from the balancer itself, with no word of whose fault it is.
            return if lost.by == Blame::Balancer { nobody(lost, seen) } else { cut(lost, seen) };
        };
        let Some(life) = seen.behind(target, lost.at) else { return Self::Unknown };
        match life.side {
            // Whoever answers is there.
            Side::New if lost.by == Blame::Program => Self::NewAnsweredWithError,
            Side::Old if lost.by == Blame::Program && life.drained_from.is_some_and(|from| from <= end) => {
                Self::RefusedByOld
            }
            Side::Old if lost.by == Blame::Program => Self::OldFailed,
            Side::Old | Side::New if super::is_reclaimed(life) => Self::Reclaimed,
            Side::Old | Side::New if ended_early(life) => Self::Crashed,
            Side::New => Self::NewFailed,
            // The signal follows the end of the drain at once: what tells them apart is whether the program was still there.
            Side::Old
                if life.signalled_at.is_some_and(|at| at <= end)
                    && life.ended_at.is_some_and(|at| at <= end + 1_000) =>
            {
                Self::EndedOverIt
            }
            Side::Old if life.drained_from.is_some_and(|from| from <= end) => Self::DrainOver,
            Side::Old => Self::OldFailed,
        }
    }

    /// A promise to scripts.
    const fn code(self) -> &'static str {
        match self {
            Self::EndedOverIt => "lost_on_stop",
            Self::DrainOver => "lost_in_drain",
            Self::RefusedByOld => "refused_by_old",
            Self::OldFailed => "lost_by_old",
            Self::Crashed => "lost_to_crash",
            Self::Reclaimed => "lost_to_spot",
            Self::NewFailed => "lost_by_new",
            Self::NewAnsweredWithError => "errors_of_new",
            Self::NobodyLeft => "lost_after_crash",
            Self::Nobody => "lost_to_nobody",
            Self::NotSent => "not_sent",
            Self::Unknown => "lost",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::EndedOverIt => "on SIGTERM, stop accepting, answer what has begun, and only then exit",
            Self::DrainOver => {
                "give old tasks longer than the longest request takes: a higher \
                 deregistration_delay.timeout_seconds of the target group"
            }
            Self::RefusedByOld => {
                "go on answering as before until the program has ended: while a task drains, requests that were on \
                 their way still come"
            }
            Self::OldFailed => "this is no matter of the rollout: the image that is live does it too",
            Self::Crashed => "see what they wrote before they ended",
            Self::Reclaimed => {
                "on SIGTERM, go on answering until the balancer sends nothing more, or keep a base of tasks that are not Spot"
            }
            Self::NewFailed => {
                "let the health check fail until the program can really serve, and see what the new tasks logged"
            }
            Self::NewAnsweredWithError => {
                "see what the new tasks logged: the balancer and the rollout have no part in it"
            }
            Self::NobodyLeft => "see why they ended: with tasks that stay up these requests would have been answered",
            Self::Nobody => {
                "keep more tasks: a higher minimumHealthyPercent, or health checks that do not fail under load"
            }
            Self::NotSent => "use a lower --load, or `ulimit -n 10000`: this says nothing about the program",
            Self::Unknown => "",
        }
    }
}

/// A request that no task was there for.
fn nobody(lost: &Lost, seen: &Seen) -> Cause {
    let gone = |at: Option<u64>| at.is_some_and(|at| at <= lost.at + lost.took_ms);
    if seen.side(Side::New).any(|life| ended_early(life) && gone(life.ended_at)) {
        Cause::NobodyLeft
    } else {
        Cause::Nobody
    }
}

/// A request that was cut with no word where it was: by what ended then.
fn cut(lost: &Lost, seen: &Seen) -> Cause {
    let end = lost.at + lost.took_ms;
    if seen.side(Side::Old).any(|life| life.signalled_at.is_some_and(|at| at.abs_diff(end) < 1_000)) {
        Cause::DrainOver
    } else {
        Cause::Unknown
    }
}

/// What is said of the lost requests of one cause.
fn what(cause: Cause, count: &str, lost: &[&Lost], drain_s: u64) -> String {
    let were = if lost.len() == 1 { "was" } else { "were" };
    let kind = kinds(lost);
    let slowest = words::duration(lost.iter().map(|lost| lost.took_ms).max().unwrap_or_default());
    match cause {
        Cause::EndedOverIt => format!("{count} {were} lost because the program ended with them unanswered ({kind})"),
        Cause::DrainOver => format!(
            "{count} {were} cut after {slowest}, when the {} that an old task has to finish were over",
            words::duration(drain_s * 1000)
        ),
        Cause::RefusedByOld => {
            format!("{count} {were} answered with an error by old tasks that were being taken out ({kind})")
        }
        Cause::OldFailed => format!("{count} {were} lost by a task of the old image that nobody had touched ({kind})"),
        Cause::Crashed => format!("{count} {were} lost by tasks that ended by themselves ({kind})"),
        Cause::Reclaimed => format!("{count} {were} lost by tasks whose Spot capacity was taken away ({kind})"),
        Cause::NewFailed => format!("{count} {were} lost by a new task that had passed its health check ({kind})"),
        Cause::NewAnsweredWithError => {
            format!("{count} {were} answered with an error by the new image itself ({kind})")
        }
        Cause::NobodyLeft => {
            format!("{count} {were} lost because the tasks to take them had ended by themselves ({kind})")
        }
        Cause::Nobody => format!("{count} {were} lost because no task was there to take them ({kind})"),
        Cause::NotSent => format!("{count} could not be sent: {kind}"),
        Cause::Unknown => format!("{count} {were} lost: {kind}"),
    }
}

/// The kinds of failure, the most frequent first.
fn kinds(lost: &[&Lost]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for one in lost {
        *counts.entry(&one.kind).or_default() += 1;
    }
    let mut kinds: Vec<(&str, usize)> = counts.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    kinds.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>().join(", ")
}

pub(super) fn requests(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { seen, tally, rehearsed, .. } = sighting;
    let mut causes = BTreeMap::<Cause, Vec<&Lost>>::new();
    for lost in &tally.lost {
        causes.entry(Cause::of(lost, seen)).or_default().push(lost);
    }
    // Not all of very many are kept.
    let least = if usize::try_from(tally.failed).is_ok_and(|all| all > tally.lost.len()) { "at least " } else { "" };
    for (cause, lost) in causes {
        let count = format!("{least}{}", words::count(lost.len(), "request"));
        let advice = Some(cause.advice().to_owned()).filter(|advice| !advice.is_empty());
        found.push(finding(cause.code(), Weight::Bad, what(cause, &count, &lost, rehearsed.drain_s), advice));
    }
}

pub(super) fn sockets(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let sockets = &sighting.tally.websockets;
    if sockets.cut > 0 {
        found.push(finding(
            "websockets_cut",
            Weight::Bad,
            format!(
                "{} cut without a Close frame: whoever held one sees a broken connection",
                words::count(count(sockets.cut), "WebSocket")
            ),
            format!(
                "the balancer cuts what is still open when the deregistration delay ({}) is over, and only then does the \
                 program hear SIGTERM: close each WebSocket in good order (1001, going away) sooner than that after it was \
                 opened, and let clients connect again",
                words::duration(sighting.rehearsed.drain_s * 1000)
            ),
        ));
    }
    if sockets.refused == 0 {
        return;
    }
    let why = sockets.refusals.iter().max_by_key(|(_, times)| **times).map_or("", |(why, _)| why.as_str());
    if sockets.opened == 0 {
        found.push(finding(
            "websockets_never_opened",
            Weight::Bad,
            format!("no WebSocket could be opened ({why}): nothing was learned about them"),
            "name a path that takes WebSockets with `websocket_path` in the scenario's [load]".to_owned(),
        ));
    } else {
        found.push(finding(
            "websockets_refused",
            Weight::Bad,
            format!("a WebSocket could not be opened {} ({why})", words::count(count(sockets.refused), "time")),
            None,
        ));
    }
}
