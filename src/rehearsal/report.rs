//! Tells a rehearsal: for people, and as JSON.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    findings::{self, Cause, Ending, Finding, Rehearsed, Weight},
    production::{Further, Production, ReadFrom},
    tap::Run,
};
use crate::{
    event::ToldError,
    exit::Exit,
    report::{
        style::{Meaning, Sign, Style},
        words,
    },
    sandbox::{
        forecast::{Ended, Forecast},
        load::{Phase, Tally},
        scenario::Scenario,
        witness::{Life, Seen, Side},
    },
};

/// The version of the JSON.
const SCHEMA: u32 = 1;

/// So many lost requests are told one by one in the JSON; all of them are counted.
const SHOWN_LOST: usize = 200;

/// Everything there is to tell.
pub struct Rehearsal {
    pub service: String,
    /// What it started from, and what replaced it: image or revision.
    pub from: String,
    pub to: String,
    pub exit: Exit,
    /// Why the rollout did not end well, if it did not.
    pub error: Option<ToldError>,
    pub production: Production,
    pub rehearsed: Rehearsed,
    /// When the service was updated, in milliseconds since the epoch.
    pub updated_at: Option<u64>,
    pub seen: Seen,
    pub tally: Tally,
    pub forecast: Option<Forecast>,
    /// What is different here from production, in words.
    pub notes: Vec<String>,
    pub findings: Vec<Finding>,
    /// What was made to go wrong.
    pub scenario: Option<Played>,
    /// What ran before the rollout, as it does before a deploy; `None` where nothing did.
    pub before: Option<Before>,
}

/// The task that must succeed before a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    pub command: String,
    pub run: Run,
}

/// A scenario, as it was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Played {
    pub file: String,
    /// What it did, one line for each.
    pub acts: Vec<String>,
}

impl Played {
    /// `struck`: how many calls each of its faults has met.
    #[must_use]
    pub fn of(path: &Path, scenario: &Scenario, struck: &[u64]) -> Self {
        let mut acts = scenario.acts();
        for (act, struck) in acts.iter_mut().skip(scenario.tasks.len()).zip(struck) {
            let calls = words::count(usize::try_from(*struck).unwrap_or(usize::MAX), "call");
            *act = format!("{act} (it met {calls})");
        }
        Self { file: path.display().to_string(), acts }
    }
}

/// How long the rollout took here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Times {
    /// From the update until every new task that stayed was healthy.
    pub live_ms: Option<u64>,
    /// Until the last old task was gone.
    pub drained_ms: Option<u64>,
}

impl Rehearsal {
    #[must_use]
    pub fn times(&self) -> Times {
        let Some(begin) = self.updated_at else { return Times { live_ms: None, drained_ms: None } };
        let since = |at: u64| at.saturating_sub(begin);
        let staying: Option<Vec<u64>> =
            self.seen.side(Side::New).filter(|life| stays(life)).map(|life| life.healthy_at).collect();
        let gone: Option<Vec<u64>> = self.seen.side(Side::Old).map(|life| life.gone_at).collect();
        Times {
            live_ms: staying.and_then(|all| all.into_iter().max()).map(since),
            drained_ms: gone.and_then(|all| all.into_iter().max()).map(since),
        }
    }

    /// Requests that were lost, and sockets that were cut.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.tally.failed + self.tally.websockets.cut
    }

    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let Self {
            service,
            from,
            to,
            exit,
            error,
            production,
            rehearsed,
            updated_at: _,
            seen,
            tally,
            forecast,
            notes,
            findings,
            scenario,
            before,
        } = self;
        let Times { live_ms, drained_ms } = self.times();
        let phases: serde_json::Map<String, Value> = tally
            .phases
            .iter()
            .map(|(phase, share)| {
                let value = json!({
                    "requests": share.requests, "lost": share.failed, "p50_ms": share.quantile(0.5),
                    "p99_ms": share.quantile(0.99), "slowest_ms": share.longest_ms,
                });
                (phase.word().to_owned(), value)
            })
            .collect();
        let lost_requests: Vec<Value> = tally
            .lost
            .iter()
            .take(SHOWN_LOST)
            .map(|lost| {
                let mut value = json!(lost);
                value["cause"] = json!(Cause::of(lost, seen));
                value
            })
            .collect();
        let load =
            json!({ "sent_per_second": self.sent_per_second(), "lasted_ms": tally.lasted_ms, "late": tally.late });
        let tasks: Vec<Value> = seen.lives.iter().map(task).collect();
        let value = json!({
            "schema": SCHEMA, "service": service, "from": from, "to": to, "exit": exit.code(),
            "error": error, "requests": tally.requests, "lost": self.lost(), "slowest_ms": tally.slowest_ms,
            "phases": phases, "failures": tally.failures, "lost_requests": lost_requests, "load": load, "scenario": scenario,
            "before": before.as_ref().map(|before| &before.command),
            "statuses": tally.statuses,
            "answers": tally.answers, "websockets": tally.websockets, "live_ms": live_ms, "drained_ms": drained_ms,
            "tasks": tasks, "rehearsed": rehearsed, "production": production, "forecast": forecast,
            "findings": findings, "notes": notes,
        });
        format!("{value}\n")
    }

    /// So many requests were really sent in a second.
    fn sent_per_second(&self) -> u64 {
        let Tally { requests, lasted_ms, .. } = self.tally;
        (requests * 1000 + lasted_ms / 2).checked_div(lasted_ms).unwrap_or(0)
    }

    /// For people.
    #[must_use]
    pub fn text(&self, style: Style, width: usize) -> String {
        let mut page = Page { style, width: width.clamp(60, 110), text: String::new() };
        self.draw_verdict(&mut page);
        self.draw_scenario(&mut page);
        self.draw_phases(&mut page);
        self.draw_tasks(&mut page);
        self.draw_production(&mut page);
        self.draw_findings(&mut page);
        page.text
    }

    fn draw_verdict(&self, page: &mut Page) {
        let Self { service, from, to, tally, rehearsed, .. } = self;
        page.blank();
        page.line(&format!("Rehearsal of {service}: {from}, replaced by {to}"));
        page.blank();
        let requests = words::count(usize::try_from(tally.requests).unwrap_or(usize::MAX), "request");
        let slowest = milliseconds(tally.slowest_ms);
        let (asked, sent) = (u64::from(rehearsed.rate), self.sent_per_second());
        // The last second of a load is never whole.
        let rate = if sent * 100 < asked * 90 {
            format!("{sent} a second ({asked} were asked for)")
        } else {
            format!("{asked} a second")
        };
        let were = if tally.failed == 1 { "was" } else { "were" };
        match (tally.requests, self.lost()) {
            (0, _) => page.signed(Sign::Failed, Meaning::Bad, "no load was put on: the rollout did not begin"),
            (_, 0) => page.signed(
                Sign::Done,
                Meaning::Good,
                &format!("no request was lost: {requests}, {rate}, the slowest {slowest}"),
            ),
            (_, _) if tally.failed == 0 => {
                let cut = words::count(usize::try_from(tally.websockets.cut).unwrap_or(usize::MAX), "WebSocket");
                let text = format!("no request was lost, but {cut} cut: {requests}, {rate}, the slowest {slowest}");
                page.signed(Sign::Failed, Meaning::Bad, &text);
            }
            (_, _) => page.signed(
                Sign::Failed,
                Meaning::Bad,
                &format!("{} of {requests} {were} lost, {rate}, the slowest {slowest}", tally.failed),
            ),
        }
        let Times { live_ms, drained_ms } = self.times();
        let speed = if rehearsed.speed > 1.0 {
            format!(" (ECS's clock ran {} times faster than on AWS)", rehearsed.speed)
        } else {
            String::new()
        };
        let crashed = self.seen.side(Side::New).filter(|life| findings::ended_early(life)).count();
        match (&self.error, live_ms, drained_ms) {
            (Some(error), ..) => {
                page.signed(Sign::Failed, Meaning::Bad, &format!("the rollout did not succeed: {}", error.message));
                for cause in &error.causes {
                    page.flowing("    ", cause);
                }
            }
            (None, Some(live), Some(drained)) if live <= drained => {
                let text =
                    format!("live after {}, drained after {}{speed}", words::duration(live), words::duration(drained));
                page.signed(Sign::Done, Meaning::Good, &text);
            }
            // The old ones were gone before the new ones served: those that stayed are not those that took over.
            (None, Some(live), Some(drained)) => {
                let text = format!(
                    "drained after {}, and not all new tasks served before {}{speed}",
                    words::duration(drained),
                    words::duration(live)
                );
                page.signed(Sign::Failed, Meaning::Bad, &text);
            }
            (None, None, Some(drained)) => {
                let text =
                    format!("drained after {}, and not all new tasks ever served{speed}", words::duration(drained));
                page.signed(Sign::Failed, Meaning::Bad, &text);
            }
            (None, _, None) => {}
        }
        if crashed > 0 {
            let of = self.seen.side(Side::New).count();
            let text = format!("{crashed} of {} ended before their time", words::count(of, "new task"));
            page.signed(Sign::Failed, Meaning::Bad, &text);
        }
        for (good, text) in self.endings() {
            let (sign, meaning) = if good { (Sign::Done, Meaning::Good) } else { (Sign::Failed, Meaning::Bad) };
            page.signed(sign, meaning, &text);
        }
    }

    fn draw_scenario(&self, page: &mut Page) {
        if let Some(Before { command, run }) = &self.before {
            page.blank();
            let came = match run {
                Run::Succeeded => "and succeeded.",
                Run::Failed => "and failed: nothing was rolled out.",
                Run::Begun => "and did not come to its end.",
            };
            page.flowing(
                "  ",
                &format!("Before the rollout, as before a deploy, {command} ran once in the new image {came}"),
            );
        }
        let Some(Played { file, acts }) = &self.scenario else { return };
        if acts.is_empty() {
            return;
        }
        page.blank();
        page.line(&format!("  Made to happen by {file}:"));
        for act in acts {
            page.flowing("    ", act);
        }
    }

    /// How the old tasks ended, in a line or two, each with whether that is how it should be.
    fn endings(&self) -> Vec<(bool, String)> {
        let old = self.seen.side(Side::Old).filter(|life| life.signalled_at.is_some());
        let (early, told): (Vec<&Life>, Vec<&Life>) = old.partition(|life| findings::ended_early(life));
        let all = words::count(early.len() + told.len(), "old task");
        let mut lines = Vec::new();
        if !early.is_empty() {
            let (were, it) = if early.len() == 1 { ("was", "it") } else { ("were", "they") };
            lines.push((false, format!("{} of {all} {were} gone before {it} got SIGTERM", early.len())));
        }
        let killed = told.iter().filter(|life| Ending::of(life) == Ending::Killed).count();
        let slowest = words::duration(told.iter().filter_map(|life| findings::stop_ms(life)).max().unwrap_or_default());
        match killed {
            _ if told.is_empty() => {}
            0 => {
                let those = if early.is_empty() { all } else { words::count(told.len(), "old task") };
                lines.push((true, format!("{those} ended on SIGTERM, within {slowest}")));
            }
            killed => lines.push((
                false,
                format!("{killed} of {all} did not end on SIGTERM and had to be killed after {slowest}"),
            )),
        }
        lines
    }

    fn draw_phases(&self, page: &mut Page) {
        if self.tally.requests == 0 {
            return;
        }
        page.blank();
        page.aside("  PHASE      REQUESTS     LOST      P50      P99  SLOWEST   WHAT GOES ON");
        let all = [
            (Phase::Before, "the old tasks alone"),
            (Phase::Start, "new tasks start"),
            (Phase::Shift, "old and new serve"),
            (Phase::Drain, "old ones finish up"),
            (Phase::Stop, "old ones end"),
            (Phase::After, "the new tasks alone"),
        ];
        for (phase, meaning) in all {
            let Some(share) = self.tally.phases.get(&phase) else { continue };
            let lost = if share.failed == 0 { "-".to_owned() } else { share.failed.to_string() };
            let line = format!(
                "  {:<9}{:>10}{:>9}{:>9}{:>9}{:>9}   {meaning}",
                phase.word(),
                share.requests,
                lost,
                milliseconds(share.quantile(0.5)),
                milliseconds(share.quantile(0.99)),
                milliseconds(share.longest_ms),
            );
            if share.failed == 0 { page.line(&line) } else { page.painted(Meaning::Bad, &line) }
        }
        let sockets = &self.tally.websockets;
        if sockets.opened + sockets.refused > 0 {
            let line = format!(
                "  WebSockets: {} opened, {} closed in good order, {} cut, {} refused",
                sockets.opened, sockets.closed, sockets.cut, sockets.refused
            );
            page.line(&line);
        }
    }

    fn draw_tasks(&self, page: &mut Page) {
        if self.seen.lives.is_empty() {
            return;
        }
        page.blank();
        page.aside("  TASK        UP AFTER   HEALTHY AFTER   ENDED");
        for life in &self.seen.lives {
            let side = match life.side {
                Side::Old => "old",
                Side::New => "new",
            };
            let id = &life.task[..8.min(life.task.len())];
            let up = findings::boot_ms(life).map_or("-".to_owned(), words::duration);
            let healthy = match (life.side, life.healthy_at, life.started_at) {
                (Side::New, Some(at), Some(started)) => words::duration(at.saturating_sub(started)),
                _ => "-".to_owned(),
            };
            let ended = words::fit(&ending(life), page.width.saturating_sub(43), "…");
            let line = format!("  {side} {id}{up:>8}{healthy:>16}   {ended}");
            let bad = matches!(Ending::of(life), Ending::Killed | Ending::OutOfMemory | Ending::Unasked(_));
            if bad { page.painted(Meaning::Bad, &line) } else { page.line(&line) }
        }
    }

    fn draw_production(&self, page: &mut Page) {
        let Self { production, forecast, .. } = self;
        page.blank();
        let whose = match production.read_from {
            ReadFrom::Service => "as the live service is set up",
            ReadFrom::File => "as ship.toml sets it up",
        };
        let check = &production.health_check;
        page.line(&format!("In production, {whose}:"));
        page.flowing(
            "    ",
            &format!(
                "{}, {}–{} %, health check {} each {} s, deregistration delay {} s, stop timeout {} s, grace period {} s",
                words::count(usize::try_from(production.desired_count).unwrap_or(usize::MAX), "task"),
                production.minimum_healthy_percent,
                production.maximum_percent,
                check.path,
                check.interval_s,
                production.deregistration_delay_s,
                production.stop_timeout_s,
                production.grace_period_s
            ),
        );
        if let (Some(first), false) = (&production.target_group, production.further_groups.is_empty()) {
            let further: Vec<String> = production.further_groups.iter().map(further).collect();
            page.flowing(
                "    ",
                &format!(
                    "the load goes to target group {first}; a task is healthy, and may end, only as the others say, too: {}",
                    further.join("; ")
                ),
            );
        }
        let Some(forecast) = forecast else { return };
        let text = match (forecast.ended, forecast.live_ms, forecast.drained_ms) {
            (Ended::Completed, Some(live), Some(drained)) => format!(
                "this rollout would be live after about {} and drained after about {}, {}, never fewer than {} serving, at most {} \
                 running",
                about(live),
                about(drained),
                if forecast.turns == 1 { "in one turn".to_owned() } else { format!("in {} turns", forecast.turns) },
                forecast.least_serving,
                forecast.most_running
            ),
            (Ended::Completed, ..) => "this rollout would complete".to_owned(),
            (Ended::Stuck, ..) => {
                "this rollout would stand still: there is no room to start or to stop a task".to_owned()
            }
            (Ended::Failed, ..) => "this rollout would be given up by the circuit breaker".to_owned(),
            (Ended::Endless, ..) => "this rollout would not have ended after three hours".to_owned(),
        };
        page.flowing("    ", &text);
        for note in &self.notes {
            page.flowing("    ", &format!("note: {note}"));
        }
    }

    fn draw_findings(&self, page: &mut Page) {
        if self.findings.is_empty() {
            if self.error.is_some() {
                return;
            }
            page.blank();
            page.signed(Sign::Done, Meaning::Good, "nothing to change");
            return;
        }
        page.blank();
        for finding in &self.findings {
            let (word, meaning) = match finding.weight {
                Weight::Bad => ("bad", Meaning::Bad),
                Weight::Tight => ("too tight", Meaning::Caution),
                Weight::Loose => ("too loose", Meaning::Caution),
                Weight::Note => ("note", Meaning::Aside),
            };
            page.labelled(word, meaning, &finding.what);
            if let Some(advice) = &finding.advice {
                page.flowing("             ", &format!("→ {advice}"));
            }
        }
    }
}

/// Nobody told it to end, and it did not.
const fn stays(life: &Life) -> bool {
    life.signalled_at.is_none() && life.gone_at.is_none()
}

/// To five seconds: nobody knows it better.
/// `internal (port 8081 of proxy, health check /health each 30 s, deregistration delay 300 s)`
fn further(group: &Further) -> String {
    let Further { target_group, container, container_port, health_check, deregistration_delay_s } = group;
    format!(
        "{target_group} (port {container_port} of {container}, health check {} each {} s, deregistration delay \
         {deregistration_delay_s} s)",
        health_check.path, health_check.interval_s
    )
}

fn about(ms: u64) -> String {
    words::countdown(ms.next_multiple_of(5_000))
}

fn milliseconds(ms: u64) -> String {
    if ms < 1000 { format!("{ms}ms") } else { words::duration(ms) }
}

fn task(life: &Life) -> Value {
    let mut value = serde_json::to_value(life).unwrap_or_default();
    value["ending"] = json!(Ending::of(life).word());
    value["stop_ms"] = json!(findings::stop_ms(life));
    value["boot_ms"] = json!(findings::boot_ms(life));
    value
}

fn ending(life: &Life) -> String {
    let after = findings::stop_ms(life).map(words::duration).unwrap_or_default();
    match Ending::of(life) {
        _ if findings::is_reclaimed(life) => format!("{after} after SIGTERM: its Spot capacity was taken away"),
        Ending::Finished => format!("{after} after SIGTERM (exit 0)"),
        Ending::BySignal => format!("{after} after SIGTERM, which it does not handle (exit 143)"),
        Ending::WithError(code) => format!("{after} after SIGTERM (exit {code})"),
        Ending::Killed => format!("killed {after} after SIGTERM (exit 137)"),
        Ending::OutOfMemory => "killed for its memory (exit 137)".to_owned(),
        Ending::Unasked(code) if life.drained_from.is_some_and(|from| life.ended_at.is_some_and(|at| from < at)) => {
            format!("by itself, while it drained (exit {code})")
        }
        Ending::Unasked(code) => format!("by itself (exit {code})"),
        Ending::None => match (&life.stopped_reason, life.gone_at) {
            (Some(reason), Some(_)) => findings::explained(reason),
            (Some(_) | None, _) => "-".to_owned(),
        },
    }
}

/// Lines with their signs.
struct Page {
    style: Style,
    width: usize,
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(&self.style.spell(line.trim_end()));
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn painted(&mut self, meaning: Meaning, line: &str) {
        let painted = self.style.paint(meaning, line);
        self.line(&painted);
    }

    fn aside(&mut self, line: &str) {
        self.painted(Meaning::Aside, line);
    }

    fn signed(&mut self, sign: Sign, meaning: Meaning, text: &str) {
        let sign = self.style.paint(meaning, self.style.sign(sign));
        let mut lines = words::wrap(text, self.width.saturating_sub(4)).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {sign} {first}"));
        for line in lines {
            self.line(&format!("    {line}"));
        }
    }

    fn flowing(&mut self, indent: &str, text: &str) {
        for line in words::wrap(text, self.width.saturating_sub(words::columns(indent))) {
            self.line(&format!("{indent}{line}"));
        }
    }

    fn labelled(&mut self, label: &str, meaning: Meaning, text: &str) {
        let mut lines = words::wrap(text, self.width.saturating_sub(13)).into_iter();
        let first = lines.next().unwrap_or_default();
        let label = self.style.paint(meaning, format!("{label:<9}"));
        self.line(&format!("  {label}  {first}"));
        for line in lines {
            self.line(&format!("             {line}"));
        }
    }
}

#[cfg(test)]
mod tests;
