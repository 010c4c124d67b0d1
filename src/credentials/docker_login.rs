//! A login handed to docker's own credential store, as `docker login` hands it, and taken back.

use std::path::{Path, PathBuf};

use super::{
    cache::Login,
    docker_config::{DockerConfig, DockerConfigError},
    docker_file::{DockerFile, DockerFileError},
};

/// The helper that this program is itself.
pub const OURSELVES: &str = "ecs-ship";

#[derive(Debug, thiserror::Error)]
pub enum DockerLoginError {
    #[error(transparent)]
    File(#[from] DockerFileError),
    #[error(transparent)]
    Helper(#[from] DockerConfigError),
}

/// What keeps it for docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// `docker-credential-<name>`.
    Helper(String),
    /// Docker's configuration file, in plain text.
    File(PathBuf),
    /// Docker asks us for this registry, so there is nothing to hand over.
    Ourselves,
}

/// Hands a login over: to the registry's helper, else to the store of all, else into the file.
pub async fn hand(folder: &Path, registry: &str, login: &Login) -> Result<Keeper, DockerLoginError> {
    let mut file = DockerFile::read(folder)?;
    let helper = file.helper(registry).or(file.store()).map(str::to_owned);
    let keeper = match helper {
        Some(helper) if helper == OURSELVES => return Ok(Keeper::Ourselves),
        Some(helper) => {
            DockerConfig::default().store(&helper, registry, login).await?;
            file.mark_login(registry);
            Keeper::Helper(helper)
        }
        None => {
            file.set_login(registry, login);
            Keeper::File(file.path().to_owned())
        }
    };
    file.save()?;
    Ok(keeper)
}

/// Takes a login back from wherever docker keeps it now.
pub async fn take_back(folder: &Path, registry: &str) -> Result<(), DockerLoginError> {
    let mut file = DockerFile::read(folder)?;
    let helper = file.helper(registry).or(file.store()).map(str::to_owned);
    if let Some(helper) = helper.filter(|helper| helper != OURSELVES) {
        DockerConfig::default().erase(&helper, registry).await?;
    }
    file.remove_login(registry);
    file.save()?;
    Ok(())
}
