//! One binary, four faces: the file name it was started by says which.

use std::{ffi::OsStr, path::Path};

/// What the program is, by its own file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Face {
    /// `docker-ecs-ship`, and any name that is not one of the others.
    Standalone,
    /// `docker-ecsship`, or any other name that docker accepts for a plugin; `name` is what stands
    /// after `docker`.
    Plugin { name: String },
    /// `docker`: our stand-in before the real one.
    Shim,
    /// `docker-credential-ecs-ship`.
    CredentialHelper,
}

/// The word after `docker` that our shim answers.
pub const SHIM_WORD: &str = "ecs-ship";
/// The file name of the standalone program.
pub const STANDALONE: &str = "docker-ecs-ship";
/// The file name of the plugin; docker accepts no dash in what follows `docker-`.
pub const PLUGIN: &str = "docker-ecsship";
/// The file name of the shim.
pub const SHIM: &str = "docker";
/// The file name of the credential helper; `credHelpers` in docker's configuration says `ecs-ship`.
pub const CREDENTIAL_HELPER: &str = "docker-credential-ecs-ship";

impl Face {
    /// Reads the face from the first argument of the process.
    ///
    /// The argument and not the path of the executable: the faces are links to one file.
    #[must_use]
    pub fn of(argument: &OsStr) -> Self {
        let name = Path::new(argument).file_name().and_then(OsStr::to_str).unwrap_or_default();
        let name = match name.len().checked_sub(4).and_then(|at| name.split_at_checked(at)) {
            Some((stem, extension)) if extension.eq_ignore_ascii_case(".exe") => stem,
            Some(_) | None => name,
        };
        match name {
            SHIM => Self::Shim,
            CREDENTIAL_HELPER => Self::CredentialHelper,
            _ => match name.strip_prefix("docker-") {
                Some(word) if is_plugin_name(word) => Self::Plugin { name: word.to_owned() },
                Some(_) | None => Self::Standalone,
            },
        }
    }
}

/// `^[a-z][a-z0-9]*$`, docker's rule (cli-plugins/manager/plugin.go, `isValidPluginName`).
fn is_plugin_name(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_lowercase())
        && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_says_the_face() {
        let plugin = |name: &str| Face::Plugin { name: name.to_owned() };
        for (argument, face) in [
            ("docker-ecs-ship", Face::Standalone),
            ("/usr/bin/docker-ecs-ship", Face::Standalone),
            ("docker-ecs-ship.exe", Face::Standalone),
            ("docker-ecs-ship-0.1.0", Face::Standalone),
            ("ship", Face::Standalone),
            ("", Face::Standalone),
            ("docker-", Face::Standalone),
            ("docker-9ship", Face::Standalone),
            ("/home/a/.docker/cli-plugins/docker-ecsship", plugin("ecsship")),
            ("docker-ecsship.EXE", plugin("ecsship")),
            ("docker-ship", plugin("ship")),
            ("docker", Face::Shim),
            ("./docker.exe", Face::Shim),
            ("docker-credential-ecs-ship", Face::CredentialHelper),
        ] {
            assert_eq!(Face::of(OsStr::new(argument)), face, "{argument}");
        }
    }

    #[test]
    fn our_own_plugin_name_is_one_docker_accepts_and_the_standalone_name_is_not() {
        assert!(PLUGIN.strip_prefix("docker-").is_some_and(is_plugin_name));
        assert!(!STANDALONE.strip_prefix("docker-").is_some_and(is_plugin_name));
    }
}
