//! ELBv2: load balancers, listeners, rules, target groups, and the health of their targets.
//!
//! A state machine without a clock, a socket or a thread of its own. The data plane ([`DataPlane`]) reports what its
//! probes find ([`Elb::probe_result`]) and is told every change of the routes before the call that made it returns.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Fault, Millis, Pace, Place};

mod attributes;
mod call;
mod fault;
mod group;
mod listener;
mod regular;
mod routes;
#[cfg(test)]
mod tests;

pub use call::call;
pub use group::{
    Algorithm, Failing, HealthCheck, HealthPort, Matcher, ProbeOutcome, Process, REGISTRATION_SECONDS, Registration,
    Standing, Stickiness, Target, TargetGroup, TargetHealth, TargetState, TargetType, Warming,
};
pub use listener::{
    Action, Asked, Condition, Forward, Listener, LoadBalancer, Redirect, Rewritten, Rule, Scheme, Transform, Weighted,
    without_port,
};
pub use regular::Regular;
pub use routes::{DataPlane, Duty, ForwardedFor, GroupRoute, ListenerRoute, Probing, Routes, RuleRoute, TargetRoute};

use group::Change;

/// Everything ELBv2 knows.
#[derive(Default, Serialize, Deserialize)]
pub struct Elb {
    revision: u64,
    load_balancers: Vec<LoadBalancer>,
    target_groups: Vec<TargetGroup>,
    listeners: Vec<Listener>,
    /// By ARN; keys in the order they were given.
    tags: BTreeMap<String, Vec<(String, String)>>,
    /// Not part of the state: after a restart the balancer connects itself again.
    #[serde(skip)]
    data_plane: Option<Arc<dyn DataPlane>>,
    /// What probes found, for as long as somebody wants to know.
    #[serde(skip)]
    probes: Option<Vec<Probed>>,
    /// Targets whose health is told by somebody else than themselves.
    #[serde(skip)]
    scripts: BTreeMap<Target, Scripted>,
}

/// How a target's health checks go, whatever its process answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripted {
    pub from: Millis,
    /// One after the other, each with how long it lasts; one without goes on.
    pub steps: Vec<(Option<u64>, ScriptedAnswer)>,
    pub process: Process,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedAnswer {
    Status(u16),
    TimedOut,
    Refused,
    /// What the process itself answers.
    Own,
}

impl Scripted {
    fn at(&self, now: Millis) -> ScriptedAnswer {
        let mut left = now.saturating_sub(self.from);
        for (lasts, answer) in &self.steps {
            match lasts {
                Some(lasts) if left >= *lasts => left -= lasts,
                Some(_) | None => return *answer,
            }
        }
        ScriptedAnswer::Own
    }

    fn outcome(&self, now: Millis, check: &HealthCheck, own: ProbeOutcome) -> ProbeOutcome {
        match (self.at(now), self.process) {
            (ScriptedAnswer::Own, Process::Real) => own,
            // Nobody is there who could answer; by itself such a task is well.
            (ScriptedAnswer::Own, Process::Paper) => ProbeOutcome::Passed,
            (ScriptedAnswer::Status(code), _) if check.matcher.matches(code) => ProbeOutcome::Passed,
            (ScriptedAnswer::Status(code), _) => ProbeOutcome::Failed(Failing::Code(code)),
            (ScriptedAnswer::TimedOut, _) => ProbeOutcome::Failed(Failing::TimedOut),
            (ScriptedAnswer::Refused, _) => ProbeOutcome::Failed(Failing::Broken),
        }
    }
}

/// One health check, as it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The ARN of the target group that asked.
    pub group: String,
    pub target: Target,
    pub at: Millis,
    pub took_ms: u64,
    pub outcome: ProbeOutcome,
}

/// The most that are kept until they are asked for.
const KEPT_PROBES: usize = 10_000;

impl fmt::Debug for Elb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, load_balancers, target_groups, listeners, tags, data_plane: _, probes: _, scripts: _ } =
            self;
        f.debug_struct("Elb")
            .field("revision", revision)
            .field("load_balancers", load_balancers)
            .field("target_groups", target_groups)
            .field("listeners", listeners)
            .field("tags", tags)
            .finish_non_exhaustive()
    }
}

/// Sixteen hexadecimal digits, as at the end of ELBv2's ARNs. Made from what they name and how many changes there were
/// before, so that a state machine needs no source of randomness and a name used again gets another ARN.
fn resource_id(parts: &[&str], revision: u64, now: Millis) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(revision.to_be_bytes());
    hash.update(now.to_be_bytes());
    hex::encode(&hash.finalize()[..8])
}

impl Elb {
    /// Grows with every change that is worth writing down; probes that decide nothing are not.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Connects what really listens, and tells it the routes as they are.
    pub fn connect(&mut self, data_plane: Arc<dyn DataPlane>) {
        data_plane.publish(Routes::of(self));
        self.data_plane = Some(data_plane);
    }

    /// The opposite of [`Elb::connect`].
    pub fn disconnect(&mut self) {
        self.data_plane = None;
    }

    /// Registers a target with a process behind it. Registered again while it drains, it starts anew.
    pub fn register(&mut self, pace: Pace, target_group_arn: &str, target: &Target, now: Millis) -> Result<(), Fault> {
        self.enrol(pace, target_group_arn, target, Process::Real, now)
    }

    /// Registers a target with nothing behind it: it is not probed, and healthy with the next tick.
    pub fn register_paper(
        &mut self,
        pace: Pace,
        target_group_arn: &str,
        target: &Target,
        now: Millis,
    ) -> Result<(), Fault> {
        self.enrol(pace, target_group_arn, target, Process::Paper, now)
    }

    fn enrol(&mut self, pace: Pace, arn: &str, target: &Target, process: Process, now: Millis) -> Result<(), Fault> {
        let until = now.saturating_add(pace.millis(REGISTRATION_SECONDS));
        let group = self.group_mut(arn)?;
        match group.registrations.iter_mut().find(|registration| registration.target == *target) {
            Some(registration) if registration.is_draining() => {
                registration.restart(until);
                registration.process = process;
            }
            Some(_) => return Ok(()),
            None => group.registrations.push(Registration::new(target.clone(), process, until)),
        }
        self.changed(pace, now);
        Ok(())
    }

    /// Takes the target out of the rotation, and out of the group when the deregistration delay is over. In a group
    /// without traffic, or with a delay of 0, that is at once. "If the specified target does not exist, the action
    /// returns successfully" (`DeregisterTargets`).
    ///
    /// When this returns, no table of the data plane routes to the target any more.
    pub fn deregister(&mut self, pace: Pace, arn: &str, target: &Target, now: Millis) -> Result<(), Fault> {
        let group = self.group_mut(arn)?;
        let delay = pace.millis(group.deregistration_delay_seconds());
        let at_once = delay == 0 || !group.is_attached();
        let Some(index) = group.registrations.iter().position(|registration| registration.target == *target) else {
            return Ok(());
        };
        if at_once {
            group.registrations.remove(index);
        } else if group.registrations[index].is_draining() {
            return Ok(());
        } else {
            group.registrations[index].standing = Standing::Draining { until: now.saturating_add(delay) };
        }
        self.changed(pace, now);
        Ok(())
    }

    /// `DescribeTargetHealth`'s word on one target.
    #[must_use]
    pub fn health(&self, arn: &str, target: &Target) -> TargetHealth {
        self.target_group(arn).map_or_else(TargetHealth::not_registered, |group| group.health(target))
    }

    #[must_use]
    pub fn target_group(&self, arn: &str) -> Option<&TargetGroup> {
        self.target_groups.iter().find(|group| group.arn == arn)
    }

    #[must_use]
    pub fn load_balancer(&self, arn: &str) -> Option<&LoadBalancer> {
        self.load_balancers.iter().find(|balancer| balancer.arn == arn)
    }

    /// All listeners, in the order of their creation.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Whether a listener or rule forwards to the group.
    #[must_use]
    pub fn is_attached(&self, arn: &str) -> bool {
        self.target_group(arn).is_some_and(TargetGroup::is_attached)
    }

    /// What a rule does; a listener's own ARN stands for its default rule.
    #[must_use]
    pub fn action_of(&self, rule_arn: &str) -> Option<&Action> {
        self.listeners.iter().find_map(|listener| {
            if listener.arn == rule_arn || listener.default_rule == rule_arn {
                return Some(&listener.default_action);
            }
            listener.rules.iter().find(|rule| rule.arn == rule_arn).map(|rule| &rule.action)
        })
    }

    /// Makes a rule forward to these groups, as ECS does when it shifts traffic from one revision to another.
    pub fn forward(&mut self, pace: Pace, rule_arn: &str, groups: Vec<Weighted>, now: Millis) -> Result<(), Fault> {
        let action = self
            .listeners
            .iter_mut()
            .find_map(|listener| {
                if listener.arn == rule_arn || listener.default_rule == rule_arn {
                    return Some(&mut listener.default_action);
                }
                listener.rules.iter_mut().find(|rule| rule.arn == rule_arn).map(|rule| &mut rule.action)
            })
            .ok_or_else(fault::rule_not_found)?;
        // Whether clients stay with their group is the rule's own affair.
        let sticky_seconds = match action {
            Action::Forward(Forward { sticky_seconds, .. }) => *sticky_seconds,
            Action::Fixed { .. } | Action::Redirect(_) => None,
        };
        let wanted = Action::Forward(Forward { groups, sticky_seconds });
        if *action != wanted {
            *action = wanted;
            self.changed(pace, now);
        }
        Ok(())
    }

    /// Takes in what a probe found. Results for targets that are gone meanwhile are dropped.
    pub fn probe_result(&mut self, arn: &str, target: &Target, outcome: ProbeOutcome, pace: Pace, now: Millis) {
        let Some(group) = self.target_groups.iter_mut().find(|group| group.arn == arn) else { return };
        let check = &group.health_check;
        let outcome = self.scripts.get(target).map_or(outcome, |script| script.outcome(now, check, outcome));
        let found = group.registrations.iter_mut().find(|registration| registration.target == *target);
        if found.is_some_and(|registration| registration.probed(check, outcome) == Change::Visible) {
            group.warm_up(target, pace, now);
            self.changed(pace, now);
        }
    }

    /// Has somebody else tell a target's health.
    pub fn script(&mut self, target: &Target, script: Scripted) {
        self.scripts.insert(target.clone(), script);
    }

    pub fn end_script(&mut self, target: &Target) {
        self.scripts.remove(target);
    }

    /// Whether somebody else tells a target's health.
    #[must_use]
    pub fn is_scripted(&self, target: &Target) -> bool {
        self.scripts.contains_key(target)
    }

    /// Whether a target is being told to be unwell now.
    #[must_use]
    pub fn is_held_back(&self, target: &Target, now: Millis) -> bool {
        self.scripts.get(target).is_some_and(|script| match script.at(now) {
            ScriptedAnswer::Own => false,
            ScriptedAnswer::Status(code) => code >= 400,
            ScriptedAnswer::TimedOut | ScriptedAnswer::Refused => true,
        })
    }

    /// What the probes found since the last time this was asked; the first time they begin to be noted.
    pub fn probes(&mut self) -> Vec<Probed> {
        self.probes.replace(Vec::new()).unwrap_or_default()
    }

    /// Notes how a probe went, where somebody wants to know.
    pub fn note_probe(&mut self, probed: Probed) {
        if let Some(probes) = self.probes.as_mut().filter(|probes| probes.len() < KEPT_PROBES) {
            probes.push(probed);
        }
    }

    /// Lets time pass: ends registrations and drains that are due.
    pub fn tick(&mut self, pace: Pace, now: Millis) {
        let mut change = Change::None;
        for group in &mut self.target_groups {
            for registration in &mut group.registrations {
                if registration.tick(now) == Change::Visible {
                    change = Change::Visible;
                }
            }
            let before = group.registrations.len();
            group.registrations.retain(|one| !matches!(one.standing, Standing::Draining { until } if until <= now));
            if group.registrations.len() != before {
                change = Change::Visible;
            }
        }
        if change == Change::Visible {
            self.changed(pace, now);
        }
    }

    fn group_mut(&mut self, arn: &str) -> Result<&mut TargetGroup, Fault> {
        self.target_groups.iter_mut().find(|group| group.arn == arn).ok_or_else(fault::target_group_not_found)
    }

    /// Must end every change: settles who is attached, and tells the data plane.
    fn changed(&mut self, pace: Pace, now: Millis) {
        self.revision += 1;
        self.settle_attachments(pace, now);
        if let Some(data_plane) = &self.data_plane {
            data_plane.publish(Routes::of(self));
        }
    }

    /// A group that has just been given traffic starts its health checks from the beginning; what it knew of before is
    /// from a time when nobody asked.
    fn settle_attachments(&mut self, pace: Pace, now: Millis) {
        let until = now.saturating_add(pace.millis(REGISTRATION_SECONDS));
        for group in &mut self.target_groups {
            let mut users: Vec<String> = self
                .listeners
                .iter()
                .filter(|one| one.actions().flat_map(Action::target_groups).any(|used| used.arn == group.arn))
                .map(|listener| listener.load_balancer.clone())
                .collect();
            users.sort_unstable();
            users.dedup();
            let begins = group.load_balancers.is_empty() && !users.is_empty();
            group.load_balancers = users;
            for registration in group.registrations.iter_mut().filter(|one| begins && !one.is_draining()) {
                registration.restart(until);
            }
        }
    }

    /// `arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/73e2d6bc24d8a067`, say, without its last part.
    fn arn(place: &Place, kind: &str, path: &str) -> String {
        format!("arn:aws:elasticloadbalancing:{}:{}:{kind}/{path}", place.region, place.account)
    }
}
