//! What `deploy`, `plan` and `status` share: from the words typed to a spec, connected hands and the
//! world as observed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Door,
    args::{DoneWhen, SandboxUp, Selection},
    credentials, show,
};
use crate::{
    aws::{self, Aws, Endpoint, Identity},
    config::{
        error::{self, ConfigError, ConfigErrors, ConfigWarning, Mistake},
        file::{self, Parsed},
        resolve::{self, Facts, Images, Resolved, Typed},
        sources::Sources,
        spec::{self, BuildSecret, CacheImage, CacheTo, GitFacts, NoGit, Spec},
    },
    credentials::{DockerConfig, RegistryAuth as Login},
    docker::{
        BuildVariables, DockerFlags, EndpointInputs, Engine, RegistryAuth, RegistryCredentials,
        endpoint::DockerEnvironment,
    },
    env,
    failure::Failure,
    git, observe,
    plan::{
        make,
        observed::{EngineObserved, Observed},
        refusal::Refusal,
        step::Plan,
    },
    rollout::goal::Pace,
    run::{
        guests::Guests,
        login::Logins,
        others::{self, Other, Waited},
    },
    sandbox::daemon,
    secret::Secret,
};

/// `ship.toml`, understood.
pub(crate) struct Understood {
    pub(crate) spec: Spec,
    pub(crate) warnings: Vec<ConfigWarning>,
    /// All that was read, to draw warnings in.
    pub(crate) sources: Sources,
}

/// `ship.toml` and all that it extends, as written.
pub(crate) struct Found {
    pub(crate) parsed: Parsed,
    root: PathBuf,
}

impl Found {
    /// What the surroundings say, git included.
    pub(crate) async fn facts(&self, door: &Door) -> Facts {
        self.facts_with(git::facts(&self.root).await, door)
    }

    /// Whether git may have to be asked, here or in a file that this one extends.
    pub(crate) fn names_git(&self) -> bool {
        self.parsed.sources.all().iter().any(|source| names_git(&source.text))
    }

    /// The same with what git has said before.
    pub(crate) fn facts_with(&self, git: Result<GitFacts, NoGit>, door: &Door) -> Facts {
        Facts {
            root: self.root.clone(),
            home: door.surroundings.home.clone(),
            variables: door.surroundings.variables.to_text(),
            git,
            now_ms: show::now_ms(),
            read: read_file,
        }
    }
}

/// The text of `ship.toml`.
pub(crate) struct Text {
    name: String,
    written: String,
    root: PathBuf,
}

impl Text {
    /// Whether git may have to be asked about the repository: `${git.commit}` and its like.
    pub(crate) fn names_git(&self) -> bool {
        names_git(&self.written)
    }

    pub(crate) async fn git(&self) -> Result<GitFacts, NoGit> {
        git::facts(&self.root).await
    }

    pub(crate) fn parse(&self) -> Found {
        let parsed = file::parse_all(&self.name, &self.written, &self.root, read_file);
        Found { parsed, root: self.root.clone() }
    }
}

fn names_git(text: &str) -> bool {
    text.contains("git.")
}

/// Finds and reads the file.
pub(crate) fn read(named: Option<&Path>, door: &Door) -> Result<Text, Failure> {
    let surroundings = &door.surroundings;
    let folder = surroundings.folder().map_err(Failure::FolderGone)?;
    let path = find(named, door, folder)?;
    let root = path.parent().unwrap_or(folder).to_owned();
    let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
    let bytes = fs::read(&path).map_err(|source| Failure::read(path.clone(), source))?;
    let look = show::look(door);
    let text = file::text(&bytes).map_err(|error| {
        let errors = ConfigErrors { sources: Sources::of(name.clone(), ""), errors: vec![error] };
        Failure::Config { errors, look }
    })?;
    Ok(Text { name, written: text.to_owned(), root })
}

/// Finds, reads and resolves the file, or reports all mistakes in it.
pub(crate) async fn understand(selection: &Selection, door: &Door) -> Result<Understood, Failure> {
    let Resolved { spec, warnings, sources, origins: _ } = resolve(selection, door).await?;
    Ok(Understood { spec, warnings, sources })
}

/// The same with the origin of each value.
pub(crate) async fn resolve(selection: &Selection, door: &Door) -> Result<Resolved, Failure> {
    resolve_with(selection, Images::AsWritten, door).await
}

/// The same where images are built that would otherwise be promoted.
pub(crate) async fn understand_built(selection: &Selection, door: &Door) -> Result<Understood, Failure> {
    let Resolved { spec, warnings, sources, origins: _ } = resolve_with(selection, Images::Built, door).await?;
    Ok(Understood { spec, warnings, sources })
}

async fn resolve_with(selection: &Selection, images: Images, door: &Door) -> Result<Resolved, Failure> {
    let found = read(selection.at.file.as_deref(), door)?.parse();
    let facts = found.facts(door).await;
    let typed = Typed {
        environment: selection.at.environment.clone(),
        region: selection.at.region.clone(),
        profile: selection.at.profile.clone(),
        services: selection.services.clone(),
        done_when: selection.done_when.map(|word| match word {
            DoneWhen::Live => spec::DoneWhen::Live,
            DoneWhen::Drained => spec::DoneWhen::Drained,
            DoneWhen::Steady => spec::DoneWhen::Steady,
        }),
        images,
    };
    let look = show::look(door);
    resolve::resolve(&found.parsed, &typed, &facts).map_err(|errors| Failure::Config { errors, look })
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    fs::read(path)
}

fn find(named: Option<&Path>, door: &Door, folder: &Path) -> Result<PathBuf, Failure> {
    let named = named.map(Path::to_owned).or_else(|| door.surroundings.variables.path(env::ECS_SHIP_FILE));
    let found = match named {
        Some(path) if folder.join(&path).is_file() => Ok(folder.join(path)),
        Some(path) => Err(ConfigError::new(Mistake::FileMissing { path }, error::Place::Nowhere)),
        None => file::find(folder.ancestors(), Path::is_file),
    };
    found.map_err(|error| {
        let errors = ConfigErrors { sources: Sources::of(file::FILE_NAME, ""), errors: vec![error] };
        Failure::Config { errors, look: show::look(door) }
    })
}

/// What to do when the environment is the sandbox and none runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleeping {
    /// `deploy` starts it.
    Start,
    /// Everything that only looks says so instead.
    Refuse,
}

/// Everything a plan is made of, and the plan or why there is none.
pub(crate) struct Prepared {
    pub(crate) understood: Understood,
    pub(crate) place: Connected,
    /// `None` where nothing is built.
    pub(crate) engine: Option<Engine>,
    /// Where images are promoted from.
    pub(crate) source: Option<Aws>,
    pub(crate) observed: Observed,
    pub(crate) plan: Result<Plan, Vec<Refusal>>,
}

/// Clients, and the sandbox they talk to if it is one.
pub(crate) struct Connected {
    pub(crate) aws: Aws,
    pub(crate) sandbox: Option<daemon::Running>,
}

impl Connected {
    /// How often rollouts are looked at: as AWS's rate limits allow, or as the sandbox's clock runs.
    /// How many times faster than on AWS the place's own waits are.
    pub(crate) fn speed(&self) -> f64 {
        self.sandbox.as_ref().map_or(1.0, |running| running.speed)
    }

    pub(crate) fn pace(&self, services: usize) -> Pace {
        match &self.sandbox {
            None => Pace::for_services(services),
            Some(running) => Pace::for_services(services).quicker(running.speed, QUICKEST_MS),
        }
    }
}

/// A look at the sandbox costs a few milliseconds; more often than this only burns them.
const QUICKEST_MS: u64 = 200;

/// Reads `ship.toml`, connects, observes and plans. Nothing is changed, but for the sandbox being started
/// where that is asked for.
pub(crate) async fn prepare(selection: &Selection, door: &Door, sleeping: Sleeping) -> Result<Prepared, Failure> {
    let understood = understand(selection, door).await?;
    // The engine comes first: without one there is nothing to build with, and no sandbox either.
    let engine = match &understood.spec.promotion {
        None => Some(engine(door).await?),
        Some(_) => None,
    };
    let described = async {
        match &engine {
            Some(engine) => engine.describe().await.map(|described| described.observed),
            None => Ok(EngineObserved::unasked()),
        }
    };
    let (place, described) = tokio::join!(connect(&understood.spec, door, sleeping), described);
    let (place, described) = (place?, described?);
    let source = match &understood.spec.promotion {
        Some(promotion) => Some(connect_to(&promotion.environment, door, Sleeping::Refuse).await?.aws),
        None => None,
    };
    let services = understood.spec.services.len();
    let seconds = place.aws.to_read(services).as_secs();
    // A shorter silence needs no word.
    if seconds >= 3 {
        door.tell(&format!("reading {services} services, no faster than AWS's limits allow: about {seconds} s\n"))?;
    }
    let variables = build_variables(&understood.spec, door);
    let observed = observe::observe(&understood.spec, &place.aws, source.as_ref(), &described, &variables).await?;
    let plan = make::plan(&understood.spec, &observed).map(|plan| plan.at_speed(place.speed()));
    Ok(Prepared { understood, place, engine, source, observed, plan })
}

/// What to do about a deployment that somebody else has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Refuse,
    /// `--wait-for-other`.
    WaitFor,
}

impl Others {
    pub(crate) const fn of(wait_for_other: bool) -> Self {
        if wait_for_other { Self::WaitFor } else { Self::Refuse }
    }
}

/// Prepares a deploy; where nothing but deployments of others is in its way, and that is wished, when they have
/// ended. However they end, the plan is made anew of what is live then.
pub(crate) async fn patiently(selection: &Selection, door: &Door, wish: Others) -> Result<Prepared, Failure> {
    loop {
        let prepared = prepare(selection, door, Sleeping::Start).await?;
        let Err(refusals) = &prepared.plan else { return Ok(prepared) };
        let going = refusals.iter().filter_map(|refusal| match refusal {
            Refusal::DeploymentGoing { service, name, deployment, revision } => {
                let words = format!("waiting for {deployment} of {service} to end, which rolls out {revision}\n");
                let cluster = prepared.understood.spec.services.get(service)?.cluster.clone();
                Some((words, Other { cluster, name: name.clone(), deployment: deployment.clone() }))
            }
            _ => None,
        });
        let (words, going): (Vec<_>, Vec<_>) = going.unzip();
        if wish == Others::Refuse || going.len() < refusals.len() {
            return Ok(prepared);
        }
        door.tell(&words.concat())?;
        let services = &prepared.understood.spec.services;
        let limit = services.values().map(|service| service.rollout.total).max().unwrap_or_default();
        let pace = prepared.place.pace(going.len());
        if others::until_ended(&prepared.place.aws, &going, pace, limit).await == Waited::TooLong {
            return Ok(prepared);
        }
    }
}

/// As whom the environment is worked on.
pub(crate) fn identity(spec: &Spec, door: &Door) -> Identity {
    identity_in(&spec.environment, door)
}

fn identity_in(environment: &spec::Environment, door: &Door) -> Identity {
    let spec::Environment { region, profile, role_arn, .. } = environment;
    credentials::identity(door, region.clone(), profile.clone(), role_arn.clone())
}

/// The ECR tokens for the place the spec names.
pub(crate) fn ecr_logins(spec: &Spec, door: &Door) -> Result<Logins, Failure> {
    // What is promoted goes by ECR's API, which needs no login.
    if spec.promotion.is_some() {
        return Ok(Logins::of_this_run());
    }
    match spec.environment.place {
        spec::Place::Aws => credentials::logins(door, &identity(spec, door)),
        // Gone with the sandbox, and had for nothing.
        spec::Place::Sandbox => Ok(Logins::of_this_run()),
    }
}

/// Who logs in to the registries of other accounts that a build takes images from.
pub(crate) fn guests(spec: &Spec, door: &Door) -> Guests {
    let (place, door) = (spec.environment.place.clone(), door.clone());
    Guests::by(move |host| credentials::guest(host, &place, &door))
}

/// Clients for the place the spec names.
pub(crate) async fn connect(spec: &Spec, door: &Door, sleeping: Sleeping) -> Result<Connected, Failure> {
    connect_to(&spec.environment, door, sleeping).await
}

async fn connect_to(environment: &spec::Environment, door: &Door, sleeping: Sleeping) -> Result<Connected, Failure> {
    let sandbox = match environment.place {
        spec::Place::Aws => None,
        spec::Place::Sandbox => Some(sandbox(door, sleeping).await?),
    };
    let endpoint = match &sandbox {
        None => Endpoint::Aws,
        Some(running) => Endpoint::At { url: running.endpoint.clone() },
    };
    let aws = aws::connect(&endpoint, &identity_in(environment, door)).await?;
    let aws = match &sandbox {
        None => aws,
        Some(running) => aws.at_speed(running.speed.max(1.0)),
    };
    Ok(Connected { aws, sandbox })
}

/// The sandbox that runs, started when that is asked for.
async fn sandbox(door: &Door, sleeping: Sleeping) -> Result<daemon::Running, Failure> {
    let state = super::sandbox::state_folder(door)?;
    match (daemon::running(&state).await, sleeping) {
        (Some(running), _) => Ok(running),
        (None, Sleeping::Start) => super::sandbox::start(&SandboxUp::default(), door).await,
        (None, Sleeping::Refuse) => Err(Failure::SandboxSleeps),
    }
}

/// The engine that docker itself would use here.
pub(crate) async fn engine(door: &Door) -> Result<Engine, Failure> {
    let inputs = engine_inputs(door)?;
    Ok(Engine::connect(&inputs, &|path: &Path| fs::read(path)).await?)
}

fn engine_inputs(door: &Door) -> Result<EndpointInputs, Failure> {
    let (variables, globals) = (&door.surroundings.variables, &door.globals);
    let value = |name| variables.get(name).map(str::to_owned);
    let config_dir = door.docker_config().unwrap_or_default();
    let config_path = config_dir.join("config.json");
    let config_file = match fs::read_to_string(&config_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(Failure::read(config_path, source)),
    };
    Ok(EndpointInputs {
        flags: DockerFlags {
            context: globals.context.clone(),
            hosts: globals.host.iter().cloned().collect(),
            tls: globals.tls,
            tlsverify: globals.tls_verify,
            tlscacert: globals.tls_ca_cert.clone(),
            tlscert: globals.tls_cert.clone(),
            tlskey: globals.tls_key.clone(),
        },
        environment: DockerEnvironment {
            host: value(env::DOCKER_HOST),
            context: value(env::DOCKER_CONTEXT),
            tls: value(env::DOCKER_TLS),
            tls_verify: value(env::DOCKER_TLS_VERIFY),
            cert_path: variables.path(env::DOCKER_CERT_PATH),
            api_version: value(env::DOCKER_API_VERSION),
            custom_headers: value(env::DOCKER_CUSTOM_HEADERS),
        },
        config_dir,
        config_file,
        dial_stdio: variables.get(env::DOCKER_CLI_PLUGIN_USE_DIAL_STDIO).map(|_| {
            let globals = globals.to_words().into_iter().map(|word| word.to_string_lossy().into_owned());
            std::iter::once("docker".to_owned()).chain(globals).collect()
        }),
    })
}

/// The variables that the builds are to be given, and no other.
pub(crate) fn build_variables(spec: &Spec, door: &Door) -> BuildVariables {
    let wanted = spec.images.values().flat_map(|image| image.secrets.values()).filter_map(|secret| match secret {
        BuildSecret::Variable(name) => Some(name),
        BuildSecret::File(_) => None,
    });
    let variables = &door.surroundings.variables;
    let mut all = variables.to_text();
    let secrets = wanted.filter_map(|name| Some((name.clone(), Secret::new(all.remove(name)?)))).collect();
    BuildVariables {
        secrets,
        agent: variables.path(env::SSH_AUTH_SOCK),
        docker_config: door.docker_config().unwrap_or_default(),
        // What is kept in memory until the session ends, where there is such a folder.
        scratch: variables.path(env::XDG_RUNTIME_DIR).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir),
    }
}

/// The logins that docker knows, for private base images: those of registries that a Dockerfile or its
/// arguments name, because a helper may be slow or ask a person.
pub(crate) async fn logins(spec: &Spec, door: &Door) -> (RegistryAuth, Vec<String>) {
    let mut named = String::new();
    for image in spec.images.values() {
        named.push_str(&fs::read_to_string(&image.dockerfile).unwrap_or_default());
        for value in image.args.values() {
            named.push('\n');
            named.push_str(value);
        }
        let written = image.cache_to.iter().filter_map(|to| match to {
            CacheTo::Registry { image, options: _ } => Some(image),
            CacheTo::Inline => None,
        });
        for cache in image.cache_from.iter().chain(written) {
            if let CacheImage::Elsewhere(reference) = cache {
                named.push('\n');
                named.push_str(&reference.name.registry);
            }
        }
    }
    logins_for(&named, door).await
}

/// The logins that docker knows for the registries in a text. A store that cannot be read must not stop
/// what needs none of it: what could not be had is told as a warning.
pub(crate) async fn logins_for(named: &str, door: &Door) -> (RegistryAuth, Vec<String>) {
    let Some(folder) = door.docker_config() else {
        return (RegistryAuth::default(), Vec::new());
    };
    let variable = door.surroundings.variables.get(env::DOCKER_AUTH_CONFIG);
    let config = match DockerConfig::load(&folder, variable).await {
        Ok(config) => config,
        Err(error) => return (RegistryAuth::default(), vec![error.to_string()]),
    };
    let (mut auth, mut warnings) = (RegistryAuth::default(), Vec::new());
    for server in config.registries() {
        // Docker Hub is what has no host in front. Our own helper would only ask us.
        let is_hub = server == "index.docker.io";
        if !(is_hub || named.contains(&server)) || config.is_helped_by(&server, "ecs-ship") {
            continue;
        }
        match config.lookup(&server).await {
            Ok(Some(Login::Password { username, password })) => {
                let server = if is_hub { "docker.io".to_owned() } else { server };
                auth = auth.with(RegistryCredentials { username, password, server });
            }
            // BuildKit's session as bollard speaks it has no place for an identity token.
            Ok(Some(Login::IdentityToken(_) | Login::RegistryToken(_)) | None) => {}
            Err(error) => warnings.push(format!("no login for {server}: {error}")),
        }
    }
    (auth, warnings)
}
