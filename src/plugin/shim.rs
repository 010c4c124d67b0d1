//! Our stand-in for `docker`: finds the next `docker` on PATH and becomes it.
//!
//! Most commands of the day go through here on their way to somewhere else, so nothing is set up:
//! a walk over PATH, and `exec`.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{face, metadata};
use crate::env;

/// Why the real docker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    #[error("there is no other `docker` on PATH behind {shim}", shim = shim.display())]
    NoDocker { shim: PathBuf },
    #[error("cannot start {program}", program = program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("cannot find out where this program is")]
    Own(#[source] io::Error),
}

/// The next `docker`, and what it has to be told.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    pub program: PathBuf,
    /// The shims passed so far, for [`env::ECS_SHIP_SHIMS_PASSED`].
    ///
    /// Two shims of two versions may both be on PATH; each would take the other for the real docker.
    /// Every one adds itself and passes over those that are listed, so the walk must end.
    pub passed: OsString,
}

impl Next {
    /// Looks for it on `path`. `own` is this executable and `passed` the list an earlier shim left.
    pub fn find(own: &Path, path: &OsStr, passed: &OsStr) -> Result<Self, ShimError> {
        let own = own.canonicalize().map_err(ShimError::Own)?;
        let mut shims: Vec<PathBuf> =
            std::env::split_paths(passed).filter(|shim| !shim.as_os_str().is_empty()).collect();
        if !shims.contains(&own) {
            shims.push(own.clone());
        }
        let file = format!("{}{}", face::SHIM, std::env::consts::EXE_SUFFIX);
        let program = std::env::split_paths(path)
            .map(|folder| folder.join(&file))
            .find(|candidate| is_program(candidate) && !shims.iter().any(|shim| is_same(candidate, shim)))
            .ok_or(ShimError::NoDocker { shim: own.clone() })?;
        // A path with a `:` in it cannot be listed; then only this shim knows itself.
        let passed = std::env::join_paths(&shims).unwrap_or_default();
        Ok(Self { program, passed })
    }

    /// A command that runs it with our arguments.
    fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env(env::ECS_SHIP_SHIMS_PASSED, &self.passed);
        command
    }

    /// Becomes it; returns only when that failed.
    #[cfg(unix)]
    pub fn become_it(&self, words: &[OsString]) -> Result<u8, ShimError> {
        use std::os::unix::process::CommandExt as _;

        // docker names itself in its messages by what it was called: as the user typed it.
        let source = self.command(words).arg0(face::SHIM).exec();
        Err(ShimError::Start { program: self.program.clone(), source })
    }

    /// Runs it and answers its exit code: this system cannot replace a process.
    #[cfg(not(unix))]
    pub fn become_it(&self, words: &[OsString]) -> Result<u8, ShimError> {
        let status = self
            .command(words)
            .status()
            .map_err(|source| ShimError::Start { program: self.program.clone(), source })?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }

    /// Asks it to complete `words` and puts our name among the answers.
    ///
    /// Answers what to print. Docker's own words come first and its directive stays the last line.
    pub fn complete_with_our_name(&self, words: &[OsString]) -> Result<String, ShimError> {
        let output = self
            .command(words)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|source| ShimError::Start { program: self.program.clone(), source })?;
        let described = words.first().is_some_and(|first| first == "__complete");
        Ok(with_our_name(&String::from_utf8_lossy(&output.stdout), described))
    }
}

fn with_our_name(answer: &str, described: bool) -> String {
    let mut lines: Vec<&str> = answer.lines().collect();
    // Without a directive docker has failed; `:4` keeps the shell from offering files.
    let directive = lines.pop_if(|last| last.starts_with(':')).unwrap_or(":4");
    let our_line = if described {
        format!("{}\t{}", face::SHIM_WORD, metadata::short_description())
    } else {
        face::SHIM_WORD.to_owned()
    };
    lines.push(&our_line);
    lines.push(directive);
    lines.join("\n") + "\n"
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Whether two paths lead to one file, through links of either kind.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(not(unix))]
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
        fs::write(path, "#!/bin/sh\n").expect("a file can be written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    }

    #[test]
    fn the_next_docker_is_neither_this_one_nor_a_link_to_it_nor_a_shim_already_passed() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| root.path().join(name);
        program(&at("here/docker-ecs-ship"));
        for link in ["shim", "again"] {
            fs::create_dir(at(link)).expect("a folder can be made");
            std::os::unix::fs::symlink(at("here/docker-ecs-ship"), at(link).join("docker")).expect("a link");
        }
        fs::create_dir(at("hard")).expect("a folder can be made");
        fs::hard_link(at("here/docker-ecs-ship"), at("hard/docker")).expect("a link");
        program(&at("other/docker"));
        fs::create_dir_all(at("folder/docker")).expect("a folder can be made");
        fs::create_dir(at("text")).expect("a folder can be made");
        fs::write(at("text/docker"), "not a program").expect("a file can be written");
        program(&at("real/docker"));
        let path =
            std::env::join_paths(["shim", "again", "hard", "folder", "text", "other", "real"].map(at)).expect("a PATH");

        let next = Next::find(&at("shim/docker"), &path, OsStr::new("")).expect("there is one");
        assert_eq!(next.program, at("other/docker"));
        assert_eq!(next.passed, at("here/docker-ecs-ship").canonicalize().expect("it is there").as_os_str());

        // `other` is a shim as well: it goes on to the real one and never back to the first.
        let next = Next::find(&at("other/docker"), &path, &next.passed).expect("there is one");
        assert_eq!(next.program, at("real/docker"));

        let lonely = std::env::join_paths(["shim"].map(at)).expect("a PATH");
        let error = Next::find(&at("shim/docker"), &lonely, OsStr::new("")).expect_err("there is none");
        assert!(matches!(error, ShimError::NoDocker { .. }), "{error}");
    }

    #[test]
    fn our_name_stands_before_the_directive() {
        let line = format!("ecs-ship\t{}", metadata::short_description());
        assert_eq!(with_our_name("ecsship\tShip\n:4\n", true), format!("ecsship\tShip\n{line}\n:4\n"));
        assert_eq!(with_our_name("exec\n:36\n", false), "exec\necs-ship\n:36\n");
        assert_eq!(with_our_name("", true), format!("{line}\n:4\n"));
    }
}
