//! What is the same for all services: ids of requests, operations that are not emulated, requests that are not signed.

use aws_sdk_ecs::operation::RequestId as _;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

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
        (refusal!(place.ecs.list_account_settings()), "UnknownOperationException", "ListAccountSettings"),
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

/// Sends a body as it is; gives back status and answer.
async fn send(place: &Place, headers: &[(&str, &str)], body: &'static str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(place.authority()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post("/").header("host", place.authority());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(bytes::Bytes::from_static(body.as_bytes()))).unwrap());
    let (head, body) = answer.await.unwrap().into_parts();
    (head.status.as_u16(), String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
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
    let (status, answer) = send(&place, &[target, ("authorization", scope)], "{}").await;
    assert_eq!((status, answer.contains("should be scoped to correct service: 'ecs'")), (400, true), "{answer}");
    place.stop().await;
}
