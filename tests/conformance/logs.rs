//! CloudWatch Logs: groups, streams, events.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_cloudwatchlogs::types::{InputLogEvent, OrderBy};

use crate::clients::{Place, refusal};

fn event(at: i64, message: &str) -> InputLogEvent {
    InputLogEvent::builder().timestamp(at).message(message).build().unwrap()
}

/// A moment that retention does not reach: now.
#[expect(
    clippy::disallowed_methods,
    reason = "events too old or too far ahead are refused, so a test must know the time"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn groups_and_streams() {
    let place = Place::start().await;
    let logs = &place.logs;
    for name in ["/jobs/a", "/jobs/b", "/web"] {
        logs.create_log_group().log_group_name(name).send().await.unwrap();
    }
    assert_eq!(
        refusal!(logs.create_log_group().log_group_name("/web")),
        ("ResourceAlreadyExistsException".to_owned(), "The specified log group already exists".to_owned())
    );
    let pages: Vec<_> = logs.describe_log_groups().into_paginator().page_size(2).send().collect().await;
    assert_eq!(pages.into_iter().map(|page| page.unwrap().log_groups().len()).collect::<Vec<_>>(), [2, 1]);
    logs.put_retention_policy().log_group_name("/web").retention_in_days(7).send().await.unwrap();
    assert_eq!(
        refusal!(logs.put_retention_policy().log_group_name("/web").retention_in_days(8)).0,
        "InvalidParameterException"
    );
    let found = logs.describe_log_groups().log_group_name_prefix("/w").send().await.unwrap().log_groups()[0].clone();
    assert_eq!((found.log_group_name(), found.retention_in_days()), (Some("/web"), Some(7)));
    assert_eq!(found.log_group_arn(), Some("arn:aws:logs:us-east-1:000000000000:log-group:/web"));
    logs.delete_retention_policy().log_group_name("/web").send().await.unwrap();
    let found = logs.describe_log_groups().log_group_name_prefix("/w").send().await.unwrap().log_groups()[0].clone();
    assert_eq!(found.retention_in_days(), None);

    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/web";
    logs.tag_resource().resource_arn(arn).tags("team", "web").tags("stage", "test").send().await.unwrap();
    logs.untag_resource().resource_arn(arn).tag_keys("team").send().await.unwrap();
    let tags = logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("stage".to_owned(), "test".to_owned())]);
    assert_eq!(
        refusal!(logs.list_tags_for_resource().resource_arn(arn.replace("/web", "/nope"))).0,
        "ResourceNotFoundException"
    );

    // As older tools ask for them: by name.
    #[expect(deprecated, reason = "Ansible calls them still")]
    {
        logs.tag_log_group().log_group_name("/web").tags("team", "shop").send().await.unwrap();
        logs.untag_log_group().log_group_name("/web").tags("stage").send().await.unwrap();
        let tags = logs.list_tags_log_group().log_group_name("/web").send().await.unwrap().tags.unwrap();
        assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "shop".to_owned())]);
        assert_eq!(refusal!(logs.list_tags_log_group().log_group_name("/nope")).0, "ResourceNotFoundException");
    }

    let stream = |name: &str| logs.create_log_stream().log_group_name("/web").log_stream_name(name);
    for name in ["one", "three", "two"] {
        stream(name).send().await.unwrap();
    }
    assert_eq!(refusal!(stream("one")).0, "ResourceAlreadyExistsException");
    assert_eq!(
        refusal!(logs.create_log_stream().log_group_name("/nope").log_stream_name("one")),
        ("ResourceNotFoundException".to_owned(), "The specified log group does not exist.".to_owned())
    );
    let list = logs.describe_log_streams().log_group_name("/web").order_by(OrderBy::LogStreamName).descending(true);
    let pages: Vec<_> = list.into_paginator().page_size(2).items().send().collect().await;
    let names: Vec<String> = pages.into_iter().map(|one| one.unwrap().log_stream_name.unwrap()).collect();
    assert_eq!(names, ["two", "three", "one"]);
    logs.delete_log_stream().log_group_name("/web").log_stream_name("one").send().await.unwrap();
    assert_eq!(
        refusal!(logs.delete_log_stream().log_group_name("/web").log_stream_name("one")),
        ("ResourceNotFoundException".to_owned(), "The specified log stream does not exist.".to_owned())
    );
    logs.delete_log_group().log_group_name("/web").send().await.unwrap();
    assert_eq!(refusal!(logs.delete_log_group().log_group_name("/web")).0, "ResourceNotFoundException");
    place.stop().await;
}

#[tokio::test]
async fn events() {
    let place = Place::start().await;
    let logs = &place.logs;
    logs.create_log_group().log_group_name("/web").send().await.unwrap();
    let put = |stream: &str, events: Vec<InputLogEvent>| {
        logs.put_log_events().log_group_name("/web").log_stream_name(stream).set_log_events(Some(events))
    };
    assert_eq!(refusal!(put("one", vec![event(now(), "a")])).0, "ResourceNotFoundException");
    for name in ["one", "two"] {
        logs.create_log_stream().log_group_name("/web").log_stream_name(name).send().await.unwrap();
    }
    let at = now();
    put("one", (0..5).map(|n| event(at + n, &format!("line {n}"))).collect()).send().await.unwrap();
    put("two", vec![event(at + 1, "ERROR: no")]).send().await.unwrap();

    let get = || logs.get_log_events().log_group_name("/web").log_stream_name("one");
    // Without a word about it the latest come, and the forward token of the end leads to itself.
    let latest = get().limit(2).send().await.unwrap();
    let messages: Vec<_> = latest.events().iter().map(|event| event.message().unwrap()).collect();
    assert_eq!(messages, ["line 3", "line 4"]);
    let end = latest.next_forward_token().unwrap();
    let nothing = get().next_token(end).send().await.unwrap();
    assert_eq!((nothing.events().len(), nothing.next_forward_token()), (0, Some(end)));
    let earlier = get().limit(2).next_token(latest.next_backward_token().unwrap()).send().await.unwrap();
    let messages: Vec<_> = earlier.events().iter().map(|event| event.message().unwrap()).collect();
    assert_eq!(messages, ["line 1", "line 2"]);
    let pages: Vec<_> = get().start_from_head(true).limit(2).into_paginator().send().collect().await;
    let sizes: Vec<usize> = pages.into_iter().map(|page| page.unwrap().events().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert_eq!(
        refusal!(logs.get_log_events().log_group_name("/web").log_stream_name("three")),
        ("ResourceNotFoundException".to_owned(), "The specified log stream does not exist.".to_owned())
    );

    let errors = logs.filter_log_events().log_group_name("/web").filter_pattern("ERROR").send().await.unwrap();
    assert_eq!(errors.events()[0].log_stream_name(), Some("two"));
    let pages = logs.filter_log_events().log_group_name("/web").into_paginator().page_size(4).send();
    let pages: Vec<_> = pages.collect().await;
    let messages: Vec<String> = pages
        .into_iter()
        .flat_map(|page| page.unwrap().events.unwrap_or_default())
        .map(|event| event.message.unwrap())
        .collect();
    assert_eq!(messages, ["line 0", "line 1", "ERROR: no", "line 2", "line 3", "line 4"]);
    assert_eq!(refusal!(logs.filter_log_events().log_group_name("/nope")).0, "ResourceNotFoundException");
    place.stop().await;
}
