//! From what a service has been through to the way back, what that changes and the plan; and the same for a watch.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Known, Way, plan, way};
use crate::{
    config::spec::{Place, Spec},
    id::{Key, TaskDefArn},
    plan::{
        observed::{DefinitionObserved, ServiceActive, ServiceKnown, ServiceObserved},
        pick_up,
        testing::{active, arn, definition, deployment, spec},
    },
    rollout::past::{Past, RevisionOfService},
};

fn revision(short: &str, running: u32) -> RevisionOfService {
    let number = short.rsplit(':').next().expect("a revision");
    RevisionOfService {
        arn: format!("arn:aws:ecs:eu-west-1:111111111111:service-revision/shop/web/{number}"),
        task_definition: Some(arn(short)),
        running,
        ..RevisionOfService::default()
    }
}

fn past(status: &str, target: &str, sources: &[&str]) -> Past {
    Past {
        arn: format!("arn:aws:ecs:eu-west-1:111111111111:service-deployment/shop/web/{target}"),
        status: status.to_owned(),
        target: Some(revision(target, 0)),
        sources: sources.iter().map(|short| revision(short, 2)).collect(),
        ..Past::default()
    }
}

/// `web` on revision 41, which replaced 40.
fn history() -> Vec<Past> {
    vec![past("SUCCESSFUL", "web:41", &["web:40"]), past("SUCCESSFUL", "web:40", &[])]
}

fn live() -> ServiceActive {
    active("web", &["web"])
}

/// `web` on its way from 41 to 42.
fn going() -> (ServiceActive, Vec<Past>) {
    let mut live = live();
    live.task_definition = arn("web:42");
    live.definition = definition("web", 42, &["web"]);
    live.deployments = vec![
        deployment("ecs-svc/42", "PRIMARY", "IN_PROGRESS", &arn("web:42")),
        deployment("ecs-svc/41", "ACTIVE", "COMPLETED", &arn("web:41")),
    ];
    let mut history = history();
    history.insert(0, past("IN_PROGRESS", "web:42", &["web:41"]));
    (live, history)
}

fn known(live: ServiceActive, history: Option<Vec<Past>>) -> BTreeMap<Key, ServiceKnown> {
    let observed = ServiceObserved::Active(Box::new(live));
    BTreeMap::from([(Key::new("web"), ServiceKnown { observed, history })])
}

/// A definition that has a processor share of its own and is tagged with what it was made for.
fn found(revision: u64, status: &str) -> DefinitionObserved {
    let mut definition = definition("web", revision, &["web"]);
    definition["status"] = json!(status);
    definition["cpu"] = json!("512");
    let tags = vec![("docker-ecs-ship:image-tag".to_owned(), format!("v{revision}"))];
    DefinitionObserved { arn: arn(&format!("web:{revision}")), definition, tags }
}

/// The changes and the plan, or the refusals.
fn told(
    spec: &Spec,
    services: &BTreeMap<Key, ServiceKnown>,
    to: Option<&str>,
    look: impl Fn(&TaskDefArn) -> Option<DefinitionObserved>,
) -> String {
    let web = Key::new("web");
    let way = match way(&web, &spec.services[&web], services.get(&web), to, "eu-west-1") {
        Ok(way) => way,
        Err(refusal) => return format!("refused: {refusal}"),
    };
    let target = match &way {
        Way::Stop(going) => going.started.previous.as_ref().map(|previous| (web.clone(), look(previous))),
        Way::Underway(_) => None,
        Way::To(revision) => Some((web.clone(), look(revision))),
    };
    let (ways, targets) = (BTreeMap::from([(web, way)]), target.into_iter().collect());
    match plan(spec, Known { services, ways: &ways, targets: &targets, region: "eu-west-1" }) {
        Ok((plan, changes)) => {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!("{}\n---\n{plan}", changes.join("\n"))
        }
        Err(refusals) => refusals.iter().map(|refusal| format!("refused: {refusal}")).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn it_goes_to_what_ran_before_and_says_what_that_changes() {
    let services = known(live(), Some(history()));
    insta::assert_snapshot!(told(&spec(Place::Aws), &services, None, |_| Some(found(40, "ACTIVE"))), @r"
    web: web:41 → web:40 (v40)
      cpu: 256 → 512
    ---
    #1 update web  ← back to web:40, it runs web:41
    #2 roll out web  ← until the tasks of web:41 have drained  (after #1)
    ");
}

#[test]
fn what_is_going_on_is_taken_back_by_ecs() {
    let (live, history) = going();
    let services = known(live, Some(history));
    insta::assert_snapshot!(told(&spec(Place::Aws), &services, None, |_| Some(found(41, "ACTIVE"))), @r"
    web: web:42 → web:41 (v41)
      cpu: 256 → 512
    ---
    #1 stop the rollout of web  ← its rollout to web:42 is going on
    #2 roll web back  ← until what ran before it serves again  (after #1)
    ");
}

#[test]
fn what_is_being_taken_back_already_is_only_watched() {
    let (live, mut history) = going();
    history[0].status = "ROLLBACK_IN_PROGRESS".to_owned();
    let services = known(live, Some(history));
    insta::assert_snapshot!(told(&spec(Place::Aws), &services, None, |_| None), @r"
    web: web:42 → web:41
      it is being taken back already
    ---
    #1 roll web back  ← until what ran before it serves again
    ");
}

#[test]
fn where_ecs_cannot_be_asked_to_stop_the_revision_that_still_runs_is_rolled_out() {
    let services = known(going().0, None);
    insta::assert_snapshot!(told(&spec(Place::Aws), &services, None, |_| Some(found(41, "ACTIVE"))), @r"
    web: web:42 → web:41 (v41)
      cpu: 256 → 512
    ---
    #1 update web  ← back to web:41, it runs web:42
    #2 roll out web  ← until the tasks of web:42 have drained  (after #1)
    ");
}

#[test]
fn a_revision_that_is_named_is_gone_to_whatever_goes_on() {
    let (live, history) = going();
    let services = known(live, Some(history));
    for to in ["39", "web:39"] {
        let told = told(&spec(Place::Aws), &services, Some(to), |asked| {
            assert!(asked.as_str().ends_with("web:39"), "{asked:?}");
            Some(found(39, "ACTIVE"))
        });
        assert!(told.starts_with("web: web:42 → web:39 (v39)\n") && told.contains("#1 update web"), "{told}");
    }
}

#[test]
fn where_there_is_no_way_back_it_says_why() {
    let spec = spec(Place::Aws);
    let steady = known(live(), Some(history()));
    for (services, to, found, expected) in [
        (
            &known(live(), Some(Vec::new())),
            None,
            None,
            "refused: nothing ran before web:41 in service web, as far as ECS remembers",
        ),
        (
            &known(live(), None),
            None,
            None,
            "refused: what ran before in service web may not be asked: its service deployments cannot be read",
        ),
        (&steady, Some("7"), None, "refused: web:7 does not exist"),
        (
            &steady,
            None,
            Some(found(40, "INACTIVE")),
            "refused: web:40 was deregistered (it is INACTIVE), and ECS updates no service to such a revision",
        ),
        (
            &steady,
            None,
            Some(found(40, "DELETE_IN_PROGRESS")),
            "refused: web:40 was deregistered (it is INACTIVE), and ECS updates no service to such a revision",
        ),
        (&BTreeMap::new(), None, None, "refused: service web does not exist in cluster shop"),
    ] {
        assert_eq!(told(&spec, services, to, |_| found.clone()), expected);
    }
}

#[test]
fn a_watch_finds_what_goes_on_and_names_what_does_not() {
    let watched = |live: ServiceActive, history: Option<Vec<Past>>| {
        let watching = pick_up::watch(&spec(Place::Aws), &known(live, history), "eu-west-1").expect("nothing refuses");
        let idle: Vec<_> = watching.idle.iter().map(|(key, revision)| format!("idle: {key} {revision}")).collect();
        format!("{}{}", watching.plan, idle.join("\n"))
    };
    assert_eq!(watched(live(), Some(history())), "idle: web web:41");
    assert_eq!(watched(live(), None), "idle: web web:41");
    let (live, mut history) = going();
    let expected = "#1 roll out web  ← its rollout to web:42 is going on";
    assert_eq!(watched(live.clone(), Some(history.clone())), expected);
    assert_eq!(watched(live.clone(), None), expected, "by the service's own deployments");
    // ECS calls it done and an old task is still there.
    let mut draining = live.clone();
    draining.deployments[0].rollout_state = Some("COMPLETED".to_owned());
    history[0].status = "SUCCESSFUL".to_owned();
    assert_eq!(watched(draining, Some(history.clone())), expected);
    history[0].status = "ROLLBACK_IN_PROGRESS".to_owned();
    assert_eq!(watched(live, Some(history)), "#1 roll out web  ← its rollout to web:42 is being taken back");
}
