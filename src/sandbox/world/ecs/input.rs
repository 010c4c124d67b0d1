//! Reading a request's members, and the refusals of members that are missing or wrong.

use serde_json::{Map, Value};

use super::super::Fault;
pub(super) use super::super::input::seconds;

pub(super) fn client(message: impl Into<String>) -> Fault {
    Fault::new("ClientException", message)
}

pub(super) fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("InvalidParameterException", message)
}

/// A string that was sent and is not empty.
pub(super) fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(super) fn flag(input: &Value, name: &str) -> Option<bool> {
    input.get(name).and_then(Value::as_bool)
}

/// A count that was sent; a negative or overlong one is refused.
pub(super) fn count(input: &Value, name: &str) -> Result<Option<u32>, Fault> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .map(Some)
            .ok_or_else(|| invalid(format!("{name} must be a non-negative integer."))),
    }
}

pub(super) fn list<'a>(input: &'a Value, name: &str) -> &'a [Value] {
    input.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn strings<'a>(input: &'a Value, name: &str) -> Vec<&'a str> {
    list(input, name).iter().filter_map(Value::as_str).collect()
}

pub(super) fn includes(input: &Value, what: &str) -> bool {
    strings(input, "include").contains(&what)
}

/// The last part of an ARN, or the name itself.
pub(super) fn short(name_or_arn: &str) -> &str {
    name_or_arn.rsplit('/').next().unwrap_or(name_or_arn)
}

/// Sets a member that is there to be set.
pub(super) fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}

/// One page of `all`: `nextToken` is the place where the next page begins.
pub(super) fn page(input: &Value, all: Vec<Value>, default: usize, under: &str) -> Result<Value, Fault> {
    let asked = count(input, "maxResults")?.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    if asked.is_some_and(|asked| !(1..=100).contains(&asked)) {
        return Err(invalid("maxResults must be between 1 and 100."));
    }
    let size = asked.unwrap_or(default);
    let from = match text(input, "nextToken") {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| invalid("Invalid token."))?,
    };
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    let until = from + page.len();
    let mut answer = Map::new();
    answer.insert(under.to_owned(), Value::Array(page));
    put(&mut answer, "nextToken", (until < total).then(|| until.to_string()));
    Ok(Value::Object(answer))
}

/// Tags as sent, by key: later ones win.
pub(super) fn merge_tags(tags: &mut Vec<Value>, more: &[Value]) {
    for tag in more {
        tags.retain(|known| known.get("key") != tag.get("key"));
        tags.push(tag.clone());
    }
}
