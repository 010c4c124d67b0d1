//! ECR: repositories, images, policies, tokens, settings.

use aws_sdk_ecr::client::Waiters as _;
use aws_sdk_ecr::config::Credentials;
use aws_sdk_ecr::primitives::Blob;
use aws_sdk_ecr::types::{
    EncryptionType, FindingSeverity, ImageFailureCode, ImageIdentifier, ImageScanningConfiguration, ImageTagMutability,
    LayerAvailability, LayerFailureCode, ListImagesFilter, RegistryScanningRule, ReplicationConfiguration,
    ScanFrequency, ScanStatus, ScanningConfigurationFailureCode, ScanningRepositoryFilter,
    ScanningRepositoryFilterType, SubjectIdentifier, Tag, TagStatus,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::clients::{LIMIT, Place, refusal};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An empty index refers to nothing, so it can be put without a blob.
fn manifest(mark: &str) -> String {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": { "mark": mark } }).to_string()
}

fn tagged(tag: &str) -> ImageIdentifier {
    ImageIdentifier::builder().image_tag(tag).build()
}

fn not_found(name: &str) -> (String, String) {
    (
        "RepositoryNotFoundException".to_owned(),
        format!("The repository with name '{name}' does not exist in the registry with id '000000000000'"),
    )
}

#[tokio::test]
async fn repositories() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    let made = ecr.create_repository().repository_name("jobs/api").send().await.unwrap().repository.unwrap();
    assert_eq!(made.repository_uri(), Some(format!("{}/jobs/api", place.authority()).as_str()));
    assert_eq!(made.encryption_configuration().unwrap().encryption_type(), &EncryptionType::Aes256);
    assert!(made.created_at().is_some_and(|at| at.secs() > 1_700_000_000));
    assert_eq!(
        refusal!(ecr.create_repository().repository_name("jobs/api")),
        (
            "RepositoryAlreadyExistsException".to_owned(),
            "The repository with name 'jobs/api' already exists in the registry with id '000000000000'".to_owned()
        )
    );
    assert_eq!(refusal!(ecr.create_repository().repository_name("NO")).0, "InvalidParameterException");
    for name in ["b2", "c3"] {
        ecr.create_repository().repository_name(name).send().await.unwrap();
    }
    let pages: Vec<_> = ecr.describe_repositories().into_paginator().page_size(2).send().collect().await;
    assert_eq!(pages.into_iter().map(|page| page.unwrap().repositories().len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(refusal!(ecr.describe_repositories().repository_names("nope")), not_found("nope"));

    let put = ecr.put_image_tag_mutability().repository_name("b2").image_tag_mutability(ImageTagMutability::Immutable);
    put.send().await.unwrap();
    let scanning = ImageScanningConfiguration::builder().scan_on_push(true).build();
    ecr.put_image_scanning_configuration()
        .repository_name("b2")
        .image_scanning_configuration(scanning)
        .send()
        .await
        .unwrap();
    let now = ecr.describe_repositories().repository_names("b2").send().await.unwrap().repositories()[0].clone();
    assert_eq!(now.image_tag_mutability(), Some(&ImageTagMutability::Immutable));
    assert!(now.image_scanning_configuration().unwrap().scan_on_push());

    let arn = made.repository_arn().unwrap();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    ecr.tag_resource().resource_arn(arn).tags(tag("a", "1")).tags(tag("b", "2")).send().await.unwrap();
    ecr.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
    assert_eq!(ecr.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags(), [tag("b", "2")]);
    assert_eq!(refusal!(ecr.list_tags_for_resource().resource_arn(format!("{arn}x"))), not_found("jobs/apix"));

    ecr.delete_repository().repository_name("c3").send().await.unwrap();
    assert_eq!(refusal!(ecr.delete_repository().repository_name("c3")), not_found("c3"));
    place.stop().await;
}

#[tokio::test]
async fn images() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    let name = "jobs/api";
    ecr.create_repository()
        .repository_name(name)
        .image_tag_mutability(ImageTagMutability::Immutable)
        .send()
        .await
        .unwrap();
    let put =
        |mark: &str, tag: &str| ecr.put_image().repository_name(name).image_manifest(manifest(mark)).image_tag(tag);
    let first = put("a", "v1").send().await.unwrap().image.unwrap();
    put("b", "v2").send().await.unwrap();
    put("c", "v3").send().await.unwrap();
    assert_eq!(refusal!(put("a", "v1")).0, "ImageAlreadyExistsException");
    assert_eq!(
        refusal!(put("b", "v1")),
        (
            "ImageTagAlreadyExistsException".to_owned(),
            "The image tag 'v1' already exists in the 'jobs/api' repository and cannot be overwritten because the tag is immutable."
                .to_owned()
        )
    );
    assert_eq!(refusal!(ecr.put_image().repository_name("nope").image_manifest(manifest("a"))), not_found("nope"));

    let described = ecr.describe_images().repository_name(name).image_ids(tagged("v1")).send().await.unwrap();
    let detail = &described.image_details()[0];
    assert_eq!(detail.image_digest(), first.image_id().unwrap().image_digest());
    assert_eq!((detail.image_tags(), detail.image_manifest_media_type()), (&["v1".to_owned()][..], Some(OCI_INDEX)));
    assert!(detail.image_pushed_at().is_some());
    let refused = refusal!(ecr.describe_images().repository_name(name).image_ids(tagged("v9")));
    assert_eq!(
        refused,
        (
            "ImageNotFoundException".to_owned(),
            "The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the repository with name \
             'jobs/api' in the registry with id '000000000000'"
                .to_owned()
        )
    );
    let list = ecr.describe_images().repository_name(name);
    let pages: Vec<_> = list.into_paginator().page_size(2).send().collect().await;
    assert_eq!(pages.into_iter().map(|page| page.unwrap().image_details().len()).collect::<Vec<_>>(), [2, 1]);
    let untagged = ListImagesFilter::builder().tag_status(TagStatus::Untagged).build();
    assert!(ecr.list_images().repository_name(name).filter(untagged).send().await.unwrap().image_ids().is_empty());
    let pages: Vec<_> = ecr.list_images().repository_name(name).into_paginator().page_size(2).send().collect().await;
    assert_eq!(pages.into_iter().map(|page| page.unwrap().image_ids().len()).collect::<Vec<_>>(), [2, 1]);

    let got = ecr.batch_get_image().repository_name(name).image_ids(tagged("v2")).image_ids(tagged("v9"));
    let got = got.send().await.unwrap();
    assert_eq!(got.images()[0].image_manifest(), Some(manifest("b").as_str()));
    assert_eq!(got.failures()[0].failure_code(), Some(&ImageFailureCode::ImageNotFound));
    let gone = ecr.batch_delete_image().repository_name(name).image_ids(tagged("v3")).image_ids(tagged("v9"));
    let gone = gone.send().await.unwrap();
    assert_eq!((gone.image_ids().len(), gone.failures().len()), (1, 1));
    assert_eq!(
        refusal!(ecr.delete_repository().repository_name(name)),
        (
            "RepositoryNotEmptyException".to_owned(),
            "The repository with name 'jobs/api' in registry with id '000000000000' cannot be deleted because it still \
             contains images"
                .to_owned()
        )
    );
    ecr.delete_repository().repository_name(name).force(true).send().await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn layers() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    ecr.create_repository().repository_name("jobs/api").send().await.unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let check = ecr.batch_check_layer_availability().repository_name("jobs/api").layer_digests(&digest);
    let answer = check.layer_digests("what").send().await.unwrap();
    let absent = |one: &LayerAvailability| *one == LayerAvailability::Unavailable;
    assert!(answer.layers().iter().all(|layer| layer.layer_availability().is_some_and(absent)), "{answer:?}");
    assert!(
        answer.failures().iter().all(|one| one.failure_code() == Some(&LayerFailureCode::InvalidLayerDigest)),
        "{answer:?}"
    );
    let refused = refusal!(ecr.get_download_url_for_layer().repository_name("jobs/api").layer_digest(&digest));
    assert_eq!(refused.0, "LayersNotFoundException");
    assert_eq!(
        refusal!(ecr.batch_check_layer_availability().repository_name("nope").layer_digests(&digest)),
        not_found("nope")
    );
    place.stop().await;
}

/// What the policy of a repository denies is denied in every call, to whom it names, in ECR's words.
#[tokio::test]
async fn what_a_policy_denies_is_denied_in_the_calls() {
    let place = Place::start().await;
    let name = "jobs/api";
    place.ecr.create_repository().repository_name(name).send().await.unwrap();
    place.ecr.create_repository().repository_name("jobs/other").send().await.unwrap();
    let role = "arn:aws:iam::000000000000:role/ci/deploy";
    let assumed = place.sts.assume_role().role_arn(role).role_session_name("jenkins").send().await.unwrap();
    let made = assumed.credentials().unwrap();
    let token = Some(made.session_token().to_owned());
    let deployer =
        place.ecr_signing(&Credentials::new(made.access_key_id(), made.secret_access_key(), token, None, "test"));
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":{{"AWS":"{role}"}},"Action":["ecr:PutImage","ecr:BatchGet*","ecr:InitiateLayerUpload"]}},{{"Effect":"Deny","Principal":"*","Action":"ecr:DeleteRepository"}}]}}"#
    );
    place.ecr.set_repository_policy().repository_name(name).policy_text(policy).send().await.unwrap();

    let denied = |who: &str, action: &str| {
        let words = format!(
            "User: {who} is not authorized to perform: ecr:{action} on resource: \
             arn:aws:ecr:us-east-1:000000000000:repository/{name} with an explicit deny in a resource-based policy"
        );
        ("AccessDeniedException".to_owned(), words)
    };
    let session = "arn:aws:sts::000000000000:assumed-role/deploy/jenkins";
    let tag = ImageIdentifier::builder().image_tag("1").build();
    let get = |ecr: &aws_sdk_ecr::Client| ecr.batch_get_image().repository_name(name).image_ids(tag.clone());
    let put = |ecr: &aws_sdk_ecr::Client| ecr.put_image().repository_name(name).image_manifest("{}");
    assert_eq!(refusal!(get(&deployer)), denied(session, "BatchGetImage"));
    assert_eq!(refusal!(put(&deployer)), denied(session, "PutImage"));
    let begin = deployer.initiate_layer_upload().repository_name(name);
    assert_eq!(refusal!(begin), denied(session, "InitiateLayerUpload"));
    // What is not named is not denied: another action, another repository, another principal.
    deployer.list_images().repository_name(name).send().await.unwrap();
    deployer.initiate_layer_upload().repository_name("jobs/other").send().await.unwrap();
    get(&place.ecr).send().await.unwrap();
    place.ecr.initiate_layer_upload().repository_name(name).send().await.unwrap();
    // To everybody, who gets out again by taking the policy away.
    let user = "arn:aws:iam::000000000000:user/sandbox";
    let delete = || place.ecr.delete_repository().repository_name(name);
    assert_eq!(refusal!(delete()), denied(user, "DeleteRepository"));
    place.ecr.delete_repository_policy().repository_name(name).send().await.unwrap();
    delete().send().await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn policies() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    let name = "jobs/api";
    ecr.create_repository().repository_name(name).send().await.unwrap();
    let text = r#"{"Version":"2012-10-17","Statement":[]}"#;
    assert_eq!(refusal!(ecr.get_repository_policy().repository_name(name)).0, "RepositoryPolicyNotFoundException");
    ecr.set_repository_policy().repository_name(name).policy_text(text).send().await.unwrap();
    let answer = ecr.get_repository_policy().repository_name(name).send().await.unwrap();
    assert_eq!(answer.policy_text(), Some(text));
    ecr.delete_repository_policy().repository_name(name).send().await.unwrap();
    assert_eq!(refusal!(ecr.delete_repository_policy().repository_name(name)).0, "RepositoryPolicyNotFoundException");

    let text = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
    assert_eq!(refusal!(ecr.get_lifecycle_policy().repository_name(name)).0, "LifecyclePolicyNotFoundException");
    ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(text).send().await.unwrap();
    let answer = ecr.get_lifecycle_policy().repository_name(name).send().await.unwrap();
    assert_eq!(answer.lifecycle_policy_text(), Some(text));
    for mark in ["a", "b"] {
        ecr.put_image().repository_name(name).image_manifest(manifest(mark)).image_tag(mark).send().await.unwrap();
    }
    assert_eq!(
        refusal!(ecr.get_lifecycle_policy_preview().repository_name(name)).0,
        "LifecyclePolicyPreviewNotFoundException"
    );
    ecr.start_lifecycle_policy_preview().repository_name(name).send().await.unwrap();
    ecr.wait_until_lifecycle_policy_preview_complete().repository_name(name).wait(LIMIT).await.unwrap();
    let preview = ecr.get_lifecycle_policy_preview().repository_name(name).send().await.unwrap();
    assert_eq!(
        (preview.preview_results().len(), preview.summary().unwrap().expiring_image_total_count()),
        (1, Some(1))
    );
    let wrong = ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(r#"{"rules":[]}"#);
    assert_eq!(refusal!(wrong).0, "InvalidParameterException");
    ecr.delete_lifecycle_policy().repository_name(name).send().await.unwrap();
    assert_eq!(refusal!(ecr.delete_lifecycle_policy().repository_name(name)).0, "LifecyclePolicyNotFoundException");
    place.stop().await;
}

#[tokio::test]
async fn the_registry_itself() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    let answer = ecr.get_authorization_token().send().await.unwrap();
    let token = &answer.authorization_data()[0];
    assert_eq!(token.proxy_endpoint(), Some(place.endpoint()));
    assert!(token.expires_at().is_some_and(|at| at.secs() > 1_700_000_000));
    let registry = ecr.describe_registry().send().await.unwrap();
    assert_eq!(registry.registry_id(), Some("000000000000"));
    let mounting = "BLOB_MOUNTING";
    ecr.put_account_setting().name(mounting).value("ENABLED").send().await.unwrap();
    let answer = ecr.get_account_setting().name(mounting).send().await.unwrap();
    assert_eq!(answer.value(), Some("ENABLED"));
    assert_eq!(refusal!(ecr.put_account_setting().name(mounting).value("MAYBE")).0, "InvalidParameterException");

    assert_eq!(refusal!(ecr.get_registry_policy()).0, "RegistryPolicyNotFoundException");
    let text = r#"{"Version":"2012-10-17","Statement":[]}"#;
    ecr.put_registry_policy().policy_text(text).send().await.unwrap();
    assert_eq!(ecr.get_registry_policy().send().await.unwrap().policy_text(), Some(text));
    ecr.delete_registry_policy().send().await.unwrap();
    assert_eq!(refusal!(ecr.delete_registry_policy()).0, "RegistryPolicyNotFoundException");

    ecr.create_repository().repository_name("jobs/api").send().await.unwrap();
    let filter =
        ScanningRepositoryFilter::builder().filter("jobs/*").filter_type(ScanningRepositoryFilterType::Wildcard);
    let rule = RegistryScanningRule::builder()
        .scan_frequency(ScanFrequency::ScanOnPush)
        .repository_filters(filter.build().unwrap())
        .build()
        .unwrap();
    ecr.put_registry_scanning_configuration().rules(rule).send().await.unwrap();
    let scanning = ecr.get_registry_scanning_configuration().send().await.unwrap();
    assert_eq!(scanning.scanning_configuration().unwrap().rules().len(), 1);
    let names = ["jobs/api", "nope"].map(str::to_owned).to_vec();
    let each =
        ecr.batch_get_repository_scanning_configuration().set_repository_names(Some(names)).send().await.unwrap();
    assert!(each.scanning_configurations()[0].scan_on_push());
    assert_eq!(each.failures()[0].failure_code(), Some(&ScanningConfigurationFailureCode::RepositoryNotFound));

    let none = ReplicationConfiguration::builder().set_rules(Some(Vec::new())).build().unwrap();
    ecr.put_replication_configuration().replication_configuration(none).send().await.unwrap();
    ecr.put_image().repository_name("jobs/api").image_manifest(manifest("a")).image_tag("v1").send().await.unwrap();
    let status = ecr.describe_image_replication_status().repository_name("jobs/api").image_id(tagged("v1"));
    assert!(status.send().await.unwrap().replication_statuses().is_empty());
    place.stop().await;
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Uploads a layer through the API, as tools do that speak no `/v2/`.
async fn upload(place: &Place, name: &str, bytes: &[u8]) -> String {
    let ecr = &place.ecr;
    let begun = ecr.initiate_layer_upload().repository_name(name).send().await.unwrap();
    let id = begun.upload_id().unwrap();
    assert_eq!(begun.part_size(), Some(10 * 1024 * 1024));
    let last = i64::try_from(bytes.len()).unwrap() - 1;
    let part = ecr.upload_layer_part().repository_name(name).upload_id(id).part_first_byte(0).part_last_byte(last);
    let sent = part.layer_part_blob(Blob::new(bytes)).send().await.unwrap();
    assert_eq!(sent.last_byte_received(), Some(last));
    let whole = ecr.complete_layer_upload().repository_name(name).upload_id(id).layer_digests(digest(bytes));
    whole.send().await.unwrap().layer_digest().unwrap().to_owned()
}

#[tokio::test]
async fn layers_come_in_parts_and_make_an_image_that_is_scanned_and_referred_to() {
    let place = Place::start().await;
    let ecr = &place.ecr;
    let name = "jobs/api";
    ecr.create_repository().repository_name(name).send().await.unwrap();
    assert_eq!(refusal!(ecr.initiate_layer_upload().repository_name("nope")), not_found("nope"));
    let config = upload(&place, name, b"{}").await;
    let layer = upload(&place, name, b"layer").await;

    let id = ecr.initiate_layer_upload().repository_name(name).send().await.unwrap().upload_id().unwrap().to_owned();
    let complete =
        |digest: &str| ecr.complete_layer_upload().repository_name(name).upload_id(&id).layer_digests(digest);
    assert_eq!(refusal!(complete(&layer)).0, "EmptyUploadException");
    let part = |first: i64, last: i64| {
        let part = ecr.upload_layer_part().repository_name(name).upload_id(&id);
        part.part_first_byte(first).part_last_byte(last).layer_part_blob(Blob::new(b"layer".as_slice()))
    };
    assert_eq!(refusal!(part(5, 9)).0, "InvalidLayerPartException");
    assert_eq!(refusal!(part(0, 9)).0, "InvalidLayerPartException");
    part(0, 4).send().await.unwrap();
    assert_eq!(refusal!(complete(&config)).0, "InvalidLayerException");
    assert_eq!(refusal!(complete(&layer)).0, "LayerAlreadyExistsException");
    assert_eq!(refusal!(complete(&layer)).0, "UploadNotFoundException");

    let manifest = |subject: Option<&str>| {
        let piece = |digest: &str, size: usize| json!({ "mediaType": "application/x", "digest": digest, "size": size });
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": piece(&config, 2), "layers": [piece(&layer, 5)],
        });
        if let Some(subject) = subject {
            manifest["artifactType"] = json!("application/vnd.example.sbom");
            manifest["subject"] = piece(subject, 1);
        }
        manifest.to_string()
    };
    let put =
        ecr.put_image().repository_name(name).image_manifest(manifest(None)).image_tag("v1").send().await.unwrap();
    let image = put.image().unwrap().image_id().unwrap().image_digest().unwrap().to_owned();
    ecr.put_image().repository_name(name).image_manifest(manifest(Some(&image))).send().await.unwrap();
    let subject = SubjectIdentifier::builder().image_digest(&image).build().unwrap();
    let referrers = ecr.list_image_referrers().repository_name(name).subject_id(subject).send().await.unwrap();
    assert_eq!(referrers.referrers().len(), 1);
    assert_eq!(referrers.referrers()[0].artifact_type(), Some("application/vnd.example.sbom"));

    let findings = || ecr.describe_image_scan_findings().repository_name(name).image_id(tagged("v1"));
    assert_eq!(refusal!(findings()).0, "ScanNotFoundException");
    place.write("findings.json", r#"{"jobs/api:v1": [{"name": "CVE-2026-1", "severity": "HIGH"}]}"#);
    let started = ecr.start_image_scan().repository_name(name).image_id(tagged("v1")).send().await.unwrap();
    assert_eq!(started.image_scan_status().unwrap().status(), Some(&ScanStatus::InProgress));
    let waiter = ecr.wait_until_image_scan_complete().repository_name(name).image_id(tagged("v1"));
    waiter.wait(LIMIT).await.unwrap();
    let found = findings().send().await.unwrap();
    let found = found.image_scan_findings().unwrap();
    assert_eq!(found.findings()[0].name(), Some("CVE-2026-1"));
    assert_eq!(found.finding_severity_counts().unwrap().get(&FindingSeverity::High), Some(&1));
    place.stop().await;
}
