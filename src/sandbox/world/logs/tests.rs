//! Logs as their API gives them, without HTTP.

use proptest::prelude::*;

use super::*;

const NOW: Millis = 1_790_000_000_000;

fn place() -> Place {
    Place { account: "000000000000".into(), region: "us-east-1".into(), authority: "127.0.0.1:4517".into() }
}

fn ask(logs: &mut Logs, operation: &str, input: &Value) -> Result<Value, Fault> {
    logs.answer(&place(), operation, input, NOW)
}

fn messages(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// A page of stream `s` of group `g`, asked for with these members too.
fn page(logs: &mut Logs, members: &Value) -> Value {
    let mut input = json!({ "logGroupName": "g", "logStreamName": "s" });
    input.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    ask(logs, "GetLogEvents", &input).unwrap()
}

#[test]
fn refusals_in_the_services_words() {
    let mut logs = Logs::default();
    logs.append("g", "s", NOW, "x");
    let event = |at: Millis| json!({ "timestamp": at, "message": "m" });
    let put = |events: Value| json!({ "logGroupName": "g", "logStreamName": "s", "logEvents": events });
    let lines: Vec<String> = [
        ("CreateLogGroup", json!({})),
        ("CreateLogGroup", json!({ "logGroupName": "g" })),
        ("CreateLogGroup", json!({ "logGroupName": "a b" })),
        ("DeleteLogGroup", json!({ "logGroupName": "h" })),
        ("CreateLogStream", json!({ "logGroupName": "h", "logStreamName": "s" })),
        ("CreateLogStream", json!({ "logGroupName": "g", "logStreamName": "s" })),
        ("CreateLogStream", json!({ "logGroupName": "g", "logStreamName": "a:b" })),
        ("PutRetentionPolicy", json!({ "logGroupName": "g", "retentionInDays": 2 })),
        ("GetLogEvents", json!({ "logGroupName": "g", "logStreamName": "t" })),
        ("GetLogEvents", json!({ "logStreamName": "s" })),
        ("GetLogEvents", json!({ "logGroupName": "g", "logStreamName": "s", "nextToken": "f/1/s" })),
        ("GetLogEvents", json!({ "logGroupName": "g", "logStreamName": "s", "limit": 10_001 })),
        ("PutLogEvents", put(json!([]))),
        ("PutLogEvents", put(json!([event(NOW), event(NOW - 1)]))),
        ("PutLogEvents", put(json!([event(NOW - 2 * DAY), event(NOW)]))),
        ("PutLogEvents", put(json!([event(NOW), { "timestamp": NOW, "message": "" }]))),
        ("DescribeLogStreams", json!({ "logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "a" })),
        ("FilterLogEvents", json!({ "logGroupName": "g", "filterPattern": "{ $.a = 1 }" })),
        ("StartQuery", json!({})),
    ]
    .into_iter()
    .map(|(operation, input)| {
        let fault = ask(&mut logs, operation, &input).unwrap_err();
        format!("{operation} {}: {}", fault.code, fault.message)
    })
    .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    CreateLogGroup InvalidParameterException: 1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null
    CreateLogGroup ResourceAlreadyExistsException: The specified log group already exists
    CreateLogGroup InvalidParameterException: 1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+
    DeleteLogGroup ResourceNotFoundException: The specified log group does not exist.
    CreateLogStream ResourceNotFoundException: The specified log group does not exist.
    CreateLogStream ResourceAlreadyExistsException: The specified log stream already exists
    CreateLogStream InvalidParameterException: 1 validation error detected: Value 'a:b' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*
    PutRetentionPolicy InvalidParameterException: 1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set
    GetLogEvents ResourceNotFoundException: The specified log stream does not exist.
    GetLogEvents InvalidParameterException: Either logGroupName or logGroupIdentifier must be specified.
    GetLogEvents InvalidParameterException: The specified nextToken is invalid.
    GetLogEvents InvalidParameterException: 1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000
    PutLogEvents InvalidParameterException: 1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and 10000
    PutLogEvents InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order.
    PutLogEvents InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours.
    PutLogEvents InvalidParameterException: 1 validation error detected: Value '' at 'logEvents.2.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1
    DescribeLogStreams InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix.
    FilterLogEvents InvalidParameterException: Invalid filter pattern: the sandbox knows patterns of plain and quoted terms only
    StartQuery UnknownOperationException: the sandbox does not emulate CloudWatch Logs' StartQuery
    "#);
}

#[test]
fn the_last_page_comes_first() {
    let mut logs = Logs::default();
    for number in 0..10 {
        logs.append("g", "s", NOW + number, &format!("{number}"));
    }
    let tail = page(&mut logs, &json!({ "limit": 3 }));
    assert_eq!(messages(&tail), ["7", "8", "9"]);
    let before = page(&mut logs, &json!({ "limit": 3, "nextToken": tail["nextBackwardToken"] }));
    assert_eq!(messages(&before), ["4", "5", "6"]);
    let back = page(&mut logs, &json!({ "limit": 2, "nextToken": before["nextForwardToken"] }));
    assert_eq!(messages(&back), ["7", "8"]);
    // From the tail one can follow: nothing now, then what arrives.
    let follow = json!({ "nextToken": tail["nextForwardToken"] });
    let end = page(&mut logs, &follow);
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &tail["nextForwardToken"]));
    logs.append("g", "s", NOW + 10, "10");
    assert_eq!(messages(&page(&mut logs, &follow)), ["10"]);
    let within = json!({ "startTime": NOW + 2, "endTime": NOW + 5 });
    assert_eq!(messages(&page(&mut logs, &within)), ["2", "3", "4"]);
}

#[test]
fn a_stream_that_is_empty_can_be_followed() {
    let mut logs = Logs::default();
    ask(&mut logs, "CreateLogGroup", &json!({ "logGroupName": "g" })).unwrap();
    ask(&mut logs, "CreateLogStream", &json!({ "logGroupName": "g", "logStreamName": "s" })).unwrap();
    for members in [json!({}), json!({ "startFromHead": true }), json!({ "startTime": NOW })] {
        let mut logs = logs.clone();
        let empty = page(&mut logs, &members);
        assert_eq!(messages(&empty), [""; 0]);
        logs.append("g", "s", NOW, "first");
        assert_eq!(messages(&page(&mut logs, &json!({ "nextToken": empty["nextForwardToken"] }))), ["first"]);
    }
}

#[test]
fn old_lines_make_room() {
    let mut logs = Logs::default();
    for number in 0..EVENTS_PER_STREAM + 5 {
        logs.append("g", "s", NOW + number as Millis, "x");
    }
    logs.append("g", "long", NOW, "first");
    for _ in 0..5 {
        logs.append("g", "long", NOW + 1, &"y".repeat(1024 * 1024));
    }
    let held = |name: &str| &logs.groups["g"].streams[name];
    assert_eq!(held("s").events.len(), EVENTS_PER_STREAM);
    assert_eq!(held("s").events[0].place.at, NOW + 5);
    assert_eq!((held("long").events.len(), held("long").bytes), (4, BYTES_PER_STREAM));
}

#[test]
fn what_is_too_old_or_too_new_is_said() {
    let mut logs = Logs::default();
    logs.append("g", "s", NOW, "x");
    ask(&mut logs, "PutRetentionPolicy", &json!({ "logGroupName": "g", "retentionInDays": 1 })).unwrap();
    let hour = DAY / 24;
    let events: Vec<Value> = [NOW - DAY - 1, NOW - DAY, NOW - hour]
        .into_iter()
        .map(|at| json!({ "timestamp": at, "message": format!("{at}") }))
        .collect();
    let put = |events: Value| json!({ "logGroupName": "g", "logStreamName": "s", "logEvents": events });
    let answer = ask(&mut logs, "PutLogEvents", &put(json!(events))).unwrap();
    assert_eq!(answer["rejectedLogEventsInfo"], json!({ "expiredLogEventEndIndex": 1 }));
    let soon = json!([{ "timestamp": NOW, "message": "now" }, { "timestamp": NOW + 3 * hour, "message": "soon" }]);
    let answer = ask(&mut logs, "PutLogEvents", &put(soon)).unwrap();
    assert_eq!(answer["rejectedLogEventsInfo"], json!({ "tooNewLogEventStartIndex": 1 }));
    assert_eq!(page(&mut logs, &json!({}))["events"].as_array().unwrap().len(), 4);
    let ancient = json!([{ "timestamp": NOW - 15 * DAY, "message": "ancient" }]);
    let answer = ask(&mut logs, "PutLogEvents", &put(ancient)).unwrap();
    assert_eq!(answer["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"], 1);
    // What has expired since is not given any more.
    let later = logs.answer(
        &place(),
        "GetLogEvents",
        &json!({ "logGroupName": "g", "logStreamName": "s" }),
        NOW + DAY - hour + 1,
    );
    assert_eq!(messages(&later.unwrap()), ["x", "now"]);
}

#[test]
fn filters_over_all_streams() {
    let mut logs = Logs::default();
    for (stream, at, line) in
        [("b", 3, "error three"), ("a", 1, "error one"), ("b", 2, "fine"), ("a", 3, "error also three")]
    {
        logs.append("g", stream, NOW + at, line);
    }
    let input = |token: &Value| {
        let mut input = json!({ "logGroupIdentifier": "arn:aws:logs:us-east-1:0:log-group:g", "filterPattern": "error", "limit": 2 });
        if !token.is_null() {
            input["nextToken"] = token.clone();
        }
        input
    };
    let first = ask(&mut logs, "FilterLogEvents", &input(&Value::Null)).unwrap();
    let second = ask(&mut logs, "FilterLogEvents", &input(&first["nextToken"])).unwrap();
    assert_eq!(messages(&first), ["error one", "error three"]);
    assert_eq!(first["events"][0]["logStreamName"], "a");
    assert_eq!(messages(&second), ["error also three"]);
    assert_eq!(second["nextToken"], Value::Null);
    let one = json!({ "logGroupName": "g", "logStreamNames": ["b"], "startTime": NOW + 3 });
    assert_eq!(messages(&ask(&mut logs, "FilterLogEvents", &one).unwrap()), ["error three"]);
}

#[test]
fn groups_and_streams_are_listed_in_pages() {
    let mut logs = Logs::default();
    for (number, stream) in ["c", "a", "b"].into_iter().enumerate() {
        logs.append("g1", stream, NOW - number as Millis, "x");
    }
    logs.create_group("g2");
    let names = |answer: &Value, list: &str, name: &str| -> Vec<String> {
        answer[list].as_array().unwrap().iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
    };
    let groups = ask(&mut logs, "DescribeLogGroups", &json!({ "limit": 1 })).unwrap();
    assert_eq!(names(&groups, "logGroups", "logGroupName"), ["g1"]);
    let groups = ask(&mut logs, "DescribeLogGroups", &json!({ "nextToken": groups["nextToken"] })).unwrap();
    assert_eq!(names(&groups, "logGroups", "logGroupName"), ["g2"]);
    let latest = json!({ "logGroupName": "g1", "orderBy": "LastEventTime", "descending": true });
    let streams = ask(&mut logs, "DescribeLogStreams", &latest).unwrap();
    assert_eq!(names(&streams, "logStreams", "logStreamName"), ["c", "a", "b"]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&streams["logStreams"][0]).unwrap(), @r#"
    {
      "logStreamName": "c",
      "creationTime": 1790000000000,
      "arn": "arn:aws:logs:us-east-1:000000000000:log-group:g1:log-stream:c",
      "storedBytes": 0,
      "firstEventTimestamp": 1790000000000,
      "lastEventTimestamp": 1790000000000,
      "lastIngestionTime": 1790000000000
    }
    "#);
}

proptest! {
    /// Whatever the timestamps and the size of a page: walking either way gives every event once, in order of time, and
    /// among equals in order of arrival; and logs survive being written down.
    #[test]
    fn walking_gives_every_event_once(times in prop::collection::vec(0_u64..20, 0..40), limit in 1_usize..7) {
        let mut logs = Logs::default();
        ask(&mut logs, "CreateLogGroup", &json!({ "logGroupName": "g" })).unwrap();
        ask(&mut logs, "CreateLogStream", &json!({ "logGroupName": "g", "logStreamName": "s" })).unwrap();
        for (number, at) in times.iter().enumerate() {
            logs.append("g", "s", NOW + at, &number.to_string());
        }
        let mut expected: Vec<(u64, usize)> = times.iter().copied().zip(0..).collect();
        expected.sort_unstable();
        let expected: Vec<String> = expected.into_iter().map(|(_, number)| number.to_string()).collect();
        let mut logs: Logs = serde_json::from_str(&serde_json::to_string(&logs).unwrap()).unwrap();

        for (member, head) in [("nextForwardToken", true), ("nextBackwardToken", false)] {
            let mut walked: Vec<String> = Vec::new();
            let mut answer = page(&mut logs, &json!({ "limit": limit, "startFromHead": head }));
            loop {
                let found = messages(&answer);
                prop_assert!(found.len() <= limit);
                let stop = found.is_empty();
                walked = if head { [walked, found].concat() } else { [found, walked].concat() };
                let token = answer[member].clone();
                answer = page(&mut logs, &json!({ "limit": limit, "nextToken": token }));
                if stop {
                    prop_assert_eq!(&answer[member], &token);
                    break;
                }
            }
            prop_assert_eq!(&walked, &expected);
        }
    }
}
