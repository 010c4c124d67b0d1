//! What a rollout would take with other settings and at AWS's own pace: the world itself, run through in
//! simulated time with tasks that take as long to come up and to end as was measured.
//!
//! Nothing here waits or listens: an hour of rollout is a few thousand steps of a state machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::wire::query::Form;
use super::world::ecs::run::{self, Order, Report, Started};
use super::world::ecs::sight::{self, Sight, Stage};
use super::world::ecs::{self, Binding, Substance};
use super::world::elb::{self, Failing, ProbeOutcome, Target, TargetState};
use super::world::{Fault, Millis, Pace, Place, World};

/// One step of simulated time.
const STEP: Millis = 250;

/// A rollout that has not ended after so long never will.
const LONGEST: Millis = 3 * 60 * 60 * 1000;

const BEGIN: Millis = 1_790_000_000_000;

/// The service as it is set up, and its program as it was measured.
#[derive(Debug, Clone)]
pub struct Outlook {
    pub desired_count: u32,
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
    pub grace_seconds: u64,
    pub health_check_interval_seconds: u64,
    pub health_check_timeout_seconds: u64,
    pub healthy_threshold: u64,
    pub unhealthy_threshold: u64,
    pub deregistration_delay_seconds: u64,
    /// The target groups beside the one that the settings above are of.
    pub further_groups: Vec<Gate>,
    /// From being placed until its containers run: pulling, most of all.
    pub start_ms: u64,
    /// From there until it answers its health check.
    pub boot_ms: u64,
    /// From the signal until it has ended.
    pub stop_ms: u64,
    /// From its containers running until it ends by itself; `None`: it does not.
    pub crash_ms: Option<u64>,
}

/// A further target group: it has a say in whether a task is healthy, and in when it may go.
#[derive(Debug, Clone)]
pub struct Gate {
    pub health_check_interval_seconds: u64,
    pub health_check_timeout_seconds: u64,
    pub healthy_threshold: u64,
    pub unhealthy_threshold: u64,
    pub deregistration_delay_seconds: u64,
}

/// How it would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub ended: Ended,
    /// Until every new task served.
    pub live_ms: Option<u64>,
    /// Until nothing of the old was left.
    pub drained_ms: Option<u64>,
    /// The fewest tasks that took requests at any moment, and the most there were that had not been told to end.
    pub least_serving: usize,
    pub most_running: usize,
    /// In how many turns new tasks were started.
    pub turns: usize,
    /// New tasks that were given up as unhealthy.
    pub replaced: usize,
    /// New tasks that ended by themselves.
    pub crashed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Completed,
    /// The percentages leave no room to start or stop a task.
    Stuck,
    /// The circuit breaker gave up.
    Failed,
    /// Not within three hours.
    Endless,
}

/// Runs it through. A refusal is one that AWS would give to such settings too.
pub fn forecast(outlook: &Outlook) -> Result<Forecast, Fault> {
    let mut stage = Simulation::settled(outlook)?;
    stage.roll_out()
}

struct Simulation<'a> {
    outlook: &'a Outlook,
    world: World,
    now: Millis,
    /// The ARN of each target group with the milliseconds between two probes.
    groups: Vec<(String, Millis)>,
    due: Vec<(Millis, String, Due)>,
    /// When each target of a group is probed next.
    probes: BTreeMap<(String, Target), Millis>,
    /// Tasks that ended by themselves.
    crashed: BTreeSet<String>,
    /// How long a task that starts now lives; the old ones live for ever.
    lives_for: Option<u64>,
    next_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Start,
    Crash,
    End,
}

impl<'a> Simulation<'a> {
    /// The service as it stood before, with all its tasks serving.
    fn settled(outlook: &'a Outlook) -> Result<Self, Fault> {
        let place = Place { account: "0".repeat(12), region: "us-east-1".to_owned(), authority: "forecast".to_owned() };
        let mut world = World::new(place, Pace::new(1.0), 7);
        ecs::made_of(&mut world, Substance::Containers);
        let mut stage = Self {
            outlook,
            world,
            now: BEGIN,
            groups: Vec::new(),
            due: Vec::new(),
            probes: BTreeMap::new(),
            crashed: BTreeSet::new(),
            lives_for: None,
            next_port: 1024,
        };
        stage.set_up()?;
        let settled = |stage: &Self| stage.serving() == stage.wanted();
        let limit = stage.now + LONGEST;
        while !settled(&stage) && stage.now < limit {
            stage.step();
        }
        // Until the first deployment is complete, or it could not be superseded in good order.
        for _ in 0..(60_000 / STEP) {
            stage.step();
        }
        Ok(stage)
    }

    fn set_up(&mut self) -> Result<(), Fault> {
        let Outlook {
            desired_count,
            minimum_healthy_percent,
            maximum_percent,
            grace_seconds,
            health_check_interval_seconds,
            health_check_timeout_seconds,
            healthy_threshold,
            unhealthy_threshold,
            deregistration_delay_seconds,
            ref further_groups,
            ..
        } = *self.outlook;
        self.balance(
            "web0",
            &Gate {
                health_check_interval_seconds,
                health_check_timeout_seconds,
                healthy_threshold,
                unhealthy_threshold,
                deregistration_delay_seconds,
            },
        )?;
        for (gate, number) in further_groups.iter().zip(1..) {
            self.balance(&format!("web{number}"), gate)?;
        }
        self.ecs("CreateCluster", &json!({ "clusterName": "web" }))?;
        self.register()?;
        let breaker = json!({ "enable": true, "rollback": true });
        let behind = |(group, _): &(String, Millis)| json!({ "targetGroupArn": group, "containerName": "web", "containerPort": 80 });
        let behind: Vec<Value> = self.groups.iter().map(behind).collect();
        self.ecs(
            "CreateService",
            &json!({
                "cluster": "web", "serviceName": "web", "taskDefinition": "web", "desiredCount": desired_count,
                "healthCheckGracePeriodSeconds": grace_seconds,
                "deploymentConfiguration": {
                    "minimumHealthyPercent": minimum_healthy_percent, "maximumPercent": maximum_percent,
                    "deploymentCircuitBreaker": breaker
                },
                "loadBalancers": behind
            }),
        )?;
        Ok(())
    }

    /// A target group with a balancer of its own in front of it.
    fn balance(&mut self, name: &str, gate: &Gate) -> Result<(), Fault> {
        let Gate {
            health_check_interval_seconds,
            health_check_timeout_seconds,
            healthy_threshold,
            unhealthy_threshold,
            deregistration_delay_seconds,
        } = *gate;
        let made = self.elb(
            "CreateTargetGroup",
            &format!(
                "Name={name}&Protocol=HTTP&Port=80&VpcId=vpc&TargetType=ip&HealthCheckIntervalSeconds={health_check_interval_seconds}\
                 &HealthCheckTimeoutSeconds={health_check_timeout_seconds}&HealthyThresholdCount={healthy_threshold}\
                 &UnhealthyThresholdCount={unhealthy_threshold}"
            ),
        )?;
        let group = text_of(&made, "TargetGroupArn");
        self.elb(
            "ModifyTargetGroupAttributes",
            &format!(
                "TargetGroupArn={group}&Attributes.member.1.Key=deregistration_delay.timeout_seconds\
                 &Attributes.member.1.Value={deregistration_delay_seconds}"
            ),
        )?;
        let form = format!("Name={name}&Subnets.member.1=subnet-a&Subnets.member.2=subnet-b");
        let balancer = text_of(&self.elb("CreateLoadBalancer", &form)?, "LoadBalancerArn");
        // No two of them listen at one port.
        let port = 80 + self.groups.len();
        self.elb(
            "CreateListener",
            &format!(
                "LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&DefaultActions.member.1.Type=forward\
                 &DefaultActions.member.1.TargetGroupArn={group}"
            ),
        )?;
        self.groups.push((group, health_check_interval_seconds * 1000));
        Ok(())
    }

    fn register(&mut self) -> Result<(), Fault> {
        let container =
            json!({ "name": "web", "image": "web", "memory": 64, "portMappings": [{ "containerPort": 80 }] });
        self.ecs("RegisterTaskDefinition", &json!({ "family": "web", "containerDefinitions": [container] }))?;
        Ok(())
    }

    fn ecs(&mut self, operation: &str, input: &Value) -> Result<Value, Fault> {
        ecs::call(&mut self.world, operation, input, self.now)
    }

    fn elb(&mut self, action: &str, form: &str) -> Result<String, Fault> {
        elb::call(&mut self.world, action, &Form::parse(form.as_bytes()), self.now)
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.outlook.desired_count).unwrap_or(usize::MAX)
    }

    fn sights(&self) -> Vec<Sight> {
        sight::sights(&self.world)
    }

    fn serving(&self) -> usize {
        self.sights().iter().filter(|sight| serves(sight)).count()
    }

    fn step(&mut self) {
        self.now += STEP;
        let (now, pace) = (self.now, self.world.pace);
        self.world.elb.tick(pace, now);
        ecs::tick(&mut self.world, now);
        self.carry_out(now);
        self.probe(now);
    }

    fn carry_out(&mut self, now: Millis) {
        for order in run::orders(&mut self.world, now) {
            match order {
                Order::Start(task) => self.due.push((now + self.outlook.start_ms, task, Due::Start)),
                Order::Stop(task) => {
                    self.due.retain(|(_, waiting, _)| *waiting != task);
                    let takes = if self.crashed.contains(&task) { 0 } else { self.outlook.stop_ms };
                    self.due.push((now + takes, task, Due::End));
                }
            }
        }
        let (ready, waiting) = std::mem::take(&mut self.due).into_iter().partition(|(at, ..)| *at <= now);
        self.due = waiting;
        for (_, task, due) in ready {
            let report = match due {
                Due::Start => {
                    if let Some(lives_for) = self.lives_for {
                        self.due.push((now + lives_for, task.clone(), Due::Crash));
                    }
                    self.next_port = self.next_port.checked_add(1).unwrap_or(1024);
                    let binding = Binding { container_port: 80, host_port: self.next_port, protocol: "tcp".to_owned() };
                    let started =
                        Started { container: "web".to_owned(), runtime_id: task.clone(), bindings: vec![binding] };
                    Report::Started(vec![started])
                }
                Due::Crash => {
                    self.crashed.insert(task.clone());
                    Report::Exited { container: "web".to_owned(), code: 1, reason: None }
                }
                Due::End => Report::Gone,
            };
            run::report(&mut self.world, &task, report, now);
        }
    }

    /// Every registered target is asked at its interval, and is well once its task has booted.
    fn probe(&mut self, now: Millis) {
        let pace = self.world.pace;
        let up: BTreeMap<String, Millis> = self
            .sights()
            .into_iter()
            .filter(|sight| !self.crashed.contains(&sight.task))
            .filter_map(|sight| {
                Some((sight.targets.first()?.address.clone(), sight.started_at? + self.outlook.boot_ms))
            })
            .collect();
        for (arn, interval) in &self.groups {
            let Some(group) = self.world.elb.target_group(arn) else { continue };
            let probed: Vec<Target> =
                group.registrations.iter().filter(|one| !one.is_draining()).map(|one| one.target.clone()).collect();
            self.probes.retain(|(group, target), _| group != arn || probed.contains(target));
            for target in probed {
                let first = now + elb::REGISTRATION_SECONDS * 1000;
                let due = self.probes.entry((arn.clone(), target.clone())).or_insert(first);
                if *due > now {
                    continue;
                }
                *due += interval;
                let outcome = match up.get(&target.to_string()) {
                    Some(at) if *at <= now => ProbeOutcome::Passed,
                    Some(_) | None => ProbeOutcome::Failed(Failing::Broken),
                };
                self.world.elb.probe_result(arn, &target, outcome, pace, now);
            }
        }
    }

    fn roll_out(&mut self) -> Result<Forecast, Fault> {
        let old: Vec<String> = self.sights().into_iter().map(|sight| sight.task).collect();
        self.register()?;
        self.lives_for = self.outlook.crash_ms;
        let answer =
            self.ecs("UpdateService", &json!({ "cluster": "web", "service": "web", "taskDefinition": "web" }))?;
        let deployment = answer["service"]["currentServiceDeployment"].clone();
        let begin = self.now;
        let mut seen = Forecast {
            ended: Ended::Endless,
            live_ms: None,
            drained_ms: None,
            least_serving: self.serving(),
            most_running: 0,
            turns: 0,
            replaced: 0,
            crashed: 0,
        };
        let mut known = 0;
        while self.now < begin + LONGEST {
            self.step();
            let sights = self.sights();
            let is_new = |sight: &&Sight| !old.contains(&sight.task);
            let serving = |sight: &&Sight| serves(sight);
            seen.least_serving = seen.least_serving.min(sights.iter().filter(serving).count());
            let running = sights.iter().filter(|sight| sight.stage < Stage::Stopping).count();
            seen.most_running = seen.most_running.max(running);
            let started = sights.iter().filter(is_new).count();
            seen.turns += usize::from(started > known);
            known = known.max(started);
            let since = self.now - begin;
            let alive = |sight: &&Sight| sight.stage != Stage::Stopped;
            if sights.iter().filter(is_new).filter(serving).count() == self.wanted() {
                seen.live_ms.get_or_insert(since);
                if !sights.iter().filter(alive).any(|sight| old.contains(&sight.task)) {
                    seen.drained_ms.get_or_insert(since);
                }
            }
            seen.replaced = sights
                .iter()
                .filter(is_new)
                .filter(|sight| sight.stopped_reason.as_deref().is_some_and(|why| why.starts_with("Task failed ELB")))
                .count();
            seen.crashed = self.crashed.len();
            // Looked for at the scheduler's own rhythm; a description a step costs more than the step.
            if since.is_multiple_of(5_000)
                && let Some(ended) = self.ended(&deployment)?
            {
                seen.ended = ended;
                break;
            }
        }
        Ok(seen)
    }

    fn ended(&mut self, deployment: &Value) -> Result<Option<Ended>, Fault> {
        let arns = json!({ "serviceDeploymentArns": [deployment] });
        let answer = self.ecs("DescribeServiceDeployments", &arns)?;
        let status = answer["serviceDeployments"][0]["status"].as_str().unwrap_or_default().to_owned();
        if status == "SUCCESSFUL" {
            return Ok(Some(Ended::Completed));
        }
        if status != "PENDING" && status != "IN_PROGRESS" {
            return Ok(Some(Ended::Failed));
        }
        let service = self.ecs("DescribeServices", &json!({ "cluster": "web", "services": ["web"] }))?;
        let events = service["services"][0]["events"].as_array().into_iter().flatten();
        let stuck = events.filter_map(|event| event["message"].as_str()).any(|text| {
            text.contains("was unable to stop or start tasks during a deployment because of the service deployment")
        });
        Ok(stuck.then_some(Ended::Stuck))
    }
}

/// What the first such element of an answer holds.
fn text_of(xml: &str, element: &str) -> String {
    let from = xml.find(&format!("<{element}>")).map_or(0, |at| at + element.len() + 2);
    let to = xml[from..].find('<').map_or(xml.len(), |at| from + at);
    xml[from..to].to_owned()
}

/// Whether it is as healthy as ECS wants it, in every target group; then new requests go to it.
fn serves(sight: &Sight) -> bool {
    !sight.targets.is_empty() && sight.targets.iter().all(|target| target.state == TargetState::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook() -> Outlook {
        Outlook {
            desired_count: 2,
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            grace_seconds: 0,
            health_check_interval_seconds: 10,
            health_check_timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            deregistration_delay_seconds: 300,
            further_groups: Vec::new(),
            start_ms: 2_000,
            boot_ms: 500,
            stop_ms: 200,
            crash_ms: None,
        }
    }

    fn told(outlook: &Outlook) -> Forecast {
        forecast(outlook).unwrap()
    }

    #[test]
    fn twice_the_tasks_for_a_while_and_then_the_whole_deregistration_delay() {
        let forecast = told(&outlook());
        assert_eq!(forecast.ended, Ended::Completed);
        assert_eq!((forecast.least_serving, forecast.most_running, forecast.turns), (2, 4, 1));
        let (live, drained) = (forecast.live_ms.unwrap(), forecast.drained_ms.unwrap());
        assert!((10_000..60_000).contains(&live), "{forecast:?}");
        assert!((300_000..360_000).contains(&(drained - live)), "{forecast:?}");
    }

    #[test]
    fn every_target_group_has_its_say_in_when_a_task_is_healthy_and_when_it_may_go() {
        // It misses its first check; from then on there is one each ten seconds.
        let late = Outlook { boot_ms: 15_000, grace_seconds: 600, deregistration_delay_seconds: 20, ..outlook() };
        let alone = told(&late);
        // One each minute, and two minutes to drain.
        let slow = Gate {
            health_check_interval_seconds: 60,
            health_check_timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            deregistration_delay_seconds: 120,
        };
        let both = told(&Outlook { further_groups: vec![slow], ..late });
        assert_eq!((alone.ended, both.ended), (Ended::Completed, Ended::Completed));
        assert!(alone.live_ms.unwrap() < 60_000 && both.live_ms.unwrap() > 70_000, "{alone:?} {both:?}");
        let drain = |forecast: &Forecast| forecast.drained_ms.unwrap() - forecast.live_ms.unwrap();
        assert!(drain(&alone) < 90_000 && drain(&both) >= 120_000, "{alone:?} {both:?}");
    }

    #[test]
    fn without_room_for_more_the_old_make_room_in_turns() {
        let narrow = Outlook { desired_count: 4, minimum_healthy_percent: 50, maximum_percent: 100, ..outlook() };
        let forecast = told(&Outlook { deregistration_delay_seconds: 20, ..narrow });
        assert_eq!((forecast.ended, forecast.least_serving, forecast.most_running), (Ended::Completed, 2, 4));
        assert_eq!(forecast.turns, 2);
        let stuck =
            told(&Outlook { desired_count: 1, minimum_healthy_percent: 100, maximum_percent: 150, ..outlook() });
        assert_eq!(stuck.ended, Ended::Stuck);
    }

    #[test]
    fn a_program_that_boots_for_longer_than_its_checks_allow_is_never_live() {
        let slow = Outlook { boot_ms: 90_000, ..outlook() };
        let forecast = told(&slow);
        assert_eq!((forecast.ended, forecast.live_ms), (Ended::Failed, None));
        assert!(forecast.replaced > 0);
        let forgiven = told(&Outlook { grace_seconds: 180, ..slow });
        assert_eq!((forgiven.ended, forgiven.replaced), (Ended::Completed, 0));
    }

    #[test]
    fn a_program_that_ends_by_itself_is_given_up_before_it_is_live() {
        // Five checks, one each ten seconds: it is never healthy.
        let forecast = told(&Outlook { crash_ms: Some(1_000), ..outlook() });
        assert_eq!((forecast.ended, forecast.live_ms, forecast.least_serving), (Ended::Failed, None, 2));
        assert!(forecast.crashed >= 3 && forecast.replaced == 0, "{forecast:?}");
        // One that lives for long enough to take over is found out by nobody.
        let late = told(&Outlook { crash_ms: Some(3_600_000), ..outlook() });
        assert_eq!((late.ended, late.crashed), (Ended::Completed, 0));
    }
}
