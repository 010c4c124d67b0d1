//! What to do about each error, made from its typed fields.

use super::{BuildCause, BuildFailure, DockerError, PushCause, PushFailure};
use crate::docker::{context::ContextError, endpoint::EndpointError};

impl DockerError {
    /// One sentence or command that helps.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Endpoint(error) => endpoint(error),
            Self::NotInstalled { .. } => {
                "start it with `sudo systemctl start docker` (or open Docker Desktop), install it \
                if it is missing (`sudo apt-get install docker.io` on Debian, https://docs.docker.com/engine/install \
                elsewhere), or name another engine with DOCKER_HOST or --context"
                    .to_owned()
            }
            Self::NotRunning { host, .. } if host.starts_with("unix://") => {
                "start it with `sudo systemctl start docker`, or open Docker Desktop".to_owned()
            }
            Self::NotRunning { host, .. } => {
                format!("check that dockerd listens on {host}, and that the port is right")
            }
            Self::PermissionDenied { .. } => {
                "add yourself to the docker group with `sudo usermod -aG docker $USER`, then log in again".to_owned()
            }
            Self::Tls { .. } => "check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH (or of the docker context) \
                against what dockerd was started with"
                .to_owned(),
            Self::Unreachable { host, .. } => format!("try `docker -H {host} version`: it must work there first"),
            Self::NotAnswering { .. } | Self::Broken { .. } | Self::NoResult { .. } => {
                "look at the engine's log (`journalctl -u docker`): it hangs, was restarted or ran out of memory"
                    .to_owned()
            }
            Self::NotAnEngine { host, .. } => format!("check the address: {host} belongs to another program"),
            Self::EngineTooOld { .. } => "upgrade the engine: 19.03 is the oldest that will do".to_owned(),
            Self::ApiVersion { .. } => "unset DOCKER_API_VERSION: the version is negotiated".to_owned(),
            Self::Request { .. } => {
                "check HttpHeaders in docker's config.json, and DOCKER_CUSTOM_HEADERS, for letters HTTP cannot carry"
                    .to_owned()
            }
            Self::Refused { .. } | Self::Api { .. } => {
                "the message is the engine's own; its log (`journalctl -u docker`) may say more".to_owned()
            }
            Self::Answer(_) => {
                "check that nothing between here and the engine (a proxy) answers in its place".to_owned()
            }
            Self::Context(error) => context(error),
            Self::NoBuildKit => "set `builder = \"classic\"` or `\"auto\"`, or use a Docker Engine".to_owned(),
            Self::NoBuildx { looked } => {
                let looked: Vec<_> = looked.iter().map(|folder| folder.display().to_string()).collect();
                format!("docker looks for docker-buildx in {}: put it there again", looked.join(", "))
            }
            Self::BuildxNotStarted { path, .. } => format!("try `{} version`: it must work there first", path.display()),
            Self::BuildxFolder { path, .. } => format!(
                "make room, or yourself the right to write, in {}",
                path.parent().unwrap_or(path).display()
            ),
            Self::ClassicHasNone => "build with `builder = \"auto\"` on an engine that has BuildKit".to_owned(),
            Self::NoSession => {
                "build on an engine before 30, or with `builder = \"classic\"` where neither secrets nor ssh are asked for"
                    .to_owned()
            }
            Self::InputGone { place, .. } => format!("see what became of {place}, and run it again"),
            Self::Build(failure) => build(failure),
            Self::Push(failure) => push(failure),
        }
    }
}

fn endpoint(error: &EndpointError) -> String {
    match error {
        EndpointError::HostAndContext | EndpointError::SeveralHosts => "give one of them only".to_owned(),
        EndpointError::Host { .. } | EndpointError::UnixAddress { .. } | EndpointError::TcpAddress { .. } => {
            "write the engine's address as unix:///var/run/docker.sock, tcp://host:port or ssh://user@host".to_owned()
        }
        EndpointError::Ssh { .. } => {
            "write it as ssh://user@host:port, and let an ssh key or agent take the place of a password".to_owned()
        }
        EndpointError::Scheme { .. } => "use a unix://, tcp:// or ssh:// address".to_owned(),
        EndpointError::ContextNotFound { .. } => {
            "see `docker context ls`, and what --context, DOCKER_CONTEXT or `docker context use` have chosen".to_owned()
        }
        EndpointError::ContextWithoutDocker { context } => {
            format!("give it one with `docker context update {context} --docker host=…`")
        }
        EndpointError::Read { path, .. } => format!("make {} readable, or turn TLS off", path.display()),
        EndpointError::Json { path, .. } => format!("repair {}", path.display()),
        EndpointError::CustomHeaders { .. } => "write DOCKER_CUSTOM_HEADERS as name=value,name=value".to_owned(),
        EndpointError::HalfIdentity { missing } => {
            format!("put {} in its place, or take the other one away", missing.display())
        }
    }
}

fn context(error: &ContextError) -> String {
    match error {
        ContextError::Missing { .. } | ContextError::NotAFolder { .. } => {
            "set `context` of the image in ship.toml to the folder that is to be sent".to_owned()
        }
        ContextError::DockerfileMissing { .. } => "set `dockerfile` of the image in ship.toml".to_owned(),
        ContextError::Read { path, .. } => {
            format!("make {} readable, or list it in .dockerignore", path.display())
        }
        ContextError::Ignore { path, .. } => format!("repair the pattern in {}", path.display()),
        ContextError::Shrank { path } => {
            format!("try again when {} is at rest, or list it in .dockerignore", path.display())
        }
        ContextError::Entry { path, .. } => format!("rename {}, or list it in .dockerignore", path.display()),
    }
}

fn build(failure: &BuildFailure) -> String {
    match &failure.cause {
        BuildCause::Dockerfile { line: Some(line) } => format!("correct line {line} of the Dockerfile"),
        BuildCause::Dockerfile { line: None } => "correct the Dockerfile".to_owned(),
        BuildCause::DockerfileMissing => "set `dockerfile` of the image in ship.toml".to_owned(),
        BuildCause::TargetMissing { target } => {
            format!("name a stage `{target}` in the Dockerfile (FROM … AS {target}), or change `target` in ship.toml")
        }
        BuildCause::SourceMissing { path } => {
            format!("check that `{path}` is in the build context and that .dockerignore does not exclude it")
        }
        BuildCause::CommandFailed { .. } => "the step's last lines say why its command failed".to_owned(),
        BuildCause::BaseImage { image } => {
            format!("try `docker pull {image}`: the engine must be able to reach its registry, logged in where needed")
        }
        BuildCause::CacheExport => {
            "`docker buildx create --use` makes a builder that can, or turn on the containerd image store of the engine; \
             `cache_to = [\"type=inline\"]` puts the cache into the image, which every builder can"
                .to_owned()
        }
        BuildCause::BuilderAway => {
            "`docker buildx inspect --bootstrap` must work first; `docker buildx use`, or BUILDX_BUILDER, chooses another \
             builder"
                .to_owned()
        }
        BuildCause::NoSpace => "free space on the engine's disk with `docker system prune`".to_owned(),
        BuildCause::Unclassified => "the message is the engine's own; `docker build` must work first".to_owned(),
    }
}

fn push(failure: &PushFailure) -> String {
    match &failure.cause {
        PushCause::NoBasicAuth => "no credentials reached the registry: check that the image's registry is the \
            account's own, and the AWS credentials behind the login"
            .to_owned(),
        PushCause::TokenExpired => "run it again for a new token; if it fails again, check the AWS credentials and \
            this machine's clock"
            .to_owned(),
        PushCause::RepositoryMissing { repository: Some(repository) } => format!(
            "create it with `aws ecr create-repository --repository-name {repository}`, or set \
             `create_repository = true`"
        ),
        PushCause::RepositoryMissing { repository: None } => {
            "create the repository with `aws ecr create-repository`, or set `create_repository = true`".to_owned()
        }
        PushCause::Denied { action: Some(action) } => format!(
            "allow `{action}` on the repository in IAM, or in the repository's policy where it is another account's"
        ),
        PushCause::Forbidden { action } => format!(
            "a policy denies `{action}`, so allowing it in IAM is of no use: see `aws ecr get-repository-policy` for \
             the repository's own, then the organisation's service control policies"
        ),
        PushCause::Denied { action: None } => "the engine does not pass on what the registry said: allow ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, \
            ecr:UploadLayerPart, ecr:CompleteLayerUpload and ecr:PutImage on the repository in IAM"
            .to_owned(),
        PushCause::TagImmutable { tag } => {
            format!("the tag `{tag}` cannot be moved in this repository: ship another commit, or give another tag")
        }
        PushCause::TagMissing => "build it first: the engine has no image of that name".to_owned(),
        PushCause::Unreachable => {
            "the engine pushes, not this program: check the engine's own network, DNS and proxy".to_owned()
        }
        PushCause::Stalled => "run it again: layers that have arrived are not sent twice. If it stops there again, look at \
            what is between the engine and the registry (a proxy, a VPN, an MTU that is too large, a VPC endpoint), and at \
            `docker push` of the same name"
            .to_owned(),
        PushCause::Unclassified => {
            "the message is the engine's own; `docker push` of the same name must work first".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn remedies_use_what_is_known() {
        let host = "unix:///var/run/docker.sock".to_owned();
        let denied = DockerError::PermissionDenied { host, source: io::ErrorKind::PermissionDenied.into() };
        insta::assert_snapshot!(denied.remedy(), @"add yourself to the docker group with `sudo usermod -aG docker $USER`, then log in again");
        let host = "tcp://10.0.0.1:2375".to_owned();
        let refused = DockerError::NotRunning { host, source: io::ErrorKind::ConnectionRefused.into() };
        insta::assert_snapshot!(refused.remedy(), @"check that dockerd listens on tcp://10.0.0.1:2375, and that the port is right");
        let push = |cause| {
            DockerError::Push(Box::new(PushFailure { reference: "r/x:1".to_owned(), message: "m".to_owned(), cause }))
        };
        let missing = push(PushCause::RepositoryMissing { repository: Some("jobs/api".to_owned()) });
        insta::assert_snapshot!(missing.remedy(), @"create it with `aws ecr create-repository --repository-name jobs/api`, or set `create_repository = true`");
        let denied = push(PushCause::Denied { action: Some("ecr:PutImage".to_owned()) });
        insta::assert_snapshot!(denied.remedy(), @"allow `ecr:PutImage` on the repository in IAM, or in the repository's policy where it is another account's");
    }
}
