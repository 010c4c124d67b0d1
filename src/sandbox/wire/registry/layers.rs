//! Layers through ECR's API, as tools push that speak no `/v2/`: `InitiateLayerUpload`, `UploadLayerPart`,
//! `CompleteLayerUpload`. They are of the wire and not of the world, because the bytes go to the disk.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::super::world::ecr::{self, Ecr};
use super::super::super::world::{Fault, Millis, Place, World};
use super::Store;
use super::store::Upload;

/// What `InitiateLayerUpload` tells clients to send at once: 10 MiB, and the most that a part may have.
const PART_SIZE: usize = 10 * 1024 * 1024;
const LARGEST_PART: usize = 20_971_520;

/// "Layer parts must be at least 5 MiB", all but the last.
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initiate {
    repository_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    repository_name: String,
    upload_id: String,
    #[serde(rename = "partFirstByte")]
    first: u64,
    #[serde(rename = "partLastByte")]
    last: u64,
    #[serde(rename = "layerPartBlob")]
    blob: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complete {
    repository_name: String,
    upload_id: String,
    layer_digests: Vec<String>,
}

/// Does one of the three calls; nothing for any other.
pub(in super::super) async fn call(
    world: &Mutex<World>,
    store: &Store,
    operation: &str,
    input: &Value,
    now: Millis,
) -> Option<Result<Value, Fault>> {
    Some(match operation {
        "InitiateLayerUpload" => initiate(world, store, input, now).await,
        "UploadLayerPart" => part(world, store, input, now).await,
        "CompleteLayerUpload" => complete(world, store, input, now).await,
        _ => return None,
    })
}

async fn initiate(world: &Mutex<World>, store: &Store, input: &Value, now: Millis) -> Result<Value, Fault> {
    let Initiate { repository_name: name } = read(input)?;
    with_repository(world, &name, |_, _| Ok(()))?;
    let id = store.begin(&name, now).await.map_err(|error| failed(&error))?;
    Ok(json!({ "uploadId": id, "partSize": PART_SIZE }))
}

async fn part(world: &Mutex<World>, store: &Store, input: &Value, now: Millis) -> Result<Value, Fault> {
    let Part { repository_name: name, upload_id: id, first, last, blob } = read(input)?;
    let account = with_repository(world, &name, |place, _| Ok(place.account.clone()))?;
    let upload = upload(store, &name, &id, &account, now)?;
    let bytes = STANDARD.decode(blob).map_err(|_| invalid("layerPartBlob", "must be base64"))?;
    let mut upload = upload.lock().await;
    let expected = upload.size();
    if first != expected || last.checked_sub(first).is_none_or(|length| length + 1 != bytes.len() as u64) {
        return Err(refuse(
            "InvalidLayerPartException",
            format!(
                "The layer part with first byte {first} and last byte {last} of {} bytes is not valid for upload '{id}' in repository '{name}': the next byte is {expected}",
                bytes.len()
            ),
        ));
    }
    if bytes.len() > LARGEST_PART {
        return Err(invalid("layerPartBlob", "Member must have length less than or equal to 20971520"));
    }
    if let Err(error) = upload.write(&bytes).await {
        // What is on disk is no longer what was counted.
        store.forget(&id);
        return Err(failed(&error));
    }
    upload.parted(bytes.len() as u64);
    Ok(json!({ "registryId": account, "repositoryName": name, "uploadId": id, "lastByteReceived": last }))
}

async fn complete(world: &Mutex<World>, store: &Store, input: &Value, now: Millis) -> Result<Value, Fault> {
    let Complete { repository_name: name, upload_id: id, layer_digests } = read(input)?;
    let account = with_repository(world, &name, |place, _| Ok(place.account.clone()))?;
    let found = upload(store, &name, &id, &account, now)?;
    let mut upload = found.lock().await;
    if upload.size() == 0 {
        return Err(refuse("EmptyUploadException", format!("The upload '{id}' does not contain any layer parts")));
    }
    if upload.smallest_part().is_some_and(|smallest| smallest < SMALLEST_PART) {
        return Err(refuse(
            "LayerPartTooSmallException",
            format!("All layer parts of upload '{id}' but the last must be at least {SMALLEST_PART} bytes"),
        ));
    }
    let computed = upload.digest();
    if !layer_digests.contains(&computed) {
        let stated = layer_digests.join(", ");
        return Err(refuse(
            "InvalidLayerException",
            format!("Layer digest '{stated}' does not match computed layer digest '{computed}'"),
        ));
    }
    if with_repository(world, &name, |_, ecr| {
        Ok(ecr.repository(&name).and_then(|one| one.layer_size(&computed)).is_some())
    })? {
        store.forget(&id);
        return Err(refuse(
            "LayerAlreadyExistsException",
            format!(
                "The layer with digest '{computed}' already exists in the repository with name '{name}' in registry with id '{account}'"
            ),
        ));
    }
    store.forget(&id);
    store.keep(&mut upload, &computed).await.map_err(|error| failed(&error))?;
    // The repository may have been deleted meanwhile.
    with_repository(world, &name, |_, ecr| Ok(ecr.add_layer(&name, &computed, upload.size())))?;
    Ok(json!({ "registryId": account, "repositoryName": name, "uploadId": id, "layerDigest": computed }))
}

fn upload(
    store: &Store,
    name: &str,
    id: &str,
    account: &str,
    now: Millis,
) -> Result<Arc<tokio::sync::Mutex<Upload>>, Fault> {
    store.upload(name, id, now).ok_or_else(|| {
        refuse(
            "UploadNotFoundException",
            format!(
                "The upload with id '{id}' does not exist in the repository with name '{name}' in the registry with id '{account}'"
            ),
        )
    })
}

fn with_repository<T>(
    world: &Mutex<World>,
    name: &str,
    act: impl FnOnce(&Place, &mut Ecr) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let World { place, ecr, .. } = &mut *world;
    if ecr.has_repository(name) { act(place, ecr) } else { Err(ecr::repository_not_found(name, &place.account)) }
}

fn read<T: DeserializeOwned>(input: &Value) -> Result<T, Fault> {
    ecr::decode(input)
}

fn refuse(code: &str, message: String) -> Fault {
    Fault::new(code, message)
}

fn invalid(member: &str, constraint: &str) -> Fault {
    let message = format!("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'");
    refuse("InvalidParameterException", message)
}

fn failed(error: &std::io::Error) -> Fault {
    Fault {
        status: 500,
        code: "ServerException".to_owned(),
        message: format!("The sandbox could not store the layer: {error}"),
    }
}
