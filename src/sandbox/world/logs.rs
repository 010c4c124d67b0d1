//! CloudWatch Logs: groups, streams and the lines that containers wrote, bounded in memory.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Fault, Millis, Place, World};

mod groups;
mod pattern;
mod reading;
mod tags;
mod writing;

/// A stream keeps its newest lines and drops the oldest, unlike AWS, so that a chatty container cannot eat the memory.
const EVENTS_PER_STREAM: usize = 10_000;
/// The same by size: what a page of `GetLogEvents` may carry on AWS, four times.
const BYTES_PER_STREAM: usize = 4 * 1024 * 1024;
const DAY: Millis = 24 * 60 * 60 * 1000;

/// The log groups of one account in one region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    groups: BTreeMap<String, Group>,
    /// Numbers every event ever taken in, so that equal timestamps keep their order and tokens stay good.
    taken_in: u64,
    #[serde(default)]
    revision: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    created_at: Millis,
    retention_days: Option<u32>,
    tags: BTreeMap<String, String>,
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    created_at: Millis,
    last_ingestion: Option<Millis>,
    /// Ordered by place.
    events: VecDeque<Event>,
    /// Of all messages held.
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    place: Cursor,
    ingested_at: Millis,
    message: String,
}

/// Where an event stands in its stream, and where a page begins or ends: by timestamp, then by order of arrival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Cursor {
    at: Millis,
    number: u64,
}

/// Answers one call of the `Logs_20140328` service.
pub fn call(world: &mut World, operation: &str, input: &Value, now: Millis) -> Result<Value, Fault> {
    world.logs.answer(&world.place, operation, input, now)
}

impl Logs {
    /// Changes whenever a group, a stream or a line does.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn changed(&mut self) {
        self.revision += 1;
    }

    #[must_use]
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// Makes the group unless it is there, as the `awslogs` driver does with `awslogs-create-group`.
    pub fn create_group(&mut self, name: &str) {
        if !self.has_group(name) {
            self.groups.insert(name.to_owned(), Group::default());
            self.changed();
        }
    }

    /// Takes in a line of a container; the group and the stream are made when needed.
    pub fn append(&mut self, group: &str, stream: &str, at: Millis, line: &str) {
        let created = |found: &mut Millis| {
            if *found == 0 {
                *found = at;
            }
        };
        self.taken_in += 1;
        let number = self.taken_in;
        let group = self.groups.entry(group.to_owned()).or_default();
        created(&mut group.created_at);
        let stream = group.streams.entry(stream.to_owned()).or_default();
        created(&mut stream.created_at);
        stream.take_in(Event { place: Cursor { at, number }, ingested_at: at, message: line.to_owned() });
        self.changed();
    }

    /// Answers one call, knowing nothing but the logs and where they are.
    pub(crate) fn answer(
        &mut self,
        place: &Place,
        operation: &str,
        input: &Value,
        now: Millis,
    ) -> Result<Value, Fault> {
        match operation {
            "CreateLogGroup" => self.create_log_group(decode(input)?, now),
            "DeleteLogGroup" => self.delete_log_group(&decode(input)?),
            "DescribeLogGroups" => self.describe_log_groups(place, &decode(input)?),
            "PutRetentionPolicy" => self.put_retention_policy(&decode(input)?),
            "DeleteRetentionPolicy" => self.delete_retention_policy(&decode(input)?),
            "CreateLogStream" => self.create_log_stream(decode(input)?, now),
            "DeleteLogStream" => self.delete_log_stream(&decode(input)?),
            "DescribeLogStreams" => self.describe_log_streams(place, &decode(input)?),
            "PutLogEvents" => self.put_log_events(decode(input)?, now),
            "GetLogEvents" => self.get_log_events(decode(input)?, now),
            "FilterLogEvents" => self.filter_log_events(&decode(input)?, now),
            "ListTagsForResource" => self.list_tags(&decode(input)?),
            "TagResource" => self.tag(decode(input)?),
            "UntagResource" => self.untag(&decode(input)?),
            "ListTagsLogGroup" => self.list_tags(&decode::<tags::Named>(input)?.into()),
            "TagLogGroup" => self.tag(decode::<tags::TagNamed>(input)?.into()),
            "UntagLogGroup" => self.untag(&decode::<tags::UntagNamed>(input)?.into()),
            _ => Err(fault(
                "UnknownOperationException",
                format!("the sandbox does not emulate CloudWatch Logs' {operation}"),
            )),
        }
    }

    fn group(&self, name: &str) -> Result<&Group, Fault> {
        self.groups.get(name).ok_or_else(no_group)
    }

    /// The group, to be changed; the change is counted.
    fn group_mut(&mut self, name: &str) -> Result<&mut Group, Fault> {
        let group = self.groups.get_mut(name).ok_or_else(no_group)?;
        self.revision += 1;
        Ok(group)
    }
}

impl Group {
    fn stream(&self, name: &str) -> Result<&Stream, Fault> {
        self.streams.get(name).ok_or_else(no_stream)
    }

    /// The moment before which events have expired.
    fn horizon(&self, now: Millis) -> Millis {
        self.retention_days.map_or(0, |days| now.saturating_sub(Millis::from(days) * DAY))
    }
}

impl Stream {
    /// Lines arrive nearly in order; one that is late is put where it belongs.
    fn take_in(&mut self, event: Event) {
        self.bytes += event.message.len();
        self.last_ingestion = Some(event.ingested_at);
        let at = self.events.partition_point(|known| known.place <= event.place);
        self.events.insert(at, event);
        while self.events.len() > EVENTS_PER_STREAM || self.bytes > BYTES_PER_STREAM {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.message.len();
        }
    }
}

/// CloudWatch Logs answers every refusal with status 400.
fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { status: 400, code: code.to_owned(), message: message.into() }
}

fn invalid(message: impl Into<String>) -> Fault {
    fault("InvalidParameterException", message)
}

fn no_group() -> Fault {
    fault("ResourceNotFoundException", "The specified log group does not exist.")
}

fn no_stream() -> Fault {
    fault("ResourceNotFoundException", "The specified log stream does not exist.")
}

/// The members of a call as its own type.
fn decode<T: DeserializeOwned>(input: &Value) -> Result<T, Fault> {
    super::input::decode(input, "InvalidParameterException")
}

/// One page of what is ordered by name, the token being the last name given.
fn page_by_name(
    items: Vec<(String, Value)>,
    token: Option<&str>,
    limit: Option<usize>,
) -> Result<(Vec<Value>, Option<String>), Fault> {
    let limit = limit_within(limit, 50, 50)?;
    let from = match token {
        None => 0,
        Some(token) => {
            let last = items.iter().position(|(name, _)| name == token);
            last.ok_or_else(|| invalid("The specified nextToken is invalid."))? + 1
        }
    };
    let next = (items.len() > from + limit).then(|| items[from + limit - 1].0.clone());
    Ok((items.into_iter().skip(from).take(limit).map(|(_, item)| item).collect(), next))
}

fn limit_within(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    let bound =
        if limit == 0 { "greater than or equal to 1".to_owned() } else { format!("less than or equal to {most}") };
    Err(invalid(format!(
        "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value {bound}"
    )))
}

fn with_next(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    answer
}

/// Groups are named by their name or, in the newer member, by their ARN.
fn group_name<'a>(name: Option<&'a str>, identifier: Option<&'a str>) -> Result<&'a str, Fault> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => Ok(match identifier.split_once(":log-group:") {
            Some((_, name)) => name.strip_suffix(":*").unwrap_or(name),
            None => identifier,
        }),
        (None, None) => Err(invalid("Either logGroupName or logGroupIdentifier must be specified.")),
        (Some(_), Some(_)) => Err(invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")),
    }
}

#[cfg(test)]
mod tests;
