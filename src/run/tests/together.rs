//! Several services in one run, and rollouts that are interrupted.

use super::*;
use crate::{plan::step::OnInterrupt, rollout::goal::DoneWhen};

/// Two services, each with its first revision; every later one of the worker crashes.
async fn two() -> Lab {
    two_at(SPEED).await
}

async fn two_at(speed: f64) -> Lab {
    let lab = Lab::where_tasks_die("worker", speed).await;
    let mut steps = first_steps("app", 0, SHORT);
    steps.extend(first_steps("worker", 10, SHORT));
    let walked = lab.walk(&Plan { steps, release: Release::AllOrNothing }).await;
    assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
    lab
}

/// The next revision of both.
async fn both(lab: &Lab, on_failure: OnFailure, release: Release) -> Plan {
    let terms = Terms { on_failure, ..terms(BUDGET) };
    let mut steps = next_steps(0, lab.live().await, definition("256"), terms);
    steps.extend(next_steps(10, lab.live_of("worker").await, definition_of("worker", "256"), terms));
    Plan { steps, release }
}

fn words(walked: &Walked) -> Vec<(Live, String)> {
    walked.outcome.live.iter().map(|live| (live.live, live.words.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_release_that_is_all_or_nothing_one_failure_takes_all_back() {
    // Slow enough for the watcher to see two tasks that have died before ECS's breaker has counted three.
    let lab = two_at(30.0).await;
    let plan = both(&lab, OnFailure::TakeBack, Release::AllOrNothing).await;
    let walked = lab.walk(&plan).await;
    assert_eq!(
        words(&walked),
        [
            (Live::Unchanged, "app:1 still serves all traffic, app:2 (v2) was rolled back".to_owned()),
            (Live::Unchanged, "worker:1 still serves all traffic, worker:2 (v2) was rolled back".to_owned()),
        ]
    );
    assert_eq!(walked.outcome.exit, Exit::RolloutFailed);
    let note = |step: u32| {
        walked.records.iter().find_map(|record| match &record.event {
            Event::Failed { step: failed, note, .. } if *failed == StepId(step) => Some(note.clone()),
            _ => None,
        })
    };
    assert!(note(13).unwrap().contains("app exited (1)"), "{:?}", note(13));
    let why = "roll out worker failed, and the release is all or nothing";
    assert!(note(3).unwrap().contains(why), "{:?}", note(3));
    // And ECS says the same.
    for (name, revision) in [("app", "app:1"), ("worker", "worker:1")] {
        let view = ecs::view_service(&lab.hands.aws, &cluster(), &ServiceName::new(name)).await.unwrap().unwrap();
        let primary = view.deployments.iter().find(|deployment| deployment.status == "PRIMARY").unwrap();
        assert_eq!(primary.task_definition.short(), revision);
    }
}

/// The other one has ended well long before; it waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_had_ended_well_is_taken_back_too() {
    let lab = two().await;
    // ECS and its breaker decide about the worker, which takes longer than a whole rollout.
    let mut plan = both(&lab, OnFailure::Wait, Release::AllOrNothing).await;
    if let Action::Watch { terms, .. } = &mut plan.steps[2].action {
        terms.done_when = DoneWhen::Live;
    }
    let walked = lab.walk(&plan).await;
    let waited = walked.records.iter().any(|record| {
        matches!(&record.event, Event::Told { progress: Progress::WaitingForOthers { others, .. }, .. }
            if *others == [Key::new("worker")])
    });
    assert!(waited, "app waits for the worker");
    let lives: Vec<_> = walked.outcome.live.iter().map(|live| live.live).collect();
    assert_eq!((lives, walked.outcome.exit), (vec![Live::Unchanged, Live::Unchanged], Exit::RolloutFailed));
}

#[tokio::test(flavor = "multi_thread")]
async fn independent_services_do_not_mind_each_other() {
    let lab = two().await;
    let plan = both(&lab, OnFailure::TakeBack, Release::Independent).await;
    let walked = lab.walk(&plan).await;
    let lives: Vec<_> = walked.outcome.live.iter().map(|live| live.live).collect();
    assert_eq!((lives, walked.outcome.exit), (vec![Live::New, Live::Unchanged], Exit::RolloutFailed));
}

fn starts(event: &Event) -> bool {
    matches!(event, Event::Told { progress: Progress::Phase { to: Phase::Starting, .. }, .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rollout_is_taken_back_where_that_is_asked_for() {
    let lab = Lab::shipped(SHORT).await;
    let (arn, _) = lab.live().await;
    let terms = Terms { on_interrupt: OnInterrupt::TakeBack, ..terms(BUDGET) };
    let steps = next_steps(0, lab.live().await, definition("256"), terms);
    let walked = lab.walk_until(&Plan { steps, release: Release::Independent }, starts).await;
    let last_line = "deploy: cancelled after 0.0s; ECS takes app:2 (v2) back to app:1";
    assert_eq!(walked.told(), (Exit::Cancelled, vec![Live::Mixed], last_line.to_owned()));
    // It was asked once, and does it.
    let back = async {
        loop {
            let view = ecs::view_service(&lab.hands.aws, &cluster(), &service()).await.unwrap().unwrap();
            let primary = view.deployments.iter().find(|deployment| deployment.status == "PRIMARY").unwrap();
            if primary.task_definition == arn && primary.rollout_state.as_deref() == Some("COMPLETED") {
                return;
            }
            beat().await;
        }
    };
    timeout(LIMIT, back).await.expect("the old revision is rolled out again");
}

/// `on_failure = "leave"` in a release that is all or nothing: the one that fails is left as it is for somebody to look at,
/// and the others are taken back all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_as_it_is_takes_the_others_back_all_the_same() {
    let lab = two().await;
    let mut plan = both(&lab, OnFailure::Leave, Release::AllOrNothing).await;
    if let Action::Watch { terms, .. } = &mut plan.steps[2].action {
        terms.on_failure = OnFailure::TakeBack;
    }
    let walked = lab.walk(&plan).await;
    let lives: Vec<_> = walked.outcome.live.iter().map(|live| live.live).collect();
    assert_eq!(lives[0], Live::Unchanged, "{:?}", walked.outcome.live);
    assert_eq!(walked.outcome.exit, Exit::RolloutFailed);
    let taken: Vec<_> = walked
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Told { progress: Progress::TakingBack { service, .. }, .. } => Some(service.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(taken, ["app"], "only what did not fail is taken back");
}

/// Interrupted while one of the two has ended well and waits for the other: nothing is taken back, the one is live and
/// ECS goes on with the other.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_while_one_is_done_and_waits_each_is_told_as_it_is() {
    let lab = two().await;
    let mut plan = both(&lab, OnFailure::Wait, Release::AllOrNothing).await;
    if let Action::Watch { terms, .. } = &mut plan.steps[2].action {
        terms.done_when = DoneWhen::Live;
    }
    // The worker is never done: a third time to be steady is what it waits for, and it crashes.
    let waits = |event: &Event| matches!(event, Event::Told { progress: Progress::WaitingForOthers { .. }, .. });
    let walked = lab.walk_until(&plan, waits).await;
    let told = words(&walked);
    assert_eq!(walked.outcome.exit, Exit::Cancelled, "{told:?}");
    assert_eq!(told[0].0, Live::New, "{told:?}");
    assert_ne!(told[1].0, Live::New, "{told:?}");
    let asked = walked
        .records
        .iter()
        .any(|record| matches!(&record.event, Event::Told { progress: Progress::TakingBack { .. }, .. }));
    assert!(!asked, "nobody asked for anything to be taken back");
}

/// With `on_interrupt = "rollback"` an interrupt takes back what is under way; what has ended well stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_that_takes_back_leaves_what_has_ended_well() {
    let lab = two().await;
    let mut plan = both(&lab, OnFailure::Wait, Release::Independent).await;
    for step in &mut plan.steps {
        if let Action::Watch { terms, service, .. } = &mut step.action {
            terms.on_interrupt = OnInterrupt::TakeBack;
            if service.as_str() == "app" {
                terms.done_when = DoneWhen::Live;
            }
        }
    }
    let app_is_done = |event: &Event| matches!(event, Event::Done { step: StepId(3), .. });
    let walked = lab.walk_until(&plan, app_is_done).await;
    let told = words(&walked);
    assert_eq!(walked.outcome.exit, Exit::Cancelled, "{told:?}");
    assert_eq!(told[0].0, Live::New, "{told:?}");
    assert!(told[1].1.contains("ECS takes worker:2"), "{told:?}");
}

/// It has ended well and waits for the worker, which ECS cannot roll out.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_takes_back_what_had_ended_well_and_waits() {
    let lab = two().await;
    let mut plan = both(&lab, OnFailure::Wait, Release::AllOrNothing).await;
    for step in &mut plan.steps {
        if let Action::Watch { terms, .. } = &mut step.action {
            (terms.on_interrupt, terms.done_when) = (OnInterrupt::TakeBack, DoneWhen::Live);
        }
    }
    let waits = |event: &Event| matches!(event, Event::Told { progress: Progress::WaitingForOthers { .. }, .. });
    let walked = lab.walk_until(&plan, waits).await;
    assert_eq!(walked.outcome.exit, Exit::Cancelled);
    let back = async {
        for name in ["app", "worker"] {
            loop {
                let view =
                    ecs::view_service(&lab.hands.aws, &cluster(), &ServiceName::new(name)).await.unwrap().unwrap();
                let primary = view.deployments.iter().find(|deployment| deployment.status == "PRIMARY").unwrap();
                if primary.task_definition.short() == format!("{name}:1") {
                    break;
                }
                beat().await;
            }
        }
    };
    timeout(LIMIT, back).await.expect("both go back");
}
