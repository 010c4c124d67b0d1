//! Groups and streams: making, describing and removing them, and how long groups keep their events.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fault, Group, Logs, Millis, Place, Stream, fault, group_name, invalid, page_by_name, with_next};

/// "Possible values are" — API reference, `PutRetentionPolicy`.
const RETENTIONS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateLogGroup {
    log_group_name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OneGroup {
    log_group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OneStream {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutRetentionPolicy {
    log_group_name: String,
    retention_in_days: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum OrderBy {
    #[default]
    LogStreamName,
    LastEventTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    #[serde(default)]
    order_by: OrderBy,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

impl Logs {
    pub(super) fn create_log_group(&mut self, input: CreateLogGroup, now: Millis) -> Result<Value, Fault> {
        let name = input.log_group_name;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
        if !(1..=512).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
            )));
        }
        if self.has_group(&name) {
            return Err(fault("ResourceAlreadyExistsException", "The specified log group already exists"));
        }
        self.groups.insert(name, Group { created_at: now, tags: input.tags, ..Group::default() });
        self.changed();
        Ok(json!({}))
    }

    pub(super) fn delete_log_group(&mut self, input: &OneGroup) -> Result<Value, Fault> {
        self.group_mut(&input.log_group_name)?;
        self.groups.remove(&input.log_group_name);
        Ok(json!({}))
    }

    pub(super) fn put_retention_policy(&mut self, input: &PutRetentionPolicy) -> Result<Value, Fault> {
        let days = input.retention_in_days;
        if !RETENTIONS.contains(&days) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set"
            )));
        }
        self.group_mut(&input.log_group_name)?.retention_days = Some(days);
        Ok(json!({}))
    }

    pub(super) fn delete_retention_policy(&mut self, input: &OneGroup) -> Result<Value, Fault> {
        self.group_mut(&input.log_group_name)?.retention_days = None;
        Ok(json!({}))
    }

    pub(super) fn describe_log_groups(&self, place: &Place, input: &DescribeLogGroups) -> Result<Value, Fault> {
        let (prefix, pattern) = (input.log_group_name_prefix.as_deref(), input.log_group_name_pattern.as_deref());
        if prefix.is_some() && pattern.is_some() {
            return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
        }
        let found = self
            .groups
            .iter()
            .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
            .filter(|(name, _)| pattern.is_none_or(|pattern| name.contains(pattern)))
            .map(|(name, group)| (name.clone(), group.describe(place, name)))
            .collect();
        let (groups, next) = page_by_name(found, input.next_token.as_deref(), input.limit)?;
        Ok(with_next(json!({ "logGroups": groups }), next))
    }

    pub(super) fn create_log_stream(&mut self, input: OneStream, now: Millis) -> Result<Value, Fault> {
        let name = input.log_stream_name;
        if !(1..=512).contains(&name.len()) || name.contains([':', '*']) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*"
            )));
        }
        if self.group(&input.log_group_name)?.streams.contains_key(&name) {
            return Err(fault("ResourceAlreadyExistsException", "The specified log stream already exists"));
        }
        let group = self.group_mut(&input.log_group_name)?;
        group.streams.insert(name, Stream { created_at: now, ..Stream::default() });
        Ok(json!({}))
    }

    pub(super) fn delete_log_stream(&mut self, input: &OneStream) -> Result<Value, Fault> {
        self.group(&input.log_group_name)?.stream(&input.log_stream_name)?;
        self.group_mut(&input.log_group_name)?.streams.remove(&input.log_stream_name);
        Ok(json!({}))
    }

    pub(super) fn describe_log_streams(&self, place: &Place, input: &DescribeLogStreams) -> Result<Value, Fault> {
        let name = group_name(input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
        let group = self.group(name)?;
        let prefix = input.log_stream_name_prefix.as_deref();
        let mut streams: Vec<(&String, &Stream)> =
            group.streams.iter().filter(|(stream, _)| prefix.is_none_or(|prefix| stream.starts_with(prefix))).collect();
        match input.order_by {
            OrderBy::LogStreamName => {}
            OrderBy::LastEventTime if prefix.is_some() => {
                return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
            }
            OrderBy::LastEventTime => streams.sort_by_key(|(_, stream)| stream.events.back().map(|last| last.place.at)),
        }
        if input.descending {
            streams.reverse();
        }
        let described =
            streams.into_iter().map(|(stream, held)| (stream.clone(), held.describe(place, name, stream))).collect();
        let (streams, next) = page_by_name(described, input.next_token.as_deref(), input.limit)?;
        Ok(with_next(json!({ "logStreams": streams }), next))
    }
}

fn arn(place: &Place, group: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{group}", place.region, place.account)
}

impl Group {
    fn describe(&self, place: &Place, name: &str) -> Value {
        let arn = arn(place, name);
        let mut described = json!({
            "logGroupName": name,
            "creationTime": self.created_at,
            "metricFilterCount": 0,
            "arn": format!("{arn}:*"),
            "storedBytes": self.streams.values().map(|stream| stream.bytes).sum::<usize>(),
            "logGroupClass": "STANDARD",
            "logGroupArn": arn,
        });
        if let Some(days) = self.retention_days {
            described["retentionInDays"] = json!(days);
        }
        described
    }
}

impl Stream {
    fn describe(&self, place: &Place, group: &str, name: &str) -> Value {
        let mut described = json!({
            "logStreamName": name,
            "creationTime": self.created_at,
            "arn": format!("{}:log-stream:{name}", arn(place, group)),
            // AWS has answered 0 since June 2019.
            "storedBytes": 0,
        });
        if let (Some(first), Some(last), Some(ingested)) =
            (self.events.front(), self.events.back(), self.last_ingestion)
        {
            described["firstEventTimestamp"] = json!(first.place.at);
            described["lastEventTimestamp"] = json!(last.place.at);
            described["lastIngestionTime"] = json!(ingested);
        }
        described
    }
}
