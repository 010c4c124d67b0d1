//! Repository and lifecycle policies, kept as written. What those of repositories deny is denied, in the registry as in the
//! calls, the others are [applied](super::lifecycle).

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
    fn denies(&self, account: &str, caller: &str, action: &str) -> bool {
        let fits = |pattern: &String| match pattern.split_once('*') {
            Some((start, _)) => action.to_lowercase().starts_with(&start.to_lowercase()),
            None => action.eq_ignore_ascii_case(pattern),
        };
        let is_meant = self.principal.as_ref().is_some_and(|principal| {
            let named = match principal {
                Value::Object(kinds) => kinds.get("AWS").unwrap_or(&Value::Null),
                everybody => everybody,
            };
            let named = named.as_array().map_or(std::slice::from_ref(named), Vec::as_slice);
            named.iter().filter_map(Value::as_str).any(|one| is_named(one, account, caller))
        });
        let acts = self.action.as_ref().is_some_and(|actions| actions.as_slice().iter().any(fits));
        self.effect == "Deny" && self.condition.is_none() && is_meant && acts
    }
}

/// Whether a principal means the caller: everybody, the account, the user, the session, or the role it has assumed.
fn is_named(principal: &str, account: &str, caller: &str) -> bool {
    let role_of = |arn: &str| {
        let session = arn.split_once(":assumed-role/")?.1;
        Some(session.split('/').next().unwrap_or(session).to_owned())
    };
    let is_role = || match (role_of(caller), principal.split_once(":role/")) {
        (Some(assumed), Some((_, role))) => role.rsplit('/').next() == Some(assumed.as_str()),
        (Some(_) | None, _) => false,
    };
    let root = principal == account || principal == format!("arn:aws:iam::{account}:root");
    principal == "*" || root || principal == caller || is_role()
}

/// The repositories that a call names.
fn named(input: &Value) -> Vec<&str> {
    let one = input.get("repositoryName").and_then(Value::as_str);
    let many = input.get("repositoryNames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let arn = input.get("resourceArn").and_then(Value::as_str).and_then(|arn| Some(arn.split_once(":repository/")?.1));
    one.into_iter().chain(many).chain(arn).collect()
}

impl Ecr {
    /// Refuses a call that the policy of a repository it names denies to the caller. Not those about the policy itself: who
    /// denies everything to everybody would never get out again.
    pub fn permit(&self, place: &Place, operation: &str, input: &Value, caller: &str) -> Result<(), Fault> {
        if operation.ends_with("RepositoryPolicy") {
            return Ok(());
        }
        let action = format!("ecr:{operation}");
        let denial = named(input).into_iter().find_map(|name| self.denial(place, name, &action, caller));
        denial.map_or(Ok(()), |message| Err(fault("AccessDeniedException", message)))
    }

    /// What a repository's policy says to an action of a caller, `ecr:PutImage`: the denial in ECR's words.
    #[must_use]
    pub fn denial(&self, place: &Place, name: &str, action: &str, caller: &str) -> Option<String> {
        let policy = self.existing(place, name).ok()?.policy.as_deref()?;
        let Denials { statements } = serde_json::from_str(policy).ok()?;
        let account = &place.account;
        statements.as_slice().iter().any(|statement| statement.denies(account, caller, action)).then(|| {
            format!(
                "User: {caller} is not authorized to perform: {action} on resource: {} with an explicit deny in a resource-based policy",
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
            let user = "arn:aws:iam::000000000000:user/sandbox";
            denials.statements.as_slice().iter().any(|statement| statement.denies("000000000000", user, action))
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

    #[test]
    fn a_principal_is_everybody_the_account_or_somebody_of_it() {
        let user = "arn:aws:iam::000000000000:user/sandbox";
        let session = "arn:aws:sts::000000000000:assumed-role/deploy/jenkins";
        for (principal, both) in [
            ("*", [true, true]),
            ("000000000000", [true, true]),
            ("arn:aws:iam::000000000000:root", [true, true]),
            (user, [true, false]),
            (session, [false, true]),
            ("arn:aws:iam::000000000000:role/ci/deploy", [false, true]),
            ("arn:aws:iam::000000000000:role/deployer", [false, false]),
            ("arn:aws:iam::111111111111:root", [false, false]),
        ] {
            assert_eq!([user, session].map(|caller| is_named(principal, "000000000000", caller)), both, "{principal}");
        }
    }
}
