//! Tags of parameters.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Fault;
use super::{Parameter, Ssm, fault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    #[serde(flatten)]
    resource: Resource,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    #[serde(flatten)]
    resource: Resource,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resource {
    resource_type: String,
    resource_id: String,
}

/// Later tags win.
pub(super) fn by_key(tags: Vec<Tag>, mut known: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    known.extend(tags.into_iter().map(|Tag { key, value }| (key, value)));
    if known.len() > 50 {
        return Err(fault("TooManyTagsError", "The number of tags exceeds the limit of 50."));
    }
    Ok(known)
}

impl Ssm {
    pub(super) fn add_tags(&mut self, input: Add) -> Result<Value, Fault> {
        let parameter = self.tagged(&input.resource)?;
        parameter.tags = by_key(input.tags, parameter.tags.clone())?;
        Ok(self.changed())
    }

    pub(super) fn remove_tags(&mut self, input: &Remove) -> Result<Value, Fault> {
        self.tagged(&input.resource)?.tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(self.changed())
    }

    pub(super) fn list_tags(&mut self, input: &Resource) -> Result<Value, Fault> {
        let tags: Vec<Value> =
            self.tagged(input)?.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        Ok(json!({ "TagList": tags }))
    }

    fn tagged(&mut self, Resource { resource_type, resource_id }: &Resource) -> Result<&mut Parameter, Fault> {
        let no_type = || {
            fault(
                "InvalidResourceType",
                format!("The sandbox has resources of the type Parameter only, not {resource_type}."),
            )
        };
        let no_id = || {
            fault(
                "InvalidResourceId",
                format!("The resource ID \"{resource_id}\" is not valid. Verify the ID and try again."),
            )
        };
        if resource_type != "Parameter" {
            return Err(no_type());
        }
        let name = self.find(resource_id).ok_or_else(no_id)?.0.to_owned();
        self.parameters.get_mut(&name).ok_or_else(no_id)
    }
}
