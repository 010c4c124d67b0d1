//! Everything that is read from the process, once: arguments, environment, folders, terminals.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use crate::env;

/// The process as it was found.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// With the program's own name first.
    pub arguments: Vec<OsString>,
    pub variables: Variables,
    /// The working folder; an error where it has been removed under our feet.
    folder: Result<PathBuf, io::ErrorKind>,
    pub home: Option<PathBuf>,
    pub stdin: Stream,
    pub stdout: Stream,
    pub stderr: Stream,
    /// Columns and rows of the terminal on stderr, or on stdout where stderr has none.
    pub terminal_size: Option<TerminalSize>,
}

/// What a standard stream is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Terminal,
    /// A file, a pipe, nothing.
    Redirected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

/// The environment, in the order it came: a start looks up a handful of names, which costs less than
/// sorting them all.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// The value as text; an empty one counts as none, as docker and the AWS tools take it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_os(name)?.to_str()
    }

    /// The value as it is, for paths; an empty one counts as none.
    #[must_use]
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        // The first of two of one name, as the C library finds it.
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_os_str()).filter(|value| !value.is_empty())
    }

    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get_os(name).map(PathBuf::from)
    }

    /// What can be said as text, for parts that look up names of the user's choice.
    #[must_use]
    pub fn to_text(&self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .rev()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
            .collect()
    }
}

impl<Name: Into<OsString>, Value: Into<OsString>> FromIterator<(Name, Value)> for Variables {
    fn from_iter<Pairs: IntoIterator<Item = (Name, Value)>>(pairs: Pairs) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The name of our own folders.
const OWN: &str = "docker-ecs-ship";

impl Surroundings {
    /// Looks around.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn read() -> Self {
        let stream = |is_terminal| if is_terminal { Stream::Terminal } else { Stream::Redirected };
        Self {
            arguments: std::env::args_os().collect(),
            variables: std::env::vars_os().collect(),
            folder: std::env::current_dir().map_err(|error| error.kind()),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            stdin: stream(io::stdin().is_terminal()),
            stdout: stream(io::stdout().is_terminal()),
            stderr: stream(io::stderr().is_terminal()),
            terminal_size: terminal_size(),
        }
    }

    /// The working folder.
    pub fn folder(&self) -> io::Result<&Path> {
        self.folder.as_deref().map_err(|kind| io::Error::from(*kind))
    }

    /// Where docker keeps its configuration, when `--config` does not say otherwise
    /// (cli/config/config.go: `DOCKER_CONFIG`, else `.docker` at home).
    #[must_use]
    pub fn docker_config(&self) -> Option<PathBuf> {
        self.variables.path(env::DOCKER_CONFIG).or_else(|| Some(self.home.as_ref()?.join(".docker")))
    }

    /// Where the sandbox keeps its state and logs.
    #[must_use]
    pub fn state_folder(&self) -> Option<PathBuf> {
        self.variables.path(env::ECS_SHIP_STATE_DIR).or_else(|| {
            if cfg!(windows) {
                Some(self.local_app_data()?.join(OWN).join("state"))
            } else if cfg!(target_os = "macos") {
                Some(self.home.as_ref()?.join("Library/Application Support").join(OWN))
            } else {
                Some(self.xdg(env::XDG_STATE_HOME, ".local/state")?.join(OWN))
            }
        })
    }

    /// The folder of user data, with those of other programs beside ours.
    #[must_use]
    pub fn data_home(&self) -> Option<PathBuf> {
        if cfg!(windows) { self.local_app_data() } else { self.xdg(env::XDG_DATA_HOME, ".local/share") }
    }

    /// The folder of user configuration, with those of other programs beside ours.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        if cfg!(windows) { self.local_app_data() } else { self.xdg(env::XDG_CONFIG_HOME, ".config") }
    }

    fn local_app_data(&self) -> Option<PathBuf> {
        self.variables.path(env::LOCALAPPDATA).or_else(|| Some(self.home.as_ref()?.join("AppData").join("Local")))
    }

    /// A relative path in these variables is to be ignored (XDG Base Directory Specification).
    fn xdg(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let named = self.variables.path(variable).filter(|path| path.is_absolute());
        named.or_else(|| Some(self.home.as_ref()?.join(under_home)))
    }

    /// Surroundings made up for a test.
    #[cfg(test)]
    #[must_use]
    pub fn for_test(home: &Path, variables: Variables) -> Self {
        Self {
            arguments: vec!["docker-ecs-ship".into()],
            variables,
            folder: Ok(home.to_owned()),
            home: Some(home.to_owned()),
            stdin: Stream::Redirected,
            stdout: Stream::Redirected,
            stderr: Stream::Redirected,
            terminal_size: None,
        }
    }
}

/// Columns and rows of the terminal as it is now.
#[cfg(unix)]
pub(crate) fn terminal_size() -> Option<TerminalSize> {
    let size =
        rustix::termios::tcgetwinsize(io::stderr()).or_else(|_| rustix::termios::tcgetwinsize(io::stdout())).ok()?;
    // A pseudo terminal nobody has given a size says 0.
    (size.ws_col > 0 && size.ws_row > 0).then_some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
}

/// Windows tells its size through calls that need `unsafe`; faces fall back to 80 columns.
#[cfg(not(unix))]
pub(crate) fn terminal_size() -> Option<TerminalSize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_none() {
        let variables: Variables = [("A", ""), ("B", "x")].into_iter().collect();
        assert_eq!(variables.get("A"), None);
        assert_eq!(variables.get("B"), Some("x"));
        assert_eq!(variables.get("C"), None);
    }

    #[test]
    fn of_two_variables_of_one_name_the_first_counts() {
        let variables: Variables = [("A", "first"), ("A", "second")].into_iter().collect();
        assert_eq!(variables.get("A"), Some("first"));
        assert_eq!(variables.to_text()["A"], "first");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn folders_follow_the_platform_and_its_variables() {
        let home = Path::new("/home/a");
        let plain = Surroundings::for_test(home, Variables::default());
        assert_eq!(plain.state_folder(), Some("/home/a/.local/state/docker-ecs-ship".into()));
        assert_eq!(plain.data_home(), Some("/home/a/.local/share".into()));
        assert_eq!(plain.docker_config(), Some("/home/a/.docker".into()));
        let moved = [("XDG_STATE_HOME", "/s"), ("XDG_DATA_HOME", "relative"), ("DOCKER_CONFIG", "conf")];
        let moved = Surroundings::for_test(home, moved.into_iter().collect());
        assert_eq!(moved.state_folder(), Some("/s/docker-ecs-ship".into()));
        assert_eq!(moved.data_home(), Some("/home/a/.local/share".into()));
        assert_eq!(moved.docker_config(), Some("conf".into()));
        let named = Surroundings::for_test(home, [("ECS_SHIP_STATE_DIR", "/mine")].into_iter().collect());
        assert_eq!(named.state_folder(), Some("/mine".into()));
    }
}
