//! What is the same for all services: ids of requests, operations that are not emulated, requests that are not signed.

use aws_sdk_ecs::config::Credentials;
use aws_sdk_ecs::operation::RequestId as _;
use ecs_ship::sandbox::Signatures;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::clients::{Place, refusal};

#[tokio::test]
async fn every_answer_has_an_id() {
    let place = Place::start().await;
    let ids = [
        place.ecs.list_clusters().send().await.unwrap().request_id().map(str::len),
        place.ecr.describe_repositories().send().await.unwrap().request_id().map(str::len),
        place.logs.describe_log_groups().send().await.unwrap().request_id().map(str::len),
        place.elb.describe_target_groups().send().await.unwrap().request_id().map(str::len),
        place.sts.get_caller_identity().send().await.unwrap().request_id().map(str::len),
        place.ecs.delete_cluster().cluster("nope").send().await.unwrap_err().request_id().map(str::len),
        place.elb.describe_target_groups().names("nope").send().await.unwrap_err().request_id().map(str::len),
    ];
    assert_eq!(ids, [Some(36); 7]);
    place.stop().await;
}

#[tokio::test]
async fn what_is_not_emulated_is_refused_by_name() {
    let place = Place::start().await;
    for ((code, message), expected, operation) in [
        (refusal!(place.ecs.discover_poll_endpoint()), "UnknownOperationException", "DiscoverPollEndpoint"),
        (
            refusal!(place.ecs.execute_command().task("t").command("sh").interactive(true)),
            "UnknownOperationException",
            "The sandbox does not emulate the ECS operation ExecuteCommand. There is no SSM agent in its containers",
        ),
        (
            refusal!(place.ecr.describe_pull_through_cache_rules()),
            "UnknownOperationException",
            "DescribePullThroughCacheRules",
        ),
        (refusal!(place.logs.describe_queries()), "UnknownOperationException", "DescribeQueries"),
        (refusal!(place.elb.describe_ssl_policies()), "InvalidAction", "DescribeSSLPolicies"),
        (refusal!(place.sts.get_session_token()), "InvalidAction", "GetSessionToken"),
    ] {
        assert_eq!(code, expected, "{operation}");
        assert!(message.contains(operation), "{message}");
    }
    place.stop().await;
}

/// The SDK tries again what is throttled, if it is said as AWS says it, and what failed on the other side.
#[tokio::test]
async fn what_is_throttled_or_fails_is_tried_again_by_the_sdk() {
    for fault in ["throttle", "error"] {
        let place = Place::under(&format!("[[faults]]\nfault = \"{fault}\"\ntimes = 2\n")).await;
        place.ecs.list_clusters().send().await.unwrap();
        place.stop().await;
        for service in ["ecs", "ecr", "logs", "elb", "sts"] {
            let place =
                Place::under(&format!("[[faults]]\nservice = \"{service}\"\nfault = \"{fault}\"\ntimes = 2\n")).await;
            match service {
                "ecs" => drop(place.ecs.list_clusters().send().await.unwrap()),
                "ecr" => drop(place.ecr.describe_repositories().send().await.unwrap()),
                "logs" => drop(place.logs.describe_log_groups().send().await.unwrap()),
                "elb" => drop(place.elb.describe_target_groups().send().await.unwrap()),
                _ => drop(place.sts.get_caller_identity().send().await.unwrap()),
            }
            place.stop().await;
        }
    }
    let place = Place::under("[[faults]]\nfault = \"throttle\"\n").await;
    for ((code, message), expected) in [
        (refusal!(place.ecs.list_clusters()), "ThrottlingException"),
        (refusal!(place.elb.describe_target_groups()), "Throttling"),
    ] {
        assert_eq!((code.as_str(), message.as_str()), (expected, "Rate exceeded"));
    }
    place.stop().await;
}

/// Sends a body as it is; gives back status and answer.
pub(crate) async fn send(place: &Place, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(place.authority()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post("/").header("host", place.authority());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(bytes::Bytes::copy_from_slice(body.as_bytes()))).unwrap());
    let (head, body) = answer.await.unwrap().into_parts();
    (head.status.as_u16(), String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// A service that is spoken to without an SDK of its own.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// What stands before the operation in `X-Amz-Target`.
    pub(crate) prefix: &'static str,
    /// Its name in the scope of a signature.
    pub(crate) signing: &'static str,
}

/// One call of AWS JSON, signed by nobody in particular; gives back status and answer.
pub(crate) async fn call_json(place: &Place, to: Target, operation: &str, input: &Value) -> (u16, Value) {
    let Target { prefix, signing } = to;
    let target = format!("{prefix}.{operation}");
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20261001/us-east-1/{signing}/aws4_request, SignedHeaders=host, Signature=0a"
    );
    let headers =
        [("x-amz-target", target.as_str()), ("x-amz-date", "20261001T120000Z"), ("authorization", signed.as_str())];
    let (status, answer) = send(place, &headers, &input.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap())
}

/// One call of AWS Query, signed by nobody in particular; gives back status and answer.
pub(crate) async fn call_form(place: &Place, signing: &str, form: &str) -> (u16, String) {
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=AKID/20261001/us-east-1/{signing}/aws4_request, SignedHeaders=host, Signature=0a"
    );
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-amz-date", "20261001T120000Z"),
        ("authorization", signed.as_str()),
    ];
    send(place, &headers, form).await
}

/// Neither may a web page, which can post a form to loopback but cannot sign it.
#[tokio::test]
async fn who_does_not_sign_may_not_call() {
    let place = Place::start().await;
    let target = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.CreateCluster");
    let (status, answer) = send(&place, &[target], "{}").await;
    assert_eq!((status, answer.contains("\"MissingAuthenticationTokenException\"")), (400, true), "{answer}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let (status, answer) = send(&place, &[form], "Action=CreateTargetGroup&Version=2015-12-01&Name=web").await;
    assert_eq!((status, answer.contains("<Code>MissingAuthenticationToken</Code>")), (403, true), "{answer}");
    assert!(place.ecs.list_clusters().send().await.unwrap().cluster_arns().is_empty());

    // Signed, but for another service: a client with the wrong endpoint.
    let scope = "AWS4-HMAC-SHA256 Credential=AKID/20261001/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0a";
    let date = ("x-amz-date", "20261001T120000Z");
    let (status, answer) = send(&place, &[target, date, ("authorization", scope)], "{}").await;
    assert_eq!((status, answer.contains("should be scoped to correct service: 'ecs'")), (400, true), "{answer}");
    place.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_key_are_refused_in_the_words_of_each_protocol() {
    let place = Place::start().await;
    let mismatch = "The request signature we calculated does not match the signature you provided.";
    let unknown = "The security token included in the request is invalid.";
    for (id, secret, json, query, words) in [
        ("sandbox", "wrong", "InvalidSignatureException", "SignatureDoesNotMatch", mismatch),
        ("AKIANOBODY", "sandbox", "UnrecognizedClientException", "InvalidClientTokenId", unknown),
    ] {
        let (ecs, sts) = place.signing(&Credentials::new(id, secret, None, None, "test"));
        for ((code, message), expected) in
            [(refusal!(ecs.create_cluster().cluster_name("jobs")), json), (refusal!(sts.get_caller_identity()), query)]
        {
            assert_eq!(code, expected, "{id}");
            assert!(message.starts_with(words), "{message}");
        }
    }
    assert!(place.ecs.list_clusters().send().await.unwrap().cluster_arns().is_empty());
    // The key of AWS's own documentation, for tools that want one that looks like AWS's.
    let long = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
    place.signing(&long).0.list_clusters().send().await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn without_verification_any_signature_will_do() {
    let keys = Credentials::new("AKIANOBODY", "anything", Some("token".to_owned()), None, "test");
    let place = Place::with(keys, Signatures::Any).await;
    place.ecs.list_clusters().send().await.unwrap();
    place.elb.describe_target_groups().send().await.unwrap();
    let target = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters");
    let (status, answer) = send(&place, &[target], "{}").await;
    assert_eq!((status, answer.contains("MissingAuthenticationToken")), (400, true), "{answer}");
    place.stop().await;
}
