//! What `init` finds: the Dockerfile of the repo, the service that runs, and what of both goes into a first ship.toml.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;
use serde_json::Value;

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show,
};
use crate::{
    aws::{Aws, AwsError, ecs, sts},
    config::{
        draft::{Draft, ImageDraft, PlaceDraft, RepositoryDraft, Runs, ServiceDraft},
        spec::{self, Confirm, Environment, Release, SandboxService, Spec},
    },
    docker::dockerfile::{self, Dockerfile},
    failure::{Failure, spelling::Spelling},
    id::{Cluster, ServiceName},
    image::ImageName,
    plan::{
        diff::{self, ORIGIN_SANDBOX, TAG_ORIGIN, TAG_SERVICE},
        observed::{ServiceActive, ServiceObserved},
    },
};

/// Why there is nothing to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("there is no Dockerfile in {}", folder.display())]
    NoDockerfile { folder: PathBuf },
    #[error("which service is not clear: {}", names.join(", "))]
    WhichService { names: Vec<String> },
    #[error("there is no service {}", name.as_deref().unwrap_or("that these credentials may list"))]
    NoService { name: Option<String> },
    #[error("service {name} in cluster {cluster} is {status}")]
    ServiceGone { name: String, cluster: String, status: String },
}

/// The Dockerfile, as paths from the folder of ship.toml.
pub(crate) struct Source {
    /// Empty for the folder itself.
    pub(crate) context: PathBuf,
    pub(crate) dockerfile: PathBuf,
    pub(crate) says: Dockerfile,
}

/// A service that runs, with the account that it runs in.
pub(crate) struct Live {
    pub(crate) cluster: Cluster,
    pub(crate) name: ServiceName,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) service: ServiceActive,
}

/// How deep a Dockerfile is looked for: `src/Api/Dockerfile` is usual, more is somebody else's.
const DEPTH: usize = 3;

/// The Dockerfile that is nearest to the folder.
pub(crate) fn source(folder: &Path) -> Result<Source, Failure> {
    let mut level = vec![PathBuf::new()];
    for _ in 0..=DEPTH {
        let found = level.iter().map(|below| below.join("Dockerfile")).find(|path| folder.join(path).is_file());
        if let Some(dockerfile) = found {
            let text =
                fs::read(folder.join(&dockerfile)).map_err(|source| Failure::read(dockerfile.clone(), source))?;
            let says = dockerfile::read(&String::from_utf8_lossy(&text));
            let context = context(folder, &dockerfile, &says);
            return Ok(Source { context, dockerfile, says });
        }
        level = level.iter().flat_map(|below| folders(folder, below)).collect();
    }
    Err(InitError::NoDockerfile { folder: folder.to_owned() }.into())
}

/// Folders in `below` that may hold sources of this repo, in the order of their names.
fn folders(root: &Path, below: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.to_string_lossy();
            !name.starts_with('.') && !matches!(&*name, "node_modules" | "target" | "vendor" | "bin" | "obj")
        })
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| below.join(name)).collect()
}

/// The folder that all it copies is found in: the Dockerfile's own, else the repo's.
fn context(root: &Path, dockerfile: &Path, says: &Dockerfile) -> PathBuf {
    let own = dockerfile.parent().unwrap_or(Path::new(""));
    let has_all = |folder: &Path| says.sources.iter().all(|source| root.join(folder).join(source).exists());
    let root_only = !has_all(own) && has_all(Path::new(""));
    if root_only { PathBuf::new() } else { own.to_owned() }
}

/// Clients, before there is a ship.toml.
pub(crate) async fn connect(args: &args::Init, door: &Door) -> Result<Aws, Failure> {
    let spec = Spec {
        root: PathBuf::new(),
        environment: Environment {
            name: None,
            place: if args.sandbox { spec::Place::Sandbox } else { spec::Place::Aws },
            region: args.region.clone(),
            profile: args.profile.clone(),
            role_arn: None,
            account: None,
            confirm: Confirm::Never,
        },
        images: BTreeMap::new(),
        services: BTreeMap::new(),
        release: Release::Independent,
        promotion: None,
    };
    Ok(prepare::connect(&spec, door, Sleeping::Refuse).await?.aws)
}

/// The service that was asked for, or is picked from a list; `None` where nobody asks for one.
pub(crate) async fn live(args: &args::Init, door: &Door) -> Result<Option<Live>, Failure> {
    let asked = args.cluster.is_some() || args.service.is_some() || args.sandbox || args.task_definition.is_some();
    if !asked && !door.answers() {
        return Ok(None);
    }
    let (aws, found) = match look(args, door).await {
        Ok(found) => found,
        // Nobody has asked: a repo without AWS is begun in the sandbox.
        Err(error) if !asked => {
            let spelling = Spelling { name: &door.name, environment: None };
            let hint = error.hints().first().map(|hint| format!("  hint:  {}\n", spelling.respell(hint)));
            door.tell(&format!("no service is taken over: {error}\n{}", hint.unwrap_or_default()))?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let picked = match found.len() {
        0 if asked => return Err(InitError::NoService { name: args.service.clone() }.into()),
        0 => None,
        1 if asked => found.into_iter().next(),
        _ if door.answers() => {
            let place = if args.sandbox { "the sandbox" } else { aws.region() };
            door.tell(&format!("Services in {place}:\n"))?;
            show::choose(&found, "Which service runs this repo? Its number or its name (Enter: none):", door).await?
        }
        _ => {
            let names = found.iter().map(|(cluster, name)| format!("{cluster}/{name}")).collect();
            return Err(InitError::WhichService { names }.into());
        }
    };
    match picked {
        Some((cluster, name)) => read(&aws, Cluster::new(cluster), ServiceName::new(name)).await.map(Some),
        None => Ok(None),
    }
}

/// The services that may be meant, as cluster and name. Where both are given nothing has to be listed.
async fn look(args: &args::Init, door: &Door) -> Result<(Aws, Vec<(String, String)>), Failure> {
    let aws = connect(args, door).await?;
    if let (Some(cluster), Some(name)) = (&args.cluster, &args.service) {
        return Ok((aws, vec![(cluster.clone(), name.clone())]));
    }
    let clusters = match &args.cluster {
        Some(cluster) => vec![cluster.clone()],
        None => ecs::cluster_names(&aws).await?,
    };
    let listed = join_all(clusters.into_iter().map(async |cluster| {
        let names = ecs::service_names(&aws, &Cluster::new(cluster.as_str())).await?;
        Ok::<_, AwsError>(names.into_iter().map(move |name| (cluster.clone(), name)).collect::<Vec<_>>())
    }))
    .await;
    let mut found: Vec<_> = listed.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    found.retain(|(_, name)| args.service.as_ref().is_none_or(|wanted| wanted == name));
    Ok((aws, found))
}

/// Reads the service.
pub(crate) async fn read(aws: &Aws, cluster: Cluster, name: ServiceName) -> Result<Live, Failure> {
    let (caller, service) = tokio::join!(sts::caller(aws), ecs::service(aws, &cluster, &name));
    let gone = |status: &str| InitError::ServiceGone {
        name: name.to_string(),
        cluster: cluster.to_string(),
        status: status.to_owned(),
    };
    let service = match service? {
        ServiceObserved::Active(service) => *service,
        ServiceObserved::Missing => return Err(gone("not there").into()),
        ServiceObserved::Inactive { status } => return Err(gone(&status).into()),
    };
    Ok(Live { account: caller?.account, region: aws.region().to_owned(), cluster, name, service })
}

/// What goes into the file.
pub(crate) fn draft(
    args: &args::Init,
    folder: &Path,
    source: &Source,
    live: Option<&Live>,
    task_definition: Option<PathBuf>,
    program: &str,
) -> Draft {
    let place = |live: Option<&Live>| match live {
        Some(live) if !args.sandbox => PlaceDraft::Aws {
            environment: args.environment.clone().unwrap_or_else(|| "production".to_owned()),
            region: live.region.clone(),
            account: live.account.clone(),
            profile: args.profile.clone(),
        },
        Some(_) | None => {
            PlaceDraft::Sandbox { environment: args.environment.clone().unwrap_or_else(|| "sandbox".to_owned()) }
        }
    };
    let default = source.context.join("Dockerfile");
    let image = |repository: String, is_new: RepositoryDraft| ImageDraft {
        repository,
        is_new,
        context: source.context.clone(),
        dockerfile: (source.dockerfile != default).then(|| source.dockerfile.clone()),
        stages: source.says.stages.clone(),
    };
    let port = source.says.ports.first().copied();
    let Some(live) = live else {
        let key = name_of(folder);
        let ports = port.map(|port| ("container_port", i64::from(port).into(), "the Dockerfile exposes it"));
        return Draft {
            program: program.to_owned(),
            image: image(key.clone(), RepositoryDraft::New),
            service: ServiceDraft {
                cluster: key.clone(),
                service: None,
                container: None,
                task_definition: None,
                sandbox: ports.into_iter().collect(),
                runs: Runs::NotYet,
            },
            place: place(None),
            key,
        };
    };
    let container = container(&live.service, source);
    let running = container.as_ref().and_then(|(name, _)| image_of(&live.service, name));
    let (repository, is_new) = match running.and_then(|name| pushed_to(&name, live)) {
        Some(repository) => (repository, RepositoryDraft::Known),
        None => (repository_name(live.name.as_str()), RepositoryDraft::New),
    };
    // The sandbox's own definition is made again under the key it was made for.
    let key = made_up(&live.service).unwrap_or_else(|| live.name.to_string());
    Draft {
        program: program.to_owned(),
        image: image(repository, is_new),
        service: ServiceDraft {
            cluster: live.cluster.to_string(),
            service: (key != live.name.as_str()).then(|| live.name.to_string()),
            container: container.filter(|(_, all)| all.len() > 1),
            task_definition,
            sandbox: if made_up(&live.service).is_some() { sandbox_keys(&live.service) } else { Vec::new() },
            runs: Runs::Already,
        },
        place: place(Some(live)),
        key,
    }
}

fn containers(service: &ServiceActive) -> &[Value] {
    service.definition["containerDefinitions"].as_array().map_or(&[], Vec::as_slice)
}

/// The container that gets the image, and all that are essential: the only one, else the one behind the load
/// balancer, else the one with a port that the Dockerfile exposes, else the first.
fn container(service: &ServiceActive, source: &Source) -> Option<(String, Vec<String>)> {
    let is_essential = |container: &&Value| container["essential"].as_bool().unwrap_or(true);
    let essential: Vec<_> = containers(service).iter().filter(is_essential).collect();
    let name = |container: &&Value| container["name"].as_str().unwrap_or_default().to_owned();
    let behind = |container: &&&Value| {
        service.target_groups.iter().any(|group| Some(group.container.as_str()) == container["name"].as_str())
    };
    let exposes = |container: &&&Value| {
        let mappings = container["portMappings"].as_array().map_or(&[][..], Vec::as_slice);
        mappings
            .iter()
            .filter_map(|mapping| mapping["containerPort"].as_u64())
            .any(|mapped| source.says.ports.iter().any(|port| u64::from(*port) == mapped))
    };
    let chosen = essential.iter().find(behind).or_else(|| essential.iter().find(exposes)).or(essential.first())?;
    Some((name(chosen), essential.iter().map(name).collect()))
}

fn image_of(service: &ServiceActive, container: &str) -> Option<ImageName> {
    let found = containers(service).iter().find(|found| found["name"].as_str() == Some(container))?;
    let image = found["image"].as_str()?;
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon after the last slash begins a tag; one before it, a port.
    let end = name.rfind(':').filter(|colon| name.rfind('/').is_none_or(|slash| slash < *colon));
    end.map_or(name, |end| &name[..end]).parse().ok()
}

/// The repository, if this account could push there.
fn pushed_to(name: &ImageName, live: &Live) -> Option<String> {
    let is_ours = match name.ecr() {
        Some(host) => host.account == live.account && host.region == live.region,
        // The sandbox's registry.
        None => name.registry.starts_with("127.0.0.1:") || name.registry.starts_with("localhost:"),
    };
    is_ours.then(|| name.repository.clone())
}

/// A name that ECR takes.
fn repository_name(name: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(allowed).collect();
    let words: Vec<_> = name.split('-').filter(|word| !word.is_empty()).collect();
    // "Between 2 and 256" letters: RepositoryName in the ECR API reference.
    match words.join("-") {
        name if name.len() >= 2 => name,
        name => format!("app{name}"),
    }
}

fn name_of(folder: &Path) -> String {
    repository_name(&folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// The key of the service whose definition was made up for the sandbox; `None` for any other definition.
fn made_up(service: &ServiceActive) -> Option<String> {
    let tag = |name: &str| service.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    tag(TAG_ORIGIN).filter(|origin| origin == ORIGIN_SANDBOX).and_then(|_| tag(TAG_SERVICE))
}

/// The keys with which the sandbox makes the same definition again; those that are defaults are left out.
fn sandbox_keys(service: &ServiceActive) -> Vec<(&'static str, toml::Value, &'static str)> {
    let default = SandboxService::default();
    let container = containers(service).first().unwrap_or(&Value::Null);
    let number = |value: &Value| value.as_i64();
    let mut keys: Vec<(&'static str, toml::Value, &'static str)> = Vec::new();
    if let Some(port) = number(&container["portMappings"][0]["containerPort"])
        && port != i64::from(default.container_port)
    {
        keys.push(("container_port", port.into(), ""));
    }
    if let Some(seconds) = number(&container["stopTimeout"])
        && u64::try_from(seconds) != Ok(default.stop_timeout.as_secs())
    {
        keys.push(("stop_timeout", format!("{seconds}s").into(), ""));
    }
    for (name, default) in [("cpu", default.cpu), ("memory", default.memory)] {
        if let Some(amount) = service.definition[name].as_str().filter(|amount| *amount != default) {
            keys.push((name, amount.into(), ""));
        }
    }
    let environment: toml::Table = container["environment"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.replace('$', "$$").into()))
        })
        .collect();
    if !environment.is_empty() {
        keys.push(("environment", environment.into(), ""));
    }
    keys
}

/// The task definition as `aws ecs register-task-definition --cli-input-json` takes it, to be kept in a repo: without
/// AWS's book-keeping, our tags, and the empty lists that AWS fills in. All else is as ECS has it.
pub(crate) fn exported(service: &ServiceActive) -> String {
    const FILLED_IN: [&str; 7] = [
        "portMappings",
        "environment",
        "mountPoints",
        "volumesFrom",
        "systemControls",
        "volumes",
        "placementConstraints",
    ];
    let mut definition = diff::register_input(&service.definition, &diff::tags_of_others(&service.tags));
    let tidy = |members: &mut serde_json::Map<String, Value>| {
        members
            .retain(|name, value| !(FILLED_IN.contains(&name.as_str()) && value.as_array().is_some_and(Vec::is_empty)));
    };
    if let Value::Object(members) = &mut definition {
        tidy(members);
        let containers = members.get_mut("containerDefinitions").and_then(Value::as_array_mut);
        containers.into_iter().flatten().filter_map(Value::as_object_mut).for_each(tidy);
    }
    format!("{definition:#}\n")
}

/// Names of plain values in the definition that look like secrets.
pub(crate) fn looks_secret(service: &ServiceActive) -> Vec<String> {
    let environment = containers(service).iter().filter_map(|container| container["environment"].as_array()).flatten();
    environment
        .filter_map(|entry| Some((entry["name"].as_str()?, entry["value"].as_str()?)))
        .filter(|(name, value)| diff::looks_secret(name, value))
        .map(|(name, _)| name.to_owned())
        .collect()
}
