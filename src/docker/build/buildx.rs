//! buildx as a child: the builder that the user has chosen with `docker buildx`, which may be on another machine and writes
//! caches where the engine's own `BuildKit` does not. Its image is loaded into the engine, so that what comes after is the
//! same with every builder.
//!
//! It is run as docker would run it, but with a configuration folder of its own: docker's, with the logins of this run added.
//! Values of secrets go by variables of its environment, never by its arguments, which every user of the machine can read.

mod folder;
pub(super) mod plugin;

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::Stdio,
};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    sync::mpsc::Sender,
};

use self::folder::PrivateFolder;
use super::{Lent, graph::Graph, veil::Veil};
use crate::{
    config::spec::BuildSecret,
    docker::{
        engine::Engine,
        error::DockerError,
        output::Tail,
        rawjson::{self, Heard},
        tell,
    },
    event::Progress,
    image::Digest,
    plan::step::{BuildAction, CacheExport},
};

/// Variables of the child that hold secrets, with a number behind.
const SECRET: &str = "ECS_SHIP_BUILD_SECRET_";

pub(super) async fn build(
    engine: &Engine,
    action: &BuildAction,
    lent: &Lent,
    updates: &Sender<Progress>,
) -> Result<Option<Digest>, DockerError> {
    let plugin = plugin::find(&lent.docker_config).map_err(|looked| DockerError::NoBuildx { looked })?;
    let folder = PrivateFolder::new(&lent.docker_config, &lent.scratch, &lent.registries)?;
    let metadata = folder.path().join("metadata.json");
    let mut command = Command::new(&plugin);
    command.args(words(action, lent, &metadata));
    for (name, value) in folder.variables(engine.endpoint())? {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    for (number, id) in action.secrets.keys().enumerate() {
        if let Some(value) = lent.inputs.secrets.get(id)
            && is_variable(action, id)
        {
            use std::os::unix::ffi::OsStrExt as _;
            command.env(format!("{SECRET}{number}"), OsStr::from_bytes(value.expose()));
        }
    }
    // A group of its own: what it starts ends with it, and Ctrl-C of the terminal comes to us alone.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| DockerError::BuildxNotStarted { path: plugin.clone(), source })?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let mut graph = Graph::veiled(Veil::over(&lent.inputs));
    let mut said = Words::default();
    if let Some(stderr) = child.stderr.take() {
        follow(stderr, &mut graph, &mut said, updates).await?;
    }
    let status = child.wait().await.map_err(broken)?;
    group.0 = None;
    graph.flush(updates).await;
    if !status.success() {
        return Err(DockerError::Build(Box::new(graph.failure(said.failure(status)))));
    }
    if action.tags.is_empty() {
        return Ok(None);
    }
    loaded(engine, action, &metadata).await.map(Some)
}

fn broken(source: std::io::Error) -> DockerError {
    DockerError::Broken { operation: "build with buildx", source: Box::new(source) }
}

/// Reads to the end what the child says.
async fn follow(
    output: impl AsyncRead + Unpin,
    graph: &mut Graph,
    said: &mut Words,
    updates: &Sender<Progress>,
) -> Result<(), DockerError> {
    let mut output = BufReader::new(output);
    let mut reader = rawjson::Reader::default();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).await.map_err(broken)? > 0 {
        match reader.feed(&line) {
            Heard::Piece(piece) => graph.apply(status(piece), updates).await,
            Heard::More => {}
            Heard::Words(words) => {
                for line in graph.hide(String::from_utf8_lossy(&words).into_owned()).lines() {
                    if let Some(message) = line.strip_prefix("WARNING: ") {
                        tell(updates, Progress::BuildWarning { message: message.to_owned() }).await;
                    }
                    said.hear(line);
                }
            }
        }
        line.clear();
    }
    let rest = graph.hide(String::from_utf8_lossy(&reader.finish()).into_owned());
    rest.lines().for_each(|line| said.hear(line));
    Ok(())
}

/// The lines for people: the last is why it failed.
#[derive(Default)]
struct Words {
    /// From `ERROR: ` on.
    error: Vec<String>,
    last: Tail,
}

impl Words {
    fn hear(&mut self, line: &str) {
        if line.starts_with("ERROR: ") {
            self.error.clear();
        } else if self.error.is_empty() {
            self.last.keep(line);
            return;
        }
        self.error.push(line.to_owned());
    }

    /// As the engine's own `BuildKit` would have said it, where it is the same one that says it.
    fn failure(&self, status: std::process::ExitStatus) -> String {
        let error = if self.error.is_empty() { self.last.lines() } else { self.error.clone() };
        let error = error.join("\n");
        let mut message = error.trim();
        for prefix in ["ERROR: ", "failed to build: ", "failed to solve: ", "rpc error: code = Unknown desc = "] {
            message = message.strip_prefix(prefix).unwrap_or(message);
        }
        if message.is_empty() { format!("buildx ended with {status} and said nothing") } else { message.to_owned() }
    }
}

/// The arguments of `docker buildx`.
fn words(action: &BuildAction, lent: &Lent, metadata: &Path) -> Vec<OsString> {
    // Fully taken apart, so that a new key of an image cannot be forgotten here.
    let BuildAction {
        image: _,
        context,
        dockerfile,
        target,
        args,
        secrets,
        ssh: _,
        cache_from,
        cache_to,
        platform,
        tags,
        builder: _,
    } = action;
    let mut words = Vec::<OsString>::new();
    let mut say = |flag: &str, value: &OsStr| {
        words.push(flag.into());
        words.push(value.to_owned());
    };
    words_of_cache(cache_from, if tags.is_empty() { &[] } else { cache_to.as_slice() }, &mut say);
    for (name, value) in [("--target", target), ("--platform", platform)] {
        if let Some(value) = value {
            say(name, value.as_ref());
        }
    }
    // The proxies of docker's configuration are buildx's own to add: one may hold a password, and these can be read.
    for (name, value) in args {
        say("--build-arg", format!("{name}={value}").as_ref());
    }
    for (number, (id, secret)) in secrets.iter().enumerate() {
        let place = match secret {
            BuildSecret::Variable(_) => OsString::from(format!("env={SECRET}{number}")),
            BuildSecret::File(path) => joined("src=", path),
        };
        say("--secret", &fields(&[joined("id=", id), place]));
    }
    for (id, socket) in &lent.inputs.agents {
        say("--ssh", &joined(&format!("{id}="), socket));
    }
    for tag in tags {
        say("--tag", tag.to_string().as_ref());
    }
    if tags.is_empty() {
        // "cacheonly is a fake exporter to opt out of default behaviors" (buildx, build/opt.go).
        say("--output", "type=cacheonly".as_ref());
    } else {
        say("--output", "type=docker".as_ref());
    }
    say("--metadata-file", metadata.as_os_str());
    say("--file", dockerfile.as_os_str());
    let mut all: Vec<OsString> = ["build", "--progress", "rawjson"].map(OsString::from).to_vec();
    // An attestation holds the time of the build: the same sources would have another digest every time.
    all.extend(["--provenance=false", "--sbom=false"].map(OsString::from));
    all.extend(words);
    all.push(context.clone().into_os_string());
    all
}

fn words_of_cache(from: &[crate::image::Reference], to: &[CacheExport], say: &mut impl FnMut(&str, &OsStr)) {
    for image in from {
        say("--cache-from", format!("type=registry,ref={image}").as_ref());
    }
    for to in to {
        match to {
            CacheExport::Inline => say("--cache-to", "type=inline".as_ref()),
            CacheExport::Registry { image, options } => {
                let mut place = format!("type=registry,ref={image}");
                for (name, value) in options {
                    place.extend([",", name, "=", value]);
                }
                say("--cache-to", place.as_ref());
            }
        }
    }
}

fn is_variable(action: &BuildAction, id: &str) -> bool {
    matches!(action.secrets.get(id), Some(BuildSecret::Variable(_)))
}

fn joined(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut joined = OsString::from(name);
    joined.push(value);
    joined
}

/// As a line of CSV, which buildx reads it as.
fn fields(fields: &[OsString]) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    let mut line = Vec::new();
    for field in fields {
        if !line.is_empty() {
            line.push(b',');
        }
        let bytes = field.as_bytes();
        if bytes.iter().any(|byte| b",\"\r\n".contains(byte)) {
            line.push(b'"');
            line.extend(bytes.iter().flat_map(|byte| if *byte == b'"' { vec![b'"'; 2] } else { vec![*byte] }));
            line.push(b'"');
        } else {
            line.extend(bytes);
        }
    }
    OsString::from_vec(line)
}

/// The engine's id of what was loaded into it.
async fn loaded(engine: &Engine, action: &BuildAction, metadata: &Path) -> Result<Digest, DockerError> {
    let text = tokio::fs::read(metadata).await.unwrap_or_default();
    let told: Value = serde_json::from_slice(&text).unwrap_or_default();
    // Of these the one that is the image's id depends on where the engine keeps its images. By its first name last: that
    // may have moved on.
    let named =
        ["containerimage.config.digest", "containerimage.digest"].map(|key| told[key].as_str().map(str::to_owned));
    let tag = action.tags.first().map(ToString::to_string);
    for name in named.into_iter().chain([tag]).flatten() {
        if let Ok(found) = engine.docker().inspect_image(&name).await
            && let Some(id) = found.id.and_then(|id| id.parse().ok())
        {
            return Ok(id);
        }
    }
    Err(DockerError::NoResult { operation: "build" })
}

/// The same in the words of the engine's own session.
fn status(piece: rawjson::Piece) -> StatusResponse {
    let rawjson::Piece { vertexes, statuses, logs, warnings } = piece;
    let vertexes = vertexes.into_iter().map(|told| {
        let rawjson::Vertex { digest, name, started, completed, cached, error } = told;
        let mut vertex = Vertex { digest, name, cached, error, ..Vertex::default() };
        if let Some(time) = started {
            let started = vertex.started.get_or_insert_default();
            (started.seconds, started.nanos) = (time.as_second(), time.subsec_nanosecond());
        }
        if let Some(time) = completed {
            let completed = vertex.completed.get_or_insert_default();
            (completed.seconds, completed.nanos) = (time.as_second(), time.subsec_nanosecond());
        }
        vertex
    });
    let statuses = statuses.into_iter().map(|told| {
        let rawjson::Status { id, vertex, name, current, total } = told;
        VertexStatus { id, vertex, name, current, total, ..VertexStatus::default() }
    });
    let logs =
        logs.into_iter().map(|rawjson::Log { vertex, data }| VertexLog { vertex, msg: data, ..VertexLog::default() });
    let warnings = warnings.into_iter().map(|rawjson::Warning { vertex, short }| VertexWarning {
        vertex,
        short,
        ..VertexWarning::default()
    });
    StatusResponse {
        vertexes: vertexes.collect(),
        statuses: statuses.collect(),
        logs: logs.collect(),
        warnings: warnings.collect(),
    }
}

/// The child and all that it has started; they end when this is dropped before it is told that they have.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that has ended in this moment is none to end.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        config::spec::Builder,
        docker::{
            BuildInputs,
            testing::{Source, reference},
        },
        secret::Secret,
    };

    #[test]
    fn everything_asked_for_is_said_and_no_secret() {
        let source = Source::new("FROM scratch\n", &[]);
        let cache = reference("r.example.com", "jobs/api", "cache");
        let mut action = source.action(Builder::Buildx, &[reference("r.example.com", "jobs/api", "1")]);
        action.target = Some("runtime".to_owned());
        action.platform = Some("linux/arm64".to_owned());
        action.args.insert("COMMIT".to_owned(), "4f 2c".to_owned());
        action.secrets = BTreeMap::from([
            ("npmrc".to_owned(), BuildSecret::File("/home/ann/a,b\"c".into())),
            ("token".to_owned(), BuildSecret::Variable("TOKEN".to_owned())),
        ]);
        action.cache_from = vec![cache.clone()];
        action.cache_to = vec![
            CacheExport::Registry { image: cache, options: vec![("mode".to_owned(), "max".to_owned())] },
            CacheExport::Inline,
        ];
        let inputs = BuildInputs {
            secrets: BTreeMap::from([("token".to_owned(), Secret::new(b"hunter2".to_vec()))]),
            agents: BTreeMap::from([("default".to_owned(), "/run/agent".into())]),
        };
        let lent = Lent { inputs, ..Lent::default() };
        let line = |action: &BuildAction| {
            let words = words(action, &lent, Path::new("/scratch/metadata.json"));
            let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            words.join(" ").replace(" --", "\n--").replace(&source.path().display().to_string(), "FOLDER")
        };
        insta::assert_snapshot!(line(&action), @r#"
        build
        --progress rawjson
        --provenance=false
        --sbom=false
        --cache-from type=registry,ref=r.example.com/jobs/api:cache
        --cache-to type=registry,ref=r.example.com/jobs/api:cache,mode=max
        --cache-to type=inline
        --target runtime
        --platform linux/arm64
        --build-arg COMMIT=4f 2c
        --secret id=npmrc,"src=/home/ann/a,b""c"
        --secret id=token,env=ECS_SHIP_BUILD_SECRET_1
        --ssh default=/run/agent
        --tag r.example.com/jobs/api:1
        --output type=docker
        --metadata-file /scratch/metadata.json
        --file FOLDER/Dockerfile FOLDER
        "#);
        // Only to be tried: it has no name, and leaves no cache.
        action.tags.clear();
        let tried = line(&action);
        assert!(tried.contains("--output type=cacheonly") && !tried.contains("--cache-to"), "{tried}");
    }

    #[test]
    fn a_failure_is_told_as_the_engine_tells_it() {
        let mut said = Words::default();
        for line in
            ["Dockerfile:6", "   6 | >>> RUN make", "ERROR: failed to build: failed to solve: exit code: 3", "more"]
        {
            said.hear(line);
        }
        assert_eq!(said.failure(std::process::ExitStatus::default()), "exit code: 3\nmore");
        let mut said = Words::default();
        assert!(said.failure(std::process::ExitStatus::default()).contains("said nothing"));
        said.hear("unknown flag: --progress");
        assert_eq!(said.failure(std::process::ExitStatus::default()), "unknown flag: --progress");
    }
}
