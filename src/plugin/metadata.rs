//! What docker asks every plugin on every `docker --help` and every TAB: who it is.

use std::ffi::OsStr;

use super::face::Face;

/// The word docker calls a plugin with to hear about it.
pub const QUESTION: &str = "docker-cli-plugin-metadata";

/// The file as it is committed; `${version}` stands for the version of the build.
pub const TEMPLATE: &str = include_str!("../../plugin-metadata/metadata.json");

/// Whether a process with this name and first argument is asked who it is. Neither docker's stand-in
/// nor the credential helper ever is.
#[must_use]
pub fn is_asked(own_name: &OsStr, first: &OsStr) -> bool {
    first == QUESTION
        && match Face::of(own_name) {
            Face::Standalone | Face::Plugin { name: _ } => true,
            Face::Shim | Face::CredentialHelper => false,
        }
}

/// The answer, one field per line because packagers' tests grep it.
///
/// `SchemaVersion` stays 0.1.0: a Docker CLI up to 28.4 accepts no other.
#[must_use]
pub fn answer() -> String {
    TEMPLATE.replace("${version}", env!("CARGO_PKG_VERSION"))
}

/// The one-line description of the tool, which completion shows beside our name.
#[must_use]
pub fn short_description() -> &'static str {
    // The file is ours and checked below; searching it costs less than a JSON parser's start.
    TEMPLATE
        .split_once("\"ShortDescription\": \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(description, _)| description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_for_the_plugin_by_any_name() {
        for (own_name, first, expected) in [
            ("docker-ecsship", QUESTION, true),
            ("/usr/libexec/docker/cli-plugins/docker-ship", QUESTION, true),
            ("docker-ecs-ship", QUESTION, true),
            ("docker-ecsship", "deploy", false),
            ("docker", QUESTION, false),
            ("docker-credential-ecs-ship", QUESTION, false),
        ] {
            assert_eq!(is_asked(OsStr::new(own_name), OsStr::new(first)), expected, "{own_name} {first}");
        }
    }

    #[test]
    fn docker_would_accept_the_answer() {
        let answer: serde_json::Value = serde_json::from_str(&answer()).expect("the answer is JSON");
        assert_eq!(answer["SchemaVersion"], "0.1.0");
        assert_ne!(answer["Vendor"], "");
        assert_eq!(answer["Version"], format!("v{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(answer["ShortDescription"], short_description());
        assert_eq!(self::answer().lines().filter(|line| line.contains("\": \"")).count(), 5);
    }
}
