//! CloudWatch's alarms, as JSON over HTTP: the SDK for Rust would bring a protocol of its own for four calls.
//! What the AWS CLI makes of them is tried by `tests/aws-cli.sh`.

use aws_sdk_ecs::config::Credentials;
use ecs_ship::sandbox::Signatures;
use serde_json::{Value, json};

use crate::clients::Place;
use crate::wire::send;

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261001/us-east-1/monitoring/aws4_request, SignedHeaders=host, \
                      Signature=0a";

async fn call(place: &Place, operation: &str, input: &Value) -> (u16, Value) {
    let target = format!("GraniteServiceVersion20100801.{operation}");
    let headers = [("x-amz-target", target.as_str()), ("x-amz-date", "20261001T120000Z"), ("authorization", SIGNED)];
    let (status, answer) = send(place, &headers, &input.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn alarms_are_switches() {
    let keys = Credentials::new("AKID", "secret", None, None, "test");
    let place = Place::with(keys, Signatures::Any).await;
    for name in ["errors", "latency"] {
        let put = json!({ "AlarmName": name, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1,
            "MetricName": "5XX", "Namespace": "jobs", "Threshold": 1.0 });
        assert_eq!(call(&place, "PutMetricAlarm", &put).await, (200, json!({})));
    }
    let set = json!({ "AlarmName": "errors", "StateValue": "ALARM", "StateReason": "a test" });
    assert_eq!(call(&place, "SetAlarmState", &set).await.0, 200);
    let (_, page) = call(&place, "DescribeAlarms", &json!({ "MaxRecords": 1 })).await;
    assert_eq!((&page["MetricAlarms"][0]["StateValue"], &page["NextToken"]), (&json!("ALARM"), &json!("1")));
    let (_, page) = call(&place, "DescribeAlarms", &json!({ "NextToken": "1" })).await;
    assert_eq!(page["MetricAlarms"][0]["StateValue"], "INSUFFICIENT_DATA");
    let nowhere = json!({ "AlarmName": "nope", "StateValue": "OK", "StateReason": "-" });
    let (status, refusal) = call(&place, "SetAlarmState", &nowhere).await;
    assert_eq!((status, &refusal["__type"]), (404, &json!("ResourceNotFound")));
    assert_eq!(call(&place, "DeleteAlarms", &json!({ "AlarmNames": ["errors", "latency"] })).await.0, 200);
    let (status, refusal) = call(&place, "GetMetricData", &json!({})).await;
    assert_eq!((status, &refusal["__type"]), (400, &json!("UnknownOperationException")));
    place.stop().await;
}
