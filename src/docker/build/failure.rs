//! What an engine's words about a failed build mean. Each pattern stands beside the words it was made from.

use std::sync::LazyLock;

use regex::Regex;

use crate::docker::error::{BuildCause, BuildFailure, DockerError};

/// Makes the cause out of what a pattern found.
type ToCause = fn(&regex::Captures<'_>) -> BuildCause;

/// Tried in order: a full disk can end any command, so it comes first.
static RULES: LazyLock<Vec<(Regex, ToCause)>> = LazyLock::new(|| {
    let rule = |pattern: &str, cause: ToCause| (Regex::new(pattern).expect("a constant that a test compiles"), cause);
    vec![
        rule("no space left on device", |_| BuildCause::NoSpace),
        rule("Cache export is not supported for the docker driver", |_| BuildCause::CacheExport),
        rule(r"(?i:dockerfile parse error)(?: on)?(?: line (\d+))?", |found| BuildCause::Dockerfile {
            line: found.get(1).and_then(|line| line.as_str().parse().ok()),
        }),
        rule(
            "[uU]nknown instruction: |the Dockerfile (?:.* )?cannot be empty|file with no instructions|no contents in \"",
            |_| BuildCause::Dockerfile { line: None },
        ),
        rule(
            "failed to read dockerfile: |Cannot locate specified Dockerfile: |unable to evaluate symlinks in Dockerfile path",
            |_| BuildCause::DockerfileMissing,
        ),
        rule(
            r#"target stage "?([^" ]+?)"? could not be found|the target "([^"]+)" was not found in the provided Dockerfile|failed to reach build target (\S+) in Dockerfile"#,
            |found| BuildCause::TargetMissing { target: first(found) },
        ),
        rule(
            r#"failed to (?:compute cache key|calculate checksum of ref [^"]*|walk [^"]*): (?:.*: )?"([^"]+)"(?: not found|: not found)|"([^"]+)": not found|(?:COPY|ADD) failed: .*(?:stat|for|lstat) (\S+?):? (?:file does not exist|no such file or directory)|copier: stat: "([^"]+)": no such file|(?:COPY|ADD) failed: no source files were specified()"#,
            |found| BuildCause::SourceMissing { path: first(found) },
        ),
        rule(r"(?:exit code: |returned a non-zero code: |exit status )(\d+)", |found| BuildCause::CommandFailed {
            exit_code: first(found).parse().unwrap_or(1),
        }),
        rule(r"pull access denied for ([^\s,]+)|manifest for (\S+) not found", |found| BuildCause::BaseImage {
            image: first(found),
        }),
    ]
});

/// The step's name says what BuildKit was asking the registry for.
static METADATA: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[internal\] load metadata for (\S+)$|^\[[^\]]*\] (?:FROM|from) (?:--\S+ )?(\S+)")
        .expect("a constant that a test compiles")
});

/// buildx's own steps before anything is built, of the drivers docker-container, kubernetes and remote (`driver/*/driver.go`).
const BOOT: [&str; 2] = ["[internal] booting buildkit", "[internal] waiting for connection"];

fn first(found: &regex::Captures<'_>) -> String {
    found.iter().skip(1).flatten().map(|part| part.as_str().to_owned()).next().unwrap_or_default()
}

/// A failure with its cause made out from the words and the step.
pub(super) fn classified(step: Option<String>, log: Vec<String>, message: String) -> BuildFailure {
    let by_words = RULES.iter().find_map(|(pattern, cause)| pattern.captures(&message).map(|found| cause(&found)));
    let base = || step.as_deref().and_then(|step| METADATA.captures(step)).map(|found| first(&found));
    let is_boot = step.as_deref().is_some_and(|step| BOOT.contains(&step));
    let cause = match by_words {
        // An image that its container cannot be made from is not one of the Dockerfile.
        Some(BuildCause::BaseImage { .. }) | None if is_boot => BuildCause::BuilderAway,
        Some(cause) => cause,
        None => base().map_or(BuildCause::Unclassified, |image| BuildCause::BaseImage { image }),
    };
    BuildFailure { step, log, message, cause }
}

/// The classic builder reads the Dockerfile before it begins to answer, and refuses a bad one by status.
pub(super) fn refused(error: DockerError) -> DockerError {
    match error {
        DockerError::Refused { operation, status, message } => {
            let failure = classified(None, Vec::new(), message);
            if failure.cause == BuildCause::Unclassified {
                DockerError::Refused { operation, status, message: failure.message }
            } else {
                DockerError::Build(Box::new(failure))
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_and_buildxs_words_have_their_meaning() {
        for (step, message, cause) in [
            // Podman 5.8.
            (
                "[2/2] FOO bar",
                r#"building at STEP "FOO ": Build error: Unknown instruction: "FOO" &imagebuilder.Step{}"#,
                BuildCause::Dockerfile { line: None },
            ),
            (
                "",
                r#"no contents in "/var/tmp/libpod_builder1/build/Dockerfile""#,
                BuildCause::Dockerfile { line: None },
            ),
            // buildx 0.29, of a builder at an address where nobody listens, and of one that cannot be pulled.
            ("[internal] waiting for connection", "context deadline exceeded", BuildCause::BuilderAway),
            (
                "[internal] booting buildkit",
                r#"Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host"#,
                BuildCause::BuilderAway,
            ),
        ] {
            let failure = classified(Some(step.to_owned()), Vec::new(), message.to_owned());
            assert_eq!(failure.cause, cause, "{message}");
        }
    }

    /// The words are what engine 20.10, 26.1 and 28.5 answer.
    #[test]
    fn engines_words_have_their_meaning() {
        let missing = |path: &str| BuildCause::SourceMissing { path: path.to_owned() };
        for (step, message, cause) in [
            (
                "",
                "executor failed running [/bin/busybox sh -c exit 3]: exit code: 3",
                BuildCause::CommandFailed { exit_code: 3 },
            ),
            (
                "",
                r#"process "/bin/busybox sh -c exit 3" did not complete successfully: exit code: 3"#,
                BuildCause::CommandFailed { exit_code: 3 },
            ),
            (
                "",
                "The command '/bin/busybox sh -c exit 3' returned a non-zero code: 3",
                BuildCause::CommandFailed { exit_code: 3 },
            ),
            ("", r#"failed to compute cache key: "/nofile" not found: not found"#, missing("/nofile")),
            (
                "",
                r#"failed to compute cache key: failed to calculate checksum of ref ahbm4elx::jd2x: "/nofile": not found"#,
                missing("/nofile"),
            ),
            (
                "",
                r#"failed to solve: failed to compute cache key: failed to calculate checksum of ref moby::x: "/a b": not found"#,
                missing("/a b"),
            ),
            (
                "",
                "COPY failed: file not found in build context or excluded by .dockerignore: stat nofile: file does not exist",
                missing("nofile"),
            ),
            (
                "",
                "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: FOO",
                BuildCause::Dockerfile { line: Some(2) },
            ),
            (
                "",
                "dockerfile parse error on line 2: unknown instruction: FOO",
                BuildCause::Dockerfile { line: Some(2) },
            ),
            ("", "the Dockerfile cannot be empty", BuildCause::Dockerfile { line: None }),
            (
                "",
                "failed to reach build target two in Dockerfile",
                BuildCause::TargetMissing { target: "two".to_owned() },
            ),
            ("", "target stage nostage could not be found", BuildCause::TargetMissing { target: "nostage".to_owned() }),
            (
                "",
                r#"target stage "nostage" could not be found"#,
                BuildCause::TargetMissing { target: "nostage".to_owned() },
            ),
            ("", "write /var/lib/docker/tmp/x: no space left on device", BuildCause::NoSpace),
            // buildx 0.29, of a builder with the docker driver.
            (
                "",
                "Cache export is not supported for the docker driver.\nSwitch to a different driver, or turn on the containerd image store, and try again.",
                BuildCause::CacheExport,
            ),
            (
                "[internal] load metadata for docker.io/library/alpine:3",
                r#"failed to do request: Head "https://registry-1.docker.io/v2/library/alpine/manifests/3": dial tcp: lookup registry-1.docker.io: no such host"#,
                BuildCause::BaseImage { image: "docker.io/library/alpine:3".to_owned() },
            ),
            (
                "[1/2] FROM alpine:3",
                r#"Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host"#,
                BuildCause::BaseImage { image: "alpine:3".to_owned() },
            ),
            (
                "",
                "pull access denied for nobody/nothing, repository does not exist or may require 'docker login'",
                BuildCause::BaseImage { image: "nobody/nothing".to_owned() },
            ),
            // Podman 5.8.
            (
                "[2/2] COPY nofile /x",
                r#"building at STEP "COPY nofile /x": checking on sources under "/var/tmp/libpod_builder1/build": copier: stat: "/nofile": no such file or directory"#,
                missing("/nofile"),
            ),
            (
                "",
                r#"the target "two" was not found in the provided Dockerfile"#,
                BuildCause::TargetMissing { target: "two".to_owned() },
            ),
            (
                "",
                r#"building at STEP "RUN /broken": while running runtime: exit status 3"#,
                BuildCause::CommandFailed { exit_code: 3 },
            ),
            ("", "something new under the sun", BuildCause::Unclassified),
        ] {
            let step = (!step.is_empty()).then(|| step.to_owned());
            assert_eq!(classified(step, Vec::new(), message.to_owned()).cause, cause, "{message}");
        }
    }
}
