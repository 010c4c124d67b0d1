//! The push stream from recorded lines, and pushes to a registry on loopback.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    config::spec::Builder,
    docker::{
        build::Lent,
        build::build,
        testing::{Mood, Registry, Source, Then, engine, program, reference, remove, told, unique},
    },
};

fn apply(lines: &[Value]) -> PushStream {
    let mut stream = PushStream::default();
    for line in lines {
        stream.apply(line).unwrap();
    }
    stream
}

fn shown(stream: &PushStream) -> Vec<String> {
    stream
        .layers
        .iter()
        .map(|layer| format!("{} {:?} {}/{:?}", layer.id, layer.state, layer.current, layer.total))
        .collect()
}

/// Engine 20.10, as it came.
#[test]
fn the_graphdrivers_stream() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let stream = apply(&[
        json!({"status": "The push refers to repository [localhost:5999/app]"}),
        json!({"status": "Preparing", "progressDetail": {}, "id": "f39382dac8b0"}),
        json!({"status": "Preparing", "progressDetail": {}, "id": "9b6e636fb28f"}),
        json!({"status": "Waiting", "progressDetail": {}, "id": "0dc8126365ca"}),
        json!({"status": "Pushing", "progressDetail": {"current": 33792, "total": 1_982_256}, "id": "9b6e636fb28f"}),
        json!({"status": "Layer already exists", "progressDetail": {}, "id": "f39382dac8b0"}),
        json!({"status": "Pushing", "progressDetail": {"current": 1_986_048, "total": 1_982_256}, "id": "9b6e636fb28f"}),
        json!({"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "0dc8126365ca"}),
    ]);
    assert_eq!(
        shown(&stream),
        [
            "f39382dac8b0 Exists 0/None",
            "9b6e636fb28f Pushing 1982256/Some(1982256)",
            "0dc8126365ca Retrying { seconds: 5 } 0/None",
        ]
    );
    let mut stream = stream;
    for line in [
        json!({"status": "Pushed", "progressDetail": {}, "id": "9b6e636fb28f"}),
        json!({"status": "Mounted from app", "progressDetail": {}, "id": "0dc8126365ca"}),
        json!({"status": format!("v1: digest: {digest} size: 739")}),
        json!({"progressDetail": {}, "aux": {"Tag": "v1", "Digest": digest, "Size": 739}}),
    ] {
        stream.apply(&line).unwrap();
    }
    assert_eq!(stream.digest.unwrap().as_str(), digest);
    assert_eq!(stream.layers[1].state, LayerState::Pushed);
    assert_eq!(stream.layers[2].state, LayerState::Mounted);
}

/// The containerd store sends no aux digest; its aux may be about something else.
#[test]
fn the_containerd_stores_stream() {
    let digest = format!("sha256:{}", "2".repeat(64));
    let stream = apply(&[
        json!({"status": "Waiting", "progressDetail": {}, "id": "aaaaaaaaaaaa"}),
        json!({"status": "Already exists", "progressDetail": {}, "id": "bbbbbbbbbbbb"}),
        json!({"status": "Pushing", "progressDetail": {"current": 10}, "id": "aaaaaaaaaaaa"}),
        json!({"status": "Pushed", "progressDetail": {"current": 20, "total": 20}, "id": "aaaaaaaaaaaa"}),
        json!({"progressDetail": {}, "aux": {"contentMissing": true, "desc": {"digest": "sha256:x"}}}),
        json!({"status": format!("v1: digest: {digest} size: 739")}),
    ]);
    assert_eq!(shown(&stream), ["aaaaaaaaaaaa Pushed 20/Some(20)", "bbbbbbbbbbbb Exists 0/None"]);
    assert_eq!(stream.digest.unwrap().as_str(), digest);
}

#[test]
fn engines_words_have_their_meaning() {
    let missing = |repository: Option<&str>| PushCause::RepositoryMissing { repository: repository.map(str::to_owned) };
    let denied = |action: Option<&str>| PushCause::Denied { action: action.map(str::to_owned) };
    for (message, meant) in [
        ("no basic auth credentials", PushCause::NoBasicAuth),
        (
            "push access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
            PushCause::NoBasicAuth,
        ),
        ("unauthorized: authentication required", PushCause::TokenExpired),
        // Podman 5.8.
        ("checking whether a blob sha256:9db1 exists in 127.0.0.1:1/jobs/api: StatusCode: 403, \"\"", denied(None)),
        // Engine 28.5 with the containerd store.
        (
            "unknown: unexpected status from HEAD request to http://r/v2/x/blobs/sha256:4e5f: 401 Unauthorized",
            PushCause::TokenExpired,
        ),
        (
            "unknown: unexpected status from HEAD request to http://r/v2/x/blobs/sha256:4e5f: 403 Forbidden",
            denied(None),
        ),
        (
            "error from registry: The repository with name 'jobs/api' does not exist in the registry with id '1'",
            missing(Some("jobs/api")),
        ),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", PushCause::TokenExpired),
        (
            "name unknown: The repository with name 'x' does not exist in the registry with id '123456789012'",
            missing(Some("x")),
        ),
        ("unexpected status from POST request to https://r/v2/x/blobs/uploads/: 404 Not Found", missing(None)),
        (
            "denied: User: arn:aws:iam::123456789012:user/u is not authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:123456789012:repository/x",
            denied(Some("ecr:InitiateLayerUpload")),
        ),
        (
            "denied: User: arn:aws:iam::123456789012:user/u is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:us-east-1:123456789012:repository/x with an explicit deny in a resource-based policy",
            PushCause::Forbidden { action: "ecr:PutImage".to_owned() },
        ),
        ("denied: Your Authorization Token is invalid.", PushCause::TokenExpired),
        ("denied: requested access to the resource is denied", denied(None)),
        (
            "tag invalid: The image tag 'v1' already exists in the 'x' repository and cannot be overwritten because the repository is immutable.",
            PushCause::TagImmutable { tag: "v1".to_owned() },
        ),
        ("tag does not exist: 127.0.0.1:1/x:v1", PushCause::TagMissing),
        ("An image does not exist locally with the tag: 127.0.0.1:1/x", PushCause::TagMissing),
        (r#"Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused"#, PushCause::Unreachable),
        ("received unexpected HTTP status: 500 Internal Server Error", PushCause::Unclassified),
    ] {
        assert_eq!(cause(message), meant, "{message}");
    }
}

proptest! {
    #[test]
    fn a_layer_never_has_more_than_all(numbers in proptest::collection::vec((0u64..100, proptest::option::of(0u64..100)), 1..20)) {
        let mut stream = PushStream::default();
        for (current, total) in numbers {
            let mut detail = json!({ "current": current });
            if let Some(total) = total {
                detail["total"] = total.into();
            }
            stream.apply(&json!({"status": "Pushing", "id": "a", "progressDetail": detail})).unwrap();
            let layer = &stream.layers[0];
            prop_assert!(layer.total.is_none_or(|total| layer.current <= total));
        }
    }
}

fn layers(progress: &[Progress]) -> Vec<(bool, Vec<Layer>)> {
    progress
        .iter()
        .map(|progress| match progress {
            Progress::Layers { layers, last } => (*last, layers.clone()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_tells_its_layers_and_yields_the_registrys_digest() {
    let (engine, registry) = (engine().await, Registry::start(Mood::Friendly).await);
    // Its content is new, so that the registry has none of it.
    let source = Source::new(
        "FROM scratch\nCOPY hello /hello\nCOPY other /other\n",
        &[("hello", program(&unique("a"), Then::Exit(0))), ("other", program(&unique("b"), Then::Exit(0)))],
    );
    let image = reference(&registry.host, "jobs/api", &unique("v"));
    let action = source.action(Builder::Auto, std::slice::from_ref(&image));
    told(async |updates| build(&engine, &action, &Lent::default(), updates).await).await.0.unwrap();

    let credentials = registry.credentials();
    let (first, progress) = told(async |updates| push(&engine, &image, &credentials, updates).await).await;
    let tag = image.tag.as_ref().unwrap().as_str();
    assert_eq!(Some(first.as_ref().unwrap().as_str().to_owned()), registry.digest(tag));
    let told_layers = layers(&progress);
    let (last, ended) = told_layers.last().unwrap();
    assert!(*last && told_layers.iter().filter(|(last, _)| *last).count() == 1, "{told_layers:?}");
    let pushed = ended.iter().filter(|layer| layer.state == LayerState::Pushed).count();
    assert!(pushed >= 2, "{ended:?}");

    let (second, progress) = told(async |updates| push(&engine, &image, &credentials, updates).await).await;
    assert_eq!(second.unwrap(), first.unwrap());
    let ended = layers(&progress).pop().unwrap().1;
    let exist = |layer: &Layer| matches!(layer.state, LayerState::Exists | LayerState::Pushed);
    assert!(ended.iter().all(exist) && ended.iter().any(|layer| layer.state == LayerState::Exists), "{ended:?}");
    remove(&engine, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_ecr_is_told_for_what_it_is() {
    let (engine, registry) = (engine().await, Registry::start(Mood::Friendly).await);
    let source = Source::new("FROM scratch\nCOPY hello /hello\n", &[("hello", program(&unique("c"), Then::Exit(0)))]);
    let image = reference(&registry.host, "jobs/api", &unique("v"));
    let action = source.action(Builder::Auto, std::slice::from_ref(&image));
    told(async |updates| build(&engine, &action, &Lent::default(), updates).await).await.0.unwrap();
    let tag = image.tag.as_ref().unwrap().as_str().to_owned();
    let fails = async |credentials: &RegistryCredentials, image: &Reference| match told(async |updates| {
        push(&engine, image, credentials, updates).await
    })
    .await
    {
        (Err(DockerError::Push(failure)), _) => failure,
        (other, _) => panic!("{other:?}"),
    };
    let ours = registry.credentials();
    for (mood, meant) in [
        (Mood::Expired, PushCause::TokenExpired),
        (Mood::NoRepository, PushCause::RepositoryMissing { repository: Some("jobs/api".to_owned()) }),
        (Mood::Denied, PushCause::Denied { action: Some("ecr:InitiateLayerUpload".to_owned()) }),
        (Mood::Forbidden, PushCause::Forbidden { action: "ecr:InitiateLayerUpload".to_owned() }),
        (Mood::Immutable, PushCause::TagImmutable { tag }),
    ] {
        registry.set(mood);
        let failure = fails(&ours, &image).await;
        // The containerd store and podman ask with HEAD first, whose answer has no body to say why.
        let bare = (failure.message.contains("from HEAD request") && failure.message.ends_with("403 Forbidden"))
            || failure.message.ends_with("StatusCode: 403, \"\"");
        let meant = if bare { PushCause::Denied { action: None } } else { meant };
        assert_eq!(failure.cause, meant, "{}", failure.message);
        assert_eq!(failure.reference, image.to_string());
    }
    registry.set(Mood::Friendly);
    let failure = fails(&registry.credentials_with("wrong"), &image).await;
    assert!(
        matches!(failure.cause, PushCause::TokenExpired | PushCause::NoBasicAuth),
        "{:?}: {}",
        failure.cause,
        failure.message
    );
    let failure = fails(&ours, &reference(&registry.host, "jobs/api", "never-built")).await;
    assert_eq!(failure.cause, PushCause::TagMissing, "{}", failure.message);
    remove(&engine, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_there_is_unreachable() {
    let engine = engine().await;
    let registry = Registry::start(Mood::Friendly).await;
    let source = Source::new("FROM scratch\nCOPY hello /hello\n", &[("hello", program("d", Then::Exit(0)))]);
    let (host, credentials) = (registry.host.clone(), registry.credentials());
    let image = reference(&host, "jobs/api", &unique("v"));
    let action = source.action(Builder::Auto, std::slice::from_ref(&image));
    told(async |updates| build(&engine, &action, &Lent::default(), updates).await).await.0.unwrap();
    drop(registry);
    let (result, _) = told(async |updates| push(&engine, &image, &credentials, updates).await).await;
    match result {
        Err(DockerError::Push(failure)) => assert_eq!(failure.cause, PushCause::Unreachable, "{}", failure.message),
        other => panic!("{other:?}"),
    }
    remove(&engine, &image).await;
}

/// The engine would wait for ever, and we for the engine.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_stalls_is_warned_about_and_given_up() {
    let (engine, registry) = (engine().await, Registry::start(Mood::Friendly).await);
    let source = Source::new("FROM scratch\nCOPY hello /hello\n", &[("hello", program(&unique("e"), Then::Exit(0)))]);
    let image = reference(&registry.host, "jobs/api", &unique("v"));
    let action = source.action(Builder::Auto, std::slice::from_ref(&image));
    told(async |updates| build(&engine, &action, &Lent::default(), updates).await).await.0.unwrap();
    registry.set(Mood::Stalling);
    let credentials = registry.credentials();
    let end = Duration::from_secs(3);
    let patience = Patience { word: Duration::from_secs(1), end, begin: end };
    let (result, progress) =
        told(async |updates| push_with(&engine, &image, &credentials, patience, updates).await).await;
    match result {
        Err(DockerError::Push(failure)) => assert_eq!(failure.cause, PushCause::Stalled, "{}", failure.message),
        other => panic!("{other:?}"),
    }
    let warned = format!("{} has not answered for 1 s; the push is given up after 3 s", registry.host);
    let words = progress.iter().filter_map(|progress| match progress {
        Progress::Warning { message } => Some(message),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), [&warned]);
    drop(registry);
    remove(&engine, &image).await;
}
