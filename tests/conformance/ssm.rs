//! SSM Parameter Store, as JSON over HTTP; botocore, which judges it too, has the waiters and pages.

use serde_json::{Value, json};

use crate::clients::Place;
use crate::wire::{Target, call_json};

const SSM: Target = Target { prefix: "AmazonSSM", signing: "ssm" };

async fn well(place: &Place, operation: &str, input: Value) -> Value {
    let (status, answer) = call_json(place, SSM, operation, &input).await;
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

#[tokio::test]
async fn a_parameter_has_a_life() {
    let place = Place::unverified().await;
    let put = json!({ "Name": "/jobs/db", "Value": "one", "Type": "SecureString", "Tags": [{ "Key": "team", "Value": "jobs" }] });
    assert_eq!(well(&place, "PutParameter", put).await, json!({ "Version": 1, "Tier": "Standard" }));
    let put = json!({ "Name": "/jobs/db", "Value": "two", "Overwrite": true });
    assert_eq!(well(&place, "PutParameter", put).await["Version"], 2);
    let got = well(&place, "GetParameter", json!({ "Name": "/jobs/db", "WithDecryption": true })).await;
    assert_eq!(got["Parameter"]["Value"], "two");
    let got = well(&place, "GetParameters", json!({ "Names": ["/jobs/db:1", "nope"], "WithDecryption": true })).await;
    assert_eq!((&got["Parameters"][0]["Value"], &got["InvalidParameters"]), (&json!("one"), &json!(["nope"])));
    let got = well(&place, "GetParametersByPath", json!({ "Path": "/jobs" })).await;
    assert_eq!(got["Parameters"][0]["Name"], "/jobs/db");
    assert_ne!(got["Parameters"][0]["Value"], "two", "nobody asked for its value");
    let history = well(&place, "GetParameterHistory", json!({ "Name": "/jobs/db", "WithDecryption": true })).await;
    assert_eq!(history["Parameters"].as_array().unwrap().len(), 2);
    let label =
        |version: u64, labels: Value| json!({ "Name": "/jobs/db", "ParameterVersion": version, "Labels": labels });
    let labelled = well(&place, "LabelParameterVersion", label(1, json!(["live", "1st"]))).await;
    assert_eq!(labelled, json!({ "InvalidLabels": ["1st"], "ParameterVersion": 1 }));
    let got = well(&place, "GetParameter", json!({ "Name": "/jobs/db:live", "WithDecryption": true })).await;
    assert_eq!((&got["Parameter"]["Value"], &got["Parameter"]["Selector"]), (&json!("one"), &json!(":live")));
    let removed = well(&place, "UnlabelParameterVersion", label(1, json!(["live", "nope"]))).await;
    assert_eq!(removed, json!({ "RemovedLabels": ["live"], "InvalidLabels": ["nope"] }));
    let shown = well(&place, "DescribeParameters", json!({})).await;
    assert_eq!(shown["Parameters"][0]["KeyId"], "alias/aws/ssm");
    let of = json!({ "ResourceType": "Parameter", "ResourceId": "/jobs/db" });
    let mut with = of.clone();
    (with["Tags"], with["TagKeys"]) = (json!([{ "Key": "a", "Value": "1" }]), json!(["team"]));
    well(&place, "AddTagsToResource", with.clone()).await;
    well(&place, "RemoveTagsFromResource", with).await;
    assert_eq!(well(&place, "ListTagsForResource", of).await["TagList"], json!([{ "Key": "a", "Value": "1" }]));
    well(&place, "DeleteParameter", json!({ "Name": "/jobs/db" })).await;
    let (status, refusal) = call_json(&place, SSM, "GetParameter", &json!({ "Name": "/jobs/db" })).await;
    assert_eq!((status, &refusal["__type"]), (400, &json!("ParameterNotFound")));
    let gone = well(&place, "DeleteParameters", json!({ "Names": ["/jobs/db"] })).await;
    assert_eq!(gone["InvalidParameters"], json!(["/jobs/db"]));
    let (_, refusal) = call_json(&place, SSM, "SendCommand", &json!({})).await;
    assert_eq!(refusal["__type"], "UnknownOperationException");
    place.stop().await;
}
