//! `secrets` of a container: what their `valueFrom` names, and the words of an agent that does not get it.

use serde_json::Value;

use super::super::hidden::Hidden;
use super::super::secretsmanager::SecretsManager;
use super::super::ssm::Ssm;
use super::input::{list, text};

/// Where the values are.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) parameters: &'a Ssm,
    pub(super) secrets: &'a SecretsManager,
}

impl Stores<'_> {
    /// The environment variables of a container whose values lie here, or why the task cannot start.
    pub(super) fn fetch(self, container: &Value) -> Result<Vec<(String, Hidden)>, String> {
        let (mut fetched, mut unknown) = (Vec::new(), Vec::new());
        for secret in list(container, "secrets") {
            let name = text(secret, "name").unwrap_or_default().to_owned();
            let from = text(secret, "valueFrom").unwrap_or_default();
            if is_secret(from) {
                let value = self
                    .secret(from)
                    .map_err(|why| failed(&format!("unable to retrieve secret from asm: {RETRIED}: {why}")))?;
                fetched.push((name, value));
            } else {
                match self.parameters.value(from) {
                    Some(value) => fetched.push((name, value.clone())),
                    None => unknown.push(parameter(from)),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(fetched);
        }
        let unknown = unknown.join(",");
        Err(failed(&format!("unable to retrieve secrets from ssm: {RETRIED}: invalid parameters: {unknown}")))
    }

    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`, or that and `:JSON-KEY:STAGE:VERSION`, each of which may be empty.
    fn secret(self, from: &str) -> Result<Hidden, String> {
        let parts: Vec<&str> = from.split(':').collect();
        let (arn, key, stage, version) = match parts.as_slice() {
            [_, _, _, _, _, "secret", _] => (from.to_owned(), None, None, None),
            [head @ .., key, stage, version] if head.len() == 7 => {
                let said = |part: &str| (!part.is_empty()).then(|| part.to_owned());
                (head.join(":"), said(key), said(stage), said(version))
            }
            // The agent's own words.
            _ => {
                return Err("an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN and try \
                            again."
                    .to_owned());
            }
        };
        let found = self.secrets.text(&arn, version.as_deref(), stage.as_deref());
        let text = found.map_err(|fault| {
            format!("failed to fetch secret {arn} from secrets manager: {}: {}", fault.code, fault.message)
        })?;
        let Some(key) = key else { return Ok(text.clone()) };
        let members: Value = serde_json::from_str(text.expose())
            .map_err(|_| "invalid character looking for beginning of value".to_owned())?;
        match members.get(&key) {
            None => Err(format!("retrieved secret from Secrets Manager did not contain json key {key}")),
            Some(Value::String(value)) => Ok(Hidden::new(value.as_str())),
            Some(other) => Ok(Hidden::new(other.to_string())),
        }
    }
}

/// What the agent says of a call that it has made again.
const RETRIED: &str = "service call has been retried 1 time(s)";

fn failed(why: &str) -> String {
    format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: {why}"
    )
}

fn is_secret(from: &str) -> bool {
    from.starts_with("arn:") && from.contains(":secretsmanager:")
}

/// A parameter as SSM is asked for it: the agent makes a name of an ARN.
fn parameter(from: &str) -> String {
    match from.split_once(":parameter/") {
        Some((_, path)) if path.contains('/') => format!("/{path}"),
        Some((_, path)) => path.to_owned(),
        None => from.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::{Pace, Place, World, secretsmanager, ssm};
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:jobs/db";
    const TOKENS: [&str; 2] = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"];

    /// `/jobs/ttl` in two versions, and `jobs/db` in two.
    fn world() -> World {
        let place =
            Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:1".into() };
        let mut world = World::new(place, Pace::new(1.0), 1);
        for value in ["one", "two"] {
            let put =
                json!({ "Name": "/jobs/ttl", "Value": value, "Type": "SecureString", "Overwrite": value == "two" });
            ssm::call(&mut world, "PutParameter", &put, 5).unwrap();
        }
        for (token, operation, value) in [
            (TOKENS[0], "CreateSecret", r#"{"user":"me","port":5432}"#),
            (TOKENS[1], "PutSecretValue", r#"{"user":"you","port":5432}"#),
        ] {
            let input =
                json!({ "Name": "jobs/db", "SecretId": "jobs/db", "SecretString": value, "ClientRequestToken": token });
            secretsmanager::call(&mut world, operation, &input, 5).unwrap();
        }
        world
    }

    fn fetch(world: &World, from: &str) -> Result<String, String> {
        let stores = Stores { parameters: &world.ssm, secrets: &world.secrets };
        let mut fetched = stores.fetch(&json!({ "secrets": [{ "name": "A", "valueFrom": from }] }))?;
        let (name, value) = fetched.remove(0);
        assert_eq!(name, "A");
        Ok(value.expose().to_owned())
    }

    #[test]
    fn a_value_is_found_by_all_that_value_from_may_say() {
        let world = world();
        let of = |rest: &str| format!("{ARN}{rest}");
        let (previous, current) = (r#"{"user":"me","port":5432}"#, r#"{"user":"you","port":5432}"#);
        for (from, expected) in [
            ("/jobs/ttl".to_owned(), "two"),
            ("/jobs/ttl:1".to_owned(), "one"),
            ("arn:aws:ssm:us-east-1:000000000000:parameter/jobs/ttl".to_owned(), "two"),
            (of(""), current),
            (of(":user::"), "you"),
            (of(":port::"), "5432"),
            (of("::AWSPREVIOUS:"), previous),
            (of(":user:AWSPREVIOUS:"), "me"),
            (of(&format!(":user::{}", TOKENS[0])), "me"),
        ] {
            assert_eq!(fetch(&world, &from).as_deref(), Ok(expected), "{from}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_in_the_agent_s_words() {
        let world = world();
        for (from, why) in [
            (
                "/jobs/none".to_owned(),
                "unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: /jobs/none",
            ),
            (
                "arn:aws:ssm:us-east-1:000000000000:parameter/jobs/none".to_owned(),
                "unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: /jobs/none",
            ),
            (
                format!("{ARN}:password::"),
                "unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets \
                 Manager did not contain json key password",
            ),
            (
                format!("{ARN}::canary:"),
                "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret \
                 arn:aws:secretsmanager:us-east-1:000000000000:secret:jobs/db from secrets manager: ResourceNotFoundException: \
                 Secrets Manager can't find the specified secret value for staging label: canary",
            ),
            (
                format!("{ARN}:user"),
                "unable to retrieve secret from asm: service call has been retried 1 time(s): an invalid ARN format for the AWS \
                 Secrets Manager secret was specified. Specify a valid ARN and try again.",
            ),
            (
                format!("{ARN}2"),
                "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret \
                 arn:aws:secretsmanager:us-east-1:000000000000:secret:jobs/db2 from secrets manager: ResourceNotFoundException: \
                 Secrets Manager can't find the specified secret.",
            ),
        ] {
            let whole = format!(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: {why}"
            );
            assert_eq!(fetch(&world, &from), Err(whole), "{from}");
        }
    }
}
