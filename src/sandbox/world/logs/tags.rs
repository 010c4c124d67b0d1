//! Tags of log groups, by ARN and, as older tools ask for them, by name.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fault, Logs, fault, group_name};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    resource_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tag {
    resource_arn: String,
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

/// The older calls name the group itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    log_group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TagNamed {
    log_group_name: String,
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UntagNamed {
    log_group_name: String,
    tags: Vec<String>,
}

impl From<TagNamed> for Tag {
    fn from(TagNamed { log_group_name, tags }: TagNamed) -> Self {
        Self { resource_arn: log_group_name, tags }
    }
}

impl From<UntagNamed> for Untag {
    fn from(UntagNamed { log_group_name, tags }: UntagNamed) -> Self {
        Self { resource_arn: log_group_name, tag_keys: tags }
    }
}

impl From<Named> for Resource {
    fn from(Named { log_group_name }: Named) -> Self {
        Self { resource_arn: log_group_name }
    }
}

impl Logs {
    pub(super) fn list_tags(&self, input: &Resource) -> Result<Value, Fault> {
        Ok(json!({ "tags": self.group(group_name(None, Some(&input.resource_arn))?)?.tags }))
    }

    pub(super) fn tag(&mut self, input: Tag) -> Result<Value, Fault> {
        let tags = &mut self.group_mut(group_name(None, Some(&input.resource_arn))?)?.tags;
        let mut all = tags.clone();
        all.extend(input.tags);
        if all.len() > 50 {
            return Err(fault("TooManyTagsException", "A resource can have no more than 50 tags."));
        }
        *tags = all;
        Ok(json!({}))
    }

    pub(super) fn untag(&mut self, input: &Untag) -> Result<Value, Fault> {
        let tags = &mut self.group_mut(group_name(None, Some(&input.resource_arn))?)?.tags;
        tags.retain(|key, _| !input.tag_keys.contains(key));
        Ok(json!({}))
    }
}
