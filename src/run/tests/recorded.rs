//! Rollouts as they were told of real services (`tests/recorded/rollouts`): the real clients read every moment from the
//! wire, and the machine is led through what they read at its own pace, once as ECS ended them and once with leave to
//! take them back.

use std::{collections::BTreeSet, fmt::Write as _};

use super::*;
use crate::{
    aws::{
        elb,
        recorded::{Server, answer},
    },
    event::{BoardTask, Side},
    rollout::{
        goal::{DoneWhen, Goal, Started},
        machine::{Machine, Next, Verdict},
        schedule::{Ask, Part},
        view::View,
    },
};

const START: u64 = 1_800_000_000_000;

/// The defaults, with the drain of 30 s of the logs.
const USUAL: WatchBudget =
    WatchBudget { no_progress_ms: 300_000, total_ms: 1_800_000, drain_ms: 150_000, deregistration_delay_ms: 30_000 };

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../tests/recorded/rollouts/", $name, ".json")))),+]
    };
}

const FILES: [(&str, &str); 14] = files![
    "rolling",
    "breaker-process-exits",
    "breaker-missing-image",
    "breaker-health-500",
    "breaker-nothing-to-go-back-to",
    "percentages-leave-no-move",
    "alarm",
    "blue-green-with-a-pause",
    "early-success",
    "superseded",
    "deleted-by-force",
    "stopped-from-outside",
    "rebalanced-afterwards",
    "spot-then-well",
];

struct Recorded {
    goal: Goal,
    /// From when on, in milliseconds, and what a look sees then.
    moments: Vec<(u64, View)>,
}

/// What a moment names replaces what was there; null removes it.
fn replace(into: &mut Value, with: &Value) {
    for (name, value) in with.as_object().into_iter().flatten() {
        match value {
            Value::Null => drop(into.as_object_mut().unwrap().remove(name)),
            _ => into[name] = value.clone(),
        }
    }
}

fn milliseconds(moment: &Value) -> u64 {
    u64::try_from(Duration::from_secs_f64(moment["at"].as_f64().unwrap()).as_millis()).unwrap()
}

fn target_health(targets: &Value) -> String {
    let mut members = String::new();
    for (address, health) in targets.as_object().unwrap() {
        let (host, port) = address.split_once(':').unwrap();
        write!(members, "<member><Target><Id>{host}</Id><Port>{port}</Port></Target><TargetHealth>").unwrap();
        for (name, value) in health.as_object().unwrap() {
            write!(members, "<{name}>{}</{name}>", value.as_str().unwrap()).unwrap();
        }
        members.push_str("</TargetHealth></member>");
    }
    format!(
        "<DescribeTargetHealthResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><DescribeTargetHealthResult>\
         <TargetHealthDescriptions>{members}</TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>"
    )
}

impl Recorded {
    async fn read(text: &str) -> Self {
        let recorded: Value = serde_json::from_str(text).unwrap();
        assert!(recorded["source"].as_str().is_some_and(|source| source.contains("202")), "where from, and when");
        let group = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/0123456789abcdef";
        let mut service = json!({
            "serviceName": "web", "status": "ACTIVE", "events": [],
            "loadBalancers": [{ "targetGroupArn": group, "containerName": "web", "containerPort": 8080 }],
        });
        let (mut deployment, mut tasks, mut targets) = (json!({}), json!({}), json!({}));
        let mut moments = Vec::new();
        for moment in recorded["moments"].as_array().unwrap() {
            replace(&mut service, &moment["service"]);
            replace(&mut deployment, &moment["deployment"]);
            replace(&mut tasks, &moment["tasks"]);
            replace(&mut targets, &moment["targets"]);
            service["currentServiceDeployment"] = deployment["serviceDeploymentArn"].clone();
            for text in moment["says"].as_array().into_iter().flatten() {
                let events = service["events"].as_array_mut().unwrap();
                let (id, message) =
                    (format!("event-{}", events.len()), format!("(service web) {}", text.as_str().unwrap()));
                let at = Duration::from_millis(START + milliseconds(moment)).as_secs_f64();
                events.insert(0, json!({ "id": id, "createdAt": at, "message": message }));
            }
            let all: Vec<Value> = tasks
                .as_object()
                .unwrap()
                .iter()
                .map(|(id, task)| {
                    let mut task = task.clone();
                    task["taskArn"] = json!(format!("arn:aws:ecs:eu-west-1:111111111111:task/shop/{id}"));
                    task
                })
                .collect();
            let arns: Vec<_> = all.iter().map(|task| &task["taskArn"]).collect();
            let server = Server::start([
                ("DescribeServices", answer(200, json!({ "services": [service], "failures": [] }))),
                ("DescribeServiceDeployments", answer(200, json!({ "serviceDeployments": [deployment] }))),
                ("ListTasks", answer(200, json!({ "taskArns": arns }))),
                ("DescribeTasks", answer(200, json!({ "tasks": all, "failures": [] }))),
                ("DescribeTargetHealth", answer(200, target_health(&targets))),
            ])
            .await;
            let (aws, cluster, name) = (server.aws().await, Cluster::new("shop"), ServiceName::new("web"));
            let arn = deployment["serviceDeploymentArn"].as_str().unwrap();
            let (seen, going, tasks, targets) = tokio::join!(
                ecs::view_service(&aws, &cluster, &name),
                ecs::view_deployment(&aws, arn),
                ecs::view_tasks(&aws, &cluster, &name, &[8080]),
                elb::target_health(&aws, group),
            );
            let view = View {
                service: Some(seen.unwrap().unwrap()),
                deployment: Some(going.unwrap().unwrap()),
                tasks: Some(tasks.unwrap()),
                targets: Some(targets.unwrap()),
                denied: BTreeMap::new(),
            };
            moments.push((milliseconds(moment), view));
        }
        let definition =
            |revision| TaskDefArn::new(format!("arn:aws:ecs:eu-west-1:111111111111:task-definition/web:{revision}"));
        let goal = Goal {
            service: Key::new("web"),
            started: Started {
                deployment_id: "ecs-svc/2222222222222222222".to_owned(),
                service_deployment: deployment["serviceDeploymentArn"].as_str().map(str::to_owned),
                task_definition: definition(42),
                previous: (recorded["previous"] != json!(false)).then(|| definition(41)),
                desired: u32::try_from(recorded["desired"].as_u64().unwrap()).unwrap(),
            },
            terms: Terms {
                done_when: if recorded["done_when"] == "steady" { DoneWhen::Steady } else { DoneWhen::Drained },
                ..Terms::within(USUAL)
            },
            pace: Pace::for_services(1),
        };
        Self { goal, moments }
    }

    fn look(&self, ask: &Ask, at_ms: u64) -> View {
        let view = &self.moments.iter().rev().find(|(from, _)| *from <= at_ms).unwrap().1;
        View {
            service: view.service.clone().filter(|_| ask.wants(Part::Service)),
            deployment: view.deployment.clone().filter(|_| ask.wants(Part::Deployment)),
            tasks: view.tasks.clone().filter(|_| ask.wants(Part::Tasks)),
            targets: view.targets.clone().filter(|_| ask.wants(Part::Targets)),
            denied: BTreeMap::new(),
        }
    }

    /// Until the end, or until it is to be taken back: from there on the recording is of another course.
    fn replay(&self, on_failure: OnFailure) -> Replayed {
        let terms = Terms { on_failure, ..self.goal.terms };
        let mut machine = Machine::new(Goal { terms, ..self.goal.clone() }, START);
        let (mut now, mut ask) = (0, Ask::all());
        let mut told = Told::default();
        loop {
            let heard = machine.see(&self.look(&ask, now), START + now);
            heard.progress.iter().for_each(|progress| told.hear(now, progress));
            if let Some(why) = heard.take_back {
                told.line(now, &format!("is taken back: {why}"));
                return Replayed { told: told.text, after_ms: now, verdict: None };
            }
            match heard.next {
                Next::Look { after_ms, ask: next } => (now, ask) = (now + after_ms, next),
                Next::Ended(verdict) => {
                    let live = machine.live();
                    told.line(now, &format!("{verdict:?}, {live:?}: {:?}", verdict.exit(live)));
                    return Replayed { told: told.text, after_ms: now, verdict: Some(verdict) };
                }
            }
        }
    }
}

struct Replayed {
    told: String,
    after_ms: u64,
    verdict: Option<Verdict>,
}

/// A text of ECS without what is between its parentheses.
fn without_ids(text: &str) -> String {
    let mut inside = false;
    let keep = |letter: &char| {
        let was_inside = inside;
        inside = (inside || *letter == '(') && *letter != ')';
        !was_inside || *letter == ')'
    };
    text.chars().filter(keep).collect()
}

/// What a reader hears, a line for each change.
#[derive(Default)]
struct Told {
    text: String,
    board: String,
    events: BTreeSet<String>,
}

impl Told {
    fn line(&mut self, now_ms: u64, words: &str) {
        let (seconds, tenths) = (now_ms / 1000, now_ms % 1000 / 100);
        writeln!(self.text, "{seconds:>5}.{tenths} s  {words}").unwrap();
    }

    fn hear(&mut self, now_ms: u64, progress: &Progress) {
        match progress {
            Progress::Phase { to, .. } => self.line(now_ms, &format!("phase {to:?}")),
            Progress::TaskFailed { task, .. } => {
                self.line(now_ms, &format!("task {} {:?}: {}", task.id, task.kind, task.explanation));
            }
            Progress::ServiceEvent { id, text, meaning, .. } => {
                assert!(self.events.insert(id.clone()), "told once");
                let text = without_ids(text.trim_start_matches("(service web) "));
                let meaning = meaning.as_ref().map(|meaning| format!(" → {meaning}")).unwrap_or_default();
                self.line(now_ms, &format!("ECS: {text}{meaning}"));
            }
            Progress::Board(board) => {
                let task = |task: &BoardTask| {
                    let side = match task.side {
                        Side::New => "new",
                        Side::Old => "old",
                    };
                    let drains = if task.drain_left_ms.is_some() { " with a countdown" } else { "" };
                    format!("{side} {} {:?}{drains}", task.id, task.state)
                };
                let mut parts: Vec<_> = board.tasks.iter().map(task).collect();
                parts.extend(
                    board
                        .breaker
                        .iter()
                        .map(|breaker| format!("breaker {} of {}", breaker.failures, breaker.threshold)),
                );
                parts.extend(board.shift.iter().map(|shift| {
                    let permille = shift
                        .production_permille
                        .map(|permille| format!(" production {permille} ‰"))
                        .unwrap_or_default();
                    let test = shift.test_permille.map(|permille| format!(" test {permille} ‰")).unwrap_or_default();
                    let bakes = if shift.bake_left_ms.is_some() { " baking" } else { "" };
                    format!("{} {}{permille}{test}{bakes}", shift.strategy, shift.stage.as_deref().unwrap_or("-"))
                }));
                parts.extend(board.hook.iter().map(|hook| format!("waits for: {}", hook.command)));
                let picture = parts.join(", ");
                if picture != self.board {
                    self.line(now_ms, &picture);
                    self.board = picture;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_rollout_is_told_and_judged_as_it_was() {
    for (name, text) in FILES {
        let recorded = Recorded::read(text).await;
        let ends = recorded.replay(OnFailure::Wait);
        let acts = recorded.replay(OnFailure::TakeBack);
        let told = if acts.told == ends.told {
            ends.told.clone()
        } else {
            let common = acts.told.lines().zip(ends.told.lines()).take_while(|(one, other)| one == other).count();
            let rest: Vec<_> = acts.told.lines().skip(common).collect();
            format!("{}with leave to take it back:\n{}\n", ends.told, rest.join("\n"))
        };
        insta::with_settings!({
            snapshot_path => "../../../tests/recorded/rollouts", prepend_module_to_snapshot => false, omit_expression => true,
        }, {
            insta::assert_snapshot!(format!("{name}.told"), told);
        });

        let (verdict, after_s) = (ends.verdict.unwrap(), ends.after_ms / 1000);
        let is = |expected: &Verdict| assert_eq!(&verdict, expected, "{name}");
        match name {
            // ECS's own end, and no later than two looks after it.
            "rolling" => is(&Verdict::Drained),
            "blue-green-with-a-pause" | "early-success" | "stopped-from-outside" | "spot-then-well" => {
                is(&Verdict::Drained);
            }
            "rebalanced-afterwards" => is(&Verdict::Steady),
            "superseded" => is(&Verdict::Superseded { by: "ecs-svc/9999999999999999999".to_owned() }),
            "alarm" => is(&Verdict::RolledBack { why: "the alarm web-5xx fired".to_owned() }),
            "breaker-process-exits" | "breaker-missing-image" | "breaker-health-500" => {
                assert!(matches!(verdict, Verdict::RolledBack { .. }), "{name}: {verdict:?}");
            }
            "breaker-nothing-to-go-back-to" | "deleted-by-force" => {
                assert!(matches!(verdict, Verdict::Failed { .. }), "{name}: {verdict:?}");
            }
            "percentages-leave-no-move" => assert!(matches!(verdict, Verdict::TimedOut { .. }), "{name}: {verdict:?}"),
            other => panic!("{other} has no verdict here"),
        }
        // How much earlier than the breaker: after the first task, or after the second.
        let (acts_s, breaker_s) = match name {
            "breaker-process-exits" => (96, 175),
            "breaker-missing-image" => (154, 704),
            "breaker-health-500" => (338, 588),
            "percentages-leave-no-move" => (30, after_s),
            _ => continue,
        };
        assert!(acts.verdict.is_none(), "{name} is taken back");
        let asked_s = acts.after_ms / 1000;
        assert!((acts_s..acts_s + 10).contains(&asked_s) && asked_s < breaker_s, "{name}: asked after {asked_s} s");
    }
}
