//! What docker asks every plugin on every `docker --help` and every TAB: who it is.

/// The word docker calls a plugin with to hear about it.
pub const QUESTION: &str = "docker-cli-plugin-metadata";

/// The file as it is committed; `${version}` stands for the version of the build.
pub const TEMPLATE: &str = include_str!("../../plugin-metadata/metadata.json");

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
    fn docker_would_accept_the_answer() {
        let answer: serde_json::Value = serde_json::from_str(&answer()).expect("the answer is JSON");
        assert_eq!(answer["SchemaVersion"], "0.1.0");
        assert_ne!(answer["Vendor"], "");
        assert_eq!(answer["Version"], format!("v{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(answer["ShortDescription"], short_description());
        assert_eq!(self::answer().lines().filter(|line| line.contains("\": \"")).count(), 5);
    }
}
