//! Logins with the real engine: a token that ends under a push, and docker's own commands through our helper.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ecs_ship::sandbox::{Handle, Sandbox, Settings, clock, scenario};

use crate::scenario::{Said, Scenario};

/// A sandbox of this process, which the program finds as if it ran in the background.
fn sandbox(scenario: &Scenario, faults: &str) -> Handle {
    let folder = scenario.state().join("docker-ecs-ship/sandbox");
    let settings = Settings {
        speed: 100.0,
        scenario: scenario::parse(&format!("format = 1\n{faults}")).expect("a scenario"),
        ..Settings::new(folder.clone())
    };
    let handle = scenario.block_on(Sandbox::start(settings)).expect("it starts");
    let card = serde_json::to_vec(&handle.running()).expect("JSON");
    fs::write(folder.join("sandbox.json"), card).expect("a file");
    handle
}

/// To the program this is AWS, and what it is given is kept on disk.
fn as_aws(scenario: &Scenario, handle: &Handle, words: &[&str]) -> Command {
    let mut command = scenario.command(words);
    command
        .env("AWS_ENDPOINT_URL", handle.endpoint())
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env("ECS_SHIP_CREDENTIAL_STORE", "file");
    command
}

/// The password in the plain file.
fn kept(scenario: &Scenario) -> String {
    let folder = scenario.state().join("docker-ecs-ship/credentials");
    let file = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "token"));
    let text = fs::read_to_string(file.expect("a token is kept")).expect("a plain file");
    text.split_once('\n').expect("two parts").1.to_owned()
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_push_is_fetched_anew_once_and_the_push_goes_on() {
    let scenario = Scenario::new("");
    let handle = sandbox(&scenario, "");
    scenario.deploy("1", &[]).ended_with(0);
    let smallest = "format = 1\n\n[images.hello]\nrepository = \"hello\"\ntags = [\"v-${env.HELLO_VERSION}\"]\n\
                    args = { VERSION = \"${env.HELLO_VERSION}\" }\n\n[services.hello]\n\
                    cluster = \"hello\"\n\n[environments.production]\nregion = \"us-east-1\"\n";
    fs::write(scenario.hello().join("ship.toml"), smallest).expect("a new file");
    let first = as_aws(&scenario, &handle, &["deploy", "--yes"]).env("HELLO_VERSION", "2").output();
    Said::from(first.expect("the program starts")).ended_with(0);
    let before = kept(&scenario);
    scenario.block_on(handle.stop());

    // The first layer stands still for so long that its token is over when it goes on.
    let handle = sandbox(
        &scenario,
        "[[faults]]\nservice = \"registry\"\noperation = \"POST\"\nfault = \"stall\"\nfor = \"4s\"\ntimes = 1\n",
    );
    // A layer that the registry does not have.
    fs::OpenOptions::new()
        .append(true)
        .open(scenario.hello().join("app/hello"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, handle.authority().as_bytes()))
        .expect("the example's program can grow");
    let mut child = as_aws(&scenario, &handle, &["deploy", "--yes", "--progress", "json"])
        .env("HELLO_VERSION", "3")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut heard = String::new();
    while !heard.contains("\"layers\"") {
        assert_ne!(lines.read_line(&mut heard).expect("text"), 0, "ended before it pushed: {heard}");
    }
    handle.world().ecr.expire_tokens(clock::now());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    let said = Said::from(child.wait_with_output().expect("it ends"));
    assert_eq!(said.code, 0, "{heard}{rest}{}", said.talk);
    let after = kept(&scenario);
    assert_ne!(before, after, "a new token was fetched, and kept for the next command");
    // The next one finds it good.
    let third = as_aws(&scenario, &handle, &["deploy", "--yes"]).env("HELLO_VERSION", "4").output();
    Said::from(third.expect("the program starts")).ended_with(0);
    assert_eq!(kept(&scenario), after);
    scenario.block_on(handle.stop());
}

/// Docker's own command line, with the home of the scenario and what is installed in it.
fn docker(scenario: &Scenario, words: &[&str]) -> Said {
    let inherited = scenario.command(&[]);
    let mut command = Command::new("docker");
    command.args(words).env_clear();
    for (name, value) in inherited.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    command.env("PATH", path(scenario)).stdin(Stdio::null());
    command.output().expect("docker starts").into()
}

fn path(scenario: &Scenario) -> std::ffi::OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let own = Path::new(env!("CARGO_BIN_EXE_docker-ecs-ship")).parent().expect("a file has a folder");
    // A program that is on PATH is linked and not copied.
    let folders = [scenario.home().join(".local/bin"), own.to_owned()].into_iter();
    std::env::join_paths(folders.chain(std::env::split_paths(&inherited))).expect("a PATH")
}

fn image(scenario: &Scenario, registry: &str) -> String {
    let listed = docker(
        scenario,
        &["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &format!("reference={registry}/hello")],
    );
    listed.out.lines().next().expect("it was built").to_owned()
}

#[test]
fn dockers_own_commands_and_a_private_base_image_log_in_through_the_helper() {
    let scenario = Scenario::with_version_one(10, "");
    let registry = scenario.endpoint().trim_start_matches("http://").to_owned();
    let config: PathBuf = scenario.home().join(".docker/config.json");
    fs::create_dir_all(config.parent().expect("a folder")).expect("a folder");
    // With what somebody else has written, in somebody else's order.
    let text = "{\n  \"detachKeys\": \"ctrl-x\",\n  \"auths\": {},\n  \"unknown\": 1.10\n}\n";
    fs::write(&config, text).expect("a file");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let base = format!("{registry}/hello:by-hand");
    docker(&scenario, &["tag", &image(&scenario, &registry), &base]).ended_with(0);
    let refused = docker(&scenario, &["push", &base]);
    assert!(refused.code != 0 && refused.talk.contains("no basic auth credentials"), "{}", refused.talk);

    let mut install = scenario.command(&["install", "--credential-helper", &registry]);
    let said = Said::from(install.env("PATH", path(&scenario)).output().expect("the program starts")).ended_with(0);
    assert!(said.talk.contains(&format!("the helper of {registry} from none to ecs-ship")), "{}", said.talk);
    docker(&scenario, &["push", &base]).ended_with(0);
    docker(&scenario, &["rmi", &base]).ended_with(0);
    docker(&scenario, &["pull", &base]).ended_with(0);

    // The same image as the base of another one, which the program logs in for by itself.
    docker(&scenario, &["rmi", &base]).ended_with(0);
    let dockerfile = fs::read_to_string(scenario.hello().join("Dockerfile")).expect("a file");
    fs::write(scenario.hello().join("Dockerfile"), dockerfile.replace("FROM scratch", &format!("FROM {base}")))
        .expect("a file");
    scenario.deploy("2", &[]).ended_with(0);
    assert_eq!(scenario.serving(), "2");

    let mut uninstall = scenario.command(&["uninstall"]);
    Said::from(uninstall.env("PATH", path(&scenario)).output().expect("the program starts")).ended_with(0);
    assert_eq!(fs::read_to_string(&config).expect("it stays"), text);
    assert_eq!(fs::metadata(&config).expect("it stays").permissions().mode() & 0o777, 0o600);
    let refused = docker(&scenario, &["push", &image(&scenario, &registry)]);
    assert!(refused.code != 0 && refused.talk.contains("no basic auth credentials"), "{}", refused.talk);
}
