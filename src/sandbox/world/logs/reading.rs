//! `GetLogEvents` and `FilterLogEvents`: pages over what was taken in.

use serde::Deserialize;
use serde_json::{Value, json};

use super::pattern::Pattern;
use super::{Cursor, Event, Fault, Logs, Millis, group_name, invalid, limit_within, with_next};

/// "as many log events as can fit in a response size of 1 MB (up to 10,000 log events)" — API reference, `GetLogEvents`.
const PAGE_EVENTS: usize = 10_000;
const PAGE_BYTES: usize = 1024 * 1024;
/// What CloudWatch adds to the size of each message — API reference, `PutLogEvents`.
const EVENT_OVERHEAD: usize = 26;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<Millis>,
    end_time: Option<Millis>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<Millis>,
    end_time: Option<Millis>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

/// Which way a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From the cursor on, oldest first.
    Forward,
    /// What lies before the cursor, newest first.
    Backward,
}

/// Where the next page begins, as AWS writes it: `f/` or `b/`, 56 digits, `/s`.
///
/// A token is a place between events, so the one of an empty page leads to that same place: "If you have reached the end of
/// the stream, it returns the same token you passed in."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    direction: Direction,
    cursor: Cursor,
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let (direction, rest) = match text.split_at_checked(2)? {
            ("f/", rest) => (Direction::Forward, rest),
            ("b/", rest) => (Direction::Backward, rest),
            _ => return None,
        };
        let digits = rest.strip_suffix("/s")?;
        if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { direction, cursor: Cursor { at: digits[..28].parse().ok()?, number: digits[28..].parse().ok()? } })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = match self.direction {
            Direction::Forward => 'f',
            Direction::Backward => 'b',
        };
        write!(out, "{letter}/{}/s", self.cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:028}{:028}", self.at, self.number)
    }
}

impl Cursor {
    fn just_after(self) -> Self {
        Self { at: self.at, number: self.number + 1 }
    }
}

/// As many as fit into one answer.
fn fitting<'a>(events: impl Iterator<Item = &'a Event>, limit: usize) -> Vec<&'a Event> {
    let mut room = PAGE_BYTES;
    let mut page = Vec::new();
    for event in events.take(limit) {
        let size = event.message.len() + EVENT_OVERHEAD;
        // One event larger than a page still has to be readable.
        if size > room && !page.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        page.push(event);
    }
    page
}

impl Logs {
    pub(super) fn get_log_events(&self, input: GetLogEvents, now: Millis) -> Result<Value, Fault> {
        let name = group_name(input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
        let group = self.group(name)?;
        let stream = group.stream(&input.log_stream_name)?;
        let limit = limit_within(input.limit, PAGE_EVENTS, PAGE_EVENTS)?;
        let from = input.start_time.unwrap_or(0).max(group.horizon(now));
        let until = input.end_time.unwrap_or(Millis::MAX);

        let token = match input.next_token {
            Some(text) => Token::parse(&text).ok_or_else(|| invalid("The specified nextToken is invalid."))?,
            None if input.start_from_head => {
                Token { direction: Direction::Forward, cursor: Cursor { at: from, number: 0 } }
            }
            // Behind the last event, so that what arrives next is forward of here.
            None => Token {
                direction: Direction::Backward,
                cursor: stream.events.back().map_or(Cursor { at: from, number: 0 }, |last| last.place.just_after()),
            },
        };
        let split = stream.events.partition_point(|event| event.place < token.cursor);
        let wanted = |event: &&Event| (from..until).contains(&event.place.at);
        let page = match token.direction {
            Direction::Forward => fitting(stream.events.range(split..).filter(wanted), limit),
            Direction::Backward => {
                let mut page = fitting(stream.events.range(..split).rev().filter(wanted), limit);
                page.reverse();
                page
            }
        };
        let first = page.first().map_or(token.cursor, |first| first.place);
        let last = page.last().map_or(token.cursor, |last| last.place.just_after());
        let events: Vec<Value> = page
            .iter()
            .map(|event| {
                json!({
                    "timestamp": event.place.at,
                    "message": event.message,
                    "ingestionTime": event.ingested_at,
                })
            })
            .collect();
        Ok(json!({
            "events": events,
            "nextForwardToken": Token { direction: Direction::Forward, cursor: last }.to_string(),
            "nextBackwardToken": Token { direction: Direction::Backward, cursor: first }.to_string(),
        }))
    }

    pub(super) fn filter_log_events(&self, input: &FilterLogEvents, now: Millis) -> Result<Value, Fault> {
        let name = group_name(input.log_group_name.as_deref(), input.log_group_identifier.as_deref())?;
        let group = self.group(name)?;
        if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
            return Err(invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."));
        }
        let limit = limit_within(input.limit, PAGE_EVENTS, PAGE_EVENTS)?;
        let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?;
        let from = input.start_time.unwrap_or(0).max(group.horizon(now));
        // Unlike `GetLogEvents`, "events with a timestamp later than this time are not returned".
        let until = input.end_time.unwrap_or(Millis::MAX);
        let start = match input.next_token.as_deref() {
            None => Cursor::default(),
            Some(token) => {
                let token = Token::parse(token).filter(|token| token.direction == Direction::Forward);
                token.ok_or_else(|| invalid("The specified nextToken is invalid."))?.cursor
            }
        };
        for stream in input.log_stream_names.iter().flatten() {
            group.stream(stream)?;
        }
        let streams = group.streams.iter().filter(|(stream, _)| {
            let named = input.log_stream_names.as_ref().is_none_or(|names| names.contains(stream));
            named && input.log_stream_name_prefix.as_ref().is_none_or(|prefix| stream.starts_with(prefix.as_str()))
        });
        // Numbers are unique over all streams, so one cursor leads through the interleaved events.
        let mut found: Vec<(&String, &Event)> = streams
            .flat_map(|(stream, held)| held.events.iter().map(move |event| (stream, event)))
            .filter(|(_, event)| event.place >= start && (from..=until).contains(&event.place.at))
            .filter(|(_, event)| pattern.matches(&event.message))
            .collect();
        found.sort_by_key(|(_, event)| event.place);
        let count = fitting(found.iter().map(|(_, event)| *event), limit).len();
        let next =
            found.get(count).map(|(_, event)| Token { direction: Direction::Forward, cursor: event.place }.to_string());
        let events: Vec<Value> = found[..count]
            .iter()
            .map(|(stream, event)| {
                json!({
                    "logStreamName": stream,
                    "timestamp": event.place.at,
                    "message": event.message,
                    "ingestionTime": event.ingested_at,
                    "eventId": event.place.to_string(),
                })
            })
            .collect();
        // Empty since June 2019: "this parameter is not supported".
        Ok(with_next(json!({ "events": events, "searchedLogStreams": [] }), next))
    }
}
