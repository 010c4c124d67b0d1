//! From the process to a verb: face, docker's part of the arguments, our words, the verb, the exit code.
//!
//! The order matters for speed. Docker's question who we are is answered before anything is read, and the
//! shim sets nothing up; clap's tree is built for a command line or a TAB; the asynchronous runtime is
//! started only by the verbs that talk to the outside.

use std::{
    any::Any,
    ffi::{OsStr, OsString},
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use clap::error::ErrorKind;
use tokio::runtime::Builder;

use super::{
    args::{self, ConfigVerb, SandboxVerb, Verb},
    completion, config, credential_helper, deploy,
    door::Door,
    exec, help, history, init, install, login, logout, logs,
    output::Output,
    plan, rehearse, replay, rollback, run_task, sandbox, status, stop_deployment,
    surroundings::{Surroundings, terminal_size},
    tasks,
    usage::UsageError,
    version, watch,
};
use crate::{
    env,
    exit::Exit,
    failure::{
        Failure,
        render::{self, Room},
        spelling::Spelling,
    },
    plugin::{
        call::{self, Call, Caller, Errand, Request},
        face::Face,
        globals::{Globals, GlobalsError},
        metadata,
        shim::{Next, ShimError},
    },
};

/// Runs the program. A panic anywhere ends it as a bug.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if let (Some(own_name), Some(first)) = (arguments.next(), arguments.next())
        && metadata::is_asked(&own_name, &first)
    {
        let written = Output::Stdout.write_all(metadata::answer().as_bytes()).map_err(Failure::Output);
        return ExitCode::from(told(written.map(|()| Exit::Done.code())));
    }
    let surroundings = Surroundings::read();
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let text = render::bug(&message(panic.payload()), location.as_deref());
        // Nothing is left to tell it to when stderr fails.
        let _ = Output::Stderr.write_all(text.as_bytes());
    }));
    ExitCode::from(guarded(|| enter(surroundings)))
}

/// Nothing of what the work held is looked at after a panic.
fn guarded(work: impl FnOnce() -> u8) -> u8 {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Exit::Bug.code())
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Answers by face.
fn enter(mut surroundings: Surroundings) -> u8 {
    let mut arguments = std::mem::take(&mut surroundings.arguments).into_iter();
    let own_name = arguments.next().unwrap_or_default();
    let words: Vec<OsString> = arguments.collect();
    match Face::of(&own_name) {
        Face::Shim => match call::of_shim(&words) {
            Errand::PassOn => told(next_docker(&surroundings).and_then(|next| Ok(next.become_it(&words)?))),
            Errand::OfferOurName => told(offer_our_name(&surroundings, &words)),
            Errand::Ours(request) => answer(Ok(*request), surroundings, help::NAME),
        },
        Face::Plugin { name } => {
            let command_of_docker = surroundings.variables.get_os(env::DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND);
            let caller = if command_of_docker.is_some() { Caller::Docker } else { Caller::Hand };
            answer(call::of_plugin(&name, caller, &words), surroundings, &format!("docker {name}"))
        }
        Face::Standalone => answer(call::of_standalone(&words), surroundings, crate::plugin::face::STANDALONE),
        Face::CredentialHelper => credential_helper::main(&words, surroundings),
    }
}

fn next_docker(surroundings: &Surroundings) -> Result<Next, Failure> {
    let own = std::env::current_exe().map_err(ShimError::Own)?;
    let value = |name| surroundings.variables.get_os(name).unwrap_or(OsStr::new(""));
    Ok(Next::find(&own, value(env::PATH), value(env::ECS_SHIP_SHIMS_PASSED))?)
}

fn offer_our_name(surroundings: &Surroundings, words: &[OsString]) -> Result<u8, Failure> {
    let answer = next_docker(surroundings)?.complete_with_our_name(words)?;
    Output::Stdout.write_all(answer.as_bytes()).map_err(Failure::Output)?;
    Ok(Exit::Done.code())
}

/// Ends a face that has no flags of ours: what went wrong is told to people.
fn told(result: Result<u8, Failure>) -> u8 {
    result.unwrap_or_else(|failure| tell(&failure, Drawing::ForPeople, Spelling::STANDALONE))
}

/// For whom a failure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawing {
    ForPeople,
    Json,
}

/// Draws a failure on stderr and answers its exit code.
pub(super) fn tell(failure: &Failure, drawing: Drawing, spelling: Spelling<'_>) -> u8 {
    let text = match drawing {
        Drawing::ForPeople => render::plain(failure, spelling, room()),
        Drawing::Json => render::json(failure, spelling),
    };
    // Nothing is left to tell it to when stderr fails.
    let _ = Output::Stderr.write_all(text.as_bytes());
    failure.exit().code()
}

/// What a failure is told on.
fn room() -> Room {
    if !io::stderr().is_terminal() {
        return Room::Endless;
    }
    // What a terminal without a size is taken for.
    Room::Columns(terminal_size().map_or(80, |size| usize::from(size.columns)))
}

/// Answers a request of the standalone program, the plugin or the shim.
fn answer(request: Result<Request, GlobalsError>, surroundings: Surroundings, name: &str) -> u8 {
    match request {
        Ok(Request::Complete(words)) => {
            let door = Door { surroundings, globals: Globals::default(), name: name.to_owned() };
            told(completion::answer(&words, &door).map(Exit::code))
        }
        Ok(Request::Run(call)) => run(call, surroundings),
        Err(error) => {
            let failure = UsageError::from_globals(error, &args::command(name)).into();
            tell(&failure, Drawing::ForPeople, Spelling::STANDALONE)
        }
    }
}

/// Reads our words and runs the verb.
fn run(call: Call, surroundings: Surroundings) -> u8 {
    let Call { name, globals, words } = call;
    let door = Door { surroundings, globals, name };
    let command = args::command(&door.name);
    match args::parse(command.clone(), &words) {
        Ok(line) => {
            let draw = if shows_json(&line, &door) { Drawing::Json } else { Drawing::ForPeople };
            let environment = line.verb.as_ref().and_then(Verb::at).and_then(|typed| typed.environment.clone());
            match line.verb {
                None => told(show_help(&command, &[], &door).map(Exit::code)),
                Some(verb) => match act(verb, &command, &door) {
                    Ok(exit) => exit.code(),
                    Err(failure) => {
                        tell(&failure, draw, Spelling { name: &door.name, environment: environment.as_deref() })
                    }
                },
            }
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            told(show_help(&command, &words, &door).map(Exit::code))
        }
        Err(error) => {
            let failure = UsageError::from_clap(&error, &command, &words).into();
            tell(&failure, Drawing::ForPeople, Spelling::STANDALONE)
        }
    }
}

/// Whether a failure is to be JSON as well: where the run itself was asked to be.
fn shows_json(line: &args::Line, door: &Door) -> bool {
    let display = match &line.verb {
        Some(Verb::Deploy(deploy)) => &deploy.display,
        Some(Verb::Watch(watch)) => &watch.display,
        Some(Verb::Rollback(rollback)) => &rollback.display,
        Some(Verb::Rehearse(rehearse)) => &rehearse.display,
        Some(Verb::Config(args::Config { verb: Some(ConfigVerb::Validate(validate)) })) => {
            return validate.format == args::TableFormat::Json;
        }
        Some(Verb::Config(args::Config { verb: Some(ConfigVerb::Show(show)) })) => {
            return show.format == args::ConfigFormat::Json;
        }
        Some(
            Verb::Plan(_)
            | Verb::Config(_)
            | Verb::StopDeployment(_)
            | Verb::Init(_)
            | Verb::Status(_)
            | Verb::History(_)
            | Verb::Tasks(_)
            | Verb::Logs(_)
            | Verb::Run(_)
            | Verb::Exec(_)
            | Verb::Replay(_)
            | Verb::Sandbox(_)
            | Verb::Login(_)
            | Verb::Logout(_)
            | Verb::Install(_)
            | Verb::Uninstall(_)
            | Verb::Version(_)
            | Verb::Completion(_),
        )
        | None => return false,
    };
    door.progress(display.progress).is_ok_and(|progress| progress == args::Progress::Json)
}

fn act(verb: Verb, command: &clap::Command, door: &Door) -> Result<Exit, Failure> {
    match verb {
        Verb::Deploy(args) => block_on(deploy::run(&args, door)),
        Verb::Plan(args) => block_on(plan::run(&args, door)),
        Verb::Watch(args) => block_on(watch::run(&args, door)),
        Verb::Rollback(args) => block_on(rollback::run(&args, door)),
        Verb::StopDeployment(args) => block_on(stop_deployment::run(&args, door)),
        Verb::Init(args) => block_on(init::run(&args, door)),
        Verb::Status(args) => block_on(status::run(&args, door)),
        Verb::Rehearse(args) => block_on(rehearse::run(&args, door)),
        Verb::Config(args) => match args.verb {
            None => show_help(command, &["config".into()], door),
            Some(ConfigVerb::Validate(args)) => config::validate(&args, door),
            Some(ConfigVerb::Show(args)) => block_on(config::show(&args, door)),
            Some(ConfigVerb::Schema) => config::schema(door),
        },
        Verb::History(args) => block_on(history::run(&args, door)),
        Verb::Tasks(args) => block_on(tasks::run(&args, door)),
        Verb::Logs(args) => block_on(logs::run(&args, door)),
        Verb::Run(args) => block_on(run_task::run(&args, door)),
        Verb::Exec(args) => block_on(exec::run(&args, door)),
        Verb::Sandbox(args) => match args.verb {
            None => show_help(command, &["sandbox".into()], door),
            Some(SandboxVerb::Up(args)) => block_on(sandbox::up(&args, door)),
            Some(SandboxVerb::Down) => block_on(sandbox::down(door)),
            Some(SandboxVerb::Status(args)) => block_on(sandbox::status(&args, door)),
            Some(SandboxVerb::Load(args)) => block_on(sandbox::load(&args, door)),
        },
        Verb::Replay(args) => replay::run(&args, door),
        Verb::Login(args) => block_on_here(login::run(&args, door)),
        Verb::Logout(args) => block_on_here(logout::run(&args, door)),
        Verb::Install(args) => install::install(&args, door),
        Verb::Uninstall(args) => install::uninstall(&args, door),
        Verb::Version(args) => version::run(&args, door),
        Verb::Completion(args) => completion::run(&args, door),
    }
}

/// Starts the asynchronous runtime for one verb.
fn block_on<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(verb)
}

/// The same on this thread alone, for what does one thing after the other: the threads, one for each processor,
/// would be a good part of what a login takes whose token is kept.
pub(super) fn block_on_here<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(verb)
}

fn show_help(root: &clap::Command, words: &[OsString], door: &Door) -> Result<Exit, Failure> {
    let mut command = root;
    let mut path = door.name.clone();
    for word in words.iter().filter_map(|word| word.to_str()) {
        if let Some(next) = command.find_subcommand(word) {
            command = next;
            path = format!("{path} {word}");
        }
    }
    let width = match door.surroundings.terminal_size {
        Some(size) => usize::from(size.columns),
        None => help::WIDTH,
    };
    // Behind docker they belong to docker; and they stand before a verb, never after one.
    let docker_flags = if std::ptr::eq(command, root) && !door.name.starts_with("docker ") {
        help::DockerFlags::Shown
    } else {
        help::DockerFlags::Hidden
    };
    door.print(&help::page(command, &path, help::Manner { name: &door.name, width, docker_flags }))?;
    door.stdout().flush().map_err(Failure::Output)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_as_a_bug_and_its_words_are_kept() {
        assert_eq!(guarded(|| panic!("of the test, on purpose")), 70);
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&"text".to_owned()), "text");
        assert_eq!(message(&7), "");
    }
}
