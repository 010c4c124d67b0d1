//! Against AWS's own published example, and what its services say to what is wrong.

use http::{Method, Request};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z
const THEN: Millis = 1_440_938_160_000;

fn head(method: Method, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The worked example of the AWS General Reference, "Signing AWS requests with Signature Version 4", its key aside: that is
/// the one the sandbox knows, `AKIDEXAMPLE` is not, and the key's name is not part of what is signed.
fn example() -> Parts {
    head(
        Method::GET,
        "/?Action=ListUsers&Version=2010-05-08",
        &[
            ("host", "iam.amazonaws.com"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("x-amz-date", "20150830T123600Z"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/iam/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, \
                 Signature=SIGNATURE",
            ),
        ],
    )
}

fn with(value: &str) -> Parts {
    head(Method::POST, "/", &[("authorization", value), ("x-amz-date", "20150830T123600Z")])
}

#[test]
fn the_canonical_request_of_awss_example() {
    let head = example();
    let signature = Signature::of(&head, Protocol::Query).unwrap();
    let canonical = signature.canonical(&head, b"");
    // "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59" in the General Reference.
    assert_eq!(
        hex::encode(Sha256::digest(&canonical)),
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59",
        "{canonical}"
    );
}

#[test]
fn takes_a_signature_apart() {
    let header = "AWS4-HMAC-SHA256 Credential=AKID/20261001/eu-west-1/ecr/aws4_request, SignedHeaders=host;X-Amz-Date, Signature=0a1b";
    let signature = Signature::of(&with(header), Protocol::Json).unwrap();
    assert_eq!((signature.access_key.as_str(), signature.date.as_str()), ("AKID", "20261001"));
    assert_eq!((signature.region.as_str(), signature.service.as_str()), ("eu-west-1", "ecr"));
    assert_eq!(signature.signed_headers, ["host", "x-amz-date"]);
    assert_eq!(signature.must_be_for("ecr", Protocol::Json), Ok(()));
    assert_eq!(signature.must_be_for("ecs", Protocol::Query).unwrap_err().code, "SignatureDoesNotMatch");
}

#[test]
fn refuses_calls_without_one() {
    let cut = "AWS4-HMAC-SHA256 Credential=AKID/20261001/eu-west-1/ecr, SignedHeaders=host, Signature=0a";
    let undated =
        "AWS4-HMAC-SHA256 Credential=AKID/20261001/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=0a";
    for (head, protocol, status, code) in [
        (head(Method::POST, "/", &[]), Protocol::Json, 400, "MissingAuthenticationTokenException"),
        (head(Method::POST, "/", &[]), Protocol::Query, 403, "MissingAuthenticationToken"),
        (with("Basic QVdTOng="), Protocol::Json, 400, "MissingAuthenticationTokenException"),
        (with("AWS4-HMAC-SHA256 Signature=0a"), Protocol::Json, 400, "IncompleteSignatureException"),
        (with(cut), Protocol::Query, 400, "IncompleteSignature"),
        (head(Method::POST, "/", &[("authorization", undated)]), Protocol::Json, 400, "IncompleteSignatureException"),
        (head(Method::GET, "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", &[]), Protocol::Query, 400, "IncompleteSignature"),
    ] {
        let fault = Signature::of(&head, protocol).unwrap_err();
        assert_eq!((fault.status, fault.code.as_str()), (status, code), "{head:?}");
    }
    insta::assert_snapshot!(
        Signature::of(&with("AWS4-HMAC-SHA256 Signature=0a"), Protocol::Json).unwrap_err().message,
        @"Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256 Signature=0a"
    );
}

/// Signs as a client does, but for the text that is signed, which is ours: that it is right is the example's to show.
fn sign(head: &mut Parts, body: &[u8], access_key: &str, secret: &str, date: &str) {
    let shell = format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{date}/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    );
    head.headers.insert("authorization", format!("{shell}0").parse().unwrap());
    let signature = Signature::of(head, Protocol::Json).unwrap();
    let hash = hex::encode(Sha256::digest(signature.canonical(head, body)));
    let text = format!("{ALGORITHM}\n{}\n{date}/us-east-1/ecs/aws4_request\n{hash}", signature.moment);
    let day = SystemTime::UNIX_EPOCH + Duration::from_millis(THEN);
    let signed = calculate_signature(generate_signing_key(secret, day, "us-east-1", "ecs"), text.as_bytes());
    head.headers.insert("authorization", format!("{shell}{signed}").parse().unwrap());
}

fn signed(access_key: &str, secret: &str) -> Parts {
    let mut head = head(Method::POST, "/", &[("host", "127.0.0.1:4517"), ("x-amz-date", "20150830T123600Z")]);
    sign(&mut head, b"{}", access_key, secret, "20150830");
    head
}

#[test]
fn what_is_wrong_is_told_as_aws_tells_it() {
    let sts = Sts::default();
    let verify = |head: &Parts, body: &str, now: Millis| {
        let signature = Signature::of(head, Protocol::Json).unwrap();
        signature
            .verify(head, body.as_bytes(), &sts, Protocol::Json, now)
            .map_err(|fault| format!("{}: {}", fault.code, fault.message))
    };
    let good = signed("AKIAIOSFODNN7EXAMPLE", SECRET);
    assert_eq!(verify(&good, "{}", THEN), Ok(()));
    assert_eq!(verify(&signed("sandbox", "sandbox"), "{}", THEN), Ok(()));
    assert_eq!(verify(&good, "{}", THEN + 300_000), Ok(()));
    let mismatch = "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
    assert_eq!(verify(&good, "{ }", THEN).unwrap_err(), mismatch);
    assert_eq!(verify(&signed("AKIAIOSFODNN7EXAMPLE", "sandbox"), "{}", THEN).unwrap_err(), mismatch);
    assert_eq!(
        verify(&signed("AKIDEXAMPLE", SECRET), "{}", THEN).unwrap_err(),
        "UnrecognizedClientException: The security token included in the request is invalid."
    );
    assert_eq!(
        verify(&good, "{}", THEN + 301_000).unwrap_err(),
        "InvalidSignatureException: Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    );
    assert_eq!(
        verify(&good, "{}", THEN - 301_000).unwrap_err(),
        "InvalidSignatureException: Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    );
    let mut other_day = good.clone();
    sign(&mut other_day, b"{}", "sandbox", "sandbox", "20150829");
    assert_eq!(
        verify(&other_day, "{}", THEN).unwrap_err(),
        "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'."
    );
    let mut with_token = signed("sandbox", "sandbox");
    with_token.headers.insert("x-amz-security-token", "t".parse().unwrap());
    assert!(verify(&with_token, "{}", THEN).unwrap_err().starts_with("UnrecognizedClientException"));
}
