//! A scenario acted out: what happens to each task, and what others do while a service rolls out.
//!
//! It decides, and does nothing itself: those who run the tasks ask what is to become of one, and the
//! director is asked at every beat what is due.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::scenario::{
    Crash, Deploy, Fails, HealthAnswer, HealthStep, Obstacle, Of, OnStop, Scale, Scenario, TaskScript, Unplaced,
};
use super::world::ecs::run::Started;
use super::world::ecs::sight::{self, Rolling};
use super::world::ecs::{self, Hindrance};
use super::world::elb::{Process, Scripted, ScriptedAnswer, Target};
use super::world::{Millis, World};

/// The acts of a scenario, with who has had them.
#[derive(Debug, Default)]
pub(super) struct Script {
    tasks: Vec<TaskScript>,
    scales: Vec<Scale>,
    deploys: Vec<Deploy>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many tasks each script has been given to.
    given: BTreeMap<usize, u64>,
    /// The deployments whose cues have been given, by service and number of the cue.
    cued: BTreeMap<(String, usize), String>,
}

/// What is to become of one task; the default is what becomes of it by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Act {
    pub(super) pull: Duration,
    pub(super) fails: Option<Fails>,
    pub(super) crash: Option<Crash>,
    pub(super) health: Vec<HealthStep>,
    pub(super) stop: Option<OnStop>,
    pub(super) spot_after: Option<Duration>,
}

/// What others do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cue {
    Scale { cluster: String, service: String, to: u32 },
    Deploy { cluster: String, service: String },
}

impl Script {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let Scenario { tasks, scales, deploys, .. } = scenario.clone();
        Self { tasks, scales, deploys, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to become of a task that is about to start. Of several scripts that mean it, the first that says a thing
    /// has the say on it.
    pub(super) fn act(&self, world: &World, task: &str) -> Act {
        let mut act = Act::default();
        let Some((service, of)) = sight::standing_of(world, task) else { return act };
        let mut state = self.state();
        // Those that are not even placed are the scheduler's: there is no task of them.
        for (number, script) in self.tasks.iter().enumerate().filter(|(_, script)| script.unplaced.is_none()) {
            let meant = script.service.as_ref().is_none_or(|named| *named == service)
                && (script.of == Of::All || (script.of == Of::New) == (of == Rolling::Later));
            let given = state.given.entry(number).or_default();
            if !meant || script.first.is_some_and(|first| *given >= first) {
                continue;
            }
            *given += 1;
            act.take(script);
        }
        act
    }

    /// What keeps the scheduler from starting tasks.
    pub(super) fn hindrances(&self) -> Vec<Hindrance> {
        let hindrance = |script: &TaskScript| {
            let Unplaced { obstacle, lasts } = script.unplaced?;
            Some(Hindrance {
                obstacle: match obstacle {
                    Obstacle::Capacity => ecs::Obstacle::Capacity,
                    Obstacle::Placement => ecs::Obstacle::Placement,
                    Obstacle::Role => ecs::Obstacle::Role,
                },
                service: script.service.clone(),
                rolling: match script.of {
                    Of::Old => Some(Rolling::First),
                    Of::New => Some(Rolling::Later),
                    Of::All => None,
                },
                left: script.first,
                lasts: lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
            })
        };
        self.tasks.iter().filter_map(hindrance).collect()
    }

    /// What is due: each cue once for every rollout, so long after it began.
    pub(super) fn cues(&self, world: &World, now: Millis) -> Vec<Cue> {
        if self.scales.is_empty() && self.deploys.is_empty() {
            return Vec::new();
        }
        let mut due = Vec::new();
        let mut state = self.state();
        for rollout in sight::rollouts(world) {
            let since = Duration::from_millis(now.saturating_sub(rollout.began_at));
            let for_it = |service: &Option<String>| service.as_ref().is_none_or(|named| *named == rollout.service);
            let cues = self.scales.iter().map(|scale| (&scale.service, scale.at, Some(scale.to)));
            let cues = cues.chain(self.deploys.iter().map(|deploy| (&deploy.service, deploy.at, None)));
            for (number, (service, at, to)) in cues.enumerate() {
                let key = (format!("{}/{}", rollout.cluster, rollout.service), number);
                if !for_it(service) || since < at || state.cued.contains_key(&key) {
                    continue;
                }
                // Its own deployment is a rollout, too: one that is answered with another would never end.
                state.cued.insert(key, rollout.deployment.clone());
                let (cluster, service) = (rollout.cluster.clone(), rollout.service.clone());
                due.push(match to {
                    Some(to) => Cue::Scale { cluster, service, to },
                    None => Cue::Deploy { cluster, service },
                });
            }
        }
        due
    }
}

impl Act {
    /// Has the scenario tell the health of a task's targets, from now; or the task itself, where nothing is written of it.
    pub(super) fn script_health(&self, world: &mut World, started: &[Started], process: Process, now: Millis) {
        let steps: Vec<_> = self
            .health
            .iter()
            .map(|HealthStep { lasts, answer }| {
                let lasts = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
                let answer = match answer {
                    HealthAnswer::Status(code) => ScriptedAnswer::Status(*code),
                    HealthAnswer::Timeout => ScriptedAnswer::TimedOut,
                    HealthAnswer::Refused => ScriptedAnswer::Refused,
                    HealthAnswer::Own => ScriptedAnswer::Own,
                };
                (lasts, answer)
            })
            .collect();
        for binding in started.iter().flat_map(|started| &started.bindings) {
            let target = Target { address: "127.0.0.1".to_owned(), port: binding.host_port };
            if steps.is_empty() {
                // Of the task that had the port before.
                world.elb.end_script(&target);
            } else {
                world.elb.script(&target, Scripted { from: now, steps: steps.clone(), process });
            }
        }
    }

    fn take(&mut self, script: &TaskScript) {
        let TaskScript { of: _, service: _, first: _, pull, boot, health, crash, fails, unplaced: _, stop, spot_after } =
            script;
        if self.pull.is_zero() {
            self.pull = pull.unwrap_or_default();
        }
        if self.health.is_empty() {
            self.health = match boot {
                Some(boot) => vec![HealthStep { lasts: Some(*boot), answer: HealthAnswer::Refused }],
                None => health.clone(),
            };
        }
        self.crash = self.crash.or(*crash);
        self.fails = self.fails.or(*fails);
        self.stop = self.stop.or(*stop);
        self.spot_after = self.spot_after.or(*spot_after);
    }
}

/// The reasons that ECS gives for tasks that do not start.
pub(super) fn why_it_fails(fails: Fails, image: &str) -> String {
    match fails {
        Fails::Image => format!(
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref {image}: {image}: \
             not found"
        ),
        Fails::Architecture => format!(
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): image Manifest does not contain \
             descriptor matching platform 'linux/arm64' in {image}"
        ),
        Fails::Secret => "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
                          failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch \
                          secret: ResourceNotFoundException: Secrets Manager can't find the specified secret."
            .to_owned(),
        Fails::LogGroup => "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: \
                            failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not \
                            exist. : exit status 1"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::world::{Pace, Place, ecs::Binding},
        *,
    };

    #[test]
    fn what_is_told_of_a_task_is_not_told_of_the_next_one_with_its_port() {
        let place = Place { account: "0".repeat(12), region: "us-east-1".to_owned(), authority: "test".to_owned() };
        let mut world = World::new(place, Pace::new(1.0), 7);
        let binding = Binding { container_port: 80, host_port: 49_153, protocol: "tcp".to_owned() };
        let started = [Started { container: "web".to_owned(), runtime_id: "1".to_owned(), bindings: vec![binding] }];
        let target = Target { address: "127.0.0.1".to_owned(), port: 49_153 };
        let refuses = Act { health: vec![HealthStep { lasts: None, answer: HealthAnswer::Refused }], ..Act::default() };
        for (act, is_told) in [(&refuses, true), (&Act::default(), false)] {
            act.script_health(&mut world, &started, Process::Paper, 0);
            assert_eq!(world.elb.is_scripted(&target), is_told);
        }
    }
}
