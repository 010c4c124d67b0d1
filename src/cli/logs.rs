//! `logs`: the lines of a service's tasks, from CloudWatch, merged by time.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Door, args,
    prepare::{self, Connected, Sleeping},
    show, walk,
};
use crate::{
    aws::{Aws, ecs, logs::From, tasks},
    config::{duration, spec::Service},
    exit::Exit,
    failure::{Failure, verb::VerbError},
    id::Key,
    observe::services,
    plan::pick_up,
    report::{
        style::{Meaning, Style},
        words,
    },
    rollout::view::TaskView,
    run::{
        cancel::Cancel,
        logs::{Line, Logs},
        watch::pause,
    },
};

/// Between two looks for new lines; `GetLogEvents` takes 10 to 30 calls a second in an account and region.
const PACE_MS: u64 = 2_000;

pub async fn run(args: &args::Logs, door: &Door) -> Result<Exit, Failure> {
    let cancel = walk::hear(door)?;
    let understood = prepare::understand(&args.selection, door).await?;
    let spec = &understood.spec;
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let (key, service) = walk::only_service(spec, "logs")?;
    let known = services::observed(spec, &place.aws).await?;
    pick_up::live(key, service, known.get(key), place.aws.region())
        .map_err(|refusal| Failure::Refused(vec![refusal]))?;
    let mut reading = Reading {
        args,
        door,
        aws: &place.aws,
        service,
        logs: Logs::new(&place.aws),
        from: from(args)?,
        excused: BTreeSet::new(),
    };
    let tasks = reading.tasks().await?;
    if tasks.is_empty() && !args.follow {
        return Err(none(args, key));
    }
    reading.add(&tasks).await?;
    reading.print().await?;
    if !args.follow {
        // Every task that could be shown has a log that cannot be read, and why was told.
        return if reading.logs.is_empty() {
            Err(VerbError::NoLog { service: key.clone() }.into())
        } else {
            Ok(Exit::Done)
        };
    }
    reading.follow(&place, &cancel).await
}

fn none(args: &args::Logs, key: &Key) -> Failure {
    let wanted = match (&args.task, args.revision, args.previous) {
        (Some(task), ..) => format!("no task {task}"),
        (None, Some(revision), _) => format!("no task of revision {revision}"),
        (None, None, true) => "no task that has stopped".to_owned(),
        (None, None, false) => "no task that runs".to_owned(),
    };
    VerbError::NoTask { service: key.clone(), wanted }.into()
}

fn from(args: &args::Logs) -> Result<From, Failure> {
    let since_ms = match &args.since {
        None => None,
        Some(text) => {
            let ago: Duration = duration::parse(text).ok_or_else(|| VerbError::Since { written: text.clone() })?;
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            Some(show::now_ms().saturating_sub(ago))
        }
    };
    Ok(match (args.tail, since_ms) {
        (Some(lines), _) => From::Tail { lines, since_ms },
        (None, Some(_)) => From::Head { since_ms },
        (None, None) => From::Tail { lines: args::LOG_LINES, since_ms: None },
    })
}

/// What is being read.
struct Reading<'a> {
    args: &'a args::Logs,
    door: &'a Door,
    aws: &'a Aws,
    service: &'a Service,
    logs: Logs<'a>,
    from: From,
    /// Reasons that were told.
    excused: BTreeSet<String>,
}

impl Reading<'_> {
    /// The tasks that are asked for.
    async fn tasks(&self) -> Result<Vec<TaskView>, Failure> {
        let tasks = ecs::view_tasks(self.aws, &self.service.cluster, &self.service.service, &[]).await?;
        let chosen = chosen(tasks, self.args);
        // A one-off task is none of the service's; by its whole id it is found all the same.
        match &self.args.task {
            Some(id) if chosen.is_empty() && id.len() == 32 => {
                Ok(tasks::view(self.aws, &self.service.cluster, id).await?.into_iter().collect())
            }
            Some(_) | None => Ok(chosen),
        }
    }

    async fn add(&mut self, tasks: &[TaskView]) -> Result<(), Failure> {
        for task in tasks {
            let revision = task.task_definition.as_str();
            let only = self.args.container.as_deref();
            for silent in self.logs.add(&task.id, revision, only, &self.from).await? {
                let why = silent.to_string();
                if self.excused.insert(why.clone()) {
                    self.door.tell(&format!("{}: {why}\n", short(&task.id)))?;
                }
            }
        }
        Ok(())
    }

    async fn print(&mut self) -> Result<(), Failure> {
        let lines = self.logs.read().await?;
        let style = show::data_style(self.door);
        let containers = self.logs.has_several_containers();
        let text: String = lines.iter().map(|line| drawn(line, containers, style)).collect();
        self.door.print(&text)
    }

    /// Reads on until somebody asks to stop; tasks that come are read as well.
    async fn follow(&mut self, place: &Connected, cancel: &Cancel) -> Result<Exit, Failure> {
        let pace_ms = place.pace(1).service_ms.min(PACE_MS);
        loop {
            tokio::select! {
                () = pause(pace_ms) => {}
                () = cancel.once() => return Ok(Exit::Cancelled),
            }
            // One that began meanwhile is read from its first line.
            self.from = From::Head { since_ms: None };
            match self.tasks().await {
                Ok(tasks) => self.add(&tasks).await?,
                Err(Failure::Aws(error)) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
            match self.print().await {
                Err(Failure::Aws(error)) if error.is_passing() => {}
                printed => printed?,
            }
        }
    }
}

/// Which of a service's tasks: one by its id, those of a revision, the last one that stopped, or all that run.
fn chosen(mut tasks: Vec<TaskView>, args: &args::Logs) -> Vec<TaskView> {
    let stopped = |task: &TaskView| matches!(task.last_status.as_str(), "STOPPED" | "DELETED");
    if let Some(id) = &args.task {
        tasks.retain(|task| task.id.starts_with(id.as_str()));
    }
    if let Some(revision) = args.revision {
        tasks.retain(|task| task.task_definition.revision() == Some(revision));
    }
    if args.previous {
        return tasks.into_iter().filter(stopped).max_by_key(|task| task.stopped_ms).into_iter().collect();
    }
    if args.task.is_none() && args.revision.is_none() {
        tasks.retain(|task| !stopped(task));
    }
    tasks.sort_by_key(|task| task.created_ms);
    tasks
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// `73dbeb12 | listening on 8080`; a task keeps its colour.
fn drawn(line: &Line, containers: bool, style: Style) -> String {
    const COLOURS: [Meaning; 4] = [Meaning::Active, Meaning::Good, Meaning::Caution, Meaning::Strong];
    let Line { task, container, time_ms: _, text } = line;
    let which = task.bytes().map(usize::from).sum::<usize>() % COLOURS.len();
    let prefix = if containers { format!("{} {container}", short(task)) } else { short(task).to_owned() };
    format!("{} {}\n", style.paint(COLOURS[which], format!("{prefix} |")), words::clean(text))
}

#[cfg(test)]
mod tests {
    use super::{chosen, drawn};
    use crate::{cli::args, id::TaskDefArn, report::style::Style, rollout::view::TaskView, run::logs::Line};

    fn task(id: &str, revision: u64, status: &str, stopped_ms: Option<u64>) -> TaskView {
        TaskView {
            id: id.to_owned(),
            task_definition: TaskDefArn::new(format!("web:{revision}")),
            started_by: None,
            last_status: status.to_owned(),
            desired_status: status.to_owned(),
            health: None,
            stop_code: None,
            stopped_reason: None,
            created_ms: None,
            started_ms: None,
            stopping_ms: None,
            stopped_ms,
            containers: Vec::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn the_tasks_that_are_asked_for() {
        let all = || {
            vec![
                task("aa1", 2, "RUNNING", None),
                task("bb1", 1, "STOPPED", Some(1)),
                task("bb2", 2, "STOPPED", Some(2)),
                task("cc1", 1, "DEACTIVATING", None),
            ]
        };
        let ids = |args: &args::Logs| chosen(all(), args).into_iter().map(|task| task.id).collect::<Vec<_>>().join(" ");
        assert_eq!(ids(&args::Logs::default()), "aa1 cc1");
        assert_eq!(ids(&args::Logs { previous: true, ..args::Logs::default() }), "bb2");
        assert_eq!(ids(&args::Logs { previous: true, revision: Some(1), ..args::Logs::default() }), "bb1");
        assert_eq!(ids(&args::Logs { revision: Some(1), ..args::Logs::default() }), "bb1 cc1");
        assert_eq!(ids(&args::Logs { task: Some("bb".to_owned()), ..args::Logs::default() }), "bb1 bb2");
    }

    #[test]
    fn a_line_names_its_task_and_where_there_are_several_its_container() {
        let line = Line {
            task: "73dbeb120123456789abcdef01234567".to_owned(),
            container: "app".to_owned(),
            time_ms: 1,
            text: "up\u{1b}[31m".to_owned(),
        };
        assert_eq!(drawn(&line, false, Style::BARE), "73dbeb12 | up\n");
        assert_eq!(drawn(&line, true, Style::BARE), "73dbeb12 app | up\n");
    }
}
