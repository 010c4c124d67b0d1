//! ECR: repositories, images, policies, tokens, settings.

use aws_sdk_ecr::types::{
    EncryptionType, ImageFailureCode, ImageIdentifier, ImageScanningConfiguration, ImageTagMutability,
    LayerAvailability, LayerFailureCode, ListImagesFilter, Tag, TagStatus,
};
use serde_json::json;

use crate::clients::{Place, refusal};

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

    let text = r#"{"rules":[]}"#;
    assert_eq!(refusal!(ecr.get_lifecycle_policy().repository_name(name)).0, "LifecyclePolicyNotFoundException");
    ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(text).send().await.unwrap();
    let answer = ecr.get_lifecycle_policy().repository_name(name).send().await.unwrap();
    assert_eq!(answer.lifecycle_policy_text(), Some(text));
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
    place.stop().await;
}
