//! Images on the engine: whether one is there, pulling one, and taking away the names of a registry that is gone.

use bollard::{
    auth::DockerCredentials,
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptions, RemoveImageOptions},
};
use futures_util::TryStreamExt as _;

use super::{engine::Engine, error::DockerError, registry::RegistryCredentials};

/// Whether the engine has it, under this very name or digest.
pub async fn is_there(engine: &Engine, image: &str) -> Result<bool, DockerError> {
    match engine.docker().inspect_image(image).await {
        Ok(_) => Ok(true),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(DockerError::api("look for an image", error)),
    }
}

/// Pulls it.
pub async fn pull(engine: &Engine, image: &str, login: Option<&RegistryCredentials>) -> Result<(), DockerError> {
    let credentials = login.map(|login| DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().clone()),
        serveraddress: Some(login.server.clone()),
        ..DockerCredentials::default()
    });
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    // A large image takes its time; nothing else waits.
    let docker = engine.unhurried();
    let pulled = docker.create_image(Some(options), None, credentials).try_for_each(|_| async { Ok(()) });
    pulled.await.map_err(|error| DockerError::api("pull", error))
}

/// Removes every name of a registry, and the images that have no other. What is in use stays.
pub async fn forget_registry(engine: &Engine, registry: &str) -> Result<(), DockerError> {
    let images = engine.docker().list_images(None::<ListImagesOptions>).await;
    let images = images.map_err(|error| DockerError::api("list its images", error))?;
    let own = format!("{registry}/");
    let names = images.into_iter().flat_map(|image| image.repo_tags.into_iter().chain(image.repo_digests));
    for name in names.filter(|name| name.starts_with(&own)) {
        // In use by a container that somebody made of it meanwhile: theirs now.
        let _in_use = engine.docker().remove_image(&name, None::<RemoveImageOptions>, None).await;
    }
    Ok(())
}
