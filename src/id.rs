//! Names and numbers that must not be mixed up: parsed once, at the edge, never built raw.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes a newtype around a string that ECS gave or accepts as it is.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            #[must_use]
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An ECS cluster: its short name or its ARN, as the user wrote it.
    Cluster
);
name!(
    /// The name of an ECS service inside its cluster.
    ServiceName
);
name!(
    /// The key of a `[services.…]` or `[images.…]` table in `ship.toml`.
    Key
);
name!(
    /// One run of this program, for logs and for the tag on what it registers.
    RunId
);

/// The number of a step in a plan, printed as `#4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

/// The ARN of one revision of a task definition,
/// `arn:aws:ecs:eu-west-1:111111111111:task-definition/web:42`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskDefArn(String);

impl TaskDefArn {
    /// Accepts what ECS sends; a text without `family:revision` is kept and shown as it is.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self(arn.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `web:42`: what people call a revision.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, short)| short)
    }

    #[must_use]
    pub fn family(&self) -> &str {
        self.short().rsplit_once(':').map_or(self.short(), |(family, _)| family)
    }

    /// Another revision of the same family.
    #[must_use]
    pub fn at_revision(&self, revision: u64) -> Self {
        Self(self.0.rsplit_once(':').map_or_else(|| self.0.clone(), |(family, _)| format!("{family}:{revision}")))
    }

    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.short().rsplit_once(':').and_then(|(_, revision)| revision.parse().ok())
    }
}

impl fmt::Display for TaskDefArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::TaskDefArn;

    #[test]
    fn a_task_definition_arn_is_taken_apart() {
        let arn = TaskDefArn::new("arn:aws:ecs:eu-west-1:111111111111:task-definition/web:42");
        assert_eq!(arn.short(), "web:42");
        assert_eq!(arn.family(), "web");
        assert_eq!(arn.revision(), Some(42));
        assert_eq!(arn.at_revision(7).short(), "web:7");
        assert_eq!(TaskDefArn::new("web").revision(), None);
    }
}
