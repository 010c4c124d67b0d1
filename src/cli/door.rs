//! What every verb is handed: the surroundings, docker's flags, the way to the two streams.

use std::{io::Write as _, path::PathBuf};

use clap::ValueEnum as _;

use super::{
    args::Progress,
    output::Output,
    surroundings::{Stream, Surroundings},
};
use crate::{
    env,
    failure::{Failure, VariableError},
    plugin::globals::Globals,
};

/// Where a verb comes in.
#[derive(Debug, Clone)]
pub struct Door {
    pub surroundings: Surroundings,
    /// Docker's own flags, as they stood before our name.
    pub globals: Globals,
    /// How the user spells us: `docker ecs-ship`, for hints that can be typed.
    pub name: String,
}

impl Door {
    /// Data goes here.
    #[must_use]
    pub const fn stdout(&self) -> Output {
        Output::Stdout
    }

    /// Talk goes here.
    #[must_use]
    pub const fn stderr(&self) -> Output {
        Output::Stderr
    }

    /// Writes data.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.stdout().write_all(text.as_bytes()).map_err(Failure::Output)
    }

    /// Writes talk.
    pub fn tell(&self, text: &str) -> Result<(), Failure> {
        self.stderr().write_all(text.as_bytes()).map_err(Failure::Output)
    }

    /// Docker's configuration folder, by flag, environment or custom.
    #[must_use]
    pub fn docker_config(&self) -> Option<PathBuf> {
        self.globals.config.clone().or_else(|| self.surroundings.docker_config())
    }

    /// How to show progress: the flag, else our variable, else the one shared with `docker build`. What is
    /// asked for by name is obeyed; `auto` draws over no terminal that nobody looks at.
    pub fn progress(&self, typed: Option<Progress>) -> Result<Progress, Failure> {
        Ok(match self.wanted_progress(typed)? {
            Progress::Auto if !self.redraws() => Progress::Plain,
            wanted => wanted,
        })
    }

    fn wanted_progress(&self, typed: Option<Progress>) -> Result<Progress, Failure> {
        let variables = &self.surroundings.variables;
        if let Some(typed) = typed {
            return Ok(typed);
        }
        if let Some(value) = variables.get(env::ECS_SHIP_PROGRESS) {
            let all = Progress::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
            return Progress::from_str(value, false).map_err(|_| {
                Failure::Variable(VariableError {
                    name: env::ECS_SHIP_PROGRESS,
                    value: value.to_owned(),
                    expected: all.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", "),
                })
            });
        }
        Ok(match variables.get(env::BUILDKIT_PROGRESS) {
            Some("tty") => Progress::Tty,
            Some("plain") => Progress::Plain,
            Some("quiet" | "none") => Progress::Quiet,
            Some("rawjson") => Progress::Json,
            // What docker build would refuse there is not ours to refuse.
            Some(_) | None => Progress::Auto,
        })
    }

    /// Whether questions are answered beforehand: by `--yes`, or by our variable.
    #[must_use]
    pub fn agreed(&self, yes: bool) -> bool {
        yes || self.surroundings.variables.get(env::ECS_SHIP_YES).is_some()
    }

    /// Whether there is somebody to ask. CI systems that give a job a terminal have nobody behind it, and a
    /// question would wait until the job is ended.
    #[must_use]
    pub fn answers(&self) -> bool {
        let Surroundings { stdin, stderr, .. } = self.surroundings;
        stdin == Stream::Terminal && stderr == Stream::Terminal && !self.in_ci()
    }

    /// Whether a terminal, where there is one, is looked at and can be drawn over.
    fn redraws(&self) -> bool {
        self.surroundings.variables.get(env::TERM) != Some("dumb") && !self.in_ci()
    }

    fn in_ci(&self) -> bool {
        !matches!(self.surroundings.variables.get(env::CI), None | Some("0" | "false"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn door(variables: &[(&str, &str)]) -> Door {
        let variables = variables.iter().copied().collect();
        let surroundings = Surroundings::for_test(Path::new("/home/a"), variables);
        Door { surroundings, globals: Globals::default(), name: "docker ecs-ship".to_owned() }
    }

    #[test]
    fn progress_is_taken_from_the_flag_then_ours_then_buildkits() {
        let buildkit = ("BUILDKIT_PROGRESS", "plain");
        let ours = ("ECS_SHIP_PROGRESS", "quiet");
        for (typed, variables, expected) in [
            (Some(Progress::Json), vec![buildkit, ours], Progress::Json),
            (None, vec![buildkit, ours], Progress::Quiet),
            (None, vec![buildkit], Progress::Plain),
            (None, vec![("BUILDKIT_PROGRESS", "fancy")], Progress::Auto),
            (None, vec![("BUILDKIT_PROGRESS", "rawjson")], Progress::Json),
            (None, vec![], Progress::Auto),
            (None, vec![("TERM", "xterm"), ("CI", "false")], Progress::Auto),
            (None, vec![("TERM", "dumb")], Progress::Plain),
            (None, vec![("CI", "true")], Progress::Plain),
            (None, vec![("CI", "true"), ours], Progress::Quiet),
            (Some(Progress::Tty), vec![("CI", "true")], Progress::Tty),
            (Some(Progress::Auto), vec![("CI", "true")], Progress::Plain),
            (None, vec![("TERM", "dumb"), ("ECS_SHIP_PROGRESS", "auto")], Progress::Plain),
            (None, vec![("CI", "true"), ("ECS_SHIP_PROGRESS", "tty")], Progress::Tty),
        ] {
            assert_eq!(door(&variables).progress(typed).expect("it is understood"), expected, "{variables:?}");
        }
        let error = door(&[("ECS_SHIP_PROGRESS", "fancy")]).progress(None).expect_err("it is not understood");
        assert!(error.to_string().contains("auto, tty, plain, json, quiet"), "{error}");
    }

    #[test]
    fn nobody_is_asked_where_nobody_looks() {
        for (variables, streams, expected) in [
            (vec![], [Stream::Terminal; 2], true),
            (vec![("CI", "false")], [Stream::Terminal; 2], true),
            (vec![("TERM", "dumb")], [Stream::Terminal; 2], true),
            (vec![("CI", "true")], [Stream::Terminal; 2], false),
            (vec![], [Stream::Redirected, Stream::Terminal], false),
            (vec![], [Stream::Terminal, Stream::Redirected], false),
        ] {
            let mut door = door(&variables);
            [door.surroundings.stdin, door.surroundings.stderr] = streams;
            assert_eq!(door.answers(), expected, "{variables:?} {streams:?}");
        }
    }

    #[test]
    fn who_says_yes_beforehand_is_not_asked() {
        for (yes, variables, expected) in [
            (false, vec![], false),
            (true, vec![], true),
            (false, vec![("ECS_SHIP_YES", "1")], true),
            (false, vec![("ECS_SHIP_YES", "")], false),
        ] {
            assert_eq!(door(&variables).agreed(yes), expected, "{yes} {variables:?}");
        }
    }

    #[test]
    fn dockers_folder_is_the_flags_then_the_variables_then_at_home() {
        let mut door = door(&[]);
        assert_eq!(door.docker_config(), Some("/home/a/.docker".into()));
        door.globals.config = Some("/c".into());
        assert_eq!(door.docker_config(), Some("/c".into()));
    }
}
