//! Draws a failure, for people or as JSON; the only place that does, and the only one that walks the
//! chain of causes.

use std::{error::Error, fmt::Write as _};

use serde_json::json;

use super::{Failure, ScenarioErrors, Shown, spelling::Spelling};
use crate::{
    config::error::{Drawn, line_and_column, render_drawn},
    event::ToldError,
    prose,
    report::words,
};

/// A window that is narrower than this is one that nobody reads in.
const NARROWEST: usize = 20;

/// What there is to write on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A log: whoever reads it breaks its lines, or searches in them.
    Endless,
    /// A terminal.
    Columns(usize),
}

/// For people.
///
/// A mistake on the command line looks as docker's own do; everything else is one sentence, its causes,
/// what is live, and what to do.
#[must_use]
pub fn plain(failure: &Failure, spelling: Spelling<'_>, room: Room) -> String {
    if let Failure::Usage(error) = failure {
        let meant = error.nearest().map(|nearest| format!("\n\nDid you mean {nearest}?")).unwrap_or_default();
        return format!(
            "{error}{meant}\n\nUsage:  {usage}\n\nRun '{command} --help' for more information\n",
            usage = error.usage,
            command = error.command,
        );
    }
    if let Failure::Config { errors, look } = failure {
        return errors.render(*look);
    }
    if let Failure::Scenario { errors, look } = failure {
        let ScenarioErrors { name, text, mistakes } = errors;
        let drawn = mistakes.iter().map(|mistake| Drawn {
            message: mistake.message.clone(),
            label: mistake.label.clone(),
            help: mistake.help.clone(),
            span: mistake.span.clone(),
        });
        return render_drawn(drawn, name, text, *look);
    }
    if let Failure::Run(run) = failure
        && run.shown == Shown::ByFace
    {
        return String::new();
    }
    let mut text = String::new();
    if let Failure::Refused(refusals) = failure {
        for refusal in refusals {
            room.labelled(&mut text, "refused: ", &refusal.to_string());
            room.labelled(&mut text, "  hint:  ", &spelling.respell(&refusal.hint()));
        }
        room.labelled(&mut text, "", "nothing was changed");
        return text;
    }
    room.labelled(&mut text, "error: ", &failure.to_string());
    for cause in causes(failure) {
        room.labelled(&mut text, "  cause: ", &cause);
    }
    for line in failure.log() {
        // Evidence: it is not broken by us.
        Room::Endless.labelled(&mut text, "  | ", &words::clean(line));
    }
    for service in failure.live() {
        let words = format!("{}: {}", service.service, service.words);
        room.labelled(&mut text, "  live:  ", &words);
    }
    for hint in failure.hints() {
        room.labelled(&mut text, "  hint:  ", &spelling.respell(&hint));
    }
    text
}

/// One line of JSON.
#[must_use]
pub fn json(failure: &Failure, spelling: Spelling<'_>) -> String {
    let hint = |hint: String| spelling.respell(&hint).into_owned();
    let refusals: Vec<_> = match failure {
        Failure::Refused(refusals) => refusals
            .iter()
            .map(|refusal| json!({ "code": refusal.code(), "message": refusal.to_string(), "hint": hint(refusal.hint()) }))
            .collect(),
        _ => Vec::new(),
    };
    let mistakes: Vec<_> = match failure {
        Failure::Config { errors, .. } => errors
            .errors
            .iter()
            .map(|error| {
                let located = error.place.span().and_then(|span| errors.sources.locate(span));
                let place = located.as_ref().and_then(|(source, span)| source.line_and_column(span.start));
                json!({
                    "code": error.mistake.code(), "message": error.to_string(), "help": error.mistake.help(),
                    "file": located.map(|(source, _)| source.name.as_str()),
                    "line": place.map(|(line, _)| line), "column": place.map(|(_, column)| column),
                })
            })
            .collect(),
        Failure::Scenario { errors, .. } => errors
            .mistakes
            .iter()
            .map(|mistake| {
                let place = mistake.span.as_ref().and_then(|span| line_and_column(&errors.text, span.start));
                json!({
                    "code": mistake.code, "message": mistake.message, "help": mistake.help,
                    "line": place.map(|(line, _)| line), "column": place.map(|(_, column)| column),
                })
            })
            .collect(),
        _ => Vec::new(),
    };
    let value = json!({
        "error": {
            "code": failure.code(),
            "exit": failure.exit().code(),
            "message": failure.to_string(),
            "causes": causes(failure),
            "log": failure.log(),
            "live": failure.live(),
            "hints": failure.hints().into_iter().map(hint).collect::<Vec<_>>(),
            "refusals": refusals,
            "mistakes": mistakes,
        }
    });
    format!("{value}\n")
}

/// For the event stream: what the faces tell at the end of a run.
#[must_use]
pub fn told(failure: &Failure) -> ToldError {
    // A run knows how it was called.
    let spelling = match failure {
        Failure::Run(run) => Spelling { name: &run.name, environment: run.environment.as_deref() },
        _ => Spelling::STANDALONE,
    };
    ToldError {
        code: failure.code().to_owned(),
        message: failure.to_string(),
        causes: causes(failure),
        hints: failure.hints().iter().map(|hint| spelling.respell(hint).into_owned()).collect(),
    }
}

/// What a panic says: it is ours, not the user's.
#[must_use]
pub fn bug(message: &str, location: Option<&str>) -> String {
    let mut text = String::new();
    let room = Room::Endless;
    room.labelled(&mut text, "error: ", &format!("this is a bug in docker-ecs-ship {}", env!("CARGO_PKG_VERSION")));
    room.labelled(&mut text, "  cause: ", message);
    if let Some(location) = location {
        room.labelled(&mut text, "  at:    ", location);
    }
    room.labelled(&mut text, "  live:  ", "unknown — docker-ecs-ship status shows what is running");
    room.labelled(
        &mut text,
        "  hint:  ",
        "please report it with these lines and what you did; RUST_BACKTRACE=1 shows more",
    );
    text
}

/// The texts below the failure itself, each once.
///
/// Our own errors never repeat their source; those of libraries do, so a text that is already part of
/// the one above it is left out.
fn causes(failure: &Failure) -> Vec<String> {
    let mut above = failure.to_string();
    let mut causes = Vec::new();
    let mut next = failure.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !text.is_empty() && !above.contains(&text) {
            causes.push(text.clone());
            above = text;
        }
        next = error.source();
    }
    causes
}

impl Room {
    /// Further lines of a text stand under its first.
    fn labelled(self, page: &mut String, label: &str, text: &str) {
        let indent = " ".repeat(label.len());
        let lines = match self {
            Self::Endless => text.lines().map(str::to_owned).collect(),
            Self::Columns(columns) => prose::wrap_all(text, columns.saturating_sub(label.len()).max(NARROWEST)),
        };
        for (number, line) in lines.iter().enumerate() {
            writeln!(page, "{}{line}", if number == 0 { label } else { &indent })
                .expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::Key, plan::refusal::Refusal};

    #[test]
    #[expect(clippy::too_many_lines, reason = "one of each kind of failure")]
    fn every_failure_reads_well() {
        let drawn: Vec<String> =
            Failure::examples().iter().map(|failure| plain(failure, Spelling::STANDALONE, Room::Endless)).collect();
        insta::assert_snapshot!(drawn.join("\n"), @r#"
        error: `logs` is about one service, and ship.toml has web, worker
          hint:  name one of them, as in `docker-ecs-ship logs web`

        error: which container of web is meant is not clear
          hint:  say which with --container, or with `container` of [services.web]

        error: web has no task that runs
          hint:  `docker-ecs-ship tasks web` shows them all; ECS forgets a stopped task after about an hour

        error: no log of web can be read
          hint:  give the containers of web the log driver awslogs, with awslogs-group and awslogs-stream-prefix

        error: `yesterday` is not a time such as 90s, 10m or 1h30m
          hint:  write a number with s, m, h or d

        error: task 01234567 ended with 3: container web ended by itself with exit code 3
          hint:  its lines stand above; `docker-ecs-ship logs web --task 0123456789abcdef0123456789abcdef` shows them again

        error: session-manager-plugin is not installed
          hint:  install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html

        error: session-manager-plugin cannot be started
          cause: permission denied
          hint:  run `session-manager-plugin --version` to see it happen

        error: the docker command cannot be started
          cause: entity not found
          hint:  a task of the sandbox is gone into with `docker exec`: install the Docker CLI

        error: web runs on paper: its tasks have no containers
          hint:  take the sandbox down and start it without --paper: `docker-ecs-ship sandbox up`

        error: the session ended with 255
          hint:  what the command and the plugin said stands above

        unknown flag: --enviroment

        Did you mean --environment?

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        unknown shorthand flag: 'Z' in -yZ

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        unknown command: docker ecs-ship deploy x

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        'docker ecs-ship deploy' accepts no more arguments, but got "x"

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        flag needs an argument: --file

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        invalid argument "x" for "--port": invalid digit found in string

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        'docker ecs-ship deploy' requires SHELL

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        conflicting options: cannot specify both --a and --b

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        --yes was given more than once

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        conflicting options: cannot specify both --host and --context

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        something new

        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Run 'docker ecs-ship deploy --help' for more information

        error: the environment variable ECS_SHIP_PROGRESS is "fancy", which is not one of auto, tty, plain, json, quiet
          hint:  set ECS_SHIP_PROGRESS to one of them, or unset it

        error: /a/ship.toml exists already
          hint:  name another file with --file, or replace it with --force

        error: there is no Dockerfile in /a
          hint:  run it in the folder of the repo; a Dockerfile is looked for three folders deep

        error: which service is not clear: jobs/api, jobs/web
          hint:  name it with --cluster and --service

        error: there is no service api
          hint:  check --cluster, --service, --region and --profile; `aws ecs list-services` shows what is there

        error: service api in cluster jobs is DRAINING
          hint:  check --cluster, --service and --region; a deploy updates services, it creates none

        error: there is no home folder to install into
          hint:  set HOME, or install for all users with --system

        error: cannot find out where this program is
          cause: permission denied
          hint:  run the program by its full path

        error: files of something else are in the way:
               /a/docker
               /b/docker-ecsship
          hint:  remove them, or run install again with --force to replace them

        error: /home/a/.docker/cli-plugins is a folder of docker plugins
          hint:  docker calls any program there whose name it does not accept an invalid plugin; choose another folder with --bin

        error: nothing is installed: there is no /a/install.json
          hint:  an installation for all users is removed with --system; one by a package manager, by that

        error: cannot understand the list of what was installed, /a/install.json
          cause: expected value at line 1 column 1
          hint:  remove /a/install.json and run install again

        error: cannot write /a
          cause: permission denied
          hint:  see whether you may write /a; --system needs root

        error: Docker's configuration `/home/a/.docker/config.json` was changed by somebody else meanwhile
          hint:  run it again; where the file is broken, repair it first: nothing in it was changed

        error: there is no other `docker` on PATH behind /a/docker
          hint:  install the Docker CLI, or use docker-ecs-ship without it

        error: cannot start /a/docker
          cause: permission denied
          hint:  see whether /a/docker is a program for this machine

        error: cannot find out where this program is
          cause: permission denied
          hint:  run docker-ecs-ship install again

        error: cannot read /a/ship.toml
          cause: permission denied
          hint:  see whether /a/ship.toml exists and who may use it

        error: cannot write the output
          cause: permission denied
          hint:  see whether there is room where stdout and stderr go

        error: cannot start the asynchronous runtime
          cause: permission denied
          hint:  the system refused a thread or a file descriptor; see `ulimit -a`

        error: the working folder is gone
          cause: permission denied
          hint:  change to a folder that exists

        error: there is no home folder to keep the sandbox's state in
          hint:  set HOME, or ECS_SHIP_STATE_DIR

        error: `--progress tty` needs a terminal on standard error, and there is none
          hint:  leave --progress out, or use --progress plain

        error: cannot listen for signals
          cause: permission denied
          hint:  the system refused a signal handler; see `ulimit -a`

        error: this engine has no BuildKit, and `builder = "engine"` asks for it
          hint:  set `builder = "classic"` or `"auto"`, or use a Docker Engine

        error: the task definition `/a/task.json` is JSON, but not an object
          hint:  it should be what `aws ecs register-task-definition --cli-input-json` takes: an object with `family` and `containerDefinitions`

        error: ghcr.io is not a registry of ECR
          hint:  log in there with `docker login ghcr.io`; builds take what docker knows

        error: environment production is for account 222222222222, and these credentials (profile jobs) belong to 111111111111
          hint:  name a profile of account 222222222222 with --profile, or in [environments.production]
          hint:  see who you are with `aws sts get-caller-identity`

        error: Docker's configuration `/home/a/.docker/config.json` is not what docker writes (line 3)
          hint:  repair the file, or log in without --docker: this program needs nothing from docker

        error: `docker-credential-pass` refuses 111111111111.dkr.ecr.eu-west-1.amazonaws.com: pass not initialized
          hint:  the words are the helper's own; it is named by `credHelpers` or `credsStore` in docker's config.json

        error: the tokens cannot be forgotten
          cause: permission denied
          hint:  see whether you may write to the folder `credentials` in the state folder

        error: the sandbox ended before it answered; its last words:
               address in use
          hint:  run `docker-ecs-ship sandbox up --foreground` to see it happen

        error: the sandbox does not run
          hint:  start it with `docker-ecs-ship sandbox up`; `deploy` starts it by itself

        error: which service? One is rehearsed at a time, and there are api, web
          hint:  name it: `docker-ecs-ship rehearse api`

        error: worker has no load balancer, so there is nothing to put load on
          hint:  a rehearsal counts lost requests; a service that takes its work from a queue has none to lose

        error: the containers of api need secrets that only AWS has: KEY
          hint:  give them values that let the program start, in ship.toml:
                 [services.api.sandbox.environment]
                 KEY = "…"

        error: the image to start from, jobs/api:41, is not on this engine and cannot be pulled
          hint:  `docker pull jobs/api:41` it, or name another image or revision with --from

        error: revision 41 cannot be looked up: the live service could not be read
          hint:  sign in to AWS, or name an image that is on this engine with --from

        error: revision api:41 has no container `app`
          hint:  name another revision with --from

        error: cannot use the folder /a
          cause: permission denied
          hint:  see whether you may write /a and whether the disk is full

        error: the balancer of the rehearsal has no address
          hint:  something took its port; run the same command again

        refused: cluster jobs does not exist in eu-west-1
          hint:  check `cluster` and `region`; `aws ecs list-clusters --region eu-west-1` shows what is there, `aws ecs create-cluster --cluster-name jobs --region eu-west-1` creates it
        nothing was changed

        error: not confirmed; nothing was changed
          hint:  answer y, or give --yes

        error: this asks before it acts, and there is nobody to ask
          hint:  give --yes, as in a CI job

        error: cancelled; nothing was changed
          hint:  run the same command again

        error: line 3 of /a/run.jsonl is not an event
          cause: expected value at line 1 column 1
          hint:  give a file that `--record` wrote

        error: roll out web failed
          cause: this engine has no BuildKit, and `builder = "engine"` asks for it
          live:  web: web:41 is serving
          hint:  set `builder = "classic"` or `"auto"`, or use a Docker Engine

        error: roll out web failed
          cause: image sha256:3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f is not in jobs/api any more
          live:  web: web:41 is serving
          hint:  a lifecycle policy may have removed it: build and deploy the environment it comes from again

        error: the image that staging runs cannot be read
          cause: image sha256:3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f is not in jobs/api any more
          hint:  a lifecycle policy may have removed it: build and deploy the environment it comes from again

        error: roll out web failed
          cause: `/app/selftest` ended with 3, and not with 0
          | one
          | two
          live:  web: web:41 is serving
          hint:  its last lines say why
          hint:  nothing was pushed; what was built is in the engine's cache

        error: roll out web failed
          cause: task 01234567 ended with 1: container web ended by itself with exit code 1
          live:  web: web:41 is serving
          hint:  see its lines again: `docker ecs-ship logs --environment production web --task 0123456789abcdef0123456789abcdef`
          hint:  nothing was rolled out; the revision that was registered stays, and the next deploy makes another

        error: roll out web failed
          cause: cancelled
          live:  web: web:41 is serving
          hint:  run the same command again; what was done already is found and skipped

        error: roll out web failed
          cause: stopped watching; ECS goes on with web:42
          live:  web: web:41 is serving
          hint:  watch on: `docker ecs-ship watch --environment production web`
          hint:  take it back: `docker ecs-ship rollback --environment production web`

        error: roll out web failed
          cause: rolled back by ECS: tasks failed to start
          live:  web: web:41 is serving
          hint:  look at what runs now: `docker ecs-ship status --environment production web`
          hint:  ECS told no reason; the service's events in `aws ecs describe-services` may
        "#);
    }

    #[test]
    fn every_failure_has_room_on_a_terminal_and_loses_nothing() {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for failure in Failure::examples() {
            let whole = plain(&failure, Spelling::STANDALONE, Room::Endless);
            let is_drawn = matches!(failure, Failure::Usage(_) | Failure::Config { .. } | Failure::Scenario { .. });
            for columns in [60, 80, 120] {
                let set = plain(&failure, Spelling::STANDALONE, Room::Columns(columns));
                assert_eq!(squeezed(&set), squeezed(&whole), "at {columns}");
                for line in set.lines().filter(|_| !is_drawn) {
                    let text = line.strip_prefix("  hint:  ").unwrap_or(line).trim_start();
                    let is_one_word = prose::wrap(text, 1).len() == 1;
                    let is_evidence = text.starts_with("| ");
                    assert!(prose::columns(line) <= columns || is_one_word || is_evidence, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn sentences_are_broken_and_commands_are_not() {
        let refusals = vec![Refusal::RepositoryMissing {
            image: Key::new("api"),
            repository: "jobs/api".to_owned(),
            region: "eu-west-1".to_owned(),
        }];
        let failure = Failure::Refused(refusals);
        let at = |columns| plain(&failure, Spelling::STANDALONE, Room::Columns(columns));
        insta::assert_snapshot!(at(60), @"
        refused: repository jobs/api does not exist in eu-west-1
          hint:  `aws ecr create-repository --repository-name jobs/api --region eu-west-1`
                 creates it, or `create_repository = true` in
                 [images.api] lets the deploy do so
        nothing was changed
        ");
        insta::assert_snapshot!(at(80), @"
        refused: repository jobs/api does not exist in eu-west-1
          hint:  `aws ecr create-repository --repository-name jobs/api --region eu-west-1`
                 creates it, or `create_repository = true` in [images.api] lets the
                 deploy do so
        nothing was changed
        ");
        insta::assert_snapshot!(at(120), @"
        refused: repository jobs/api does not exist in eu-west-1
          hint:  `aws ecr create-repository --repository-name jobs/api --region eu-west-1` creates it, or
                 `create_repository = true` in [images.api] lets the deploy do so
        nothing was changed
        ");
        insta::assert_snapshot!(plain(&failure, Spelling::STANDALONE, Room::Endless), @"
        refused: repository jobs/api does not exist in eu-west-1
          hint:  `aws ecr create-repository --repository-name jobs/api --region eu-west-1` creates it, or `create_repository = true` in [images.api] lets the deploy do so
        nothing was changed
        ");
    }

    #[test]
    fn every_failure_is_one_line_of_json_that_says_the_same() {
        for failure in Failure::examples() {
            let line = json(&failure, Spelling::STANDALONE);
            assert_eq!(line.lines().count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
            assert_eq!(value["error"]["code"], failure.code());
            assert_eq!(value["error"]["exit"], failure.exit().code());
            assert_eq!(value["error"]["message"], failure.to_string());
        }
    }

    #[test]
    fn a_chain_never_repeats_itself() {
        #[derive(Debug, thiserror::Error)]
        #[error("dialing failed: {0}")]
        struct Repeats(#[source] std::io::Error);

        let inner = std::io::Error::other("connection refused");
        let failure = Failure::Output(std::io::Error::other(Repeats(inner)));
        assert_eq!(causes(&failure), ["dialing failed: connection refused"]);
    }

    #[test]
    fn a_panic_is_called_a_bug() {
        let text = bug("index out of bounds", Some("src/x.rs:1:2"));
        assert!(text.starts_with("error: this is a bug in docker-ecs-ship "), "{text}");
        assert!(text.contains("index out of bounds") && text.contains("src/x.rs:1:2"), "{text}");
    }
}
