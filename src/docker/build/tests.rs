//! Builds on the engine of this machine, or of `DOCKER_HOST`.

use std::fs;

use tokio::sync::mpsc;

use super::*;
use crate::{
    docker::{
        error::BuildCause,
        testing::{Source, Then, engine, lent, program, prune, reference, remove, told, unique},
    },
    event::{Vertex, VertexState},
};

/// Long enough for a busy machine, short enough to notice.
const LIMIT: Duration = Duration::from_mins(2);

fn vertices(progress: &[Progress]) -> Vec<&Vertex> {
    progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::Vertex(vertex) => Some(vertex),
            _ => None,
        })
        .collect()
}

fn logs(progress: &[Progress]) -> Vec<&str> {
    progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::BuildLog { line, .. } => Some(line.as_str()),
            _ => None,
        })
        .collect()
}

/// The builders this engine has; podman has one only.
fn builders(engine: &Engine) -> Vec<Builder> {
    match engine.buildkit() {
        BuildKit::Present => vec![Builder::Engine, Builder::Buildx, Builder::Classic],
        BuildKit::Absent => vec![Builder::Classic],
    }
}

#[test]
fn auto_is_what_the_build_needs_and_the_engine_has() {
    use BuildKit::{Absent, Present};
    let outside =
        [CacheExport::Registry { image: reference("r.example.com", "jobs/api", "cache"), options: Vec::new() }];
    let inside = [CacheExport::Inline];
    for (wanted, has, cache_to, used) in [
        (Builder::Auto, Present, &[][..], "the engine's BuildKit"),
        (Builder::Auto, Present, &inside, "the engine's BuildKit"),
        (Builder::Auto, Present, &outside, "buildx, which writes what `cache_to` asks for"),
        (Builder::Auto, Absent, &outside, "buildx, which writes what `cache_to` asks for"),
        (Builder::Auto, Absent, &[], "the engine's classic builder, as the engine has no BuildKit"),
        (Builder::Engine, Present, &[], "the engine's BuildKit"),
        (Builder::Buildx, Absent, &[], "buildx"),
        (Builder::Classic, Present, &[], "the engine's classic builder"),
    ] {
        assert_eq!(choose(wanted, has, cache_to).unwrap().to_string(), used);
    }
    assert!(matches!(choose(Builder::Engine, Absent, &[]), Err(DockerError::NoBuildKit)));
}

/// Both builders, the same promises: steps, output, every tag, an id, and the cache the second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_tells_its_steps_and_tags_its_image() {
    let engine = engine().await;
    for builder in builders(&engine) {
        let used = choose(builder, engine.buildkit(), &[]).unwrap();
        let says = unique("hello");
        let source = Source::new(
            "FROM scratch\nARG GREETING\nCOPY hello /hello\nRUN [\"/hello\"]\nLABEL greeting=$GREETING\n",
            &[("hello", program(&format!("{says}\nand the rest"), Then::Exit(0)))],
        );
        let tags =
            [reference("127.0.0.1:1", "jobs/api", &unique("a")), reference("127.0.0.1:1", "jobs/api", &unique("b"))];
        let mut action = source.action(builder, &tags);
        action.args.insert("GREETING".to_owned(), "grüß & co = \"x\"".to_owned());
        let work = async |updates: &mpsc::Sender<Progress>| build(&engine, &action, &lent(), updates).await;
        let (built, progress) = told(work).await;
        let built = built.unwrap();
        assert_eq!(built.builder, used);
        let run = vertices(&progress).into_iter().filter(|vertex| vertex.name.contains("RUN")).collect::<Vec<_>>();
        assert_eq!(
            run.iter().map(|vertex| vertex.state).collect::<Vec<_>>(),
            [VertexState::Started, VertexState::Done]
        );
        let lines = logs(&progress);
        assert!(lines.contains(&says.as_str()) && lines.contains(&"and the rest"), "{lines:?}");
        // buildx sends it by itself and tells so in a step.
        let sent = |progress: &Progress| match progress {
            Progress::Context { sent } => *sent > 0,
            Progress::VertexStatus { name, current, .. } => name == "transferring" && *current > 0,
            _ => false,
        };
        assert!(progress.iter().any(sent), "{progress:?}");
        for tag in &tags {
            let image = engine.docker().inspect_image(&tag.to_string()).await.unwrap();
            assert_eq!(image.id.as_deref(), built.image_id.as_ref().map(Digest::as_str));
            let labels = image.config.unwrap().labels.unwrap();
            assert_eq!(labels["greeting"], "grüß & co = \"x\"");
        }
        let (again, progress) = told(work).await;
        if used.builder == BuilderUsed::Classic {
            assert_eq!(again.unwrap().image_id, built.image_id);
        }
        let cached = vertices(&progress)
            .into_iter()
            .any(|vertex| vertex.name.contains("RUN") && vertex.state == VertexState::Cached);
        assert!(cached, "{:?}", vertices(&progress));
        for tag in &tags {
            remove(&engine, tag).await;
        }
    }
}

/// A Dockerfile, what must be made of its failure, what the failing step is called.
type Row<'a> = (&'a str, fn(&BuildCause) -> bool, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_step_output_and_cause() {
    let engine = engine().await;
    let image = reference("127.0.0.1:1", "jobs/api", &unique("fails"));
    let broken = [("broken", program("one\nbroken: no such thing\n", Then::Exit(3)))];
    let label = unique("test");
    let runs = format!("FROM scratch\nCOPY broken /broken\nLABEL {label}=1\nRUN [\"/broken\"]\n");
    let rows: [Row<'_>; 5] = [
        (&runs, |cause| *cause == BuildCause::CommandFailed { exit_code: 3 }, "RUN"),
        (
            "FROM scratch\nCOPY nofile /x\n",
            |cause| matches!(cause, BuildCause::SourceMissing { path } if path.contains("nofile")),
            "COPY",
        ),
        // Podman names the instruction, and no line.
        ("FROM scratch\nFOO bar\n", |cause| matches!(cause, BuildCause::Dockerfile { line: Some(2) | None }), ""),
        (
            "FROM 127.0.0.1:1/no/base:1\nCOPY broken /x\n",
            |cause| matches!(cause, BuildCause::BaseImage { image } if image.contains("no/base:1")),
            "no/base:1",
        ),
        ("", |cause| matches!(cause, BuildCause::Dockerfile { .. }), ""),
    ];
    for builder in builders(&engine) {
        for (dockerfile, meant, step) in &rows {
            let source = Source::new(dockerfile, &broken);
            let action = source.action(builder, std::slice::from_ref(&image));
            let (result, progress) = told(async |updates| build(&engine, &action, &lent(), updates).await).await;
            let failure = match result {
                Err(DockerError::Build(failure)) => *failure,
                other => panic!("{builder:?} {dockerfile:?}: {other:?}"),
            };
            assert!(meant(&failure.cause), "{builder:?} {dockerfile:?}: {failure:?}");
            assert!(failure.step.clone().unwrap_or_default().contains(step), "{builder:?} {dockerfile:?}: {failure:?}");
            if *step == "RUN" {
                assert_eq!(failure.log, ["one", "broken: no such thing"]);
                let last = vertices(&progress).pop().cloned().unwrap();
                assert_eq!((last.state, Some(last.name)), (VertexState::Failed, failure.step));
                assert!(last.error.unwrap().contains('3'));
            }
        }
    }
    prune(&engine, &label).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_there_is_named() {
    let engine = engine().await;
    let source = Source::new("FROM scratch AS one\nCOPY Dockerfile /\n", &[]);
    for builder in builders(&engine) {
        let mut action = source.action(builder, &[]);
        action.target = Some("two".to_owned());
        let (result, _) = told(async |updates| build(&engine, &action, &lent(), updates).await).await;
        match result {
            Err(DockerError::Build(failure)) => {
                assert_eq!(failure.cause, BuildCause::TargetMissing { target: "two".to_owned() }, "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A Dockerfile beside the context, and an ignore file that keeps a secret at home.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_not_ignored_reaches_the_engine() {
    let engine = engine().await;
    for builder in builders(&engine) {
        let source = Source::new("", &[("app", program("x", Then::Exit(0)))]);
        fs::write(source.path().join("secret"), unique("s")).unwrap();
        fs::write(source.path().join(".dockerignore"), "secret\n").unwrap();
        let outside = Source::new("FROM scratch\nCOPY app secret /\n", &[]);
        let mut action = source.action(builder, &[]);
        action.dockerfile = outside.path().join("Dockerfile");
        let (result, _) = told(async |updates| build(&engine, &action, &lent(), updates).await).await;
        match result {
            Err(DockerError::Build(failure)) => {
                assert!(
                    matches!(&failure.cause, BuildCause::SourceMissing { path } if path.contains("secret")),
                    "{failure:?}"
                );
            }
            other => panic!("{builder:?}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_cannot_be_read_is_the_reason() {
    let engine = engine().await;
    let source = Source::new("FROM scratch\n", &[]);
    let mut action = source.action(Builder::Auto, &[]);
    action.context = source.path().join("nowhere");
    let (result, _) = told(async |updates| build(&engine, &action, &lent(), updates).await).await;
    assert!(matches!(result, Err(DockerError::Context(_))), "{result:?}");
}

/// Whether any process of this machine runs the program; the engine's are ours to see.
fn runs(name: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|command| String::from_utf8_lossy(&command).starts_with(&format!("/{name}")))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_build_stops_it_on_the_engine() {
    let engine = engine().await;
    for builder in builders(&engine) {
        let name = unique("hangs");
        let source = Source::new(
            &format!("FROM scratch\nCOPY {name} /{name}\nLABEL {name}=1\nRUN [\"/{name}\"]\n"),
            &[(&name, program("up\n", Then::Hang))],
        );
        let action = source.action(builder, &[]);
        let (sender, mut receiver) = mpsc::channel(256);
        let worker = {
            let engine = engine.clone();
            tokio::spawn(async move { build(&engine, &action, &lent(), &sender).await })
        };
        let up = async {
            while let Some(progress) = receiver.recv().await {
                if matches!(&progress, Progress::BuildLog { line, .. } if line == "up") {
                    return;
                }
            }
            panic!("the build ended by itself");
        };
        tokio::time::timeout(LIMIT, up).await.unwrap();
        assert!(runs(&name));
        worker.abort();
        let gone = async {
            let mut again = tokio::time::interval(Duration::from_millis(50));
            while runs(&name) {
                again.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.unwrap_or_else(|_| panic!("{builder:?}: the step still runs"));
        prune(&engine, &name).await;
    }
}

/// The engine refuses by status while the context is still on its way, and hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_is_heard_over_a_long_upload() {
    let engine = engine().await;
    let source = Source::new("FROM scratch\nCOPY big /\n", &[]);
    fs::File::create(source.path().join("big")).unwrap().set_len(64 * 1024 * 1024).unwrap();
    // buildx is the one that reads, and refuses, what it builds.
    for builder in builders(&engine).into_iter().filter(|builder| *builder != Builder::Buildx) {
        let mut action = source.action(builder, &[]);
        action.platform = Some("not/a/platform/at/all".to_owned());
        let (result, _) = told(async |updates| build(&engine, &action, &lent(), updates).await).await;
        match result {
            Err(DockerError::Refused { status: 400, message, .. }) => {
                assert!(message.contains("platform"), "{message}");
            }
            other => panic!("{builder:?}: {other:?}"),
        }
    }
}

/// A build that is given up during the upload stops reading the context.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_build_ends_the_upload() {
    let engine = engine().await;
    let source = Source::new("FROM scratch\nCOPY big /\n", &[]);
    // Sparse: no disk is used here, and the engine never gets to the end of it.
    fs::File::create(source.path().join("big")).unwrap().set_len(64 * 1024 * 1024 * 1024).unwrap();
    let open = || {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == source.path().join("big")))
    };
    // buildx is the one that reads, and refuses, what it builds.
    for builder in builders(&engine).into_iter().filter(|builder| *builder != Builder::Buildx) {
        let action = source.action(builder, &[]);
        let (sender, mut receiver) = mpsc::channel(256);
        let worker = {
            let engine = engine.clone();
            tokio::spawn(async move { build(&engine, &action, &lent(), &sender).await })
        };
        let sent = async {
            while let Some(progress) = receiver.recv().await {
                if matches!(progress, Progress::Context { sent } if sent > 1024 * 1024) {
                    return;
                }
            }
            panic!("the build ended by itself");
        };
        tokio::time::timeout(LIMIT, sent).await.unwrap();
        assert!(open());
        worker.abort();
        let closed = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            while open() {
                again.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, closed).await.unwrap_or_else(|_| panic!("{builder:?}: the context is still read"));
    }
}

/// A stage that is only to be tried leaves no image behind, and is in the cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_a_name_gives_no_image() {
    let engine = engine().await;
    if engine.buildkit() == BuildKit::Absent {
        return;
    }
    for builder in [Builder::Engine, Builder::Buildx] {
        let label = unique("test");
        let dockerfile =
            format!("FROM scratch AS test\nLABEL {label}=1\nCOPY good /\nRUN [\"/good\"]\nFROM scratch\nCOPY good /\n");
        let source = Source::new(&dockerfile, &[("good", program(&label, Then::Exit(0)))]);
        let mut action = source.action(builder, &[]);
        action.target = Some("test".to_owned());
        let work = async |updates: &mpsc::Sender<Progress>| build(&engine, &action, &lent(), updates).await;
        let (built, progress) = told(work).await;
        assert_eq!(built.unwrap().image_id, None);
        assert!(logs(&progress).contains(&label.as_str()), "{progress:?}");
        let (_, progress) = told(work).await;
        assert!(vertices(&progress).iter().any(|vertex| vertex.state == VertexState::Cached), "{progress:?}");
        let filters = std::collections::HashMap::from([("label", vec![label])]);
        let options =
            bollard::query_parameters::ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
        assert_eq!(engine.docker().list_images(Some(options)).await.unwrap().len(), 0);
    }
}
