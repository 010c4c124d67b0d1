//! `PutLogEvents`: what is taken in, and what is too old or too new.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cursor, DAY, Event, Fault, Logs, Millis, invalid};

/// "None of the log events in the batch can be more than 2 hours in the future" — API reference, `PutLogEvents`.
const TOO_NEW: Millis = 2 * 60 * 60 * 1000;
/// "None of the log events in the batch can be more than 14 days in the past."
const TOO_OLD: Millis = 14 * DAY;
/// "The maximum number of log events in a batch is 10,000."
const BATCH: usize = 10_000;

#[derive(Deserialize)]
pub(super) struct PutLogEvents {
    #[serde(rename = "logGroupName")]
    group: String,
    #[serde(rename = "logStreamName")]
    stream: String,
    #[serde(rename = "logEvents")]
    events: Vec<InputLogEvent>,
}

#[derive(Deserialize)]
struct InputLogEvent {
    timestamp: Millis,
    message: String,
}

impl Logs {
    pub(super) fn put_log_events(&mut self, input: PutLogEvents, now: Millis) -> Result<Value, Fault> {
        let PutLogEvents { group, stream, events } = input;
        self.group(&group)?.stream(&stream)?;
        if !(1..=BATCH).contains(&events.len()) {
            return Err(invalid(
                "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and 10000",
            ));
        }
        if let Some(at) = events.iter().position(|event| event.message.is_empty()) {
            return Err(invalid(format!(
                "1 validation error detected: Value '' at 'logEvents.{}.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1",
                at + 1
            )));
        }
        if !events.is_sorted_by_key(|event| event.timestamp) {
            return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
        }
        if let (Some(first), Some(last)) = (events.first(), events.last())
            && last.timestamp - first.timestamp > DAY
        {
            return Err(invalid(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ));
        }
        let horizon = self.group(&group)?.horizon(now);
        let expired = events.partition_point(|event| event.timestamp < horizon);
        let too_old = events.partition_point(|event| event.timestamp < now.saturating_sub(TOO_OLD));
        let too_new = events.partition_point(|event| event.timestamp <= now + TOO_NEW);
        let mut rejected = serde_json::Map::new();
        if too_new < events.len() {
            rejected.insert("tooNewLogEventStartIndex".into(), json!(too_new));
        }
        if too_old > 0 {
            rejected.insert("tooOldLogEventEndIndex".into(), json!(too_old));
        }
        if expired > 0 {
            rejected.insert("expiredLogEventEndIndex".into(), json!(expired));
        }
        let good = too_old.max(expired)..too_new;

        let mut number = self.taken_in;
        let stream = self.group_mut(&group)?.streams.get_mut(&stream).ok_or_else(super::no_stream)?;
        for event in events.into_iter().take(good.end).skip(good.start) {
            number += 1;
            let place = Cursor { at: event.timestamp, number };
            stream.take_in(Event { place, ingested_at: now, message: event.message });
        }
        self.taken_in = number;
        // The token has meant nothing since January 2023, but is still given.
        let mut answer = json!({ "nextSequenceToken": format!("{number:056}") });
        if !rejected.is_empty() {
            answer["rejectedLogEventsInfo"] = Value::Object(rejected);
        }
        Ok(answer)
    }
}
