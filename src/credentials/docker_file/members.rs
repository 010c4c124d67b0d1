//! JSON changed in its own text: a member of an object is put in or taken out, and every other letter stays as the user
//! wrote it.
//!
//! Only for a text that was read as an object already: nothing here looks for mistakes.

use std::ops::Range;

use serde_json::{Value, json};

/// Puts `name` into the object `table` of the text, and that one too where it is not there.
#[must_use]
pub(super) fn with(text: &str, table: &str, name: &str, value: &Value) -> String {
    let Some(root) = text.find('{').map(|open| Object::at(text, open)) else {
        // An empty file. Docker itself writes no line end behind the last brace.
        let end = if text.ends_with('\n') { "\n" } else { "" };
        return with("{}", table, name, value) + end;
    };
    let hand = Hand::of(text, &root);
    let Some(member) = root.find(table) else {
        return put(text, &root, table, &json!({ name: value }), &hand, Some(""));
    };
    let inner = Object::at(text, member.value.start);
    match inner.find(name) {
        Some(known) if serde_json::from_str::<Value>(&text[known.value.clone()]).is_ok_and(|known| known == *value) => {
            text.to_owned()
        }
        Some(known) => {
            let indent = inner.indent_before(text, known);
            spliced(text, known.value.clone(), &hand.written(value, indent))
        }
        None => put(text, &inner, name, value, &hand, root.indent_before(text, member)),
    }
}

/// Takes `name` out of the object `table`.
#[must_use]
pub(super) fn without(text: &str, table: &str, name: &str) -> String {
    let Some(root) = text.find('{').map(|open| Object::at(text, open)) else { return text.to_owned() };
    match root.find(table) {
        Some(member) => taken_out(text, member.value.start, name),
        None => text.to_owned(),
    }
}

/// Takes the whole object `table` out.
#[must_use]
pub(super) fn without_table(text: &str, table: &str) -> String {
    text.find('{').map_or_else(|| text.to_owned(), |open| taken_out(text, open, table))
}

/// An object as places in the text.
struct Object {
    open: usize,
    members: Vec<Member>,
    close: usize,
}

struct Member {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl Object {
    /// The object whose brace stands at `open`.
    fn at(text: &str, open: usize) -> Self {
        let bytes = text.as_bytes();
        let mut members = Vec::new();
        let mut at = open + 1;
        loop {
            at = after_blanks(bytes, at);
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b'"') => {
                    let key = at..end_of(bytes, at);
                    let colon = after_blanks(bytes, key.end);
                    let start = after_blanks(bytes, colon + 1);
                    let value = start..end_of(bytes, start);
                    at = value.end;
                    let name = serde_json::from_str(&text[key.clone()]).unwrap_or_default();
                    members.push(Member { name, key, value });
                }
                Some(_) | None => return Self { open, members, close: at },
            }
        }
    }

    /// Of two with one name it is the last that counts.
    fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().rfind(|member| member.name == name)
    }

    /// What stands between a member and the comma or the brace before it.
    fn gap<'a>(&self, text: &'a str, member: &Member) -> &'a str {
        let before = self.members.iter().rfind(|other| other.value.end <= member.key.start);
        let gap = &text[before.map_or(self.open + 1, |before| before.value.end)..member.key.start];
        gap.rsplit(',').next().unwrap_or(gap)
    }

    /// The indentation of a member that begins a line.
    fn indent_before<'a>(&self, text: &'a str, member: &Member) -> Option<&'a str> {
        self.gap(text, member).rsplit_once('\n').map(|(_, indent)| indent)
    }
}

/// How the user, or docker, writes.
struct Hand<'a> {
    line_end: &'static str,
    /// One step of indentation.
    unit: &'a str,
    /// Between a key and its value.
    colon: &'a str,
    /// Behind `{` and before `}` of an object in one line.
    pad: &'a str,
    /// Behind a comma in one line.
    gap: &'a str,
}

impl<'a> Hand<'a> {
    fn of(text: &'a str, root: &Object) -> Self {
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let Some(first) = root.members.first() else {
            // As docker writes it.
            return Self { line_end, unit: "\t", colon: ": ", pad: "", gap: " " };
        };
        let colon = &text[first.key.end..first.value.start];
        let colon = if colon.contains('\n') { ": " } else { colon };
        let before = root.gap(text, first);
        let unit = before.rsplit_once('\n').map_or("\t", |(_, indent)| if indent.is_empty() { "\t" } else { indent });
        let pad = if before.contains('\n') { "" } else { before };
        let gap = match root.members.get(1).map(|second| root.gap(text, second)) {
            Some(gap) if !gap.contains('\n') => gap,
            Some(_) | None if pad.is_empty() && colon.ends_with(' ') => " ",
            Some(_) | None => pad,
        };
        Self { line_end, unit, colon, pad, gap }
    }

    /// A value; `indent` is where its line begins, `None` where all of it is in one line.
    fn written(&self, value: &Value, indent: Option<&str>) -> String {
        let Self { line_end, unit, colon, pad, gap } = self;
        let Some(members) = value.as_object().filter(|members| !members.is_empty()) else { return value.to_string() };
        let inner = indent.map(|indent| format!("{indent}{unit}"));
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| {
                format!("{}{colon}{}", Value::from(name.as_str()), self.written(value, inner.as_deref()))
            })
            .collect();
        match (indent, inner) {
            (Some(indent), Some(inner)) => {
                let lines = members.join(&format!(",{line_end}{inner}"));
                format!("{{{line_end}{inner}{lines}{line_end}{indent}}}")
            }
            _ => format!("{{{pad}{}{pad}}}", members.join(&format!(",{gap}"))),
        }
    }
}

/// Puts a new member behind the others; `indent` is that of the line in which the object begins, if it begins one.
fn put(text: &str, object: &Object, name: &str, value: &Value, hand: &Hand<'_>, indent: Option<&str>) -> String {
    let Some(last) = object.members.last() else {
        return spliced(text, object.open..object.close + 1, &hand.written(&json!({ name: value }), indent));
    };
    let gap = object.gap(text, last);
    // The only one of a line has no gap behind a comma to go by.
    let gap = if object.members.len() == 1 && !gap.contains('\n') { hand.gap } else { gap };
    let colon = &text[last.key.end..last.value.start];
    let colon = if colon.contains('\n') { hand.colon } else { colon };
    let value = hand.written(value, gap.rsplit_once('\n').map(|(_, indent)| indent));
    spliced(text, last.value.end..last.value.end, &format!(",{gap}{}{colon}{value}", Value::from(name)))
}

fn taken_out(text: &str, open: usize, name: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let object = Object::at(&text, open);
        let Some(at) = object.members.iter().position(|member| member.name == name) else { return text };
        let range = match (at, object.members.as_slice()) {
            (_, [_]) => object.open + 1..object.close,
            (0, [first, second, ..]) => first.key.start..second.key.start,
            (at, members) => members[at - 1].value.end..members[at].value.end,
        };
        text.replace_range(range, "");
    }
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..range.start], &text[range.end..])
}

fn after_blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the value that begins at `start` ends.
fn end_of(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0_usize;
    let mut is_text = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if is_text => at += 1,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            // What is around a number, a `true` or a `null`.
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            blank if depth == 0 && blank.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
        let is_whole = matches!(byte, b'"' | b'}' | b']') && depth == 0 && !is_text;
        if is_whole {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{with, without, without_table};

    const HELPERS: &str = "credHelpers";

    /// With a helper, and without it again.
    fn there_and_back(before: &str) -> (String, String) {
        let with = with(before, HELPERS, "c", &json!("z"));
        let had_table = serde_json::from_str::<Value>(before).is_ok_and(|before| before.get(HELPERS).is_some());
        let back = without(&with, HELPERS, "c");
        let back = if had_table { back } else { without_table(&back, HELPERS) };
        (with, back)
    }

    #[test]
    fn the_hand_of_the_file_is_kept() {
        for (before, expected) in [
            // Docker's own.
            (
                "{\n\t\"auths\": {\n\t\t\"a\": {}\n\t}\n}",
                "{\n\t\"auths\": {\n\t\t\"a\": {}\n\t},\n\t\"credHelpers\": {\n\t\t\"c\": \"z\"\n\t}\n}",
            ),
            ("{\n    \"a\": 1\n}\n", "{\n    \"a\": 1,\n    \"credHelpers\": {\n        \"c\": \"z\"\n    }\n}\n"),
            ("{\"a\":1}", "{\"a\":1,\"credHelpers\":{\"c\":\"z\"}}"),
            ("{\"a\": 1, \"b\": 2}\n", "{\"a\": 1, \"b\": 2, \"credHelpers\": {\"c\": \"z\"}}\n"),
            ("{ \"a\": 1 }", "{ \"a\": 1, \"credHelpers\": { \"c\": \"z\" } }"),
            ("{\"credHelpers\":{\"a\":\"x\"}}", "{\"credHelpers\":{\"a\":\"x\",\"c\":\"z\"}}"),
            // Tables in one line in a file of many.
            (
                "{\n  \"auths\": {\"ghcr.io\": {\"auth\": \"eA==\"}},\n  \"credHelpers\": { \"a\": \"x\", \"b\": \"y\" },\n  \"n\": 1.10\n}\n",
                "{\n  \"auths\": {\"ghcr.io\": {\"auth\": \"eA==\"}},\n  \"credHelpers\": { \"a\": \"x\", \"b\": \"y\", \"c\": \"z\" },\n  \"n\": 1.10\n}\n",
            ),
            // A table that was there stays, empty as it may be.
            ("{\n\t\"credHelpers\": {}\n}", "{\n\t\"credHelpers\": {\n\t\t\"c\": \"z\"\n\t}\n}"),
            ("{\"credHelpers\": {}}", "{\"credHelpers\": {\"c\": \"z\"}}"),
            (
                "{\r\n  \"a\": [1,\r\n 2],\r\n  \"credHelpers\": {\r\n    \"a\": \"x\"\r\n  }\r\n}\r\n",
                "{\r\n  \"a\": [1,\r\n 2],\r\n  \"credHelpers\": {\r\n    \"a\": \"x\",\r\n    \"c\": \"z\"\r\n  }\r\n}\r\n",
            ),
            ("{\r\n  \"a\": 1\r\n}", "{\r\n  \"a\": 1,\r\n  \"credHelpers\": {\r\n    \"c\": \"z\"\r\n  }\r\n}"),
            // Brackets and quotes in texts are letters.
            (
                "{\n\t\"}\\\"\": \"{[\\\\\",\n\t\"psFormat\": \"a\\u0026b\"\n}",
                "{\n\t\"}\\\"\": \"{[\\\\\",\n\t\"psFormat\": \"a\\u0026b\",\n\t\"credHelpers\": {\n\t\t\"c\": \"z\"\n\t}\n}",
            ),
            ("{}", "{\n\t\"credHelpers\": {\n\t\t\"c\": \"z\"\n\t}\n}"),
        ] {
            let (with, back) = there_and_back(before);
            assert_eq!(with, expected);
            assert_eq!(back, before);
        }
        // What has no hand of its own gets docker's.
        for (before, end) in [("", ""), ("\n", "\n")] {
            assert_eq!(there_and_back(before).0, format!("{{\n\t\"credHelpers\": {{\n\t\t\"c\": \"z\"\n\t}}\n}}{end}"));
        }
    }

    #[test]
    fn only_the_value_is_changed() {
        let before = "{\n  \"credHelpers\": { \"a\" : \"x\",\"b\":\"y\" } }";
        assert_eq!(with(before, HELPERS, "a", &json!("n")), before.replace("\"x\"", "\"n\""));
        assert_eq!(with(before, HELPERS, "a", &json!("x")), before, "nothing to change");
        assert_eq!(without(before, HELPERS, "a"), "{\n  \"credHelpers\": { \"b\":\"y\" } }");
        assert_eq!(without(before, HELPERS, "b"), "{\n  \"credHelpers\": { \"a\" : \"x\" } }");
        assert_eq!(without(before, HELPERS, "none"), before);
        let twice = "{\"credHelpers\":{\"a\":\"x\",\"b\":\"y\",\"a\":\"z\"}}";
        assert_eq!(with(twice, HELPERS, "a", &json!("n")), twice.replace("\"z\"", "\"n\""), "the last one counts");
        assert_eq!(without(twice, HELPERS, "a"), "{\"credHelpers\":{\"b\":\"y\"}}");
        let nested = with("{\n\t\"auths\": {\n\t\t\"a\": {}\n\t}\n}", "auths", "b", &json!({ "auth": "eA==" }));
        assert_eq!(nested, "{\n\t\"auths\": {\n\t\t\"a\": {},\n\t\t\"b\": {\n\t\t\t\"auth\": \"eA==\"\n\t\t}\n\t}\n}");
    }

    /// Any value, as somebody may have written it.
    fn written(value: &Value, breaks: &mut impl FnMut() -> &'static str) -> String {
        match value {
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        let (before, behind) = (breaks(), breaks());
                        format!("{before}{}{behind}:{}{}", json!(name), breaks(), written(value, breaks))
                    })
                    .collect();
                format!("{{{}{}}}", members.join(&format!("{},", breaks())), breaks())
            }
            Value::Array(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|entry| breaks().to_owned() + &written(entry, breaks)).collect();
                format!("[{}{}]", entries.join(","), breaks())
            }
            other => other.to_string(),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c{}\\[\\]\",:\\\\ é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c{\"]{1,2}", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_member_is_changed_and_nothing_else(
            mut root in prop::collection::btree_map("[a-c{\"]{1,2}", any_value(), 0..4),
            helpers in prop::option::of(prop::collection::btree_map("[a-c]", "[x-z]", 0..3)),
            blanks in prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\n\t", "\r\n  ", "\n    "]), 1..12),
        ) {
            if let Some(helpers) = &helpers {
                root.insert(HELPERS.to_owned(), json!(helpers));
            }
            let mut next = blanks.iter().cycle();
            let value: Map<String, Value> = root.into_iter().collect();
            let text = written(&Value::Object(value.clone()), &mut || next.next().expect("a cycle has no end"));
            let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text);

            let mut expected = value.clone();
            expected.entry(HELPERS).or_insert_with(|| json!({}))["n"] = json!("new");
            let with = with(&text, HELPERS, "n", &json!("new"));
            prop_assert_eq!(read(&with).expect("JSON"), expected, "{}", with);
            let back = without(&with, HELPERS, "n");
            let back = if helpers.is_some() { back } else { without_table(&back, HELPERS) };
            prop_assert_eq!(read(&back).expect("JSON"), value.clone());
            // An object that was empty is empty again, without the blanks that were in it.
            if !value.is_empty() && helpers.is_none_or(|helpers| !helpers.is_empty()) {
                prop_assert_eq!(&back, &text);
            }
        }
    }
}
