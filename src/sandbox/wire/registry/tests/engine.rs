//! A real Docker engine pushes and pulls.
//!
//! The engine must take plain HTTP from 127.0.0.1, as every engine does unless told otherwise.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::super::super::super::clock;
use super::server::Server;

/// A docker command line of its own configuration, and the images it leaves behind.
struct Docker {
    folder: tempfile::TempDir,
    images: Vec<String>,
}

struct Said {
    success: bool,
    text: String,
}

impl Docker {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), images: Vec::new() }
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        let output = Command::new("docker")
            .args(arguments)
            .env("DOCKER_CONFIG", self.folder.path().join("config"))
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null())
            .output()
            .await
            .expect("this test needs the docker command");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Said { success: output.status.success(), text }
    }

    async fn must(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments).await;
        assert!(said.success, "docker {arguments:?}: {}", said.text);
        said.text
    }

    async fn login(&self, server: &Server) {
        let password = server.password();
        self.must(&["login", "--username", "AWS", "--password", &password, &server.authority]).await;
    }

    /// Builds an image from nothing, one layer for each of these sizes in bytes.
    async fn build(&mut self, name: &str, layers: &[usize]) {
        let context = self.folder.path().join("context");
        tokio::fs::create_dir_all(&context).await.unwrap();
        let mut dockerfile = "FROM scratch\n".to_owned();
        for (number, size) in layers.iter().enumerate() {
            write_random(&context.join(number.to_string()), *size).await;
            dockerfile = format!("{dockerfile}COPY {number} /\n");
        }
        tokio::fs::write(context.join("Dockerfile"), dockerfile).await.unwrap();
        let said = self.must(&["build", "--quiet", "--tag", name, context.to_str().unwrap()]).await;
        // By id, since a name may move to the next image; newer clients warn about the classic builder around it.
        let id = said.lines().find(|line| line.starts_with("sha256:")).expect("a quiet build says the image's id");
        self.images.push(id.to_owned());
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for image in &self.images {
            let removed = std::process::Command::new("docker")
                .args(["image", "rm", "--force", image])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            // Nothing else can be done about an image that stays, and the test has its own verdict.
            drop(removed);
        }
    }
}

async fn write_random(path: &Path, size: usize) {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).unwrap();
    tokio::fs::write(path, bytes).await.unwrap();
}

fn digest_in(text: &str) -> &str {
    let (_, rest) = text.split_once("digest: ").unwrap_or_else(|| panic!("no digest in {text}"));
    rest.split_whitespace().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_and_pulls() {
    let server = Server::start().await;
    let mut docker = Docker::new();
    server.repository("jobs/api", "MUTABLE");
    let image = format!("{}/jobs/api:v1", server.authority);
    docker.build(&image, &[6_000_000, 1_500_000, 10]).await;
    let id = docker.must(&["image", "inspect", "--format", "{{.Id}}", &image]).await;

    let anonymous = docker.run(&["push", &image]).await;
    assert!(!anonymous.success && anonymous.text.contains("no basic auth credentials"), "{}", anonymous.text);
    docker.login(&server).await;
    let pushed = docker.must(&["push", &image]).await;
    assert_eq!(pushed.matches(": Pushed").count(), 3, "{pushed}");
    let digest = digest_in(&pushed).to_owned();
    assert_eq!(server.world().ecr.resolve("jobs/api", "v1"), Some(digest.clone()));
    let described = server.ecr("DescribeImages", &json!({ "repositoryName": "jobs/api" })).unwrap();
    let size = described["imageDetails"][0]["imageSizeInBytes"].as_u64().unwrap();
    assert!((7_500_000..7_600_000).contains(&size), "random bytes do not compress: {size}");

    let again = docker.must(&["push", &image]).await;
    assert_eq!(again.matches(": Layer already exists").count(), 3, "{again}");
    assert_eq!(digest_in(&again), digest);

    docker.must(&["image", "rm", "--force", &image]).await;
    let by_digest = format!("{}/jobs/api@{digest}", server.authority);
    docker.images.push(by_digest.clone());
    docker.must(&["pull", "--quiet", &by_digest]).await;
    assert_eq!(docker.must(&["image", "inspect", "--format", "{{.Id}}", &by_digest]).await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_told_what_ecr_tells() {
    let server = Server::start().await;
    let mut docker = Docker::new();
    docker.login(&server).await;
    let image = format!("{}/fixed:v1", server.authority);
    docker.build(&image, &[100]).await;
    let mut told = Vec::new();
    let mut fails = async |why: &str| {
        let said = docker.run(&["push", &image]).await;
        assert!(!said.success, "{why}: {}", said.text);
        told.push(format!("{why}: {}", said.text.lines().last().unwrap_or_default()));
    };
    fails("no repository").await;
    server.repository("fixed", "IMMUTABLE");
    server.world().ecr.expire_tokens(clock::now());
    fails("expired").await;
    docker.login(&server).await;
    docker.must(&["push", &image]).await;
    docker.must(&["push", &image]).await;
    docker.build(&image, &[200]).await;
    let moved = docker.run(&["push", &image]).await;
    assert!(!moved.success);
    told.push(format!("moved: {}", moved.text.lines().last().unwrap_or_default()));
    let told = told.join("\n");
    if docker.must(&["info", "--format", "{{json .DriverStatus}}"]).await.contains("io.containerd.snapshotter") {
        // containerd leaves out the code, and has only the status of an answer to HEAD.
        let (before, rest) = told.split_once("HEAD request to ").unwrap();
        let (_, after) = rest.split_once(": 403").unwrap();
        insta::assert_snapshot!(format!("{before}HEAD request to …: 403{after}"), @r"
        no repository: error from registry: The repository with name 'fixed' does not exist in the registry with id '000000000000'
        expired: unknown: unexpected status from HEAD request to …: 403 Forbidden
        moved: error from registry: The image tag 'v1' already exists in the 'fixed' repository and cannot be overwritten because the tag is immutable.
        ");
        return;
    }
    insta::assert_snapshot!(told, @r#"
    no repository: name unknown: The repository with name 'fixed' does not exist in the registry with id '000000000000'
    expired: denied: Your authorization token has expired. Reauthenticate and try again.
    moved: tag invalid: The image tag 'v1' already exists in the 'fixed' repository and cannot be overwritten because the tag is immutable.
    "#);
}
