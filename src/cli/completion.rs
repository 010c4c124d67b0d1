//! Shell completion: the hidden verb that prints the scripts, and the answer to a TAB.

use std::{
    fs,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
};

use super::{
    Door,
    args::{self, Shell},
};
use crate::{
    config::{self, file::FILE_NAME},
    env,
    exit::Exit,
    failure::Failure,
    plugin::complete::{self, Descriptions, Known, Names},
};

mod live;

/// The script for a shell, as it is installed.
#[must_use]
pub const fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("../../completions/docker-ecs-ship.bash"),
        Shell::Zsh => include_str!("../../completions/_docker-ecs-ship"),
        Shell::Fish => include_str!("../../completions/docker-ecs-ship.fish"),
        Shell::PowerShell => include_str!("../../completions/docker-ecs-ship.ps1"),
    }
}

pub fn run(args: &args::Completion, door: &Door) -> Result<Exit, Failure> {
    door.print(script(args.shell))?;
    Ok(Exit::Done)
}

/// Answers `__complete`.
pub fn answer(words: &[String], door: &Door) -> Result<Exit, Failure> {
    // The process ends with this answer: to take the tree apart first would be work for nobody.
    let command = ManuallyDrop::new(args::sketch(&door.name));
    let known = Known { names: &|file| names(file, door), live: &|question| live::names(question, door) };
    let answer = complete::complete(&command, words, known);
    door.print(&answer.text(descriptions(door)))?;
    door.tell(&format!("Completion ended with directive: {}\n", answer.directive.name()))?;
    Ok(Exit::Done)
}

/// Docker's own switches, and cobra's for all its programs; `false` as Go's `strconv.ParseBool` reads it.
fn descriptions(door: &Door) -> Descriptions {
    let variables = &door.surroundings.variables;
    let off = |name| matches!(variables.get(name), Some("0" | "f" | "F" | "false" | "FALSE" | "False"));
    let disabled = variables.get(env::DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION).is_some();
    if disabled || off(env::DOCKER_COMPLETION_DESCRIPTIONS) || off(env::COBRA_COMPLETION_DESCRIPTIONS) {
        Descriptions::Hidden
    } else {
        Descriptions::Shown
    }
}

/// The names in the file that a run would read. A TAB in a file that is being edited must not fail, so
/// whatever cannot be read has no names.
fn names(file: Option<&Path>, door: &Door) -> Names {
    let text = find(file, door).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let config::Names { environments, services, images: _ } = config::names(&text);
    Names { environments, services }
}

fn find(file: Option<&Path>, door: &Door) -> Option<PathBuf> {
    let folder = door.surroundings.folder().ok()?;
    let named = file.map(Path::to_owned).or_else(|| door.surroundings.variables.path(env::ECS_SHIP_FILE));
    named.map_or_else(
        || folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file()),
        |named| Some(folder.join(named)),
    )
}
