//! Runs the world's tasks: as real containers on an engine handed in, or on paper.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bollard::Docker;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::clock;
use super::script::{Cue, Script};
use super::state::Keeper;
use super::world::ecs::run::{self, Order, Remains};
use super::world::{Millis, World, ecs};

mod container;
mod order;
mod paper;

pub use paper::Paper;

/// What stands behind a task.
#[derive(Debug, Clone)]
pub enum Tasks {
    /// Containers on this engine, their ports published on 127.0.0.1.
    Containers(Docker),
    /// Nothing: a task is RUNNING after a moment, and its targets count as healthy.
    Paper,
}

impl Tasks {
    /// What they are, for people.
    #[must_use]
    pub const fn substance(&self) -> Substance {
        match self {
            Self::Containers(_) => Substance::Containers,
            Self::Paper => Substance::Paper,
        }
    }
}

/// What tasks are made of, in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Substance {
    #[default]
    Containers,
    Paper,
}

impl From<ecs::Substance> for Substance {
    fn from(substance: ecs::Substance) -> Self {
        match substance {
            ecs::Substance::Containers => Self::Containers,
            ecs::Substance::Paper => Self::Paper,
        }
    }
}

/// Between SIGTERM and SIGKILL a program has so long as its `stopTimeout` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeouts {
    /// In the world's time, but never less than a moment.
    Scaled,
    /// In real time, however fast the world runs: what the program takes is real, too.
    Real,
}

/// How tasks are run, whatever they are made of.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) timeouts: Timeouts,
    pub(super) script: Arc<Script>,
}

/// How often time passes in the world. The scheduler itself looks every ten of AWS's seconds.
const BEAT: Duration = Duration::from_millis(50);

/// The same where nothing has changed for a while: in the world's time, so that a fast one does not lag behind.
const QUIET_BEAT: Duration = Duration::from_millis(250);

/// How many beats without a change make it quiet: two seconds, in which whatever was asked for has begun.
const QUIET_AFTER: u32 = 40;

/// What the jobs of all tasks share.
pub(super) struct Yard {
    pub(super) world: Arc<Mutex<World>>,
    keeper: Keeper,
    pub(super) timeouts: Timeouts,
    pub(super) script: Arc<Script>,
    /// The sandbox's identity, which all its containers are labelled with.
    pub(super) identity: String,
    /// Whether the sandbox itself is ending.
    leaving: watch::Sender<bool>,
    /// Whose turn it is to take its containers away.
    pub(super) removals: Semaphore,
}

impl Yard {
    /// Returns when the sandbox is ending.
    pub(super) async fn left(&self) {
        let mut leaving = self.leaving.subscribe();
        // The sender is this very yard's: it cannot be gone.
        let _left = leaving.wait_for(|leaving| *leaving).await;
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    pub(super) fn report(&self, task: &str, report: run::Report) {
        run::report(&mut self.world(), task, report, clock::now());
        self.keeper.changed();
    }
}

/// Those who run the tasks.
pub(super) struct Crew {
    yard: Arc<Yard>,
    means: Means,
}

enum Means {
    Containers { docker: Docker, jobs: JoinSet<()>, stops: HashMap<String, watch::Sender<bool>> },
    Paper(Paper),
}

impl Crew {
    /// Takes up the tasks of an earlier run: containers whose task is still in the world are adopted, others removed.
    pub(super) async fn muster(
        tasks: Tasks,
        manner: Manner,
        identity: &str,
        world: Arc<Mutex<World>>,
        keeper: Keeper,
    ) -> Result<Self, bollard::errors::Error> {
        let leaving = watch::Sender::new(false);
        let Manner { timeouts, script } = manner;
        let yard = Arc::new(Yard {
            world,
            keeper,
            timeouts,
            script,
            identity: identity.to_owned(),
            leaving,
            removals: Semaphore::new(container::AT_ONCE),
        });
        let living = run::living(&yard.world());
        let means = match tasks {
            Tasks::Paper => {
                let mut world = yard.world();
                ecs::made_of(&mut world, ecs::Substance::Paper);
                for task in living {
                    run::resume(&mut world, &task, Remains::Whole, clock::now());
                }
                drop(world);
                Means::Paper(Paper::acting(Arc::clone(&yard.script)))
            }
            Tasks::Containers(docker) => {
                ecs::made_of(&mut yard.world(), ecs::Substance::Containers);
                let mut found = container::find(&docker, identity).await?;
                let (mut jobs, mut stops) = (JoinSet::new(), HashMap::new());
                for task in living {
                    let definition = {
                        let world = yard.world();
                        if run::was_up(&world, &task) { run::definition_of(&world, &task) } else { None }
                    };
                    let whole =
                        definition.and_then(|definition| container::match_up(&task, &definition, found.get(&task)?));
                    let remains = if whole.is_some() { Remains::Whole } else { Remains::Broken };
                    run::resume(&mut yard.world(), &task, remains, clock::now());
                    if let Some(containers) = whole {
                        found.remove(&task);
                        let (stop, stopped) = watch::channel(false);
                        stops.insert(task.clone(), stop);
                        jobs.spawn(container::attend(docker.clone(), Arc::clone(&yard), task, containers, stopped));
                    }
                }
                container::clear(&docker, found.into_values().flatten()).await;
                Means::Containers { docker, jobs, stops }
            }
        };
        Ok(Self { yard, means })
    }

    /// Lets time pass and carries out what the world orders, until told to stop; then removes all containers.
    pub(super) async fn work(mut self, mut stop: watch::Receiver<bool>) {
        let quiet_beat = self.yard.world().pace.scaled(QUIET_BEAT).clamp(BEAT, QUIET_BEAT);
        let mut written = self.yard.world().revision();
        let mut still = 0;
        loop {
            let beat = if still < QUIET_AFTER { BEAT } else { quiet_beat };
            match tokio::time::timeout(beat, stop.wait_for(|stop| *stop)).await {
                Ok(_) => break,
                Err(_elapsed) => {}
            }
            let orders = {
                let mut world = self.yard.world();
                let (now, pace) = (clock::now(), world.pace);
                world.elb.tick(pace, now);
                ecs::tick(&mut world, now);
                direct(&self.yard.script, &mut world, now);
                if let Means::Paper(paper) = &mut self.means {
                    paper.step(&mut world, now);
                    Vec::new()
                } else {
                    run::orders(&mut world, now)
                }
            };
            let revision = self.yard.world().revision();
            if revision == written {
                still = QUIET_AFTER.min(still + 1);
            } else {
                (written, still) = (revision, 0);
                self.yard.keeper.changed();
            }
            let Means::Containers { docker, jobs, stops } = &mut self.means else { continue };
            while jobs.try_join_next().is_some() {}
            if orders.iter().any(|order| matches!(order, Order::Start(_))) {
                // A container whose task nobody remembers after a kill is removed at the next start; the other way
                // round, a task that was never written down, would leave it running until then.
                let _later = self.yard.keeper.keep().await;
            }
            for order in orders {
                match order {
                    Order::Start(task) => {
                        let (stop, stopped) = watch::channel(false);
                        stops.insert(task.clone(), stop);
                        jobs.spawn(container::run(docker.clone(), Arc::clone(&self.yard), task, stopped));
                    }
                    Order::Stop(task) => {
                        if let Some(stop) = stops.remove(&task) {
                            // A job that has ended has reported so itself.
                            let _ended = stop.send(true);
                        }
                    }
                }
            }
        }
        if let Means::Containers { docker, mut jobs, .. } = self.means {
            // Not cut off: a container whose creation is under way would be left behind.
            self.yard.leaving.send_replace(true);
            loop {
                match tokio::time::timeout(container::PATIENCE, jobs.join_next()).await {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    // The engine is silent: what is left is found by the next start, or by `down`.
                    Err(_elapsed) => return,
                }
            }
            let mine = tokio::time::timeout(container::PATIENCE, container::find(&docker, &self.yard.identity)).await;
            let mine = mine.map(Result::unwrap_or_default).unwrap_or_default();
            container::clear(&docker, mine.into_values().flatten()).await;
        }
    }
}

/// Has others do what the scenario says they do now.
fn direct(script: &Script, world: &mut World, now: Millis) {
    for cue in script.cues(world, now) {
        let input = match cue {
            Cue::Scale { cluster, service, to } => {
                json!({ "cluster": cluster, "service": service, "desiredCount": to })
            }
            Cue::Deploy { cluster, service } => {
                json!({ "cluster": cluster, "service": service, "forceNewDeployment": true })
            }
        };
        // A service that is being deleted refuses, as it would refuse them.
        let _refused = ecs::call(world, "UpdateService", &input, now);
    }
}

/// Removes every container of the sandbox with this identity: for when it was killed and could not do it itself.
pub(super) async fn sweep(docker: &Docker, identity: &str) -> Result<usize, bollard::errors::Error> {
    let found: Vec<_> = container::find(docker, identity).await?.into_values().flatten().collect();
    let count = found.len();
    container::clear(docker, found).await;
    Ok(count)
}

/// How many containers the sandbox with this identity has; `None` where the engine does not say.
pub(super) async fn count(docker: &Docker, identity: &str) -> Option<usize> {
    container::count(docker, identity).await
}
