//! The JSON Schema of `ship.toml`, made of the same tables as the reading: for editors (taplo, VS Code), which take it
//! by a line `#:schema ship.schema.json`. It knows form and not meaning: what can be told without the surroundings.

use serde_json::{Map, Value, json};

use super::file::{File, KeyOutline, Kind, Outline, Shape, Table as _};

/// Names of the user's choice, as the reading takes them.
const NAME: &str = "^[A-Za-z0-9_-]+$";
/// A text with a variable can mean anything.
const VARIABLE: &str = r"\$";

/// The whole schema. Draft 7 is what editors of TOML know.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut root = table(&File::OUTLINE, &mut definitions);
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("ship.toml"));
    root.insert("required".to_owned(), json!(["format"]));
    root.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

fn table(outline: &Outline, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        outline.keys.iter().map(|outline| (outline.name.to_owned(), key(outline, definitions))).collect();
    let mut table = Map::new();
    table.insert("type".to_owned(), json!("object"));
    table.insert("description".to_owned(), json!(words(outline.documentation)));
    table.insert("properties".to_owned(), Value::Object(properties));
    table.insert("additionalProperties".to_owned(), json!(false));
    table
}

/// A reference to a table, which is defined once.
fn reference(outline: &'static Outline, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(outline.name) {
        // Its place first: a table could hold itself.
        definitions.insert(outline.name.to_owned(), Value::Null);
        let defined = table(outline, definitions);
        definitions.insert(outline.name.to_owned(), Value::Object(defined));
    }
    json!({ "$ref": format!("#/definitions/{}", outline.name) })
}

fn key(outline: &KeyOutline, definitions: &mut Map<String, Value>) -> Value {
    let KeyOutline { name: _, documentation, example, kind, shape } = outline;
    let mut schema = match kind {
        Kind::Text => text(*shape),
        Kind::Number => match shape {
            Shape::Range(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Shape::Any | Shape::OneOf(_) | Shape::Pattern(_) => json!({ "type": "integer" }),
        },
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::NamedTexts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        // Draft 7 reads nothing that stands beside a `$ref`.
        Kind::Table(outline) => json!({ "allOf": [reference(outline, definitions)] }),
        Kind::ListOfTables(outline) => json!({ "type": "array", "items": reference(outline, definitions) }),
        Kind::NamedTables(outline) => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": reference(outline, definitions),
        }),
    };
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(words(documentation)));
        schema.extend(value(example).map(|example| ("examples".to_owned(), json!([example]))));
    }
    schema
}

fn text(shape: Shape) -> Value {
    match shape {
        Shape::Any | Shape::Range(..) => json!({ "type": "string" }),
        Shape::OneOf(words) => json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": format!("^({pattern})$|{VARIABLE}") }),
    }
}

/// What stands behind the `=` of an example.
fn value(example: &str) -> Option<Value> {
    let table: toml::Table = format!("x = {example}").parse().ok()?;
    serde_json::to_value(table.get("x")?).ok()
}

fn words(documentation: &str) -> String {
    documentation.split_whitespace().collect::<Vec<_>>().join(" ")
}
