//! Stub until branch `elb` is merged.

use serde::{Deserialize, Serialize};

use super::super::wire::query::Form;
use super::{Fault, Millis, Pace, World};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    pub address: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    pub state: TargetState,
    pub reason: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetGroup {}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Elb {}

impl Elb {
    #[must_use]
    pub fn revision(&self) -> u64 {
        0
    }
    pub fn register(
        &mut self,
        _pace: Pace,
        _target_group_arn: &str,
        _target: &Target,
        _now: Millis,
    ) -> Result<(), Fault> {
        Ok(())
    }
    pub fn register_paper(&mut self, pace: Pace, arn: &str, target: &Target, now: Millis) -> Result<(), Fault> {
        self.register(pace, arn, target, now)
    }
    pub fn deregister(&mut self, _pace: Pace, _arn: &str, _target: &Target, _now: Millis) -> Result<(), Fault> {
        Ok(())
    }
    #[must_use]
    pub fn health(&self, _arn: &str, _target: &Target) -> TargetHealth {
        TargetHealth { state: TargetState::Unused, reason: None, description: None }
    }
    #[must_use]
    pub fn target_group(&self, _arn: &str) -> Option<&TargetGroup> {
        None
    }
    #[must_use]
    pub fn is_attached(&self, _arn: &str) -> bool {
        false
    }
    pub fn tick(&mut self, _pace: Pace, _now: Millis) {}
}

pub fn call(_world: &mut World, action: &str, _form: &Form, _now: Millis) -> Result<String, Fault> {
    Err(Fault::new("InvalidAction", action))
}
