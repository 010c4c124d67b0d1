//! Repository and lifecycle policies, kept as written. Those of repositories deny nobody; the others are [applied](super::lifecycle).

use serde::Deserialize;
use serde_json::{Value, json};

use super::lifecycle::Policy;
use super::{Ecr, Fault, Millis, Place, fault, invalid};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetRepositoryPolicy {
    repository_name: String,
    policy_text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutLifecyclePolicy {
    repository_name: String,
    lifecycle_policy_text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfRepository {
    repository_name: String,
}

impl Ecr {
    pub(super) fn set_repository_policy(&mut self, place: &Place, input: SetRepositoryPolicy) -> Result<Value, Fault> {
        let SetRepositoryPolicy { repository_name: name, policy_text: text } = input;
        must_be_an_object("PolicyText", &text)?;
        self.existing_mut(place, &name)?.policy = Some(text.clone());
        Ok(policy_answer(place, &name, &text))
    }

    pub(super) fn get_repository_policy(&self, place: &Place, input: OfRepository) -> Result<Value, Fault> {
        let name = input.repository_name;
        let policy = self.existing(place, &name)?.policy.as_deref();
        Ok(policy_answer(place, &name, policy.ok_or_else(|| no_policy(place, &name))?))
    }

    pub(super) fn delete_repository_policy(&mut self, place: &Place, input: OfRepository) -> Result<Value, Fault> {
        let name = input.repository_name;
        let policy = self.existing_mut(place, &name)?.policy.take();
        Ok(policy_answer(place, &name, &policy.ok_or_else(|| no_policy(place, &name))?))
    }

    pub(super) fn put_lifecycle_policy(
        &mut self,
        place: &Place,
        input: PutLifecyclePolicy,
        now: Millis,
    ) -> Result<Value, Fault> {
        let PutLifecyclePolicy { repository_name: name, lifecycle_policy_text: text } = input;
        must_be_an_object("LifecyclePolicyText", &text)?;
        Policy::parse(&text)?;
        let repository = self.existing_mut(place, &name)?;
        repository.lifecycle = Some(text.clone());
        repository.evaluated_at = now;
        Ok(lifecycle_answer(place, &name, &text))
    }

    pub(super) fn get_lifecycle_policy(&self, place: &Place, input: OfRepository) -> Result<Value, Fault> {
        let name = input.repository_name;
        let policy = self.existing(place, &name)?.lifecycle.as_deref();
        Ok(lifecycle_answer(place, &name, policy.ok_or_else(|| no_lifecycle(place, &name))?))
    }

    pub(super) fn delete_lifecycle_policy(&mut self, place: &Place, input: OfRepository) -> Result<Value, Fault> {
        let name = input.repository_name;
        let policy = self.existing_mut(place, &name)?.lifecycle.take();
        Ok(lifecycle_answer(place, &name, &policy.ok_or_else(|| no_lifecycle(place, &name))?))
    }
}

fn policy_answer(place: &Place, name: &str, text: &str) -> Value {
    json!({ "registryId": place.account, "repositoryName": name, "policyText": text })
}

fn lifecycle_answer(place: &Place, name: &str, text: &str) -> Value {
    json!({ "registryId": place.account, "repositoryName": name, "lifecyclePolicyText": text })
}

pub(super) fn must_be_an_object(member: &str, text: &str) -> Result<(), Fault> {
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => Ok(()),
        Ok(_) | Err(_) => Err(invalid(member, "Invalid JSON syntax")),
    }
}

fn no_policy(place: &Place, name: &str) -> Fault {
    let account = &place.account;
    fault(
        "RepositoryPolicyNotFoundException",
        format!(
            "Repository policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
        ),
    )
}

pub(super) fn no_lifecycle(place: &Place, name: &str) -> Fault {
    let account = &place.account;
    fault(
        "LifecyclePolicyNotFoundException",
        format!(
            "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
        ),
    )
}
