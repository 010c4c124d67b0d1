//! Who is asking: Basic credentials of the registry, and the signature header of the AWS APIs.
//!
//! A signature is taken apart but not computed again: the sandbox takes any access key, and so knows no secret to verify
//! with. [`Signature`] keeps all that a verification needs besides the request itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::super::world::Fault;

/// What a client of the registry sends with every request.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    pub user: String,
    pub password: String,
}

/// The Basic credentials of a request, if it has any that can be read.
pub fn basic(headers: &HeaderMap) -> Option<Basic> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Basic { user: user.to_owned(), password: password.to_owned() })
}

/// How a service spells its refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1: ECS, ECR, Logs.
    Json,
    /// AWS Query: ELBv2, STS.
    Query,
}

/// An `AWS4-HMAC-SHA256` authorization header, taken apart.
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
}

impl Signature {
    /// Reads the signature of a call; a call without one is refused as AWS refuses it.
    pub fn of(headers: &HeaderMap, protocol: Protocol) -> Result<Self, Fault> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(members) = header.and_then(|header| header.strip_prefix("AWS4-HMAC-SHA256")) else {
            return Err(missing(protocol));
        };
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
            let header = header.unwrap_or_default();
            return Err(incomplete(protocol, format!("{} Authorization={header}", lacks.join(" "))));
        };
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
                    signed_headers: signed.split(';').map(str::to_owned).collect(),
                    signature: signature.to_owned(),
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
        let message = format!("Credential should be scoped to correct service: '{service}'.");
        Err(match protocol {
            Protocol::Json => fault(400, "InvalidSignatureException", message),
            Protocol::Query => fault(403, "SignatureDoesNotMatch", message),
        })
    }
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

fn fault(status: u16, code: &str, message: impl Into<String>) -> Fault {
    Fault { status, code: code.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn basic_credentials() {
        for (header, read) in [
            (format!("Basic {}", STANDARD.encode("AWS:a:b")), Some(("AWS", "a:b"))),
            (format!("basic {}", STANDARD.encode("AWS:")), Some(("AWS", ""))),
            (format!("Basic {}", STANDARD.encode("AWS")), None),
            ("Basic ***".to_owned(), None),
            ("Bearer abc".to_owned(), None),
        ] {
            let found = basic(&with(&header));
            assert_eq!(found.as_ref().map(|basic| (basic.user.as_str(), basic.password.as_str())), read, "{header}");
        }
    }

    #[test]
    fn takes_a_signature_apart() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20261001/eu-west-1/ecr/aws4_request, SignedHeaders=host;x-amz-date, Signature=0a1b";
        let signature = Signature::of(&with(header), Protocol::Json).unwrap();
        assert_eq!(
            signature,
            Signature {
                access_key: "AKID".into(),
                date: "20261001".into(),
                region: "eu-west-1".into(),
                service: "ecr".into(),
                signed_headers: vec!["host".into(), "x-amz-date".into()],
                signature: "0a1b".into(),
            }
        );
        assert_eq!(signature.must_be_for("ecr", Protocol::Json), Ok(()));
        assert_eq!(signature.must_be_for("ecs", Protocol::Query).unwrap_err().code, "SignatureDoesNotMatch");
    }

    #[test]
    fn refuses_calls_without_one() {
        let cut = "AWS4-HMAC-SHA256 Credential=AKID/20261001/eu-west-1/ecr, SignedHeaders=host, Signature=0a";
        for (headers, protocol, status, code) in [
            (HeaderMap::new(), Protocol::Json, 400, "MissingAuthenticationTokenException"),
            (HeaderMap::new(), Protocol::Query, 403, "MissingAuthenticationToken"),
            (with("Basic QVdTOng="), Protocol::Json, 400, "MissingAuthenticationTokenException"),
            (with("AWS4-HMAC-SHA256 Signature=0a"), Protocol::Json, 400, "IncompleteSignatureException"),
            (with(cut), Protocol::Query, 400, "IncompleteSignature"),
        ] {
            let fault = Signature::of(&headers, protocol).unwrap_err();
            assert_eq!((fault.status, fault.code.as_str()), (status, code), "{headers:?}");
        }
        insta::assert_snapshot!(
            Signature::of(&with("AWS4-HMAC-SHA256 Signature=0a"), Protocol::Json).unwrap_err().message,
            @"Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256 Signature=0a"
        );
    }
}
