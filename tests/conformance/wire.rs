//! What is the same for all services: ids of requests, operations that are not emulated, requests that are no requests.

use aws_sdk_ecs::operation::RequestId as _;

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
