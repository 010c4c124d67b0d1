//! Filters of `DescribeParameters` and `GetParametersByPath`.

use serde::Deserialize;

use super::super::Fault;
use super::{Parameter, fault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    key: String,
    option: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl Filter {
    /// The labels that this filter of `GetParametersByPath` asks for: any of them will do.
    pub(super) fn labels(&self) -> Option<&[String]> {
        (self.key == "Label").then_some(self.values.as_slice())
    }
}

pub(super) fn meets_all<'a>(
    filters: impl IntoIterator<Item = &'a Filter>,
    name: &str,
    parameter: &Parameter,
) -> Result<bool, Fault> {
    for filter in filters {
        if !meets(filter, name, parameter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn meets(Filter { key, option, values }: &Filter, name: &str, parameter: &Parameter) -> Result<bool, Fault> {
    let any = |text: Option<&str>| {
        let Some(text) = text else { return Ok(false) };
        match option.as_deref() {
            None | Some("Equals") => Ok(values.iter().any(|value| value == text)),
            Some("BeginsWith") => Ok(values.iter().any(|value| text.starts_with(value.as_str()))),
            Some("Contains") => Ok(values.iter().any(|value| text.contains(value.as_str()))),
            Some(other) => Err(unknown_option(other)),
        }
    };
    match key.as_str() {
        // "A fully qualified name" and the bare one are the same to this filter.
        "Name" => Ok(any(Some(name))? || any(name.strip_prefix('/'))?),
        "Path" => {
            let rest =
                |path: &String| name.strip_prefix(&format!("{}/", path.trim_end_matches('/'))).map(str::to_owned);
            match option.as_deref() {
                None | Some("OneLevel") => Ok(values.iter().filter_map(rest).any(|rest| !rest.contains('/'))),
                Some("Recursive") => Ok(values.iter().any(|path| rest(path).is_some())),
                Some(other) => Err(unknown_option(other)),
            }
        }
        "Type" => any(Some(parameter.kind.word())),
        "KeyId" => any(parameter.key.as_deref()),
        "Tier" => any(Some(parameter.tier.word())),
        "DataType" => any(Some(&parameter.data_type)),
        other => match other.strip_prefix("tag:") {
            Some(tag) => {
                let tagged = parameter.tags.get(tag);
                if values.is_empty() { Ok(tagged.is_some()) } else { any(tagged.map(String::as_str)) }
            }
            None => Err(fault(
                "InvalidFilterKey",
                format!(
                    "The following filter key is not valid: {other}. Valid filter keys include: [Path, Name, Type, KeyId, Tier, \
                     DataType, tag:]"
                ),
            )),
        },
    }
}

fn unknown_option(option: &str) -> Fault {
    fault("InvalidFilterOption", format!("The following filter option is not valid: {option}."))
}
