//! A step and what the steps before it gave: do it with these values, or skip it with this cause.
//!
//! Everything that only data known during the run can decide is decided here, purely; the runner
//! asks before each step and has no choice of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    diff::{self, TAG_FINGERPRINT},
    drift,
    step::{
        Action, Behind, BehindGroup, BuildAction, CheckAction, CheckCall, CheckRun, CopyAction, Going, ImagePatch,
        Later, OneOff, Percentages, Produced, RegisterAction, RolloutObserved, Running, Started, Step, Terms, Toward,
    },
};
use crate::{
    config::spec::SandboxService,
    id::{Cluster, Key, ServiceName, StepId, TaskDefArn},
    image::{Digest, Reference},
};

/// What to do with a step, now that all it waits for is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    Do(Ready),
    /// Nothing to do; `gives` stands in for what the step would have produced.
    Skip {
        cause: String,
        gives: Produced,
    },
}

/// One outside call with all its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Ready {
    CreateCluster {
        cluster: Cluster,
    },
    CreateRepository {
        repository: String,
    },
    CreateTargetGroup {
        service: Key,
        name: String,
        settings: Box<SandboxService>,
    },
    CreateLoadBalancer {
        service: Key,
        name: String,
    },
    CreateListener {
        service: Key,
        load_balancer: String,
        target_group: String,
        port: Option<u16>,
    },
    Login {
        registry: String,
    },
    Build(Box<BuildAction>),
    CheckStage {
        stage: String,
        build: Box<BuildAction>,
        timeout_ms: u64,
    },
    CheckRun {
        image: Key,
        built: Digest,
        run: CheckRun,
        timeout_ms: u64,
    },
    PushTag {
        image: Key,
        reference: Reference,
        login: StepId,
    },
    Push {
        image: Key,
        reference: Reference,
        login: StepId,
    },
    Copy(Box<CopyAction>),
    /// `json` is the whole body of `RegisterTaskDefinition`.
    Register {
        service: Key,
        json: Value,
    },
    CreateService {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        task_definition: TaskDefArn,
        target_groups: Vec<BehindGroup>,
        settings: Box<SandboxService>,
        percentages: Percentages,
    },
    Update {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        task_definition: TaskDefArn,
        deployment: NewDeployment,
        percentages: Percentages,
        /// What ran at planning time: `Started::previous` of what the call gives.
        previous: TaskDefArn,
    },
    /// The service as it is, with other percentages.
    Configure {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        percentages: Percentages,
        /// A rollout that is going already, for the watch to pick up.
        gives: Produced,
    },
    Before {
        service: Key,
        task_definition: TaskDefArn,
        one_off: OneOff,
        timeout_ms: u64,
    },
    StopDeployment {
        service: Key,
        going: Going,
    },
    Watch {
        service: Key,
        cluster: Cluster,
        name: ServiceName,
        started: Started,
        terms: Terms,
        toward: Toward,
    },
}

/// Whether `UpdateService` must be told to start a deployment although nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewDeployment {
    /// Another revision starts one by itself.
    ByRevision,
    /// `forceNewDeployment`.
    Forced,
}

/// What a run that skipped every step that could change something says at its end.
pub const NOTHING_TO_DO: &str = "nothing to do";

/// Settles one step.
///
/// # Panics
///
/// When `produced` lacks what the step waits for: the plan was walked out of order, a bug.
#[must_use]
pub fn settle(step: &Step, produced: &BTreeMap<StepId, Produced>) -> Settled {
    let earlier = Earlier { produced };
    let ready = match &step.action {
        Action::CreateCluster { cluster } => Ready::CreateCluster { cluster: cluster.clone() },
        Action::CreateRepository { repository } => Ready::CreateRepository { repository: repository.clone() },
        Action::CreateTargetGroup { service, name, settings } => {
            Ready::CreateTargetGroup { service: service.clone(), name: name.clone(), settings: settings.clone() }
        }
        Action::CreateLoadBalancer { service, name } => {
            Ready::CreateLoadBalancer { service: service.clone(), name: name.clone() }
        }
        Action::CreateListener { service, load_balancer, target_group, port } => Ready::CreateListener {
            service: service.clone(),
            load_balancer: earlier.arn(load_balancer),
            target_group: earlier.arn(target_group),
            port: *port,
        },
        Action::Login { registry } => Ready::Login { registry: registry.clone() },
        Action::Build(build) => Ready::Build(build.clone()),
        Action::Check(check) => settle_check(check, &earlier),
        Action::PushTag { image, reference, login } => {
            Ready::PushTag { image: image.clone(), reference: reference.clone(), login: *login }
        }
        Action::Push { image, reference, login } => {
            Ready::Push { image: image.clone(), reference: reference.clone(), login: *login }
        }
        Action::Copy(copy) => Ready::Copy(copy.clone()),
        Action::Register(register) => return settle_register(register, &earlier),
        Action::CreateService { service, cluster, name, task_definition, target_groups, settings, percentages } => {
            // The listener is waited for, not used.
            let behind = |Behind { target_group, container, container_port, listener: _ }: &Behind| BehindGroup {
                target_group: earlier.arn(target_group),
                container: container.clone(),
                container_port: *container_port,
            };
            Ready::CreateService {
                service: service.clone(),
                cluster: cluster.clone(),
                name: name.clone(),
                task_definition: earlier.revision(task_definition),
                target_groups: target_groups.iter().map(behind).collect(),
                settings: settings.clone(),
                percentages: *percentages,
            }
        }
        Action::Update { service, cluster, name, task_definition, running, percentages } => {
            let task_definition = earlier.revision(task_definition);
            let deployment = match settle_update(&task_definition, running) {
                UpdateRule::Start(deployment) => deployment,
                UpdateRule::Skip { cause, gives } => {
                    let percentages = running.unlike(*percentages);
                    if percentages == Percentages::default() {
                        return Settled::Skip { cause, gives };
                    }
                    let (service, cluster, name) = (service.clone(), cluster.clone(), name.clone());
                    return Settled::Do(Ready::Configure { service, cluster, name, percentages, gives });
                }
            };
            Ready::Update {
                service: service.clone(),
                cluster: cluster.clone(),
                name: name.clone(),
                task_definition,
                deployment,
                percentages: *percentages,
                previous: running.task_definition.clone(),
            }
        }
        Action::Before { service, task_definition, one_off, timeout_ms, running } => {
            let task_definition = earlier.revision(task_definition);
            // A rollout that is picked up, or tried once more, had it before it began.
            if running.as_ref() == Some(&task_definition) {
                return Settled::Skip { cause: format!("{task_definition} runs already"), gives: Produced::Nothing };
            }
            Ready::Before {
                service: service.clone(),
                task_definition,
                one_off: one_off.clone(),
                timeout_ms: *timeout_ms,
            }
        }
        Action::StopDeployment { service, going } => {
            Ready::StopDeployment { service: service.clone(), going: going.clone() }
        }
        Action::Watch { service, cluster, name, deployment, terms, toward } => {
            let Some(started) = earlier.started(deployment) else {
                return Settled::Skip { cause: "nothing was rolled out".to_owned(), gives: Produced::Nothing };
            };
            Ready::Watch {
                service: service.clone(),
                cluster: cluster.clone(),
                name: name.clone(),
                started,
                terms: *terms,
                toward: *toward,
            }
        }
    };
    Settled::Do(ready)
}

fn settle_check(check: &CheckAction, earlier: &Earlier) -> Ready {
    let CheckAction { image, call, timeout_ms } = check;
    match call {
        CheckCall::Stage { stage, build } => {
            Ready::CheckStage { stage: stage.clone(), build: build.clone(), timeout_ms: *timeout_ms }
        }
        CheckCall::Run { built, run } => Ready::CheckRun {
            image: image.clone(),
            built: earlier.image(built),
            run: run.clone(),
            timeout_ms: *timeout_ms,
        },
    }
}

fn settle_register(register: &RegisterAction, earlier: &Earlier) -> Settled {
    let RegisterAction { service, base, tags, images, compare_to } = register;
    let mut definition = base.clone();
    for image in images {
        patch(&mut definition, image, &earlier.digest(&image.digest));
    }
    if let Some(live) = compare_to
        // No service can be updated to a revision that was deregistered, not even back to it.
        && live.definition.get("status").and_then(Value::as_str).is_none_or(|status| status == "ACTIVE")
        && diff::equal(&live.definition, &definition)
    {
        let gives = Produced::TaskDefinition(live.arn.clone());
        return Settled::Skip { cause: format!("the same as {}", live.arn), gives };
    }
    // Only now is all of it known.
    let tags = diff::with_tag(tags.clone(), TAG_FINGERPRINT, &drift::fingerprint(&definition));
    Settled::Do(Ready::Register { service: service.clone(), json: diff::register_input(&definition, &tags) })
}

fn patch(definition: &mut Value, image: &ImagePatch, digest: &Digest) {
    let containers = definition.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if container.get("name").and_then(Value::as_str) == Some(&image.container) {
            // The digest alone: it needs no resolving, is the same for every task, and outlives a tag
            // that moves. The pushed image keeps its tag, so that no lifecycle policy takes it for untagged.
            container["image"] = Value::String(Reference::pinned(image.name.clone(), digest.clone()).to_string());
        }
    }
}

/// How to update, or why not to.
enum UpdateRule {
    Start(NewDeployment),
    Skip { cause: String, gives: Produced },
}

/// The rule of an update.
///
/// | the new revision is | last rollout | |
/// |---|---|---|
/// | another | any | update |
/// | what runs | complete | skip: nothing to do |
/// | what runs | going | skip: the watch picks it up |
/// | what runs | failed | update, and force ECS to try once more |
///
/// Where it skips, percentages that differ from those of the service are sent alone.
///
/// Checked by `an_update_follows_its_table`.
fn settle_update(task_definition: &TaskDefArn, running: &Running) -> UpdateRule {
    if *task_definition != running.task_definition {
        return UpdateRule::Start(NewDeployment::ByRevision);
    }
    match (running.rollout, &running.deployment) {
        (RolloutObserved::Complete, _) => {
            UpdateRule::Skip { cause: format!("{task_definition} runs already"), gives: Produced::Nothing }
        }
        (RolloutObserved::Going, Some(deployment)) => UpdateRule::Skip {
            cause: "its rollout is already going".to_owned(),
            gives: Produced::Deployment(Started {
                deployment_id: deployment.clone(),
                service_deployment: None,
                task_definition: task_definition.clone(),
                previous: running.previous.clone(),
                desired: running.desired,
            }),
        },
        // Without an id there is nothing to pin a watch to; the answer of the call names one.
        (RolloutObserved::Going, None) => UpdateRule::Start(NewDeployment::ByRevision),
        (RolloutObserved::Failed, _) => UpdateRule::Start(NewDeployment::Forced),
    }
}

/// What the steps before gave.
struct Earlier<'a> {
    produced: &'a BTreeMap<StepId, Produced>,
}

impl Earlier<'_> {
    fn arn(&self, later: &Later<String>) -> String {
        match later {
            Later::Known(arn) => arn.clone(),
            Later::From(step) => match self.produced.get(step) {
                Some(Produced::Arn(arn)) => arn.clone(),
                other => wrong(*step, "an ARN", other),
            },
        }
    }

    fn image(&self, later: &Later<Digest>) -> Digest {
        match later {
            Later::Known(id) => id.clone(),
            Later::From(step) => match self.produced.get(step) {
                Some(Produced::Image(id)) => id.clone(),
                other => wrong(*step, "an image", other),
            },
        }
    }

    fn digest(&self, later: &Later<Digest>) -> Digest {
        match later {
            Later::Known(digest) => digest.clone(),
            Later::From(step) => match self.produced.get(step) {
                Some(Produced::Digest(digest)) => digest.clone(),
                other => wrong(*step, "a digest", other),
            },
        }
    }

    fn revision(&self, later: &Later<TaskDefArn>) -> TaskDefArn {
        match later {
            Later::Known(arn) => arn.clone(),
            Later::From(step) => match self.produced.get(step) {
                Some(Produced::TaskDefinition(arn)) => arn.clone(),
                other => wrong(*step, "a task definition", other),
            },
        }
    }

    /// `None`: the update had nothing to do.
    fn started(&self, later: &Later<Started>) -> Option<Started> {
        match later {
            Later::Known(started) => Some(started.clone()),
            Later::From(step) => match self.produced.get(step) {
                Some(Produced::Deployment(started)) => Some(started.clone()),
                Some(Produced::Nothing) => None,
                other => wrong(*step, "a deployment", other),
            },
        }
    }
}

fn wrong(step: StepId, wanted: &str, got: Option<&Produced>) -> ! {
    panic!("step {step} should have given {wanted}, it gave {got:?}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{NewDeployment, Ready, Settled, settle};
    use crate::{
        id::{Cluster, Key, ServiceName, StepId, TaskDefArn},
        image::{Digest, ImageName},
        plan::{
            observed::LaunchObserved,
            step::{
                Action, ImagePatch, Later, LiveDefinition, OneOff, Percentages, Produced, RegisterAction,
                RolloutObserved, Running, Started, Step, Terms, WatchBudget,
            },
        },
    };

    fn arn(short: &str) -> TaskDefArn {
        TaskDefArn::new(format!("arn:aws:ecs:eu-west-1:111111111111:task-definition/{short}"))
    }

    fn digest(letter: char) -> Digest {
        format!("sha256:{}", letter.to_string().repeat(64)).parse().expect("a digest")
    }

    fn step(action: Action) -> Step {
        Step { id: StepId(9), action, cause: "new image".to_owned(), needs: vec![StepId(1)] }
    }

    fn given(produced: Produced) -> BTreeMap<StepId, Produced> {
        BTreeMap::from([(StepId(1), produced)])
    }

    fn register(live: Value) -> Step {
        let containers = json!([{ "name": "web", "image": "old", "odd": [1.50] }, { "name": "log", "image": "l" }]);
        step(Action::Register(Box::new(RegisterAction {
            service: Key::new("web"),
            base: json!({ "family": "web", "containerDefinitions": containers }),
            tags: vec![("team".to_owned(), "shop".to_owned())],
            images: vec![ImagePatch {
                container: "web".to_owned(),
                name: ImageName { registry: "r".to_owned(), repository: "shop/web".to_owned() },
                tag: "4f2c1d".parse().expect("a tag"),
                digest: Later::From(StepId(1)),
            }],
            compare_to: Some(LiveDefinition { arn: arn("web:41"), definition: live }),
        })))
    }

    fn live(status: &str, letter: char) -> Value {
        let image = format!("r/shop/web@{}", digest(letter));
        json!({
            "family": "web", "status": status, "revision": 41,
            "containerDefinitions": [{ "name": "web", "image": image, "cpu": 0, "odd": [1.50] }, { "name": "log", "image": "l" }],
        })
    }

    #[test]
    fn what_is_live_already_is_not_registered_again() {
        let settled = settle(&register(live("ACTIVE", 'a')), &given(Produced::Digest(digest('a'))));
        let gives = Produced::TaskDefinition(arn("web:41"));
        assert_eq!(settled, Settled::Skip { cause: "the same as web:41".to_owned(), gives });
    }

    #[test]
    fn another_image_is_registered_by_its_digest_and_nothing_else_changes() {
        for live in [live("ACTIVE", 'a'), live("INACTIVE", 'b')] {
            let settled = settle(&register(live), &given(Produced::Digest(digest('b'))));
            let Settled::Do(Ready::Register { json, .. }) = settled else { panic!("{settled:?}") };
            insta::allow_duplicates! {
                insta::assert_snapshot!(json, @r#"{"family":"web","containerDefinitions":[{"name":"web","image":"r/shop/web@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","odd":[1.5]},{"name":"log","image":"l"}],"tags":[{"key":"team","value":"shop"},{"key":"docker-ecs-ship:fingerprint","value":"2cb845df204f6bb2df3bd0a1ea191e81"}]}"#);
            }
        }
    }

    fn update(rollout: RolloutObserved, deployment: Option<&str>) -> Step {
        step(Action::Update {
            service: Key::new("web"),
            cluster: Cluster::new("shop"),
            name: ServiceName::new("web"),
            task_definition: Later::From(StepId(1)),
            running: Running {
                task_definition: arn("web:41"),
                rollout,
                deployment: deployment.map(str::to_owned),
                previous: Some(arn("web:40")),
                desired: 2,
                minimum_healthy_percent: 100,
                maximum_percent: 200,
            },
            percentages: Percentages::default(),
        })
    }

    #[test]
    fn a_task_before_a_rollout_runs_for_a_revision_that_does_not_run_yet() {
        let before = |running: Option<&str>| {
            step(Action::Before {
                service: Key::new("web"),
                task_definition: Later::From(StepId(1)),
                one_off: OneOff {
                    cluster: Cluster::new("shop"),
                    container: "web".to_owned(),
                    command: vec!["rake".to_owned()],
                    launch: LaunchObserved::default(),
                },
                timeout_ms: 1_000,
                running: running.map(arn),
            })
        };
        let registered = given(Produced::TaskDefinition(arn("web:42")));
        for running in [Some("web:41"), None] {
            match settle(&before(running), &registered) {
                Settled::Do(Ready::Before { task_definition, timeout_ms: 1_000, .. }) => {
                    assert_eq!(task_definition, arn("web:42"));
                }
                other => panic!("{other:?}"),
            }
        }
        // A rollout that is picked up, or tried once more, had it before it began.
        match settle(&before(Some("web:42")), &registered) {
            Settled::Skip { cause, gives: Produced::Nothing } => assert_eq!(cause, "web:42 runs already"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn percentages_that_differ_are_set_without_a_rollout() {
        use RolloutObserved::{Complete, Failed, Going};
        let with = |rollout, minimum_healthy, maximum, revision: &str| {
            let mut update = update(rollout, Some("ecs-svc/1"));
            if let Action::Update { percentages, .. } = &mut update.action {
                *percentages = Percentages { minimum_healthy, maximum };
            }
            match settle(&update, &given(Produced::TaskDefinition(arn(revision)))) {
                Settled::Do(Ready::Configure { percentages, gives, .. }) => {
                    let watched = matches!(gives, Produced::Deployment(_));
                    format!("{:?} {:?}, watch: {watched}", percentages.minimum_healthy, percentages.maximum)
                }
                Settled::Do(Ready::Update { percentages, .. }) => {
                    format!("roll out with {:?} {:?}", percentages.minimum_healthy, percentages.maximum)
                }
                Settled::Skip { cause, .. } => cause,
                other @ Settled::Do(_) => panic!("{other:?}"),
            }
        };
        assert_eq!(with(Complete, Some(50), Some(200), "web:41"), "Some(50) None, watch: false");
        assert_eq!(with(Complete, None, Some(150), "web:41"), "None Some(150), watch: false");
        assert_eq!(with(Going, Some(50), None, "web:41"), "Some(50) None, watch: true");
        assert_eq!(with(Complete, Some(100), Some(200), "web:41"), "web:41 runs already");
        assert_eq!(with(Complete, Some(50), None, "web:42"), "roll out with Some(50) None");
        assert_eq!(with(Failed, Some(50), None, "web:41"), "roll out with Some(50) None");
    }

    #[test]
    fn an_update_follows_its_table() {
        use RolloutObserved::{Complete, Failed, Going};
        for (revision, rollout, deployment, told) in [
            ("web:42", Complete, Some("ecs-svc/1"), "update ByRevision"),
            ("web:42", Going, Some("ecs-svc/1"), "update ByRevision"),
            ("web:42", Failed, Some("ecs-svc/1"), "update ByRevision"),
            ("web:41", Complete, Some("ecs-svc/1"), "skip: web:41 runs already"),
            ("web:41", Going, Some("ecs-svc/1"), "skip: its rollout is already going, watch ecs-svc/1"),
            ("web:41", Going, None, "update ByRevision"),
            ("web:41", Failed, Some("ecs-svc/1"), "update Forced"),
        ] {
            let settled = settle(&update(rollout, deployment), &given(Produced::TaskDefinition(arn(revision))));
            let got = match settled {
                Settled::Do(Ready::Update { deployment, .. }) => {
                    format!("update {}", if deployment == NewDeployment::Forced { "Forced" } else { "ByRevision" })
                }
                Settled::Skip { cause, gives: Produced::Deployment(started) } => {
                    assert_eq!(started.previous, Some(arn("web:40")));
                    format!("skip: {cause}, watch {}", started.deployment_id)
                }
                Settled::Skip { cause, .. } => format!("skip: {cause}"),
                other @ Settled::Do(_) => panic!("{other:?}"),
            };
            assert_eq!(got, told, "{revision} {rollout:?}");
        }
    }

    #[test]
    fn a_watch_follows_what_was_started_and_nothing_else() {
        let watch = step(Action::Watch {
            service: Key::new("web"),
            cluster: Cluster::new("shop"),
            name: ServiceName::new("web"),
            deployment: Later::From(StepId(1)),
            terms: Terms::within(WatchBudget {
                no_progress_ms: 1,
                total_ms: 2,
                drain_ms: 3,
                deregistration_delay_ms: 4,
            }),
            toward: crate::plan::step::Toward::New,
        });
        assert!(matches!(settle(&watch, &given(Produced::Nothing)), Settled::Skip { gives: Produced::Nothing, .. }));
        let started = Started {
            deployment_id: "ecs-svc/2".to_owned(),
            service_deployment: None,
            task_definition: arn("web:42"),
            previous: None,
            desired: 2,
        };
        let settled = settle(&watch, &given(Produced::Deployment(started.clone())));
        assert!(matches!(settled, Settled::Do(Ready::Watch { started: got, .. }) if got == started));
    }

    #[test]
    #[should_panic(expected = "step #1 should have given a digest")]
    fn a_plan_walked_out_of_order_is_a_bug() {
        let _ = settle(&register(Value::Null), &BTreeMap::new());
    }
}
