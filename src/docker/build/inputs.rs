//! What a build asks for that is in no context: secrets and ssh agents. [`missing`] looks whether they are there, before
//! anything is planned, and reads no value; [`BuildInputs::read`] reads them when the build begins.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use super::buildx::plugin;
use crate::{
    config::spec::{BuildSecret, BuildSsh, CheckWork, Image},
    docker::{dockerfile, error::DockerError},
    plan::observed::{BuildInput, MissingInput, WhyMissing},
    secret::Secret,
};

/// "`MaxSecretSize` is the maximum byte length allowed for a secret" (BuildKit, secretsprovider).
const LARGEST_SECRET: u64 = 500 * 1024;

/// The variables of the environment that builds may be given, and the socket of the user's ssh agent.
#[derive(Debug, Clone, Default)]
pub struct BuildVariables {
    pub secrets: BTreeMap<String, Secret<String>>,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// Docker's configuration folder, where its plugins are looked for.
    pub docker_config: PathBuf,
    /// Where a folder may be made for the time of a build.
    pub scratch: PathBuf,
}

/// Everything that the builds of an image ask for and that is not there.
#[must_use]
pub fn missing(image: &Image, variables: &BuildVariables) -> Vec<MissingInput> {
    let Image { secrets, ssh, .. } = image;
    let secrets = secrets.iter().filter_map(|(id, secret)| {
        let why = lacks_secret(secret, variables)?;
        Some(MissingInput { input: BuildInput::Secret { id: id.clone() }, why })
    });
    let agents = ssh.iter().filter_map(|ssh| {
        let why = lacks_agent(ssh, variables)?;
        Some(MissingInput { input: BuildInput::Ssh { id: ssh.id.clone() }, why })
    });
    let buildx = image.wants_buildx().then(|| plugin::lacks(&variables.docker_config)).flatten();
    let buildx = buildx.map(|why| MissingInput { input: BuildInput::Buildx, why });
    secrets.chain(agents).chain(missing_stages(image)).chain(buildx).collect()
}

/// The stages that the image or one of its checks names and that its Dockerfile has not.
fn missing_stages(image: &Image) -> Vec<MissingInput> {
    let of_checks = image.checks.iter().filter_map(|check| match &check.work {
        CheckWork::Stage(stage) => Some(stage),
        CheckWork::Run(_) => None,
    });
    let wanted: Vec<&String> = image.target.iter().chain(of_checks).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    // One that cannot be read is the build's to complain about; one that is not read by Docker's own frontend may have
    // stages of another spelling.
    let Ok(text) = fs::read_to_string(&image.dockerfile) else { return Vec::new() };
    let stages = dockerfile::read(&text).stages;
    let is_sure = !has_other_syntax(&text) && !stages.iter().any(|stage| stage.contains('$'));
    let is_there = |wanted: &str| {
        wanted.bytes().all(|byte| byte.is_ascii_digit())
            || stages.iter().any(|stage| stage.eq_ignore_ascii_case(wanted))
    };
    wanted
        .into_iter()
        .filter(|wanted| is_sure && !is_there(wanted))
        .map(|wanted| MissingInput {
            input: BuildInput::Stage { name: wanted.clone() },
            why: WhyMissing::NoStage { dockerfile: image.dockerfile.clone(), stages: stages.clone() },
        })
        .collect()
}

/// `# syntax=…` with anything but Docker's own.
fn has_other_syntax(text: &str) -> bool {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).take_while(|line| line.starts_with('#'));
    let syntax = lines.filter_map(|line| line.trim_start_matches('#').trim().split_once('='));
    syntax.filter(|(name, _)| name.trim().eq_ignore_ascii_case("syntax")).any(|(_, value)| {
        let value = value.trim();
        !(value.starts_with("docker/dockerfile") || value.starts_with("docker.io/docker/dockerfile"))
    })
}

fn lacks_secret(secret: &BuildSecret, variables: &BuildVariables) -> Option<WhyMissing> {
    match secret {
        BuildSecret::Variable(name) => match variables.secrets.get(name) {
            None => Some(WhyMissing::NotSet { variable: name.clone() }),
            Some(value) if value.expose().is_empty() => Some(WhyMissing::Empty { variable: name.clone() }),
            Some(value) if value.expose().len() as u64 > LARGEST_SECRET => {
                Some(WhyMissing::TooLarge { place: name.clone(), most: LARGEST_SECRET })
            }
            Some(_) => None,
        },
        BuildSecret::File(path) => {
            let unread = |why: io::ErrorKind| Some(WhyMissing::Unread { path: path.clone(), why });
            match fs::metadata(path) {
                Err(error) => unread(error.kind()),
                Ok(metadata) if metadata.is_dir() => unread(io::ErrorKind::IsADirectory),
                Ok(metadata) if metadata.len() > LARGEST_SECRET => {
                    Some(WhyMissing::TooLarge { place: path.display().to_string(), most: LARGEST_SECRET })
                }
                // To open it is to know that it may be read. Not a pipe, whose other end would wait for its reader.
                Ok(metadata) if metadata.is_file() => fs::File::open(path).err().and_then(|error| unread(error.kind())),
                Ok(_) => None,
            }
        }
    }
}

fn lacks_agent(ssh: &BuildSsh, variables: &BuildVariables) -> Option<WhyMissing> {
    let Some(path) = ssh.path.as_ref().or(variables.agent.as_ref()) else {
        return Some(WhyMissing::NotSet { variable: crate::env::SSH_AUTH_SOCK.to_owned() });
    };
    match fs::metadata(path) {
        Err(error) => Some(WhyMissing::Unread { path: path.clone(), why: error.kind() }),
        Ok(metadata) if metadata.file_type().is_socket() => None,
        Ok(_) => Some(WhyMissing::NoSocket { path: path.clone() }),
    }
}

/// The secrets and agents of one build.
#[derive(Debug, Clone, Default)]
pub struct BuildInputs {
    pub(super) secrets: BTreeMap<String, Secret<Vec<u8>>>,
    /// The sockets of agents.
    pub(super) agents: BTreeMap<String, PathBuf>,
}

impl BuildInputs {
    /// Reads every value once. That it was there a moment ago does not mean that it still is.
    pub fn read(
        secrets: &BTreeMap<String, BuildSecret>,
        ssh: &[BuildSsh],
        variables: &BuildVariables,
    ) -> Result<Self, DockerError> {
        let gone = |id: &str, place: &Path, source: io::Error| DockerError::InputGone {
            id: id.to_owned(),
            place: place.display().to_string(),
            source,
        };
        let mut read = BTreeMap::new();
        for (id, secret) in secrets {
            let value = match secret {
                BuildSecret::Variable(name) => variables
                    .secrets
                    .get(name)
                    .map(|value| value.expose().clone().into_bytes())
                    .ok_or_else(|| gone(id, Path::new(name), io::ErrorKind::NotFound.into()))?,
                BuildSecret::File(path) => fs::read(path).map_err(|source| gone(id, path, source))?,
            };
            read.insert(id.clone(), Secret::new(value));
        }
        let mut agents = BTreeMap::new();
        for BuildSsh { id, path } in ssh {
            let path = path.as_ref().or(variables.agent.as_ref());
            let path =
                path.ok_or_else(|| gone(id, Path::new(crate::env::SSH_AUTH_SOCK), io::ErrorKind::NotFound.into()))?;
            agents.insert(id.clone(), path.clone());
        }
        Ok(Self { secrets: read, agents })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.agents.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::config::spec::Check;

    fn image(secrets: &BTreeMap<String, BuildSecret>, ssh: &[BuildSsh]) -> Image {
        Image { secrets: secrets.clone(), ssh: ssh.to_vec(), ..crate::plan::testing::image("jobs/api") }
    }

    #[test]
    fn a_stage_that_is_not_there_is_told_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("Dockerfile");
        let check = |stage: &str| Check {
            work: CheckWork::Stage(stage.to_owned()),
            timeout: std::time::Duration::from_mins(1),
        };
        let image = Image {
            dockerfile: dockerfile.clone(),
            target: Some("Runtime".to_owned()),
            checks: vec![check("tests"), check("0")],
            ..image(&BTreeMap::new(), &[])
        };
        let missing = || missing(&image, &BuildVariables::default());
        assert_eq!(missing(), [], "no Dockerfile: the build tells");
        fs::write(&dockerfile, "FROM scratch AS test\nFROM scratch AS runtime\n").unwrap();
        let why = WhyMissing::NoStage {
            dockerfile: dockerfile.clone(),
            stages: ["test", "runtime"].map(str::to_owned).to_vec(),
        };
        assert_eq!(missing(), [MissingInput { input: BuildInput::Stage { name: "tests".to_owned() }, why }]);
        for unsure in ["# syntax=example.com/other\nFROM x AS test\n", "ARG A\nFROM x AS $A\n"] {
            fs::write(&dockerfile, unsure).unwrap();
            assert_eq!(missing(), [], "{unsure}");
        }
        fs::write(&dockerfile, "# syntax=docker/dockerfile:1\nFROM x AS test\n").unwrap();
        assert_eq!(missing().len(), 2);
    }

    fn told(missing: &[MissingInput]) -> Vec<String> {
        missing.iter().map(|missing| format!("{}: {:?}", missing.input, missing.why)).collect()
    }

    #[test]
    fn what_is_there_is_not_missing_and_comes_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("npmrc"), folder.path().join("agent"));
        fs::write(&file, b"\xff of any bytes").unwrap();
        let _listens = UnixListener::bind(&socket).unwrap();
        let secrets = BTreeMap::from([
            ("npmrc".to_owned(), BuildSecret::File(file)),
            ("nuget".to_owned(), BuildSecret::Variable("TOKEN".to_owned())),
        ]);
        let ssh = [
            BuildSsh { id: "default".to_owned(), path: None },
            BuildSsh { id: "deploy".to_owned(), path: Some(socket.clone()) },
        ];
        let variables = BuildVariables {
            secrets: BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2".to_owned()))]),
            agent: Some(socket.clone()),
            ..BuildVariables::default()
        };
        assert_eq!(missing(&image(&secrets, &ssh), &variables), []);
        let read = BuildInputs::read(&secrets, &ssh, &variables).unwrap();
        assert_eq!(read.secrets["npmrc"].expose(), b"\xff of any bytes");
        assert_eq!(read.secrets["nuget"].expose(), b"hunter2");
        assert_eq!(
            read.agents,
            BTreeMap::from([("default".to_owned(), socket.clone()), ("deploy".to_owned(), socket)])
        );
        assert!(!format!("{read:?} {variables:?}").contains("hunter2"));
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (key, large) = (folder.path().join("id_ed25519"), folder.path().join("large"));
        fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----").unwrap();
        fs::File::create(&large).unwrap().set_len(LARGEST_SECRET + 1).unwrap();
        let variable = |name: &str| BuildSecret::Variable(name.to_owned());
        let secrets = BTreeMap::from([
            ("a".to_owned(), variable("UNSET")),
            ("b".to_owned(), variable("EMPTY")),
            ("c".to_owned(), BuildSecret::File(folder.path().join("nowhere"))),
            ("d".to_owned(), BuildSecret::File(folder.path().to_owned())),
            ("e".to_owned(), BuildSecret::File(large)),
        ]);
        let ssh = [
            BuildSsh { id: "default".to_owned(), path: None },
            BuildSsh { id: "key".to_owned(), path: Some(key) },
            BuildSsh { id: "gone".to_owned(), path: Some(folder.path().join("agent")) },
        ];
        let secrets_of = BTreeMap::from([("EMPTY".to_owned(), Secret::new(String::new()))]);
        let variables = BuildVariables { secrets: secrets_of, ..BuildVariables::default() };
        let told = told(&missing(&image(&secrets, &ssh), &variables)).join("\n");
        let told = told.replace(&folder.path().display().to_string(), "FOLDER");
        insta::assert_snapshot!(told, @r#"
        secret a: NotSet { variable: "UNSET" }
        secret b: Empty { variable: "EMPTY" }
        secret c: Unread { path: "FOLDER/nowhere", why: NotFound }
        secret d: Unread { path: "FOLDER", why: IsADirectory }
        secret e: TooLarge { place: "FOLDER/large", most: 512000 }
        ssh default: NotSet { variable: "SSH_AUTH_SOCK" }
        ssh key: NoSocket { path: "FOLDER/id_ed25519" }
        ssh gone: Unread { path: "FOLDER/agent", why: NotFound }
        "#);
    }

    #[test]
    fn what_has_gone_since_the_plan_is_an_error_that_names_it() {
        let secrets = BTreeMap::from([("npmrc".to_owned(), BuildSecret::File("/nonexistent/.npmrc".into()))]);
        let error = BuildInputs::read(&secrets, &[], &BuildVariables::default()).unwrap_err();
        assert_eq!(error.to_string(), "`npmrc` of the build could not be read from /nonexistent/.npmrc");
    }
}
