//! What keeps ECS from starting tasks, as a scenario has it: of such a start there is an event and no task.

use super::super::Millis;
use super::definition::Definition;
use super::sight::Rolling;

/// Why a task cannot be placed or launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// AWS has no room for it.
    Capacity,
    /// No instance of the cluster has.
    Placement,
    /// The role of the task cannot be assumed.
    Role,
}

/// Whose starts are meant, and how many or for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    pub obstacle: Obstacle,
    /// `None`: of every service.
    pub service: Option<String>,
    /// Of the first deployment of a service, or of those after it; `None`: of all.
    pub rolling: Option<Rolling>,
    /// So many starts more; `None`: all.
    pub left: Option<u64>,
    /// Only so long after the deployment was created.
    pub lasts: Option<Millis>,
}

impl Hindrance {
    fn is_about(&self, service: &str, rolling: Rolling, since: Millis) -> bool {
        self.service.as_ref().is_none_or(|named| named == service)
            && self.rolling.is_none_or(|meant| meant == rolling)
            && self.lasts.is_none_or(|lasts| since < lasts)
            && self.left != Some(0)
    }
}

/// What stands in the way of one more start; of several the first, and it is counted.
pub(super) fn met(hindrances: &mut [Hindrance], service: &str, rolling: Rolling, since: Millis) -> Option<Obstacle> {
    let found = hindrances.iter_mut().find(|hindrance| hindrance.is_about(service, rolling, since))?;
    found.left = found.left.map(|left| left - 1);
    Some(found.obstacle)
}

/// What follows the prefix of the event, as the list of service event messages in the developer guide has it.
pub(super) fn told(obstacle: Obstacle, definition: &Definition, instance: &str) -> String {
    match obstacle {
        Obstacle::Capacity => {
            "was unable to place a task. Reason: Capacity is unavailable at this time. Please try again \
                               later or in a different availability zone."
                .to_owned()
        }
        Obstacle::Placement => format!(
            "was unable to place a task because no container instance met all of its requirements. The closest matching \
             (container-instance {instance}) has insufficient CPU units available."
        ),
        Obstacle::Role => format!(
            "failed to launch a task with (error ECS was unable to assume the role '{}' that was provided for this task. \
             Please verify that the role being passed has the proper trust relationship and permissions and that your IAM \
             user has permissions to pass this role.).",
            definition.role()
        ),
    }
}
