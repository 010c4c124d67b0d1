//! `install` and `uninstall`: the four faces on this machine.

use std::{ffi::OsStr, path::PathBuf};

use super::{
    Door,
    args::{self, Shell},
    completion,
    login::LoginError,
    sandbox,
};
use crate::{
    env,
    exit::Exit,
    failure::Failure,
    plugin::{
        helped::{self, HelperChange},
        install::{self, Change, Dialect, Folders, Foreign, InstallError, Scope, Scripts},
    },
    run::login::Registry,
};

pub fn install(args: &args::Install, door: &Door) -> Result<Exit, Failure> {
    let args::Install { system, bin, shim, force, credential_helper } = args;
    let registries = registries(credential_helper)?;
    let mut folders = folders(scope(*system), door)?;
    if let Some(bin) = bin {
        folders.bin = absolute(bin)?;
    }
    if let Some(shim) = shim {
        folders.shim = absolute(shim)?;
    }
    let own = std::env::current_exe().map_err(InstallError::Own)?;
    let path = door.surroundings.variables.get_os(env::PATH).unwrap_or(OsStr::new(""));
    let scripts = Scripts {
        bash: completion::script(Shell::Bash),
        zsh: completion::script(Shell::Zsh),
        fish: completion::script(Shell::Fish),
    };
    let placements = install::placements(&own, path, &folders, scripts)?;
    // Looked at before anything is made: a file of docker's that is broken stops it all.
    let docker = match (registries.is_empty(), door.docker_config()) {
        (true, _) => None,
        (false, None) => return Err(InstallError::NoHome.into()),
        (false, Some(folder)) => Some(helped::Change::plan(&absolute(&folder)?, &registries)?),
    };
    tell(&install::install(&placements, &folders, foreign(*force))?, door)?;
    if let Some(docker) = docker {
        let shown = docker.shown();
        if shown.is_empty() {
            door.tell("kept     docker's configuration: it asks the credential helper already\n")?;
        }
        tell(&shown.into_iter().map(Change::Helper).collect::<Vec<_>>(), door)?;
        docker.apply(&folders)?;
    }
    match install::path_line(&folders, path, dialect(door)) {
        Some(line) => {
            door.tell("\nAdd this line to your shell's start-up file:\n")?;
            // Alone on stdout, so that `eval "$(docker-ecs-ship install)"` does it for this shell.
            door.print(&format!("{line}\n"))?;
        }
        None => door.tell("\nPATH is set up already.\n")?,
    }
    Ok(Exit::Done)
}

pub fn uninstall(args: &args::Uninstall, door: &Door) -> Result<Exit, Failure> {
    let args::Uninstall { system, force } = args;
    let folders = folders(scope(*system), door)?;
    tell(&install::uninstall(&folders, foreign(*force))?, door)?;
    Ok(Exit::Done)
}

fn tell(changes: &[Change], door: &Door) -> Result<(), Failure> {
    for change in changes {
        door.tell(&match change {
            Change::Made(path) => format!("made     {}\n", path.display()),
            Change::Kept(path) => format!("kept     {}\n", path.display()),
            Change::Removed(path) => format!("removed  {}\n", path.display()),
            Change::Left(path) => format!("left     {}: changed since it was made\n", path.display()),
            Change::Helper(HelperChange { config, registry, from, to }) => {
                let word = |helper: &Option<String>| helper.as_deref().unwrap_or("none").to_owned();
                format!("changes  {}: the helper of {registry} from {} to {}\n", config.display(), word(from), word(to))
            }
        })?;
    }
    Ok(())
}

/// Docker looks a helper up by the host alone.
fn registries(typed: &[String]) -> Result<Vec<String>, Failure> {
    typed
        .iter()
        .map(|typed| {
            let host = typed.split_once("://").map_or(typed.as_str(), |(_, rest)| rest).trim_end_matches('/');
            let registry = host.to_owned();
            if Registry::of(host).is_some() || sandbox::may_be(host) {
                Ok(registry)
            } else {
                Err(LoginError::NotEcr { registry }.into())
            }
        })
        .collect()
}

const fn scope(system: bool) -> Scope {
    if system { Scope::System } else { Scope::User }
}

const fn foreign(force: bool) -> Foreign {
    if force { Foreign::Replace } else { Foreign::Refuse }
}

fn folders(scope: Scope, door: &Door) -> Result<Folders, Failure> {
    let surroundings = &door.surroundings;
    match scope {
        Scope::System => {
            let programs = if cfg!(windows) { surroundings.variables.path(env::PROGRAMFILES) } else { None };
            Ok(Folders::of_system(programs.as_deref()))
        }
        Scope::User => {
            let home = surroundings.home.as_deref().ok_or(InstallError::NoHome)?;
            let data = surroundings.data_home().ok_or(InstallError::NoHome)?;
            let config = surroundings.config_home().ok_or(InstallError::NoHome)?;
            let docker_config = door.docker_config().ok_or(InstallError::NoHome)?;
            Ok(Folders::of_user(home, &data, &config, &absolute(&docker_config)?))
        }
    }
}

/// Links and PATH need it.
fn absolute(path: &std::path::Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|source| Failure::Io { action: "resolve", path: path.to_owned(), source })
}

fn dialect(door: &Door) -> Dialect {
    let shell = door.surroundings.variables.path(env::SHELL);
    match shell.as_deref().and_then(std::path::Path::file_name) {
        Some(name) if name == "fish" => Dialect::Fish,
        None if cfg!(windows) => Dialect::PowerShell,
        Some(_) | None => Dialect::Posix,
    }
}
