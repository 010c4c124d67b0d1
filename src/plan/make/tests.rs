//! Plans as text: a spec and a world in, the plan or the refusals out. And properties over any of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{plan, pushed_to_compare};
use crate::{
    config::spec::{
        Before, BuildSecret, BuildSsh, Builder, CacheImage, Check, CheckWork, Destination, FurtherGroup,
        MissingRepository, Place, Promotion, PromotionSource, Spec, TaskDefinitionSource,
    },
    id::{Cluster, Key, ServiceName, StepId},
    plan::{
        observed::{
            BuildInput, Candidate, CapacityProvider, ClusterObserved, Here, LaunchObserved, MissingInput, Mutability,
            Observed, RepositoryObserved, ServiceActive, ServiceObserved, WhyMissing,
        },
        promote::Unpromotable,
        settle::{Ready, Settled, settle},
        step::{Action, CheckCall, Plan, Produced, Started},
        testing::{
            REGISTRY, active, arn, deployment, digest, empty_sandbox, image, live, observed, present, service, spec,
        },
    },
};

fn told(spec: &Spec, observed: &Observed) -> String {
    match plan(spec, observed) {
        Ok(plan) => plan.to_string(),
        Err(refusals) => refusals.iter().map(|refusal| format!("refused: {refusal}")).collect::<Vec<_>>().join("\n"),
    }
}

/// The plan of the usual spec in a world that `change` made unusual.
fn when(change: impl FnOnce(&mut Spec, &mut Observed)) -> String {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    change(&mut spec, &mut observed);
    told(&spec, &observed)
}

#[test]
fn a_service_that_runs_gets_a_new_image() {
    insta::assert_snapshot!(when(|_, _| ()), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← it runs web:41  (after #4)
    #6 roll out web  ← until the tasks of web:41 have drained  (after #5)
    ");
}

#[test]
fn a_missing_repository_is_created_where_that_is_allowed() {
    insta::assert_snapshot!(when(|spec, observed| {
        observed.repositories.clear();
        spec.images.get_mut(&Key::new("web")).expect("web").missing_repository = MissingRepository::Create;
    }), @"
    #1 create repository shop/web  ← shop/web does not exist in eu-west-1
    #2 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #3 build web  ← tag 4f2c1d  (after #2)
    #4 push web  ← shop/web:4f2c1d for web  (after #1, #2, #3)
    #5 register web  ← new image  (after #4)
    #6 update web  ← it runs web:41  (after #5)
    #7 roll out web  ← until the tasks of web:41 have drained  (after #6)
    ");
}

#[test]
fn an_empty_sandbox_is_set_up_first() {
    insta::assert_snapshot!(told(&spec(Place::Sandbox), &empty_sandbox()), @"
    #1 create cluster shop  ← the sandbox has none of that name
    #2 create repository shop/web  ← shop/web does not exist in eu-west-1
    #3 log in to 127.0.0.1:4517  ← to push web
    #4 build web  ← tag 4f2c1d  (after #3)
    #5 push web  ← shop/web:4f2c1d for web  (after #2, #3, #4)
    #6 register web  ← new image  (after #5)
    #7 create target group ship-web-973756  ← the sandbox has no service web
    #8 create load balancer ship-web-973756  ← the sandbox has no service web
    #9 create listener of web  ← the sandbox has no service web  (after #7, #8)
    #10 create service web  ← the sandbox has no service web  (after #1, #6, #7, #9)
    #11 roll out web  ← until its first tasks are healthy  (after #10)
    ");
}

#[test]
fn a_service_of_the_sandbox_is_updated_as_any_other() {
    let mut observed = observed();
    live(&mut observed).tags.push(("docker-ecs-ship:definition".to_owned(), "sandbox".to_owned()));
    insta::assert_snapshot!(told(&spec(Place::Sandbox), &observed), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image, containerDefinitions[web].stopTimeout added, containerDefinitions[web].logConfiguration added, requiresCompatibilities[EC2] added  (after #3)
    #5 update web  ← it runs web:41  (after #4)
    #6 roll out web  ← until the tasks of web:41 have drained  (after #5)
    ");
}

/// The usual service, promoted from staging.
fn promoted(change: impl FnOnce(&mut Spec, &mut Observed)) -> String {
    when(|spec, observed| {
        promote(spec);
        observed.promoted.insert(Key::new("web"), Ok(candidate()));
        change(spec, observed);
    })
}

fn promote(spec: &mut Spec) {
    spec.images.clear();
    let source =
        PromotionSource { cluster: Cluster::new("staging"), service: ServiceName::new("web"), container: None };
    let destination = Destination { repository: "shop/web".to_owned(), missing_repository: MissingRepository::Refuse };
    spec.promotion = Some(Promotion {
        from: "staging".to_owned(),
        environment: spec.environment.clone(),
        sources: BTreeMap::from([(Key::new("web"), source)]),
        destinations: BTreeMap::from([(Key::new("web"), destination)]),
    });
}

fn candidate() -> Candidate {
    Candidate {
        revision: arn("web:57"),
        name: "222222222222.dkr.ecr.eu-west-1.amazonaws.com/shop/web".parse().expect("a name"),
        digest: digest('b'),
        tag: "v7".parse().expect("a tag"),
        platforms: vec!["linux/amd64".to_owned()],
        here: Here::Absent,
        tagged: None,
    }
}

#[test]
fn what_staging_runs_is_copied_and_rolled_out() {
    insta::assert_snapshot!(promoted(|_, _| ()));
}

#[test]
fn what_is_here_already_is_not_copied() {
    insta::assert_snapshot!(promoted(|_, observed| {
        observed.promoted.insert(Key::new("web"), Ok(Candidate { here: Here::Present, ..candidate() }));
    }));
    // Nor what both environments have in one repository, whatever its host is called.
    let shared = promoted(|_, observed| {
        let name = "111111111111.dkr-ecr.eu-west-1.on.aws/shop/web".parse().expect("a name");
        observed.promoted.insert(Key::new("web"), Ok(Candidate { name, ..candidate() }));
    });
    assert!(!shared.contains("copy") && shared.contains("register"), "{shared}");
}

#[test]
fn what_runs_here_already_is_nothing_to_do() {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    promote(&mut spec);
    let same = Candidate { digest: digest('a'), here: Here::Present, ..candidate() };
    observed.promoted.insert(Key::new("web"), Ok(same));
    let planned = plan(&spec, &observed).expect("a plan");
    let mut skipped = BTreeSet::new();
    let mut given = BTreeMap::new();
    for step in &planned.steps {
        if let Settled::Skip { gives, .. } = settle(step, &given) {
            skipped.insert(step.id);
            given.insert(step.id, gives);
        }
    }
    assert!(planned.nothing_to_do(&skipped), "{planned}");
}

/// A repository of the same name in a third place: it is created where that is allowed, and needed only where
/// something goes there.
#[test]
fn a_repository_for_what_is_promoted_is_created_or_refused() {
    insta::assert_snapshot!(promoted(|spec, observed| {
        observed.repositories.clear();
        let promotion = spec.promotion.as_mut().expect("it promotes");
        promotion.destinations.get_mut(&Key::new("web")).expect("web").missing_repository = MissingRepository::Create;
    }));
    insta::assert_snapshot!(promoted(|_, observed| observed.repositories.clear()), @"refused: repository shop/web does not exist in eu-west-1");
}

/// Two services of one image, of which staging runs two builds.
#[test]
fn each_service_gets_what_its_own_like_runs() {
    let two = |second: Candidate| {
        promoted(|spec, observed| {
            spec.services.insert(Key::new("worker"), service("web", "worker"));
            let promotion = spec.promotion.as_mut().expect("it promotes");
            let source = promotion.sources[&Key::new("web")].clone();
            promotion.sources.insert(Key::new("worker"), source);
            observed.promoted.insert(Key::new("worker"), Ok(second));
            let worker = ServiceObserved::Active(Box::new(active("worker", &["worker"])));
            observed.services.insert(Key::new("worker"), worker);
        })
    };
    let other = Candidate { digest: digest('c'), tag: "v6".parse().expect("a tag"), ..candidate() };
    insta::assert_snapshot!(two(other));
    let same = two(candidate());
    assert_eq!(same.matches("copy web").count(), 1, "{same}");
}

#[test]
fn a_tag_of_another_image_is_left_where_it_is() {
    let taken = |mutability: Mutability| {
        promoted(|_, observed| {
            observed.repositories.insert(Key::new("web"), present(mutability, None));
            observed.promoted.insert(Key::new("web"), Ok(Candidate { tagged: Some(digest('d')), ..candidate() }));
        })
    };
    insta::assert_snapshot!(taken(Mutability::Immutable), @"refused: tag v7 of repository shop/web is immutable and points at dddddddddddd, and staging runs bbbbbbbbbbbb under it");
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    promote(&mut spec);
    observed.promoted.insert(Key::new("web"), Ok(Candidate { tagged: Some(digest('d')), ..candidate() }));
    let planned = plan(&spec, &observed).expect("a plan");
    let tag = planned.steps.iter().find_map(|step| match &step.action {
        Action::Copy(copy) => Some(copy.tag.to_string()),
        _ => None,
    });
    assert_eq!(tag.as_deref(), Some("staging-bbbbbbbbbbbb"));
}

#[test]
fn what_cannot_run_here_is_refused() {
    insta::assert_snapshot!(promoted(|_, observed| {
        live(observed).definition["runtimePlatform"] = json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" });
    }), @"refused: the image that staging runs as web is for linux/amd64, but the task definition of web here runs linux/arm64");
    insta::assert_snapshot!(promoted(|_, observed| {
        let why = Unpromotable::Going { name: ServiceName::new("web"), revision: arn("web:58") };
        observed.promoted.insert(Key::new("web"), Err(why));
    }), @"refused: service web cannot be promoted: staging is in the middle of a deployment of service web, to web:58");
}

/// A second deploy while the first one's rollout goes on watches that one.
#[test]
fn the_rollout_of_what_is_promoted_is_picked_up() {
    let going = |character: char| {
        promoted(|_, observed| {
            let here = Candidate { digest: digest(character), here: Here::Present, ..candidate() };
            observed.promoted.insert(Key::new("web"), Ok(here));
            live(observed).deployments = vec![deployment("ecs-svc/2", "PRIMARY", "IN_PROGRESS", &arn("web:41"))];
        })
    };
    assert!(going('a').contains("its rollout to web:41 is still going"), "{}", going('a'));
    assert!(going('b').starts_with("refused: another deployment of service web is going on"), "{}", going('b'));
}

fn migration(container: Option<&str>) -> Before {
    let command = ["rake", "db:migrate"].map(str::to_owned).to_vec();
    Before { command, timeout: Duration::from_mins(15), container: container.map(str::to_owned) }
}

#[test]
fn a_task_before_the_rollout_stands_between_the_revision_and_the_update() {
    insta::assert_snapshot!(when(|spec, _| {
        spec.services.get_mut(&Key::new("web")).expect("web").before = Some(migration(None));
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 run before web  ← rake db:migrate  (after #4)
    #6 update web  ← it runs web:41  (after #4, #5)
    #7 roll out web  ← until the tasks of web:41 have drained  (after #6)
    ");
}

#[test]
fn a_task_before_the_rollout_runs_where_the_service_runs() {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    spec.services.get_mut(&Key::new("web")).expect("web").before = Some(migration(Some("tools")));
    let launch = LaunchObserved { launch_type: Some("FARGATE".to_owned()), ..LaunchObserved::default() };
    live(&mut observed).launch = launch.clone();
    let definition = &mut live(&mut observed).definition["containerDefinitions"];
    let tools = json!({ "name": "tools", "image": "tools:1", "essential": false });
    definition.as_array_mut().expect("containers").push(tools);
    let Ok(plan) = plan(&spec, &observed) else { panic!("refused") };
    let before = plan.steps.iter().find_map(|step| match &step.action {
        Action::Before { one_off, timeout_ms, running, .. } => Some((one_off.clone(), *timeout_ms, running.clone())),
        _ => None,
    });
    let (one_off, timeout_ms, running) = before.expect("a step");
    assert_eq!((one_off.container.as_str(), one_off.cluster.as_str()), ("tools", "shop"));
    assert_eq!((one_off.launch, timeout_ms, running), (launch, 900_000, Some(arn("web:41"))));
}

#[test]
fn an_image_that_two_services_run_is_built_once() {
    insta::assert_snapshot!(when(|spec, observed| {
        spec.services.insert(Key::new("worker"), service("web", "worker"));
        spec.images.insert(Key::new("job"), image("shop/job"));
        spec.services.insert(Key::new("job"), service("job", "job"));
        for name in ["worker", "job"] {
            observed.services.insert(Key::new(name), ServiceObserved::Active(Box::new(active(name, &[name]))));
        }
        observed.repositories.insert(Key::new("job"), present(Mutability::Mutable, None));
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push job, web
    #2 build job  ← tag 4f2c1d  (after #1)
    #3 build web  ← tag 4f2c1d  (after #1)
    #4 push job  ← shop/job:4f2c1d for job  (after #1, #2)
    #5 push web  ← shop/web:4f2c1d for web, worker  (after #1, #3)
    #6 register job  ← new image  (after #4)
    #7 register web  ← new image  (after #5)
    #8 register worker  ← new image  (after #5)
    #9 update job  ← it runs job:41  (after #6)
    #10 update web  ← it runs web:41  (after #7)
    #11 update worker  ← it runs worker:41  (after #8)
    #12 roll out job  ← until the tasks of job:41 have drained  (after #9)
    #13 roll out web  ← until the tasks of web:41 have drained  (after #10)
    #14 roll out worker  ← until the tasks of worker:41 have drained  (after #11)
    ");
}

/// What is pushed together is judged together.
#[test]
fn nothing_is_pushed_before_every_check_has_passed() {
    insta::assert_snapshot!(when(|spec, observed| {
        spec.images.insert(Key::new("job"), image("shop/job"));
        spec.services.insert(Key::new("job"), service("job", "job"));
        observed.services.insert(Key::new("job"), ServiceObserved::Active(Box::new(active("job", &["job"]))));
        observed.repositories.insert(Key::new("job"), present(Mutability::Mutable, None));
        spec.images.get_mut(&Key::new("web")).expect("web").checks = vec![
            Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(15) },
            Check {
                work: CheckWork::Run(vec!["/app/selftest".to_owned(), "-v".to_owned()]),
                timeout: Duration::from_secs(90),
            },
        ];
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push job, web
    #2 build job  ← tag 4f2c1d  (after #1)
    #3 build web  ← tag 4f2c1d  (after #1)
    #4 check web: test  ← stage test must build within 15m  (after #1, #3)
    #5 check web: selftest  ← /app/selftest -v must end with 0 within 1m30s  (after #3)
    #6 push job  ← shop/job:4f2c1d for job  (after #1, #2, #4, #5)
    #7 push web  ← shop/web:4f2c1d for web  (after #1, #3, #4, #5)
    #8 register job  ← new image  (after #6)
    #9 register web  ← new image  (after #7)
    #10 update job  ← it runs job:41  (after #8)
    #11 update web  ← it runs web:41  (after #9)
    #12 roll out job  ← until the tasks of job:41 have drained  (after #10)
    #13 roll out web  ← until the tasks of web:41 have drained  (after #11)
    ");
}

/// The image that runs was judged when it was built.
#[test]
fn what_is_not_built_is_not_checked() {
    let told = when(|spec, observed| {
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
        spec.images.get_mut(&Key::new("web")).expect("web").checks =
            vec![Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(15) }];
    });
    assert!(!told.contains("check") && told.contains("register"), "{told}");
}

/// A command has the memory that it will have in production.
#[test]
fn a_check_gets_the_memory_of_its_container() {
    let memory = |base: &Value| {
        let (mut spec, mut observed) = (spec(Place::Aws), observed());
        spec.images.get_mut(&Key::new("web")).expect("web").checks =
            vec![Check { work: CheckWork::Run(vec!["/t".to_owned()]), timeout: Duration::from_mins(1) }];
        let definition = live(&mut observed).definition.as_object_mut().expect("an object");
        definition.extend(base.as_object().expect("an object").clone());
        let plan = plan(&spec, &observed).expect("a plan");
        plan.steps.iter().find_map(|step| match &step.action {
            Action::Check(check) => match &check.call {
                CheckCall::Run { run, .. } => Some(run.memory_mib),
                CheckCall::Stage { .. } => None,
            },
            _ => None,
        })
    };
    let containers = |memory: u64| json!([{ "name": "web", "image": "x", "memory": memory, "portMappings": [{ "containerPort": 8080 }] }]);
    assert_eq!(memory(&json!({ "memory": "512" })), Some(Some(512)));
    assert_eq!(memory(&json!({ "memory": "1024", "containerDefinitions": containers(300) })), Some(Some(300)));
    assert_eq!(memory(&json!({ "memory": null })), Some(None));
}

#[test]
fn what_a_build_lacks_is_refused_all_at_once() {
    let lacking = |spec: &mut Spec, observed: &mut Observed| {
        let image = spec.images.get_mut(&Key::new("web")).expect("web");
        image.secrets = BTreeMap::from([("nuget".to_owned(), BuildSecret::Variable("NUGET_TOKEN".to_owned()))]);
        image.ssh = vec![BuildSsh { id: "default".to_owned(), path: None }];
        let missing = [
            (BuildInput::Secret { id: "nuget".to_owned() }, WhyMissing::NotSet { variable: "NUGET_TOKEN".to_owned() }),
            (
                BuildInput::Ssh { id: "default".to_owned() },
                WhyMissing::Unread { path: "/run/agent".into(), why: std::io::ErrorKind::NotFound },
            ),
        ];
        let missing = missing.map(|(input, why)| MissingInput { input, why }).to_vec();
        observed.missing_inputs.insert(Key::new("web"), missing);
    };
    insta::assert_snapshot!(when(|spec, observed| {
        lacking(spec, observed);
        spec.images.get_mut(&Key::new("web")).expect("web").builder = Builder::Classic;
    }), @"
    refused: image web asks for `secrets` and `ssh`, and the classic builder has no such thing
    refused: image web asks for secret nuget, and the environment variable NUGET_TOKEN is not set
    refused: image web asks for ssh default, and there is no /run/agent
    ");
    // An image that is there already is not built, and lacks nothing.
    let told = when(|spec, observed| {
        lacking(spec, observed);
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
    });
    assert!(!told.contains("refused"), "{told}");
}

/// Every build of an image has what it asks for, that of a check too; and never a value.
#[test]
fn a_stage_is_built_with_the_secrets_of_its_image() {
    let (mut spec, observed) = (spec(Place::Aws), observed());
    let image = spec.images.get_mut(&Key::new("web")).expect("web");
    image.secrets = BTreeMap::from([("nuget".to_owned(), BuildSecret::Variable("NUGET_TOKEN".to_owned()))]);
    image.checks = vec![Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(15) }];
    let plan = plan(&spec, &observed).expect("a plan");
    let builds: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Build(build) => Some(&**build),
            Action::Check(check) => match &check.call {
                CheckCall::Stage { build, .. } => Some(&**build),
                CheckCall::Run { .. } => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(builds.len(), 2);
    assert!(builds.iter().all(|build| build.secrets.contains_key("nuget")), "{builds:?}");
    assert_eq!((builds[1].target.as_deref(), builds[1].tags.len()), (Some("test"), 0));
}

#[test]
fn every_further_tag_is_pushed_after_the_first() {
    insta::assert_snapshot!(when(|spec, _| {
        let image = spec.images.get_mut(&Key::new("web")).expect("web");
        image.further_tags = ["latest", "stable"].map(|tag| tag.parse().expect("a tag")).to_vec();
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 push web as latest  ← the same image as shop/web:4f2c1d  (after #3)
    #5 push web as stable  ← the same image as shop/web:4f2c1d  (after #3)
    #6 register web  ← new image  (after #3)
    #7 update web  ← it runs web:41  (after #6)
    #8 roll out web  ← until the tasks of web:41 have drained  (after #7)
    ");
}

#[test]
fn cache_without_a_registry_is_that_of_the_environment() {
    let (mut spec, observed) = (spec(Place::Aws), observed());
    spec.images.get_mut(&Key::new("web")).expect("web").cache_from = vec![
        CacheImage::Ecr { repository: "shop/base".to_owned(), tag: "cache".parse().expect("a tag") },
        CacheImage::Elsewhere("ghcr.io/shop/base:1".parse().expect("a reference")),
    ];
    let plan = plan(&spec, &observed).expect("a plan");
    let build = plan.steps.iter().find_map(|step| match &step.action {
        Action::Build(build) => Some(build),
        _ => None,
    });
    let images: Vec<String> = build.expect("a build").cache_from.iter().map(ToString::to_string).collect();
    assert_eq!(images, [format!("{REGISTRY}/shop/base:cache"), "ghcr.io/shop/base:1".to_owned()]);
}

#[test]
fn a_file_says_what_else_it_changes() {
    insta::assert_snapshot!(when(|spec, observed| {
        let path = PathBuf::from("/src/task.json");
        spec.services.get_mut(&Key::new("web")).expect("web").task_definition = TaskDefinitionSource::File(path.clone());
        let file = json!({
            "cpu": "512", "memory": "512",
            "containerDefinitions": [{ "name": "web", "image": "x", "portMappings": [{ "containerPort": 8080 }],
                                       "environment": [{ "name": "API_TOKEN", "value": "t" }] },
                                     { "name": "log", "image": "l", "essential": false }],
        });
        observed.task_definition_files.insert(path, file);
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image, cpu 256 → 512, containerDefinitions[web].environment[API_TOKEN] added, containerDefinitions[log] added  (after #3)
    #5 update web  ← it runs web:41  (after #4)
    #6 roll out web  ← until the tasks of web:41 have drained  (after #5)
    ");
}

#[test]
fn an_immutable_tag_that_already_runs_is_not_built_again() {
    insta::assert_snapshot!(when(|_, observed| {
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
    }), @"
    #1 register web  ← image aaaaaaaaaaaa
    #2 update web  ← it runs web:41  (after #1)
    #3 roll out web  ← until the tasks of web:41 have drained  (after #2)
    ");
}

#[test]
fn a_rollout_of_this_build_that_is_still_going_is_picked_up() {
    insta::assert_snapshot!(when(|_, observed| {
        live(observed).deployments[0].rollout_state = Some("IN_PROGRESS".to_owned());
        live(observed).tags.push(("docker-ecs-ship:image-tag".to_owned(), "4f2c1d".to_owned()));
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← its rollout to web:41 is still going  (after #4)
    #6 roll out web  ← until every older task has drained  (after #5)
    ");
}

#[test]
fn a_rollout_that_failed_is_no_obstacle() {
    insta::assert_snapshot!(when(|_, observed| {
        live(observed).deployments[0].rollout_state = Some("FAILED".to_owned());
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← its rollout to web:41 failed  (after #4)
    #6 roll out web  ← until the tasks of web:41 have drained  (after #5)
    ");
}

/// Without a circuit breaker ECS tries the first deploy of a service for ever; its author must not wait for that.
#[test]
fn a_first_rollout_that_comes_to_nothing_is_no_obstacle() {
    let failing = |live: &mut ServiceActive| {
        let deployment = &mut live.deployments[0];
        (deployment.rollout_state, deployment.running, deployment.failed) = (Some("IN_PROGRESS".to_owned()), 0, 3);
    };
    insta::assert_snapshot!(when(|_, observed| failing(live(observed))), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← its rollout to web:41 failed  (after #4)
    #6 roll out web  ← until every older task has drained  (after #5)
    ");
    // The same build once more: what was missing may be there now, and the failures of before are not counted.
    insta::assert_snapshot!(when(|_, observed| {
        failing(live(observed));
        live(observed).tags.push(("docker-ecs-ship:image-tag".to_owned(), "4f2c1d".to_owned()));
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← its rollout to web:41 failed  (after #4)
    #6 roll out web  ← until every older task has drained  (after #5)
    ");
    // The old revision serves, and the deployment may be somebody else's.
    insta::assert_snapshot!(when(|_, observed| {
        failing(live(observed));
        let old = deployment("ecs-svc/40", "ACTIVE", "COMPLETED", &arn("web:40"));
        live(observed).deployments.push(old);
    }), @"refused: another deployment of service web is going on: ecs-svc/1 to web:41");
}

#[test]
fn a_container_is_chosen_where_the_choice_is_clear() {
    insta::assert_snapshot!(when(|_, observed| {
        live(observed).definition["containerDefinitions"] = json!([
            { "name": "init", "image": "i", "essential": false },
            { "name": "web", "image": "w", "portMappings": [{ "containerPort": 8080 }] },
        ]);
    }), @"
    #1 log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com  ← to push web
    #2 build web  ← tag 4f2c1d  (after #1)
    #3 push web  ← shop/web:4f2c1d for web  (after #1, #2)
    #4 register web  ← new image  (after #3)
    #5 update web  ← it runs web:41  (after #4)
    #6 roll out web  ← until the tasks of web:41 have drained  (after #5)
    ");
}

#[test]
fn credentials_of_another_account_are_the_only_refusal() {
    insta::assert_snapshot!(when(|spec, observed| {
        spec.environment.account = Some("222222222222".to_owned());
        observed.services.clear();
    }), @"refused: the credentials belong to account 111111111111, but this environment may only touch 222222222222");
}

#[test]
fn the_account_of_the_sandbox_is_nobodys() {
    let mut spec = spec(Place::Sandbox);
    spec.environment.account = Some("222222222222".to_owned());
    assert!(plan(&spec, &empty_sandbox()).is_ok());
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    insta::assert_snapshot!(when(|spec, observed| {
        observed.repositories.clear();
        observed.services.clear();
        let mut elsewhere = service("web", "elsewhere");
        elsewhere.cluster = Cluster::new("gone");
        spec.services.insert(Key::new("elsewhere"), elsewhere);
        spec.services.insert(Key::new("old"), service("web", "old"));
        observed.services.insert(Key::new("old"), ServiceObserved::Inactive { status: "DRAINING".to_owned() });
    }), @"
    refused: cluster gone does not exist in eu-west-1
    refused: service old in cluster shop is DRAINING: it was deleted
    refused: service web does not exist in cluster shop
    refused: repository shop/web does not exist in eu-west-1
    ");
}

#[test]
fn what_is_live_can_be_in_the_way() {
    insta::assert_snapshot!(when(|_, observed| {
        live(observed).deployments[0].rollout_state = Some("IN_PROGRESS".to_owned());
        live(observed).maximum_percent = 100;
        live(observed).target_groups.clear();
        live(observed).definition["containerDefinitions"] = json!([{ "name": "a", "image": "a" }, { "name": "b", "image": "b" }]);
    }), @"
    refused: service web can neither start nor stop a task: of 2 at least 2 must run (100 %) and at most 2 may (100 %)
    refused: another deployment of service web is going on: ecs-svc/1 to web:41
    refused: which container of web gets the image is not clear: a and b are essential
    ");
    insta::assert_snapshot!(when(|_, observed| live(observed).controller = "CODE_DEPLOY".to_owned()), @"refused: service web is rolled out by the CODE_DEPLOY deployment controller, not by ECS itself");
}

#[test]
fn what_was_written_can_be_in_the_way() {
    insta::assert_snapshot!(when(|spec, observed| {
        spec.services.insert(Key::new("same"), service("web", "web"));
        observed.services.insert(Key::new("same"), observed.services[&Key::new("web")].clone());
        let web = spec.services.get_mut(&Key::new("web")).expect("web");
        web.container = Some("api".to_owned());
        let mut odd = service("web", "odd");
        odd.task_definition = TaskDefinitionSource::File("/src/odd.json".into());
        let mut unread = service("web", "unread");
        unread.task_definition = TaskDefinitionSource::File("/src/unread.json".into());
        observed.task_definition_files.insert("/src/odd.json".into(), json!({ "family": "odd" }));
        for (name, service) in [("odd", odd), ("unread", unread)] {
            spec.services.insert(Key::new(name), service);
            observed.services.insert(Key::new(name), ServiceObserved::Active(Box::new(active(name, &[name]))));
        }
    }), @"
    refused: same and web are the same service web in cluster shop
    refused: /src/odd.json is not a task definition: it has no containers
    refused: the task definition file /src/unread.json was not read
    refused: the task definition of web has no container api; it has web
    ");
}

#[test]
fn an_immutable_tag_that_does_not_run_is_in_the_way() {
    insta::assert_snapshot!(when(|_, observed| {
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('b'))));
    }), @"refused: tag 4f2c1d of repository shop/web is immutable and points at bbbbbbbbbbbb already");
}

/// What is in the repository is compared, and not what would be built.
#[test]
fn an_immutable_tag_must_be_for_what_its_services_run_on() {
    let arm = || json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" });
    // The web service runs it on X86_64; a worker is to run it on ARM.
    let with = |platforms: Option<&[&str]>, change: fn(&mut Spec, &mut Observed)| {
        let (mut spec, mut observed) = (spec(Place::Aws), observed());
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
        spec.services.insert(Key::new("worker"), service("web", "worker"));
        let mut worker = active("worker", &["worker"]);
        worker.definition["runtimePlatform"] = arm();
        worker.definition["containerDefinitions"][0]["image"] = json!("busybox");
        observed.services.insert(Key::new("worker"), ServiceObserved::Active(Box::new(worker)));
        change(&mut spec, &mut observed);
        if let Some(platforms) = platforms {
            observed.pushed.insert(Key::new("web"), platforms.iter().map(|&one| one.to_owned()).collect());
        }
        (pushed_to_compare(&spec, &observed).len(), told(&spec, &observed))
    };
    let as_it_is = |_: &mut Spec, _: &mut Observed| ();
    let (looked, manifest) = with(Some(&["linux/amd64"]), as_it_is);
    assert_eq!(looked, 1);
    insta::assert_snapshot!(manifest, @"refused: tag 4f2c1d of repository shop/web is immutable and is for linux/amd64, but the task definition of worker runs linux/arm64");
    let (_, lacks) = with(Some(&["linux/arm", "linux/arm", "linux/amd64"]), as_it_is);
    insta::assert_snapshot!(lacks, @"refused: tag 4f2c1d of repository shop/web is immutable and is for linux/amd64 and linux/arm, but the task definition of worker runs linux/arm64");
    let (_, has) = with(Some(&["linux/amd64", "linux/arm64"]), as_it_is);
    insta::assert_snapshot!(has, @"
    #1 register web  ← image aaaaaaaaaaaa
    #2 register worker  ← image aaaaaaaaaaaa
    #3 update web  ← it runs web:41  (after #1)
    #4 update worker  ← it runs worker:41  (after #2)
    #5 roll out web  ← until the tasks of web:41 have drained  (after #3)
    #6 roll out worker  ← until the tasks of worker:41 have drained  (after #4)
    ");
    // It does not say, and could not be read: what the engine is, or ship.toml says of builds, is not what is there.
    for platforms in [Some(&[][..]), None] {
        let (_, unknown) = with(platforms, |spec, _| {
            spec.images.get_mut(&Key::new("web")).expect("web").platform = Some("linux/amd64".to_owned());
        });
        assert_eq!(unknown, has, "{platforms:?}");
    }
    // On Fargate a definition that says nothing runs on linux/amd64; elsewhere it runs on what there is.
    let (looked, silent) = with(Some(&["linux/arm64"]), |_, observed| {
        worker(observed).definition["runtimePlatform"] = Value::Null;
    });
    assert_eq!((looked, silent), (0, has));
    for launch in [
        LaunchObserved { launch_type: Some("FARGATE".to_owned()), ..LaunchObserved::default() },
        LaunchObserved {
            capacity_providers: vec![CapacityProvider { name: "FARGATE_SPOT".to_owned(), weight: 1, base: 0 }],
            ..LaunchObserved::default()
        },
    ] {
        let mut world = observed();
        world.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
        world.pushed.insert(Key::new("web"), vec!["linux/arm64".to_owned()]);
        live(&mut world).launch = launch;
        // It runs it as it is to run it.
        assert!(pushed_to_compare(&spec(Place::Aws), &world).is_empty());
        assert!(!self::told(&spec(Place::Aws), &world).contains("refused"));
        // Unless that has never come up.
        live(&mut world).deployments = vec![deployment("ecs-svc/2", "PRIMARY", "FAILED", &arn("web:41"))];
        assert_eq!(pushed_to_compare(&spec(Place::Aws), &world).len(), 1);
        assert_eq!(
            self::told(&spec(Place::Aws), &world),
            "refused: tag 4f2c1d of repository shop/web is immutable and is for linux/arm64, \
             but the task definition of web runs linux/amd64"
        );
    }
    // Nothing is asked for where a build follows, where nothing fits anyway, and in the sandbox.
    for change in [
        (|_, observed| {
            observed.repositories.insert(Key::new("web"), present(Mutability::Mutable, Some(digest('a'))));
        }) as fn(&mut Spec, &mut Observed),
        |_, observed| {
            observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('c'))));
        },
        |spec, _| spec.environment.place = Place::Sandbox,
        |spec, _| spec.environment.account = Some("222222222222".to_owned()),
    ] {
        assert_eq!(with(None, change).0, 0);
    }
}

fn worker(observed: &mut Observed) -> &mut ServiceActive {
    match observed.services.get_mut(&Key::new("worker")) {
        Some(ServiceObserved::Active(live)) => live,
        other => panic!("not active: {other:?}"),
    }
}

#[test]
fn platforms_are_compared_in_one_spelling() {
    let with = |platform: Option<&str>, runtime: Value| {
        let (mut spec, mut observed) = (spec(Place::Aws), observed());
        spec.images.get_mut(&Key::new("web")).expect("web").platform = platform.map(str::to_owned);
        live(&mut observed).definition["runtimePlatform"] = runtime;
        plan(&spec, &observed).map(|plan| built_for(&plan))
    };
    let arm = || json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" });
    let windows = || json!({ "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE" });
    // What is written, what the tasks run on, and what is built for; the engine is linux/amd64.
    for (platform, runtime, built) in [
        (None, json!({ "cpuArchitecture": "X86_64" }), Some(None)),
        (None, arm(), Some(Some("linux/arm64"))),
        (None, json!({ "cpuArchitecture": "ARM64" }), Some(Some("linux/arm64"))),
        (None, windows(), Some(Some("windows/amd64"))),
        (Some("linux/arm64/v8"), arm(), Some(Some("linux/arm64/v8"))),
        (Some("linux/aarch64"), json!({ "cpuArchitecture": "ARM64" }), Some(Some("linux/aarch64"))),
        (Some("linux/amd64"), arm(), None),
        (Some("linux/amd64"), windows(), None),
        (Some("windows/amd64"), windows(), Some(Some("windows/amd64"))),
        (Some("linux/arm64"), Value::Null, Some(Some("linux/arm64"))),
    ] {
        let planned = with(platform, runtime.clone());
        let expected = built.map(|built: Option<&str>| built.map(str::to_owned));
        assert_eq!(planned.as_ref().ok(), expected.as_ref(), "{platform:?} on {runtime}: {planned:?}");
    }
}

fn built_for(plan: &Plan) -> Option<String> {
    plan.steps.iter().find_map(|step| {
        let Action::Build(build) = &step.action else { return None };
        build.platform.clone()
    })
}

#[test]
fn one_image_is_built_for_one_platform() {
    insta::assert_snapshot!(when(|spec, observed| {
        spec.services.insert(Key::new("worker"), service("web", "worker"));
        let mut worker = active("worker", &["worker"]);
        worker.definition["runtimePlatform"] = json!({ "cpuArchitecture": "X86_64" });
        observed.services.insert(Key::new("worker"), ServiceObserved::Active(Box::new(worker)));
        live(observed).definition["runtimePlatform"] = json!({ "cpuArchitecture": "ARM64" });
    }), @"refused: image web is built for linux/arm64, but the task definition of worker runs linux/amd64");
}

#[test]
fn the_sandbox_makes_up_a_definition() {
    let mut spec = spec(Place::Sandbox);
    let web = spec.services.get_mut(&Key::new("web")).expect("web");
    web.sandbox.environment.insert("MODE".to_owned(), "slow".to_owned());
    web.sandbox.stop_timeout = Duration::from_millis(1500);
    let Ok(plan) = plan(&spec, &empty_sandbox()) else { panic!("refused") };
    let register = plan.steps.iter().find_map(|step| match &step.action {
        Action::Register(register) => Some(register),
        _ => None,
    });
    let register = register.expect("a register step");
    insta::assert_snapshot!(serde_json::to_string_pretty(&register.base).expect("json"), @r#"
    {
      "family": "web",
      "networkMode": "bridge",
      "requiresCompatibilities": [
        "EC2"
      ],
      "cpu": "256",
      "memory": "512",
      "containerDefinitions": [
        {
          "name": "web",
          "image": "127.0.0.1:4517/shop/web:4f2c1d",
          "essential": true,
          "portMappings": [
            {
              "containerPort": 8080,
              "hostPort": 0,
              "protocol": "tcp"
            }
          ],
          "environment": [
            {
              "name": "MODE",
              "value": "slow"
            }
          ],
          "stopTimeout": 2,
          "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
              "awslogs-group": "/ecs/web",
              "awslogs-create-group": "true",
              "awslogs-region": "eu-west-1",
              "awslogs-stream-prefix": "ship"
            }
          }
        }
      ]
    }
    "#);
    assert_eq!(
        register.tags,
        [
            ("docker-ecs-ship:image-tag", "4f2c1d"),
            ("docker-ecs-ship:service", "web"),
            ("docker-ecs-ship:target", "shop/web"),
            ("docker-ecs-ship:definition", "sandbox")
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[test]
fn names_in_elb_keep_its_rules() {
    for name in ["web", "a-very-long-name-of-a-service-with-more-than-32-letters", "under_score", "-x-"] {
        let name = super::steps::balancer_name(&service("web", name));
        assert!(name.len() <= 32 && !name.ends_with('-'), "{name}");
        assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-'), "{name}");
    }
    let mut other = service("web", "web");
    other.cluster = Cluster::new("elsewhere");
    assert_ne!(super::steps::balancer_name(&service("web", "web")), super::steps::balancer_name(&other));
}

#[test]
fn the_drain_budget_covers_the_slowest_part() {
    let mut observed = observed();
    live(&mut observed).definition["containerDefinitions"][0]["stopTimeout"] = json!(120);
    let Ok(plan) = plan(&spec(Place::Aws), &observed) else { panic!("refused") };
    let budget = plan.steps.iter().find_map(|step| match &step.action {
        Action::Watch { terms, .. } => Some(terms.budget),
        _ => None,
    });
    let budget = budget.expect("a watch");
    assert_eq!(budget.deregistration_delay_ms, 300_000);
    assert_eq!(budget.drain_ms, (300 + 120 + 90) * 1000);
}

/// Does what a plan says to a world of plain data, as far as planning can see it.
fn apply(plan: &Plan, observed: &mut Observed) -> BTreeSet<StepId> {
    let mut produced = BTreeMap::new();
    let mut skipped = BTreeSet::new();
    for step in &plan.steps {
        let gives = match settle(step, &produced) {
            Settled::Skip { gives, .. } => {
                skipped.insert(step.id);
                gives
            }
            Settled::Do(ready) => act(ready, observed),
        };
        produced.insert(step.id, gives);
    }
    skipped
}

fn act(ready: Ready, observed: &mut Observed) -> Produced {
    match ready {
        Ready::CreateCluster { cluster } => {
            observed.clusters.insert(cluster, ClusterObserved::Active);
            Produced::Nothing
        }
        Ready::CreateRepository { .. }
        | Ready::Login { .. }
        | Ready::CheckStage { .. }
        | Ready::CheckRun { .. }
        | Ready::PushTag { .. }
        | Ready::Before { .. }
        | Ready::Watch { .. } => Produced::Nothing,
        Ready::Build(_) => Produced::Image(digest('e')),
        Ready::Copy(copy) => Produced::Digest(copy.digest),
        Ready::Configure { service, percentages, gives, .. } => {
            let Some(ServiceObserved::Active(live)) = observed.services.get_mut(&service) else {
                panic!("no {service}")
            };
            live.minimum_healthy_percent = percentages.minimum_healthy.unwrap_or(live.minimum_healthy_percent);
            live.maximum_percent = percentages.maximum.unwrap_or(live.maximum_percent);
            gives
        }
        Ready::StopDeployment { .. } => unreachable!("a deploy stops nobody's deployment"),
        Ready::CreateTargetGroup { name, .. } | Ready::CreateLoadBalancer { name, .. } => Produced::Arn(name),
        Ready::CreateListener { load_balancer, target_group, .. } => {
            Produced::Arn(format!("{load_balancer}/{target_group}"))
        }
        // One image, one digest: building the same again gives the same.
        Ready::Push { image, reference, .. } => {
            let letter = if image.as_str().len().is_multiple_of(2) { 'c' } else { 'd' };
            let digest = digest(letter);
            observed.repositories.insert(
                image,
                RepositoryObserved::Present {
                    uri: reference.name.to_string(),
                    immutable_tags: Mutability::Mutable,
                    tagged: Some(digest.clone()),
                },
            );
            Produced::Digest(digest)
        }
        Ready::Register { json, .. } => {
            let family = json["family"].as_str().expect("a family").to_owned();
            // Services may share a family; a revision is given once.
            let revision = arn(&format!("{family}:{}", 42 + observed.task_definition_files.len()));
            // Parked under the revision, for the update to find.
            observed.task_definition_files.insert(revision.as_str().into(), json);
            Produced::TaskDefinition(revision)
        }
        Ready::CreateService { service, task_definition, percentages, .. }
        | Ready::Update { service, task_definition, percentages, .. } => {
            let mut definition = observed.task_definition_files[&PathBuf::from(task_definition.as_str())].clone();
            let tags = definition.as_object_mut().and_then(|members| members.shift_remove("tags")).unwrap_or_default();
            definition["status"] = json!("ACTIVE");
            let mut live = active("web", &["web"]);
            live.target_groups.clear();
            live.tags = tags
                .as_array()
                .into_iter()
                .flatten()
                .map(|tag| ["key", "value"].map(|name| tag[name].as_str().expect("text").to_owned()))
                .map(|[key, value]| (key, value))
                .collect();
            live.definition = definition;
            live.minimum_healthy_percent = percentages.minimum_healthy.unwrap_or(live.minimum_healthy_percent);
            live.maximum_percent = percentages.maximum.unwrap_or(live.maximum_percent);
            live.deployments = vec![deployment("ecs-svc/2", "PRIMARY", "COMPLETED", &task_definition)];
            live.task_definition = task_definition.clone();
            observed.services.insert(service, ServiceObserved::Active(Box::new(live)));
            Produced::Deployment(Started {
                deployment_id: "ecs-svc/2".to_owned(),
                service_deployment: None,
                task_definition,
                previous: None,
                desired: 2,
            })
        }
    }
}

#[test]
fn a_service_is_created_behind_all_of_its_target_groups() {
    let (mut spec, mut observed) = (spec(Place::Sandbox), empty_sandbox());
    let service = spec.services.values_mut().next().expect("a service");
    let further = |name: &str, container_port| FurtherGroup {
        name: name.to_owned(),
        container: "proxy".to_owned(),
        container_port,
        health_check_path: "/ready".to_owned(),
        health_check_interval: Duration::from_secs(30),
        health_check_timeout: Duration::from_secs(5),
        healthy_threshold: 5,
        unhealthy_threshold: 2,
        matcher: "200".to_owned(),
        deregistration_delay: Duration::from_mins(5),
    };
    service.sandbox.shape.further_groups = vec![further("internal", 8081), further("metrics", 9090)];
    let Ok(plan) = plan(&spec, &observed) else { panic!("refused") };
    let made = |action: &Action| match action {
        Action::CreateService { target_groups, .. } => {
            Some(target_groups.iter().map(|one| (one.container.clone(), one.container_port)).collect::<Vec<_>>())
        }
        _ => None,
    };
    let behind = plan.steps.iter().find_map(|step| made(&step.action)).expect("it creates the service");
    assert_eq!(behind[1..], [("proxy".to_owned(), 8081), ("proxy".to_owned(), 9090)]);
    let groups: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::CreateTargetGroup { name, settings, .. } => {
                Some((name.as_str(), settings.health_check_path.as_str(), settings.deregistration_delay.as_secs()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(groups[1..3], [("internal", "/ready", 300), ("metrics", "/ready", 300)]);
    // Each behind a balancer and a listener of its own.
    let listeners = plan.steps.iter().filter(|step| matches!(step.action, Action::CreateListener { .. })).count();
    assert!(listeners >= 3, "{plan}");
    apply(&plan, &mut observed);
}

#[test]
fn an_all_skipped_run_has_nothing_to_do() {
    let (spec, mut observed) = (spec(Place::Sandbox), empty_sandbox());
    let Ok(first) = plan(&spec, &observed) else { panic!("refused") };
    assert!(!first.nothing_to_do(&apply(&first, &mut observed)));
    let Ok(second) = plan(&spec, &observed) else { panic!("refused") };
    assert!(second.nothing_to_do(&apply(&second, &mut observed)));
}

prop_compose! {
    /// Up to four services over up to three images, some of it missing, some of it in the way.
    fn any_case()(
        sandbox in any::<bool>(),
        services in prop::collection::vec((0_usize..3, any::<bool>(), 0_usize..4, any::<bool>()), 1..5),
        repositories in prop::collection::vec(0_usize..3, 3),
        create in any::<bool>(),
        cluster in any::<bool>(),
        before in any::<bool>(),
    ) -> (Spec, Observed) {
        let mut spec = spec(if sandbox { Place::Sandbox } else { Place::Aws });
        let mut observed = observed();
        spec.images.clear();
        spec.services.clear();
        observed.services.clear();
        observed.repositories.clear();
        if !cluster {
            observed.clusters.clear();
        }
        for (index, (image_index, is_file, state, shares_family)) in services.into_iter().enumerate() {
            let key = Key::new(format!("s{index}"));
            let image_key = Key::new("i".repeat(image_index + 1));
            let entry = spec.images.entry(image_key.clone()).or_insert_with(|| image(&format!("shop/{image_key}")));
            entry.missing_repository = if create { MissingRepository::Create } else { MissingRepository::Refuse };
            match repositories[image_index] {
                0 => {}
                1 => { observed.repositories.insert(image_key.clone(), present(Mutability::Mutable, None)); }
                _ => { observed.repositories.insert(image_key.clone(), present(Mutability::Mutable, Some(digest('b')))); }
            }
            let mut wanted = service(image_key.as_str(), key.as_str());
            wanted.before = if before && state % 2 == 0 { Some(migration(None)) } else { None };
            if is_file {
                let path = PathBuf::from(format!("/src/{key}.json"));
                let family = if shares_family { "shared" } else { key.as_str() };
                observed.task_definition_files.insert(
                    path.clone(),
                    json!({ "family": family, "containerDefinitions": [{ "name": "app", "image": "x" }] }),
                );
                wanted.task_definition = TaskDefinitionSource::File(path);
            }
            spec.services.insert(key.clone(), wanted);
            let seen = match state {
                0 => ServiceObserved::Missing,
                1 => ServiceObserved::Inactive { status: "INACTIVE".to_owned() },
                _ => {
                    let mut live = active(key.as_str(), &[key.as_str()]);
                    live.target_groups.clear();
                    ServiceObserved::Active(Box::new(live))
                }
            };
            observed.services.insert(key, seen);
        }
        (spec, observed)
    }
}

/// The steps an action takes values from or waits for by name.
fn named(action: &Action) -> Vec<StepId> {
    use crate::plan::step::Later;
    fn from<T>(later: &Later<T>) -> Option<StepId> {
        match later {
            Later::Known(_) => None,
            Later::From(step) => Some(*step),
        }
    }
    match action {
        Action::CreateCluster { .. }
        | Action::CreateRepository { .. }
        | Action::CreateTargetGroup { .. }
        | Action::CreateLoadBalancer { .. }
        | Action::Login { .. }
        | Action::Copy(_)
        | Action::Build(_) => Vec::new(),
        Action::Check(check) => match &check.call {
            CheckCall::Stage { .. } => Vec::new(),
            CheckCall::Run { built, .. } => from(built).into_iter().collect(),
        },
        Action::CreateListener { load_balancer, target_group, .. } => {
            from(load_balancer).into_iter().chain(from(target_group)).collect()
        }
        Action::Push { login, .. } | Action::PushTag { login, .. } => vec![*login],
        Action::Register(register) => register.images.iter().filter_map(|image| from(&image.digest)).collect(),
        Action::CreateService { task_definition, target_groups, .. } => {
            let behind = target_groups.iter().flat_map(|one| from(&one.target_group).into_iter().chain([one.listener]));
            from(task_definition).into_iter().chain(behind).collect()
        }
        Action::Before { task_definition, .. } | Action::Update { task_definition, .. } => {
            from(task_definition).into_iter().collect()
        }
        Action::Watch { deployment, .. } => from(deployment).into_iter().collect(),
        Action::StopDeployment { .. } => unreachable!("a deploy stops nobody's deployment"),
    }
}

proptest! {
    #[test]
    fn a_plan_is_in_order((spec, observed) in any_case()) {
        if let Ok(plan) = plan(&spec, &observed) {
            for (index, step) in plan.steps.iter().enumerate() {
                prop_assert_eq!(step.id, StepId(u32::try_from(index).expect("small") + 1));
                prop_assert!(step.needs.iter().all(|need| *need < step.id), "{}", step);
                for named in named(&step.action) {
                    prop_assert!(step.needs.contains(&named), "{} uses {} without needing it", step, named);
                }
                prop_assert!(!step.cause.is_empty());
            }
            let built: Vec<_> = plan.steps.iter().filter(|step| matches!(step.action, Action::Build(_))).collect();
            prop_assert_eq!(built.len(), spec.images.len());
            let watched = plan.steps.iter().filter(|step| matches!(step.action, Action::Watch { .. })).count();
            prop_assert_eq!(watched, spec.services.len());
        }
    }

    #[test]
    fn planning_never_changes_its_mind((spec, observed) in any_case()) {
        prop_assert_eq!(plan(&spec, &observed), plan(&spec, &observed));
    }

    #[test]
    fn refusals_are_about_aws_alone_or_about_what_is_gone((spec, observed) in any_case()) {
        if let Err(refusals) = plan(&spec, &observed) {
            prop_assert!(!refusals.is_empty());
            prop_assert_eq!(spec.environment.place, Place::Aws, "{:?}", refusals);
        }
    }

    #[test]
    fn applying_a_plan_leaves_nothing_to_do((spec, mut observed) in any_case()) {
        if let Ok(first) = plan(&spec, &observed) {
            apply(&first, &mut observed);
            let again = plan(&spec, &observed).expect("what was planned once is planned again");
            let skipped = apply(&again, &mut observed);
            prop_assert!(again.nothing_to_do(&skipped), "{}", again);
        }
    }
}
