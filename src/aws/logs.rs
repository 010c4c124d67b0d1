//! CloudWatch Logs: what a container said last.

use aws_sdk_cloudwatchlogs as sdk;
use serde_json::Value;

use super::{
    call::send,
    connect::Aws,
    error::{AwsError, Service},
};

const SERVICE: Service = Service::Logs;

/// Where a container's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    pub group: String,
    /// `web/app/0123456789abcdef0123456789abcdef`.
    pub stream: String,
    /// The region of the log group, where the definition names one.
    pub region: Option<String>,
}

/// Reads it from the `awslogs` options of the task definition. `None` for another driver, and without
/// `awslogs-stream-prefix`: then the stream is the container's runtime id, which ECS does not tell
/// for every task.
#[must_use]
pub fn log_source(definition: &Value, container: &str, task_id: &str) -> Option<LogSource> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    let found = containers.iter().find(|found| found.get("name").and_then(Value::as_str) == Some(container))?;
    let configuration = found.get("logConfiguration")?;
    if configuration.get("logDriver")?.as_str()? != "awslogs" {
        return None;
    }
    let option = |name| configuration.get("options")?.get(name)?.as_str();
    // "prefix-name/container-name/ecs-task-id", ECS developer guide, "awslogs-stream-prefix".
    let stream = format!("{}/{container}/{task_id}", option("awslogs-stream-prefix")?);
    Some(LogSource {
        group: option("awslogs-group")?.to_owned(),
        stream,
        region: option("awslogs-region").map(str::to_owned),
    })
}

/// The last `count` lines, oldest first; fewer, or none, when there are no more.
pub async fn last_lines(aws: &Aws, source: &LogSource, count: u16) -> Result<Vec<String>, AwsError> {
    let client = aws.logs_in(source.region.as_deref().unwrap_or(aws.region()));
    let request = client
        .get_log_events()
        .log_group_name(&source.group)
        .log_stream_name(&source.stream)
        .start_from_head(false)
        .limit(i32::from(count));
    let answer = send!(aws, "GetLogEvents", request)?;
    let events = answer.events.unwrap_or_default();
    Ok(events.into_iter().filter_map(|event| event.message).map(|line| line.trim_end().to_owned()).collect())
}

/// A line of a container, with the time it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogLine {
    pub time_ms: u64,
    pub text: String,
}

/// Where reading of a stream begins, or goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Its first line, or the first one not before this time.
    Head { since_ms: Option<u64> },
    /// So many lines before its end, none of them before this time.
    Tail { lines: u16, since_ms: Option<u64> },
    /// Where the last page ended.
    Token(String),
}

/// The next lines of a stream, oldest first, and where to go on. A stream that is not there yet has no lines.
pub async fn page(aws: &Aws, source: &LogSource, from: &From) -> Result<(Vec<LogLine>, From), AwsError> {
    let client = aws.logs_in(source.region.as_deref().unwrap_or(aws.region()));
    let request = client.get_log_events().log_group_name(&source.group).log_stream_name(&source.stream);
    let since = |since: &Option<u64>| since.and_then(|since| i64::try_from(since).ok());
    let request = match from {
        From::Head { since_ms } => request.start_from_head(true).set_start_time(since(since_ms)),
        From::Tail { lines, since_ms } => {
            request.start_from_head(false).limit(i32::from(*lines)).set_start_time(since(since_ms))
        }
        // "If you are using a previous nextForwardToken value as the nextToken in this operation, you must specify
        // true for startFromHead."
        From::Token(token) => request.start_from_head(true).next_token(token),
    };
    let answer = match send!(aws, "GetLogEvents", request) {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok((Vec::new(), from.clone())),
        Err(error) => return Err(error),
    };
    let next = answer.next_forward_token.map_or_else(|| from.clone(), From::Token);
    let lines = answer.events.unwrap_or_default().into_iter().filter_map(|event| {
        let time_ms = event.timestamp.and_then(|time| u64::try_from(time).ok()).unwrap_or_default();
        Some(LogLine { time_ms, text: event.message?.trim_end().to_owned() })
    });
    Ok((lines.collect(), next))
}

/// The log driver of a container, where it names one: what to say when [`log_source`] finds nothing.
#[must_use]
pub fn log_driver<'a>(definition: &'a Value, container: &str) -> Option<&'a str> {
    let containers = definition.get("containerDefinitions")?.as_array()?;
    let found = containers.iter().find(|found| found.get("name").and_then(Value::as_str) == Some(container))?;
    found.get("logConfiguration")?.get("logDriver")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LogSource, log_source};

    #[test]
    fn the_stream_of_a_container_follows_from_the_awslogs_options() {
        let options =
            json!({"awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web"});
        let definition = |driver: &str, options: &serde_json::Value| {
            json!({"containerDefinitions": [
                {"name": "sidecar"},
                {"name": "app", "logConfiguration": {"logDriver": driver, "options": options}},
            ]})
        };
        let source = log_source(&definition("awslogs", &options), "app", "0123");
        let expected = LogSource {
            group: "/ecs/web".to_owned(),
            stream: "web/app/0123".to_owned(),
            region: Some("eu-west-1".to_owned()),
        };
        assert_eq!(source, Some(expected));
        assert_eq!(log_source(&definition("awslogs", &options), "sidecar", "0123"), None);
        assert_eq!(log_source(&definition("fluentd", &options), "app", "0123"), None);
        assert_eq!(log_source(&definition("awslogs", &json!({"awslogs-group": "/ecs/web"})), "app", "0123"), None);
    }
}
