//! Names for versions of a parameter: `/jobs/db:live` is whichever version has the label at the time.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Fault;
use super::{Ssm, Version, fault, not_found};

/// "A version of a parameter can have a maximum of 10 labels."
const MOST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Label {
    name: String,
    parameter_version: Option<u64>,
    labels: Vec<String>,
}

impl Ssm {
    /// A label that another version has moves to this one; without a version it is the latest.
    pub(super) fn label(&mut self, input: Label) -> Result<Value, Fault> {
        let Label { name, parameter_version, labels } = input;
        let (valid, invalid): (Vec<_>, Vec<_>) = labels.into_iter().partition(|label| is_valid(label));
        let versions = self.versions(&name)?;
        let number = parameter_version.or(versions.last().map(|latest| latest.number)).ok_or_else(not_found)?;
        let at = position(versions, &name, number)?;
        let mut all = versions[at].labels.clone();
        all.extend(valid.iter().cloned());
        all.sort_unstable();
        all.dedup();
        if all.len() > MOST {
            return Err(fault(
                "ParameterVersionLabelLimitExceeded",
                "A parameter version can have a maximum of ten labels.",
            ));
        }
        for version in versions.iter_mut() {
            version.labels.retain(|label| !valid.contains(label));
        }
        versions[at].labels = all;
        self.changed();
        Ok(json!({ "InvalidLabels": invalid, "ParameterVersion": number }))
    }

    pub(super) fn unlabel(&mut self, input: &Label) -> Result<Value, Fault> {
        let Label { name, parameter_version, labels } = input;
        let versions = self.versions(name)?;
        let number = parameter_version.ok_or_else(|| super::invalid("ParameterVersion must be specified."))?;
        let at = position(versions, name, number)?;
        let known = &mut versions[at].labels;
        let (removed, invalid): (Vec<_>, Vec<_>) = labels.iter().partition(|label| known.contains(label));
        known.retain(|label| !removed.contains(&label));
        let answer = json!({ "RemovedLabels": removed, "InvalidLabels": invalid });
        self.changed();
        Ok(answer)
    }

    fn versions(&mut self, name: &str) -> Result<&mut Vec<Version>, Fault> {
        let name = self.find(name).ok_or_else(not_found)?.0.to_owned();
        self.parameters.get_mut(&name).map(|parameter| &mut parameter.versions).ok_or_else(not_found)
    }
}

fn position(versions: &[Version], name: &str, number: u64) -> Result<usize, Fault> {
    versions.iter().position(|version| version.number == number).ok_or_else(|| {
        fault(
            "ParameterVersionNotFound",
            format!("Systems Manager could not find version {number} of {name}. Verify the version and try again."),
        )
    })
}

/// "Labels can contain letters, numbers, periods, hyphens, or underscores. Labels can't begin with a number, "aws", or
/// "ssm" (not case sensitive)", and have at most 100 characters.
fn is_valid(label: &str) -> bool {
    let small = label.to_ascii_lowercase();
    (1..=100).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !label.starts_with(|first: char| first.is_ascii_digit())
        && !small.starts_with("aws")
        && !small.starts_with("ssm")
}
