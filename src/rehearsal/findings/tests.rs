//! What a rehearsal says of lives, requests and settings that are made up here.

use std::collections::BTreeSet;

use super::*;
use crate::{
    aws::elb::HealthCheck,
    sandbox::{
        load::{Blame, Late, Lost, Phase, Share, Sockets},
        witness::{ExitSeen, Probes},
    },
};

const BEGIN: u64 = 1_790_000_000_000;

fn production() -> Production {
    Production {
        read_from: ReadFrom::Service,
        revision: Some("web:41".to_owned()),
        image: None,
        desired_count: 2,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        grace_period_s: 0,
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            path: "/health".to_owned(),
            interval_s: 10,
            timeout_s: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: "200".to_owned(),
        },
        deregistration_delay_s: 30,
        stop_timeout_s: 30,
        container: None,
        container_port: 80,
        target_group: Some("web".to_owned()),
        further_groups: Vec::new(),
        definition: None,
        notes: Vec::new(),
    }
}

/// A task of the old revision that drained from 10 to 20 s and ended 300 ms after its signal.
fn old() -> Life {
    Life {
        started_at: Some(BEGIN - 60_000),
        healthy_at: Some(BEGIN - 55_000),
        drained_from: Some(BEGIN + 10_000),
        signalled_at: Some(BEGIN + 20_000),
        ended_at: Some(BEGIN + 20_300),
        gone_at: Some(BEGIN + 20_400),
        targets: BTreeSet::from(["127.0.0.1:1".to_owned()]),
        exits: vec![ExitSeen { container: "web".to_owned(), essential: true, code: 0, by_itself: false, reason: None }],
        stop_code: Some("ServiceSchedulerInitiated".to_owned()),
        created_at: BEGIN - 61_000,
        answered_at: None,
        ..new("old", Side::Old)
    }
}

/// A new one that answered 400 ms after its start.
fn new(task: &str, side: Side) -> Life {
    Life {
        task: task.to_owned(),
        side,
        definition: String::new(),
        created_at: BEGIN + 1_000,
        started_at: Some(BEGIN + 2_000),
        answered_at: Some(BEGIN + 2_400),
        healthy_at: Some(BEGIN + 4_000),
        unhealthy: Vec::new(),
        drained_from: None,
        signalled_at: None,
        ended_at: None,
        gone_at: None,
        targets: BTreeSet::from(["127.0.0.1:2".to_owned()]),
        exits: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        probes: Probes::default(),
        healthy_now: true,
    }
}

fn tally() -> Tally {
    let mut tally = Tally { requests: 1000, ..Tally::default() };
    let share = Share { requests: 500, last: BEGIN + 12_000, longest_ms: 2_000, ..Share::default() };
    tally.targets.insert("127.0.0.1:1".to_owned(), share.clone());
    tally.phases.insert(Phase::Drain, share);
    tally
}

fn lost(at: u64, took_ms: u64, kind: &str, target: Option<&str>) -> Lost {
    Lost {
        at_ms: at,
        at: BEGIN + at,
        took_ms,
        phase: Phase::Drain,
        kind: kind.to_owned(),
        by: match kind {
            _ if kind.ends_with("balancer") => Blame::Balancer,
            _ if kind.ends_with("program") => Blame::Program,
            _ if kind.ends_with("machine") => Blame::Load,
            _ => Blame::Connection,
        },
        target: target.map(str::to_owned),
        path: "/".to_owned(),
    }
}

fn forecast() -> Forecast {
    Forecast {
        ended: Ended::Completed,
        live_ms: Some(30_000),
        drained_ms: Some(90_000),
        least_serving: 2,
        most_running: 4,
        turns: 1,
        replaced: 0,
        crashed: 0,
    }
}

/// The codes with their weights, for lives and requests as given.
fn told(production: &Production, lives: Vec<Life>, tally: &Tally, forecast: &Forecast) -> Vec<Finding> {
    let seen = Seen { lives, phases: Vec::new() };
    let rehearsed = Rehearsed { speed: 10.0, rate: 200, drain_s: production.deregistration_delay_s.min(60) };
    findings(&Sighting { production, rehearsed, exit: Exit::Done, seen: &seen, tally, forecast: Some(forecast) })
}

fn codes(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_rollout_as_it_should_be_has_nothing_to_say() {
    let found = told(&production(), vec![old(), new("new", Side::New)], &tally(), &forecast());
    assert_eq!(found, []);
}

#[test]
fn a_lost_request_is_laid_at_the_door_of_whoever_lost_it() {
    let cases = [
        (lost(19_990, 200, "502 from the balancer", Some("127.0.0.1:1")), "lost_on_stop"),
        (lost(12_000, 7_000, "502 from the balancer", Some("127.0.0.1:1")), "lost_in_drain"),
        (lost(19_000, 1_100, "connection ended under the request", None), "lost_in_drain"),
        (lost(500, 10, "500 from the program", Some("127.0.0.1:1")), "lost_by_old"),
        (lost(15_000, 10, "503 from the program", Some("127.0.0.1:1")), "refused_by_old"),
        (lost(5_000, 10, "500 from the program", Some("127.0.0.1:2")), "errors_of_new"),
        (lost(5_000, 10, "502 from the balancer", Some("127.0.0.1:2")), "lost_by_new"),
        (lost(5_000, 10, "503 from the balancer", None), "lost_to_nobody"),
        (lost(5_000, 10, "no port left on this machine", None), "not_sent"),
        (lost(5_000, 10, "no answer in time", None), "lost"),
    ];
    let crashed = Life {
        signalled_at: Some(BEGIN + 5_000),
        stop_code: Some("EssentialContainerExited".to_owned()),
        exits: vec![ExitSeen { container: "web".to_owned(), essential: true, code: 3, by_itself: true, reason: None }],
        ..new("new", Side::New)
    };
    let reclaimed = Life { stop_code: Some("SpotInterruption".to_owned()), ..new("new", Side::New) };
    // Cut by the balancer at the end of the drain, while a program that ignores the signal was still at it.
    let ignores = Life { ended_at: Some(BEGIN + 23_000), ..old() };
    let tally_of = |lost: Lost| Tally { failed: 1, lost: vec![lost], ..tally() };
    let cut = tally_of(lost(15_050, 5_000, "502 from the balancer", Some("127.0.0.1:1")));
    assert_eq!(told(&production(), vec![ignores, new("new", Side::New)], &cut, &forecast())[0].code, "lost_in_drain");
    for (life, expected) in [(crashed, "lost_to_crash"), (reclaimed, "lost_to_spot")] {
        let tally =
            Tally { failed: 1, lost: vec![lost(5_000, 10, "502 from the balancer", Some("127.0.0.1:2"))], ..tally() };
        assert_eq!(told(&production(), vec![old(), life], &tally, &forecast())[0].code, expected);
    }
    for (lost, expected) in cases {
        let tally = Tally { failed: 1, lost: vec![lost.clone()], ..tally() };
        let found = told(&production(), vec![old(), new("new", Side::New)], &tally, &forecast());
        assert_eq!((found[0].code, found[0].weight), (expected, Weight::Bad), "{lost:?}: {found:?}");
    }
}

#[test]
fn ends_are_told_apart() {
    let exit =
        |code: i64| ExitSeen { container: "web".to_owned(), essential: true, code, by_itself: false, reason: None };
    let asked = |code: i64| Life { exits: vec![exit(code)], ..old() };
    let crash = ExitSeen { by_itself: true, ..exit(3) };
    let memory = "OutOfMemoryError: Container killed due to memory usage".to_owned();
    let cases = [
        (asked(0), Ending::Finished),
        (asked(143), Ending::BySignal),
        (asked(137), Ending::Killed),
        (asked(1), Ending::WithError(1)),
        (Life { exits: vec![ExitSeen { reason: Some(memory), ..exit(137) }], ..old() }, Ending::OutOfMemory),
        (Life { signalled_at: None, exits: vec![crash.clone()], ..old() }, Ending::Unasked(3)),
        // The scheduler had chosen it, and it crashed while it drained: nobody had sent it a signal yet.
        (Life { ended_at: Some(BEGIN + 20_000), exits: vec![crash.clone()], ..old() }, Ending::Unasked(3)),
        // One container crashed, and the other was killed with it.
        (Life { exits: vec![exit(143), crash.clone(), exit(137)], ..old() }, Ending::Unasked(3)),
        (Life { exits: vec![exit(0), ExitSeen { essential: false, ..crash }], ..old() }, Ending::Finished),
        (Life { exits: Vec::new(), ..old() }, Ending::None),
    ];
    for (life, ending) in cases {
        assert_eq!(Ending::of(&life), ending, "{life:?}");
    }
}

#[test]
fn a_program_that_ignores_sigterm_and_one_that_takes_nearly_as_long_are_told() {
    let slow = |code, ended_after| Life {
        ended_at: Some(BEGIN + 20_000 + ended_after),
        exits: vec![ExitSeen { container: "web".to_owned(), essential: true, code, by_itself: false, reason: None }],
        ..old()
    };
    let found = told(&production(), vec![slow(137, 30_100), new("new", Side::New)], &tally(), &forecast());
    assert_eq!(codes(&found), ["killed"]);
    assert!(found[0].what.contains("30.1s"), "{found:?}");
    let found = told(&production(), vec![slow(0, 25_000), new("new", Side::New)], &tally(), &forecast());
    assert_eq!(codes(&found), ["stop_timeout_tight"]);
    assert!(found[0].advice.as_ref().is_some_and(|advice| advice.contains("`stopTimeout`: 50")), "{found:?}");
}

#[test]
fn too_tight_and_too_loose_are_told_with_what_to_write() {
    let boots = |ms| Life { answered_at: Some(BEGIN + 2_000 + ms), ..new("new", Side::New) };
    // Two failed checks, one each ten seconds: 20 s.
    let found = told(&production(), vec![old(), boots(15_000)], &tally(), &forecast());
    assert_eq!((codes(&found), found[0].weight), (vec!["grace_period_tight"], Weight::Tight));
    assert_eq!(found[0].advice.as_deref(), Some("healthCheckGracePeriodSeconds: 45"));
    let found = told(&production(), vec![old(), boots(25_000)], &tally(), &forecast());
    assert_eq!((codes(&found), found[0].weight), (vec!["grace_period_tight"], Weight::Bad));
    let loose = Production { grace_period_s: 600, ..production() };
    assert_eq!(codes(&told(&loose, vec![old(), boots(400)], &tally(), &forecast())), ["grace_period_loose"]);

    // The last answer came 2 s into the drain.
    let tight = Production { deregistration_delay_s: 2, ..production() };
    let found = told(&tight, vec![old(), boots(400)], &tally(), &forecast());
    assert_eq!(codes(&found), ["deregistration_delay_tight"]);
    let loose = Production { deregistration_delay_s: 300, ..production() };
    let found = told(&loose, vec![old(), boots(400)], &tally(), &forecast());
    assert_eq!(codes(&found), ["deregistration_delay_loose", "drain_shortened"]);
    assert!(
        found[0].advice.as_ref().is_some_and(|advice| advice.starts_with("deregistration_delay.timeout_seconds: 20")),
        "{found:?}"
    );

    let mut slow = production();
    slow.health_check.interval_s = 60;
    assert_eq!(codes(&told(&slow, vec![old(), boots(400)], &tally(), &forecast())), ["health_check_slow"]);
    let probed = Life {
        probes: Probes {
            passed: 9,
            failed: 1,
            failed_later: 1,
            slowest_ms: 3_000,
            slowest_of: [("web".to_owned(), 3_000)].into(),
        },
        ..boots(400)
    };
    let found = told(&production(), vec![old(), probed], &tally(), &forecast());
    assert_eq!(codes(&found), ["health_check_timeout_tight", "health_check_flapping"]);
}

#[test]
fn what_production_s_percentages_would_do_is_told() {
    let lives = || vec![old(), new("new", Side::New)];
    let stuck = Forecast { ended: Ended::Stuck, ..forecast() };
    assert_eq!(codes(&told(&production(), lives(), &tally(), &stuck)), ["percentages_stuck"]);
    let fewer = Forecast { least_serving: 1, ..forecast() };
    assert_eq!(codes(&told(&production(), lives(), &tally(), &fewer)), ["fewer_serving"]);
}

#[test]
fn a_load_that_is_refused_says_nothing_about_the_program() {
    let mut tally = tally();
    tally.statuses.insert(404, 900);
    assert_eq!(codes(&told(&production(), vec![old(), new("new", Side::New)], &tally, &forecast())), ["load_refused"]);
}

#[test]
fn nobody_there_because_all_had_crashed_is_laid_at_the_door_of_the_crash() {
    let crashed = Life {
        signalled_at: Some(BEGIN + 5_000),
        ended_at: Some(BEGIN + 4_900),
        stop_code: Some("EssentialContainerExited".to_owned()),
        exits: vec![ExitSeen { container: "web".to_owned(), essential: true, code: 3, by_itself: true, reason: None }],
        ..new("new", Side::New)
    };
    let tally = Tally { failed: 1, lost: vec![lost(6_000, 10, "503 from the balancer", None)], ..tally() };
    let failed = Forecast { ended: Ended::Failed, live_ms: None, drained_ms: None, crashed: 3, ..forecast() };
    let found = told(&production(), vec![old(), crashed], &tally, &failed);
    assert_eq!(codes(&found), ["lost_after_crash", "ended_unasked", "production_fails"]);
    assert!(found[1].what.starts_with("1 task ended by itself (exit 3), at most 2.9s after"), "{found:?}");
    assert!(found[2].what.ends_with("3 new tasks would end by themselves before"), "{found:?}");
}

#[test]
fn most_of_the_new_tasks_ending_by_themselves_is_what_the_program_is_like() {
    let crashed = |ended_at| Life {
        ended_at: Some(ended_at),
        exits: vec![ExitSeen { container: "web".to_owned(), essential: true, code: 3, by_itself: true, reason: None }],
        ..new("new", Side::New)
    };
    let seen = |lives| Seen { lives, phases: Vec::new() };
    let lives = vec![old(), crashed(BEGIN + 3_000), crashed(BEGIN + 4_000), new("new", Side::New)];
    assert_eq!(crash_ms(&seen(lives)), Some(2_000));
    let lives = vec![crashed(BEGIN + 3_000), new("a", Side::New), new("b", Side::New)];
    assert_eq!(crash_ms(&seen(lives)), None);
    assert_eq!(crash_ms(&seen(vec![old(), new("a", Side::New)])), None);
}

#[test]
fn tasks_that_did_not_start_are_told_with_the_reason_in_words() {
    let failed = |reason: &str| Life {
        started_at: None,
        answered_at: None,
        healthy_at: None,
        stop_code: Some("TaskFailedToStart".to_owned()),
        stopped_reason: Some(reason.to_owned()),
        ..new("new", Side::New)
    };
    let reason = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                  a/b:c: a/b:c: not found";
    let found = told(&production(), vec![failed(reason), failed(reason)], &tally(), &forecast());
    assert_eq!(codes(&found), ["not_started"]);
    assert!(found[0].what.starts_with("2 new tasks did not start: the image is not in the registry"), "{found:?}");
}

#[test]
fn a_task_that_served_and_was_called_unhealthy_is_told() {
    let fell = Life {
        unhealthy: vec![(BEGIN + 2_500, "before".to_owned()), (BEGIN + 9_000, "Target.Timeout".to_owned())],
        ..new("new", Side::New)
    };
    let found = told(&production(), vec![old(), fell], &tally(), &forecast());
    assert_eq!((codes(&found), found[0].weight), (vec!["unhealthy_while_serving"], Weight::Bad));
    assert!(found[0].what.contains("(Target.Timeout)"), "{found:?}");
    // One that only took its time to come up did nothing wrong.
    let slow = Life { unhealthy: vec![(BEGIN + 2_500, "before".to_owned())], ..new("new", Side::New) };
    assert_eq!(told(&production(), vec![old(), slow], &tally(), &forecast()), []);
}

#[test]
fn sockets_that_never_opened_and_those_that_were_cut_are_told() {
    let refused = |opened| Sockets {
        opened,
        refused: 3,
        refusals: [("404 from the program".to_owned(), 3)].into(),
        ..Sockets::default()
    };
    let told = |websockets| {
        let tally = Tally { websockets, ..tally() };
        told(&production(), vec![old(), new("new", Side::New)], &tally, &forecast())
    };
    let never = told(refused(0));
    assert_eq!(codes(&never), ["websockets_never_opened"]);
    assert!(never[0].what.contains("404 from the program"), "{never:?}");
    assert_eq!(codes(&told(refused(5))), ["websockets_refused"]);
    assert_eq!(codes(&told(Sockets { opened: 5, cut: 2, ..Sockets::default() })), ["websockets_cut"]);
}

#[test]
fn a_load_that_was_late_is_told() {
    let late = Tally { late: Late { requests: 200, longest_ms: 1_500 }, ..tally() };
    let found = told(&production(), vec![old(), new("new", Side::New)], &late, &forecast());
    assert_eq!(codes(&found), ["load_late"]);
    assert!(
        found[0].what.starts_with("200 of 1000 requests were sent later than they were due, by up to 1.5s"),
        "{found:?}"
    );
}
