//! Services as they stand, as people and programs read it.

use serde_json::json;

use super::{Telling, text};
use crate::{
    cli::{page::Paper, table::Room},
    id::{Key, TaskDefArn},
    plan::{
        diff::{TAG_FINGERPRINT, TAG_IMAGE, TAG_TARGET},
        drift,
        observed::{ServiceActive, ServiceObserved, Shipped},
        standing::{Looked, Standing, Untold},
        testing::{active, arn, definition, deployment, service},
    },
    report::{style::Style, words},
    rollout::{
        past::{ImageOfRevision, Past, RevisionOfService},
        view::{BreakerView, ContainerView, ServiceDeploymentView, TargetView, TaskView},
    },
};

const MINUTE: u64 = 60_000;
/// Now; an hour is 60 minutes before it.
const NOW: u64 = 1_000 * MINUTE;

fn past(status: &str, revision: &str, sources: &[&str], ago_min: u64, took_min: u64) -> Past {
    let of = |short: &str| RevisionOfService {
        arn: format!("arn:aws:ecs:eu-west-1:111111111111:service-revision/shop/web/{}", short.replace(':', "")),
        task_definition: Some(arn(short)),
        images: vec![ImageOfRevision {
            container: "web".to_owned(),
            image: "shop/web".to_owned(),
            digest: Some(format!("sha256:{}", "b".repeat(64))),
        }],
        running: 2,
    };
    let created = NOW - ago_min * MINUTE;
    Past {
        arn: format!(
            "arn:aws:ecs:eu-west-1:111111111111:service-deployment/shop/web/{}{ago_min}",
            revision.replace(':', "")
        ),
        status: status.to_owned(),
        reason: None,
        created_ms: Some(created),
        finished_ms: (took_min > 0).then(|| created + took_min * MINUTE),
        target: Some(of(revision)),
        sources: sources.iter().map(|short| of(short)).collect(),
        rollback_reason: None,
    }
}

fn target(number: u8, state: &str, reason: Option<&str>) -> TargetView {
    TargetView {
        target_group: "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/73e2d6bc24d8a067".to_owned(),
        address: format!("10.0.0.{number}:8080"),
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        description: None,
    }
}

fn task(number: u8, status: &str, exit_code: Option<i64>) -> TaskView {
    TaskView {
        id: format!("{number:032x}"),
        task_definition: arn("web:41"),
        started_by: None,
        last_status: status.to_owned(),
        desired_status: status.to_owned(),
        health: None,
        stop_code: exit_code.map(|_| "EssentialContainerExited".to_owned()),
        stopped_reason: exit_code.map(|_| "Essential container in task exited".to_owned()),
        created_ms: Some(NOW - 50 * MINUTE),
        started_ms: Some(NOW - 50 * MINUTE),
        stopping_ms: None,
        stopped_ms: exit_code.map(|_| NOW - 10 * MINUTE),
        containers: vec![ContainerView {
            name: "web".to_owned(),
            last_status: status.to_owned(),
            exit_code,
            reason: None,
            health: None,
        }],
        addresses: vec![format!("10.0.0.{number}:8080")],
    }
}

/// `web:41`, shipped by us two hours ago, and well.
fn well() -> Looked {
    let mut live = active("web", &["web"]);
    live.definition["registeredBy"] = json!("arn:aws:sts::111111111111:assumed-role/deploy/jane");
    let wanted = service("web", "web");
    live.tags = vec![
        (TAG_IMAGE.to_owned(), "v2-e693f2d3f768".to_owned()),
        (TAG_TARGET.to_owned(), drift::target(&wanted.cluster, &wanted.service)),
        (TAG_FINGERPRINT.to_owned(), drift::fingerprint(&live.definition)),
    ];
    live.shipped = Shipped::ThisRevision;
    Looked {
        observed: ServiceObserved::Active(Box::new(live)),
        history: Ok(vec![past("SUCCESSFUL", "web:41", &["web:40"], 123, 3)]),
        tasks: Ok(vec![task(1, "RUNNING", None), task(2, "RUNNING", None)]),
        targets: Ok(vec![target(1, "healthy", None), target(2, "healthy", None)]),
        urls: Ok(vec!["https://shop.example.com/".to_owned()]),
        before: None,
        deployment: None,
    }
}

fn live(looked: &mut Looked) -> &mut ServiceActive {
    match &mut looked.observed {
        ServiceObserved::Active(live) => live,
        other => panic!("{other:?}"),
    }
}

fn standing(key: &str, change: impl FnOnce(&mut Looked)) -> Standing {
    let mut looked = well();
    change(&mut looked);
    Standing::of(&Key::new(key), &service("web", "web"), &looked)
}

fn drawn(standings: &[Standing], width: usize) -> String {
    let telling = Telling { name: "docker ecs-ship", environment: Some("production"), now_ms: NOW };
    let room = Room { style: Style::BARE, width: Some(width) };
    let text = text(standings, telling, Paper { style: Style::BARE, width }, room);
    for line in text.lines() {
        assert!(words::columns(line) <= width, "{width}: {line}");
    }
    text
}

fn one(change: impl FnOnce(&mut Looked)) -> String {
    drawn(&[standing("web", change)], 80)
}

/// The rollout of `web:42` that began four minutes ago.
fn rolling(looked: &mut Looked) {
    let live = live(looked);
    let old = live.task_definition.clone();
    looked_at(live, "web:42");
    live.deployments = vec![
        deployment("ecs-svc/web42", "PRIMARY", "IN_PROGRESS", &arn("web:42")),
        deployment("ecs-svc/web41", "ACTIVE", "COMPLETED", &old),
    ];
    live.deployments[0].running = 1;
    let mut before = definition("web", 41, &["web"]);
    before["registeredBy"] = json!("arn:aws:sts::111111111111:assumed-role/deploy/jane");
    let tags = live.tags.clone();
    looked.before = Some(Ok((before, tags)));
    looked.history =
        Ok(vec![past("IN_PROGRESS", "web:42", &["web:41"], 4, 0), past("SUCCESSFUL", "web:41", &["web:40"], 123, 3)]);
    looked.deployment = Some(Ok(ServiceDeploymentView {
        arn: "arn:deployment".to_owned(),
        status: "IN_PROGRESS".to_owned(),
        reason: None,
        stage: None,
        breaker: Some(BreakerView { status: "MONITORING".to_owned(), failures: 1, threshold: 3 }),
        rollback_reason: None,
        alarms: Vec::new(),
        shift: None,
        hooks: Vec::new(),
        bake_ms: 0,
    }));
}

fn looked_at(live: &mut ServiceActive, revision: &str) {
    live.task_definition = arn(revision);
}

#[test]
fn a_service_that_is_well() {
    insta::assert_snapshot!(one(|_| ()), @"
    web  healthy: 2 of 2 tasks of web:41 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     2 hours ago, by deploy/jane
      targets   2 of 2 healthy in web
      last      web:41 succeeded 2 hours ago after 3m00s
      drift     none, it is as it was shipped
      answers   https://shop.example.com/
    ");
}

#[test]
fn a_rollout_that_goes_on_names_what_serves_and_how_to_watch_it() {
    insta::assert_snapshot!(one(rolling), @"
    web  rolling out: 2 of 2 tasks of web:41 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     2 hours ago, by deploy/jane
      targets   2 of 2 healthy in web
      last      web:41 succeeded 2 hours ago after 3m00s
      rollout   web:42 for 4 minutes: 1 of 2 tasks run; 1 of 3 failures that its
                circuit breaker takes
      watch     docker ecs-ship watch --environment production web
      drift     none, it is as it was shipped
      answers   https://shop.example.com/
    ");
}

#[test]
fn a_rollout_that_is_taken_back_and_one_that_drains() {
    let back = |looked: &mut Looked| {
        rolling(looked);
        looked.history.as_mut().expect("read")[0].status = "ROLLBACK_IN_PROGRESS".to_owned();
    };
    let draining = |looked: &mut Looked| {
        rolling(looked);
        live(looked).deployments[0].rollout_state = Some("COMPLETED".to_owned());
        live(looked).deployments[0].running = 2;
        let history = looked.history.as_mut().expect("read");
        history[0] = past("SUCCESSFUL", "web:42", &["web:41"], 4, 3);
        looked.deployment = None;
    };
    insta::assert_snapshot!(format!("{}\n{}", one(back), one(draining)), @"
    web  rolling back: 2 of 2 tasks of web:41 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     2 hours ago, by deploy/jane
      targets   2 of 2 healthy in web
      last      web:41 succeeded 2 hours ago after 3m00s
      rollout   web:42 for 4 minutes: ECS takes it back to web:41; 1 of 3 failures
                that its circuit breaker takes
      watch     docker ecs-ship watch --environment production web
      drift     none, it is as it was shipped
      answers   https://shop.example.com/

    web  draining: 2 of 2 tasks of web:42 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     1 minute ago, by deploy/jane
      targets   2 of 2 healthy in web
      last      web:42 succeeded 1 minute ago after 3m00s
      rollout   web:42 is live; 2 tasks of web:41 still to end
      watch     docker ecs-ship watch --environment production web
      drift     none, it is as it was shipped
      answers   https://shop.example.com/
    ");
}

#[test]
fn what_is_not_well_says_why() {
    let unwell = |looked: &mut Looked| {
        looked.targets = Ok(vec![
            target(1, "healthy", None),
            target(2, "unhealthy", Some("Target.ResponseCodeMismatch")),
            target(3, "draining", Some("Target.DeregistrationInProgress")),
        ]);
        looked.tasks.as_mut().expect("read").extend([task(3, "STOPPED", Some(137)), task(4, "STOPPED", Some(137))]);
        let mut failed = past("ROLLBACK_SUCCESSFUL", "web:42", &["web:41"], 20, 6);
        failed.rollback_reason =
            Some("Service deployment rolled back because the circuit breaker was triggered.".to_owned());
        looked.history.as_mut().expect("read").insert(0, failed);
    };
    insta::assert_snapshot!(one(unwell), @"
    web  unhealthy: 2 of 2 tasks of web:41 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     2 hours ago, by deploy/jane
      targets   1 of 2 healthy in web, 1 unhealthy (Target.ResponseCodeMismatch), 1
                draining
      died      2 tasks within the hour: web was killed after 2400 s (137, SIGKILL):
                it did not end within `stopTimeout` after SIGTERM, or was killed
                from outside
      last      web:42 rolled back 14 minutes ago after 6m00s: Service deployment
                rolled back because the circuit breaker was triggered.
      look      docker ecs-ship tasks --environment production web
      drift     none, it is as it was shipped
      answers   https://shop.example.com/
    ");
}

#[test]
fn what_may_not_be_read_is_said_and_never_taken_for_well() {
    let blind = |looked: &mut Looked| {
        let not = |action: &str| Untold(format!("{action} is not allowed"));
        looked.history = Err(not("ecs:ListServiceDeployments"));
        looked.tasks = Err(not("ecs:ListTasks"));
        looked.targets = Err(not("elasticloadbalancing:DescribeTargetHealth"));
        looked.urls = Err(not("elasticloadbalancing:DescribeTargetGroups"));
    };
    insta::assert_snapshot!(one(blind), @"
    web  running: 2 of 2 tasks of web:41 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      shipped   by deploy/jane
      drift     none, it is as it was shipped
      note      its history is not known: ecs:ListServiceDeployments is not allowed
      note      how well its tasks are is not known: ecs:ListTasks is not allowed
      note      target health is not known:
                elasticloadbalancing:DescribeTargetHealth is not allowed
      note      where it answers is not known:
                elasticloadbalancing:DescribeTargetGroups is not allowed
    ");
    let standing = standing("web", blind);
    assert_eq!(standing.healthy(), None);
    assert_eq!(standing.json(None)["not_known"].as_array().map(Vec::len), Some(4));
}

#[test]
fn what_somebody_has_changed_is_told_field_by_field() {
    let drifted = |looked: &mut Looked| {
        let shipped = definition("web", 41, &["web"]);
        let live = live(looked);
        looked_at(live, "web:42");
        live.definition = definition("web", 42, &["web"]);
        live.definition["memory"] = json!("1024");
        live.definition["containerDefinitions"][0]["environment"] = json!([{ "name": "LOG_LEVEL", "value": "debug" }]);
        live.deployments[0].task_definition = arn("web:42");
        live.shipped = Shipped::Earlier { arn: arn("web:41"), definition: shipped };
        looked.history = Ok(vec![past("SUCCESSFUL", "web:42", &["web:41"], 30, 3)]);
    };
    insta::assert_snapshot!(one(drifted), @"
    web  healthy: 2 of 2 tasks of web:42 run in cluster shop
      image     v2-e693f2d3f768 (sha256:aaaaaaaaaaaa)
      commit    e693f2d3f768
      since     27 minutes ago
      targets   2 of 2 healthy in web
      last      web:42 succeeded 27 minutes ago after 3m00s
      drift     web:42 comes from outside of docker-ecs-ship; since web:41, its last
                ship:
                ~ memory                  512 → 1024
                + environment[LOG_LEVEL]  debug
      look      docker ecs-ship plan --environment production web
      answers   https://shop.example.com/
    ");
    let same = |looked: &mut Looked| {
        drifted(looked);
        live(looked).definition = definition("web", 42, &["web"]);
    };
    assert!(one(same).contains("drift     none: web:42 is the same as web:41"), "{}", one(same));
    let foreign = |looked: &mut Looked| live(looked).shipped = Shipped::NotFound;
    assert!(one(foreign).contains("drift     not known"), "{}", one(foreign));
}

#[test]
fn a_service_that_is_not_there_and_one_of_another_controller() {
    let missing = one(|looked| *looked = Looked::absent(ServiceObserved::Missing));
    let gone = one(|looked| *looked = Looked::absent(ServiceObserved::Inactive { status: "DRAINING".to_owned() }));
    let other = one(|looked| {
        let live = live(looked);
        live.controller = "CODE_DEPLOY".to_owned();
        live.deployments.clear();
        live.task_definition = TaskDefArn::new("");
        live.definition = serde_json::Value::Null;
        live.shipped = Shipped::NotFound;
    });
    insta::assert_snapshot!(format!("{missing}{gone}{other}"), @"
    web  there is no service web in cluster shop
    web  service web in cluster shop is DRAINING
    web  CODE_DEPLOY: 2 tasks wanted in cluster shop
      targets   2 of 2 healthy in web
      last      web:41 succeeded 2 hours ago after 3m00s
      drift     not known, none of the latest revisions was shipped by
                docker-ecs-ship
      answers   https://shop.example.com/
    ");
}

#[test]
fn several_stand_in_one_table_with_a_word_about_those_that_want_attention() {
    let worker = |looked: &mut Looked| {
        live(looked).target_groups.clear();
        looked.targets = Ok(Vec::new());
        live(looked).deployments[0].running = 1;
    };
    let all = [
        standing("api", |_| ()),
        standing("web", rolling),
        standing("worker", worker),
        standing("cron", |looked| *looked = Looked::absent(ServiceObserved::Missing)),
    ];
    insta::assert_snapshot!(drawn(&all, 120), @"
    SERVICE   REVISION   IMAGE             COMMIT         BY            SINCE         TASKS   TARGETS   STATE
    api       web:41     v2-e693f2d3f768   e693f2d3f768   deploy/jane   2 hours ago   2/2     2/2       healthy
    web       web:41     v2-e693f2d3f768   e693f2d3f768   deploy/jane   2 hours ago   2/2     2/2       rolling out
    worker    web:41     v2-e693f2d3f768   e693f2d3f768   deploy/jane   2 hours ago   1/2     -         short of tasks
    cron      -          -                 -              -             -             -       -         does not exist

    web  rolling out
      rollout   web:42 for 4 minutes: 1 of 2 tasks run; 1 of 3 failures that its circuit breaker takes
      watch     docker ecs-ship watch --environment production web

    worker  short of tasks
      look      docker ecs-ship tasks --environment production worker
    ");
    insta::assert_snapshot!(drawn(&all, 80), @"
    SERVICE   REVISION   IMAGE             TASKS   TARGETS   STATE
    api       web:41     v2-e693f2d3f768   2/2     2/2       healthy
    web       web:41     v2-e693f2d3f768   2/2     2/2       rolling out
    worker    web:41     v2-e693f2d3f768   1/2     -         short of tasks
    cron      -          -                 -       -         does not exist

    web  rolling out
      rollout   web:42 for 4 minutes: 1 of 2 tasks run; 1 of 3 failures that its
                circuit breaker takes
      watch     docker ecs-ship watch --environment production web

    worker  short of tasks
      look      docker ecs-ship tasks --environment production worker
    ");
    // Nothing that says which service is how is ever left out.
    let narrow = drawn(&all, 60);
    assert!(narrow.contains("api ") && narrow.contains("healthy"), "{narrow}");
}

#[test]
fn the_json_has_all_of_it() {
    insta::assert_snapshot!(format!("{:#}", standing("web", rolling).json(Some("production"))), @r#"
    {
      "schema": 1,
      "service": "web",
      "environment": "production",
      "cluster": "shop",
      "name": "web",
      "state": "rolling_out",
      "healthy": null,
      "not_known": [],
      "revision": "web:41",
      "task_definition": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:41",
      "image": {
        "container": "web",
        "reference": "111111111111.dkr.ecr.eu-west-1.amazonaws.com/shop/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "tag": "v2-e693f2d3f768",
        "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "commit": "e693f2d3f768"
      },
      "by": "deploy/jane",
      "since_ms": 52800000,
      "controller": "ECS",
      "tasks": {
        "desired": 2,
        "running": 3,
        "unhealthy": 0
      },
      "target_groups": [
        {
          "target_group": "web",
          "healthy": 2,
          "registered": 2,
          "draining": 0,
          "not_healthy": []
        }
      ],
      "rollout": {
        "revision": "web:42",
        "previous": "web:41",
        "state": "going",
        "started_ms": 59760000,
        "running": 1,
        "desired": 2,
        "old_running": 2,
        "lifecycle_stage": null,
        "breaker": {
          "status": "MONITORING",
          "failures": 1,
          "threshold": 3
        }
      },
      "last": {
        "revision": "web:41",
        "status": "SUCCESSFUL",
        "verdict": "succeeded",
        "reason": null,
        "created_ms": 52620000,
        "finished_ms": 52800000,
        "duration_ms": 180000
      },
      "deaths": [],
      "drift": {
        "state": "none"
      },
      "urls": [
        "https://shop.example.com/"
      ]
    }
    "#);
}
