//! From staging to production on paper: what is copied is what staging runs, byte by byte, and nothing else gets there.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    environment::{Output, PROGRAM},
    paper::Paper,
    plan::commit,
};

const SHIP: &str = r#"format = 1

[images.web]
repository = "shop/web"

[services.web]
cluster = "shop"

[environments.staging]
region = "us-east-1"

[environments.production]
region = "us-east-1"
promote_from = "staging"

[environments.production.services.web]
cluster = "live"
environment = { LEVEL = "warn" }
"#;

/// A service `web` in a cluster, with an image that nobody has.
pub(crate) fn service_in(paper: &Paper, cluster: &str) {
    paper.ecs("CreateCluster", &json!({ "clusterName": cluster }));
    let container = json!({ "name": "web", "image": "web:1" });
    let definition = json!({ "family": format!("{cluster}-web"), "memory": "64", "containerDefinitions": [container] });
    paper.ecs("RegisterTaskDefinition", &definition);
    let definition = format!("{cluster}-web:1");
    paper.ecs(
        "CreateService",
        &json!({ "cluster": cluster, "serviceName": "web", "taskDefinition": definition, "desiredCount": 2 }),
    );
    paper.steady_in(cluster);
}

fn ship(paper: &Paper, words: &[&str]) -> Output {
    paper.environment.run_all(PROGRAM, words)
}

/// What a revision runs, `shop/web@sha256:…` without its registry.
fn image(paper: &Paper, revision: &str) -> String {
    let found = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": revision }));
    let image = found["taskDefinition"]["containerDefinitions"][0]["image"].as_str().expect("an image").to_owned();
    image.split_once('/').expect("a registry").1.to_owned()
}

/// The image of a repository: its digest and its tags.
fn stored(paper: &Paper, repository: &str) -> Vec<(String, Vec<Value>)> {
    let found = paper.ecr("DescribeImages", &json!({ "repositoryName": repository }));
    let images = found["imageDetails"].as_array().expect("images").iter();
    images
        .map(|image| {
            let tags = image["imageTags"].as_array().cloned().unwrap_or_default();
            (image["imageDigest"].as_str().expect("a digest").to_owned(), tags)
        })
        .collect()
}

/// The digest is that of a build of this machine; its head stands in what is printed.
fn without_digest(output: &Output, digest: &str) -> String {
    let hex = digest.rsplit(':').next().expect("a digest");
    output.to_string().replace(hex, "DIGEST").replace(&hex[..12], "DIGEST-HEAD")
}

#[test]
fn what_staging_runs_goes_to_production_and_nothing_else() {
    let paper = Paper::up("200");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let text = format!("{SHIP}\n[environments.production.images.web]\nrepository = \"live/web\"\n");
    paper.environment.write("ship.toml", &text);
    commit(&paper);
    service_in(&paper, "shop");
    service_in(&paper, "live");
    paper.repository_called("shop/web");
    paper.repository_called("live/web");

    insta::assert_snapshot!("not_from_ecr", ship(&paper, &["plan", "--environment", "production"]));
    let _ = ship(&paper, &["deploy", "--environment", "staging", "--yes"]).success();
    let staging = image(&paper, "shop-web:2");
    let digest = staging.split_once('@').expect("it is pinned").1.to_owned();

    let planned = ship(&paper, &["plan", "--environment", "production", "--exit-code"]);
    insta::assert_snapshot!("copied", without_digest(&planned, &digest));
    let document = ship(&paper, &["plan", "--environment", "production", "--format", "json"]).success();
    let document: Value = serde_json::from_str(&document.stdout).expect("JSON");
    let copy = &document["steps"][0];
    assert_eq!((&copy["kind"], &copy["subject"]), (&json!("copy"), &json!("web")), "{copy}");

    // There is no engine where it runs, and none is missed.
    let mut without = paper.environment.command(PROGRAM);
    without.args(["deploy", "--environment", "production", "--yes", "--progress", "json"]);
    let shipped = paper.environment.finish(without.env("DOCKER_HOST", "tcp://127.0.0.1:1")).success();
    let told = |word: &str| shipped.stdout.contains(word);
    assert!(told(r#""what":"layers""#) && told(r#""state":"pushed""#), "{shipped}");
    assert_eq!(image(&paper, "live-web:2"), format!("live/web@{digest}"));
    let (here, there) = (stored(&paper, "live/web"), stored(&paper, "shop/web"));
    assert_eq!(here, there, "the same image under the same tag");
    let live = paper.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": "live-web:2", "include": ["TAGS"] }));
    let environment = &live["taskDefinition"]["containerDefinitions"][0]["environment"];
    assert_eq!(*environment, json!([{ "name": "LEVEL", "value": "warn" }]), "production's own");
    let tag = live["tags"].as_array().expect("tags").iter().find(|tag| tag["key"] == "docker-ecs-ship:image-tag");
    assert_eq!(tag.expect("its tag")["value"], there[0].1[0]);

    let again = ship(&paper, &["plan", "--environment", "production", "--exit-code"]);
    insta::assert_snapshot!("nothing_to_do", without_digest(&again, &digest));
    let rehearsed = ship(&paper, &["config", "show", "--environment", "production"]).success();
    assert!(rehearsed.stdout.contains("promote_from = \"staging\""), "{rehearsed}");
    paper.remove_images();
}

/// One repository for both: there is nothing to copy, and the same digest is rolled out.
#[test]
fn a_repository_of_both_is_left_as_it_is() {
    let paper = Paper::up("200");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    paper.environment.write("ship.toml", SHIP);
    commit(&paper);
    service_in(&paper, "shop");
    service_in(&paper, "live");
    paper.repository_called("shop/web");
    let _ = ship(&paper, &["deploy", "--environment", "staging", "--yes"]).success();
    let before = stored(&paper, "shop/web");
    let shipped = ship(&paper, &["deploy", "--environment", "production", "--yes", "--progress", "plain"]).success();
    assert!(!shipped.stderr.contains("copy web"), "{shipped}");
    assert_eq!(image(&paper, "live-web:2"), image(&paper, "shop-web:2"));
    assert_eq!(stored(&paper, "shop/web"), before);
    paper.remove_images();
}

/// Each environment with an endpoint and credentials of its own, as two accounts have them.
#[test]
fn an_image_goes_from_one_account_to_another() {
    let (mut staging, production) = (Paper::up("200"), Paper::up("200"));
    staging.environment.unset("AWS_ENDPOINT_URL").unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    let profile = |name: &str, paper: &Paper| {
        format!(
            "[profile {name}]\nendpoint_url = http://{}\naws_access_key_id = sandbox\naws_secret_access_key = sandbox\n",
            paper.authority()
        )
    };
    let profiles = profile("staging", &staging) + &profile("production", &production);
    let config = staging.environment.write("aws-config", &profiles);
    staging.environment.set("AWS_CONFIG_FILE", &config.display().to_string());
    staging.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let text = SHIP.replace("[environments.staging]\n", "[environments.staging]\nprofile = \"staging\"\n");
    let text = text.replace("promote_from", "profile = \"production\"\npromote_from");
    staging.environment.write("ship.toml", &text);
    commit(&staging);
    service_in(&staging, "shop");
    service_in(&production, "live");
    staging.repository_called("shop/web");
    production.repository_called("shop/web");
    let _ = ship(&staging, &["deploy", "--environment", "staging", "--yes"]).success();
    let _ = ship(&staging, &["deploy", "--environment", "production", "--yes"]).success();
    assert_eq!(stored(&staging, "shop/web"), stored(&production, "shop/web"));
    assert_eq!(image(&staging, "shop-web:2"), image(&production, "live-web:2"));
    staging.remove_images();
}

/// A repository's contents, as `oras`, `cosign` and BuildKit put them: without an engine.
struct Stock<'a> {
    paper: &'a Paper,
    repository: &'static str,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Stock<'_> {
    fn ecr(&self, operation: &str, members: &Value) -> Value {
        let mut body = members.clone();
        body["repositoryName"] = json!(self.repository);
        self.paper.ecr(operation, &body)
    }

    /// A blob, by its descriptor.
    fn blob(&self, media_type: &str, bytes: &str) -> Value {
        let digest = digest(bytes);
        let asked = self.ecr("BatchCheckLayerAvailability", &json!({ "layerDigests": [digest] }));
        if asked["layers"][0]["layerAvailability"] != "AVAILABLE" {
            let upload = self.ecr("InitiateLayerUpload", &json!({}))["uploadId"].clone();
            let blob = base64::engine::general_purpose::STANDARD.encode(bytes);
            let last = bytes.len() - 1;
            self.ecr(
                "UploadLayerPart",
                &json!({ "uploadId": upload, "partFirstByte": 0, "partLastByte": last, "layerPartBlob": blob }),
            );
            self.ecr("CompleteLayerUpload", &json!({ "uploadId": upload, "layerDigests": [digest] }));
        }
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn put(&self, manifest: &Value, tag: Option<&str>) -> Value {
        // With white space that nobody would write again: the bytes themselves must arrive.
        let text = format!("{manifest:#}\n");
        let mut image = json!({ "imageManifest": text });
        if let Some(tag) = tag {
            image["imageTag"] = json!(tag);
        }
        self.ecr("PutImage", &image);
        json!({ "mediaType": manifest["mediaType"], "digest": digest(&text), "size": text.len() })
    }

    fn image(&self, architecture: &str) -> Value {
        let config =
            json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config.to_string());
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar", &format!("the files of {architecture}"));
        let mut image =
            self.put(&json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] }), None);
        image["platform"] = json!({ "os": "linux", "architecture": architecture });
        image
    }

    /// Something with a subject, or under a tag that is made from a digest.
    fn artifact(&self, kind: &str, bytes: &str, subject: Option<&Value>, tag: Option<&str>) -> Value {
        let config = self.blob("application/vnd.oci.empty.v1+json", "{}");
        let layer = self.blob(kind, bytes);
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [layer],
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        self.put(&manifest, tag)
    }

    /// What stands under a tag, byte by byte.
    fn under(&self, tag: &str) -> Option<String> {
        let found = self.ecr("BatchGetImage", &json!({ "imageIds": [{ "imageTag": tag }] }));
        found["images"][0]["imageManifest"].as_str().map(str::to_owned)
    }

    fn referrers(&self, subject: &Value) -> Vec<String> {
        let found = self.ecr("ListImageReferrers", &json!({ "subjectId": { "imageDigest": subject["digest"] } }));
        let found = found["referrers"].as_array().expect("referrers").iter();
        found.map(|referrer| referrer["digest"].as_str().expect("a digest").to_owned()).collect()
    }
}

fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

/// `sha256-<hex>.sig`, as cosign names what belongs to a digest.
fn tag_of(descriptor: &Value, suffix: &str) -> String {
    format!("{}{suffix}", descriptor["digest"].as_str().expect("a digest").replace(':', "-"))
}

/// A shop in whose staging an index of two platforms runs, which nobody has built here; with the index and one of its images.
fn shop_of_an_index(scenario: &str) -> (Paper, Value, Value) {
    let paper = Paper::up_with("200", scenario);
    let text = format!("{SHIP}\n[environments.production.images.web]\nrepository = \"live/web\"\n");
    paper.environment.write("ship.toml", &text);
    paper.repository_called("shop/web");
    paper.repository_called("live/web");
    let stock = Stock { paper: &paper, repository: "shop/web" };
    let images = [stock.image("amd64"), stock.image("arm64")];
    let index = stock.put(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": &images }), Some("v1"));
    let image = format!("{}/shop/web@{}", paper.authority(), index["digest"].as_str().expect("a digest"));
    paper.ecs("CreateCluster", &json!({ "clusterName": "shop" }));
    let container = json!({ "name": "web", "image": image });
    let definition = json!({ "family": "shop-web", "memory": "64", "containerDefinitions": [container] });
    paper.ecs("RegisterTaskDefinition", &definition);
    let service = json!({ "cluster": "shop", "serviceName": "web", "taskDefinition": "shop-web:1", "desiredCount": 2 });
    paper.ecs("CreateService", &service);
    paper.steady_in("shop");
    service_in(&paper, "live");
    let [_, arm] = images;
    (paper, index, arm)
}

fn promoted(paper: &Paper) -> Output {
    ship(paper, &["deploy", "--environment", "production", "--yes", "--progress", "plain"]).success()
}

#[test]
fn an_index_comes_with_its_images_and_with_all_that_is_attached_to_them() {
    let (paper, index, child) = shop_of_an_index("");
    let [staging, live] = ["shop/web", "live/web"].map(|repository| Stock { paper: &paper, repository });
    let sbom = staging.artifact("application/spdx+json", "what is in it", Some(&index), None);
    // Of one platform, and of something that is attached itself.
    let scan = staging.artifact("application/sarif+json", "what is wrong with it", Some(&child), None);
    let seal = staging.artifact("application/vnd.cncf.notary.signature", "who says so", Some(&sbom), None);
    let signature = "application/vnd.dev.cosign.simplesigning.v1+json";
    let tags = [tag_of(&index, ".sig"), tag_of(&index, ".sbom"), tag_of(&child, ".att"), tag_of(&sbom, ".sig")];
    for tag in &tags {
        staging.artifact(signature, tag, None, Some(tag));
    }
    // The list that clients keep where a registry has none: an index of what has a subject.
    let bundle = staging.artifact("application/vnd.dev.sigstore.bundle.v0.3+json", "a bundle", Some(&index), None);
    let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [bundle] });
    let list_tag = tag_of(&index, "");
    staging.put(&list, Some(&list_tag));
    // Of an image that is not promoted.
    staging.artifact(signature, "another", None, Some(&format!("sha256-{}.sig", "0".repeat(64))));

    let shipped = promoted(&paper);
    assert!(shipped.stderr.contains("with 9 artifacts that are attached to it"), "{shipped}");
    assert!(!shipped.stderr.contains("warning"), "{shipped}");
    for tag in tags.iter().chain([&list_tag]) {
        assert_eq!(live.under(tag), staging.under(tag), "{tag}");
        assert!(live.under(tag).is_some(), "{tag}");
    }
    for subject in [&index, &child, &sbom] {
        assert_eq!(live.referrers(subject), staging.referrers(subject));
    }
    assert!(live.referrers(&sbom).contains(&seal["digest"].as_str().expect("a digest").to_owned()));
    assert!(live.referrers(&child).contains(&scan["digest"].as_str().expect("a digest").to_owned()));
    let digests = |stock: &Stock<'_>| stored(&paper, stock.repository).into_iter().map(|(digest, _)| digest);
    let (here, there): (BTreeSet<_>, BTreeSet<_>) = (digests(&live).collect(), digests(&staging).collect());
    assert_eq!(there.difference(&here).count(), 1, "all but what belongs to another image");
}

/// The tags of signatures are like others: none is moved, whether it could be or not.
#[test]
fn a_signature_that_is_another_one_here_is_warned_about_and_left() {
    for mutability in ["IMMUTABLE", "MUTABLE"] {
        let (paper, index, _) = shop_of_an_index("");
        let [staging, live] = ["shop/web", "live/web"].map(|repository| Stock { paper: &paper, repository });
        live.ecr("PutImageTagMutability", &json!({ "imageTagMutability": mutability }));
        let [same, other, new] = [".att", ".sig", ".sbom"].map(|suffix| tag_of(&index, suffix));
        for stock in [&staging, &live] {
            stock.artifact("application/json", "the same", None, Some(&same));
            stock.artifact("application/json", stock.repository, None, Some(&other));
        }
        staging.artifact("application/json", "new", None, Some(&new));
        let before = live.under(&other);

        let shipped = promoted(&paper);
        let told = format!("warning: {other} stays in shop/web: the tag stands for something else in live/web");
        assert!(shipped.stderr.replace('\n', " ").contains(&told), "{mutability}: {shipped}");
        assert_eq!(shipped.stderr.matches("warning").count(), 1, "{mutability}: {shipped}");
        assert_eq!((live.under(&other), live.under(&same)), (before, staging.under(&same)), "{mutability}");
        assert_eq!(live.under(&new), staging.under(&new), "{mutability}");
        assert!(shipped.stderr.contains("with 2 artifacts that are attached to it"), "{mutability}: {shipped}");
    }
}

#[test]
fn what_may_not_be_listed_is_warned_about_with_the_action() {
    let denied = "format = 1\n[[faults]]\nservice = \"ecr\"\noperation = \"ListImageReferrers\"\nfault = \"deny\"\n";
    let (paper, index, _) = shop_of_an_index(denied);
    let [staging, live] = ["shop/web", "live/web"].map(|repository| Stock { paper: &paper, repository });
    staging.artifact("application/spdx+json", "what is in it", Some(&index), None);
    let tag = tag_of(&index, ".sig");
    staging.artifact("application/json", "a signature", None, Some(&tag));
    let shipped = promoted(&paper);
    let told = "what is attached to the image by referrers stays in shop/web: ecr:ListImageReferrers is not allowed";
    assert!(shipped.stderr.contains(told), "{shipped}");
    assert_eq!(shipped.stderr.matches("warning").count(), 1, "{shipped}");
    assert_eq!(live.under(&tag), staging.under(&tag), "what a tag names comes all the same");
}
