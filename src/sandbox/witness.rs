//! Somebody who stands beside a rollout and notes when each task did what, and in which phase it all is.
//!
//! The APIs tell most of this, but to the second and only when asked; a rehearsal measures the program
//! under its own clock, so it looks at the world itself, many times a second, and asks new tasks for
//! their health from the moment they run, to know how long they really take to come up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock;
use super::load::Phase;
use super::world::ecs::sight::{self, Sight, Stage};
use super::world::elb::{ProbeOutcome, Probed, Target, TargetState};
use super::world::{Millis, World};

/// How often the world is looked at: what a phase may be off by.
const LOOK: Duration = Duration::from_millis(20);

/// How often a new task is asked whether it is up, and how long it may take over the answer.
const ASK: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(2);

/// Whose a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Of a deployment that was there when the rollout began.
    Old,
    New,
}

/// One task's life; times in milliseconds since the epoch.
#[derive(Debug, Clone, Serialize)]
pub struct Life {
    pub task: String,
    pub side: Side,
    pub definition: String,
    pub created_at: Millis,
    /// Its containers run.
    pub started_at: Option<Millis>,
    /// It first answered its health check as it should.
    pub answered_at: Option<Millis>,
    /// The balancer first called it healthy.
    pub healthy_at: Option<Millis>,
    /// The balancer called it unhealthy: when, and why.
    pub unhealthy: Vec<(Millis, String)>,
    /// It was taken out of its target groups.
    pub drained_from: Option<Millis>,
    /// It was told to end.
    pub signalled_at: Option<Millis>,
    /// The last of its essential containers ended.
    pub ended_at: Option<Millis>,
    /// Nothing was left of it.
    pub gone_at: Option<Millis>,
    /// `127.0.0.1:49153`
    pub targets: BTreeSet<String>,
    pub exits: Vec<ExitSeen>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub probes: Probes,
    /// The balancer sends it requests at this moment.
    #[serde(skip)]
    pub healthy_now: bool,
}

/// How one of its containers ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExitSeen {
    pub container: String,
    pub essential: bool,
    pub code: i64,
    /// Before anybody told it to.
    pub by_itself: bool,
    pub reason: Option<String>,
}

/// How the balancer's health checks of it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Probes {
    pub passed: u64,
    pub failed: u64,
    /// Failed ones after the first of that target group that passed, while it was to serve.
    pub failed_later: u64,
    /// Of those that passed.
    pub slowest_ms: u64,
    /// The same for each target group, by name, that one has passed of.
    #[serde(skip)]
    pub slowest_of: BTreeMap<String, u64>,
}

/// What is to be asked of new tasks.
#[derive(Debug, Clone)]
pub struct HealthQuestion {
    /// `None`: whichever has that port.
    pub container: Option<String>,
    pub container_port: u16,
    pub path: String,
}

/// Whatever was seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seen {
    /// In the order of their creation.
    pub lives: Vec<Life>,
    /// Each phase with when it began; a phase may come back.
    pub phases: Vec<(Millis, Phase)>,
}

impl Seen {
    pub fn side(&self, side: Side) -> impl Iterator<Item = &Life> {
        self.lives.iter().filter(move |life| life.side == side)
    }

    /// The task that stood behind a target's address at that time.
    #[must_use]
    pub fn behind(&self, target: &str, at: Millis) -> Option<&Life> {
        self.lives.iter().rev().find(|life| {
            life.targets.contains(target) && life.created_at <= at && life.gone_at.is_none_or(|gone| gone + 1000 >= at)
        })
    }
}

/// Watches until told to stop.
pub struct Witness {
    seen: Arc<Mutex<Notes>>,
    stop: watch::Sender<bool>,
    job: JoinHandle<()>,
}

struct Notes {
    service: String,
    old_deployments: BTreeSet<String>,
    lives: BTreeMap<String, Life>,
    order: Vec<String>,
    phases: Vec<(Millis, Phase)>,
}

impl Witness {
    /// Begins to watch a service. Deployments that have tasks now are the old ones; the phase is told as it changes.
    #[must_use]
    pub fn begin(
        world: Arc<Mutex<World>>,
        service: &str,
        questions: Vec<HealthQuestion>,
        phase: watch::Sender<Phase>,
    ) -> Self {
        let old_deployments = {
            let mut world = lock(&world);
            // From now on they are noted.
            drop(world.elb.probes());
            let own = sight::sights(&world).into_iter().filter(|sight| sight.service.as_deref() == Some(service));
            own.filter_map(|sight| sight.started_by).collect()
        };
        let notes = Notes {
            service: service.to_owned(),
            old_deployments,
            lives: BTreeMap::new(),
            order: Vec::new(),
            phases: Vec::new(),
        };
        let seen = Arc::new(Mutex::new(notes));
        let (stop, stopped) = watch::channel(false);
        let job = tokio::spawn(watch_on(world, Arc::clone(&seen), questions, phase, stopped));
        Self { seen, stop, job }
    }

    /// Ends the watch and tells.
    pub async fn tell(self) -> Seen {
        let Self { seen, stop, job } = self;
        // It listens for as long as it runs, and ends on nothing else.
        let _ended = stop.send(true);
        let _done = job.await;
        let notes = lock(&seen);
        Seen { lives: notes.order.iter().map(|id| notes.lives[id].clone()).collect(), phases: notes.phases.clone() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch_on(
    world: Arc<Mutex<World>>,
    seen: Arc<Mutex<Notes>>,
    questions: Vec<HealthQuestion>,
    phase: watch::Sender<Phase>,
    mut stop: watch::Receiver<bool>,
) {
    let mut beat = tokio::time::interval(LOOK);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut askers = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let (sights, probes, now) = {
            let mut world = lock(&world);
            (sight::sights(&world), world.elb.probes(), clock::now())
        };
        let (came_up, reached) = lock(&seen).look(&sights, &probes, &questions, now);
        for (task, doors) in came_up {
            askers.spawn(ask_until_up(Arc::clone(&world), Arc::clone(&seen), task, doors));
        }
        phase.send_if_modified(|known| std::mem::replace(known, reached) != reached);
    }
    askers.shutdown().await;
}

impl Notes {
    /// Takes in one look; gives back the new tasks that have just begun to run, with where to ask, and the phase.
    fn look(
        &mut self,
        sights: &[Sight],
        probes: &[Probed],
        questions: &[HealthQuestion],
        now: Millis,
    ) -> (Vec<(String, Vec<Door>)>, Phase) {
        let mut came_up = Vec::new();
        for sight in sights.iter().filter(|sight| sight.service.as_deref() == Some(&self.service)) {
            let old = sight.started_by.as_ref().is_some_and(|by| self.old_deployments.contains(by));
            if !self.lives.contains_key(&sight.task) {
                // Gone before the watch began.
                if old && sight.stage == Stage::Stopped {
                    continue;
                }
                self.order.push(sight.task.clone());
            }
            let life = self
                .lives
                .entry(sight.task.clone())
                .or_insert_with(|| Life::new(sight, if old { Side::Old } else { Side::New }));
            if life.started_at.is_none() && sight.started_at.is_some() && !old {
                let doors: Vec<Door> = questions.iter().filter_map(|question| door(sight, question)).collect();
                if !doors.is_empty() {
                    came_up.push((sight.task.clone(), doors));
                }
            }
            life.take_in(sight, now);
        }
        for probed in probes {
            let target = probed.target.to_string();
            let Some(life) = self
                .lives
                .values_mut()
                .rev()
                .find(|life| life.targets.contains(&target) && life.gone_at.is_none_or(|gone| gone >= probed.at))
            else {
                continue;
            };
            life.probes.take_in(probed);
        }
        let phase = self.phase();
        if self.phases.last().is_none_or(|(_, last)| *last != phase) {
            self.phases.push((now, phase));
        }
        (came_up, phase)
    }

    /// Where it all stands. With tasks replaced in turns several of these go on at once: the one furthest on is told.
    fn phase(&self) -> Phase {
        let alive = |side| self.lives.values().filter(move |life: &&Life| life.side == side && life.gone_at.is_none());
        if self.lives.values().all(|life| life.side == Side::Old) {
            Phase::Before
        } else if alive(Side::Old).any(|life| life.signalled_at.is_some()) {
            Phase::Stop
        } else if alive(Side::Old).any(|life| life.drained_from.is_some()) {
            Phase::Drain
        } else if alive(Side::Old).next().is_none() {
            Phase::After
        } else if alive(Side::New).any(|life| life.healthy_now) {
            Phase::Shift
        } else {
            Phase::Start
        }
    }
}

impl Life {
    fn new(sight: &Sight, side: Side) -> Self {
        Self {
            task: sight.task.clone(),
            side,
            definition: sight.definition.clone(),
            created_at: sight.created_at,
            started_at: None,
            answered_at: None,
            healthy_at: None,
            unhealthy: Vec::new(),
            drained_from: None,
            signalled_at: None,
            ended_at: None,
            gone_at: None,
            targets: BTreeSet::new(),
            exits: Vec::new(),
            stop_code: None,
            stopped_reason: None,
            probes: Probes::default(),
            healthy_now: false,
        }
    }

    fn take_in(&mut self, sight: &Sight, now: Millis) {
        self.started_at = self.started_at.or(sight.started_at);
        // As ECS counts it: in every target group.
        let healthy =
            !sight.targets.is_empty() && sight.targets.iter().all(|target| target.state == TargetState::Healthy);
        let sick = sight.targets.iter().find(|target| target.state == TargetState::Unhealthy);
        if healthy && self.healthy_at.is_none() {
            self.healthy_at = Some(now);
        }
        if let Some(sick) = sick
            && (self.healthy_now || self.unhealthy.is_empty())
        {
            self.unhealthy.push((now, sick.why.clone().unwrap_or_default()));
        }
        self.healthy_now = healthy;
        self.targets.extend(sight.targets.iter().map(|target| target.address.clone()));
        let mark = |since: &mut Option<Millis>, so: bool| {
            if so {
                since.get_or_insert(now);
            }
        };
        mark(&mut self.drained_from, sight.targets.iter().any(|target| target.leaving));
        mark(&mut self.signalled_at, sight.stage >= Stage::Stopping);
        let essential = || sight.containers.iter().filter(|container| container.essential);
        mark(
            &mut self.ended_at,
            essential().all(|container| container.exit_code.is_some()) || sight.stage == Stage::Stopped,
        );
        mark(&mut self.gone_at, sight.stage == Stage::Stopped);
        self.exits = sight
            .containers
            .iter()
            .filter_map(|container| {
                Some(ExitSeen {
                    container: container.name.clone(),
                    essential: container.essential,
                    code: container.exit_code?,
                    by_itself: container.by_itself,
                    reason: container.reason.clone(),
                })
            })
            .collect();
        self.stop_code.clone_from(&sight.stop_code);
        self.stopped_reason.clone_from(&sight.stopped_reason);
    }
}

impl Probes {
    fn take_in(&mut self, probed: &Probed) {
        match probed.outcome {
            ProbeOutcome::Passed => {
                self.passed += 1;
                self.slowest_ms = self.slowest_ms.max(probed.took_ms);
                let slowest = self.slowest_of.entry(name_of(&probed.group).to_owned()).or_default();
                *slowest = probed.took_ms.max(*slowest);
            }
            ProbeOutcome::Failed(_) => {
                self.failed += 1;
                self.failed_later += u64::from(self.slowest_of.contains_key(name_of(&probed.group)));
            }
        }
    }
}

/// `web` of `arn:…:targetgroup/web/0123456789abcdef`.
fn name_of(group: &str) -> &str {
    group.rsplit('/').nth(1).unwrap_or(group)
}

/// Where a task is asked for its health: a port of this machine and a path.
type Door = (u16, String);

fn door(sight: &Sight, question: &HealthQuestion) -> Option<Door> {
    let wanted = |name: &str| question.container.as_deref().is_none_or(|container| container == name);
    let containers = sight.containers.iter().filter(|container| wanted(&container.name));
    let mut bindings = containers.flat_map(|container| &container.bindings);
    let binding = bindings.find(|binding| binding.container_port == question.container_port)?;
    Some((binding.host_port, question.path.clone()))
}

/// Asks a new task for its health until it is well at every door, and notes when that was.
async fn ask_until_up(world: Arc<Mutex<World>>, seen: Arc<Mutex<Notes>>, task: String, mut doors: Vec<Door>) {
    let mut beat = tokio::time::interval(ASK);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let mut unwell = Vec::new();
        for (port, path) in doors {
            let well = tokio::time::timeout(ANSWER, is_well(port, &path)).await.unwrap_or(false);
            let target = Target { address: "127.0.0.1".to_owned(), port };
            // A scenario may say that it is not up yet, whatever it says itself.
            if !well || lock(&world).elb.is_held_back(&target, clock::now()) {
                unwell.push((port, path));
            }
        }
        doors = unwell;
        let (well, now) = (doors.is_empty(), clock::now());
        let mut seen = lock(&seen);
        let Some(life) = seen.lives.get_mut(&task) else { return };
        if well {
            life.answered_at.get_or_insert(now);
        }
        if well || life.gone_at.is_some() {
            return;
        }
    }
}

async fn is_well(port: u16, path: &str) -> bool {
    let exchange = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path)
            .header(header::HOST, format!("127.0.0.1:{port}"))
            .header(header::USER_AGENT, "docker-ecs-ship-rehearsal")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.ok()?).await;
        connection.abort();
        Some(answer.ok()?.status().as_u16())
    };
    exchange.await.is_some_and(|status| status < 400)
}
