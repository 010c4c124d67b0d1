//! Tasks without containers: pure, so that a simulated clock can drive them.

use std::collections::BTreeSet;

use super::super::world::ecs::run::{self, Launch, Order, Report, Started};
use super::super::world::ecs::{Binding, ContainerHealth};
use super::super::world::{Millis, World};

/// How long a paper task takes to come up and to go, in AWS's seconds. Fargate takes 40–60 to come up.
const COMING_UP: u64 = 5;
const GOING_DOWN: u64 = 1;

/// The first of the ports that paper tasks say they listen on: where the engine's dynamic ports begin.
const FIRST_PORT: u16 = 49153;

#[derive(Debug, Default)]
pub struct Paper {
    due: Vec<(Millis, What)>,
}

#[derive(Debug)]
enum What {
    Start(Launch),
    End(String),
}

impl Paper {
    /// Carries out the world's orders and tells what has come of the earlier ones.
    pub fn step(&mut self, world: &mut World, now: Millis) {
        for order in run::orders(world, now) {
            match order {
                Order::Start(task) => {
                    run::report(world, &task, Report::PullStarted, now);
                    if let Some(launch) = run::launch(world, &task, now) {
                        run::report(world, &task, Report::PullStopped, now);
                        self.due.push((now + world.pace.millis(COMING_UP), What::Start(launch)));
                    }
                }
                Order::Stop(task) => {
                    self.due.retain(|(_, what)| !matches!(what, What::Start(launch) if launch.task == task));
                    self.due.push((now + world.pace.millis(GOING_DOWN), What::End(task)));
                }
            }
        }
        let (ready, waiting) = std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = waiting;
        for (_, what) in ready {
            match what {
                What::Start(launch) => {
                    let started = started(world, &launch);
                    run::report(world, &launch.task, Report::Started(started), now);
                    for part in launch.parts.into_iter().filter(|part| part.definition.get("healthCheck").is_some()) {
                        let healthy = Report::Health { container: part.name, health: ContainerHealth::Healthy };
                        run::report(world, &launch.task, healthy, now);
                    }
                }
                What::End(task) => {
                    for container in run::container_names(world, &task) {
                        run::report(world, &task, Report::Exited { container, code: 0, reason: None }, now);
                    }
                    run::report(world, &task, Report::Gone, now);
                }
            }
        }
    }
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
