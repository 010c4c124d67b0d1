//! What an image may ask for and what it must pass, with a real engine: secrets, ssh agents and checks.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use crate::scenario::{Said, Scenario, end};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_mins(2);
const MARKER: &str = "MARKER-of-a-build-secret-0f9a";

/// The example with keys added to its image, and a Dockerfile with busybox in it.
struct Shop {
    scenario: Scenario,
}

impl Shop {
    fn new(keys: &str, dockerfile: &str) -> Self {
        let scenario = Scenario::new("");
        let hello = scenario.hello();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let busybox = busybox.expect("a static busybox: apt-get install busybox-static");
        fs::copy(busybox, hello.join("app/busybox")).expect("it can be read");
        // One of its own: a scenario that ends takes its images away, under whatever names they have.
        let own = format!("{dockerfile}LABEL scenario={}\n", hello.display());
        fs::write(hello.join("Dockerfile"), own).expect("a new file");
        fs::write(hello.join(".dockerignore"), "*\n!app\n").expect("it is ours");
        let file = hello.join("ship.toml");
        let text = fs::read_to_string(&file).expect("it is there");
        let table = "[images.hello]\n";
        assert!(text.contains(table), "the example has an image");
        let text = text.replace(table, &format!("{table}{keys}\n"));
        let text = text.replace("args = { ", "args = { PASS = \"${env.PASS:-yes}\", ");
        fs::write(file, text).expect("it is ours");
        scenario.ship(&["sandbox", "up", "--port", "0", "--speed", "20"]).ended_with(0);
        Self { scenario }
    }

    fn deploy(&self, more: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut words = vec!["deploy", "--environment", "sandbox", "--yes"];
        words.extend(more);
        let mut command = self.scenario.command(&words);
        command.env("HELLO_VERSION", "1").envs(environment.iter().copied());
        command.output().expect("the program starts").into()
    }

    /// A deploy whose check has said `begun`, and what it goes on to say.
    fn deploy_until_checking(&self) -> (Child, BufReader<ChildStderr>) {
        let mut command = self.scenario.deploying("1", &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut talk = BufReader::new(child.stderr.take().expect("piped"));
        let mut heard = String::new();
        while !heard.contains("| begun") {
            assert_ne!(talk.read_line(&mut heard).expect("text"), 0, "ended before the check began: {heard}");
        }
        (child, talk)
    }

    /// The containers that checks of this one's image run in: they have the label of their image, too.
    fn check_containers(&self) -> String {
        let own = format!("label=scenario={}", self.scenario.hello().display());
        docker(&["ps", "--all", "--quiet", "--filter", "label=ecs-ship.check=hello", "--filter", &own])
    }

    /// The engine takes them away by itself when they end, and may still be about it when the program has ended.
    fn leaves_no_check(&self) {
        self.scenario.until("no check left", async || self.check_containers().is_empty());
    }

    /// The tags of the repository, as the registry has them.
    fn pushed(&self) -> Vec<String> {
        let said = self.scenario.ship(&["sandbox", "status", "--format", "json"]).ended_with(0);
        let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let registry = status["registry"].as_str().expect("a registry");
        let listed =
            docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &format!("reference={registry}/*")]);
        listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("docker runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const DOCKERFILE: &str = "FROM scratch AS test\nCOPY app/busybox /bin/busybox\nARG PASS=yes\n\
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo testing && [ $PASS != no ]\"]\n\
    FROM scratch\nCOPY app/hello /hello\nCOPY app/busybox /bin/busybox\nENV PORT=8080\nENTRYPOINT [\"/hello\"]\n";

#[test]
fn what_passes_its_checks_is_shipped_and_nothing_is_left_of_them() {
    let checks =
        "checks = [{ target = \"test\" }, { run = [\"/bin/busybox\", \"sh\", \"-c\", \"echo well; exit 0\"] }]";
    let shop = Shop::new(checks, DOCKERFILE);
    // Not from the cache of another run: what is cached prints nothing.
    let pass = shop.scenario.hello().display().to_string();
    let said = shop.deploy(&["--progress", "plain"], &[("PASS", &pass)]).ended_with(0);
    for line in ["check hello: test", "check hello: busybox", "| testing", "| well"] {
        assert!(said.talk.contains(line), "{line}:\n{}", said.talk);
    }
    shop.leaves_no_check();
}

#[test]
fn a_check_that_fails_keeps_everything_from_being_pushed() {
    let checks = "checks = [{ run = [\"/bin/busybox\", \"sh\", \"-c\", \"echo one two; exit 7\"] }]";
    let shop = Shop::new(checks, DOCKERFILE);
    // Each face tells it: with the lines, the code, and what to do.
    for (face, told) in [("plain", "error"), ("quiet", "error"), ("json", "talk")] {
        let said = shop.deploy(&["--progress", face], &[]).ended_with(10);
        let all = format!("{}{}", said.out, said.talk);
        for word in ["ended with 7", "one two", "nothing was pushed"] {
            assert!(all.contains(word), "{face} ({told}): no {word}:\n{all}");
        }
    }
    shop.leaves_no_check();
    let said = shop.scenario.ship(&["status", "--environment", "sandbox"]);
    assert!(!said.out.contains("hello:1"), "nothing was registered: {}", said.out);
}

/// The notes of the steps that pushed, as the events have them.
fn pushed_digests(events: &str) -> Vec<String> {
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let steps = events[0]["event"]["steps"].as_array().expect("the first event has the steps");
    let pushes: Vec<_> = steps.iter().filter(|step| step["kind"] == "push").map(|step| step["id"].clone()).collect();
    let done = events.iter().filter(|record| record["event"]["kind"] == "done");
    done.filter(|record| pushes.contains(&record["event"]["step"]))
        .map(|record| record["event"]["note"].as_str().expect("a note").to_owned())
        .collect()
}

/// The registry wants a login for a cache as for anything else. What the engine has by itself it takes from itself, so
/// what is looked at is the step that imports.
#[test]
fn a_cache_in_the_registry_is_logged_in_to() {
    let shop = Shop::new("cache_from = [\"${repository}:cache\"]", DOCKERFILE);
    let said = shop.deploy(&["--progress", "plain"], &[]).ended_with(0);
    assert!(said.talk.contains("importing cache manifest from"), "{}", said.talk);
    assert!(!said.talk.contains("401 Unauthorized") && !said.talk.contains("authorization failed"), "{}", said.talk);
}

#[test]
fn every_tag_is_the_same_image() {
    let shop = Shop::new("", DOCKERFILE);
    let file = shop.scenario.hello().join("ship.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    let more = text.replace("-${build}\"]", "-${build}\", \"latest\", \"stable\"]");
    assert_ne!(more, text, "the example has tags");
    fs::write(&file, more).expect("it is ours");
    let said = shop.deploy(&["--progress", "json"], &[]).ended_with(0);
    let digests = pushed_digests(&said.out);
    assert!(digests.len() == 3 && digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let tags = shop.pushed();
    for tag in [":latest", ":stable", ":v1-"] {
        assert!(tags.iter().any(|name| name.contains(tag)), "{tag}: {tags:?}");
    }
}

#[test]
fn a_stage_that_does_not_build_is_a_check_that_fails() {
    let shop = Shop::new("checks = [{ target = \"test\" }]", DOCKERFILE);
    let said = shop.deploy(&["--progress", "plain"], &[("PASS", "no")]).ended_with(10);
    assert!(said.talk.contains("check hello: test failed"), "{}", said.talk);
    shop.deploy(&["--progress", "plain"], &[]).ended_with(0);
}

/// It says `begun`, and goes on for ten minutes.
const ENDLESS_CHECK: &str =
    "checks = [{ run = [\"/bin/busybox\", \"sh\", \"-c\", \"echo begun; exec /bin/busybox sleep 600\"] }]";

#[test]
fn an_interrupt_ends_a_check_and_takes_its_container_away() {
    let shop = Shop::new(ENDLESS_CHECK, DOCKERFILE);
    let (child, mut talk) = shop.deploy_until_checking();
    assert_ne!(shop.check_containers(), "");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("the program runs");
    let reading =
        std::thread::spawn(move || while talk.read_line(&mut String::new()).is_ok_and(|length| length > 0) {});
    end(child, LIMIT).ended_with(130);
    reading.join().expect("text");
    shop.leaves_no_check();
}

/// Killed, it could take away nothing: the next run does, whatever it ships.
#[test]
fn the_check_of_a_killed_deploy_is_taken_away_by_the_next_run() {
    let shop = Shop::new(ENDLESS_CHECK, DOCKERFILE);
    let (mut killed, _talk) = shop.deploy_until_checking();
    let left = shop.check_containers();
    killed.kill().expect("it runs");
    killed.wait().expect("it was ours");
    assert_eq!(shop.check_containers(), left, "nobody is there to take it away");
    // One of another repository, which has no checks.
    let other = Scenario::with_version_one(20, "");
    shop.leaves_no_check();
    // Not one that somebody waits for.
    let (mut waiting, _talk) = shop.deploy_until_checking();
    let running = shop.check_containers();
    other.deploy("2", &[]).ended_with(0);
    assert_eq!(shop.check_containers(), running);
    waiting.kill().expect("it runs");
    waiting.wait().expect("it was ours");
    other.deploy("3", &[]).ended_with(0);
    shop.leaves_no_check();
}

const WITH_SECRET: &str = "FROM scratch AS base\nCOPY app/busybox /bin/busybox\nARG VERSION\n\
    RUN --mount=type=secret,id=token,required=true [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /run/secrets/token && /bin/busybox sha256sum /run/secrets/token > /sum\"]\n\
    FROM scratch\nCOPY --from=base /sum /sum\nCOPY app/hello /hello\nENV PORT=8080\nENTRYPOINT [\"/hello\"]\n";

/// The build prints it on purpose; it is in no output, in no record, in no layer and in no history.
#[test]
fn a_secret_reaches_its_build_and_nobody_else() {
    let shop = Shop::new("secrets = { token = { env = \"BUILD_TOKEN\" } }", WITH_SECRET);
    let mut everything = String::new();
    for (words, token) in [
        (&["--progress", "plain", "--record", "run.jsonl"][..], "1"),
        (&["--progress", "json"], "2"),
        (&["--progress", "quiet"], "3"),
    ] {
        let value = format!("{MARKER}-{token}");
        // A version that no build before has had, so that the step runs: what is cached prints nothing.
        let version = format!("{token}-{}", shop.scenario.once());
        let said = shop.deploy(words, &[("BUILD_TOKEN", &value), ("HELLO_VERSION", &version)]).ended_with(0);
        everything.push_str(&said.out);
        everything.push_str(&said.talk);
    }
    let mut debug =
        shop.scenario.command(&["-D", "deploy", "--environment", "sandbox", "--yes", "--progress", "plain"]);
    let said: Said = debug
        .env("HELLO_VERSION", format!("4-{}", shop.scenario.once()))
        .env("BUILD_TOKEN", MARKER)
        .output()
        .expect("it starts")
        .into();
    let said = said.ended_with(0);
    everything.push_str(&said.talk);
    everything.push_str(&fs::read_to_string(shop.scenario.hello().join("run.jsonl")).expect("it was recorded"));
    let images = shop.pushed();
    assert!(!images.is_empty(), "an image was built");
    for image in &images {
        everything.push_str(&docker(&["history", "--no-trunc", image]));
        everything.push_str(&docker(&["inspect", image]));
        let saved = Command::new("docker").args(["save", image]).output().expect("docker runs").stdout;
        assert!(saved.len() > 1000, "{image} was saved");
        everything.push_str(&String::from_utf8_lossy(&saved));
    }
    for (name, words) in [("plan", &["plan", "-e", "sandbox"][..]), ("show", &["config", "show", "-e", "sandbox"])] {
        let mut command = shop.scenario.command(words);
        let said: Said =
            command.env("BUILD_TOKEN", MARKER).env("HELLO_VERSION", "1").output().expect("it starts").into();
        let said = said.ended_with(0);
        assert!(name != "show" || said.out.contains("BUILD_TOKEN"), "{}", said.out);
        everything.push_str(&said.out);
        everything.push_str(&said.talk);
    }
    assert!(everything.contains("****"), "the build printed it");
    assert!(!everything.contains(MARKER), "it shows");
}

/// Puts a plugin where docker looks for it first.
fn plugin(shop: &Shop) -> PathBuf {
    let folder = shop.scenario.home().join(".docker/cli-plugins");
    fs::create_dir_all(&folder).expect("a new folder");
    folder.join("docker-buildx")
}

/// The real one, which `tests/ensure-tools` has brought.
fn with_buildx(keys: &str, dockerfile: &str) -> Shop {
    let shop = Shop::new(keys, dockerfile);
    let real = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients/docker/cli-plugins/docker-buildx");
    assert!(real.is_file(), "there is no buildx: run tests/ensure-tools");
    std::os::unix::fs::symlink(real, plugin(&shop)).expect("a new link");
    shop
}

#[test]
fn buildx_builds_checks_and_pushes_as_the_engine_does() {
    let keys = "builder = \"buildx\"\nsecrets = { token = { env = \"BUILD_TOKEN\" } }\ncache_to = [\"type=inline\"]\n\
                checks = [{ target = \"base\" }]";
    let shop = with_buildx(keys, WITH_SECRET);
    let version = shop.scenario.once();
    let said =
        shop.deploy(&["--progress", "plain"], &[("BUILD_TOKEN", MARKER), ("HELLO_VERSION", &version)]).ended_with(0);
    assert!(said.talk.contains("by buildx") && said.talk.contains("****"), "{}", said.talk);
    assert!(!said.talk.contains(MARKER), "it shows");
    let images = shop.pushed();
    let saved = Command::new("docker").args(["save", &images[0]]).output().expect("docker runs").stdout;
    assert!(String::from_utf8_lossy(&saved).contains("moby.buildkit.cache.v0"), "the cache is in the image");
    // The folder with the logins has gone, and nothing else was written into the user's.
    let left = fs::read_dir(shop.scenario.hello().join("..")).expect("ours").flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().contains("buildx")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!shop.scenario.home().join(".docker/config.json").exists());
}

#[test]
fn a_cache_in_a_registry_is_written_by_buildx_or_the_reason_is_told() {
    let shop = with_buildx("cache_to = [\"${repository}:cache\"]", DOCKERFILE);
    let said = shop.deploy(&["--progress", "plain"], &[]);
    let info = docker(&["info", "--format", "{{json .DriverStatus}}"]);
    if info.contains("io.containerd.snapshotter.v1") {
        let said = said.ended_with(0);
        assert!(said.talk.contains("by buildx, which writes what `cache_to` asks for"), "{}", said.talk);
        assert!(said.talk.contains("exporting cache to registry"), "{}", said.talk);
    } else {
        let said = said.ended_with(10);
        for words in
            ["Cache export is not supported for the docker driver", "`docker buildx create --use`", "type=inline"]
        {
            assert!(said.talk.contains(words), "{words}:\n{}", said.talk);
        }
    }
}

#[test]
fn the_engine_puts_its_cache_into_the_image_too() {
    let shop = Shop::new("cache_to = [\"type=inline\"]", DOCKERFILE);
    let said = shop.deploy(&["--progress", "plain"], &[]).ended_with(0);
    assert!(said.talk.contains("by the engine's BuildKit"), "{}", said.talk);
    let images = shop.pushed();
    let saved = Command::new("docker").args(["save", &images[0]]).output().expect("docker runs").stdout;
    assert!(String::from_utf8_lossy(&saved).contains("moby.buildkit.cache.v0"), "the cache is in the image");
}

#[test]
fn a_buildx_that_is_too_old_is_refused_before_anything_is_built() {
    let shop = Shop::new("builder = \"buildx\"", DOCKERFILE);
    let path = plugin(&shop);
    fs::write(&path, "#!/bin/sh\necho '{\"Version\":\"v0.12.1\"}'\n").expect("a new file");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let said = shop.deploy(&["--progress", "plain"], &[]).ended_with(5);
    for words in [
        "image hello asks for buildx",
        "is version v0.12.1, and 0.13 is the first that will do",
        "docker-buildx-plugin",
    ] {
        assert!(said.talk.contains(words), "{words}:\n{}", said.talk);
    }
}

#[test]
fn what_a_build_lacks_is_refused_before_it_begins() {
    let keys =
        "secrets = { token = { env = \"BUILD_TOKEN\" }, npmrc = { file = \"nowhere/.npmrc\" } }\nssh = [\"default\"]";
    let shop = Shop::new(keys, WITH_SECRET);
    let said = shop.deploy(&["--progress", "plain"], &[]).ended_with(5);
    for words in [
        "image hello asks for secret token, and the environment variable BUILD_TOKEN is not set",
        "image hello asks for secret npmrc, and there is no ",
        "image hello asks for ssh default, and the environment variable SSH_AUTH_SOCK is not set",
        "nothing was changed",
    ] {
        assert!(said.talk.contains(words), "{words}:\n{}", said.talk);
    }
}

/// An agent that knows one question: which keys there are.
fn agent(path: &std::path::Path) {
    use std::io::{Read as _, Write as _};
    let listener = UnixListener::bind(path).expect("a new socket");
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut length = [0; 4];
                while connection.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; u32::from_be_bytes(length) as usize];
                    connection.read_exact(&mut question).expect("a whole question");
                    assert_eq!(question[0], 11, "only the keys are asked for");
                    // SSH_AGENT_IDENTITIES_ANSWER, no keys.
                    connection.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).expect("it listens");
                }
            });
        }
    });
}

#[test]
fn an_ssh_agent_is_lent_to_the_build() {
    // A client of its own: busybox has no ssh-add.
    let dockerfile = "FROM scratch AS base\nCOPY app/busybox /bin/busybox\nCOPY app/ask /ask\n\
        RUN --mount=type=ssh,required=true [\"/ask\"]\n\
        FROM scratch\nCOPY --from=base /ask /ask\nCOPY app/hello /hello\nENV PORT=8080\nENTRYPOINT [\"/hello\"]\n";
    let shop = Shop::new("ssh = [\"default\"]", dockerfile);
    let ask = shop.scenario.hello().join("app/ask");
    let source = shop.scenario.hello().join("ask.rs");
    fs::write(
        &source,
        "use std::{env, io::{Read, Write}, os::unix::net::UnixStream};\n\
         fn main() {\n    let mut agent = UnixStream::connect(env::var_os(\"SSH_AUTH_SOCK\").unwrap()).unwrap();\n\
         agent.write_all(&[0, 0, 0, 1, 17]).unwrap();\n    let mut answer = [0; 5];\n    agent.read_exact(&mut answer).unwrap();\n\
         println!(\"adding a key: {answer:?}\");\n    agent.write_all(&[0, 0, 0, 1, 11]).unwrap();\n\
         let mut answer = [0; 9];\n    agent.read_exact(&mut answer).unwrap();\n    println!(\"keys: {answer:?}\");\n}\n",
    )
    .expect("a new file");
    let target = if cfg!(target_arch = "x86_64") { "x86_64-unknown-linux-gnu" } else { "aarch64-unknown-linux-gnu" };
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "--target", target, "-C", "target-feature=+crt-static", "-O", "-o"])
        .args([&ask, &source])
        .status()
        .expect("rustc is there, as these tests are compiled");
    assert!(compiled.success());
    let socket = shop.scenario.hello().join("agent.sock");
    agent(&socket);
    let said =
        shop.deploy(&["--progress", "plain"], &[("SSH_AUTH_SOCK", socket.to_str().expect("text"))]).ended_with(0);
    assert!(said.talk.contains("adding a key: [0, 0, 0, 1, 5]"), "{}", said.talk);
    assert!(said.talk.contains("keys: [0, 0, 0, 5, 12, 0, 0, 0, 0]"), "{}", said.talk);
}
