//! STS: who one is, and roles that anybody may assume.

use jiff::Timestamp;
use quick_xml::escape::escape;

use super::super::wire::query::Form;
use super::{Fault, Millis, World};

/// The one user of the sandbox. AWS's ids of users begin with AIDA and have 21 characters.
const USER: &str = "sandbox";
const USER_ID: &str = "AIDASANDBOXSANDBOX000";

/// Answers one call with the inside of its `…Result` element.
pub fn call(world: &mut World, action: &str, form: &Form, now: Millis) -> Result<String, Fault> {
    answer(&world.place.account, action, form, now)
}

fn answer(account: &str, action: &str, form: &Form, now: Millis) -> Result<String, Fault> {
    match action {
        "GetCallerIdentity" => Ok(format!(
            "<Arn>arn:aws:iam::{account}:user/{USER}</Arn><UserId>{USER_ID}</UserId><Account>{account}</Account>"
        )),
        "AssumeRole" => assume_role(form, now),
        _ => Err(fault("InvalidAction", format!("the sandbox does not emulate STS's {action}"))),
    }
}

/// The credentials are made up on the spot: the sandbox takes any.
fn assume_role(form: &Form, now: Millis) -> Result<String, Fault> {
    let arn = required(form, "RoleArn", "roleArn")?;
    let session = required(form, "RoleSessionName", "roleSessionName")?;
    let mut parts = arn.split(':').skip(4);
    let role = match (arn.starts_with("arn:"), parts.next(), parts.next().and_then(|rest| rest.strip_prefix("role/"))) {
        (true, Some(account), Some(path)) => Some((account, path.rsplit('/').next().unwrap_or(path))),
        _ => None,
    };
    let Some((account, name)) = role else {
        return Err(fault("ValidationError", format!("{arn} is invalid")));
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=64).contains(&session.len()) || !session.bytes().all(fits) {
        return Err(fault(
            "ValidationError",
            format!(
                "1 validation error detected: Value '{session}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
            ),
        ));
    }
    // "The value can range from 900 seconds (15 minutes) up to the maximum session duration set for the role", which is
    // 12 hours at most; "by default, the value is set to 3600 seconds" — API reference, `AssumeRole`.
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
    let expiration = i64::try_from(now / 1000 + seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| fault("ValidationError", "the clock of the sandbox is out of range"))?;
    let (name, session) = (escape(name), escape(session));
    // Role ids begin with AROA, temporary keys with ASIA; the id belongs to the role's name, so it stays the same.
    let id = format!("AROA{}", upper(&hex::encode(name.as_bytes()), 17));
    let random = random_hex();
    Ok(format!(
        "<AssumedRoleUser><AssumedRoleId>{id}:{session}</AssumedRoleId><Arn>arn:aws:sts::{account}:assumed-role/{name}/{session}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>ASIA{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{random}</SessionToken>\
         <Expiration>{expiration}</Expiration></Credentials><PackedPolicySize>0</PackedPolicySize>",
        upper(&random, 16),
        &random[16..56],
        account = escape(account),
    ))
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
        answer("000000000000", form.get("Action").unwrap_or_default(), &form, 1_790_000_000_000)
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
