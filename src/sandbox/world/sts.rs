//! STS: access keys and who they belong to, and roles that anybody may assume.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::wire::query::{Form, Xml};
use super::{Fault, Millis, World};

/// The one user of the sandbox. AWS's ids of users begin with AIDA and have 21 characters.
const USER: &str = "sandbox";
const USER_ID: &str = "AIDASANDBOXSANDBOX000";

/// The user's access keys with their secrets. The second is the one of AWS's own documentation, for tools that take only
/// what looks like AWS's.
pub const KEYS: [(&str, &str); 2] =
    [("sandbox", "sandbox"), ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")];

/// Who has assumed a role, by temporary access key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sts {
    sessions: BTreeMap<String, Session>,
    revision: u64,
}

/// A role that somebody has assumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    secret: String,
    token: String,
    ends: Millis,
    /// `arn:aws:sts::000000000000:assumed-role/deploy/jenkins`
    arn: String,
    /// `AROA…:jenkins`
    id: String,
}

/// What a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    pub secret: &'a str,
    /// Of temporary keys only.
    pub session: Option<Token<'a>>,
}

/// What comes along with a temporary key, and until when it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub token: &'a str,
    pub ends: Millis,
}

impl Sts {
    /// Changes whenever a role is assumed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What belongs to an access key, if it is one.
    #[must_use]
    pub fn key(&self, access_key: &str) -> Option<Key<'_>> {
        let session = self
            .sessions
            .get(access_key)
            .map(|Session { secret, token, ends, .. }| Key { secret, session: Some(Token { token, ends: *ends }) });
        let lasting = || KEYS.iter().find(|(id, _)| *id == access_key);
        session.or_else(|| lasting().map(|(_, secret)| Key { secret, session: None }))
    }
}

/// Answers one call with the inside of its `…Result` element. `access_key` is the caller's.
pub fn call(world: &mut World, action: &str, form: &Form, access_key: &str, now: Millis) -> Result<String, Fault> {
    world.sts.answer(&world.place.account, action, form, access_key, now)
}

impl Sts {
    fn answer(
        &mut self,
        account: &str,
        action: &str,
        form: &Form,
        access_key: &str,
        now: Millis,
    ) -> Result<String, Fault> {
        match action {
            "GetCallerIdentity" => Ok(self.get_caller_identity(account, access_key)),
            "AssumeRole" => self.assume_role(form, now),
            _ => Err(fault("InvalidAction", format!("the sandbox does not emulate STS's {action}"))),
        }
    }

    fn get_caller_identity(&self, account: &str, access_key: &str) -> String {
        let mut xml = Xml::new();
        match self.sessions.get(access_key) {
            Some(Session { arn, id, .. }) => xml.text("Arn", arn).text("UserId", id),
            None => xml.text("Arn", format_args!("arn:aws:iam::{account}:user/{USER}")).text("UserId", USER_ID),
        }
        .text("Account", account);
        xml.finish()
    }

    fn assume_role(&mut self, form: &Form, now: Millis) -> Result<String, Fault> {
        let arn = required(form, "RoleArn", "roleArn")?;
        let session = required(form, "RoleSessionName", "roleSessionName")?;
        let mut parts = arn.split(':').skip(4);
        let account = parts.next();
        let path = parts.next().and_then(|rest| rest.strip_prefix("role/"));
        let (true, Some(account), Some(path)) = (arn.starts_with("arn:"), account, path) else {
            return Err(fault("ValidationError", format!("{arn} is invalid")));
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if !(2..=64).contains(&session.len()) || !session.bytes().all(fits) {
            return Err(fault(
                "ValidationError",
                format!(
                    "1 validation error detected: Value '{session}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
                ),
            ));
        }
        // "The value can range from 900 seconds (15 minutes) up to the maximum session duration set for the role", which
        // is 12 hours at most; "by default, the value is set to 3600 seconds" — API reference, `AssumeRole`.
        let seconds = match form.get("DurationSeconds") {
            None => 3600,
            Some(text) => text.parse::<u64>().ok().filter(|seconds| (900..=43_200).contains(seconds)).ok_or_else(|| {
                fault(
                    "ValidationError",
                    format!(
                        "1 validation error detected: Value '{text}' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200"
                    ),
                )
            })?,
        };
        let ends = (now / 1000 + seconds) * 1000;
        let expiration = i64::try_from(ends).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let expiration =
            expiration.ok_or_else(|| fault("ValidationError", "the clock of the sandbox is out of range"))?;
        // Role ids begin with AROA, temporary keys with ASIA; the id belongs to the role's name, so it stays the same.
        let role_id = format!("AROA{}", upper(&hex::encode(name.as_bytes()), 17));
        let access_key = format!("ASIA{}", upper(&random_hex(), 16));
        let made = Session {
            secret: random_hex()[..40].to_owned(),
            token: random_hex(),
            ends,
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
            id: format!("{role_id}:{session}"),
        };
        let mut xml = Xml::new();
        xml.nest("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", &made.id).text("Arn", &made.arn);
        })
        .nest("Credentials", |xml| {
            xml.text("AccessKeyId", &access_key)
                .text("SecretAccessKey", &made.secret)
                .text("SessionToken", &made.token)
                .text("Expiration", expiration);
        })
        .text("PackedPolicySize", 0);
        // One that is over is kept for a day, so that its owner is told so and not that it never was.
        self.sessions.retain(|_, session| now < session.ends + 24 * 60 * 60 * 1000);
        self.sessions.insert(access_key, made);
        self.revision += 1;
        Ok(xml.finish())
    }
}

fn upper(text: &str, length: usize) -> String {
    format!("{:0<length$}", text.chars().take(length).collect::<String>().to_uppercase())
}

fn random_hex() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("every system we run on has a source of randomness");
    hex::encode(bytes)
}

fn required<'a>(form: &'a Form, name: &str, member: &str) -> Result<&'a str, Fault> {
    form.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        fault(
            "ValidationError",
            format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ),
        )
    })
}

fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { status: 400, code: code.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &str) -> Result<String, Fault> {
        let form = Form::parse(body.as_bytes());
        let action = form.get("Action").unwrap_or_default();
        Sts::default().answer("000000000000", action, &form, "sandbox", 1_790_000_000_000)
    }

    #[test]
    fn says_who_one_is() {
        insta::assert_snapshot!(ask("Action=GetCallerIdentity&Version=2011-06-15").unwrap(), @"<Arn>arn:aws:iam::000000000000:user/sandbox</Arn><UserId>AIDASANDBOXSANDBOX000</UserId><Account>000000000000</Account>");
    }

    #[test]
    fn anybody_may_assume_a_role() {
        let inner = ask(
            "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fci%2Fdeploy&RoleSessionName=jenkins-7&DurationSeconds=900",
        )
        .unwrap();
        assert!(inner.contains("<Arn>arn:aws:sts::123456789012:assumed-role/deploy/jenkins-7</Arn>"), "{inner}");
        assert!(inner.contains("<Expiration>2026-09-21T14:28:20Z</Expiration>"), "{inner}");
        let between = |tag: &str| {
            let (_, rest) = inner.split_once(&format!("<{tag}>")).unwrap();
            rest.split_once(&format!("</{tag}>")).unwrap().0.len()
        };
        assert_eq!((between("AccessKeyId"), between("SecretAccessKey")), (20, 40));
    }

    #[test]
    fn a_session_is_known_by_its_key_until_a_day_after_its_end() {
        let mut sts = Sts::default();
        let role = |name: &str| {
            Form::from_iter([("RoleArn", format!("arn:aws:iam::1:role/{name}").as_str()), ("RoleSessionName", "ci")])
        };
        let now = 1_790_000_000_000;
        sts.answer("1", "AssumeRole", &role("one"), "sandbox", now).unwrap();
        let key = sts.sessions.keys().next().unwrap().clone();
        let Key { secret, session } = sts.key(&key).unwrap();
        assert_eq!((secret.len(), session.unwrap().ends), (40, now + 3_600_000));
        let who = sts.answer("1", "GetCallerIdentity", &Form::default(), &key, now).unwrap();
        assert!(who.contains("<Arn>arn:aws:sts::1:assumed-role/one/ci</Arn>"), "{who}");
        sts.answer("1", "AssumeRole", &role("two"), "sandbox", now + 3_600_000 + 23 * 3_600_000).unwrap();
        assert!(sts.key(&key).is_some());
        sts.answer("1", "AssumeRole", &role("two"), "sandbox", now + 3_600_000 + 24 * 3_600_000).unwrap();
        assert_eq!(sts.key(&key), None);
        assert_eq!(sts.key("sandbox"), Some(Key { secret: "sandbox", session: None }));
        assert_eq!(sts.key("nobody"), None);
    }

    #[test]
    fn refuses_as_sts_does() {
        for (body, code, words) in [
            ("Action=AssumeRole&RoleSessionName=x1", "ValidationError", "'roleArn'"),
            ("Action=AssumeRole&RoleArn=arn:aws:iam::1:role/x", "ValidationError", "'roleSessionName'"),
            ("Action=AssumeRole&RoleArn=deploy&RoleSessionName=x1", "ValidationError", "deploy is invalid"),
            ("Action=AssumeRole&RoleArn=arn:aws:iam::1:role/x&RoleSessionName=a%20b", "ValidationError", "a b"),
            (
                "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/x&RoleSessionName=x1&DurationSeconds=5",
                "ValidationError",
                "durationSeconds",
            ),
            ("Action=GetFederationToken", "InvalidAction", "GetFederationToken"),
        ] {
            let fault = ask(body).unwrap_err();
            assert_eq!(fault.code, code, "{body}");
            assert!(fault.message.contains(words), "{body}: {}", fault.message);
        }
    }
}
