//! The first half of a rehearsal: the plan that `deploy` would walk in an empty sandbox, changed so that
//! it brings up what the new image is to replace.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    id::StepId,
    plan::step::{Action, Later, Plan, RegisterAction, Step},
};

/// What is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// An image the engine has, by this reference.
    Image(String),
    /// The very image that is built: nothing is live, or nothing of it could be had.
    Itself,
}

/// A mark that makes the revision another one than the deploy after it registers, whatever else is the same.
const LABEL: &str = "ecs-ship.rehearsal";

/// The plan with its tasks started from the baseline. What only the new image needs is left out.
#[must_use]
pub fn of(mut plan: Plan, baseline: &Baseline) -> Plan {
    let kept: Vec<Step> = std::mem::take(&mut plan.steps)
        .into_iter()
        .filter(|step| match &step.action {
            Action::CreateRepository { .. }
            | Action::Login { .. }
            | Action::Build(_)
            | Action::Push { .. }
            | Action::PushTag { .. }
            | Action::Copy(_) => *baseline == Baseline::Itself,
            // It prepares the world for the new image, or judges it, and belongs to its rollout.
            Action::Before { .. } | Action::Check(_) => false,
            Action::CreateCluster { .. }
            | Action::CreateTargetGroup { .. }
            | Action::CreateLoadBalancer { .. }
            | Action::CreateListener { .. }
            | Action::Register(_)
            | Action::CreateService { .. }
            | Action::Update { .. }
            | Action::StopDeployment { .. }
            | Action::Watch { .. } => true,
        })
        .collect();
    // Ids are dense and in order, and so they stay.
    let numbers: BTreeMap<StepId, StepId> = (1..).zip(&kept).map(|(number, step)| (step.id, StepId(number))).collect();
    let steps = kept.into_iter().map(|step| renumbered(started_from(step, baseline), &numbers)).collect();
    Plan { steps, ..plan }
}

fn started_from(mut step: Step, baseline: &Baseline) -> Step {
    if let Action::Register(register) = &mut step.action {
        let RegisterAction { base, images, .. } = &mut **register;
        for container in base["containerDefinitions"].as_array_mut().into_iter().flatten() {
            if !container["dockerLabels"].is_object() {
                container["dockerLabels"] = json!({});
            }
            container["dockerLabels"][LABEL] = json!("before");
            let gets_image = images.iter().any(|image| container["name"] == image.container.as_str());
            if let (Baseline::Image(reference), true) = (baseline, gets_image) {
                container["image"] = Value::String(reference.clone());
            }
        }
        if let Baseline::Image(reference) = baseline {
            images.clear();
            step.cause = format!("what is replaced: {reference}");
        }
    }
    step
}

fn renumbered(mut step: Step, numbers: &BTreeMap<StepId, StepId>) -> Step {
    let known = |id: &StepId| *numbers.get(id).expect("what a kept step takes a value from is kept");
    step.id = known(&step.id);
    step.needs = step.needs.iter().filter_map(|need| numbers.get(need).copied()).collect();
    match &mut step.action {
        Action::CreateListener { load_balancer, target_group, .. } => {
            renumber(load_balancer, known);
            renumber(target_group, known);
        }
        Action::Push { login, .. } | Action::PushTag { login, .. } => *login = known(login),
        Action::Register(register) => register.images.iter_mut().for_each(|image| renumber(&mut image.digest, known)),
        Action::CreateService { task_definition, target_groups, .. } => {
            renumber(task_definition, known);
            for behind in target_groups {
                renumber(&mut behind.target_group, known);
                behind.listener = known(&behind.listener);
            }
        }
        Action::Before { task_definition, .. } | Action::Update { task_definition, .. } => {
            renumber(task_definition, known);
        }
        Action::Watch { deployment, .. } => renumber(deployment, known),
        Action::CreateCluster { .. }
        | Action::CreateRepository { .. }
        | Action::CreateTargetGroup { .. }
        | Action::CreateLoadBalancer { .. }
        | Action::Login { .. }
        | Action::StopDeployment { .. }
        | Action::Copy(_)
        | Action::Build(_)
        // Left out above.
        | Action::Check(_) => {}
    }
    step
}

fn renumber<T>(later: &mut Later<T>, known: impl Fn(&StepId) -> StepId) {
    if let Later::From(step) = later {
        *step = known(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::spec::{Builder, Release, SandboxService},
        id::{Cluster, Key, ServiceName},
        image::{ImageName, Reference, Tag},
        plan::step::{Behind, BuildAction, ImagePatch, Percentages, Terms, Toward, WatchBudget},
    };

    fn plan() -> Plan {
        let key = || Key::new("web");
        let name = || ImageName { registry: "127.0.0.1:4517".to_owned(), repository: "web".to_owned() };
        let tag = || "v2".parse::<Tag>().expect("a tag");
        let reference = || Reference::tagged(name(), tag());
        let build = BuildAction {
            image: key(),
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            platform: None,
            tags: vec![reference()],
            builder: Builder::Auto,
        };
        let register = RegisterAction {
            service: key(),
            base: json!({ "family": "web", "containerDefinitions": [
                { "name": "web", "image": "web:v2" }, { "name": "proxy", "image": "nginx", "dockerLabels": { "a": "b" } }
            ] }),
            tags: Vec::new(),
            images: vec![ImagePatch {
                container: "web".to_owned(),
                name: name(),
                tag: tag(),
                digest: Later::From(StepId(5)),
            }],
            compare_to: None,
        };
        let settings = || Box::new(SandboxService::default());
        let budget = WatchBudget { no_progress_ms: 1, total_ms: 1, drain_ms: 1, deregistration_delay_ms: 1 };
        let actions = [
            (Action::CreateCluster { cluster: Cluster::new("jobs") }, vec![]),
            (Action::CreateRepository { repository: "web".to_owned() }, vec![]),
            (Action::Login { registry: "127.0.0.1:4517".to_owned() }, vec![]),
            (Action::Build(Box::new(build)), vec![3]),
            (Action::Push { image: key(), reference: reference(), login: StepId(3) }, vec![2, 3, 4]),
            (Action::Register(Box::new(register)), vec![5]),
            (Action::CreateTargetGroup { service: key(), name: "web".to_owned(), settings: settings() }, vec![]),
            (
                Action::CreateService {
                    service: key(),
                    cluster: Cluster::new("jobs"),
                    name: ServiceName::new("web"),
                    task_definition: Later::From(StepId(6)),
                    target_groups: vec![Behind {
                        target_group: Later::From(StepId(7)),
                        container: "web".to_owned(),
                        container_port: 80,
                        listener: StepId(7),
                    }],
                    settings: settings(),
                    percentages: Percentages::default(),
                },
                vec![1, 6, 7],
            ),
            (
                Action::Watch {
                    service: key(),
                    cluster: Cluster::new("jobs"),
                    name: ServiceName::new("web"),
                    deployment: Later::From(StepId(8)),
                    toward: Toward::New,
                    terms: Terms::within(budget),
                },
                vec![8],
            ),
        ];
        let step = |(number, (action, needs)): (u32, (Action, Vec<u32>))| Step {
            id: StepId(number),
            action,
            cause: "because".to_owned(),
            needs: needs.into_iter().map(StepId).collect(),
        };
        Plan { steps: (1..).zip(actions).map(step).collect(), release: Release::default() }
    }

    fn registered(plan: &Plan) -> &RegisterAction {
        let found = plan.steps.iter().find_map(|step| match &step.action {
            Action::Register(register) => Some(register),
            _ => None,
        });
        found.expect("it registers")
    }

    #[test]
    fn an_image_that_is_there_is_neither_built_nor_pushed() {
        let plan = of(plan(), &Baseline::Image("web@sha256:old".to_owned()));
        insta::assert_snapshot!(plan, @r"
        #1 create cluster jobs  ← because
        #2 register web  ← what is replaced: web@sha256:old
        #3 create target group web  ← because
        #4 create service web  ← because  (after #1, #2, #3)
        #5 roll out web  ← because  (after #4)
        ");
        let register = registered(&plan);
        assert_eq!(register.images, []);
        assert_eq!(register.base["containerDefinitions"][0]["image"], "web@sha256:old");
        assert_eq!(register.base["containerDefinitions"][1]["image"], "nginx");
    }

    #[test]
    fn the_new_image_that_replaces_itself_is_another_revision_all_the_same() {
        let before = plan();
        let after = of(plan(), &Baseline::Itself);
        assert_eq!(after.to_string(), before.to_string());
        let (before, after) = (registered(&before), registered(&after));
        assert_eq!(before.images, after.images);
        assert!(!crate::plan::diff::equal(&before.base, &after.base));
        assert_eq!(after.base["containerDefinitions"][1]["dockerLabels"], json!({ "a": "b", LABEL: "before" }));
    }
}
