//! SSM Parameter Store: parameters with their versions, as `secrets` of a task definition name them.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hidden::Hidden;
use super::input::decode;
use super::{Fault, Millis, Place, World};

mod filter;
mod labels;
mod reading;
mod tags;
mod writing;

/// "The maximum number of versions is 100": older ones go.
const VERSIONS: usize = 100;

/// The key that a `SecureString` has where none is named.
const DEFAULT_KEY: &str = "alias/aws/ssm";

/// The parameters of one account in one region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssm {
    parameters: BTreeMap<String, Parameter>,
    revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parameter {
    kind: Kind,
    tier: Tier,
    data_type: String,
    description: Option<String>,
    /// Of a `SecureString`; kept and shown, encrypts nothing.
    key: Option<String>,
    allowed_pattern: Option<String>,
    tags: BTreeMap<String, String>,
    /// Oldest first, never none.
    versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    number: u64,
    value: Hidden,
    at: Millis,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    String,
    StringList,
    SecureString,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Tier {
    Standard,
    Advanced,
}

impl Tier {
    fn word(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Advanced => "Advanced",
        }
    }

    /// The most characters of a value.
    fn longest(self) -> usize {
        match self {
            Self::Standard => 4096,
            Self::Advanced => 8192,
        }
    }
}

/// Answers one call of the `AmazonSSM` service.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    let World { place, ssm, .. } = world;
    ssm.answer(place, operation, input, now)
}

impl Ssm {
    /// Counts changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn answer(&mut self, place: &Place, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
        let code = "ValidationException";
        match operation {
            "AddTagsToResource" => self.add_tags(decode(input, code)?),
            "DeleteParameter" => self.delete(&decode(input, code)?),
            "DeleteParameters" => Ok(self.delete_several(&decode(input, code)?)),
            "DescribeParameters" => self.describe(place, &decode(input, code)?),
            "GetParameter" => self.get(place, &decode(input, code)?),
            "GetParameterHistory" => self.history(place, &decode(input, code)?),
            "GetParameters" => self.get_several(place, &decode(input, code)?),
            "GetParametersByPath" => self.get_by_path(place, &decode(input, code)?),
            "LabelParameterVersion" => self.label(decode(input, code)?),
            "ListTagsForResource" => self.list_tags(&decode(input, code)?),
            "PutParameter" => self.put(decode(input, code)?, now),
            "RemoveTagsFromResource" => self.remove_tags(&decode(input, code)?),
            "UnlabelParameterVersion" => self.unlabel(&decode(input, code)?),
            _ => Err(Fault::new(
                "UnknownOperationException",
                format!("The sandbox does not emulate the SSM operation {operation}."),
            )),
        }
    }

    /// The parameter of a name or ARN: `/jobs/db` and `db` have ARNs that end in `parameter/jobs/db` and `parameter/db`.
    fn find(&self, name: &str) -> Option<(&str, &Parameter)> {
        let found =
            |name: &str| self.parameters.get_key_value(name).map(|(name, parameter)| (name.as_str(), parameter));
        match name.strip_prefix("arn:").and_then(|arn| arn.split_once(":parameter/")) {
            None => found(name),
            Some((_, path)) => found(&format!("/{path}")).or_else(|| found(path)),
        }
    }

    /// The value that a container of ECS is given; `name` may be an ARN, and end in the number or a label of a version.
    pub(super) fn value(&self, name: &str) -> Option<&Hidden> {
        let (_, _, version) = self.select(name).ok()?;
        Some(&version.value)
    }

    fn changed(&mut self) -> Value {
        self.revision += 1;
        json!({})
    }
}

impl Parameter {
    fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }
}

fn arn(place: &Place, name: &str) -> String {
    format!("arn:aws:ssm:{}:{}:parameter/{}", place.region, place.account, name.trim_start_matches('/'))
}

fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault::new(code, message)
}

fn invalid(message: impl Into<String>) -> Fault {
    fault("ValidationException", message)
}

/// The real one has no words.
fn not_found() -> Fault {
    fault("ParameterNotFound", "")
}

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{text})$")).ok()
}

#[cfg(test)]
mod tests;
