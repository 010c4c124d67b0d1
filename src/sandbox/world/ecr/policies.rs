//! Repository and lifecycle policies, kept as written. What those of repositories deny is denied in the registry, the others
//! are [applied](super::lifecycle).

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

/// What of a repository's policy can deny something.
#[derive(Deserialize)]
struct Denials {
    #[serde(rename = "Statement")]
    statements: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    principal: Option<Value>,
    action: Option<OneOrMany<String>>,
    condition: Option<Value>,
}

/// IAM's JSON has a thing where it could have a list of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::Many(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

impl Statement {
    /// Conditions are not understood here, so a statement that has some denies nothing.
    fn denies(&self, account: &str, action: &str) -> bool {
        let fits = |pattern: &String| match pattern.split_once('*') {
            Some((start, _)) => action.to_lowercase().starts_with(&start.to_lowercase()),
            None => action.eq_ignore_ascii_case(pattern),
        };
        let is_meant = self.principal.as_ref().is_some_and(|principal| {
            let principal = principal.to_string();
            principal.contains("\"*\"") || principal.contains(account)
        });
        let acts = self.action.as_ref().is_some_and(|actions| actions.as_slice().iter().any(fits));
        self.effect == "Deny" && self.condition.is_none() && is_meant && acts
    }
}

impl Ecr {
    /// What a repository's policy says to an action of the account, `ecr:PutImage`: the denial in ECR's words.
    #[must_use]
    pub fn denial(&self, place: &Place, name: &str, action: &str) -> Option<String> {
        let policy = self.existing(place, name).ok()?.policy.as_deref()?;
        let Denials { statements } = serde_json::from_str(policy).ok()?;
        let account = &place.account;
        statements.as_slice().iter().any(|statement| statement.denies(account, action)).then(|| {
            format!(
                "User: arn:aws:iam::{account}:user/sandbox is not authorized to perform: {action} on resource: {} with an explicit deny in a resource-based policy",
                super::repositories::arn(place, name)
            )
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_denies_what_it_names_to_whom_it_names() {
        let denies = |statement: Value, action: &str| {
            let denials: Denials = serde_json::from_value(json!({ "Statement": statement })).unwrap();
            denials.statements.as_slice().iter().any(|statement| statement.denies("000000000000", action))
        };
        let everybody = json!({ "Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage" });
        assert!(denies(everybody.clone(), "ecr:PutImage"));
        assert!(!denies(everybody.clone(), "ecr:BatchGetImage"));
        let root = json!({ "AWS": "arn:aws:iam::000000000000:root" });
        let list = json!([{ "Effect": "Deny", "Principal": root, "Action": ["ecr:batchget*", "ecr:PutImage"] }]);
        assert!(denies(list.clone(), "ecr:BatchGetImage"));
        assert!(!denies(list, "ecr:InitiateLayerUpload"));
        assert!(denies(json!({ "Effect": "Deny", "Principal": "*", "Action": "*" }), "ecr:PutImage"));
        for (key, value) in [
            ("Effect", json!("Allow")),
            ("Principal", json!({ "AWS": "111111111111" })),
            ("Condition", json!({ "StringEquals": {} })),
        ] {
            let mut other = everybody.clone();
            other[key] = value;
            assert!(!denies(other, "ecr:PutImage"), "{key}");
        }
    }
}
