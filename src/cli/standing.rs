//! How services stand, as people read it: one service from all sides, several in a table with a word about each that
//! wants attention.

use super::{
    page::{Page, Paper, Row},
    table::{Cell, Column, Room, age, ago, or_dash, table},
};
use crate::{
    plan::standing::{Active, Changed, Deaths, Group, Rolling, Standing, Stands, State},
    report::{style::Meaning, words},
    rollout::past::{Past, Stage},
};

/// What a page is told with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling<'a> {
    /// How the user spells us.
    pub(crate) name: &'a str,
    pub(crate) environment: Option<&'a str>,
    pub(crate) now_ms: u64,
}

impl Telling<'_> {
    /// One of our own commands about a service, ready to be copied.
    fn command(self, verb: &str, standing: &Standing) -> String {
        let environment = self.environment.map(|name| format!(" --environment {name}")).unwrap_or_default();
        format!("{} {verb}{environment} {}", self.name, standing.service)
    }
}

/// How much of a service is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    All,
    /// What wants attention: the rest stands in the table.
    Attention,
}

/// All of them. Ends with a line break.
pub(crate) fn text(standings: &[Standing], telling: Telling<'_>, paper: Paper, room: Room) -> String {
    let mut page = Page::new(paper);
    if let [only] = standings {
        service(&mut page, only, telling, Told::All);
        return page.text();
    }
    let mut text = overview(standings, telling, room);
    for standing in standings {
        let mut asides = Page::new(paper);
        service(&mut asides, standing, telling, Told::Attention);
        let asides = asides.text();
        if !asides.is_empty() {
            text.push('\n');
            text.push_str(&asides);
        }
    }
    text
}

fn overview(standings: &[Standing], telling: Telling<'_>, room: Room) -> String {
    // What is left out first stands in the block of a service that is asked for alone.
    let columns = [
        Column::always("SERVICE"),
        Column::always("REVISION"),
        Column::with_room("IMAGE", 4),
        Column::with_room("COMMIT", 2),
        Column::with_room("BY", 1),
        Column::with_room("SINCE", 3),
        Column::always("TASKS"),
        Column::with_room("TARGETS", 5),
        Column::always("STATE"),
    ];
    let rows: Vec<_> = standings.iter().map(|standing| cells(standing, telling.now_ms)).collect();
    table(columns, &rows, room)
}

fn cells(standing: &Standing, now_ms: u64) -> [Cell; 9] {
    let dash = || Cell::from("-".to_owned());
    let service = Cell::from(standing.service.to_string());
    let active = match &standing.stands {
        Stands::Active(active) => active,
        Stands::Missing | Stands::Gone { .. } => {
            let state = Cell::painted(state_word(standing), Meaning::Bad);
            return [service, dash(), dash(), dash(), dash(), dash(), dash(), dash(), state];
        }
    };
    let runs = &active.runs;
    let targets = active.groups.as_deref().map(|groups| {
        let sum = |number: fn(&Group) -> u32| groups.iter().map(number).sum::<u32>();
        if groups.is_empty() {
            String::new()
        } else {
            format!("{}/{}", sum(|group| group.healthy), sum(|group| group.registered))
        }
    });
    let targets = targets.unwrap_or_else(|| "?".to_owned());
    [
        service,
        runs.revision.to_string().into(),
        or_dash(runs.version.clone()).into(),
        or_dash(runs.commit.as_deref().map(brief_commit)).into(),
        or_dash(runs.by.clone()).into(),
        or_dash(runs.since_ms.map(|since| ago(since, now_ms))).into(),
        format!("{}/{}", serving(active), active.desired).into(),
        or_dash(Some(targets)).into(),
        Cell::painted(state_word(standing), meaning(&active.state)),
    ]
}

fn brief_commit(commit: &str) -> String {
    commit[..commit.len().min(12)].to_owned()
}

fn state_word(standing: &Standing) -> String {
    match &standing.stands {
        Stands::Missing => "does not exist".to_owned(),
        Stands::Gone { status } => status.to_lowercase(),
        Stands::Active(active) => active.state.word().to_owned(),
    }
}

const fn meaning(state: &State) -> Meaning {
    match state {
        State::Healthy => Meaning::Good,
        State::Short | State::Unhealthy | State::Failed => Meaning::Bad,
        State::RollingOut | State::Draining | State::Registering => Meaning::Active,
        State::GoingBack => Meaning::Caution,
        State::Running | State::Empty | State::OtherController(_) => Meaning::Plain,
    }
}

fn service(page: &mut Page, standing: &Standing, telling: Telling<'_>, told: Told) {
    let cluster = standing.cluster.as_str().rsplit('/').next().unwrap_or_default();
    let name = standing.name.as_str();
    match &standing.stands {
        Stands::Missing if told == Told::All => page.head(
            &standing.service,
            &page.paint(Meaning::Bad, &format!("there is no service {name} in cluster {cluster}")),
        ),
        Stands::Gone { status } if told == Told::All => page.head(
            &standing.service,
            &page.paint(Meaning::Bad, &format!("service {name} in cluster {cluster} is {status}")),
        ),
        Stands::Missing | Stands::Gone { .. } => {}
        Stands::Active(active) => {
            let mut body = Page::new(page.paper);
            if told == Told::All {
                what_runs(&mut body, active, telling);
            }
            health(&mut body, active, telling, told);
            going_on(&mut body, active, standing, telling, told);
            changed(&mut body, active, standing, telling, told);
            for gap in &standing.gaps {
                body.said("note", Meaning::Caution, &gap.to_string());
            }
            if told == Told::All && !active.urls.is_empty() {
                body.item("answers", &active.urls.join(" "));
            }
            let body = body.text();
            if told == Told::Attention && body.is_empty() {
                return;
            }
            let state = page.paint(meaning(&active.state), active.state.word());
            match told {
                Told::All => page.head(&standing.service, &format!("{state}: {} in cluster {cluster}", tasks(active))),
                Told::Attention => page.head(&standing.service, &state),
            }
            page.append(&body);
        }
    }
}

/// `2 of 2 tasks of web:41 run`.
fn tasks(active: &Active) -> String {
    let wanted = words::count(active.desired as usize, "task");
    match active.state {
        State::OtherController(_) => format!("{wanted} wanted"),
        _ => format!("{} of {wanted} of {} run", serving(active), active.runs.revision),
    }
}

/// How many tasks of the revision that serves run.
fn serving(active: &Active) -> u32 {
    match &active.rollout {
        Some(Rolling { stage: Stage::Ended, running, .. }) => *running,
        Some(Rolling { old_running, .. }) => *old_running,
        None => active.running,
    }
}

fn what_runs(page: &mut Page, active: &Active, telling: Telling<'_>) {
    let runs = &active.runs;
    let digest = runs.digest.as_deref().map(words::brief_digests);
    let image = match (&runs.version, digest) {
        (Some(version), Some(digest)) => format!("{version} ({digest})"),
        (Some(version), None) => version.clone(),
        (None, Some(digest)) => digest,
        (None, None) => String::new(),
    };
    if !image.is_empty() {
        page.item("image", &image);
    }
    if let Some(commit) = &runs.commit {
        page.item("commit", commit);
    }
    let since = runs.since_ms.map(|since| ago(since, telling.now_ms));
    let by = runs.by.as_ref().map(|by| format!("by {by}"));
    match (since, by) {
        (Some(since), Some(by)) => page.item("since", &format!("{since}, {by}")),
        (Some(since), None) => page.item("since", &since),
        (None, Some(by)) => page.item("shipped", &by),
        (None, None) => {}
    }
}

fn health(page: &mut Page, active: &Active, telling: Telling<'_>, told: Told) {
    if active.unhealthy_tasks > 0 {
        let tasks = words::count(active.unhealthy_tasks as usize, "running task");
        page.said("tasks", Meaning::Bad, &format!("the health check of {tasks} fails"));
    }
    for group in active.groups.iter().flatten() {
        let Group { name, healthy, registered, draining, others } = group;
        let mut said = vec![format!("{healthy} of {registered} healthy in {name}")];
        said.extend(others.iter().map(|(state, reason, count)| {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{count} {state}{reason}")
        }));
        if *draining > 0 {
            said.push(format!("{draining} draining"));
        }
        let wants = !others.is_empty();
        if told == Told::All || wants {
            page.said("targets", if wants { Meaning::Caution } else { Meaning::Active }, &said.join(", "));
        }
    }
    for Deaths { count, why } in &active.deaths {
        let tasks = words::count(*count, "task");
        page.said("died", Meaning::Bad, &format!("{tasks} within the hour: {}", words::brief(&words::clean(why))));
    }
    if let Some(last) = &active.last
        && (told == Told::All || !ended_well(last))
    {
        page.said("last", if ended_well(last) { Meaning::Active } else { Meaning::Bad }, &ended(last, telling.now_ms));
    }
}

/// A rollout that another one replaced was not judged.
fn ended_well(past: &Past) -> bool {
    past.succeeded() || past.verdict() == "superseded"
}

/// `web:43 rolled back 5 minutes ago after 2m05s: tasks failed to start`.
fn ended(past: &Past, now_ms: u64) -> String {
    let revision = past.target.as_ref().and_then(|target| target.task_definition.as_ref());
    let revision = revision.map(|revision| format!("{revision} ")).unwrap_or_default();
    let when = past.finished_ms.or(past.created_ms).map(|at| format!(" {}", ago(at, now_ms))).unwrap_or_default();
    let took = past.duration_ms().map(|took| format!(" after {}", words::duration(took))).unwrap_or_default();
    let why = past.why().map(|why| format!(": {}", words::brief(&words::clean(why)))).unwrap_or_default();
    format!("{revision}{}{when}{took}{why}", past.verdict())
}

fn going_on(page: &mut Page, active: &Active, standing: &Standing, telling: Telling<'_>, told: Told) {
    let Some(rollout) = &active.rollout else {
        let is_unwell = active.state.is_healthy() == Some(false);
        if is_unwell || (told == Told::All && !active.deaths.is_empty()) {
            page.item("look", &telling.command("tasks", standing));
        }
        return;
    };
    let Rolling { revision, previous, stage, started_ms, running, desired, lifecycle, breaker, old_running } = rollout;
    let since = started_ms.map(|since| format!(" for {}", age(since, telling.now_ms))).unwrap_or_default();
    let before = previous.as_ref().map_or_else(|| "what ran before".to_owned(), ToString::to_string);
    let mut said = match stage {
        Stage::Going => format!("{revision}{since}: {running} of {} run", words::count(*desired as usize, "task")),
        Stage::GoingBack => format!("{revision}{since}: ECS takes it back to {before}"),
        Stage::Ended => {
            let tasks = words::count(*old_running as usize, "task");
            format!("{revision} is live; {tasks} of {before} still to end")
        }
    };
    if let Some(lifecycle) = lifecycle {
        said = format!("{said}, {}", lifecycle.to_lowercase().replace('_', " "));
    }
    if let Some(breaker) = breaker {
        let failures = format!("{} of {} failures", breaker.failures, breaker.threshold);
        said = format!("{said}; {failures} that its circuit breaker takes");
    }
    page.item("rollout", &said);
    page.item("watch", &telling.command("watch", standing));
}

fn changed(page: &mut Page, active: &Active, standing: &Standing, telling: Telling<'_>, told: Told) {
    match &active.changed {
        Changed::No if told == Told::All => page.item("drift", "none, it is as it was shipped"),
        Changed::NotInContent { shipped } if told == Told::All => page.said(
            "drift",
            Meaning::Active,
            &format!("none: {} is the same as {shipped}, the last ship", active.runs.revision),
        ),
        Changed::NotShipped if told == Told::All => {
            page.item("drift", "not known, none of the latest revisions was shipped by docker-ecs-ship");
        }
        Changed::No | Changed::NotInContent { .. } | Changed::NotShipped => {}
        Changed::Drifted(drift) => {
            page.said(
                "drift",
                Meaning::Caution,
                &format!(
                    "{} comes from outside of docker-ecs-ship; since {}, its last ship:",
                    drift.live, drift.shipped
                ),
            );
            let container = active.runs.container.as_deref().unwrap_or_default();
            let rows: Vec<_> = drift.changes.iter().map(|change| Row::of(change, container, "")).collect();
            page.rows("", &rows);
            page.item("look", &telling.command("plan", standing));
        }
    }
}

#[cfg(test)]
mod tests;
