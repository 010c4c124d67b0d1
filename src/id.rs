//! Names and numbers that must not be mixed up: parsed once, at the edge, never built raw.

use std::{fmt, str::FromStr};

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

/// Any ARN: `arn:partition:service:region:account:resource`. Region and account are empty where the service has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    /// `role/ship`, `parameter/jobs/db-url`; may hold colons of its own.
    pub resource: String,
}

/// What is not the six parts of an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not `arn:partition:service:region:account:resource`")]
pub struct ArnError;

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts.as_slice() else { return Err(ArnError) };
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        // `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc` and the isolated ones.
        let good = partition.starts_with("aws") && !service.is_empty() && !resource.is_empty();
        if !good || ![partition, service, region, account].iter().all(|part| word(part)) {
            return Err(ArnError);
        }
        let [partition, service, region, account, resource] =
            [partition, service, region, account, resource].map(|part| (*part).to_owned());
        Ok(Self { partition, service, region, account, resource })
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(formatter, "arn:{partition}:{service}:{region}:{account}:{resource}")
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
    use proptest::prelude::*;

    use super::{Arn, TaskDefArn};

    #[test]
    fn an_arn_is_taken_apart() {
        let secret = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:jobs/db-Ab3:password::";
        let arn: Arn = secret.parse().expect("an ARN");
        assert_eq!((arn.service.as_str(), arn.resource.as_str()), ("secretsmanager", "secret:jobs/db-Ab3:password::"));
        let role: Arn = "arn:aws-cn:iam::111111111111:role/ship".parse().expect("an ARN");
        assert_eq!((role.partition.as_str(), role.region.as_str()), ("aws-cn", ""));
        for none in [
            "",
            "arn",
            "arn:aws:iam::1",
            "arn:gcp:iam::1:role/x",
            "arn:aws:iam::1:",
            "arn:aws::r:1:x",
            "urn:aws:a:b:c:d",
        ] {
            assert!(none.parse::<Arn>().is_err(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn an_arn_survives_printing(
            partition in "aws(-[a-z]{2,4}){0,2}", service in "[a-z][a-z0-9-]{0,20}", region in "([a-z]{2}-[a-z]{4,9}-[1-9])?",
            account in "([0-9]{12})?", resource in "[a-zA-Z0-9:/_.*-]{1,60}",
        ) {
            let arn = Arn { partition, service, region, account, resource };
            prop_assert_eq!(arn.to_string().parse::<Arn>(), Ok(arn));
        }

        #[test]
        fn whatever_is_read_as_an_arn_prints_as_it_was(text in "arn:aws[a-z:/-]{0,40}|[arns:aw-]{0,30}|\\PC{0,30}") {
            if let Ok(arn) = text.parse::<Arn>() {
                prop_assert_eq!(arn.to_string(), text);
            }
        }

        #[test]
        fn a_revision_survives_printing(family in "[a-zA-Z0-9_-]{1,255}", revision in 1_u64..) {
            let arn = TaskDefArn::new(format!("arn:aws:ecs:eu-west-1:111111111111:task-definition/{family}:{revision}"));
            prop_assert_eq!(arn.to_string(), format!("{}:{}", family, revision));
            prop_assert_eq!((arn.family(), arn.revision()), (family.as_str(), Some(revision)));
            prop_assert_eq!(arn.at_revision(revision), arn);
        }
    }

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
