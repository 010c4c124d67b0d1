//! Tasks as real containers. The engine must be there; images are made from a static busybox, never pulled.

use std::io::Read as _;

use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateImageOptionsBuilder, ListContainersOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn engine() -> Docker {
    Docker::connect_with_defaults().unwrap()
}

/// Where it listens: `DOCKER_HOST`, so that the same tests are made with another engine.
fn engine_socket() -> String {
    #[expect(clippy::disallowed_methods, reason = "as docker does")]
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

/// A name nobody else has.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{:016x}", getrandom::u64().unwrap())
}

/// An image with nothing in it but busybox; removed with [`Image::remove`].
struct Image {
    docker: Docker,
    name: String,
}

impl Image {
    /// With lines of a Dockerfile that say more about it.
    async fn with(lines: &[&str]) -> Self {
        let image = Self::make().await;
        let dockerfile = format!("FROM {}\n{}\n", image.name, lines.join("\n"));
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(dockerfile.len()).unwrap());
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
        let options = BuildImageOptionsBuilder::new().t(&image.name).build();
        let body = bollard::body_full(archive.into_inner().unwrap().into());
        image.docker.build_image(options, None, Some(body)).try_collect::<Vec<_>>().await.unwrap();
        image
    }

    async fn make() -> Self {
        let binary = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok());
        let binary = binary.expect("these tests need the package busybox-static");
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content, mode) in [
            ("busybox", &binary[..], 0o755),
            ("www/index.html", b"hello\n", 0o644),
            // No program of any machine.
            ("alien", b"\x7fELF\x02\x01\x01 is all there is", 0o755),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(content.len()).unwrap());
            header.set_mode(mode);
            header.set_cksum();
            archive.append_data(&mut header, path, content).unwrap();
        }
        let (docker, name) = (engine(), unique("ecs-sandbox-test"));
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(&name).tag("1").build();
        let body = bollard::body_full(archive.into_inner().unwrap().into());
        docker.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await.unwrap();
        Self { docker, name: format!("{name}:1") }
    }

    async fn remove(self) {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        self.docker.remove_image(&self.name, Some(options), None).await.unwrap();
    }

    fn container(&self, command: &[&str]) -> aws_sdk_ecs::types::builders::ContainerDefinitionBuilder {
        ContainerDefinition::builder()
            .name("app")
            .image(&self.name)
            .memory(64)
            .entry_point("/busybox")
            .set_command(Some(command.iter().map(|part| (*part).to_owned()).collect()))
            .stop_timeout(2)
    }
}

async fn containers(docker: &Docker, identity: &str) -> usize {
    let filters = std::collections::HashMap::from([("label", vec![format!("ecs-ship.sandbox={identity}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    docker.list_containers(Some(options)).await.unwrap().len()
}

async fn start(folder: &std::path::Path) -> (Handle, Client) {
    let settings = Settings { speed: 50.0, tasks: Tasks::Containers(engine()), ..Settings::new(folder.to_owned()) };
    let handle = Sandbox::start(settings).await.unwrap();
    let client = ecs(&handle);
    client.create_cluster().cluster_name("jobs").send().await.unwrap();
    (handle, client)
}

async fn get(port: u16) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// The one task of this kind that fulfils the condition.
async fn task(client: &Client, status: DesiredStatus, so: impl Fn(&Task) -> bool) -> Task {
    until("such a task", LIMIT, async || tasks(client, status.clone()).await.into_iter().find(|task| so(task))).await
}

fn port_of(task: &Task) -> u16 {
    let binding = &task.containers()[0].network_bindings()[0];
    assert_eq!((binding.bind_ip(), binding.container_port()), (Some("127.0.0.1"), Some(80)));
    u16::try_from(binding.host_port().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_is_checked_logged_adopted_and_removed() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let identity = daemon::identity(folder.path()).unwrap();
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", "/jobs/web")
        .options("awslogs-stream-prefix", "web")
        .options("awslogs-create-group", "true")
        .build()
        .unwrap();
    let check = HealthCheck::builder().command("CMD").command("/busybox").command("true").build().unwrap();
    let container = image
        .container(&["sh", "-c", "echo \"hello from $WHO\"; exec /busybox httpd -f -p 80 -h /www"])
        .environment(KeyValuePair::builder().name("WHO").value("web").build())
        .port_mappings(PortMapping::builder().container_port(80).build())
        .log_configuration(logs)
        .health_check(check)
        .build();
    register(&client, container).await;
    let create = client.create_service().cluster("jobs").service_name("web").task_definition("web").desired_count(1);
    create.send().await.unwrap();
    let healthy = |task: &Task| task.health_status() == Some(&HealthStatus::Healthy);
    let running = task(&client, DesiredStatus::Running, healthy).await;
    assert!(get(port_of(&running)).await.unwrap().ends_with("hello\n"));
    let id = running.task_arn().unwrap().rsplit('/').next().unwrap().to_owned();
    let read = serde_json::json!({ "logGroupName": "/jobs/web", "logStreamName": format!("web/app/{id}") });
    until("logged", LIMIT, async || {
        let answer = world::logs::call(&mut handle.world(), "GetLogEvents", &read, clock::now()).ok()?;
        (answer["events"][0]["message"] == "hello from web").then_some(())
    })
    .await;
    // Stopped and started again on the same state, its containers are gone, and new ones come.
    handle.stop().await;
    assert_eq!(containers(&image.docker, &identity).await, 0);
    let (handle, client) = start(folder.path()).await;
    let again = task(&client, DesiredStatus::Running, healthy).await;
    assert_ne!(again.task_arn(), running.task_arn());
    handle.stop().await;
    image.remove().await;
}

#[test]
fn containers_of_a_killed_sandbox_are_adopted() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = runtime();
    let (image, before) = first.block_on(async {
        let image = Image::make().await;
        let (handle, client) = start(folder.path()).await;
        let container = image.container(&["sleep", "1000"]).build();
        register(&client, container).await;
        let create =
            client.create_service().cluster("jobs").service_name("web").task_definition("web").desired_count(1);
        create.send().await.unwrap();
        let running = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
        // On disk, as the writer does it a few times a second.
        handle.keeper.keep().await.unwrap();
        std::mem::forget(handle.stop.clone());
        (image, running)
    });
    first.shutdown_timeout(Duration::from_secs(5));
    runtime().block_on(async {
        let image = Image { docker: engine(), name: image.name };
        let (handle, client) = start(folder.path()).await;
        let identity = daemon::identity(folder.path()).unwrap();
        let adopted = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
        assert_eq!(adopted.task_arn(), before.task_arn());
        assert_eq!(adopted.containers()[0].runtime_id(), before.containers()[0].runtime_id());
        assert_eq!(containers(&image.docker, &identity).await, 1);
        // And attended: what happens to it is noticed.
        let kill = bollard::query_parameters::KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        let id = adopted.containers()[0].runtime_id().unwrap().to_owned();
        image.docker.kill_container(&id, Some(kill)).await.unwrap();
        let ended = task(&client, DesiredStatus::Stopped, |task| task.last_status() == Some("STOPPED")).await;
        assert_eq!(ended.containers()[0].exit_code(), Some(137));
        handle.stop().await;
        assert_eq!(containers(&image.docker, &identity).await, 0);
        image.remove().await;
    });
}

/// The way to the engine, which can be cut, as it is while an engine is restarted.
struct Bridge {
    socket: std::path::PathBuf,
    relaying: tokio::task::JoinHandle<()>,
}

impl Bridge {
    fn build(socket: std::path::PathBuf) -> Self {
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let relaying = tokio::spawn(async move {
            let mut relays = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                relays.spawn(async move {
                    let mut far = tokio::net::UnixStream::connect(engine_socket()).await.unwrap();
                    // Ends when either side has had enough.
                    let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { socket, relaying }
    }

    async fn cut(self) -> std::path::PathBuf {
        self.relaying.abort();
        self.relaying.await.unwrap_err();
        std::fs::remove_file(&self.socket).unwrap();
        self.socket
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_gone_for_a_while_ends_nothing() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::build(folder.path().join("engine.sock"));
    let path = bridge.socket.to_str().unwrap().to_owned();
    let docker = Docker::connect_with_unix(&path, 10, bollard::API_DEFAULT_VERSION).unwrap().negotiate_version().await;
    let tasks_on = Tasks::Containers(docker.unwrap());
    let settings = Settings { speed: 50.0, tasks: tasks_on, ..Settings::new(folder.path().join("state")) };
    let handle = Sandbox::start(settings).await.unwrap();
    let client = ecs(&handle);
    client.create_cluster().cluster_name("jobs").send().await.unwrap();
    register(&client, image.container(&["sleep", "1000"]).build()).await;
    let create = client.create_service().cluster("jobs").service_name("web").task_definition("web").desired_count(1);
    create.send().await.unwrap();
    let is_running = |task: &Task| task.last_status() == Some("RUNNING");
    let before = task(&client, DesiredStatus::Running, is_running).await;

    let socket = bridge.cut().await;
    // One more is wanted: it cannot start, but neither does it fail, and the first one is left in peace.
    client.update_service().cluster("jobs").service("web").desired_count(2).send().await.unwrap();
    task(&client, DesiredStatus::Running, |task| task.last_status() == Some("PENDING")).await;
    // Killed where nobody sees it.
    let kill = bollard::query_parameters::KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    image.docker.kill_container(before.containers()[0].runtime_id().unwrap(), Some(kill)).await.unwrap();
    assert!(tasks(&client, DesiredStatus::Stopped).await.is_empty());

    let bridge = Bridge::build(socket);
    let ended = task(&client, DesiredStatus::Stopped, |task| task.last_status() == Some("STOPPED")).await;
    assert_eq!(ended.task_arn(), before.task_arn());
    assert_eq!(ended.containers()[0].exit_code(), Some(137));
    assert_eq!(ended.containers()[0].reason(), None);
    until("two", LIMIT, async || {
        (tasks(&client, DesiredStatus::Running).await.iter().filter(|task| is_running(task)).count() == 2).then_some(())
    })
    .await;
    assert_eq!(tasks(&client, DesiredStatus::Stopped).await.len(), 1, "nothing else has failed");
    handle.stop().await;
    bridge.cut().await;
    image.remove().await;
}

/// The sandbox is killed and never comes back: `down` finds what it left behind, by itself.
#[test]
fn what_a_killed_sandbox_left_behind_is_swept() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = runtime();
    let (image, volume) = first.block_on(async {
        let image = Image::make().await;
        let (handle, client) = start(folder.path()).await;
        let mount = aws_sdk_ecs::types::MountPoint::builder().source_volume("data").container_path("/data").build();
        let container = image.container(&["sleep", "1000"]).mount_points(mount).build();
        let volume = aws_sdk_ecs::types::Volume::builder().name("data").build();
        let register = client.register_task_definition().family("web").container_definitions(container);
        register.volumes(volume).send().await.unwrap();
        client.run_task().cluster("jobs").task_definition("web").send().await.unwrap();
        let running = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
        let id = running.task_arn().unwrap().rsplit('/').next().unwrap().to_owned();
        let volume = format!("ecs-sandbox-{id}-data");
        image.docker.inspect_volume(&volume).await.unwrap();
        let live = daemon::sweep(folder.path(), &image.docker).await.unwrap_err();
        assert!(matches!(live, daemon::DaemonError::Mute { .. }), "{live:?}");
        std::mem::forget(handle.stop.clone());
        (image, volume)
    });
    first.shutdown_timeout(Duration::from_secs(5));
    runtime().block_on(async {
        let image = Image { docker: engine(), name: image.name };
        assert_eq!(daemon::sweep(folder.path(), &image.docker).await.unwrap(), 1);
        assert_eq!(daemon::sweep(folder.path(), &image.docker).await.unwrap(), 0);
        image.docker.inspect_volume(&volume).await.unwrap_err();
        image.remove().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_as_aws_tells_them() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let identity = daemon::identity(folder.path()).unwrap();
    register(&client, image.container(&["sleep", "1000"]).build()).await;
    let run = async |command: &[&str]| {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        let over = ContainerOverride::builder().name("app").set_command(Some(command)).build();
        let overrides = TaskOverride::builder().container_overrides(over).build();
        let answer =
            client.run_task().cluster("jobs").task_definition("web").overrides(overrides).send().await.unwrap();
        answer.tasks()[0].task_arn().unwrap().to_owned()
    };
    let ended = async |arn: &str| {
        task(&client, DesiredStatus::Stopped, |task| {
            task.task_arn() == Some(arn) && task.last_status() == Some("STOPPED")
        })
        .await
    };
    let crashed = ended(&run(&["sh", "-c", "exit 3"]).await).await;
    assert_eq!(crashed.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(crashed.stopped_reason(), Some("Essential container in task exited"));
    assert_eq!(crashed.containers()[0].exit_code(), Some(3));
    assert!(crashed.started_at().is_some(), "however short, it ran");

    let missing = ended(&run_missing(&client).await).await;
    assert_eq!(missing.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    assert!(missing.stopped_reason().unwrap().starts_with("CannotPullContainerError: "), "{missing:?}");

    // The shell holds far more than its 64 MiB.
    let greedy = ended(&run(&["sh", "-c", "x=0123456789abcdef; while true; do x=$x$x; done"]).await).await;
    assert_eq!(greedy.containers()[0].exit_code(), Some(137));
    assert_eq!(greedy.containers()[0].reason(), Some("OutOfMemoryError: Container killed due to memory usage"));

    // Deaf to SIGTERM as process 1: killed when its two seconds are over.
    let deaf = run(&["sleep", "1000"]).await;
    task(&client, DesiredStatus::Running, |task| {
        task.task_arn() == Some(&deaf) && task.last_status() == Some("RUNNING")
    })
    .await;
    client.stop_task().cluster("jobs").task(&deaf).reason("enough").send().await.unwrap();
    let deaf = ended(&deaf).await;
    assert_eq!((deaf.stop_code(), deaf.stopped_reason()), (Some(&TaskStopCode::UserInitiated), Some("enough")));
    assert_eq!(deaf.containers()[0].exit_code(), Some(137));
    let took = deaf.stopped_at().unwrap().as_secs_f64() - deaf.stopping_at().unwrap().as_secs_f64();
    assert!((1.9..10.0).contains(&took), "{took}");

    until("removed", LIMIT, async || (containers(&engine(), &identity).await == 0).then_some(())).await;
    handle.stop().await;
    image.remove().await;
}

/// A log with this prefix, in a group that is made for it.
fn logged(prefix: &str) -> LogConfiguration {
    LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", "/jobs/web")
        .options("awslogs-stream-prefix", prefix)
        .options("awslogs-create-group", "true")
        .build()
        .unwrap()
}

/// The lines of a container, with their times in milliseconds.
fn lines(handle: &Handle, prefix: &str, container: &str, task: &str) -> Vec<(u64, String)> {
    let read = serde_json::json!({
        "logGroupName": "/jobs/web", "logStreamName": format!("{prefix}/{container}/{task}"), "startFromHead": true
    });
    let answer = world::logs::call(&mut handle.world(), "GetLogEvents", &read, clock::now()).unwrap_or_default();
    let events = answer["events"].as_array().cloned().unwrap_or_default();
    events
        .iter()
        .map(|event| (event["timestamp"].as_u64().unwrap(), event["message"].as_str().unwrap().to_owned()))
        .collect()
}

fn depends(on: &str, condition: ContainerCondition) -> ContainerDependency {
    ContainerDependency::builder().container_name(on).condition(condition).build().unwrap()
}

async fn run_once(client: &Client, family: &str, containers: Vec<ContainerDefinition>) -> String {
    let register = client.register_task_definition().family(family).set_container_definitions(Some(containers));
    let arn = register.send().await.unwrap().task_definition.unwrap().task_definition_arn.unwrap();
    let answer = client.run_task().cluster("jobs").task_definition(arn).send().await.unwrap();
    answer.tasks()[0].task_arn().unwrap().to_owned()
}

async fn has_ended(client: &Client, arn: &str) -> Task {
    task(client, DesiredStatus::Stopped, |task| task.task_arn() == Some(arn) && task.last_status() == Some("STOPPED"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_start_and_stop_in_the_order_they_depend_on_each_other() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let ends = |name: &str, seconds: u32| {
        let script = format!(
            "trap '/busybox sleep {seconds}; echo {name} ends; exit 0' TERM; echo {name} begins; \
             while true; do /busybox sleep 0.1; done"
        );
        image.container(&["sh", "-c", &script]).name(name).stop_timeout(10).log_configuration(logged("order"))
    };
    let script = "/busybox sleep 1; echo init ends";
    let init = image.container(&["sh", "-c", script]).name("init").essential(false).log_configuration(logged("order"));
    // Healthy with its second check.
    let check = "test -e /seen || { touch /seen; exit 1; }";
    let check =
        ["CMD", "/busybox", "sh", "-c", check].iter().fold(HealthCheck::builder(), |all, word| all.command(*word));
    let containers = vec![
        ends("app", 1)
            .depends_on(depends("init", ContainerCondition::Success))
            .depends_on(depends("db", ContainerCondition::Healthy))
            .build(),
        ends("db", 0).health_check(check.interval(5).retries(5).build().unwrap()).build(),
        init.build(),
        ends("agent", 0).depends_on(depends("app", ContainerCondition::Start)).build(),
    ];
    let arn = run_once(&client, "order", containers).await;
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let up = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
    let exit = |task: &Task, name: &str| {
        task.containers().iter().find(|container| container.name() == Some(name)).unwrap().exit_code()
    };
    assert_eq!(
        (exit(&up, "init"), exit(&up, "app")),
        (Some(0), None),
        "a container that has done its work ends nothing"
    );
    let said = async |container: &str, words: &str| {
        until(words, LIMIT, async || {
            lines(&handle, "order", container, &id).into_iter().find(|(_, text)| text == words).map(|(at, _)| at)
        })
        .await
    };
    let (init, app, agent) =
        (said("init", "init ends").await, said("app", "app begins").await, said("agent", "agent begins").await);
    assert!(said("db", "db begins").await < app && init <= app && app <= agent, "{init} {app} {agent}");
    client.stop_task().cluster("jobs").task(&arn).send().await.unwrap();
    has_ended(&client, &arn).await;
    let (agent, app, db) =
        (said("agent", "agent ends").await, said("app", "app ends").await, said("db", "db ends").await);
    assert!(agent + 900 <= app && app <= db, "{agent} {app} {db}");
    handle.stop().await;
    image.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_failure_never_starts() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let init = image.container(&["sh", "-c", "exit 4"]).name("init").essential(false).build();
    let app = image.container(&["sleep", "1000"]).depends_on(depends("init", ContainerCondition::Success)).build();
    let arn = run_once(&client, "never", vec![app, init]).await;
    let ended = has_ended(&client, &arn).await;
    assert_eq!(ended.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!((ended.containers()[0].exit_code(), ended.containers()[1].exit_code()), (Some(143), Some(4)));
    let reason = ended.containers()[0].reason().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: dependency graph: failed to resolve"), "{reason}");
    assert!(ended.started_at().is_none(), "it was never RUNNING");
    handle.stop().await;
    image.remove().await;
}

/// Newer engines refuse a program of another machine when it is started, older ones let it say so itself.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_run_are_told_as_the_engine_tells_them() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    for (family, entry_point, command, words) in [
        ("alien", "/alien", "x", "exec format error"),
        ("absent", "/absent", "x", "no such file or directory"),
        ("data", "/www/index.html", "x", "permission denied"),
        ("nothing", "/busybox", "no-such-applet", "applet not found"),
    ] {
        let container = ContainerDefinition::builder().name("app").image(&image.name).memory(64);
        let container = container.entry_point(entry_point).command(command).log_configuration(logged(family));
        let arn = run_once(&client, family, vec![container.build()]).await;
        let ended = has_ended(&client, &arn).await;
        let reason = ended.stopped_reason().unwrap();
        if ended.stop_code() == Some(&TaskStopCode::TaskFailedToStart) {
            assert!(reason.starts_with("CannotStartContainerError: Error response from daemon: "), "{reason}");
            assert!(reason.contains(words), "{reason}");
        } else {
            let said = lines(&handle, family, "app", arn.rsplit('/').next().unwrap());
            assert!(said.iter().any(|(_, line)| line.contains(words)), "{family}: {said:?}");
            assert_ne!(ended.containers()[0].exit_code(), Some(0), "{family}");
        }
    }
    handle.stop().await;
    image.remove().await;
}

/// The image's own health check is nobody's business on ECS; its stop signal is.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_dockerfile_the_stop_signal_counts_and_the_health_check_does_not() {
    let image =
        Image::with(&["HEALTHCHECK --interval=1s --retries=1 CMD [\"/busybox\", \"false\"]", "STOPSIGNAL SIGUSR1"])
            .await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let script = "trap 'exit 7' USR1; while true; do /busybox sleep 0.1; done";
    let arn = run_once(&client, "signal", vec![image.container(&["sh", "-c", script]).stop_timeout(20).build()]).await;
    let up = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
    assert_eq!(up.health_status().map(HealthStatus::as_str), Some("UNKNOWN"));
    let id = up.containers()[0].runtime_id().unwrap().to_owned();
    let seen = image.docker.inspect_container(&id, None).await.unwrap();
    assert!(seen.state.unwrap().health.is_none_or(|health| health.log.unwrap_or_default().is_empty()));
    client.stop_task().cluster("jobs").task(&arn).send().await.unwrap();
    assert_eq!(has_ended(&client, &arn).await.containers()[0].exit_code(), Some(7));
    handle.stop().await;
    image.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_policy_starts_a_container_once_more_in_its_task() {
    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    // A minute is 1.2 s here: the first two runs last long enough, the third does not.
    let script = "echo up; test -e /c || { touch /c; /busybox sleep 2; exit 1; }; \
                  test -e /b || { touch /b; /busybox sleep 2; exit 1; }; exit 5";
    let policy = ContainerRestartPolicy::builder().enabled(true).restart_attempt_period(60).build().unwrap();
    let container = image.container(&["sh", "-c", script]).restart_policy(policy).log_configuration(logged("again"));
    let arn = run_once(&client, "again", vec![container.build()]).await;
    let ended = has_ended(&client, &arn).await;
    assert_eq!(ended.containers()[0].exit_code(), Some(5));
    let said = lines(&handle, "again", "app", arn.rsplit('/').next().unwrap());
    let said: Vec<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(said, ["up", "up", "up"]);
    handle.stop().await;
    image.remove().await;
}

async fn run_missing(client: &Client) -> String {
    let container = ContainerDefinition::builder().name("app").image(unique("never-made")).memory(64).build();
    let answer = client.register_task_definition().family("missing").container_definitions(container).send().await;
    let arn = answer.unwrap().task_definition.unwrap().task_definition_arn.unwrap();
    let answer = client.run_task().cluster("jobs").task_definition(arn).send().await.unwrap();
    answer.tasks()[0].task_arn().unwrap().to_owned()
}

#[test]
fn the_busybox_is_static() {
    let mut binary = Vec::new();
    let path = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| std::path::Path::new(path).exists());
    std::fs::File::open(path.expect("these tests need the package busybox-static"))
        .unwrap()
        .read_to_end(&mut binary)
        .unwrap();
    let dynamic = binary.windows(8).any(|window| window == b"/ld-linu");
    assert!(!dynamic, "an image with nothing else in it cannot load libraries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_its_secrets_and_what_its_linux_parameters_say() {
    use aws_sdk_ecs::types::{KernelCapabilities, LinuxParameters, Secret, SystemControl, Tmpfs};

    let image = Image::make().await;
    let folder = tempfile::tempdir().unwrap();
    let (handle, client) = start(folder.path()).await;
    let put = serde_json::json!({ "Name": "/jobs/token", "Type": "SecureString", "Value": "hunter2" });
    world::ssm::call(&mut handle.world(), "PutParameter", &put, clock::now()).unwrap();
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", "/jobs/web")
        .options("awslogs-stream-prefix", "web")
        .options("awslogs-create-group", "true")
        .build()
        .unwrap();
    let linux = LinuxParameters::builder()
        .capabilities(KernelCapabilities::builder().drop("ALL").add("NET_RAW").build())
        .tmpfs(Tmpfs::builder().container_path("/scratch").size(3).mount_options("noexec").build().unwrap())
        .shared_memory_size(7)
        .build();
    let script = "echo \"token $TOKEN\"; /busybox grep CapEff /proc/self/status; \
                  /busybox grep -E ' (/scratch|/dev/shm) ' /proc/mounts; \
                  /busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start; exec /busybox sleep 1000";
    let container = image
        .container(&["sh", "-c", script])
        .secrets(Secret::builder().name("TOKEN").value_from("/jobs/token").build().unwrap())
        .system_controls(SystemControl::builder().namespace("net.ipv4.ip_unprivileged_port_start").value("81").build())
        .linux_parameters(linux)
        .log_configuration(logs)
        .build();
    let definition = client.register_task_definition().family("web").container_definitions(container);
    definition.execution_role_arn("arn:aws:iam::000000000000:role/execution").send().await.unwrap();
    client.run_task().cluster("jobs").task_definition("web").send().await.unwrap();
    let running = task(&client, DesiredStatus::Running, |task| task.last_status() == Some("RUNNING")).await;
    let id = running.task_arn().unwrap().rsplit('/').next().unwrap().to_owned();
    let read = serde_json::json!({ "logGroupName": "/jobs/web", "logStreamName": format!("web/app/{id}") });
    let lines = until("logged", LIMIT, async || {
        let answer = world::logs::call(&mut handle.world(), "GetLogEvents", &read, clock::now()).ok()?;
        let lines: Vec<String> = answer["events"]
            .as_array()?
            .iter()
            .filter_map(|event| Some(event["message"].as_str()?.to_owned()))
            .collect();
        (lines.len() >= 5).then_some(lines)
    })
    .await
    .join("\n");
    for part in ["token hunter2", "CapEff:\t0000000000002000", "size=3072k", "size=7168k", "noexec"] {
        assert!(lines.contains(part), "no {part}: {lines}");
    }
    assert!(lines.ends_with("\n81"), "{lines}");
    // Nothing that describes the task shows the value.
    let shown =
        format!("{running:?} {:?}", client.describe_task_definition().task_definition("web").send().await.unwrap());
    assert!(shown.contains("/jobs/token") && !shown.contains("hunter2"), "{shown}");
    handle.stop().await;
    image.remove().await;
}
