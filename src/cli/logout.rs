//! `logout`: forgets kept tokens, and takes back what docker was given.

use super::{Door, args, credentials, login::LoginError};
use crate::{
    credentials::{
        docker_login,
        handed::{Handed, HandedList},
    },
    exit::Exit,
    failure::Failure,
    report::words,
};

pub async fn run(args: &args::Logout, door: &Door) -> Result<Exit, Failure> {
    let registry = args
        .registry
        .as_deref()
        .map(|typed| typed.split_once("://").map_or(typed, |(_, rest)| rest).trim_end_matches('/'));
    let cache = credentials::cache(door, &credentials::settings(door)?)?;
    // A session is no registry's: it goes with everything else.
    let sessions = if registry.is_none() { cache.forget_sessions().map_err(LoginError::Forget)? } else { 0 };
    let forgotten = cache.forget_all(registry).map_err(LoginError::Forget)?;
    credentials::tell_notes(&cache, door)?;
    door.tell(&match registry {
        Some(registry) => format!("forgot {} of {registry}\n", words::count(forgotten, "token")),
        None if sessions > 0 => {
            let (tokens, sessions) = (words::count(forgotten, "token"), words::count(sessions, "session"));
            format!("forgot {tokens} and {sessions} in roles with MFA\n")
        }
        None => format!("forgot {}\n", words::count(forgotten, "token")),
    })?;
    let Some(list) = credentials::folder(door).and_then(|folder| HandedList::open(&folder).ok()) else {
        return Ok(Exit::Done);
    };
    let meant = |handed: &Handed| registry.is_none_or(|registry| handed.registry == registry);
    for handed in list.read().iter().filter(|handed| meant(handed)) {
        docker_login::take_back(&handed.docker_config, &handed.registry).await.map_err(LoginError::from)?;
        list.change(|all| all.retain(|known| known != handed)).map_err(LoginError::Forget)?;
        let config = handed.docker_config.join("config.json");
        door.tell(&format!("took {} out of docker's store ({})\n", handed.registry, config.display()))?;
    }
    Ok(Exit::Done)
}
