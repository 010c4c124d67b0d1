//! Where docker finds its buildx, and whether that one is new enough.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::plan::observed::WhyMissing;

const NAME: &str = "docker-buildx";
/// The first with `--progress rawjson` (BuildKit 0.13).
const LEAST: (u32, u32) = (0, 13);
/// docker/cli, cli-plugins/manager, `defaultSystemPluginDirs`.
const SYSTEM: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// What a plugin says to `docker-cli-plugin-metadata`.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default, rename = "Version")]
    version: String,
}

#[derive(Default, Deserialize)]
struct ConfigFile {
    #[serde(default, rename = "cliPluginsExtraDirs")]
    extra: Vec<PathBuf>,
}

/// The plugin that docker would take: the first in its folders, in their order. Otherwise the folders.
pub(in crate::docker::build) fn find(docker_config: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let text = fs::read(docker_config.join("config.json")).unwrap_or_default();
    let ConfigFile { extra } = serde_json::from_slice(&text).unwrap_or_default();
    let folders = extra.into_iter().chain([docker_config.join("cli-plugins")]).chain(SYSTEM.map(PathBuf::from));
    let looked: Vec<PathBuf> = folders.collect();
    let found = looked.iter().map(|folder| folder.join(NAME)).find(|path| path.is_file());
    found.ok_or(looked)
}

/// Why the builds of an image cannot have it.
pub(in crate::docker::build) fn lacks(docker_config: &Path) -> Option<WhyMissing> {
    let path = match find(docker_config) {
        Ok(path) => path,
        Err(looked) => return Some(WhyMissing::NoPlugin { looked }),
    };
    let broken = |why: String| Some(WhyMissing::BrokenPlugin { path: path.clone(), why });
    let answer = Command::new(&path).arg("docker-cli-plugin-metadata").stdin(Stdio::null()).output();
    let answer = match answer {
        Ok(answer) if answer.status.success() => answer.stdout,
        Ok(answer) => return broken(format!("ends with {}", answer.status)),
        Err(error) => return broken(error.to_string()),
    };
    let Ok(Metadata { version }) = serde_json::from_slice(&answer) else {
        return broken("does not say what it is".to_owned());
    };
    // One that was built from a work tree has no number, and is new.
    (number(&version)? < LEAST).then(|| WhyMissing::OldPlugin { path: path.clone(), version, least: LEAST })
}

/// `v0.36.1`, `0.29.1+ds1`.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(str::parse);
    let number = (parts.next()?.ok()?, parts.next()?.ok()?);
    // What Go writes where nobody has said a version.
    (number != (0, 0)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a program: what this one writes to may be open in a child of another test, and is then no program to start.
    fn put(folder: &Path, script: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let (new, path) = (folder.join("new"), folder.join(NAME));
        fs::write(&new, script).unwrap();
        let installed = Command::new("install").args(["-m", "755"]).args([&new, &path]).status().unwrap();
        assert!(installed.success());
        path
    }

    #[test]
    fn the_folders_of_the_configuration_come_first() {
        let home = tempfile::tempdir().unwrap();
        let (config, extra) = (home.path().join("docker"), home.path().join("extra"));
        let own = put(&config.join("cli-plugins"), "");
        assert_eq!(find(&config), Ok(own));
        fs::write(config.join("config.json"), serde_json::json!({ "cliPluginsExtraDirs": [extra] }).to_string())
            .unwrap();
        let first = put(&extra, "");
        assert_eq!(find(&config), Ok(first));
        fs::remove_dir_all(&extra).unwrap();
        fs::remove_dir_all(config.join("cli-plugins")).unwrap();
        if let Err(looked) = find(&config) {
            assert_eq!(looked[..2], [extra, config.join("cli-plugins")]);
        }
    }

    #[test]
    fn one_that_is_too_old_or_broken_is_told() {
        let config = tempfile::tempdir().unwrap();
        let folder = config.path().join("cli-plugins");
        let answers = |answer: &str| {
            put(&folder, &format!("#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] || exit 9\n{answer}\n"));
            lacks(config.path())
        };
        for good in ["v0.36.1", "0.13.1+ds1", "v1.0.0-rc1", "0.0.0+unknown", "f3a2c1d"] {
            assert_eq!(answers(&format!("echo '{{\"Version\":\"{good}\"}}'")), None, "{good}");
        }
        assert!(matches!(
            answers("echo '{\"Version\":\"v0.12.1\"}'"),
            Some(WhyMissing::OldPlugin { version, least, .. }) if version == "v0.12.1" && least == (0, 13)
        ));
        for bad in ["exit 3", "echo not json"] {
            assert!(matches!(answers(bad), Some(WhyMissing::BrokenPlugin { .. })), "{bad}");
        }
    }
}
