//! `${…}` in texts: taken apart here, filled in by `resolve`. No logic, no nesting: a variable has a
//! name and perhaps a default.

use std::ops::Range;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    Variable(Variable),
}

/// `${name}` or `${name:-default}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    /// Taken when the variable is not set, or set to nothing, as a shell does.
    pub default: Option<String>,
    /// Where it stands in the text, with `${` and `}`.
    pub range: Range<usize>,
}

/// Why a text with `$` cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// `$` with something else than `{` or `$` behind it.
    LoneDollar { range: Range<usize> },
    /// `${` without `}`.
    Unclosed { range: Range<usize> },
    /// `${}`.
    Nameless { range: Range<usize> },
    /// A variable in the default of another, `${a:-${b}}`.
    Nested { range: Range<usize> },
}

/// Takes a text apart; `$$` is a dollar.
pub fn pieces(text: &str) -> Result<Vec<Piece>, Broken> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        literal.push_str(&text[at..dollar]);
        let rest = &text[dollar + 1..];
        if rest.starts_with('$') {
            literal.push('$');
            at = dollar + 2;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(length) = inside.find('}') else {
                return Err(Broken::Unclosed { range: dollar..text.len() });
            };
            let end = dollar + 2 + length + 1;
            let (name, default) = match inside[..length].split_once(":-") {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (&inside[..length], None),
            };
            if default.as_ref().is_some_and(|default| default.contains("${")) {
                return Err(Broken::Nested { range: dollar..end });
            }
            if name.trim().is_empty() {
                return Err(Broken::Nameless { range: dollar..end });
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Variable(Variable { name: name.trim().to_owned(), default, range: dollar..end }));
            at = end;
        } else {
            let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            return Err(Broken::LoneDollar { range: dollar..dollar + 1 + word });
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    fn variable(name: &str, default: Option<&str>, range: Range<usize>) -> Piece {
        Piece::Variable(Variable { name: name.to_owned(), default: default.map(ToOwned::to_owned), range })
    }

    #[test]
    fn texts_are_taken_apart() {
        for (text, expected) in [
            ("", Ok(vec![])),
            ("plain", Ok(vec![literal("plain")])),
            ("a$$b", Ok(vec![literal("a$b")])),
            ("$${x}", Ok(vec![literal("${x}")])),
            ("${git.commit}", Ok(vec![variable("git.commit", None, 0..13)])),
            ("é-${env.N:-1}-b", Ok(vec![literal("é-"), variable("env.N", Some("1"), 3..14), literal("-b")])),
            ("${a:-}", Ok(vec![variable("a", Some(""), 0..6)])),
            ("x$HOME/a", Err(Broken::LoneDollar { range: 1..6 })),
            ("5$", Err(Broken::LoneDollar { range: 1..2 })),
            ("a ${b", Err(Broken::Unclosed { range: 2..5 })),
            ("${}", Err(Broken::Nameless { range: 0..3 })),
            ("${a:-${b}}", Err(Broken::Nested { range: 0..9 })),
            ("${:-x}", Err(Broken::Nameless { range: 0..6 })),
        ] {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubled_dollars_give_the_text_back(text in "\\PC*") {
            let pieces = pieces(&text.replace('$', "$$")).expect("no variable in it");
            let whole: String = pieces.iter().map(|piece| match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Variable(_) => "?",
            }).collect();
            prop_assert_eq!(whole, text);
        }

        #[test]
        fn ranges_lie_in_the_text(text in "[a${}:\\-é. ]*") {
            let range = match pieces(&text) {
                Ok(pieces) => pieces.into_iter().find_map(|piece| match piece {
                    Piece::Variable(variable) => Some(variable.range),
                    Piece::Literal(_) => None,
                }),
                Err(
                    Broken::LoneDollar { range }
                    | Broken::Unclosed { range }
                    | Broken::Nameless { range }
                    | Broken::Nested { range },
                ) => Some(range),
            };
            if let Some(range) = range {
                prop_assert!(text[range].starts_with('$'));
            }
        }
    }
}
