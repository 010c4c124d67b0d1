//! A copy of `examples/hello` in a folder of its own, a sandbox of its own, and the program run as a user
//! runs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use ecs_ship::sandbox::load::{self, Load, Tally};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

/// What a finished command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) talk: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard output:\n{}\nstandard error:\n{}", self.out, self.talk);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            talk: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) struct Scenario {
    folder: TempDir,
    runtime: Runtime,
}

/// Load that is running; [`Scenario::stop`] ends it and counts.
pub(crate) struct Running {
    stop: watch::Sender<()>,
    tally: JoinHandle<Tally>,
}

impl Scenario {
    /// A scenario with version 1 shipped and serving. `speed` is how fast ECS's clock runs, `sandbox` is added
    /// to the `[services.hello.sandbox]` table.
    pub(crate) fn with_version_one(speed: u32, sandbox: &str) -> Self {
        let scenario = Self::new(sandbox);
        scenario.ship(&["sandbox", "up", "--port", "0", "--speed", &speed.to_string()]).ended_with(0);
        scenario.deploy("1", &[]).ended_with(0);
        scenario
    }

    pub(crate) fn new(sandbox: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("ecs-ship-e2e.").tempdir().expect("a temporary folder");
        let hello = folder.path().join("hello");
        fs::create_dir_all(hello.join("app")).expect("a new folder");
        fs::create_dir_all(folder.path().join("home")).expect("a new folder");
        let source = example();
        for file in ["Dockerfile", ".dockerignore", "app/hello"] {
            fs::copy(source.join(file), hello.join(file)).expect("the example is there");
        }
        let table = "[services.hello.sandbox]\n";
        let text = fs::read_to_string(source.join("ship.toml")).expect("the example is there");
        assert!(text.contains(table), "the example's ship.toml has a sandbox table");
        let mut text = text.replace(table, &format!("{table}health_check_interval = \"5s\"\n{sandbox}\n"));
        if sandbox.contains("deregistration_delay") {
            text = text.replace("deregistration_delay = \"10s\"\n", "");
        }
        fs::write(hello.join("ship.toml"), text).expect("a new file");
        let scenario = Self { folder, runtime: Runtime::new().expect("a runtime") };
        // A commit of its own, so that tags and "the same commit" mean something.
        for words in [
            &["init", "--quiet"][..],
            &["add", "--all", "--force"],
            &["-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--message", "hello"],
        ] {
            let ran = Command::new("git").args(words).current_dir(&hello).status().expect("git runs");
            assert!(ran.success());
        }
        scenario
    }

    pub(crate) fn hello(&self) -> PathBuf {
        self.folder.path().join("hello")
    }

    /// A word that no other scenario of this machine has.
    pub(crate) fn once(&self) -> String {
        let name = self.folder.path().file_name().expect("a folder of ours").to_string_lossy();
        name.chars().filter(char::is_ascii_alphanumeric).collect()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The program in the example's folder, in surroundings that hold nothing of the machine's.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docker-ecs-ship"));
        command
            .args(words)
            .current_dir(self.hello())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::null());
        if let Some(host) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    pub(crate) fn ship(&self, words: &[&str]) -> Said {
        self.command(words).output().expect("the program starts").into()
    }

    /// `deploy` of a version, with more environment for the image.
    pub(crate) fn deploying(&self, version: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = self.command(&["deploy", "--environment", "sandbox", "--yes", "--progress", "plain"]);
        command.env("HELLO_VERSION", version).envs(environment.iter().copied());
        command
    }

    pub(crate) fn deploy(&self, version: &str, environment: &[(&str, &str)]) -> Said {
        self.deploying(version, environment).output().expect("the program starts").into()
    }

    /// `host:port` of the balancer.
    pub(crate) fn authority(&self) -> String {
        let said = self.ship(&["status", "--environment", "sandbox", "--format", "url", "hello"]).ended_with(0);
        said.out.trim().trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// The sandbox's endpoint, as an AWS client is given it.
    pub(crate) fn endpoint(&self) -> String {
        let said = self.ship(&["sandbox", "status", "--format", "json"]).ended_with(0);
        let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        status["endpoint"].as_str().expect("an endpoint").to_owned()
    }

    /// What version answers now, asked over a connection of its own.
    pub(crate) fn serving(&self) -> String {
        self.answers(&self.authority())
    }

    /// The same at an address.
    pub(crate) fn answers(&self, authority: &str) -> String {
        let load = Self::load(authority, 1, 0);
        let (stop, stopped) = watch::channel(());
        let tally = self.runtime.block_on(async move {
            let driving = tokio::spawn(load::drive(load, stopped));
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.send(()).expect("the load listens");
            driving.await.expect("the load does not panic")
        });
        tally.answers.keys().cloned().collect::<Vec<_>>().join(",")
    }

    fn load(authority: &str, rate: u32, slow_every: u32) -> Load {
        Load {
            authority: authority.to_owned(),
            path: "/".to_owned(),
            rate,
            slow_every,
            slow_path: "/slow?ms=700".to_owned(),
            count_by: Some("x-hello-version".to_owned()),
            limit: Duration::from_secs(20),
            ..Load::default()
        }
    }

    /// Puts load on the balancer, some of it slow enough to be in flight whenever a drain begins.
    pub(crate) fn put_load(&self) -> Running {
        self.put_load_on(&self.authority())
    }

    /// The same on the balancer at an address.
    pub(crate) fn put_load_on(&self, authority: &str) -> Running {
        let load = Self::load(authority, 150, 5);
        let (stop, stopped) = watch::channel(());
        Running { stop, tally: self.runtime.spawn(load::drive(load, stopped)) }
    }

    pub(crate) fn stop(&self, running: Running) -> Tally {
        running.stop.send(()).expect("the load listens");
        self.runtime.block_on(running.tally).expect("the load does not panic")
    }

    /// Until something is so, with a limit.
    pub(crate) fn until(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        let limit = Duration::from_mins(2);
        let waited = self.runtime.block_on(async {
            let looking = async {
                let mut beat = tokio::time::interval(Duration::from_millis(200));
                while !so().await {
                    beat.tick().await;
                }
            };
            tokio::time::timeout(limit, looking).await
        });
        assert!(waited.is_ok(), "not {what} within {limit:?}");
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The id of the sandbox's containers that run now.
    pub(crate) fn containers(&self) -> Vec<String> {
        let said = self.ship(&["sandbox", "status", "--format", "json"]).ended_with(0);
        let status: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        Self::containers_of(status["id"].as_str().expect("an id"), &[])
    }

    /// Containers of the sandbox with this identity; with `--all` also those that have ended.
    pub(crate) fn containers_of(id: &str, more: &[&str]) -> Vec<String> {
        let listed = Command::new("docker")
            .args(["ps", "--quiet", "--filter", &format!("label=ecs-ship.sandbox={id}")])
            .args(more)
            .output()
            .expect("docker runs");
        String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("KEEP_FAILED").is_some() {
            let folder = self.folder.path().display();
            println!("kept: {folder}; end it with XDG_STATE_HOME={folder}/state docker-ecs-ship sandbox down");
            self.folder.disable_cleanup(true);
            return;
        }
        let registry = self.ship(&["sandbox", "status", "--format", "json"]);
        let _ = self.ship(&["sandbox", "down"]);
        // The images are the user's, so `down` leaves them; a test has no use for them.
        if let Ok(status) = serde_json::from_str::<serde_json::Value>(&registry.out)
            && let Some(registry) = status["registry"].as_str()
        {
            let listed = Command::new("docker")
                .args(["images", "--quiet", "--filter", &format!("reference={registry}/*")])
                .output()
                .map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned())
                .unwrap_or_default();
            let mut remove = Command::new("docker");
            let _ = remove.args(["rmi", "--force"]).args(listed.split_whitespace()).output();
        }
    }
}

/// Waits for a child to end, with a limit, and gives what it said.
pub(crate) fn end(mut child: Child, limit: Duration) -> Said {
    let begun = Instant::now();
    while child.try_wait().expect("a child of ours").is_none() {
        if begun.elapsed() > limit {
            let _ = child.kill();
            panic!("the program did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its pipes are ours").into()
}

/// The example with its binary built, once for all tests.
fn example() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello");
            let built = Command::new("./build.sh").current_dir(&source).status().expect("build.sh starts");
            assert!(built.success(), "examples/hello does not build");
            source
        })
        .clone()
}
