//! The registry's rules, called as its API is, without HTTP.

use serde_json::{Value, json};

use super::manifest::{OCI_INDEX, OCI_MANIFEST, digest_of};
use super::*;

const KEEP_ONE: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;

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
        self.ecr.answer(&self.place, Pace::new(1.0), operation, &input, NOW)
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
    let lifecycle = json!({ "repositoryName": "x1", "lifecyclePolicyText": KEEP_ONE });
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

impl Registry {
    fn at(&mut self, now: Millis, operation: &str, input: &Value) -> Result<Value, Fault> {
        self.ecr.expire(Pace::new(1.0), now);
        self.ecr.answer(&self.place, Pace::new(1.0), operation, input, now)
    }
}

const DAY: Millis = 24 * 60 * 60 * 1000;

#[test]
fn a_lifecycle_policy_is_previewed_and_applied_after_a_day() {
    let mut registry = Registry::with("x1");
    let mut image = |tag: Option<&str>, layer: &str, at: Millis| {
        let digest = registry.image("x1", tag, &[layer]);
        registry.ecr.repositories.get_mut("x1").unwrap().images.get_mut(&digest).unwrap().pushed_at = at;
        digest
    };
    let release = image(Some("v1"), "a", NOW - 9 * DAY);
    let old = image(Some("dev-1"), "b", NOW - 8 * DAY);
    let newer = image(Some("dev-2"), "c", NOW - 7 * DAY);
    let newest = image(Some("dev-3"), "d", NOW - 6 * DAY);
    let bare = image(None, "e", NOW - 5 * DAY);
    let policy = json!({ "rules": [
        { "rulePriority": 1, "selection": { "tagStatus": "tagged", "tagPrefixList": ["dev-"], "countType": "imageCountMoreThan", "countNumber": 2 }, "action": { "type": "expire" } },
        { "rulePriority": 2, "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 4 }, "action": { "type": "expire" } },
        { "rulePriority": 9, "selection": { "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30 }, "action": { "type": "expire" } },
    ] })
    .to_string();
    let of = json!({ "repositoryName": "x1" });
    assert!(registry.refused("GetLifecyclePolicyPreview", of.clone()).starts_with("LifecyclePolicyPreviewNotFound"));
    let asked = json!({ "repositoryName": "x1", "lifecyclePolicyText": policy });
    assert_eq!(registry.ask("StartLifecyclePolicyPreview", asked.clone()).unwrap()["status"], "IN_PROGRESS");
    let preview = registry.ask("GetLifecyclePolicyPreview", of.clone()).unwrap();
    assert_eq!((&preview["status"], &preview["summary"]["expiringImageTotalCount"]), (&json!("COMPLETE"), &json!(2)));
    let results = preview["previewResults"].as_array().unwrap();
    let mut found: Vec<_> = results
        .iter()
        .map(|one| (one["imageDigest"].as_str().unwrap(), one["appliedRulePriority"].as_u64().unwrap()))
        .collect();
    found.sort_by_key(|(_, priority)| *priority);
    assert_eq!(found, [(old.as_str(), 1), (bare.as_str(), 2)]);

    registry.at(NOW, "PutLifecyclePolicy", &asked).unwrap();
    let left = |registry: &mut Registry, now: Millis| -> Vec<String> {
        let answer = registry.at(now, "DescribeImages", &of).unwrap();
        let all = answer["imageDetails"].as_array().unwrap().iter();
        all.map(|one| one["imageDigest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(left(&mut registry, NOW + DAY - 1).len(), 5);
    let mut kept = vec![release.clone(), newer, newest];
    kept.sort();
    assert_eq!(left(&mut registry, NOW + DAY), kept);
    // The two that the first rule keeps are out of reach for the last one.
    kept.retain(|digest| *digest != release);
    assert_eq!(left(&mut registry, NOW + 40 * DAY), kept);
}

#[test]
fn an_image_that_an_index_stands_on_outlives_a_policy() {
    let mut registry = Registry::with("x1");
    let child = registry.image("x1", None, &["a"]);
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{ "mediaType": OCI_MANIFEST, "size": 1, "digest": child }],
    })
    .to_string();
    let image = ImageToPut { manifest: &index, media_type: None, tag: Some("v1"), digest: None };
    registry.ecr.put("x1", image, NOW).unwrap();
    let policy = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}]}"#;
    registry.at(NOW, "PutLifecyclePolicy", &json!({ "repositoryName": "x1", "lifecyclePolicyText": policy })).unwrap();
    let answer = registry.at(NOW + 3 * DAY, "DescribeImages", &json!({ "repositoryName": "x1" })).unwrap();
    assert_eq!(answer["imageDetails"].as_array().unwrap().len(), 2);
}

#[test]
fn a_scan_finds_what_it_is_told_to_find() {
    let mut registry = Registry::with("x1");
    let digest = registry.image("x1", Some("v1"), &["a"]);
    let of = json!({ "repositoryName": "x1", "imageId": { "imageTag": "v1" } });
    insta::assert_snapshot!(
        registry.refused("DescribeImageScanFindings", of.clone()).replace(&digest, "D"),
        @"ScanNotFoundException: Image scan does not exist for the image with '{imageDigest:'null', imageTag:'v1'}' in the repository with name 'x1' in the registry with id '000000000000'"
    );
    let findings = r#"{
        "x1:v1": [
            {"name": "CVE-2026-2", "severity": "LOW"},
            {"name": "CVE-2026-1", "severity": "CRITICAL", "description": "bad", "attributes": [{"key": "package_name", "value": "zlib"}]}
        ],
        "x1:v2": {"failed": "UnsupportedImageError: The operating system and/or package manager are not supported."}
    }"#;
    registry.ecr.set_findings(Findings::parse(findings).unwrap());
    let started = registry.at(NOW, "StartImageScan", &of).unwrap();
    assert_eq!(started["imageScanStatus"]["status"], "IN_PROGRESS");
    assert_eq!(
        registry.at(NOW + 9_999, "DescribeImageScanFindings", &of).unwrap()["imageScanStatus"]["status"],
        "IN_PROGRESS"
    );
    let found = registry.at(NOW + 10_000, "DescribeImageScanFindings", &of).unwrap();
    assert_eq!(found["imageScanStatus"]["status"], "COMPLETE");
    assert_eq!(found["imageScanFindings"]["findingSeverityCounts"], json!({ "CRITICAL": 1, "LOW": 1 }));
    assert_eq!(found["imageScanFindings"]["findings"][0]["name"], "CVE-2026-1");
    let page = json!({ "repositoryName": "x1", "imageId": { "imageTag": "v1" }, "maxResults": 1 });
    assert!(registry.at(NOW + 10_000, "DescribeImageScanFindings", &page).unwrap()["nextToken"].is_string());
    let described = registry.at(NOW + 10_000, "DescribeImages", &json!({ "repositoryName": "x1" })).unwrap();
    assert_eq!(described["imageDetails"][0]["imageScanFindingsSummary"]["findingSeverityCounts"]["LOW"], 1);
    let again = registry.at(NOW + 20_000, "StartImageScan", &of).unwrap_err();
    assert_eq!(again.code, "LimitExceededException");

    // On push, where the repository or the registry says so; and one whose scan fails.
    let rules = json!({ "rules": [{ "scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{ "filter": "x*", "filterType": "WILDCARD" }] }] });
    registry.ask("PutRegistryScanningConfiguration", rules).unwrap();
    registry.image("x1", Some("v2"), &["b"]);
    let of = json!({ "repositoryName": "x1", "imageId": { "imageTag": "v2" } });
    let failed = registry.at(NOW + 10_000, "DescribeImageScanFindings", &of).unwrap();
    assert_eq!(failed["imageScanStatus"]["status"], "FAILED");
    assert!(failed["imageScanStatus"]["description"].as_str().unwrap().starts_with("UnsupportedImageError"));
    assert!(failed.get("imageScanFindings").is_none());
}
