//! STS: access keys and who they belong to, and roles that anybody may assume.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// The user with the two lasting keys.
#[must_use]
pub fn user(account: &str) -> String {
    format!("arn:aws:iam::{account}:user/{USER}")
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
            "AssumeRoleWithWebIdentity" => self.assume_role_with_web_identity(form, now),
            _ => Err(fault("InvalidAction", format!("the sandbox does not emulate STS's {action}"))),
        }
    }

    fn get_caller_identity(&self, account: &str, access_key: &str) -> String {
        let mut xml = Xml::new();
        let id = self.sessions.get(access_key).map_or(USER_ID, |session| session.id.as_str());
        xml.text("Arn", self.arn(account, access_key)).text("UserId", id).text("Account", account);
        xml.finish()
    }

    /// Who an access key belongs to.
    #[must_use]
    pub fn arn(&self, account: &str, access_key: &str) -> String {
        self.sessions.get(access_key).map_or_else(|| user(account), |session| session.arn.clone())
    }

    fn assume_role(&mut self, form: &Form, now: Millis) -> Result<String, Fault> {
        let mut xml = Xml::new();
        self.session(form, now)?.tell(&mut xml);
        xml.text("PackedPolicySize", 0);
        Ok(xml.finish())
    }

    /// Whoever brings a token that is not over is let in, as every role may be assumed by anybody; AWS would look for the
    /// issuer among the account's identity providers.
    fn assume_role_with_web_identity(&mut self, form: &Form, now: Millis) -> Result<String, Fault> {
        let claims = Claims::of(required(form, "WebIdentityToken", "webIdentityToken")?)?;
        let seconds = now / 1000;
        if let Some(ends) = claims.exp.filter(|ends| *ends <= seconds) {
            return Err(fault(
                "ExpiredTokenException",
                format!("Token expired: current date/time {seconds} must be before the expiration date/time {ends}"),
            ));
        }
        let mut xml = Xml::new();
        self.session(form, now)?.tell(&mut xml);
        xml.text("PackedPolicySize", 0).text("SubjectFromWebIdentityToken", &claims.sub).text("Provider", &claims.iss);
        if let Some(audience) = claims.aud.first() {
            xml.text("Audience", audience);
        }
        Ok(xml.finish())
    }

    /// A new session in the role that is asked for.
    fn session(&mut self, form: &Form, now: Millis) -> Result<Made, Fault> {
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
        // One that is over is kept for a day, so that its owner is told so and not that it never was.
        self.sessions.retain(|_, session| now < session.ends + 24 * 60 * 60 * 1000);
        self.sessions.insert(access_key.clone(), made.clone());
        self.revision += 1;
        Ok(Made { access_key, expiration, session: made })
    }
}

/// A session as it is told once, to whoever assumed the role.
struct Made {
    access_key: String,
    expiration: Timestamp,
    session: Session,
}

impl Made {
    fn tell(&self, xml: &mut Xml) {
        let Self { access_key, expiration, session } = self;
        xml.nest("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", &session.id).text("Arn", &session.arn);
        })
        .nest("Credentials", |xml| {
            xml.text("AccessKeyId", access_key)
                .text("SecretAccessKey", &session.secret)
                .text("SessionToken", &session.token)
                .text("Expiration", expiration);
        });
    }
}

/// What a web identity token says; who has signed it is not looked at.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// In seconds since the Unix epoch.
    exp: Option<u64>,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Vec<String>,
}

impl Claims {
    fn of(token: &str) -> Result<Self, Fault> {
        let mut parts = token.split('.');
        let payload = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(payload), Some(_), None) => URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok(),
            _ => None,
        };
        payload.and_then(|payload| serde_json::from_slice(&payload).ok()).ok_or_else(|| {
            fault(
                "InvalidIdentityToken",
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            )
        })
    }
}

/// "aud" of a JSON Web Token is a text or a list of them (RFC 7519, 4.1.3).
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
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

    fn by_token(claims: &str) -> Result<String, Fault> {
        let token = format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims));
        ask(&format!(
            "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::1:role/ship&RoleSessionName=ci&WebIdentityToken={token}"
        ))
    }

    #[test]
    fn a_web_identity_is_believed_until_it_is_over() {
        let claims = r#"{"iss":"https://issuer.example","sub":"repo:shop","aud":"sts.amazonaws.com","exp":1790000001}"#;
        let inner = by_token(claims).unwrap();
        for part in [
            "<Arn>arn:aws:sts::1:assumed-role/ship/ci</Arn>",
            "<SubjectFromWebIdentityToken>repo:shop</SubjectFromWebIdentityToken>",
            "<Provider>https://issuer.example</Provider>",
            "<Audience>sts.amazonaws.com</Audience>",
        ] {
            assert!(inner.contains(part), "{part}: {inner}");
        }
        let over = by_token(&claims.replace("1790000001", "1790000000")).unwrap_err();
        assert_eq!(over.code, "ExpiredTokenException");
        assert_eq!(
            over.message,
            "Token expired: current date/time 1790000000 must be before the expiration date/time 1790000000"
        );
        for other in ["{}", "no json"] {
            assert_eq!(by_token(other).unwrap_err().code, "InvalidIdentityToken", "{other}");
        }
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
            (
                "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::1:role/x&RoleSessionName=x1",
                "ValidationError",
                "'webIdentityToken'",
            ),
            ("Action=GetFederationToken", "InvalidAction", "GetFederationToken"),
        ] {
            let fault = ask(body).unwrap_err();
            assert_eq!(fault.code, code, "{body}");
            assert!(fault.message.contains(words), "{body}: {}", fault.message);
        }
    }
}
