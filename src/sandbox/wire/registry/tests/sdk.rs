//! AWS's own clients, over plain HTTP.

use aws_sdk_cloudwatchlogs as logs;
use aws_sdk_ecr as ecr;
use aws_sdk_sts as sts;
use ecr::config::{BehaviorVersion, Credentials, Region};
use ecr::error::ProvideErrorMetadata as _;
use ecr::types::{ImageIdentifier, ImageTagMutability, Tag};
use logs::types::InputLogEvent;
use serde_json::json;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::super::super::super::clock;
use super::super::super::super::world::ecr::Standing;
use super::super::super::super::world::ecr::manifest::{OCI_INDEX, digest_of};
use super::server::Server;

macro_rules! client {
    ($service:ident, $server:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
                .endpoint_url(format!("http://{}", $server.authority))
                .build(),
        )
    };
}

#[tokio::test]
async fn ecr_repositories_and_tokens() {
    let server = Server::start().await;
    let client = client!(ecr, server);
    let made = client
        .create_repository()
        .repository_name("jobs/api")
        .image_tag_mutability(ImageTagMutability::Immutable)
        .tags(Tag::builder().key("team").value("jobs").build().unwrap())
        .send()
        .await
        .unwrap();
    let made = made.repository.unwrap();
    assert_eq!(made.repository_uri.as_deref(), Some(format!("{}/jobs/api", server.authority).as_str()));
    assert_eq!(made.image_tag_mutability, Some(ImageTagMutability::Immutable));
    assert!(made.created_at.unwrap().secs() > 1_700_000_000);
    let arn = made.repository_arn.unwrap();
    let tags = client.list_tags_for_resource().resource_arn(&arn).send().await.unwrap();
    assert_eq!(tags.tags.unwrap()[0].value(), "jobs");

    let again = client.create_repository().repository_name("jobs/api").send().await.unwrap_err().into_service_error();
    assert!(again.is_repository_already_exists_exception(), "{again:?}");
    let unknown =
        client.describe_repositories().repository_names("nope").send().await.unwrap_err().into_service_error();
    assert!(unknown.is_repository_not_found_exception());
    assert_eq!(
        unknown.message(),
        Some("The repository with name 'nope' does not exist in the registry with id '000000000000'")
    );
    for name in ["b2", "c3"] {
        client.create_repository().repository_name(name).send().await.unwrap();
    }
    let all: Vec<_> = client.describe_repositories().into_paginator().page_size(2).items().send().collect().await;
    let names: Vec<String> = all.into_iter().map(|one| one.unwrap().repository_name.unwrap()).collect();
    assert_eq!(names, ["b2", "c3", "jobs/api"]);

    let token = client.get_authorization_token().send().await.unwrap();
    let token = &token.authorization_data()[0];
    assert_eq!(token.proxy_endpoint(), Some(format!("http://{}", server.authority).as_str()));
    let pair = String::from_utf8(STANDARD.decode(token.authorization_token().unwrap()).unwrap()).unwrap();
    let password = pair.strip_prefix("AWS:").unwrap();
    assert_eq!(server.world().ecr.token_standing(password, clock::now()), Standing::Valid);
    let left = token.expires_at().unwrap().secs() - i64::try_from(clock::now() / 1000).unwrap();
    assert!((43_190..=43_200).contains(&left), "{left}");

    client.delete_repository().repository_name("jobs/api").send().await.unwrap();
    assert!(!server.world().ecr.has_repository("jobs/api"));
}

#[tokio::test]
async fn ecr_images() {
    let server = Server::start().await;
    let client = client!(ecr, server);
    server.repository("jobs/api", "IMMUTABLE");
    // An empty index refers to nothing, so it can be put without a blob.
    let manifest = |mark: &str| {
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "mark": mark } })
            .to_string()
    };
    let put = |manifest: String, tag: &str| {
        client.put_image().repository_name("jobs/api").image_manifest(manifest).image_tag(tag).send()
    };
    put(manifest("a"), "v1").await.unwrap();
    put(manifest("a"), "also").await.unwrap();
    put(manifest("b"), "v2").await.unwrap();
    let same = put(manifest("a"), "v1").await.unwrap_err().into_service_error();
    assert!(same.is_image_already_exists_exception(), "{same:?}");
    let moved = put(manifest("b"), "v1").await.unwrap_err().into_service_error();
    assert!(moved.is_image_tag_already_exists_exception(), "{moved:?}");
    let hole = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests":
        [{ "mediaType": OCI_INDEX, "size": 1, "digest": digest_of(b"absent") }] });
    let hole = put(hole.to_string(), "v3").await.unwrap_err().into_service_error();
    assert!(hole.is_referenced_images_not_found_exception(), "{hole:?}");

    let tag = |tag: &str| ImageIdentifier::builder().image_tag(tag).build();
    let of = |name: &str| client.describe_images().repository_name("jobs/api").image_ids(tag(name)).send();
    let described = of("v1").await.unwrap().image_details.unwrap();
    assert_eq!(described[0].image_digest(), Some(digest_of(manifest("a").as_bytes()).as_str()));
    assert_eq!(described[0].image_tags(), ["also", "v1"]);
    assert_eq!(described[0].image_manifest_media_type(), Some(OCI_INDEX));
    let unknown = of("v9").await.unwrap_err().into_service_error();
    assert!(unknown.is_image_not_found_exception());
    insta::assert_snapshot!(unknown.message().unwrap(), @"The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the repository with name 'jobs/api' in the registry with id '000000000000'");
    let pages: Vec<_> =
        client.describe_images().repository_name("jobs/api").into_paginator().page_size(1).send().collect().await;
    assert_eq!(pages.len(), 2);

    let got = client
        .batch_get_image()
        .repository_name("jobs/api")
        .image_ids(tag("v2"))
        .image_ids(tag("v9"))
        .send()
        .await
        .unwrap();
    assert_eq!(got.images()[0].image_manifest(), Some(manifest("b").as_str()));
    assert_eq!(got.failures()[0].failure_reason(), Some("Requested image not found"));
    let ids = client.list_images().repository_name("jobs/api").send().await.unwrap();
    assert_eq!(ids.image_ids().len(), 3);

    let gone = client.batch_delete_image().repository_name("jobs/api").image_ids(tag("v1")).send().await.unwrap();
    assert_eq!(gone.image_ids().len(), 1);
    assert_eq!(server.world().ecr.resolve("jobs/api", "also"), Some(digest_of(manifest("a").as_bytes())));
    let full = client.delete_repository().repository_name("jobs/api").send().await.unwrap_err().into_service_error();
    assert!(full.is_repository_not_empty_exception());
    client.delete_repository().repository_name("jobs/api").force(true).send().await.unwrap();

    let other = client.describe_pull_through_cache_rules().send().await.unwrap_err();
    let other = other.into_service_error();
    assert_eq!(other.code(), Some("UnknownOperationException"));
    assert_eq!(other.message(), Some("the sandbox does not emulate ECR's DescribePullThroughCacheRules"));
}

#[tokio::test]
async fn logs_written_and_followed() {
    let server = Server::start().await;
    let client = client!(logs, server);
    let group = || client.create_log_group().log_group_name("/ecs/api").send();
    group().await.unwrap();
    assert!(group().await.unwrap_err().into_service_error().is_resource_already_exists_exception());
    client.put_retention_policy().log_group_name("/ecs/api").retention_in_days(7).send().await.unwrap();
    let described = client.describe_log_groups().log_group_name_prefix("/ecs").send().await.unwrap();
    assert_eq!(described.log_groups()[0].retention_in_days(), Some(7));
    client.create_log_stream().log_group_name("/ecs/api").log_stream_name("web/1").send().await.unwrap();

    let now = i64::try_from(clock::now()).unwrap();
    let line = |number: i64| InputLogEvent::builder().timestamp(now + number).message(format!("line {number}"));
    let put = client
        .put_log_events()
        .log_group_name("/ecs/api")
        .log_stream_name("web/1")
        .set_log_events(Some((0..5).map(|number| line(number).build().unwrap()).collect()));
    assert!(put.send().await.unwrap().rejected_log_events_info().is_none());

    let get = || client.get_log_events().log_group_name("/ecs/api").log_stream_name("web/1");
    let first = get().start_from_head(true).limit(2).send().await.unwrap();
    let messages: Vec<_> = first.events().iter().map(|event| event.message().unwrap()).collect();
    assert_eq!(messages, ["line 0", "line 1"]);
    let second = get().next_token(first.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(second.events().len(), 3);
    let end = get().next_token(second.next_forward_token().unwrap()).send().await.unwrap();
    assert!(end.events().is_empty());
    assert_eq!(end.next_forward_token(), second.next_forward_token(), "the sign that there is no more");
    // What a container writes meanwhile is behind the same token.
    server.world().logs.append("/ecs/api", "web/1", clock::now() + 10, "late");
    let more = get().next_token(end.next_forward_token().unwrap()).send().await.unwrap();
    assert_eq!(more.events()[0].message(), Some("late"));

    let found = client.filter_log_events().log_group_name("/ecs/api").filter_pattern("line -3").send().await.unwrap();
    assert_eq!(found.events().len(), 4);
    let streams = client.describe_log_streams().log_group_name("/ecs/api").send().await.unwrap();
    assert_eq!(streams.log_streams()[0].first_event_timestamp(), Some(now));
    let unknown = get().log_stream_name("web/2").send().await.unwrap_err().into_service_error();
    assert!(unknown.is_resource_not_found_exception());
    assert_eq!(unknown.message(), Some("The specified log stream does not exist."));
    client.delete_log_group().log_group_name("/ecs/api").send().await.unwrap();
    let unknown = get().send().await.unwrap_err().into_service_error();
    assert_eq!(unknown.message(), Some("The specified log group does not exist."));
}

#[tokio::test]
async fn sts_identity_and_roles() {
    let server = Server::start().await;
    let client = client!(sts, server);
    let me = client.get_caller_identity().send().await.unwrap();
    assert_eq!((me.account(), me.arn()), (Some("000000000000"), Some("arn:aws:iam::000000000000:user/sandbox")));
    let role = client
        .assume_role()
        .role_arn("arn:aws:iam::000000000000:role/deploy")
        .role_session_name("jenkins")
        .send()
        .await
        .unwrap();
    let left = role.credentials().unwrap().expiration().secs() - i64::try_from(clock::now() / 1000).unwrap();
    assert!((3590..=3600).contains(&left), "{left}");
    assert_eq!(role.assumed_role_user().unwrap().arn(), "arn:aws:sts::000000000000:assumed-role/deploy/jenkins");
}

#[tokio::test]
async fn unsigned_calls_are_refused() {
    let server = Server::start().await;
    let request = server
        .request(http::Method::POST, "/")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry")
        .body(http_body_util::Full::new(bytes::Bytes::from_static(b"{}")))
        .unwrap();
    let reply = server.send_as_is(request).await;
    assert_eq!(reply.status.as_u16(), 400);
    assert_eq!(reply.json()["__type"], "MissingAuthenticationTokenException");
}
