//! A sandbox that is killed at any moment, or has no room to write, forgets nothing it has answered and leaves nothing lying
//! about. The processes are real, and so are the kills.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use http_body_util::{BodyExt as _, Full};
use sha2::{Digest as _, Sha256};

/// How long a sandbox on paper may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

struct Sandbox {
    process: tokio::process::Child,
    client: aws_sdk_ecs::Client,
    endpoint: String,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_docker-ecs-ship");

/// A shell that goes on as the program after it, whose files may not grow beyond eight or sixteen KiB: the unit is the shell's
/// affair. What would be killed for it is told instead, as it is on a full disk.
const SMALL_FILES: [&str; 4] = ["/bin/sh", "-c", "trap '' XFSZ; ulimit -S -f 16; exec \"$@\"", "sh"];

impl Sandbox {
    /// Starts one on paper in a state folder, and waits until it answers.
    async fn start(state: &Path) -> Self {
        Self::start_as(&[PROGRAM], state).await
    }

    async fn start_as(words: &[&str], state: &Path) -> Self {
        let process = tokio::process::Command::new(words[0])
            .args(&words[1..])
            .args(["sandbox", "up", "--foreground", "--paper", "--port", "0", "--speed", "100"])
            .env_clear()
            .env("HOME", state)
            .env("ECS_SHIP_STATE_DIR", state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let folder = state.join("sandbox");
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        let answers = async {
            loop {
                beat.tick().await;
                if let Some(running) = ecs_ship::sandbox::daemon::running(&folder).await
                    && Some(running.pid) == process.id()
                {
                    return running;
                }
            }
        };
        let running = tokio::time::timeout(LIMIT, answers).await.expect("a sandbox answers");
        Self { process, client: client(&running.endpoint), endpoint: running.endpoint }
    }

    async fn kill(mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// Makes the repository `jobs`; gives back docker's credentials for the registry.
    async fn repository(&self) -> String {
        let config = aws_sdk_ecr::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
            .build();
        let ecr = aws_sdk_ecr::Client::from_conf(config);
        ecr.create_repository().repository_name("jobs").send().await.expect("there is room");
        let tokens = ecr.get_authorization_token().send().await.expect("it answers");
        tokens.authorization_data()[0].authorization_token().expect("a token").to_owned()
    }

    async fn clusters(&self) -> BTreeSet<String> {
        let mut pages = self.client.list_clusters().into_paginator().send();
        let mut names = BTreeSet::new();
        while let Some(page) = pages.next().await {
            for arn in page.expect("it answers").cluster_arns() {
                names.extend(arn.rsplit('/').next().map(str::to_owned));
            }
        }
        names
    }
}

fn client(endpoint: &str) -> aws_sdk_ecs::Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_ecs::Client::from_conf(config)
}

/// Everything in a folder, by its path in it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.insert(name);
        }
    }
    found
}

fn random(below: u64) -> u64 {
    getrandom::u64().expect("randomness") % below
}

#[tokio::test]
async fn killed_at_any_moment_it_knows_all_that_it_has_answered() {
    let state = tempfile::tempdir().expect("a folder");
    let mut answered = BTreeSet::new();
    // Twenty kills, and on a machine that is busy elsewhere more of them, until there was something to lose.
    for round in 0..60 {
        if round >= 20 && answered.len() > 20 {
            break;
        }
        let sandbox = Sandbox::start(state.path()).await;
        let known = sandbox.clusters().await;
        assert!(answered.is_subset(&known), "round {round}: forgotten {:?}", answered.difference(&known));
        let client = sandbox.client.clone();
        let writing = tokio::spawn(async move {
            let mut answered = Vec::new();
            for number in 0.. {
                let name = format!("round-{round}-{number}");
                // A list that grows, so that the file is larger and its writing takes longer every time.
                let definition = aws_sdk_ecs::types::ContainerDefinition::builder().name("a").image("b").memory(64);
                let register =
                    client.register_task_definition().family(&name).container_definitions(definition.build());
                if register.send().await.is_err() || client.create_cluster().cluster_name(&name).send().await.is_err() {
                    return answered;
                }
                answered.push(name);
            }
            answered
        });
        let _moment = tokio::time::timeout(Duration::from_millis(random(200)), std::future::pending::<()>()).await;
        sandbox.kill().await;
        answered.extend(writing.await.expect("it does not panic"));
    }
    assert!(answered.len() > 20, "it had time to answer: {}", answered.len());
    let sandbox = Sandbox::start(state.path()).await;
    assert!(answered.is_subset(&sandbox.clusters().await));
    sandbox.kill().await;
    let allowed = ["id", "lock", "sandbox.json", "world.json"];
    let left: Vec<String> =
        files(&state.path().join("sandbox")).into_iter().filter(|file| !allowed.contains(&file.as_str())).collect();
    // A file that was being written may lie there until it is written again, and no more than that one.
    assert!(left.iter().all(|file| file == "world.new" || file.starts_with("registry/")), "{left:?}");
}

/// A file system of its own with hardly any room. Needs root; elsewhere the test is refused unless it is skipped on purpose.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if mounted {
            return Some(Self(folder));
        }
        #[expect(clippy::disallowed_methods, reason = "the switch that CONTRIBUTING.md describes")]
        let skip = std::env::var_os("ECS_SHIP_E2E").is_some_and(|value| value == "skip");
        assert!(skip, "a full disk is made with a small tmpfs, which needs root; ECS_SHIP_E2E=skip leaves this out");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_it_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("256k") else { return };
    let state = disk.0.path();
    let sandbox = Sandbox::start(state).await;
    let create = |name: &str| sandbox.client.create_cluster().cluster_name(name).send();
    create("before").await.expect("there is room");
    // To the last byte: what is left over of a page would be enough for a small world.
    let filler = state.join("filler");
    let mut full = fs::File::create(&filler).expect("a file");
    let written = std::io::copy(&mut std::io::repeat(7), &mut full);
    assert!(written.is_err(), "the disk is full");
    // Held open, it would keep its room after it is removed.
    drop(full);
    let refused = create("meanwhile").await.expect_err("it cannot be kept");
    let response = refused.raw_response().map(|response| response.status().as_u16());
    assert_eq!(response, Some(500), "{refused:?}");
    // It still answers, and it has not lost what it had.
    assert!(sandbox.clusters().await.contains("before"));
    let after_refusal = files(&state.join("sandbox"));
    assert!(!after_refusal.contains("world.new"), "half a file would keep the disk full: {after_refusal:?}");
    // Killed now, it is as it was when it could last write.
    sandbox.kill().await;
    fs::remove_file(&filler).expect("ours");
    let sandbox = Sandbox::start(state).await;
    assert_eq!(sandbox.clusters().await, BTreeSet::from(["before".to_owned()]));
    sandbox.client.create_cluster().cluster_name("after").send().await.expect("there is room again");
    sandbox.kill().await;
    let sandbox = Sandbox::start(state).await;
    assert!(sandbox.clusters().await.contains("after"));
    sandbox.kill().await;
}

/// The other way to have no room, for which nobody has to be root: files that may not grow.
#[tokio::test]
async fn when_its_file_may_not_grow_it_refuses_what_it_cannot_keep_and_goes_on() {
    let state = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start_as(&[&SMALL_FILES[..], &[PROGRAM]].concat(), state.path()).await;
    let mut answered = BTreeSet::new();
    let refused = loop {
        let name = format!("cluster-{}", answered.len());
        match sandbox.client.create_cluster().cluster_name(&name).send().await {
            Ok(_) => answered.insert(name),
            Err(refused) => break refused,
        };
        assert!(answered.len() < 1000, "sixteen KiB hold no thousand clusters");
    };
    assert_eq!(refused.raw_response().map(|response| response.status().as_u16()), Some(500), "{refused:?}");
    assert!(answered.len() > 3, "it had room for some: {}", answered.len());
    assert!(answered.is_subset(&sandbox.clusters().await), "it still answers");
    let left = files(&state.path().join("sandbox"));
    assert!(!left.contains("world.new"), "half a file: {left:?}");
    sandbox.kill().await;
    let sandbox = Sandbox::start(state.path()).await;
    assert_eq!(sandbox.clusters().await, answered);
    sandbox.client.create_cluster().cluster_name("after").send().await.expect("there is room again");
    sandbox.kill().await;
}

/// One request to the registry as docker makes it, with the token of `GetAuthorizationToken`.
async fn registry(
    endpoint: &str,
    token: &str,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (u16, http::HeaderMap, Vec<u8>) {
    let authority = endpoint.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(authority).await.expect("it listens");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority)
        .header("authorization", format!("Basic {token}"))
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .body(Full::new(bytes::Bytes::from(body)))
        .expect("a request");
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.expect("a body").to_bytes().to_vec())
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[tokio::test]
async fn a_push_to_a_full_disk_is_refused_whole_and_goes_well_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let state = disk.0.path();
    let sandbox = Sandbox::start(state).await;
    let token = sandbox.repository().await;
    let endpoint = sandbox.endpoint.clone();
    let ask = async |method: &str, path: &str, body: Vec<u8>| registry(&endpoint, &token, method, path, body).await;
    // Three MiB, and room for one.
    let layer: Vec<u8> =
        (0..3 * 1024 * 1024_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    let filler = state.join("filler");
    let mut full = fs::File::create(&filler).expect("a file");
    let written = std::io::copy(&mut std::io::repeat(7), &mut full);
    assert!(written.is_err(), "the disk is full");
    let length = full.metadata().expect("ours").len();
    full.set_len(length - 1024 * 1024).expect("shorter");
    drop(full);

    // As docker does it: begin, then all of it as one stream, then the digest.
    let begin = async || {
        let (status, headers, _) = ask("POST", "/v2/jobs/blobs/uploads/", Vec::new()).await;
        assert_eq!(status, 202);
        headers["location"].to_str().expect("a path").to_owned()
    };
    let place = begin().await;
    let (status, _, body) = ask("PATCH", &place, layer.clone()).await;
    let said: serde_json::Value = serde_json::from_slice(&body).expect("an error in JSON");
    assert_eq!((status, &said["errors"][0]["code"]), (500, &serde_json::json!("UNKNOWN")), "{said}");
    assert!(said["errors"][0]["message"].as_str().is_some_and(|text| text.contains("No space left")), "{said}");
    let blob = format!("/v2/jobs/blobs/{}", digest(&layer));
    let (status, _, _) = ask("PUT", &format!("{place}?digest={}", digest(&layer)), Vec::new()).await;
    assert_eq!(status, 404, "half an upload cannot be finished");
    assert_eq!(ask("HEAD", &blob, Vec::new()).await.0, 404);
    let kept = files(&state.join("sandbox/registry"));
    assert!(kept.is_empty(), "half a layer would keep the disk full: {kept:?}");

    // What fits is taken, also now.
    let config = b"{}".to_vec();
    let place = begin().await;
    assert_eq!(ask("PUT", &format!("{place}?digest={}", digest(&config)), config.clone()).await.0, 201);
    fs::remove_file(&filler).expect("ours");
    let place = begin().await;
    assert_eq!(ask("PATCH", &place, layer.clone()).await.0, 202);
    assert_eq!(ask("PUT", &format!("{place}?digest={}", digest(&layer)), Vec::new()).await.0, 201);
    let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len() });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config), "layers": [descriptor("layer.v1.tar", &layer)]
    });
    assert_eq!(ask("PUT", "/v2/jobs/manifests/1", manifest.to_string().into_bytes()).await.0, 201);
    sandbox.kill().await;
    let sandbox = Sandbox::start(state).await;
    let (status, _, body) = registry(&sandbox.endpoint, &token, "GET", &blob, Vec::new()).await;
    assert_eq!((status, body == layer), (200, true));
    sandbox.kill().await;
}

/// An upload that was under way when it was killed is begun anew by its client, which is told so.
#[tokio::test]
async fn an_upload_under_way_does_not_outlive_a_kill_and_its_client_is_told() {
    let state = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(state.path()).await;
    let token = sandbox.repository().await;
    let (_, headers, _) = registry(&sandbox.endpoint, &token, "POST", "/v2/jobs/blobs/uploads/", Vec::new()).await;
    let place = headers["location"].to_str().expect("a path").to_owned();
    let (status, _, _) = registry(&sandbox.endpoint, &token, "PATCH", &place, vec![1; 4096]).await;
    assert_eq!(status, 202);
    sandbox.kill().await;
    let sandbox = Sandbox::start(state.path()).await;
    for (method, path) in
        [("GET", place.clone()), ("PATCH", place.clone()), ("PUT", format!("{place}?digest={}", digest(&[])))]
    {
        let (status, _, body) = registry(&sandbox.endpoint, &token, method, &path, Vec::new()).await;
        let said: serde_json::Value = serde_json::from_slice(&body).expect("an error in JSON");
        assert_eq!(
            (status, &said["errors"][0]["code"]),
            (404, &serde_json::json!("BLOB_UPLOAD_UNKNOWN")),
            "{method} {said}"
        );
    }
    assert_eq!(files(&state.path().join("sandbox/registry")), BTreeSet::new(), "its bytes are gone");
    sandbox.kill().await;
}
