//! What the verbs and the credential helper share of the ECR login: the user's settings, whose credentials
//! are taken, and where tokens are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Door, sessions::Kept, show};
use crate::{
    aws::{AskMfa, Identity, Role, Sessions, Variables, principal},
    config::{
        error::ConfigErrors,
        file,
        settings::{self, Settings},
        sources::Sources,
        spec::Place,
        variables::{self, Piece},
    },
    credentials::{Cache, Choice, DesktopSession},
    env,
    failure::{Failure, VariableError},
    image::EcrHost,
    run::{
        guests::{Guest, Otherwise},
        login::{Logins, Registry, scope},
    },
};

/// Where the user's settings are.
pub(crate) fn settings_path(door: &Door) -> Option<PathBuf> {
    Some(door.surroundings.config_home()?.join("docker-ecs-ship").join(settings::FILE_NAME))
}

/// The user's settings; none are the defaults.
pub(crate) fn settings(door: &Door) -> Result<Settings, Failure> {
    let Some(path) = settings_path(door) else { return Ok(Settings::default()) };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(source) => return Err(Failure::read(path, source)),
    };
    let broken = |text: &str, errors| {
        let errors = ConfigErrors { sources: Sources::of(path.display().to_string(), text), errors };
        Failure::Config { errors, look: show::look(door) }
    };
    let text = file::text(&bytes).map_err(|error| broken("", vec![error]))?;
    Settings::parse(text).map_err(|errors| broken(text, errors))
}

/// Where tokens are kept: by the variable, else by the settings.
fn choice(door: &Door, settings: &Settings) -> Result<Choice, Failure> {
    let variable = door.surroundings.variables.get(env::ECS_SHIP_CREDENTIAL_STORE);
    if let Some(value) = variable {
        return value.parse().map_err(|()| {
            Failure::Variable(VariableError {
                name: env::ECS_SHIP_CREDENTIAL_STORE,
                value: value.to_owned(),
                expected: Choice::NAMES.join(", "),
            })
        });
    }
    let written = settings.store.as_deref().map(|name| name.parse().expect("the settings have been judged"));
    Ok(written.unwrap_or_default())
}

/// The folder of the tokens.
pub(crate) fn folder(door: &Door) -> Option<PathBuf> {
    Some(door.surroundings.state_folder()?.join("credentials"))
}

/// Where tokens are kept.
pub(crate) fn cache(door: &Door, settings: &Settings) -> Result<Cache, Failure> {
    let choice = choice(door, settings)?;
    Ok(folder(door).map_or_else(Cache::nowhere, |folder| Cache::open(&folder, choice).in_session(session(door))))
}

fn session(door: &Door) -> DesktopSession {
    let variables = &door.surroundings.variables;
    DesktopSession {
        bus: variables.get(env::DBUS_SESSION_BUS_ADDRESS).map(str::to_owned),
        runtime_folder: variables.path(env::XDG_RUNTIME_DIR),
    }
}

/// As whom, and in which region.
pub(crate) fn identity(
    door: &Door,
    region: Option<String>,
    profile: Option<String>,
    role_arn: Option<String>,
) -> Identity {
    let variables = Variables::read(|name| door.surroundings.variables.get(name).map(str::to_owned));
    let role = role_arn.map(|arn| Role { arn, session_name: variables.session_name() });
    let sessions = Sessions::kept_by(Kept(door.clone()));
    Identity { region, profile, role, ask: AskMfa(ask_mfa), sessions, variables }
}

/// The kept tokens of a caller.
pub(crate) fn logins(door: &Door, identity: &Identity) -> Result<Logins, Failure> {
    let settings = settings(door)?;
    let region = principal::region(identity).unwrap_or_default();
    Ok(Logins::new(cache(door, &settings)?, scope(identity, &region)))
}

/// As whom a registry is logged in to when nobody has named an environment: by the variable, by the user's
/// settings, by an environment of the nearest `ship.toml` that is for the registry's account.
pub(crate) fn identity_for(registry: &Registry, host: &str, settings: &Settings, door: &Door) -> Identity {
    let region = Some(registry.region().to_owned());
    let named = door.surroundings.variables.get(env::ECS_SHIP_PROFILE).map(str::to_owned);
    if named.is_some() {
        return identity(door, region, named, None);
    }
    let said = by_settings(registry, host, settings, door).or_else(|| by_ship_toml(registry, door));
    said.unwrap_or_else(|| identity(door, region, None, None))
}

fn by_settings(registry: &Registry, host: &str, settings: &Settings, door: &Door) -> Option<Identity> {
    let found = settings.registry(host)?;
    Some(identity(door, Some(registry.region().to_owned()), found.profile.clone(), found.role_arn.clone()))
}

fn by_ship_toml(registry: &Registry, door: &Door) -> Option<Identity> {
    match registry {
        Registry::Private(host) => {
            let (profile, role_arn) = of_ship_toml(host, door)?;
            Some(identity(door, Some(registry.region().to_owned()), profile, role_arn))
        }
        Registry::Public(_) => None,
    }
}

/// As whom the registry of another account is logged in to in a run: as the settings say, or an environment for that
/// account, and from the sandbox, which has nobody for AWS, as the helper would.
pub(crate) fn guest(host: &str, place: &Place, door: &Door) -> Option<Guest> {
    let registry = Registry::of(host)?;
    // A mistake in the settings has been told where they were read first.
    let settings = settings(door).ok()?;
    let (identity, otherwise) = match place {
        Place::Sandbox => (identity_for(&registry, host, &settings, door), Otherwise::Without),
        Place::Aws => by_settings(&registry, host, &settings, door)
            .map(|identity| (identity, Otherwise::Fail))
            .or_else(|| Some((by_ship_toml(&registry, door)?, Otherwise::Own)))?,
    };
    // In the middle of a run there is no place for a question.
    let identity = Identity { ask: AskMfa::default(), ..identity };
    let logins = Logins::new(cache(door, &settings).ok()?, scope(&identity, registry.region()));
    Some(Guest { identity, logins, otherwise })
}

/// Profile and role of the environment for this account, by its `account`, or where it has none by what its role or
/// its profile says of itself: the one in the same region before one that names none. A file that cannot be read
/// has nothing to say here.
fn of_ship_toml(host: &EcrHost, door: &Door) -> Option<(Option<String>, Option<String>)> {
    let folder = door.surroundings.folder().ok()?;
    let named = door.surroundings.variables.path(env::ECS_SHIP_FILE).map(|path| folder.join(path));
    let path = named.or_else(|| file::find(folder.ancestors(), Path::is_file).ok())?;
    let text = fs::read_to_string(&path).ok()?;
    let root = path.parent().unwrap_or(folder);
    let environments = file::parse_all(file::FILE_NAME, &text, root, |path| fs::read(path)).file.environments;
    let mut fitting: Vec<_> = environments
        .iter()
        .filter_map(|(name, table)| {
            let plain = |value: Option<&str>, account: &str| expand(value?, name, account, door);
            let written = |value: &Option<file::Written<String>>, account: &str| {
                plain(value.as_ref().map(|written| written.value.as_str()), account)
            };
            let role_account = || principal::account_of_role(&written(&table.role_arn, "")?);
            let profile_account = || {
                let aws = Variables::read(|name| door.surroundings.variables.get(name).map(str::to_owned));
                principal::account_of_profile(&aws, &written(&table.profile, "")?)
            };
            let account = written(&table.account, "").or_else(role_account).or_else(profile_account)?;
            let region = written(&table.region, &account);
            let fits = account == host.account && region.as_ref().is_none_or(|region| *region == host.region);
            let (profile, role) = (written(&table.profile, &account), written(&table.role_arn, &account));
            (fits && (profile.is_some() || role.is_some())).then_some((region.is_none(), profile, role))
        })
        .collect();
    fitting.sort_by_key(|(anywhere, ..)| *anywhere);
    fitting.into_iter().next().map(|(_, profile, role)| (profile, role))
}

/// Fills in what is known here; a value with anything else in it says nothing.
fn expand(text: &str, environment: &str, account: &str, door: &Door) -> Option<String> {
    let mut value = String::new();
    for piece in variables::pieces(text).ok()? {
        match piece {
            Piece::Literal(text) => value.push_str(&text),
            Piece::Variable(variable) => match variable.name.as_str() {
                "environment" => value.push_str(environment),
                "account" if !account.is_empty() => value.push_str(account),
                other => {
                    let set = other.strip_prefix("env.").and_then(|name| door.surroundings.variables.get(name));
                    value.push_str(&set.map(str::to_owned).or(variable.default)?);
                }
            },
        }
    }
    Some(value)
}

/// Under `--debug`, what was odd about the stores.
pub(crate) fn tell_notes(cache: &Cache, door: &Door) -> Result<(), Failure> {
    if door.globals.debug == Some(true) {
        for note in cache.notes() {
            door.tell(&format!("debug: {note}\n"))?;
        }
    }
    Ok(())
}

/// After a run: what was odd about the stores, and where its token went if nothing could keep it.
pub(crate) fn tell_of_keeping(cache: &Cache, door: &Door) -> Result<(), Failure> {
    tell_notes(cache, door)?;
    match memory_only(cache) {
        Some(hint) => door.tell(&format!("hint: {hint}\n")),
        None => Ok(()),
    }
}

/// One hint where tokens are to be kept and no store works.
pub(crate) fn memory_only(cache: &Cache) -> Option<String> {
    let trouble = cache.trouble()?;
    Some(format!(
        "no keyring works here ({trouble}), so the ECR token is kept in memory only; on a machine of its own, \
         ECS_SHIP_CREDENTIAL_STORE=file keeps it in a file for this user alone"
    ))
}

/// Asks on the terminal, also where the standard streams are something else. The code can be seen while it is typed:
/// it is worth nothing a moment later, and a terminal that was told to hide it stays so when Ctrl-C ends us.
#[cfg(unix)]
fn ask_mfa(serial: &str) -> Option<String> {
    use std::io::{BufRead as _, Write as _};

    let mut terminal = fs::File::options().read(true).write(true).open("/dev/tty").ok()?;
    write!(terminal, "MFA code of {serial}: ").ok()?;
    let mut code = String::new();
    io::BufReader::new(&terminal).read_line(&mut code).ok()?;
    Some(code)
}

#[cfg(not(unix))]
fn ask_mfa(_: &str) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::surroundings::Surroundings, plugin::globals::Globals};

    const HOST: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

    fn door(home: &Path, variables: &[(&str, &str)]) -> Door {
        let surroundings = Surroundings::for_test(home, variables.iter().copied().collect());
        Door { surroundings, globals: Globals::default(), name: "docker ecs-ship".to_owned() }
    }

    #[test]
    fn stores_have_one_list_of_names() {
        assert_eq!(settings::STORES, Choice::NAMES);
    }

    #[test]
    fn the_store_is_taken_from_the_variable_then_from_the_settings() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/docker-ecs-ship");
        fs::create_dir_all(&folder).unwrap();
        let plain = door(home.path(), &[]);
        assert_eq!(choice(&plain, &settings(&plain).unwrap()).unwrap(), Choice::Auto);
        fs::write(folder.join("settings.toml"), "[credentials]\nstore = \"none\"\n").unwrap();
        assert_eq!(choice(&plain, &settings(&plain).unwrap()).unwrap(), Choice::Nothing);
        let variable = door(home.path(), &[("ECS_SHIP_CREDENTIAL_STORE", "keyutils")]);
        let written = settings(&plain).unwrap();
        assert_eq!(choice(&variable, &written).unwrap(), "keyutils".parse().unwrap());
        let wrong = door(home.path(), &[("ECS_SHIP_CREDENTIAL_STORE", "keyring")]);
        assert!(choice(&wrong, &written).unwrap_err().to_string().contains("auto, secret-service"));
    }

    #[test]
    fn a_registry_is_logged_in_to_as_the_settings_or_ship_toml_say() {
        let home = tempfile::tempdir().unwrap();
        let ship = "format = 1\n[environments.anywhere]\naccount = \"111111111111\"\nprofile = \"anywhere\"\n\
                    [environments.ireland]\naccount = \"${env.ACCOUNT:-111111111111}\"\nregion = \"eu-west-1\"\nprofile = \"${environment}-${account}\"\n\
                    [environments.role]\nprofile = \"by-role\"\nrole_arn = \"arn:aws:iam::333333333333:role/ship\"\n\
                    [environments.sso]\nprofile = \"by-sso\"\n\
                    [environments.other]\naccount = \"222222222222\"\nprofile = \"${git.branch}\"\n";
        fs::write(home.path().join("ship.toml"), ship).unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/config"), "[profile by-sso]\nsso_account_id = 444444444444\n").unwrap();
        let of = |host: &str, settings: &Settings, variables: &[(&str, &str)]| {
            let registry = Registry::of(host).unwrap();
            identity_for(&registry, host, settings, &door(home.path(), variables)).profile
        };
        let none = Settings::default();
        let written = Settings::parse("[registries.111111111111]\nprofile = \"settings\"\n").unwrap();
        assert_eq!(of(HOST, &none, &[]).as_deref(), Some("ireland-111111111111"));
        assert_eq!(of("111111111111.dkr.ecr.us-east-1.amazonaws.com", &none, &[]).as_deref(), Some("anywhere"));
        assert_eq!(of("222222222222.dkr.ecr.us-east-1.amazonaws.com", &none, &[]), None);
        assert_eq!(of("public.ecr.aws", &none, &[]), None);
        // Of an environment without `account` the role or the profile may say whose it is.
        assert_eq!(of("333333333333.dkr.ecr.us-east-1.amazonaws.com", &none, &[]).as_deref(), Some("by-role"));
        let home_variable = home.path().to_string_lossy().into_owned();
        let at_home = [("HOME", home_variable.as_str())];
        assert_eq!(of("444444444444.dkr.ecr.us-east-1.amazonaws.com", &none, &at_home).as_deref(), Some("by-sso"));
        assert_eq!(of("555555555555.dkr.ecr.us-east-1.amazonaws.com", &none, &at_home), None);
        assert_eq!(of(HOST, &none, &[("ACCOUNT", "333333333333")]).as_deref(), Some("anywhere"));
        assert_eq!(of(HOST, &written, &[]).as_deref(), Some("settings"));
        assert_eq!(of(HOST, &written, &[("ECS_SHIP_PROFILE", "variable")]).as_deref(), Some("variable"));
    }
}
