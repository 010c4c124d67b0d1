//! What is to be learned from a rehearsal: pure, from what was seen to findings with what to do.

use serde::Serialize;

use super::production::{Production, ReadFrom};
use crate::{
    exit::Exit,
    report::words,
    sandbox::{
        forecast::{Ended, Forecast},
        load::Tally,
        witness::{Life, Seen, Side},
    },
};

mod endings;
mod load;
mod lost;

pub use endings::{Ending, explained};
pub use lost::Cause;

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
    /// How the rollout itself ended.
    pub exit: Exit,
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

/// How long new tasks live that end by themselves, where most of them do: that is what the program is like, and not one
/// task's bad luck.
#[must_use]
pub fn crash_ms(seen: &Seen) -> Option<u64> {
    let crashed = || seen.side(Side::New).filter(|life| ended_early(life) && !is_reclaimed(life));
    let started = seen.side(Side::New).filter(|life| life.started_at.is_some()).count();
    if crashed().count() * 2 < started {
        return None;
    }
    crashed().filter_map(endings::lived_ms).max()
}

/// The slowest of the tasks that were told to end.
#[must_use]
pub fn slowest_stop_ms(seen: &Seen) -> Option<u64> {
    seen.lives.iter().filter(|life| !ended_early(life)).filter_map(stop_ms).max()
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
    lost::requests(sighting, &mut found);
    lost::sockets(sighting, &mut found);
    endings::endings(sighting, &mut found);
    endings::never_started(sighting, &mut found);
    start(sighting, &mut found);
    health_checks(sighting, &mut found);
    draining(sighting, &mut found);
    percentages(sighting, &mut found);
    superseded(sighting, &mut found);
    load::load(sighting, &mut found);
    found.sort_by_key(|finding| finding.weight);
    found
}

fn finding(code: &'static str, weight: Weight, what: String, advice: impl Into<Option<String>>) -> Finding {
    Finding { code, weight, what, advice: advice.into() }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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

/// One that ended before its time; it fails its health checks for that.
#[must_use]
pub fn ended_early(life: &Life) -> bool {
    matches!(Ending::of(life), Ending::Unasked(_) | Ending::OutOfMemory) || is_reclaimed(life)
}

#[must_use]
pub fn is_reclaimed(life: &Life) -> bool {
    life.stop_code.as_deref() == Some("SpotInterruption")
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
    for (group, check) in production.health_checks() {
        let slowest = slowest_check_ms(production, seen, group);
        if slowest * 2 > check.timeout_s * 1000 {
            found.push(finding(
                "health_check_timeout_tight",
                Weight::Tight,
                format!(
                    "a health check{} took {} under load, and counts as failed after {} s",
                    of_group(group),
                    words::duration(slowest),
                    check.timeout_s
                ),
                written(production, "HealthCheckTimeoutSeconds", "health_check_timeout", round_up(slowest * 3)),
            ));
        }
    }
    flapping(seen, found);
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

/// The slowest health check that passed of one target group. That of the load is the one that has none of the others' names.
fn slowest_check_ms(production: &Production, seen: &Seen, group: Option<&str>) -> u64 {
    let is_other = |name: &str| production.further_groups.iter().any(|further| further.target_group == name);
    let wanted = |name: &str| match group {
        Some(group) if is_other(group) => name == group,
        Some(_) | None => !is_other(name),
    };
    let all = seen.lives.iter().flat_map(|life| &life.probes.slowest_of);
    all.filter(|(name, _)| wanted(name)).map(|(_, slowest)| *slowest).max().unwrap_or_default()
}

/// ` of target group web`, where there are several.
fn of_group(group: Option<&str>) -> String {
    group.map(|group| format!(" of target group {group}")).unwrap_or_default()
}

/// Tasks that served and were then called unhealthy, or nearly.
fn flapping(seen: &Seen, found: &mut Vec<Finding>) {
    let well = || seen.lives.iter().filter(|life| life.healthy_at.is_some() && !ended_early(life));
    let fell = |life: &Life| {
        let first = life.healthy_at.unwrap_or(u64::MAX);
        life.unhealthy.iter().find(|(at, _)| *at > first).map(|(_, why)| why.clone())
    };
    let fallen: Vec<String> = well().filter_map(fell).collect();
    let advice =
        "let the health check ask only whether the program can serve, and answer it before the queue of requests";
    if let Some(why) = fallen.first() {
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        found.push(finding(
            "unhealthy_while_serving",
            Weight::Bad,
            format!(
                "{} that served failed so many health checks that the balancer called {} unhealthy{why}: ECS replaces such \
                 a task once its grace period is over",
                words::count(fallen.len(), "task"),
                if fallen.len() == 1 { "it" } else { "them" }
            ),
            advice.to_owned(),
        ));
        return;
    }
    let failed: u64 = well().map(|life| life.probes.failed_later).sum();
    if failed > 0 {
        found.push(finding(
            "health_check_flapping",
            Weight::Tight,
            format!("{} of tasks that served failed under load", words::count(count(failed), "health check")),
            advice.to_owned(),
        ));
    }
}

fn draining(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { production, seen, tally, forecast, rehearsed, exit: _ } = sighting;
    let Some(last) = last_answer_ms(seen, tally) else { return };
    let delay = production.deregistration_delay_s;
    let cut = tally.lost.iter().any(|lost| Cause::of(lost, seen) == Cause::DrainOver);
    if cut {
        return;
    }
    let enough = round_up((last * 5).max(20_000));
    let turns = forecast.map_or(1, |forecast| u64::try_from(forecast.turns.max(1)).unwrap_or(1));
    // ECS keeps a task until the last of its target groups lets it go.
    let others = production.further_groups.iter().map(|group| group.deregistration_delay_s).max();
    let saved = delay.saturating_sub(enough.max(others.unwrap_or_default())) * turns;
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
    } else if delay >= 60 && delay * 1000 > last.max(1_000) * 10 && saved > 0 {
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

fn superseded(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    if sighting.exit == Exit::Superseded {
        found.push(finding(
            "superseded",
            Weight::Note,
            "somebody else deployed the service while this rollout was going on, and theirs took its place: deploy ends with \
             23 then, and the requests were counted until theirs was through"
                .to_owned(),
            "let one job at a time deploy a service (`disableConcurrentBuilds()` in a Jenkinsfile)".to_owned(),
        ));
    }
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
                "at production's pace the circuit breaker would end this rollout, and the old tasks would go on serving: {}",
                if forecast.crashed > forecast.replaced {
                    format!("{} would end by themselves before", words::count(forecast.crashed, "new task"))
                } else {
                    format!("{} would be replaced as unhealthy", words::count(forecast.replaced, "new task"))
                }
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

#[cfg(test)]
mod tests;
