//! What Secrets Manager answers, in its own words, and what ECS gets of it.

use super::*;

const TOKENS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
];

fn world() -> World {
    let place = Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:1".into() };
    World::new(place, Pace::new(1.0), 1)
}

fn create(world: &mut World, name: &str, value: &str) -> Result<Value, Fault> {
    let input = json!({ "Name": name, "SecretString": value, "ClientRequestToken": TOKENS[0] });
    call(world, "CreateSecret", &input, 1000)
}

fn put(world: &mut World, token: &str, value: &str, stages: Option<&[&str]>) -> Value {
    let mut input = json!({ "SecretId": "jobs/db", "SecretString": value, "ClientRequestToken": token });
    if let Some(stages) = stages {
        input["VersionStages"] = json!(stages);
    }
    call(world, "PutSecretValue", &input, 2000).unwrap()
}

fn value(world: &mut World, more: &Value) -> Result<String, Fault> {
    let mut input = json!({ "SecretId": "jobs/db" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(world, "GetSecretValue", &input, 3000).map(|answer| answer["SecretString"].as_str().unwrap().to_owned())
}

#[test]
fn labels_move_with_new_values() {
    let mut world = world();
    let arn = create(&mut world, "jobs/db", "one").unwrap()["ARN"].clone();
    let end =
        arn.as_str().unwrap().strip_prefix("arn:aws:secretsmanager:us-east-1:000000000000:secret:jobs/db-").unwrap();
    assert!(end.len() == 6 && end.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{end}");
    assert_eq!(put(&mut world, TOKENS[1], "two", None)["VersionStages"], json!(["AWSCURRENT"]));
    put(&mut world, TOKENS[2], "three", Some(&["canary"]));
    assert_eq!(value(&mut world, &json!({})).unwrap(), "two");
    assert_eq!(value(&mut world, &json!({ "SecretId": arn })).unwrap(), "two");
    assert_eq!(value(&mut world, &json!({ "VersionStage": "AWSPREVIOUS" })).unwrap(), "one");
    assert_eq!(value(&mut world, &json!({ "VersionStage": "canary" })).unwrap(), "three");
    assert_eq!(value(&mut world, &json!({ "VersionId": TOKENS[0] })).unwrap(), "one");
    let moving = json!({ "SecretId": "jobs/db", "VersionStage": "AWSCURRENT", "MoveToVersionId": TOKENS[2] });
    assert_eq!(call(&mut world, "UpdateSecretVersionStage", &moving, 0).unwrap_err().code, "InvalidParameterException");
    let mut moving = moving;
    moving["RemoveFromVersionId"] = json!(TOKENS[1]);
    call(&mut world, "UpdateSecretVersionStage", &moving, 0).unwrap();
    let shown = call(&mut world, "DescribeSecret", &json!({ "SecretId": "jobs/db" }), 0).unwrap();
    assert_eq!(shown["VersionIdsToStages"], json!({ TOKENS[1]: ["AWSPREVIOUS"], TOKENS[2]: ["AWSCURRENT", "canary"] }));
    assert!(!format!("{:?}{shown}", world.secrets).contains("three"));
}

#[test]
fn the_same_call_twice_is_one() {
    let mut world = world();
    let first = create(&mut world, "jobs/db", "one").unwrap();
    assert_eq!(create(&mut world, "jobs/db", "one").unwrap(), first);
    assert_eq!(create(&mut world, "jobs/db", "other").unwrap_err().code, "ResourceExistsException");
    put(&mut world, TOKENS[1], "two", None);
    put(&mut world, TOKENS[1], "two", None);
    let ids = json!({ "SecretId": "jobs/db" });
    let versions = call(&mut world, "ListSecretVersionIds", &ids, 0).unwrap();
    assert_eq!(versions["Versions"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_marked_for_deletion_can_come_back_for_a_while() {
    const WEEK: Millis = 7 * 24 * 60 * 60 * 1000;
    let mut world = world();
    create(&mut world, "jobs/db", "one").unwrap();
    let id = json!({ "SecretId": "jobs/db" });
    let delete = json!({ "SecretId": "jobs/db", "RecoveryWindowInDays": 7 });
    let answer = call(&mut world, "DeleteSecret", &delete, 1000).unwrap();
    assert_eq!(answer["DeletionDate"], seconds_of(1000 + WEEK));
    let marked = "You can't perform this operation on the secret because it was marked for deletion.";
    assert_eq!(value(&mut world, &json!({})).unwrap_err().message, marked);
    assert_eq!(create(&mut world, "jobs/db", "x").unwrap_err().code, "InvalidRequestException");
    assert_eq!(call(&mut world, "ListSecrets", &json!({}), 0).unwrap()["SecretList"], json!([]));
    call(&mut world, "RestoreSecret", &id, 2000).unwrap();
    assert_eq!(value(&mut world, &json!({})).unwrap(), "one");
    call(&mut world, "DeleteSecret", &delete, 3000).unwrap();
    let gone = call(&mut world, "DescribeSecret", &id, 3000 + WEEK).unwrap_err();
    assert_eq!(gone.message, "Secrets Manager can't find the specified secret.");
    create(&mut world, "jobs/db", "new").unwrap();
    let force = json!({ "SecretId": "jobs/db", "ForceDeleteWithoutRecovery": true });
    call(&mut world, "DeleteSecret", &force, 5000).unwrap();
    assert_eq!(call(&mut world, "DescribeSecret", &id, 5000).unwrap_err().code, "ResourceNotFoundException");
}

fn seconds_of(at: Millis) -> Value {
    super::super::input::seconds(at)
}

#[test]
fn a_list_is_filtered_and_paged() {
    let mut world = world();
    for name in ["jobs/a", "jobs/b", "shop/c"] {
        create(&mut world, name, name).unwrap();
    }
    let tag = json!({ "SecretId": "jobs/b", "Tags": [{ "Key": "team", "Value": "jobs" }] });
    call(&mut world, "TagResource", &tag, 0).unwrap();
    let mut names = |input: Value| -> Vec<String> {
        let answer = call(&mut world, "ListSecrets", &input, 0).unwrap();
        let list = answer["SecretList"].as_array().unwrap();
        list.iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!({ "Filters": [{ "Key": "name", "Values": ["jobs/"] }] })), ["jobs/a", "jobs/b"]);
    assert_eq!(names(json!({ "Filters": [{ "Key": "name", "Values": ["!jobs/"] }] })), ["shop/c"]);
    assert_eq!(names(json!({ "Filters": [{ "Key": "tag-key", "Values": ["team"] }] })), ["jobs/b"]);
    assert_eq!(names(json!({ "MaxResults": 2 })).len(), 2);
    assert_eq!(names(json!({ "MaxResults": 2, "NextToken": "2" })), ["shop/c"]);
}

#[test]
fn refusals_are_the_services_own() {
    let mut world = world();
    let empty = json!({ "Name": "empty", "ClientRequestToken": TOKENS[0] });
    assert_eq!(call(&mut world, "CreateSecret", &empty, 0).unwrap().get("VersionId"), None);
    for (operation, input, code, message) in [
        (
            "GetSecretValue",
            json!({ "SecretId": "nope" }),
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        ),
        (
            "GetSecretValue",
            json!({ "SecretId": "empty" }),
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
        ),
        (
            "PutSecretValue",
            json!({ "SecretId": "empty", "ClientRequestToken": TOKENS[0] }),
            "InvalidParameterException",
            "You must provide either SecretString or SecretBinary.",
        ),
        (
            "PutSecretValue",
            json!({ "SecretId": "empty", "SecretString": "a" }),
            "InvalidRequestException",
            "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
        ),
        (
            "CreateSecret",
            json!({ "Name": "a b", "ClientRequestToken": TOKENS[0] }),
            "ValidationException",
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ),
        (
            "DeleteSecret",
            json!({ "SecretId": "empty", "RecoveryWindowInDays": 3 }),
            "InvalidParameterException",
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        ),
        (
            "RotateSecret",
            json!({}),
            "UnknownOperationException",
            "The sandbox does not emulate the Secrets Manager operation RotateSecret.",
        ),
    ] {
        let fault = call(&mut world, operation, &input, 0).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.message.as_str()), (code, message), "{operation} {input}");
    }
}
