//! CloudWatch's alarms, as JSON over HTTP: the SDK for Rust would bring a protocol of its own for four calls.
//! What the AWS CLI makes of them is tried by `tests/aws-cli.sh`.

use serde_json::{Value, json};

use crate::clients::Place;
use crate::wire::{Target, call_json};

const CLOUDWATCH: Target = Target { prefix: "GraniteServiceVersion20100801", signing: "monitoring" };

async fn call(place: &Place, operation: &str, input: &Value) -> (u16, Value) {
    call_json(place, CLOUDWATCH, operation, input).await
}

#[tokio::test]
async fn alarms_are_switches() {
    let place = Place::unverified().await;
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
