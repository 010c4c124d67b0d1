//! The form of AWS Query: names and values, in which structures and lists are flattened.

use std::collections::BTreeMap;

/// The members of a request: name–value pairs in the order they came.
///
/// Structures and lists are flattened into the names (`Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight`);
/// [`Form::group`] and [`Form::members`] give such a part as a form of its own, with the prefix taken off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// Decodes `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        url::form_urlencoded::parse(body).into_owned().collect()
    }

    /// The value of this very name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the name, or anything below it, was sent: `Names=` is an empty list, not an absent one.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| below(key, name).is_some())
    }

    /// The structure of this name; empty if it was not sent.
    #[must_use]
    pub fn group(&self, name: &str) -> Self {
        self.pairs
            .iter()
            .filter_map(|(key, value)| below(key, name).map(|rest| (rest.to_owned(), value.clone())))
            .collect()
    }

    /// The structures of a list, in the order of their numbers.
    #[must_use]
    pub fn members(&self, name: &str) -> Vec<Self> {
        self.group(name).group("member").counted()
    }

    /// The same as EC2 spells it: `Filter.1.Name`.
    #[must_use]
    pub fn items(&self, name: &str) -> Vec<Self> {
        self.group(name).counted()
    }

    fn counted(&self) -> Vec<Self> {
        let mut members = BTreeMap::<u64, Self>::new();
        for (rest, value) in &self.pairs {
            let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
            if let Ok(number) = number.parse() {
                members.entry(number).or_default().pairs.push((rest.to_owned(), value.clone()));
            }
        }
        members.into_values().collect()
    }

    /// The strings of a list, in the order of their numbers.
    #[must_use]
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.members(name).iter().filter_map(|member| member.get("")).map(ToOwned::to_owned).collect()
    }

    /// The same as EC2 spells it: `GroupId.1`.
    #[must_use]
    pub fn numbered(&self, name: &str) -> Vec<String> {
        self.items(name).iter().filter_map(|item| item.get("")).map(ToOwned::to_owned).collect()
    }
}

/// What is left of `key` under `name`: `a.b` under `a` is `b`, `a` under `a` is nothing, `ab` is not under `a`.
fn below<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(name)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

impl<Name: Into<String>, Value: Into<String>> FromIterator<(Name, Value)> for Form {
    fn from_iter<Pairs: IntoIterator<Item = (Name, Value)>>(pairs: Pairs) -> Self {
        Self { pairs: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}
