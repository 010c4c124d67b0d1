//! `login`: whose token is kept, where and for how long; and one that is fetched where there is none.

use jiff::Timestamp;
use serde_json::json;

use super::{
    Door,
    args::{self, Selection, TableFormat},
    credentials,
    prepare::{self, Sleeping},
    show,
};
use crate::{
    aws::{self, Endpoint, Identity, sts},
    config::error::Mistake,
    config::spec::{self, Spec},
    credentials::{
        DockerLoginError, Had, How, Kind, Want,
        docker_login::{self, Keeper},
        handed::{Handed, HandedList},
    },
    exit::Exit,
    failure::Failure,
    image::EcrHost,
    observe,
    report::words,
    run::login::{Caller, Logins, Registry},
};

/// Why a login is not to be had, besides what AWS says.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("{registry} is not a registry of ECR")]
    NotEcr { registry: String },
    #[error("environment {environment} is for account {wanted}, and these credentials ({identity}) belong to {found}")]
    WrongAccount { environment: String, wanted: String, found: String, identity: String },
    #[error(transparent)]
    Docker(#[from] DockerLoginError),
    #[error("the tokens cannot be forgotten")]
    Forget(#[source] std::io::Error),
}

/// What is logged in to, and as whom.
struct Target {
    identity: Identity,
    logins: Logins,
    /// The host; `None` where only AWS knows the account.
    registry: Option<String>,
    spec: Option<Spec>,
}

pub async fn run(args: &args::Login, door: &Door) -> Result<Exit, Failure> {
    let target = target(args, door).await?;
    if args.check {
        return Ok(if is_kept(&target) { Exit::Done } else { Exit::Environment });
    }
    let want = if args.refresh { Want::New } else { Want::Fresh };
    let (registry, had) = had(&target, want, door).await?;
    credentials::tell_notes(target.logins.cache(), door)?;
    let about = &had.entry.about;
    let environment = target.spec.as_ref().map(|spec| &spec.environment);
    if let (Some(environment), Some(found)) = (environment, &about.account)
        && let Some(wanted) = environment.account.as_ref().filter(|wanted| *wanted != found)
    {
        return Err(Failure::Login(LoginError::WrongAccount {
            environment: environment.name.clone().unwrap_or_default(),
            wanted: wanted.clone(),
            found: found.clone(),
            identity: about.identity.clone(),
        }));
    }
    if let How::Kept(error) = &had.how {
        door.tell(&format!("warning: a new token could not be had, so the old one is kept: {error}\n"))?;
    }
    let keeper = match (args.docker, door.docker_config()) {
        (true, Some(folder)) => {
            let keeper = docker_login::hand(&folder, &registry, &had.entry.login).await;
            let keeper = keeper.map_err(LoginError::from)?;
            remember(&registry, folder, &keeper, door);
            Some(keeper)
        }
        (true, None) => return Err(Failure::NoHome),
        (false, _) => None,
    };
    match args.format {
        TableFormat::Table => door.print(&table(&registry, &had, keeper.as_ref()))?,
        TableFormat::Json => door.print(&format!("{}\n", as_json(&registry, &had, keeper.as_ref())))?,
    }
    if had.kept.is_none()
        && let Some(hint) = credentials::memory_only(target.logins.cache())
    {
        door.tell(&format!("hint: {hint}\n"))?;
    }
    Ok(Exit::Done)
}

/// Finds out what is meant: the registry that was named, that of the environment, or the account's own.
async fn target(args: &args::Login, door: &Door) -> Result<Target, Failure> {
    let made = |identity: Identity, registry, spec| {
        let logins = credentials::logins(door, &identity)?;
        Ok(Target { identity, logins, registry, spec })
    };
    if let Some(typed) = &args.registry {
        let host = typed.split_once("://").map_or(typed.as_str(), |(_, rest)| rest).trim_end_matches('/');
        let registry = Registry::of(host).ok_or_else(|| LoginError::NotEcr { registry: host.to_owned() })?;
        let settings = credentials::settings(door)?;
        let mut identity = credentials::identity_for(&registry, host, &settings, door);
        if args.at.profile.is_some() {
            identity.profile.clone_from(&args.at.profile);
            identity.role = None;
        }
        return made(identity, Some(host.to_owned()), None);
    }
    let selection = Selection { at: args.at.clone(), ..Selection::default() };
    let spec = match prepare::understand(&selection, door).await {
        Ok(understood) => understood.spec,
        // Without a file there is still an account.
        Err(Failure::Config { errors, .. })
            if args.at.environment.is_none()
                && errors.errors.iter().all(|error| matches!(*error.mistake, Mistake::NoFile { .. })) =>
        {
            let region = args.at.region.clone();
            return made(credentials::identity(door, region, args.at.profile.clone(), None), None, None);
        }
        Err(failure) => return Err(failure),
    };
    if spec.environment.place == spec::Place::Sandbox {
        let identity = prepare::identity(&spec, door);
        return Ok(Target { identity, logins: Logins::of_this_run(), registry: None, spec: Some(spec) });
    }
    made(prepare::identity(&spec, door), None, Some(spec))
}

/// Whether a token is kept that a registry still takes; asks nobody.
fn is_kept(target: &Target) -> bool {
    let (cache, now) = (target.logins.cache(), show::now_ms());
    match &target.registry {
        Some(registry) => target.logins.find(registry).is_some_and(|(_, entry)| entry.about.is_valid(now)),
        None => cache.find_own(target.logins.scope(), now).is_some(),
    }
}

async fn had(target: &Target, want: Want, door: &Door) -> Result<(String, Had<Failure>), Failure> {
    let Target { identity, logins, registry, spec } = target;
    let connect = async || match spec {
        Some(spec) => Ok(prepare::connect(spec, door, Sleeping::Refuse).await?.aws),
        None => Ok::<_, Failure>(aws::connect(&Endpoint::Aws, identity).await?),
    };
    let own = || logins.cache().find_own(logins.scope(), show::now_ms()).map(|(_, entry)| entry.about.registry);
    let registry = if let Some(known) = registry.clone().or_else(own) {
        known
    } else {
        let aws = connect().await?;
        match aws.endpoint() {
            Endpoint::At { url } => url.trim_start_matches("http://").to_owned(),
            Endpoint::Aws => observe::own_registry(&sts::caller(&aws).await?, aws.region()),
        }
    };
    let had = logins.get(&registry, want, Caller::Ask, show::now_ms, connect).await?;
    Ok((registry, had))
}

/// What was handed to docker is taken back by `logout`. That it cannot be noted is no reason to fail.
fn remember(registry: &str, docker_config: std::path::PathBuf, keeper: &Keeper, door: &Door) {
    let list = credentials::folder(door).and_then(|folder| HandedList::open(&folder).ok());
    if let Some(list) = list.filter(|_| *keeper != Keeper::Ourselves) {
        let handed = Handed { registry: registry.to_owned(), docker_config };
        list.change(|all| {
            if !all.contains(&handed) {
                all.push(handed);
            }
        })
        .ok();
    }
}

fn table(registry: &str, had: &Had<Failure>, keeper: Option<&Keeper>) -> String {
    let about = &had.entry.about;
    let now = show::now_ms();
    let host = registry.parse::<EcrHost>().ok();
    let account = match (&about.account, host.map(|host| host.account)) {
        (Some(account), Some(owner)) if *account != owner => {
            format!("{account}; the repositories of {owner} must let it in by their policies")
        }
        (Some(account), _) => account.clone(),
        (None, owner) => owner.unwrap_or_else(|| "-".to_owned()),
    };
    let identity = match &about.caller {
        Some(arn) => format!("{arn} ({})", about.identity),
        None => about.identity.clone(),
    };
    let expires = Timestamp::from_millisecond(i64::try_from(about.expires_ms).unwrap_or(i64::MAX));
    let expires = expires.map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let left = words::duration(about.expires_ms.saturating_sub(now));
    let fetched = match had.how {
        How::Fetched => "just now".to_owned(),
        How::Found | How::Kept(_) => format!("{} ago", words::duration(now.saturating_sub(about.issued_ms))),
    };
    let mut rows = vec![
        ("registry", registry.to_owned()),
        ("account", account),
        ("region", about.region.clone()),
        ("identity", identity),
        ("fetched", fetched),
        ("expires", format!("{expires}, in {left}")),
        ("kept in", had.kept.map_or("memory only", Kind::title).to_owned()),
    ];
    rows.extend(keeper.map(|keeper| ("docker", docker_words(keeper))));
    rows.into_iter().fold(String::new(), |table, (name, value)| table + &format!("{name:<10} {value}\n"))
}

fn docker_words(keeper: &Keeper) -> String {
    match keeper {
        Keeper::Helper(helper) => format!("has it too, in docker-credential-{helper}"),
        Keeper::File(path) => format!("has it too, in plain text in {}", path.display()),
        Keeper::Ourselves => "asks docker-credential-ecs-ship each time: nothing to hand over".to_owned(),
    }
}

fn as_json(registry: &str, had: &Had<Failure>, keeper: Option<&Keeper>) -> serde_json::Value {
    let about = &had.entry.about;
    json!({
        "registry": registry,
        "account": about.account,
        "region": about.region,
        "identity": about.identity,
        "caller": about.caller,
        "issued_ms": about.issued_ms,
        "expires_ms": about.expires_ms,
        "fetched": matches!(had.how, How::Fetched),
        "kept_in": had.kept.map(Kind::name),
        "docker": keeper.map(|keeper| match keeper {
            Keeper::Helper(helper) => helper.clone(),
            Keeper::File(path) => path.display().to_string(),
            Keeper::Ourselves => docker_login::OURSELVES.to_owned(),
        }),
    })
}
