//! A session into a container: the session-manager-plugin, called as the AWS CLI calls it, or `docker exec` where the
//! container runs on this machine's engine.

use std::{ffi::OsString, io, process::Stdio};

use tokio::process::Command;

use crate::aws::tasks::Session;

pub const PLUGIN: &str = "session-manager-plugin";

/// The variable that newer plugins take the session from, so that its token stands in no list of processes.
const RESPONSE: &str = "AWS_SSM_START_SESSION_RESPONSE";

/// The last version that takes the session as an argument only, by the AWS CLI's own comparison.
const LAST_WITHOUT_VARIABLE: [u32; 4] = [1, 2, 497, 0];

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{PLUGIN} is not installed")]
    NoPlugin,
    #[error("{PLUGIN} cannot be started")]
    Start(#[source] io::Error),
    #[error("the docker command cannot be started")]
    Docker(#[source] io::Error),
}

/// A plugin that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    version: Option<[u32; 4]>,
}

/// Looks for it on PATH and asks which it is.
pub async fn find() -> Result<Plugin, SessionError> {
    let answer = Command::new(PLUGIN).arg("--version").stdin(Stdio::null()).output().await;
    match answer {
        Ok(answer) => Ok(Plugin { version: version(&String::from_utf8_lossy(&answer.stdout)) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SessionError::NoPlugin),
        Err(error) => Err(SessionError::Start(error)),
    }
}

/// `1.2.553.0`.
fn version(text: &str) -> Option<[u32; 4]> {
    let parts: Vec<u32> = text.trim().split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    parts.try_into().ok()
}

impl Plugin {
    fn takes_variable(&self) -> bool {
        self.version.is_some_and(|version| version > LAST_WITHOUT_VARIABLE)
    }
}

/// Its words after its name, and the value of the variable where it takes one.
fn words<'a>(plugin: &Plugin, session: &'a Session) -> ([&'a str; 6], Option<&'a str>) {
    let Session { response, target, region, profile, endpoint } = session;
    let response = response.expose().as_str();
    let (first, variable) = if plugin.takes_variable() { (RESPONSE, Some(response)) } else { (response, None) };
    ([first, region, "StartSession", profile, target, endpoint], variable)
}

/// Hands the terminal over until the session ends, and gives the plugin's exit code.
pub async fn hold(plugin: &Plugin, session: &Session) -> Result<i32, SessionError> {
    let (words, variable) = words(plugin, session);
    let mut command = Command::new(PLUGIN);
    command.args(words);
    if let Some(response) = variable {
        command.env(RESPONSE, response);
    }
    let status = command.status().await.map_err(SessionError::Start)?;
    Ok(status.code().unwrap_or(-1))
}

/// Whether the command gets a terminal: a container has one only where there is one to hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    Present,
    Absent,
}

/// Runs a command in a container of this machine's engine until it ends, and gives its exit code. `flags` are docker's
/// own, as they stood before our name.
pub async fn enter(
    flags: &[OsString],
    container: &str,
    words: &[String],
    terminal: Terminal,
) -> Result<i32, SessionError> {
    let how = match terminal {
        Terminal::Present => "--interactive --tty",
        Terminal::Absent => "--interactive",
    };
    let mut command = Command::new("docker");
    command.args(flags).arg("exec").args(how.split(' ')).arg(container).args(words);
    let status = command.status().await.map_err(SessionError::Docker)?;
    Ok(status.code().unwrap_or(-1))
}

/// One line for a shell of words that were typed as several: ECS takes a command as text and splits it again.
#[must_use]
pub fn line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    match words {
        // Typed as one, it is a line already.
        [one] => one.clone(),
        several => several.iter().map(quoted).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::{Plugin, line, version, words};
    use crate::{aws::tasks::Session, secret::Secret};

    fn session() -> Session {
        Session {
            response: Secret::new(r#"{"sessionId":"s","streamUrl":"wss://x","tokenValue":"t"}"#.to_owned()),
            target: r#"{"Target":"ecs:shop_0123_0123-4567"}"#.to_owned(),
            region: "eu-west-1".to_owned(),
            profile: String::new(),
            endpoint: "https://ecs.eu-west-1.amazonaws.com".to_owned(),
        }
    }

    #[test]
    fn a_newer_plugin_gets_the_token_where_no_list_of_processes_shows_it() {
        let session = session();
        let rest = [
            "eu-west-1",
            "StartSession",
            "",
            r#"{"Target":"ecs:shop_0123_0123-4567"}"#,
            "https://ecs.eu-west-1.amazonaws.com",
        ];
        let response = session.response.expose().as_str();
        for (told, first, variable) in [
            ("1.2.553.0\n", "AWS_SSM_START_SESSION_RESPONSE", Some(response)),
            ("1.2.497.0", response, None),
            ("1.1.61.0", response, None),
            ("no number", response, None),
        ] {
            let (words, found) = words(&Plugin { version: version(told) }, &session);
            assert_eq!((words[0], &words[1..], found), (first, &rest[..], variable), "{told}");
        }
        assert!(!format!("{session:?}").contains("tokenValue"));
    }

    #[test]
    fn a_command_is_one_line_that_splits_into_the_same_words() {
        let words = |words: &[&str]| line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["sh"]), "sh");
        assert_eq!(words(&["rails console --sandbox"]), "rails console --sandbox");
        assert_eq!(words(&["sh", "-c", "echo it's $HOME"]), r"sh -c 'echo it'\''s $HOME'");
        assert_eq!(words(&["printf", ""]), "printf ''");
    }
}
