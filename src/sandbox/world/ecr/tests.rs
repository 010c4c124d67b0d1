//! The registry's rules, called as its API is, without HTTP.

use serde_json::{Value, json};

use super::manifest::{OCI_INDEX, OCI_MANIFEST, digest_of};
use super::*;

const NOW: Millis = 1_790_000_000_000;

struct Registry {
    place: Place,
    ecr: Ecr,
}

impl Registry {
    fn with(repository: &str) -> Self {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() };
        let mut registry = Self { place, ecr: Ecr::default() };
        registry.ask("CreateRepository", json!({ "repositoryName": repository })).unwrap();
        registry
    }

    #[expect(clippy::needless_pass_by_value, reason = "a call reads better with its JSON in place")]
    fn ask(&mut self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.ecr.answer(&self.place, operation, &input, NOW)
    }

    /// The refusal as one line.
    fn refused(&mut self, operation: &str, input: Value) -> String {
        let fault = self.ask(operation, input).unwrap_err();
        assert_eq!(fault.status, 400);
        format!("{}: {}", fault.code, fault.message)
    }

    /// Puts an image of these layers, which are uploaded first, and answers its digest.
    fn image(&mut self, repository: &str, tag: Option<&str>, layers: &[&str]) -> String {
        for layer in layers {
            assert!(self.ecr.add_layer(repository, &digest_of(layer.as_bytes()), layer.len() as u64));
        }
        let piece =
            |layer: &&str| json!({ "mediaType": "layer", "size": layer.len(), "digest": digest_of(layer.as_bytes()) });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": piece(&layers[0]),
            "layers": layers[1..].iter().map(piece).collect::<Vec<_>>(),
        })
        .to_string();
        let image = ImageToPut { manifest: &manifest, media_type: None, tag, digest: None };
        self.ecr.put(repository, image, NOW).unwrap().0
    }
}

#[test]
fn a_repository_as_it_is_described() {
    let mut registry = Registry::with("jobs/api");
    let described = registry.ask("DescribeRepositories", json!({})).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&described).unwrap(), @r#"
    {
      "repositories": [
        {
          "repositoryArn": "arn:aws:ecr:us-east-1:000000000000:repository/jobs/api",
          "registryId": "000000000000",
          "repositoryName": "jobs/api",
          "repositoryUri": "127.0.0.1:4517/jobs/api",
          "createdAt": 1790000000.0,
          "imageTagMutability": "MUTABLE",
          "imageScanningConfiguration": {
            "scanOnPush": false
          },
          "encryptionConfiguration": {
            "encryptionType": "AES256"
          }
        }
      ]
    }
    "#);
    let input = json!({ "repositoryName": "jobs/api", "registryId": "111111111111" });
    assert_eq!(
        registry.refused("DeleteRepository", input),
        "RepositoryNotFoundException: The repository with name 'jobs/api' does not exist in the registry with id '111111111111'"
    );
}

#[test]
fn refusals_in_ecrs_words() {
    let mut registry = Registry::with("x1");
    registry.image("x1", Some("v1"), &["config", "layer"]);
    let lines: Vec<String> = [
        ("CreateRepository", json!({})),
        ("CreateRepository", json!({ "repositoryName": "X" })),
        ("CreateRepository", json!({ "repositoryName": "x1" })),
        ("CreateRepository", json!({ "repositoryName": "x2", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION" })),
        ("CreateRepository", json!({ "repositoryName": 7 })),
        ("DeleteRepository", json!({ "repositoryName": "x1" })),
        ("DescribeRepositories", json!({ "maxResults": 0 })),
        ("DescribeRepositories", json!({ "nextToken": "?" })),
        ("DescribeImages", json!({ "repositoryName": "x1", "imageIds": [{ "imageTag": "v1" }], "maxResults": 1 })),
        ("DescribeImages", json!({ "repositoryName": "x1", "imageIds": [{ "imageTag": "v2" }] })),
        ("PutImage", json!({ "repositoryName": "x1", "imageManifest": "{}" })),
        ("BatchCheckLayerAvailability", json!({ "repositoryName": "x1", "layerDigests": [] })),
        ("GetDownloadUrlForLayer", json!({ "repositoryName": "x1", "layerDigest": "sha256:1" })),
        ("GetRepositoryPolicy", json!({ "repositoryName": "x1" })),
        ("GetLifecyclePolicy", json!({ "repositoryName": "x1" })),
        ("PutLifecyclePolicy", json!({ "repositoryName": "x1", "lifecyclePolicyText": "[" })),
        ("ListTagsForResource", json!({ "resourceArn": "arn:aws:ecr:us-east-1:1:repository/x1" })),
        ("PutAccountSetting", json!({ "name": "REGISTRY_POLICY_SCOPE", "value": "V2" })),
        ("InitiateLayerUpload", json!({ "repositoryName": "x1" })),
    ]
    .into_iter()
    .map(|(operation, input)| format!("{operation} {}", registry.refused(operation, input)))
    .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    CreateRepository InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must not be null'
    CreateRepository InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''
    CreateRepository RepositoryAlreadyExistsException: The repository with name 'x1' already exists in the registry with id '000000000000'
    CreateRepository InvalidParameterException: Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'must not be empty for this imageTagMutability'
    CreateRepository SerializationException: invalid type: number, expected a string
    DeleteRepository RepositoryNotEmptyException: The repository with name 'x1' in registry with id '000000000000' cannot be deleted because it still contains images
    DescribeRepositories InvalidParameterException: Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must be between 1 and 1000'
    DescribeRepositories InvalidParameterException: Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token from an earlier answer'
    DescribeImages InvalidParameterException: nextToken and maxResults cannot be used together with imageIds
    DescribeImages ImageNotFoundException: The image with imageId {imageDigest:'null', imageTag:'v2'} does not exist within the repository with name 'x1' in the registry with id '000000000000'
    PutImage InvalidParameterException: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'
    BatchCheckLayerAvailability InvalidParameterException: Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have length between 1 and 100'
    GetDownloadUrlForLayer LayersNotFoundException: The layer with digest 'sha256:1' does not exist in the repository with name 'x1' in the registry with id '000000000000'
    GetRepositoryPolicy RepositoryPolicyNotFoundException: Repository policy does not exist for the repository with name 'x1' in the registry with id '000000000000'
    GetLifecyclePolicy LifecyclePolicyNotFoundException: Lifecycle policy does not exist for the repository with name 'x1' in the registry with id '000000000000'
    PutLifecyclePolicy InvalidParameterException: Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Invalid JSON syntax'
    ListTagsForResource InvalidParameterException: Invalid parameter at 'resourceArn' failed to satisfy constraint: 'must start with arn:aws:ecr:us-east-1:000000000000:repository/'
    PutAccountSetting ValidationException: the sandbox does not emulate ECR's setting REGISTRY_POLICY_SCOPE
    InitiateLayerUpload UnknownOperationException: the sandbox does not emulate ECR's InitiateLayerUpload
    "#);
}

#[test]
fn which_tags_may_move() {
    let filters = json!([{ "filterType": "WILDCARD", "filter": "latest*" }]);
    for (mutability, filters, fixed, latest) in [
        ("MUTABLE", json!([]), true, true),
        ("IMMUTABLE", json!([]), false, false),
        ("MUTABLE_WITH_EXCLUSION", filters.clone(), true, false),
        ("IMMUTABLE_WITH_EXCLUSION", filters, false, true),
    ] {
        let mut registry = Registry::with("x1");
        registry.image("x1", Some("v1"), &["a"]);
        registry.image("x1", Some("latest-1"), &["a"]);
        let input = json!({
            "repositoryName": "x1",
            "imageTagMutability": mutability,
            "imageTagMutabilityExclusionFilters": filters,
        });
        let answer = registry.ask("PutImageTagMutability", input).unwrap();
        assert_eq!(answer["imageTagMutability"], mutability);
        for (tag, moves) in [("v1", fixed), ("latest-1", latest)] {
            registry.ecr.add_layer("x1", &digest_of(b"b"), 1);
            let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
                "config": { "mediaType": "c", "size": 1, "digest": digest_of(b"b") } })
            .to_string();
            let image = ImageToPut { manifest: &manifest, media_type: None, tag: Some(tag), digest: None };
            let put = registry.ecr.put("x1", image, NOW);
            let refusal = PutRefusal::TagIsImmutable { tag: tag.to_owned() };
            assert_eq!(
                put.map(|(_, stored)| stored),
                if moves { Ok(Stored::Changed) } else { Err(refusal) },
                "{mutability} {tag}"
            );
        }
    }
}

#[test]
fn images_go_with_their_last_tag_and_layers_with_their_last_image() {
    let mut registry = Registry::with("x1");
    let one = registry.image("x1", Some("v1"), &["config 1", "base", "one"]);
    registry.image("x1", Some("also"), &["config 1", "base", "one"]);
    let two = registry.image("x1", None, &["config 2", "base", "two"]);
    registry.ecr.add_layer("x1", &digest_of(b"on its way"), 10);
    let has = |registry: &Registry, layer: &str| {
        registry.ecr.repository("x1").unwrap().layer_size(&digest_of(layer.as_bytes())).is_some()
    };
    let delete = |registry: &mut Registry, id: Value| {
        registry.ask("BatchDeleteImage", json!({ "repositoryName": "x1", "imageIds": [id] })).unwrap()
    };

    let answer = delete(&mut registry, json!({ "imageTag": "v1" }));
    assert_eq!(answer["imageIds"], json!([{ "imageDigest": one, "imageTag": "v1" }]));
    assert_eq!(registry.ecr.resolve("x1", "v1"), None);
    assert_eq!(registry.ecr.resolve("x1", &one), Some(one.clone()));
    assert!(has(&registry, "one"));

    delete(&mut registry, json!({ "imageTag": "also" }));
    assert_eq!(registry.ecr.resolve("x1", &one), None);
    let left = ["config 1", "one", "base", "two", "on its way"].map(|layer| has(&registry, layer));
    assert_eq!(left, [false, false, true, true, true]);

    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{ "mediaType": OCI_MANIFEST, "size": 1, "digest": two }] })
    .to_string();
    registry.ask("PutImage", json!({ "repositoryName": "x1", "imageManifest": index, "imageTag": "multi" })).unwrap();
    let lists = digest_of(index.as_bytes());
    let mut answers = Vec::new();
    for id in [
        json!({ "imageDigest": two }),
        json!({}),
        json!({ "imageDigest": "12" }),
        json!({ "imageTag": "-" }),
        json!({ "imageTag": "gone" }),
        json!({ "imageTag": "multi", "imageDigest": two }),
    ] {
        let answer = delete(&mut registry, id);
        let failure = &answer["failures"][0];
        answers.push(format!("{}: {}", failure["failureCode"], failure["failureReason"]).replace(&lists, "LIST"));
    }
    insta::assert_snapshot!(answers.join("\n"), @r#"
    "ImageReferencedByManifestList": "Requested image referenced by manifest list: [LIST]"
    "MissingDigestAndTag": "Invalid request parameters: both tag and digest cannot be null"
    "InvalidImageDigest": "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
    "InvalidImageTag": "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"
    "ImageNotFound": "Requested image not found"
    "ImageTagDoesNotMatchDigest": "Requested image tag does not match requested image digest"
    "#);
    let described =
        registry.ask("DescribeImages", json!({ "repositoryName": "x1", "filter": { "tagStatus": "TAGGED" } }));
    let described = described.unwrap();
    assert_eq!(described["imageDetails"].as_array().unwrap().len(), 1);
    // "config 2", "base" and "two": the list is as large as the largest image in it.
    assert_eq!(described["imageDetails"][0]["imageSizeInBytes"], 15);
}

#[test]
fn pages_hold_everything_once() {
    let mut registry = Registry::with("x1");
    let mut expected: Vec<String> =
        (0..7).map(|number| registry.image("x1", None, &["config", &format!("layer {number}")])).collect();
    expected.sort();
    let (mut found, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut input = json!({ "repositoryName": "x1", "maxResults": 3 });
        if !token.is_null() {
            input["nextToken"] = token.clone();
        }
        let page = registry.ask("ListImages", input).unwrap();
        let digests = page["imageIds"].as_array().unwrap().iter();
        found.extend(digests.map(|id| id["imageDigest"].as_str().unwrap().to_owned()));
        // What comes and goes between two pages moves none of the others.
        registry.image("x1", None, &["config", &format!("between {}", found.len())]);
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    found.retain(|digest| expected.contains(digest));
    assert_eq!(found, expected);
}

#[test]
fn layers_are_there_or_not() {
    let mut registry = Registry::with("x1");
    registry.ecr.add_layer("x1", &digest_of(b"a"), 1);
    let digests = json!([digest_of(b"a"), digest_of(b"b"), "x"]);
    let answer = registry
        .ask("BatchCheckLayerAvailability", json!({ "repositoryName": "x1", "layerDigests": digests }))
        .unwrap();
    assert_eq!(
        answer["layers"],
        json!([
            { "layerDigest": digest_of(b"a"), "layerAvailability": "AVAILABLE", "layerSize": 1 },
            { "layerDigest": digest_of(b"b"), "layerAvailability": "UNAVAILABLE" },
        ])
    );
    assert_eq!(answer["failures"][0]["failureCode"], "InvalidLayerDigest");
}

#[test]
fn policies_and_tags_are_kept() {
    let mut registry = Registry::with("x1");
    let policy = json!({ "repositoryName": "x1", "policyText": "{\"Statement\":[]}" });
    registry.ask("SetRepositoryPolicy", policy.clone()).unwrap();
    let lifecycle = json!({ "repositoryName": "x1", "lifecyclePolicyText": "{\"rules\":[]}" });
    registry.ask("PutLifecyclePolicy", lifecycle.clone()).unwrap();
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/x1";
    let tags = json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }]);
    registry.ask("TagResource", json!({ "resourceArn": arn, "tags": tags })).unwrap();
    registry.ask("UntagResource", json!({ "resourceArn": arn, "tagKeys": ["a"] })).unwrap();

    // All of it outlives a restart.
    let text = serde_json::to_string(&registry.ecr).unwrap();
    let mut registry = Registry { ecr: serde_json::from_str(&text).unwrap(), ..registry };
    let of = json!({ "repositoryName": "x1" });
    assert_eq!(registry.ask("GetRepositoryPolicy", of.clone()).unwrap()["policyText"], policy["policyText"]);
    let kept = registry.ask("DeleteLifecyclePolicy", of.clone()).unwrap();
    assert_eq!(kept["lifecyclePolicyText"], lifecycle["lifecyclePolicyText"]);
    assert!(registry.refused("DeleteLifecyclePolicy", of).starts_with("LifecyclePolicyNotFoundException"));
    let tags = registry.ask("ListTagsForResource", json!({ "resourceArn": arn })).unwrap();
    assert_eq!(tags, json!({ "tags": [{ "Key": "b", "Value": "2" }] }));
}

#[test]
fn counts_what_changes_and_nothing_else() {
    let mut registry = Registry::with("x1");
    let digest = registry.image("x1", Some("v1"), &["config"]);
    for (operation, input, changes) in [
        ("DescribeImages", json!({ "repositoryName": "x1" }), false),
        ("DescribeRepositories", json!({}), false),
        ("GetAuthorizationToken", json!({}), true),
        ("GetAuthorizationToken", json!({}), false),
        ("BatchGetImage", json!({ "repositoryName": "x1", "imageIds": [{ "imageTag": "v1" }] }), true),
        ("BatchGetImage", json!({ "repositoryName": "x1", "imageIds": [{ "imageTag": "v1" }] }), false),
        ("BatchDeleteImage", json!({ "repositoryName": "x1", "imageIds": [{ "imageDigest": digest }] }), true),
        ("DeleteRepository", json!({ "repositoryName": "x1" }), true),
    ] {
        let before = registry.ecr.revision();
        registry.ask(operation, input).unwrap();
        assert_eq!(registry.ecr.revision() != before, changes, "{operation}");
    }
}
