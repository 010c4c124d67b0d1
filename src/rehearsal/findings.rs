//! What is to be learned from a rehearsal: pure, from what was seen to findings with what to do.

use serde::Serialize;

use super::production::{Production, ReadFrom};
use crate::{
    report::words,
    sandbox::{
        forecast::{Ended, Forecast},
        load::{Lost, Phase, Tally},
        witness::{Life, Seen, Side},
    },
};

/// What the rehearsal itself was set to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rehearsed {
    pub speed: f64,
    pub rate: u32,
    /// How long old tasks had to finish their requests, in seconds: production's delay, or less where that is long.
    pub drain_s: u64,
}

/// Everything that was seen.
pub struct Sighting<'a> {
    pub production: &'a Production,
    pub rehearsed: Rehearsed,
    pub seen: &'a Seen,
    pub tally: &'a Tally,
    pub forecast: Option<&'a Forecast>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A promise to scripts.
    pub code: &'static str,
    pub weight: Weight,
    /// What is so, with the numbers.
    pub what: String,
    /// What to do about it, or to write instead.
    pub advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It loses requests, or will.
    Bad,
    /// A setting that leaves too little room.
    Tight,
    /// A setting that costs time and buys nothing.
    Loose,
    /// Good to know.
    Note,
}

/// How one task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
    #[must_use]
    pub fn of(life: &Life) -> Self {
        let essential = life.exits.iter().filter(|exit| exit.essential);
        // The worst of several is the one to tell.
        let Some(exit) = essential.max_by_key(|exit| (exit.code == SIGKILL, exit.code)) else { return Self::None };
        let out_of_memory = exit.reason.as_deref().is_some_and(|reason| reason.starts_with("OutOfMemory"));
        match (exit.code, life.signalled_at) {
            _ if out_of_memory => Self::OutOfMemory,
            (code, None) => Self::Unasked(code),
            // It ended first, and was told to stop because of that.
            (code, Some(_)) if life.stop_code.as_deref() == Some("EssentialContainerExited") => Self::Unasked(code),
            (0, Some(_)) => Self::Finished,
            (SIGKILL, Some(_)) => Self::Killed,
            (SIGTERM, Some(_)) => Self::BySignal,
            (code, Some(_)) => Self::WithError(code),
        }
    }
}

/// From the signal to the end, in milliseconds.
#[must_use]
pub fn stop_ms(life: &Life) -> Option<u64> {
    Some(life.ended_at?.saturating_sub(life.signalled_at?))
}

/// From its containers running to its first good answer.
#[must_use]
pub fn boot_ms(life: &Life) -> Option<u64> {
    Some(life.answered_at?.saturating_sub(life.started_at?))
}

/// The slowest of the new tasks; `None` when none of them ever answered.
#[must_use]
pub fn slowest_boot_ms(seen: &Seen) -> Option<u64> {
    seen.side(Side::New).filter_map(boot_ms).max()
}

/// The slowest of the tasks that were told to end.
#[must_use]
pub fn slowest_stop_ms(seen: &Seen) -> Option<u64> {
    seen.lives.iter().filter_map(stop_ms).max()
}

/// How long after it was taken out of the balancer the last request to an old task was answered.
#[must_use]
pub fn last_answer_ms(seen: &Seen, tally: &Tally) -> Option<u64> {
    let old = seen.side(Side::Old).filter_map(|life| {
        let from = life.drained_from?;
        let last = life.targets.iter().filter_map(|target| tally.targets.get(target)).map(|share| share.last).max()?;
        Some(last.saturating_sub(from))
    });
    old.max()
}

/// All findings, the gravest first.
#[must_use]
pub fn findings(sighting: &Sighting<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    lost_requests(sighting, &mut found);
    endings(sighting, &mut found);
    start(sighting, &mut found);
    health_checks(sighting, &mut found);
    draining(sighting, &mut found);
    percentages(sighting, &mut found);
    load(sighting, &mut found);
    found.sort_by_key(|finding| finding.weight);
    found
}

fn finding(code: &'static str, weight: Weight, what: String, advice: impl Into<Option<String>>) -> Finding {
    Finding { code, weight, what, advice: advice.into() }
}

/// Why a request was lost, by what its target was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Its old task had been told to end.
    EndedOverIt,
    /// Its old task's time to finish was over.
    DrainOver,
    /// An old task was on it and nothing had been said to that task.
    OldFailed,
    /// Its task ended by itself.
    Crashed,
    /// Its task lost its Spot capacity.
    Reclaimed,
    /// A new task took it and did not serve it.
    NewFailed,
    /// No task was there to take it.
    Nobody,
    /// It cannot be said.
    Unknown,
}

fn cause(lost: &Lost, seen: &Seen) -> Cause {
    let end = lost.at + lost.took_ms;
    let Some(target) = &lost.target else {
        // A connection that ended under a request comes from the balancer itself, with no word of whose fault it is.
        return if lost.kind == "status 503" { Cause::Nobody } else { cut(lost, seen) };
    };
    match seen.behind(target, lost.at) {
        None => Cause::Unknown,
        Some(life) if life.stop_code.as_deref() == Some("SpotInterruption") => Cause::Reclaimed,
        Some(life) if matches!(Ending::of(life), Ending::Unasked(_) | Ending::OutOfMemory) => Cause::Crashed,
        Some(life) if life.side == Side::New => Cause::NewFailed,
        // The signal follows the end of the drain at once: what tells them apart is whether the program was still there.
        Some(life)
            if life.signalled_at.is_some_and(|at| at <= end) && life.ended_at.is_some_and(|at| at <= end + 1_000) =>
        {
            Cause::EndedOverIt
        }
        Some(life) if life.drained_from.is_some_and(|from| from <= end) => Cause::DrainOver,
        Some(_) => Cause::OldFailed,
    }
}

/// A request that was cut with no word where it was: by what ended then.
fn cut(lost: &Lost, seen: &Seen) -> Cause {
    let end = lost.at + lost.took_ms;
    let at_that_time = |life: &&Life| life.signalled_at.is_some_and(|at| at.abs_diff(end) < 1_000);
    if seen.side(Side::Old).any(|life| at_that_time(&life)) { Cause::DrainOver } else { Cause::Unknown }
}

fn lost_requests(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { seen, tally, rehearsed, .. } = sighting;
    let mut causes = std::collections::BTreeMap::<Cause, Vec<&Lost>>::new();
    for lost in &tally.lost {
        causes.entry(cause(lost, seen)).or_default().push(lost);
    }
    for (cause, lost) in causes {
        // Not all of very many are kept.
        let least =
            if usize::try_from(tally.failed).is_ok_and(|all| all > tally.lost.len()) { "at least " } else { "" };
        let count = format!("{least}{}", words::count(lost.len(), "request"));
        let were = if lost.len() == 1 { "was" } else { "were" };
        let kind = &lost[0].kind;
        let slowest = lost.iter().map(|lost| lost.took_ms).max().unwrap_or_default();
        let (code, what, advice) = match cause {
            Cause::EndedOverIt => (
                "lost_on_stop",
                format!("{count} {were} lost because the program ended with them unanswered ({kind})"),
                "on SIGTERM, stop accepting, answer what has begun, and only then exit".to_owned(),
            ),
            Cause::DrainOver => (
                "lost_in_drain",
                format!(
                    "{count} {were} cut after {}, when the {} that an old task has to finish were over",
                    words::duration(slowest),
                    words::duration(rehearsed.drain_s * 1000)
                ),
                "give old tasks longer than the longest request takes: a higher \
                 deregistration_delay.timeout_seconds of the target group"
                    .to_owned(),
            ),
            Cause::OldFailed => (
                "lost_by_old",
                format!("{count} {were} lost by a task of the old image that nobody had touched ({kind})"),
                "this is no matter of the rollout: the image that is live does it too".to_owned(),
            ),
            Cause::Crashed => (
                "lost_to_crash",
                format!("{count} {were} lost by tasks that ended by themselves ({kind})"),
                "see what they wrote before they ended".to_owned(),
            ),
            Cause::Reclaimed => (
                "lost_to_spot",
                format!("{count} {were} lost by tasks whose Spot capacity was taken away ({kind})"),
                "on SIGTERM, go on answering until the balancer sends nothing more, or keep a base of tasks that are not Spot"
                    .to_owned(),
            ),
            Cause::NewFailed => (
                "lost_by_new",
                format!("{count} {were} lost by a new task that had passed its health check ({kind})"),
                "let the health check fail until the program can really serve, and see what the new tasks logged"
                    .to_owned(),
            ),
            Cause::Nobody => (
                "lost_to_nobody",
                format!("{count} {were} lost because no task was there to take them ({kind})"),
                "keep more tasks: a higher minimumHealthyPercent, or health checks that do not fail under load"
                    .to_owned(),
            ),
            Cause::Unknown => ("lost", format!("{count} {were} lost: {kind}"), String::new()),
        };
        found.push(finding(code, Weight::Bad, what, Some(advice).filter(|advice| !advice.is_empty())));
    }
    if tally.websockets.cut > 0 {
        found.push(finding(
            "websockets_cut",
            Weight::Bad,
            format!("{} cut without a Close frame", words::count(count(tally.websockets.cut), "WebSocket")),
            "on SIGTERM, send every client a Close frame (1001, going away), so that it connects again".to_owned(),
        ));
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn endings(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
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
        let code = first.exits.iter().filter(|exit| exit.essential).map(|exit| exit.code).max().unwrap_or_default();
        found.push(finding(
            "stop_with_error",
            Weight::Note,
            format!("{} ended after SIGTERM with exit {code}", words::count(errors.len(), "task")),
            None,
        ));
    }
    let memory = with(|ending| ending == Ending::OutOfMemory);
    if !memory.is_empty() {
        found.push(finding(
            "out_of_memory",
            Weight::Bad,
            format!("{} killed for using more memory than the task has", words::count(memory.len(), "task")),
            "raise `memory`, or see what the program keeps".to_owned(),
        ));
    }
    let unasked = with(|ending| matches!(ending, Ending::Unasked(_)));
    if !unasked.is_empty() {
        let codes: std::collections::BTreeSet<String> = unasked
            .iter()
            .flat_map(|life| life.exits.iter().filter(|exit| exit.essential).map(|exit| exit.code.to_string()))
            .collect();
        found.push(finding(
            "ended_unasked",
            Weight::Bad,
            format!(
                "{} ended by itself (exit {})",
                words::count(unasked.len(), "task"),
                codes.into_iter().collect::<Vec<_>>().join(", ")
            ),
            "the last lines it wrote are above".to_owned(),
        ));
    }
}

/// Up to whole seconds, and those to a number one would write.
fn round_up(milliseconds: u64) -> u64 {
    let seconds = milliseconds.div_ceil(1000).max(1);
    match seconds {
        0..=10 => seconds,
        11..=60 => seconds.next_multiple_of(5),
        _ => seconds.next_multiple_of(30),
    }
}

/// One that ended before its time fails its health checks for that.
fn ended_early(life: &Life) -> bool {
    matches!(Ending::of(life), Ending::Unasked(_) | Ending::OutOfMemory)
        || life.stop_code.as_deref() == Some("SpotInterruption")
}

/// A setting with its value, under the name it has where it was read from.
fn written(production: &Production, aws: &str, toml: &str, seconds: u64) -> String {
    match production.read_from {
        ReadFrom::Service => format!("{aws}: {seconds}"),
        ReadFrom::File => format!("{toml} = \"{seconds}s\" in ship.toml, {aws}: {seconds} on AWS"),
    }
}

fn start(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, seen, .. } = sighting;
    let Some(boot) = slowest_boot_ms(seen) else { return };
    let tolerance = production.tolerance_s() * 1000;
    let grace = production.grace_period_s * 1000;
    if boot * 3 > tolerance * 2 {
        let is = if boot > tolerance { "only" } else { "no more than" };
        found.push(finding(
            "grace_period_tight",
            if boot > tolerance { Weight::Bad } else { Weight::Tight },
            format!(
                "a new task took up to {} from its start to its first good answer, and production waits {is} {} before it \
                 replaces it",
                words::duration(boot),
                words::duration(tolerance)
            ),
            written(production, "healthCheckGracePeriodSeconds", "health_check_grace_period", round_up(boot * 3)),
        ));
    } else if grace > 60_000 && grace > boot * 10 {
        found.push(finding(
            "grace_period_loose",
            Weight::Loose,
            format!(
                "new tasks answer {} after their start, and for {} nothing is held against one that does not: so long goes \
                 a broken release unnoticed",
                words::duration(boot),
                words::duration(grace)
            ),
            written(production, "healthCheckGracePeriodSeconds", "health_check_grace_period", round_up((boot * 4).max(20_000))),
        ));
    }
}

fn health_checks(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, seen, tally, .. } = sighting;
    let check = &production.health_check;
    let slowest = seen.lives.iter().map(|life| life.probes.slowest_ms).max().unwrap_or_default();
    if slowest * 2 > check.timeout_s * 1000 {
        found.push(finding(
            "health_check_timeout_tight",
            Weight::Tight,
            format!(
                "a health check took {} under load, and counts as failed after {} s",
                words::duration(slowest),
                check.timeout_s
            ),
            written(production, "HealthCheckTimeoutSeconds", "health_check_timeout", round_up(slowest * 3)),
        ));
    }
    let well = seen.lives.iter().filter(|life| life.healthy_at.is_some() && !ended_early(life));
    let flapping: u64 = well.map(|life| life.probes.failed_later).sum();
    if flapping > 0 {
        let why = seen.lives.iter().flat_map(|life| &life.unhealthy).map(|(_, why)| why.as_str()).next();
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        found.push(finding(
            "health_check_flapping",
            Weight::Tight,
            format!("{} of tasks that served failed under load{why}", words::count(count(flapping), "health check")),
            "let the health check ask only whether the program can serve, and answer it before the queue of requests"
                .to_owned(),
        ));
    }
    let notices = production.notices_after_s();
    if notices > 60 {
        let interval = 10.max(check.timeout_s + 1);
        found.push(finding(
            "health_check_slow",
            Weight::Loose,
            format!(
                "a task that hangs goes on being sent requests for {} ({} checks, one each {} s)",
                words::duration(notices * 1000),
                check.unhealthy_threshold,
                check.interval_s
            ),
            format!(
                "{}, UnhealthyThresholdCount: 2",
                written(production, "HealthCheckIntervalSeconds", "health_check_interval", interval)
            ),
        ));
    }
    // A balancer that sends requests to a program that is not there yet gets errors for them.
    let early = seen.side(Side::New).any(|life| {
        matches!((life.healthy_at, life.answered_at), (Some(healthy), Some(answered)) if healthy + 500 < answered)
    });
    if early && tally.failed > 0 {
        found.push(finding(
            "healthy_too_early",
            Weight::Tight,
            "new tasks counted as healthy before they gave their first good answer".to_owned(),
            format!("let {} fail until the program is ready", check.path),
        ));
    }
}

fn draining(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, seen, tally, forecast, rehearsed } = sighting;
    let Some(last) = last_answer_ms(seen, tally) else { return };
    let delay = production.deregistration_delay_s;
    let cut = tally.lost.iter().any(|lost| cause(lost, seen) == Cause::DrainOver);
    if cut {
        return;
    }
    if last * 3 > delay * 1000 * 2 {
        found.push(finding(
            "deregistration_delay_tight",
            Weight::Tight,
            format!(
                "the last request to an old task was answered {} after it was taken out of the balancer, and what is not \
                 answered after {delay} s is cut",
                words::duration(last)
            ),
            written(production, "deregistration_delay.timeout_seconds", "deregistration_delay", round_up(last * 3)),
        ));
    } else if delay >= 60 && delay * 1000 > last.max(1_000) * 10 {
        let enough = round_up((last * 5).max(20_000));
        let turns = forecast.map_or(1, |forecast| u64::try_from(forecast.turns.max(1)).unwrap_or(1));
        let saved = delay.saturating_sub(enough) * turns;
        found.push(finding(
            "deregistration_delay_loose",
            Weight::Loose,
            format!(
                "the last request to an old task was answered {} after it was taken out of the balancer, and it is kept for {} \
                 all the same: {} of every rollout",
                words::duration(last),
                words::duration(delay * 1000),
                words::duration(saved * 1000)
            ),
            format!(
                "{}, unless other requests take longer than the {} that the load had",
                written(production, "deregistration_delay.timeout_seconds", "deregistration_delay", enough),
                words::duration(longest(tally))
            ),
        ));
    }
    if delay > rehearsed.drain_s {
        found.push(finding(
            "drain_shortened",
            Weight::Note,
            format!(
                "old tasks had {} to finish here, {} in production; --speed 1 rehearses the whole",
                words::duration(rehearsed.drain_s * 1000),
                words::duration(delay * 1000)
            ),
            None,
        ));
    }
}

/// The longest that any request took, slow ones included.
fn longest(tally: &Tally) -> u64 {
    tally.phases.values().map(|share| share.longest_ms).max().unwrap_or_default()
}

fn percentages(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, forecast, .. } = sighting;
    let Some(forecast) = forecast else { return };
    let desired = usize::try_from(production.desired_count).unwrap_or(usize::MAX);
    let both = format!("{}–{} %", production.minimum_healthy_percent, production.maximum_percent);
    match forecast.ended {
        Ended::Stuck => found.push(finding(
            "percentages_stuck",
            Weight::Bad,
            format!(
                "with {both} of {desired} there is no room to start or stop a single task: the rollout stands still"
            ),
            "maximumPercent: 200".to_owned(),
        )),
        Ended::Failed => found.push(finding(
            "production_fails",
            Weight::Bad,
            format!(
                "at production's pace the circuit breaker would end this rollout: {} would be replaced as unhealthy",
                words::count(forecast.replaced, "new task")
            ),
            None,
        )),
        Ended::Completed | Ended::Endless => {}
    }
    if forecast.least_serving < desired && forecast.ended == Ended::Completed {
        found.push(finding(
            "fewer_serving",
            Weight::Note,
            format!(
                "with {both} only {} of {} serve at times during a rollout, and have to carry the whole load",
                forecast.least_serving,
                words::count(desired, "task")
            ),
            "minimumHealthyPercent: 100, maximumPercent: 200, where there is room for that".to_owned(),
        ));
    }
}

fn load(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { tally, .. } = sighting;
    let refused: u64 = tally.statuses.range(400..500).map(|(_, count)| count).sum();
    if refused > 0 && refused * 2 > tally.requests {
        let status = tally.statuses.range(400..500).max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
        found.push(finding(
            "load_refused",
            Weight::Note,
            format!("most requests were answered with {status}: the load does not do what your users do"),
            "name a path that answers with --path".to_owned(),
        ));
    }
    let before = tally.phases.get(&Phase::Start).or_else(|| tally.phases.get(&Phase::Before));
    let during = [Phase::Shift, Phase::Drain, Phase::Stop].iter().filter_map(|phase| tally.phases.get(phase));
    let (Some(before), Some(during)) = (before, during.max_by_key(|share| share.quantile(0.99))) else { return };
    let (usual, worst) = (before.quantile(0.99), during.quantile(0.99));
    if worst > usual.max(50) * 4 && during.requests > 100 {
        found.push(finding(
            "slower_during",
            Weight::Note,
            format!(
                "one request in a hundred took {} and more while tasks were replaced, {} before",
                words::duration(worst),
                words::duration(usual)
            ),
            "new tasks are sent a full share at once: warm them up before they count as healthy, or set \
             slow_start.duration_seconds of the target group"
                .to_owned(),
        ));
    }
}

#[cfg(test)]
mod tests;
