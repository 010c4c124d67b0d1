//! What goes wrong before anything was changed: each ends with its exit code, one clear text on standard
//! error, and what to do.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    process::Stdio,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use regex::Regex;

use crate::{
    environment::{Environment, Output, PROGRAM},
    paper::Paper,
};

const SMALLEST: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n[services.web]\ncluster = \"shop\"\n\n\
                        [environments.production]\nregion = \"us-east-1\"\n";
const IN_SANDBOX: &str = "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n[services.web]\ncluster = \"shop\"\n\n\
                          [environments.sandbox]\nsandbox = true\n";

/// The text on standard error, with what differs from run to run named.
fn told(output: &Output) -> String {
    static CHANGING: LazyLock<[(Regex, &str); 5]> = LazyLock::new(|| {
        let regex = |text| Regex::new(text).expect("a constant");
        [
            (regex(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
            (regex(r"ship-\d{8}t\d{6}z|ship-\d{8}T\d{6}Z"), "ship-TIME"),
            (regex(r"request id [0-9a-f-]{36}"), "request id ID"),
            (regex(r"ecs-svc/\d+"), "ecs-svc/N"),
            (regex(r"\d+\.\ds"), "N s"),
        ]
    });
    let mut text = format!("exit: {}\n{}", output.code.unwrap_or(-1), output.stderr);
    for (regex, name) in CHANGING.iter() {
        text = regex.replace_all(&text, *name).into_owned();
    }
    text
}

fn deploy(environment: &Environment) -> Output {
    environment.run(PROGRAM, ["deploy"])
}

#[test]
fn no_file() {
    let output = deploy(&Environment::new());
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.contains("$WORK/ship.toml"), "where it looked: {output}");
}

#[test]
fn every_mistake_in_the_file_at_once() {
    let environment = Environment::new();
    environment.write(
        "ship.toml",
        "format = 1\n\n[images.web]\nrepositry = \"shop/web\"\n\n[services.web]\ncluster = 7\n\n\
         [environments.production]\nregion = \"eu-wets-1\"\n",
    );
    insta::assert_snapshot!("every_mistake_in_the_file_at_once", told(&deploy(&environment)));
}

#[test]
fn broken_toml() {
    let environment = Environment::new();
    environment.write("ship.toml", "format = 1\n[images.web\nrepository = \"shop/web\"\n");
    let output = deploy(&environment);
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.contains("ship.toml:2"), "{output}");
}

#[test]
fn an_environment_and_a_service_that_are_not_there() {
    let environment = Environment::new();
    environment.write("ship.toml", SMALLEST);
    let output = environment.run(PROGRAM, ["deploy", "--environment", "prod", "wep"]);
    insta::assert_snapshot!("an_environment_and_a_service_that_are_not_there", told(&output));
}

#[test]
fn no_engine() {
    let mut environment = Environment::new();
    environment.write("ship.toml", SMALLEST);
    environment.set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    insta::assert_snapshot!("no_engine", told(&deploy(&environment)));
}

#[test]
fn an_engine_that_may_not_be_used() {
    // In /tmp itself: the user `nobody` has to get there.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let socket = folder.path().join("docker.sock");
    let _engine = UnixListener::bind(&socket).expect("a socket");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::write(folder.path().join("ship.toml"), SMALLEST).expect("a new file");
    let program = folder.path().join("docker-ecs-ship");
    let copied = std::process::Command::new("install").args(["-m", "755", PROGRAM]).arg(&program).status();
    assert!(copied.expect("there is an `install` program").success());

    let environment = Environment::new();
    let mut command = environment.command(&program);
    command.arg("deploy").current_dir(folder.path()).env("DOCKER_HOST", format!("unix://{}", socket.display()));
    if rustix::process::geteuid().is_root() {
        command.uid(65_534);
    } else {
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).expect("it is ours");
    }
    let output = command.output().expect("the program starts");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{talk}");
    assert!(talk.contains("permission denied"), "{talk}");
    assert!(talk.contains("docker` group") || talk.contains("usermod -aG docker"), "{talk}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures how soon the program ends")]
fn an_abort_before_anything_was_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("docker.sock");
    // It accepts and never answers, so that there is time for the abort.
    let engine = UnixListener::bind(&socket).expect("a socket");
    let mut environment = Environment::new();
    environment.write("ship.toml", SMALLEST);
    environment.set("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let child = environment
        .command(PROGRAM)
        .arg("deploy")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let _connection = engine.accept().expect("it asks the engine");
    let pid = rustix::process::Pid::from_child(&child);
    let begun = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited for the engine");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{talk}");
    assert!(talk.contains("nothing was changed"), "{talk}");
}

#[test]
fn no_credentials() {
    let mut environment = Environment::with_docker();
    environment.write("ship.toml", SMALLEST);
    environment.set("AWS_EC2_METADATA_DISABLED", "true");
    insta::assert_snapshot!("no_credentials", told(&deploy(&environment)));
}

#[test]
fn no_region() {
    let mut environment = Environment::with_docker();
    environment.write("ship.toml", &SMALLEST.replace("region = \"us-east-1\"", ""));
    environment.set("AWS_EC2_METADATA_DISABLED", "true");
    insta::assert_snapshot!("no_region", told(&deploy(&environment)));
}

/// An AWS that answers every call with one error, in the form of each protocol.
fn refusing_aws(code: &'static str, message: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let authority = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || refuse(stream, code, message));
        }
    });
    authority
}

fn refuse(mut stream: TcpStream, code: &str, message: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let body = if head.contains("x-amz-target") {
        format!(r#"{{"__type":"{code}","message":"{message}"}}"#)
    } else {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>8a7c1b2d-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
        )
    };
    // A client that has gone needs no answer.
    let _gone = write!(
        stream,
        "HTTP/1.1 400 Bad Request\r\nx-amzn-requestid: 8a7c1b2d-0000-4000-8000-000000000000\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn against_refusing_aws(code: &'static str, message: &'static str) -> Output {
    let mut environment = Environment::with_docker();
    environment.write("ship.toml", SMALLEST);
    environment
        .set("AWS_ENDPOINT_URL", &format!("http://{}", refusing_aws(code, message)))
        .set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .set("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let output = deploy(&environment);
    assert!(!output.stderr.contains("wJalrXUtnFEMI"), "{output}");
    output
}

#[test]
fn a_token_that_has_expired() {
    let output = against_refusing_aws("ExpiredTokenException", "The security token included in the request is expired");
    insta::assert_snapshot!("a_token_that_has_expired", told(&output));
}

#[test]
fn a_call_that_is_not_allowed() {
    let output = against_refusing_aws(
        "AccessDeniedException",
        "User: arn:aws:iam::111111111111:user/ci is not authorized to perform: sts:GetCallerIdentity",
    );
    insta::assert_snapshot!("a_call_that_is_not_allowed", told(&output));
}

#[test]
fn a_repository_a_cluster_and_a_service_that_are_missing() {
    let paper = Paper::up("1");
    paper.environment.write("ship.toml", SMALLEST);
    insta::assert_snapshot!("nothing_is_there", told(&deploy(&paper.environment)));
    paper.cluster();
    insta::assert_snapshot!("repository_and_service_missing", told(&deploy(&paper.environment)));
    paper.repository();
    insta::assert_snapshot!("service_missing", told(&deploy(&paper.environment)));
}

#[test]
fn a_service_that_was_deleted() {
    let paper = Paper::up("100");
    paper.environment.write("ship.toml", SMALLEST);
    paper.cluster();
    paper.repository();
    paper.service();
    paper.ecs("DeleteService", &serde_json::json!({ "cluster": "shop", "service": "web", "force": true }));
    let output = deploy(&paper.environment);
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stderr.contains("INACTIVE") || output.stderr.contains("DRAINING"), "{output}");
}

#[test]
fn two_deployments_at_once() {
    // Its tasks are up after some seconds, and count as healthy twenty later.
    let paper = Paper::up("2");
    paper.environment.write("ship.toml", SMALLEST);
    paper.cluster();
    paper.repository();
    paper.service();
    paper.running();
    insta::assert_snapshot!("two_deployments_at_once", told(&deploy(&paper.environment)));
}

#[test]
fn credentials_of_another_account() {
    let paper = Paper::up("1");
    paper.environment.write("ship.toml", &format!("{SMALLEST}account = \"111111111111\"\n"));
    let output = deploy(&paper.environment);
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stderr.contains("000000000000") && output.stderr.contains("111111111111"), "{output}");
}

#[test]
fn nobody_to_ask() {
    let paper = Paper::up("1");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY ship.toml /\n");
    paper.environment.write("ship.toml", &format!("{IN_SANDBOX}confirm = true\n"));
    insta::assert_snapshot!("nobody_to_ask", told(&deploy(&paper.environment)));
}

#[test]
fn a_dockerfile_that_does_not_build() {
    let paper = Paper::up("1");
    paper.environment.write("ship.toml", IN_SANDBOX);
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    let output = deploy(&paper.environment);
    assert_eq!(output.code, Some(10), "{output}");
    assert!(output.stderr.contains("missing"), "the file is named: {output}");
    assert!(output.stderr.contains("the service was not created"), "what is live is said: {output}");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPPY missing /\n");
    let output = deploy(&paper.environment);
    assert_eq!(output.code, Some(10), "{output}");
    assert!(output.stderr.contains("COPPY") || output.stderr.contains("coppy"), "{output}");
}

#[test]
fn a_terminal_that_is_not_there() {
    let environment = Environment::new();
    environment.write("ship.toml", SMALLEST);
    let output = environment.run(PROGRAM, ["deploy", "--progress", "tty"]);
    insta::assert_snapshot!("a_terminal_that_is_not_there", told(&output));
}

#[test]
fn a_plan_while_the_sandbox_sleeps() {
    let environment = Environment::with_docker();
    environment.write("ship.toml", IN_SANDBOX);
    let output = environment.run(PROGRAM, ["plan"]);
    insta::assert_snapshot!("a_plan_while_the_sandbox_sleeps", told(&output));
}

#[test]
fn a_recording_that_is_none() {
    let environment = Environment::new();
    let path = environment.write("run.jsonl", "not an event\n");
    let output = environment.run(PROGRAM, ["replay", path.to_str().expect("text")]);
    insta::assert_snapshot!("a_recording_that_is_none", told(&output));
}
