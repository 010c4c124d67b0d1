//! Secrets Manager, as JSON over HTTP; botocore judges it too.

use serde_json::{Value, json};

use crate::clients::Place;
use crate::wire::{Target, call_json};

const SECRETS: Target = Target { prefix: "secretsmanager", signing: "secretsmanager" };

async fn well(place: &Place, operation: &str, input: Value) -> Value {
    let (status, answer) = call_json(place, SECRETS, operation, &input).await;
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

#[tokio::test]
async fn a_secret_has_a_life() {
    let place = Place::unverified().await;
    let [first, second] = ["1".repeat(32), "2".repeat(32)];
    let id = json!({ "SecretId": "jobs/db" });
    let create = json!({ "Name": "jobs/db", "SecretString": "one", "ClientRequestToken": first });
    let arn = well(&place, "CreateSecret", create).await["ARN"].clone();
    assert!(arn.as_str().unwrap().starts_with("arn:aws:secretsmanager:us-east-1:000000000000:secret:jobs/db-"));
    let put =
        json!({ "SecretId": arn, "SecretString": "two", "ClientRequestToken": second, "VersionStages": ["next"] });
    well(&place, "PutSecretValue", put).await;
    assert_eq!(well(&place, "GetSecretValue", id.clone()).await["SecretString"], "one");
    let stage = json!({ "SecretId": arn, "VersionStage": "AWSCURRENT", "RemoveFromVersionId": first, "MoveToVersionId": second });
    well(&place, "UpdateSecretVersionStage", stage).await;
    assert_eq!(well(&place, "GetSecretValue", id.clone()).await["SecretString"], "two");
    well(&place, "UpdateSecret", json!({ "SecretId": arn, "Description": "of the jobs" })).await;
    let shown = well(&place, "DescribeSecret", id.clone()).await;
    assert_eq!((&shown["Description"], shown.get("SecretString")), (&json!("of the jobs"), None));
    assert_eq!(well(&place, "ListSecretVersionIds", id.clone()).await["Versions"].as_array().unwrap().len(), 2);
    well(&place, "GetResourcePolicy", id.clone()).await;
    well(&place, "TagResource", json!({ "SecretId": arn, "Tags": [{ "Key": "team", "Value": "jobs" }] })).await;
    assert_eq!(well(&place, "ListSecrets", json!({})).await["SecretList"][0]["Tags"][0]["Key"], "team");
    well(&place, "UntagResource", json!({ "SecretId": arn, "TagKeys": ["team"] })).await;
    well(&place, "DeleteSecret", id.clone()).await;
    let (status, refusal) = call_json(&place, SECRETS, "GetSecretValue", &id).await;
    assert_eq!((status, &refusal["__type"]), (400, &json!("InvalidRequestException")));
    well(&place, "RestoreSecret", id.clone()).await;
    well(&place, "DeleteSecret", json!({ "SecretId": "jobs/db", "ForceDeleteWithoutRecovery": true })).await;
    let (_, refusal) = call_json(&place, SECRETS, "DescribeSecret", &id).await;
    assert_eq!(refusal["__type"], "ResourceNotFoundException");
    place.stop().await;
}
