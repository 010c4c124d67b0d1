//! The reference page of the event stream, made of the sources of `src/event.rs`: what is promised to other
//! programs stands there once, in the comments of the types.

use std::{fmt::Write as _, fs, path::Path};

use syn::{Attribute, Expr, Fields, GenericArgument, Item, ItemEnum, ItemStruct, Lit, Meta, PathArguments, Type};

/// What the names of identifiers are in JSON: all of them newtypes.
const TEXTS: &[&str] = &["String", "Key", "RunId"];
const NUMBERS: &[&str] = &["u8", "u16", "u32", "u64", "i64", "f64", "usize", "StepId"];

const HEAD: &str = "# Events

Made from the program itself; `UPDATE=1 cargo test --test suite` rewrites it.

`--progress json` prints one event a line on standard output, `--record FILE` writes the same lines to a file, and `replay FILE`
shows them again. Every line is a `Record`; what happened is its `event`, told apart by `kind`.

The stream is a promise. Fields are added, never renamed or removed; `schema` changes when that can no longer be kept. A reader
skips a `kind`, a `what` or a word that it does not know, and takes a field that is not there for `null`.

```jsonl
{\"schema\":1,\"sequence\":2,\"time_ms\":1700000000000,\"event\":{\"kind\":\"started\",\"step\":1}}
{\"schema\":1,\"sequence\":3,\"time_ms\":1700000000009,\"event\":{\"kind\":\"done\",\"step\":1,\"note\":\"token for 127.0.0.1:4517 is valid for 11h\"}}
```
";

pub(crate) fn page() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/event.rs");
    let source = syn::parse_file(&fs::read_to_string(source).expect("the events")).expect("they are Rust");
    let mut page = String::from(HEAD);
    for item in source.items {
        match item {
            Item::Struct(item) => of_struct(&mut page, &item),
            Item::Enum(item) => of_enum(&mut page, &item),
            _ => {}
        }
    }
    // Each part begins and ends with a blank line.
    page.replace("\n\n\n", "\n\n")
}

fn of_struct(page: &mut String, item: &ItemStruct) {
    heading(page, &item.ident.to_string(), &item.attrs);
    page.push_str("| Field | Value | Meaning |\n|---|---|---|\n");
    fields(page, &item.fields);
}

fn of_enum(page: &mut String, item: &ItemEnum) {
    heading(page, &item.ident.to_string(), &item.attrs);
    let serde = serde_of(&item.attrs);
    assert!(serde.contains("snake_case"), "{}: the words of JSON are snake_case everywhere", item.ident);
    let tag = serde.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next());
    let is_written = |attributes: &[Attribute]| !matches!(serde_of(attributes).as_str(), "other" | "skip");
    let known = || item.variants.iter().filter(|variant| is_written(&variant.attrs));
    if let Some(tag) = tag {
        for variant in known() {
            let word = snake(&variant.ident.to_string());
            write!(page, "\n### `\"{tag}\": \"{word}\"`\n\n").expect("a text grows");
            let about = about(&variant.attrs);
            if !about.is_empty() {
                page.push_str(&about);
                page.push_str("\n\n");
            }
            if let Fields::Unnamed(fields) = &variant.fields {
                let inner = fields.unnamed.first().expect("one part");
                writeln!(page, "With the fields of {}.", value(&inner.ty)).expect("a text grows");
            } else {
                page.push_str("| Field | Value | Meaning |\n|---|---|---|\n");
                fields(page, &variant.fields);
            }
        }
    } else {
        page.push_str("| Word | Meaning |\n|---|---|\n");
        for variant in known() {
            let word = snake(&variant.ident.to_string());
            let with = variant.fields.iter().map(|field| {
                let name = field.ident.as_ref().expect("fields here have names");
                format!("`\"{name}\"`: {}", value(&field.ty))
            });
            let with = with.collect::<Vec<_>>().join(", ");
            let word = if with.is_empty() {
                format!("`\"{word}\"`")
            } else {
                format!("`{{\"{word}\": {{…}}}}` with {with}")
            };
            writeln!(page, "| {word} | {} |", about(&variant.attrs)).expect("a text grows");
        }
    }
}

fn heading(page: &mut String, name: &str, attributes: &[Attribute]) {
    write!(page, "\n## {name}\n\n").expect("a text grows");
    let about = about(attributes);
    if !about.is_empty() {
        page.push_str(&about);
        page.push_str("\n\n");
    }
}

fn fields(page: &mut String, fields: &Fields) {
    for field in fields {
        let name = field.ident.as_ref().expect("fields here have names");
        writeln!(page, "| `{name}` | {} | {} |", value(&field.ty), about(&field.attrs)).expect("a text grows");
    }
}

/// The doc comment as one paragraph; links between types lose their brackets.
fn about(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`").replace('|', "\\|").trim().to_owned()
}

fn serde_of(attributes: &[Attribute]) -> String {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let lists = serde.filter_map(|attribute| attribute.meta.require_list().ok());
    lists.map(|list| list.tokens.to_string()).collect::<Vec<_>>().join(" ")
}

/// A type in JSON's words.
fn value(of: &Type) -> String {
    let Type::Path(path) = of else { panic!("only named types are told") };
    let last = path.path.segments.last().expect("a path has a name");
    let name = last.ident.to_string();
    let inner = || match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.last() {
            Some(GenericArgument::Type(inner)) => value(inner),
            _ => panic!("{name} of what?"),
        },
        _ => panic!("{name} of what?"),
    };
    match name.as_str() {
        "Option" => format!("{} or `null`", inner()),
        "Vec" => format!("list of {}", inner()),
        "BTreeMap" => format!("object of {}", inner()),
        "bool" => "`true` or `false`".to_owned(),
        name if TEXTS.contains(&name) => "text".to_owned(),
        name if NUMBERS.contains(&name) => "number".to_owned(),
        name => format!("[{name}](#{})", name.to_lowercase()),
    }
}

fn snake(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}
