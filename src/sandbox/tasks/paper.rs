//! Tasks without containers: pure, so that a simulated clock can drive them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::scenario::{Crash, OnStop};
use super::super::script::{Act, Script, why_it_fails};
use super::super::world::ecs::run::{self, Launch, Order, Report, Started};
use super::super::world::ecs::{Binding, ContainerHealth};
use super::super::world::elb::Process;
use super::super::world::{Millis, World};

/// How long a paper task takes to come up and to go, in AWS's seconds. Fargate takes 40–60 to come up.
const COMING_UP: u64 = 5;
const GOING_DOWN: u64 = 1;

/// The first of the ports that paper tasks say they listen on: where the engine's dynamic ports begin.
const FIRST_PORT: u16 = 49153;

#[derive(Debug, Default)]
pub struct Paper {
    script: Arc<Script>,
    acts: BTreeMap<String, Act>,
    due: Vec<(Millis, What)>,
}

#[derive(Debug)]
enum What {
    Start(Launch),
    Crash(String),
    Reclaim(String),
    End { task: String, code: i64 },
}

impl Paper {
    /// Tasks to which a scenario happens.
    pub(in super::super) fn acting(script: Arc<Script>) -> Self {
        Self { script, ..Self::default() }
    }

    /// Carries out the world's orders and tells what has come of the earlier ones.
    pub fn step(&mut self, world: &mut World, now: Millis) {
        for order in run::orders(world, now) {
            match order {
                Order::Start(task) => self.start(world, task, now),
                Order::Stop(task) => {
                    self.due.retain(|(_, what)| match what {
                        What::Start(launch) => launch.task != task,
                        What::Crash(other) | What::Reclaim(other) => *other != task,
                        What::End { .. } => true,
                    });
                    let (after, code) = match self.acts.get(&task).and_then(|act| act.stop) {
                        None => (world.pace.millis(GOING_DOWN), 0),
                        Some(OnStop::After(after)) => (milliseconds(after), 0),
                        Some(OnStop::Never) => (world.pace.millis(longest_stop(world, &task)), 137),
                    };
                    self.due.push((now + after, What::End { task, code }));
                }
            }
        }
        let (ready, waiting) = std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = waiting;
        for (_, what) in ready {
            match what {
                What::Start(launch) => {
                    let started = started(world, &launch);
                    self.begin(world, &launch.task, &started, now);
                    run::report(world, &launch.task, Report::Started(started), now);
                    for part in launch.parts.into_iter().filter(|part| part.definition.get("healthCheck").is_some()) {
                        let healthy = Report::Health { container: part.name, health: ContainerHealth::Healthy };
                        run::report(world, &launch.task, healthy, now);
                    }
                }
                What::Crash(task) => {
                    let crash = self.acts.get(&task).and_then(|act| act.crash);
                    for container in run::container_names(world, &task) {
                        let (code, reason) = crash.map_or((1, None), Crash::tells);
                        run::report(world, &task, Report::Exited { container, code, reason }, now);
                    }
                }
                What::Reclaim(task) => run::reclaim(world, &task, now),
                What::End { task, code } => {
                    for container in run::container_names(world, &task) {
                        run::report(world, &task, Report::Exited { container, code, reason: None }, now);
                    }
                    self.acts.remove(&task);
                    run::report(world, &task, Report::Gone, now);
                }
            }
        }
    }

    fn start(&mut self, world: &mut World, task: String, now: Millis) {
        run::report(world, &task, Report::PullStarted, now);
        let Some(launch) = run::launch(world, &task, now) else { return };
        let act = self.script.act(world, &task);
        if let Some(fails) = act.fails {
            let part = launch.parts.first();
            let reason = why_it_fails(fails, part.map_or("", |part| part.image.reference()));
            let container = part.map(|part| part.name.clone());
            run::report(world, &task, Report::FailedToStart { container, reason }, now);
            return;
        }
        run::report(world, &task, Report::PullStopped, now);
        let up = now + world.pace.millis(COMING_UP) + milliseconds(act.pull);
        self.acts.insert(task, act);
        self.due.push((up, What::Start(launch)));
    }

    /// What the scenario has in store for a task that has just come up.
    fn begin(&mut self, world: &mut World, task: &str, started: &[Started], now: Millis) {
        let Some(act) = self.acts.get(task) else { return };
        if let Some(crash) = act.crash {
            self.due.push((now + milliseconds(crash.after), What::Crash(task.to_owned())));
        }
        if let Some(after) = act.spot_after {
            self.due.push((now + milliseconds(after), What::Reclaim(task.to_owned())));
        }
        act.script_health(world, started, Process::Paper, now);
    }
}

fn milliseconds(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The longest of its containers' stop timeouts, in AWS's seconds.
fn longest_stop(world: &World, task: &str) -> u64 {
    let definition = run::definition_of(world, task).unwrap_or_default();
    let containers = definition["containerDefinitions"].as_array().cloned().unwrap_or_default();
    containers.iter().map(run::stop_timeout).max().unwrap_or(30)
}

fn started(world: &World, launch: &Launch) -> Vec<Started> {
    let mut taken: BTreeSet<u16> = run::ports_in_use(world).collect();
    let mut all = Vec::new();
    for part in &launch.parts {
        let mut bindings = Vec::new();
        for (container_port, protocol) in run::port_mappings(&part.definition) {
            let host_port = (FIRST_PORT..=u16::MAX).find(|port| !taken.contains(port)).unwrap_or(FIRST_PORT);
            taken.insert(host_port);
            bindings.push(Binding { container_port, host_port, protocol });
        }
        let runtime_id = format!("{}-{}", launch.task, part.name);
        all.push(Started { container: part.name.clone(), runtime_id, bindings });
    }
    all
}
