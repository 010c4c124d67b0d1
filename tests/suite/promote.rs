//! From staging to production on paper: what is copied is what staging runs, byte by byte, and nothing else gets there.

use serde_json::{Value, json};

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
