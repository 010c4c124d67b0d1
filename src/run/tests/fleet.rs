//! How many calls it takes to roll out one, ten and a hundred services in one run, counted on the wire.

use super::{faults::Wire, *};

/// Slow enough for a hundred services on two processors.
const FLEET_SPEED: f64 = 20.0;

/// What AWS refills in a minute, a quarter of it: ECS 20 a second, ELB 10.
const A_QUARTER: [(&[&str], f64); 5] = [
    (&["DescribeServices", "ListServices"], 300.0),
    (&["DescribeServiceDeployments", "ListServiceDeployments"], 300.0),
    (&["ListTasks", "DescribeTasks", "DescribeContainerInstances"], 300.0),
    (&["DescribeTaskDefinition"], 300.0),
    (&["DescribeTargetHealth", "DescribeTargetGroups", "DescribeTargetGroupAttributes"], 150.0),
];

/// No bucket gave more than a quarter of what flows into it in so many minutes.
fn within_a_quarter(what: &str, wire: &Wire, minutes: f64) {
    for (operations, quarter) in A_QUARTER {
        let calls: usize = operations.iter().map(|operation| wire.calls(operation)).sum();
        let calls = f64::from(u32::try_from(calls).unwrap());
        println!(
            "{what}, {minutes:.1} min: {} {:.0} a minute of {quarter:.0}",
            operations[0],
            calls / minutes.max(1.0)
        );
        // The first minute may be shorter than one and still have the burst in it.
        assert!(calls <= quarter * minutes.max(1.0), "{what}, {operations:?}: {calls} calls in {minutes:.2} minutes");
    }
}

/// How long, in minutes of the other side's clock, it took since then.
fn minutes(began: tokio::time::Instant) -> f64 {
    began.elapsed().as_secs_f64() * FLEET_SPEED / 60.0
}

async fn fleet(services: u32) {
    let lab = Lab::at_speed(FLEET_SPEED).await;
    let names: Vec<String> = (0..services).map(|number| format!("s{number:03}")).collect();
    let steps = (0_u32..).step_by(10).zip(&names).flat_map(|(offset, name)| first_steps(name, offset, SHORT));
    let first = Plan { steps: steps.collect(), release: Release::Independent };
    let walked = lab.walk(&first).await;
    assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);

    let wire = Wire::counting(lab.sandbox.endpoint()).await;
    let mut hands = patient_hands(&wire.url).await;
    hands.aws = hands.aws.at_speed(FLEET_SPEED);
    hands.pace = Pace::for_services(names.len()).quicker(FLEET_SPEED, 1);
    let (names_of, cluster): (Vec<_>, _) = (names.iter().map(ServiceName::new).collect(), cluster());
    let began = tokio::time::Instant::now();
    let read = names_of.iter().map(|name| ecs::service(&hands.aws, &cluster, name));
    let read = futures_util::future::try_join_all(read).await.unwrap();
    assert_eq!(read.len(), names.len());
    within_a_quarter(&format!("{services} services read"), &wire, minutes(began));
    assert!(wire.calls("DescribeServices") <= names.len().div_ceil(10), "ten services a call");
    // Those of ten services are asked for when the answer about the ten is there, and when answers come at the same moment
    // together: how many do is the machine's affair, so that only the first is counted here.
    assert!(wire.calls("DescribeTargetGroups") <= wire.calls("DescribeServices"), "one for each answer, or fewer");

    let mut steps = Vec::new();
    for (offset, name) in (0_u32..).step_by(10).zip(&names) {
        steps.extend(next_steps(offset, lab.live_of(name).await, definition_of(name, "256"), terms(BUDGET)));
    }
    let (_canceller, cancel) = cancel::token();
    let walked = walk(&Plan { steps, release: Release::Independent }, &hands, &cancel, |_| {}).await;
    assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
    within_a_quarter(&format!("{services} services read and rolled out"), &wire, minutes(began));
    // Put together: far fewer calls than services times looks.
    assert_eq!(wire.calls("RegisterTaskDefinition"), names.len());
    assert_eq!(wire.calls("UpdateService"), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_is_watched_within_a_quarter_of_what_aws_gives() {
    Box::pin(fleet(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_services_are_watched_within_a_quarter_of_what_aws_gives() {
    Box::pin(fleet(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_services_are_watched_within_a_quarter_of_what_aws_gives() {
    Box::pin(fleet(100)).await;
}
