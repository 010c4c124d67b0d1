//! `sandbox up|down|status|load`: the stand-in for AWS on this machine.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::sync::watch;

use super::{Door, args, prepare, show, surroundings::Stream};
use crate::{
    docker::Engine,
    exit::Exit,
    failure::{Failure, ScenarioErrors},
    rehearsal::stage,
    report::words,
    run::cancel,
    sandbox::{
        PORT, Port, Settings, Signatures, StopTask, Tasks,
        daemon::{self, Running, Session, Spawned, Substance},
        differences::{self, Difference},
        load::{self, Load, Lost},
        scenario::{self, Scenario},
    },
};

const LOG: &str = "sandbox.log";

/// Where everything is kept that outlives a run.
pub(crate) fn root(door: &Door) -> Result<PathBuf, Failure> {
    door.surroundings.state_folder().ok_or(Failure::NoHome)
}

/// Whether a registry may be the sandbox's: it listens on loopback, at a port.
pub(crate) fn may_be(registry: &str) -> bool {
    registry.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

/// Where the sandbox keeps what it knows.
pub(crate) fn state_folder(door: &Door) -> Result<PathBuf, Failure> {
    Ok(root(door)?.join("sandbox"))
}

/// Reads a scenario, or draws everything that is wrong with it.
pub(crate) fn scenario(path: &Path, door: &Door) -> Result<Scenario, Failure> {
    let folder = door.surroundings.folder().map_err(Failure::FolderGone)?;
    let text = fs::read_to_string(folder.join(path)).map_err(|source| Failure::read(path.to_owned(), source))?;
    scenario::parse(&text).map_err(|mistakes| Failure::Scenario {
        errors: ScenarioErrors { name: path.display().to_string(), text, mistakes },
        look: show::look(door),
    })
}

/// Starts it in the background, or finds the one that runs.
pub(crate) async fn start(up: &args::SandboxUp, door: &Door) -> Result<Running, Failure> {
    match spawn(up, door).await? {
        Spawned::Fresh(running) | Spawned::Already(running) => Ok(running),
    }
}

async fn spawn(up: &args::SandboxUp, door: &Door) -> Result<Spawned, Failure> {
    let folder = state_folder(door)?;
    let own = if cfg!(target_os = "linux") { "/proc/self/exe" } else { "the path of this program" };
    let exe = std::env::current_exe().map_err(|source| Failure::read(own.into(), source))?;
    let mut words: Vec<String> =
        door.globals.to_words().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words.extend(["sandbox", "up", "--detached"].map(str::to_owned));
    words.extend(["--speed".to_owned(), up.speed.to_string()]);
    if let Some(port) = up.port {
        words.extend(["--port".to_owned(), port.to_string()]);
    }
    if up.bind != IpAddr::from(Ipv4Addr::LOCALHOST) {
        words.extend(["--bind".to_owned(), up.bind.to_string()]);
    }
    if up.paper {
        words.push("--paper".to_owned());
    }
    if up.any_signature {
        words.push("--any-signature".to_owned());
    }
    if let Some(path) = &up.scenario {
        // Here, where somebody sees it, and not in a log.
        let _understood = scenario(path, door)?;
        let path = door.surroundings.folder().map_err(Failure::FolderGone)?.join(path);
        words.extend(["--scenario".to_owned(), path.to_string_lossy().into_owned()]);
    }
    if up.drain_stopped_tasks {
        words.push("--drain-stopped-tasks".to_owned());
    }
    Ok(daemon::spawn(&exe, &words, &folder, &folder.join(LOG)).await?)
}

pub async fn up(args: &args::SandboxUp, door: &Door) -> Result<Exit, Failure> {
    if args.foreground || args.detached {
        return serve(args, door).await;
    }
    let before = daemon::before(&state_folder(door)?);
    let running = match spawn(args, door).await? {
        Spawned::Fresh(running) => {
            door.tell("the sandbox is up\n")?;
            door.tell(&changed(before, running.tasks))?;
            running
        }
        Spawned::Already(running) => {
            door.tell("the sandbox runs already\n")?;
            running
        }
    };
    door.tell(&how_to_use(&running))?;
    door.tell(&exposed(args.bind))?;
    Ok(Exit::Done)
}

/// Who has tried something on paper may not expect hundreds of containers the next time.
fn changed(before: Option<(Substance, usize)>, now: Substance) -> String {
    match (before, now) {
        (Some((Substance::Paper, tasks)), Substance::Containers) if tasks > 0 => format!(
            "  until now its tasks were on paper only: {} of its services {} started as real containers now\n",
            words::count(tasks, "task"),
            if tasks == 1 { "is" } else { "are" }
        ),
        (Some((Substance::Containers, tasks)), Substance::Paper) if tasks > 0 => format!(
            "  until now its tasks were real containers: {} of its services {} on paper only now\n",
            words::count(tasks, "task"),
            if tasks == 1 { "is" } else { "are" }
        ),
        (Some(_) | None, Substance::Paper | Substance::Containers) => String::new(),
    }
}

/// Who has let others in must know what they can do: the access key is in the manual.
fn exposed(bind: IpAddr) -> String {
    if bind.is_loopback() {
        return String::new();
    }
    format!("\nwarning: it listens on {bind}: whoever can reach this machine there can run containers on your engine\n")
}

async fn serve(args: &args::SandboxUp, door: &Door) -> Result<Exit, Failure> {
    let tasks =
        if args.paper { Tasks::Paper } else { Tasks::Containers(prepare::engine(door).await?.docker().clone()) };
    let settings = Settings {
        port: match args.port {
            None => Port::Preferred(PORT),
            Some(0) => Port::Any,
            Some(port) => Port::Fixed(port),
        },
        speed: args.speed,
        tasks,
        bind: args.bind,
        scenario: args.scenario.as_ref().map_or_else(|| Ok(Scenario::default()), |path| scenario(path, door))?,
        signatures: if args.any_signature { Signatures::Any } else { Signatures::Verified },
        stop_task: if args.drain_stopped_tasks { StopTask::DrainsFirst } else { StopTask::SignalsAtOnce },
        ..Settings::new(state_folder(door)?)
    };
    let session = if args.detached { Session::Own } else { Session::Callers };
    let mut told = Ok(());
    daemon::serve(settings, session, |handle| {
        if args.foreground {
            let up = format!("the sandbox is up at {}; Ctrl-C ends it\n", handle.endpoint());
            told = door.tell(&(up + &exposed(args.bind)));
        }
    })
    .await?;
    told.map(|()| Exit::Done)
}

pub async fn down(door: &Door) -> Result<Exit, Failure> {
    let folder = state_folder(door)?;
    let engine = prepare::engine(door).await.ok();
    let mut most = 0;
    let shows = door.surroundings.stderr == Stream::Terminal;
    let stopped = daemon::stop(&folder, engine.as_ref().map(Engine::docker), |left| {
        most = most.max(left);
        if shows && most > 0 {
            // It is drawn over again, and a terminal that has gone needs none.
            let _drawn = door.tell(&format!("\r\x1b[Kremoving containers: {} of {most}", most - left));
        }
    })
    .await;
    if shows && most > 0 {
        door.tell("\r\x1b[K")?;
    }
    let words = match stopped? {
        Some(_) => "the sandbox is down; its containers are gone, its state is kept\n".to_owned(),
        None => match orphans(&folder, door).await? {
            0 => "no sandbox runs\n".to_owned(),
            count => format!("no sandbox runs; removed what a killed one left behind ({count} containers)\n"),
        },
    };
    door.tell(&words)?;
    if let Some(engine) = engine {
        match stage::sweep(&root(door)?, &engine).await {
            0 => {}
            1 => door.tell("removed what a killed rehearsal left behind\n")?,
            count => door.tell(&format!("removed what {count} killed rehearsals left behind\n"))?,
        }
    }
    Ok(Exit::Done)
}

/// Removes the containers of a sandbox that was killed. Without an engine there are none to remove.
async fn orphans(folder: &Path, door: &Door) -> Result<usize, Failure> {
    match prepare::engine(door).await {
        Ok(engine) => Ok(daemon::sweep(folder, engine.docker()).await?),
        Err(_) => Ok(0),
    }
}

pub async fn status(args: &args::SandboxStatus, door: &Door) -> Result<Exit, Failure> {
    if args.differences {
        return tell_differences(args.format, door);
    }
    let running = daemon::running(&state_folder(door)?).await;
    match (&args.format, &running) {
        (args::TableFormat::Json, Some(running)) => {
            let Running { sandbox, pid, endpoint, registry, speed, tasks, started } = running;
            let answer = json!({
                "id": sandbox, "pid": pid, "endpoint": endpoint, "registry": registry, "speed": speed, "tasks": tasks,
                "region": "us-east-1", "started_ms": started,
            });
            door.print(&format!("{answer}\n"))?;
        }
        (args::TableFormat::Json, None) => door.print("null\n")?,
        (args::TableFormat::Table, Some(running)) => door.print(&how_to_use(running))?,
        (args::TableFormat::Table, None) => {
            door.print(&format!("no sandbox runs; start one with: {} sandbox up\n", door.name))?;
        }
    }
    Ok(if running.is_some() { Exit::Done } else { Exit::Refused })
}

fn tell_differences(format: args::TableFormat, door: &Door) -> Result<Exit, Failure> {
    let all = differences::all();
    let text = match format {
        args::TableFormat::Json => {
            let rows: Vec<_> = all.iter().map(|row| json!({ "here": row.here, "on_aws": row.on_aws })).collect();
            format!("{}\n", json!(rows))
        }
        args::TableFormat::Table => {
            let mut text = "What differs from AWS, on purpose\n".to_owned();
            for Difference { here, on_aws } in &all {
                text.push_str(&labelled("\n  here    ", here));
                text.push_str(&labelled("  on AWS  ", on_aws));
            }
            text
        }
    };
    door.print(&text)?;
    Ok(Exit::Done)
}

/// A text behind a label, its further lines under its first.
fn labelled(label: &str, text: &str) -> String {
    let indent = format!("\n{}", " ".repeat("  on AWS  ".len()));
    format!("{label}{}\n", words::wrap(text, 88).join(&indent))
}

fn how_to_use(running: &Running) -> String {
    let Running { sandbox: _, pid, endpoint, registry, speed, tasks, started: _ } = running;
    let tasks = match tasks {
        Substance::Containers => "are real containers",
        Substance::Paper => "are on paper only: nothing runs",
    };
    let speed =
        if (speed - 1.0).abs() < f64::EPSILON { "real time".to_owned() } else { format!("{speed} times real time") };
    format!(
        "  endpoint  {endpoint}   ECS, ECR, ELB, Logs, SSM, Secrets Manager, STS
  registry  {registry}
  process   {pid}, {speed}, tasks {tasks}

To use it with the AWS CLI:
  export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox AWS_DEFAULT_REGION=us-east-1
  aws --endpoint-url {endpoint} ecs list-clusters
"
    )
}

/// Drives load until a signal, then prints what came of it as shell assignments.
pub async fn load(args: &args::SandboxLoad, door: &Door) -> Result<Exit, Failure> {
    let authority = args.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (canceller, cancel) = cancel::token();
    canceller.hear_signals().map_err(Failure::Signals)?;
    let load = Load {
        authority,
        path: args.path.clone(),
        rate: args.rate,
        connections: args.connections,
        slow_every: args.slow_every,
        slow_path: args.slow_path.clone(),
        count_by: args.count_by.clone(),
        ..Load::default()
    };
    let (stop, stopped) = watch::channel(());
    let driving = tokio::spawn(load::drive(load, stopped));
    cancel.once().await;
    // The driver may have ended by itself when the load generator failed; its tally says so.
    let _ended = stop.send(());
    let tally = driving.await.unwrap_or_default();
    let answers: Vec<_> = tally.answers.iter().map(|(value, count)| format!("{count} by {value}")).collect();
    let lost = if tally.failed == 0 { "no request was lost".to_owned() } else { format!("{} were lost", tally.failed) };
    door.tell(&format!(
        "{} requests, {lost}; answers: {}; slowest {} ms\n",
        tally.requests,
        answers.join(", "),
        tally.slowest_ms
    ))?;
    for lost in tally.lost.iter().take(20) {
        let Lost { at_ms, kind, path, .. } = lost;
        door.tell(&format!("  lost at +{:.1} s: {path} {kind}\n", Duration::from_millis(*at_ms).as_secs_f64()))?;
    }
    door.print(&format!("requests={} failed={} slowest_ms={}\n", tally.requests, tally.failed, tally.slowest_ms))?;
    Ok(if tally.failed == 0 { Exit::Done } else { Exit::RolloutFailed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_become_something_else_are_counted() {
        let told = |before, now| changed(before, now);
        let paper = |tasks| Some((Substance::Paper, tasks));
        assert_eq!(
            told(paper(200), Substance::Containers),
            "  until now its tasks were on paper only: 200 tasks of its services are started as real containers now\n"
        );
        assert_eq!(
            told(Some((Substance::Containers, 1)), Substance::Paper),
            "  until now its tasks were real containers: 1 task of its services is on paper only now\n"
        );
        for (before, now) in [
            (None, Substance::Containers),
            (paper(0), Substance::Containers),
            (paper(3), Substance::Paper),
            (Some((Substance::Containers, 3)), Substance::Containers),
        ] {
            assert_eq!(told(before, now), "");
        }
    }
}
