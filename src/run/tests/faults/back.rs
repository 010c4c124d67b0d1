//! Faults while a rollout that fails is taken back, and while the log that says why is read.

use super::*;
use crate::{event::FailedTask, sandbox::world::logs};

/// Slow enough that whoever lets tasks crash is never late, also where the processors are busy with something else: a task
/// that had been live for a moment would be another story.
const BACK_SPEED: f64 = 30.0;

async fn behind(rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> (Lab, Hands, Wire) {
    let lab = Lab::at_speed(BACK_SPEED).await;
    let walked = lab.walk(&first_plan(SHORT)).await;
    assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
    let wire = Wire::to(lab.sandbox.endpoint(), rule).await;
    let hands = hands(&wire.url).await;
    (lab, hands, wire)
}

/// A revision that crashes, with leave to take it back after the second task.
async fn crashed(lab: &Lab, hands: &Hands, definition: Value) -> Walked {
    let live = lab.live_of_service().await;
    let serving = live.0.clone();
    let terms = Terms { on_failure: OnFailure::TakeBack, ..terms(BUDGET) };
    let plan = Plan { steps: next_steps(0, live, definition, terms), release: Release::Independent };
    let (_canceller, cancel) = cancel::token();
    tokio::select! {
        walked = walk(&plan, hands, &cancel, |_| {}) => walked,
        () = lab.crash_all_but(&serving) => unreachable!("it crashes tasks for ever"),
    }
}

/// Taken back in the end, whatever met the call that asks for it; how often each call was made.
async fn taken_back(what: &str, rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> (Walked, Wire) {
    let (lab, hands, wire) = behind(rule).await;
    let walked = crashed(&lab, &hands, definition("256")).await;
    let live = &walked.outcome.live[0];
    assert_eq!((walked.outcome.exit, live.live), (Exit::RolloutFailed, Live::Unchanged), "{what}: {}", live.words);
    let why = walked.outcome.failure.as_ref().map(|(_, error)| error.to_string()).unwrap_or_default();
    assert!(why.starts_with("rolled back by ECS: ") && why.contains("app exited (1)"), "{what}: {why}");
    assert_eq!(lab.settled().await, "128", "{what}: the old revision runs");
    (walked, wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_the_call_that_takes_back_does_not_keep_it_from_being_taken_back() {
    let faults = [Fault::Broken, Fault::Throttled, Fault::Cut, Fault::AnswerLost, Fault::Truncated, Fault::Stalled];
    let cases = faults.map(|fault| {
        Box::pin(async move {
            let rule = move |operation: &str, number| match (operation, number) {
                ("StopServiceDeployment", 1) => fault,
                _ => Fault::Pass,
            };
            let (_, wire) = Box::pin(taken_back(&format!("{fault:?}"), rule)).await;
            // ECS's own breaker may have been quicker than a call that took long to be tried again.
            assert_ne!(wire.calls("StopServiceDeployment"), 1, "{fault:?}: it was tried again");
        })
    });
    futures_util::future::join_all(cases).await;
}

/// Where ECS cannot be asked, the revision that ran before is rolled out; whether ECS heard of it or not.
#[tokio::test(flavor = "multi_thread")]
async fn where_ecs_cannot_be_asked_the_revision_before_is_rolled_out() {
    let cases = [Fault::Cut, Fault::Broken, Fault::AnswerLost, Fault::WrongClock].map(|fault| {
        Box::pin(async move {
            let rule = move |operation: &str, _| if operation == "StopServiceDeployment" { fault } else { Fault::Pass };
            let (_, wire) = Box::pin(taken_back(&format!("{fault:?}"), rule)).await;
            let asked = wire.calls("StopServiceDeployment") > 0;
            assert_eq!(wire.calls("UpdateService"), if asked { 2 } else { 1 }, "{fault:?}");
        })
    });
    futures_util::future::join_all(cases).await;
}

/// Where neither can be asked for, that is said, and the watch goes on until ECS's own breaker has done it.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_asked_it_is_said_and_watched_on() {
    let rule = |operation: &str, number| match (operation, number) {
        ("StopServiceDeployment", _) => Fault::Cut,
        ("UpdateService", number) if number > 1 => Fault::Cut,
        _ => Fault::Pass,
    };
    let (walked, _) = Box::pin(taken_back("both", rule)).await;
    let told: Vec<_> = walked
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Told { progress: Progress::TakingBack { why, .. }, .. } => Some(why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].starts_with("ECS could not be asked to (") && told[1].ends_with("watching on"), "{told:?}");
}

fn failed_tasks(walked: &Walked) -> Vec<&FailedTask> {
    let failed = walked.records.iter().filter_map(|record| match &record.event {
        Event::Told { progress: Progress::TaskFailed { task, .. }, .. } => Some(task),
        _ => None,
    });
    failed.collect()
}

/// The log is what a person wants and nothing that the verdict needs: without it the reason is told all the same, and
/// that the log could not be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_costs_only_itself() {
    let faults =
        [Fault::Pass, Fault::Broken, Fault::Throttled, Fault::Cut, Fault::Truncated, Fault::Stalled, Fault::WrongClock];
    let cases = faults.map(|fault| {
        Box::pin(async move {
            let rule = move |operation: &str, _| if operation == "GetLogEvents" { fault } else { Fault::Pass };
            let (lab, hands, wire) = behind(rule).await;
            logs::call(&mut lab.sandbox.world(), "CreateLogGroup", &json!({ "logGroupName": "/app" }), now()).unwrap();
            let mut definition = definition("256");
            definition["containerDefinitions"][0]["logConfiguration"] = json!({ "logDriver": "awslogs",
                "options": { "awslogs-group": "/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app" } });
            let walked = crashed(&lab, &hands, definition).await;
            assert_eq!(walked.outcome.exit, Exit::RolloutFailed, "{fault:?}");
            assert!(wire.calls("GetLogEvents") >= 1, "{fault:?}");
            let failed = failed_tasks(&walked);
            assert!(failed.len() >= 2, "{fault:?}: {failed:?}");
            for task in failed {
                assert!(task.explanation.starts_with("app exited (1)"), "{fault:?}: {task:?}");
                let log = &task.containers[0].log;
                // Reached, the paper task's log has no stream; not reached, that is said.
                let said = if fault == Fault::Pass { "(it wrote nothing)" } else { "(its log " };
                let is_said = matches!(log.as_slice(), [line] if line.starts_with(said) && line.ends_with(')'));
                assert!(is_said, "{fault:?}: {log:?}");
            }
            assert_eq!(lab.settled().await, "128", "{fault:?}");
        })
    });
    futures_util::future::join_all(cases).await;
}
