//! The report of a rehearsal as people and programs see it.

use std::collections::BTreeSet;

use super::*;
use crate::{
    aws::elb::HealthCheck,
    rehearsal::findings::Sighting,
    sandbox::{
        load::{Blame, Late, Lost, Share},
        scenario,
        witness::{ExitSeen, Probes},
    },
};

const BEGIN: u64 = 1_790_000_000_000;

fn life(task: &str, side: Side) -> Life {
    Life {
        task: task.to_owned(),
        side,
        definition: "web:2".to_owned(),
        created_at: BEGIN + 500,
        started_at: Some(BEGIN + 1_000),
        answered_at: Some(BEGIN + 1_300),
        healthy_at: Some(BEGIN + 2_000),
        unhealthy: Vec::new(),
        drained_from: None,
        signalled_at: None,
        ended_at: None,
        gone_at: None,
        targets: BTreeSet::from([format!("127.0.0.1:{}", task.len())]),
        exits: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        probes: Probes::default(),
        healthy_now: true,
    }
}

fn exit(code: i64) -> Vec<ExitSeen> {
    vec![ExitSeen { container: "web".to_owned(), essential: true, code, by_itself: false, reason: None }]
}

fn by_itself(code: i64) -> Vec<ExitSeen> {
    exit(code).into_iter().map(|exit| ExitSeen { by_itself: true, ..exit }).collect()
}

/// One of the old image that was drained from 3 to 13 s and then ended as given.
fn old(task: &str, code: i64, took_ms: u64) -> Life {
    Life {
        answered_at: None,
        drained_from: Some(BEGIN + 3_000),
        signalled_at: Some(BEGIN + 13_000),
        ended_at: Some(BEGIN + 13_000 + took_ms),
        gone_at: Some(BEGIN + 13_100 + took_ms),
        exits: exit(code),
        stop_code: Some("ServiceSchedulerInitiated".to_owned()),
        ..life(task, Side::Old)
    }
}

/// A new one that ended by itself after a second and a half.
fn crashed(task: &str) -> Life {
    Life {
        unhealthy: vec![(BEGIN + 2_600, "Target.FailedHealthChecks".to_owned())],
        signalled_at: Some(BEGIN + 2_500),
        ended_at: Some(BEGIN + 2_500),
        gone_at: Some(BEGIN + 2_700),
        exits: by_itself(3),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        ..life(task, Side::New)
    }
}

fn production() -> Production {
    Production {
        read_from: ReadFrom::Service,
        revision: Some("web:41".to_owned()),
        image: Some("web:v6".to_owned()),
        desired_count: 2,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        grace_period_s: 0,
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            path: "/health".to_owned(),
            interval_s: 30,
            timeout_s: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 5,
            matcher: "200".to_owned(),
        },
        deregistration_delay_s: 10,
        stop_timeout_s: 30,
        container: None,
        container_port: 80,
        target_group: Some("web".to_owned()),
        further_groups: Vec::new(),
        definition: None,
        notes: Vec::new(),
    }
}

fn share(requests: u64, failed: u64, usual: u64, longest_ms: u64) -> Share {
    let times = [(usual, requests), (longest_ms, 1)].into();
    Share { requests, failed, slowest_ms: longest_ms, longest_ms, first: BEGIN, last: BEGIN + 5_000, times }
}

fn tally() -> Tally {
    let phases = [
        (Phase::Before, share(100, 0, 2, 9)),
        (Phase::Start, share(200, 0, 2, 12)),
        (Phase::Shift, share(200, 0, 3, 14)),
        (Phase::Drain, share(2_000, 0, 2, 2_010)),
        (Phase::Stop, share(60, 0, 2, 11)),
        (Phase::After, share(200, 0, 2, 8)),
    ];
    Tally {
        requests: 2_760,
        slowest_ms: 14,
        lasted_ms: 13_800,
        phases: phases.into(),
        targets: [("127.0.0.1:8".to_owned(), share(900, 0, 2, 14))].into(),
        statuses: [(200, 2_760)].into(),
        ..Tally::default()
    }
}

fn forecast() -> Forecast {
    Forecast {
        ended: Ended::Completed,
        live_ms: Some(61_250),
        drained_ms: Some(94_000),
        least_serving: 2,
        most_running: 4,
        turns: 1,
        replaced: 0,
        crashed: 0,
    }
}

fn rehearsal(lives: Vec<Life>, tally: Tally, forecast: Forecast, exit: Exit) -> Rehearsal {
    let (production, seen) = (production(), Seen { lives, phases: Vec::new() });
    let rehearsed = Rehearsed { speed: 10.0, rate: 200, drain_s: 10 };
    let sighting = Sighting {
        production: &production,
        rehearsed,
        exit: Exit::Done,
        seen: &seen,
        tally: &tally,
        forecast: Some(&forecast),
    };
    Rehearsal {
        service: "web".to_owned(),
        from: "web:41".to_owned(),
        to: "web:v7-4f2c1d".to_owned(),
        exit,
        error: None,
        findings: findings::findings(&sighting),
        production,
        rehearsed,
        updated_at: Some(BEGIN),
        seen,
        tally,
        forecast: Some(forecast),
        notes: Vec::new(),
        scenario: None,
        before: None,
    }
}

fn clean() -> Rehearsal {
    let lives = vec![old("0a1b2c3d", 0, 300), old("1a1b2c3d", 0, 200), life("2a1b2c3d4", Side::New)];
    Rehearsal {
        before: Some(Before { command: "rake db:migrate".to_owned(), run: Run::Succeeded }),
        ..rehearsal(lives, tally(), forecast(), Exit::Done)
    }
}

/// Crashes, cut requests and a program that has to be killed, in one.
fn lossy() -> Rehearsal {
    let lost = |at: u64, took_ms, phase, kind: &str, by, target: Option<&str>| Lost {
        at_ms: at,
        at: BEGIN + at,
        took_ms,
        phase,
        kind: kind.to_owned(),
        by,
        target: target.map(str::to_owned),
        path: "/".to_owned(),
    };
    let lost = vec![
        lost(2_400, 150, Phase::Shift, "502 from the balancer", Blame::Balancer, Some("127.0.0.1:9")),
        lost(6_000, 4, Phase::Drain, "503 from the balancer", Blame::Balancer, None),
        lost(6_100, 5, Phase::Drain, "503 from the balancer", Blame::Balancer, None),
        lost(9_000, 4_100, Phase::Drain, "502 from the balancer", Blame::Balancer, Some("127.0.0.1:8")),
        lost(7_000, 20, Phase::Drain, "500 from the program", Blame::Program, Some("127.0.0.1:10")),
    ];
    let mut all = tally();
    all.failed = 5;
    all.lost = lost;
    all.lasted_ms = 20_000;
    all.late = Late { requests: 300, longest_ms: 2_300 };
    for (phase, failed) in [(Phase::Shift, 1), (Phase::Drain, 4)] {
        all.phases.entry(phase).or_default().failed = failed;
    }
    let never = Life {
        started_at: None,
        answered_at: None,
        healthy_at: None,
        gone_at: Some(BEGIN + 900),
        stop_code: Some("TaskFailedToStart".to_owned()),
        stopped_reason: Some(
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref a/b:c: a/b:c: \
             not found"
                .to_owned(),
        ),
        ..life("4a1b2c3d", Side::New)
    };
    let lives = vec![
        old("0a1b2c3d", 137, 30_100),
        crashed("2a1b2c3d4"),
        crashed("3a1b2c3d4"),
        never,
        life("5a1b2c3d45", Side::New),
    ];
    let failed = Forecast { ended: Ended::Failed, live_ms: None, drained_ms: None, crashed: 3, ..forecast() };
    let scenario = scenario::parse(
        "format = 1\n[[tasks]]\nof = \"new\"\nfirst = 2\ncrash_after = \"1500ms\"\nexit_code = 3\n\
         [[tasks]]\nof = \"old\"\nignores_sigterm = true\n[[faults]]\nservice = \"ecs\"\nfault = \"throttle\"\nafter = 2\ntimes = 3\n",
    );
    let scenario = Played::of(Path::new("chaos.toml"), &scenario.unwrap(), &[3]);
    let notes = vec!["volume data is an empty one here".to_owned()];
    Rehearsal { scenario: Some(scenario), notes, ..rehearsal(lives, all, failed, Exit::RequestsLost) }
}

#[test]
fn a_clean_rehearsal() {
    insta::assert_snapshot!(clean().text(Style::BARE, 100));
}

#[test]
fn the_target_group_with_the_load_and_the_others_are_told() {
    let mut rehearsal = clean();
    assert!(!rehearsal.text(Style::BARE, 100).contains("the load goes to"), "there is but one");
    let health_check = HealthCheck { path: "/ready".to_owned(), ..production().health_check };
    rehearsal.production.further_groups = vec![Further {
        target_group: "internal".to_owned(),
        container: "proxy".to_owned(),
        container_port: 8081,
        health_check,
        deregistration_delay_s: 300,
    }];
    let text = rehearsal.text(Style::BARE, 100).split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "the load goes to target group web; a task is healthy, and may end, only as the others say, too: internal \
                (port 8081 of proxy, health check /ready each 30 s, deregistration delay 300 s)";
    assert!(text.contains(told), "{text}");
}

#[test]
fn a_lossy_rehearsal() {
    insta::assert_snapshot!(lossy().text(Style::BARE, 100));
}

#[test]
fn a_lossy_rehearsal_for_programs() {
    let value: Value = serde_json::from_str(&lossy().json()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn a_rollout_that_failed_has_nothing_good_to_say_of_the_settings() {
    let told = ToldError {
        code: "run::rollout".to_owned(),
        message: "roll out web failed".to_owned(),
        causes: vec!["rolled back by ECS: the image is not in the registry".to_owned()],
        hints: Vec::new(),
    };
    let lives = vec![life("0a1b2c3d", Side::Old)];
    let text = Rehearsal { error: Some(told), ..rehearsal(lives, tally(), forecast(), Exit::RolloutFailed) };
    let text = text.text(Style::BARE, 80);
    assert!(text.contains("the rollout did not succeed: roll out web failed"), "{text}");
    assert!(!text.contains("nothing to change"), "{text}");
}

#[test]
fn an_old_task_that_ends_while_it_drains_is_not_said_to_have_heard_sigterm() {
    let fell = Life {
        signalled_at: Some(BEGIN + 5_000),
        ended_at: Some(BEGIN + 5_000),
        exits: by_itself(3),
        ..old("0a1b2c3d", 3, 0)
    };
    let lives = vec![fell, old("1a1b2c3d", 0, 200), life("2a1b2c3d4", Side::New)];
    let text = rehearsal(lives, tally(), forecast(), Exit::Done).text(Style::BARE, 100);
    for said in [
        "1 of 2 old tasks was gone before it got SIGTERM",
        "1 old task ended on SIGTERM, within 0.2s",
        "by itself, while it drained (exit 3)",
        "1 task ended by itself (exit 3)",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
