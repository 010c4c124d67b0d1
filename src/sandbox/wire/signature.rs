//! Signature Version 4: who has signed a request, and whether the signature is right.
//!
//! The steps are those of "Create a signed AWS API request" in the IAM user guide. Keys and the last hash come from AWS's
//! own `aws-sigv4`; what is signed is put together here, from the request as it came.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::super::world::sts::{Key, Sts};
use super::super::world::{Fault, Millis};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// "Requests must reach AWS within five minutes of the time stamp" — IAM user guide, "Elements of a request signature".
const SKEW: Millis = 5 * 60 * 1000;

/// Longest life of a presigned request: seven days.
const LONGEST_PRESIGNED: u64 = 604_800;

/// Whether signatures are computed again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signatures {
    /// The key must be known and the signature right.
    #[default]
    Verified,
    /// There must be a signature for the right service; whose it is and what it says is not looked at.
    Any,
}

/// How a service spells its refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1: ECS, ECR, Logs.
    Json,
    /// AWS Query: ELBv2, STS.
    Query,
}

/// The signature of a request, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub access_key: String,
    /// `YYYYMMDD`.
    pub date: String,
    pub region: String,
    pub service: String,
    pub signed_headers: Vec<String>,
    /// Hexadecimal, as sent.
    pub signature: String,
    /// `20260921T142820Z`, as sent.
    moment: String,
    token: Option<String>,
    /// Seconds, of a presigned request.
    lifetime: Option<u64>,
}

impl Signature {
    /// Reads the signature of a request, from its header or, presigned, from its query; a request without one is refused
    /// as AWS refuses it.
    pub fn of(head: &Parts, protocol: Protocol) -> Result<Self, Fault> {
        let header = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header.and_then(|header| header.strip_prefix(ALGORITHM)) {
            Some(members) => Self::in_header(members, &head.headers, protocol),
            None => Self::in_query(head.uri.query().unwrap_or_default(), protocol),
        }
    }

    fn in_header(members: &str, headers: &HeaderMap, protocol: Protocol) -> Result<Self, Fault> {
        let lacking = |words: &str| incomplete(protocol, format!("{words} Authorization={ALGORITHM}{members}"));
        let member = |name: &str| {
            let mut members = members.split(',').filter_map(|member| member.trim().split_once('='));
            members.find(|(known, _)| *known == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let (credential, signed, signature) = (member("Credential"), member("SignedHeaders"), member("Signature"));
        let (Some(credential), Some(signed), Some(signature)) = (credential, signed, signature) else {
            let lacks: Vec<String> = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed)]
                .into_iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
                .collect();
            return Err(lacking(&lacks.join(" ")));
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let moment = text("x-amz-date").ok_or_else(|| {
            lacking("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        })?;
        Self::read(credential, signed, signature, protocol).map(|read| Self {
            moment,
            token: text("x-amz-security-token"),
            ..read
        })
    }

    fn in_query(query: &str, protocol: Protocol) -> Result<Self, Fault> {
        let find = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
                .filter(|value| !value.is_empty())
        };
        if find("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
            return Err(missing(protocol));
        }
        let need = |name: &str| {
            find(name).ok_or_else(|| {
                incomplete(
                    protocol,
                    format!(
                        "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
                    ),
                )
            })
        };
        let (credential, signed) = (need("X-Amz-Credential")?, need("X-Amz-SignedHeaders")?);
        let (signature, moment) = (need("X-Amz-Signature")?, need("X-Amz-Date")?);
        // Seconds; services that know no presigned requests of their own take a quarter of an hour.
        let lifetime = find("X-Amz-Expires").map_or(Some(900), |text| text.parse().ok());
        let lifetime = lifetime.filter(|seconds| (1..=LONGEST_PRESIGNED).contains(seconds)).ok_or_else(|| {
            incomplete(protocol, format!("X-Amz-Expires must be a number from 1 to {LONGEST_PRESIGNED}"))
        })?;
        Self::read(&credential, &signed, &signature, protocol).map(|read| Self {
            moment,
            token: find("X-Amz-Security-Token"),
            lifetime: Some(lifetime),
            ..read
        })
    }

    fn read(credential: &str, signed: &str, signature: &str, protocol: Protocol) -> Result<Self, Fault> {
        // An access key has no slash, so the scope is read from its end.
        let mut scope = credential.rsplitn(5, '/');
        match (scope.next(), scope.next(), scope.next(), scope.next(), scope.next()) {
            (Some("aws4_request"), Some(service), Some(region), Some(date), Some(access_key))
                if date.len() == 8 && ![service, region, access_key].contains(&"") =>
            {
                Ok(Self {
                    access_key: access_key.to_owned(),
                    date: date.to_owned(),
                    region: region.to_owned(),
                    service: service.to_owned(),
                    signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
                    signature: signature.to_owned(),
                    moment: String::new(),
                    token: None,
                    lifetime: None,
                })
            }
            _ => Err(incomplete(
                protocol,
                format!(
                    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
                ),
            )),
        }
    }

    /// Refuses a call that was signed for another service, as a client with a wrong endpoint sends it.
    pub fn must_be_for(&self, service: &str, protocol: Protocol) -> Result<(), Fault> {
        if self.service == service {
            return Ok(());
        }
        Err(wrong(protocol, format!("Credential should be scoped to correct service: '{service}'.")))
    }

    /// Computes the signature again, with the secret that belongs to the access key.
    pub fn verify(&self, head: &Parts, body: &[u8], keys: &Sts, protocol: Protocol, now: Millis) -> Result<(), Fault> {
        let Some(Key { secret, session }) = keys.key(&self.access_key) else { return Err(unknown(protocol)) };
        if session.map(|session| session.token) != self.token.as_deref() {
            return Err(unknown(protocol));
        }
        if session.is_some_and(|session| session.ends <= now) {
            return Err(session_over(protocol));
        }
        let signed_at = self.timely(protocol, now)?;
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err(wrong(protocol, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let Self { date, region, service, moment, .. } = self;
        let request = hex::encode(Sha256::digest(self.canonical(head, body)));
        let text = format!("{ALGORITHM}\n{moment}\n{date}/{region}/{service}/aws4_request\n{request}");
        let day = SystemTime::UNIX_EPOCH + Duration::from_millis(signed_at);
        let key = generate_signing_key(secret, day, region, service);
        if calculate_signature(key, text.as_bytes()) == self.signature {
            return Ok(());
        }
        let words = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
                     and signing method. Consult the service documentation for details.";
        Err(wrong(protocol, words))
    }

    /// Whether it was signed a moment ago, or presigned for a while that is not over; when it was signed.
    fn timely(&self, protocol: Protocol, now: Millis) -> Result<Millis, Fault> {
        let Self { moment, date, .. } = self;
        let read = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", moment).ok();
        let read = read.and_then(|read| jiff::tz::Offset::UTC.to_timestamp(read).ok());
        let Some(signed_at) = read.and_then(|at| Millis::try_from(at.as_millisecond()).ok()) else {
            return Err(incomplete(protocol, format!("Date must be in ISO-8601 'basic format'. Got '{moment}'.")));
        };
        if !moment.starts_with(date.as_str()) {
            let day = moment.get(..8).unwrap_or_default();
            return Err(wrong(
                protocol,
                format!(
                    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{day}', from '{moment}'."
                ),
            ));
        }
        match self.lifetime {
            Some(seconds) if now > signed_at + seconds * 1000 => return Err(wrong(protocol, "Request has expired.")),
            None if now > signed_at + SKEW => {
                let (now, least) = (written(now), written(now - SKEW));
                let words = format!("Signature expired: {moment} is now earlier than {least} ({now} - 5 min.)");
                return Err(wrong(protocol, words));
            }
            Some(_) | None => {}
        }
        if signed_at > now + SKEW {
            let (now, most) = (written(now), written(now + SKEW));
            let words = format!("Signature not yet current: {moment} is still later than {most} ({now} + 5 min.)");
            return Err(wrong(protocol, words));
        }
        Ok(signed_at)
    }

    /// The request as both sides must have seen it.
    fn canonical(&self, head: &Parts, body: &[u8]) -> String {
        let mut text = format!("{}\n{}\n", head.method, encoded(head.uri.path(), Slash::Kept));
        let mut query: Vec<_> = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "X-Amz-Signature")
            .map(|(name, value)| (encoded(&name, Slash::Encoded), encoded(&value, Slash::Encoded)))
            .collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&query.join("&"));
        text.push('\n');
        for name in &self.signed_headers {
            let values = head.headers.get_all(name.as_str()).into_iter();
            // Blanks around a value do not count, and several inside count as one.
            let values: Vec<String> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            text.push_str(name);
            text.push(':');
            text.push_str(&values.join(","));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.signed_headers.join(";"));
        text.push('\n');
        text.push_str(&hex::encode(Sha256::digest(body)));
        text
    }
}

fn written(at: Millis) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map(|at| at.strftime("%Y%m%dT%H%M%SZ").to_string()).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Kept,
    Encoded,
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encoded(text: &str, slash: Slash) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'/' if slash == Slash::Kept => encoded.push('/'),
            other => write!(encoded, "%{other:02X}").expect("writing to a string cannot fail"),
        }
    }
    encoded
}

fn missing(protocol: Protocol) -> Fault {
    match protocol {
        Protocol::Json => fault(400, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        Protocol::Query => fault(403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
    }
}

fn incomplete(protocol: Protocol, message: String) -> Fault {
    match protocol {
        Protocol::Json => fault(400, "IncompleteSignatureException", message),
        Protocol::Query => fault(400, "IncompleteSignature", message),
    }
}

fn wrong(protocol: Protocol, message: impl Into<String>) -> Fault {
    match protocol {
        Protocol::Json => fault(400, "InvalidSignatureException", message),
        Protocol::Query => fault(403, "SignatureDoesNotMatch", message),
    }
}

fn unknown(protocol: Protocol) -> Fault {
    let message = "The security token included in the request is invalid.";
    match protocol {
        Protocol::Json => fault(400, "UnrecognizedClientException", message),
        Protocol::Query => fault(403, "InvalidClientTokenId", message),
    }
}

fn session_over(protocol: Protocol) -> Fault {
    let message = "The security token included in the request is expired";
    match protocol {
        Protocol::Json => fault(400, "ExpiredTokenException", message),
        Protocol::Query => fault(403, "ExpiredToken", message),
    }
}

fn fault(status: u16, code: &str, message: impl Into<String>) -> Fault {
    Fault { status, code: code.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests;
