//! What Parameter Store answers, in its own words, and what ECS gets of it.

use super::super::Pace;
use super::*;

fn world() -> World {
    let place = Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:1".into() };
    World::new(place, Pace::new(1.0), 1)
}

fn put(world: &mut World, name: &str, kind: &str, value: &str) -> Result<Value, Fault> {
    call(world, "PutParameter", &json!({ "Name": name, "Type": kind, "Value": value }), 1_790_000_000_500)
}

#[test]
fn a_label_is_with_one_version_and_moves() {
    let mut world = world();
    put(&mut world, "/jobs/db", "String", "one").unwrap();
    let overwrite = |world: &mut World, value: &str| {
        call(world, "PutParameter", &json!({ "Name": "/jobs/db", "Value": value, "Overwrite": true }), 1)
    };
    overwrite(&mut world, "two").unwrap();
    let label = |world: &mut World, version: u64, labels: &[&str]| {
        call(
            world,
            "LabelParameterVersion",
            &json!({ "Name": "/jobs/db", "ParameterVersion": version, "Labels": labels }),
            1,
        )
    };
    let value = |world: &mut World| {
        call(world, "GetParameter", &json!({ "Name": "/jobs/db:live" }), 1).map(|got| got["Parameter"]["Value"].clone())
    };
    let refused = ["9lives", "AWS-live", "ssm", "a b", ""];
    let answer = label(&mut world, 1, &[&["live"], refused.as_slice()].concat()).unwrap();
    assert_eq!(answer, json!({ "InvalidLabels": refused, "ParameterVersion": 1 }));
    assert_eq!(value(&mut world).unwrap(), "one");
    label(&mut world, 2, &["live"]).unwrap();
    assert_eq!(value(&mut world).unwrap(), "two");
    assert_eq!(world.ssm.value("/jobs/db:live").map(Hidden::expose), Some("two"));
    assert_eq!(label(&mut world, 3, &["live"]).unwrap_err().code, "ParameterVersionNotFound");
    let many: Vec<String> = (0..10).map(|number| format!("l{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(label(&mut world, 2, &many).unwrap_err().code, "ParameterVersionLabelLimitExceeded");
    // A version with a label is not thrown away unseen.
    label(&mut world, 1, &["first"]).unwrap();
    for number in 3..=100 {
        overwrite(&mut world, &number.to_string()).unwrap();
    }
    assert_eq!(overwrite(&mut world, "101").unwrap_err().code, "ParameterMaxVersionLimitExceeded");
    let unlabel = json!({ "Name": "/jobs/db", "ParameterVersion": 1, "Labels": ["first", "nope"] });
    let removed = call(&mut world, "UnlabelParameterVersion", &unlabel, 1).unwrap();
    assert_eq!(removed, json!({ "RemovedLabels": ["first"], "InvalidLabels": ["nope"] }));
    overwrite(&mut world, "101").unwrap();
}

#[test]
fn a_secure_string_is_shown_to_whoever_asks_for_its_value_only() {
    let mut world = world();
    put(&mut world, "/jobs/db", "SecureString", "hunter2").unwrap();
    let mut get = |decrypted: bool| {
        let input = json!({ "Name": "/jobs/db", "WithDecryption": decrypted });
        call(&mut world, "GetParameter", &input, 0).unwrap()["Parameter"].clone()
    };
    let open = get(true);
    assert_eq!(
        open,
        json!({ "Name": "/jobs/db", "Type": "SecureString", "Value": "hunter2", "Version": 1,
            "LastModifiedDate": 1_790_000_000.5, "ARN": "arn:aws:ssm:us-east-1:000000000000:parameter/jobs/db",
            "DataType": "text" })
    );
    let closed = get(false);
    assert!(!closed.to_string().contains("hunter2"), "{closed}");
    assert_eq!(closed["Value"], get(false)["Value"]);
    for operation in ["DescribeParameters", "GetParametersByPath", "GetParameterHistory"] {
        let shown = call(&mut world, operation, &json!({ "Path": "/jobs", "Name": "/jobs/db" }), 0).unwrap();
        assert!(shown.to_string().contains("SecureString") && !shown.to_string().contains("hunter2"), "{shown}");
    }
    assert!(!format!("{:?}", world.ssm).contains("hunter2"));
}

#[test]
fn versions_count_and_the_oldest_go() {
    let mut world = world();
    put(&mut world, "ttl", "String", "0").unwrap();
    for value in 1..=100 {
        let input = json!({ "Name": "ttl", "Value": value.to_string(), "Overwrite": true });
        assert_eq!(call(&mut world, "PutParameter", &input, value).unwrap()["Version"], value + 1);
    }
    let mut get = |name: &str| call(&mut world, "GetParameter", &json!({ "Name": name }), 0);
    assert_eq!(get("ttl").unwrap()["Parameter"]["Value"], "100");
    let second = get("ttl:2").unwrap();
    assert_eq!((&second["Parameter"]["Value"], &second["Parameter"]["Selector"]), (&json!("1"), &json!(":2")));
    assert_eq!(get("arn:aws:ssm:us-east-1:000000000000:parameter/ttl:3").unwrap()["Parameter"]["Value"], "2");
    let gone = get("ttl:1").unwrap_err();
    assert_eq!(
        (gone.code.as_str(), gone.message.as_str()),
        (
            "ParameterVersionNotFound",
            "Systems Manager could not find version 1 of ttl. Verify the version and try again."
        )
    );
}

#[test]
fn a_path_leads_to_what_is_below_it() {
    let mut world = world();
    for name in ["/jobs/a", "/jobs/b", "/jobs/deep/c", "/jobsmore/d", "plain"] {
        put(&mut world, name, "String", name).unwrap();
    }
    let mut below = |path: &str, recursive: bool| {
        let (mut found, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut input = json!({ "Path": path, "Recursive": recursive, "MaxResults": 1 });
            if token.is_string() {
                input["NextToken"] = token;
            }
            let page = call(&mut world, "GetParametersByPath", &input, 0).unwrap();
            found.extend(
                page["Parameters"].as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()),
            );
            token = page["NextToken"].clone();
            if token.is_null() {
                return found;
            }
        }
    };
    assert_eq!(below("/jobs", false), ["/jobs/a", "/jobs/b"]);
    assert_eq!(below("/jobs/", true), ["/jobs/a", "/jobs/b", "/jobs/deep/c"]);
    assert_eq!(below("/", false), ["plain"]);
    assert_eq!(below("/", true).len(), 5);
}

#[test]
fn filters_choose() {
    let mut world = world();
    put(&mut world, "/jobs/a", "String", "1").unwrap();
    put(&mut world, "/jobs/b", "SecureString", "2").unwrap();
    let tagged =
        json!({ "ResourceType": "Parameter", "ResourceId": "/jobs/b", "Tags": [{ "Key": "team", "Value": "jobs" }] });
    call(&mut world, "AddTagsToResource", &tagged, 0).unwrap();
    let mut found = |key: &str, option: Option<&str>, value: &str| {
        let mut filter = json!({ "Key": key, "Values": [value] });
        if let Some(option) = option {
            filter["Option"] = json!(option);
        }
        let answer = call(&mut world, "DescribeParameters", &json!({ "ParameterFilters": [filter] }), 0)?;
        let names = answer["Parameters"].as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned());
        Ok::<_, Fault>(names.collect::<Vec<_>>())
    };
    assert_eq!(found("Name", None, "/jobs/a").unwrap(), ["/jobs/a"]);
    assert_eq!(found("Name", Some("BeginsWith"), "/jobs").unwrap().len(), 2);
    assert_eq!(found("Name", Some("Contains"), "b").unwrap().len(), 2);
    assert_eq!(found("Type", None, "SecureString").unwrap(), ["/jobs/b"]);
    assert_eq!(found("KeyId", None, "alias/aws/ssm").unwrap(), ["/jobs/b"]);
    assert_eq!(found("Path", None, "/jobs").unwrap().len(), 2);
    assert_eq!(found("tag:team", None, "jobs").unwrap(), ["/jobs/b"]);
    assert_eq!(found("Colour", None, "red").unwrap_err().code, "InvalidFilterKey");
}

#[test]
fn refusals_are_the_services_own() {
    let mut world = world();
    put(&mut world, "/jobs/a", "String", "1").unwrap();
    for (input, code) in [
        (json!({ "Name": "/jobs/a", "Value": "2", "Type": "String" }), "ParameterAlreadyExists"),
        (
            json!({ "Name": "/jobs/a", "Value": "2", "Type": "SecureString", "Overwrite": true }),
            "HierarchyTypeMismatchException",
        ),
        (json!({ "Name": "/jobs/n", "Value": "2" }), "ValidationException"),
        (json!({ "Name": "/jobs/n", "Type": "String" }), "ValidationException"),
        (json!({ "Name": "jobs/n", "Value": "2", "Type": "String" }), "ValidationException"),
        (json!({ "Name": "/aws/n", "Value": "2", "Type": "String" }), "AccessDeniedException"),
        (json!({ "Name": "ssm-n", "Value": "2", "Type": "String" }), "ValidationException"),
        (json!({ "Name": "n", "Value": "2", "Type": "Strings" }), "ValidationException"),
        (json!({ "Name": "n", "Value": "x".repeat(4097), "Type": "String" }), "ValidationException"),
        (
            json!({ "Name": "n", "Value": "b", "Type": "String", "AllowedPattern": "a+" }),
            "ParameterPatternMismatchException",
        ),
        (
            json!({ "Name": "/jobs/a", "Value": "2", "Overwrite": true, "Tags": [{ "Key": "a", "Value": "b" }] }),
            "ValidationException",
        ),
        (
            json!({ "Name": "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", "Value": "2", "Type": "String" }),
            "HierarchyLevelLimitExceededException",
        ),
    ] {
        assert_eq!(call(&mut world, "PutParameter", &input, 0).unwrap_err().code, code, "{input}");
    }
    let empty = json!({ "Name": "empty", "Value": "b", "Type": "String", "AllowedPattern": "", "KeyId": "", "Description": "" });
    call(&mut world, "PutParameter", &empty, 0).unwrap();
    let advanced = json!({ "Name": "n", "Value": "x".repeat(8192), "Type": "String", "Tier": "Advanced" });
    assert_eq!(call(&mut world, "PutParameter", &advanced, 0).unwrap(), json!({ "Version": 1, "Tier": "Advanced" }));
    let missing = call(&mut world, "PutParameter", &json!({ "Value": "1" }), 0).unwrap_err();
    assert!(missing.message.contains("Value null at 'name'"), "{}", missing.message);
    for operation in ["GetParameter", "DeleteParameter"] {
        let fault = call(&mut world, operation, &json!({ "Name": "nope" }), 0).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.message.as_str()), ("ParameterNotFound", ""));
    }
    let several = call(&mut world, "DeleteParameters", &json!({ "Names": ["nope", "n"] }), 0).unwrap();
    assert_eq!(several, json!({ "DeletedParameters": ["n"], "InvalidParameters": ["nope"] }));
}
