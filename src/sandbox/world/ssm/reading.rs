//! Parameters that are asked for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::input::{part, present, seconds};
use super::super::{Fault, Place};
use super::filter::{Filter, meets_all};
use super::{Kind, Parameter, Ssm, Version, arn, fault, invalid, not_found};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    name: String,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSeveral {
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    /// The older form of filters.
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct History {
    name: String,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// Whether a `SecureString` is shown as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Decrypted,
    Encrypted,
}

impl From<bool> for Shown {
    fn from(with_decryption: bool) -> Self {
        if with_decryption { Self::Decrypted } else { Self::Encrypted }
    }
}

impl Ssm {
    pub(super) fn get(&self, place: &Place, input: &Get) -> Result<Value, Fault> {
        let (name, parameter, version) = self.select(&input.name)?;
        let shown = show(place, name, parameter, version, selector(&input.name), input.with_decryption.into());
        Ok(json!({ "Parameter": shown }))
    }

    pub(super) fn get_several(&self, place: &Place, input: &GetSeveral) -> Result<Value, Fault> {
        if !(1..=10).contains(&input.names.len()) {
            return Err(invalid(format!(
                "1 validation error detected: Value '[{}]' at 'names' failed to satisfy constraint: Member must have length less \
                 than or equal to 10",
                input.names.join(", ")
            )));
        }
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for asked in &input.names {
            match self.select(asked) {
                Ok((name, parameter, version)) => {
                    found.push(show(place, name, parameter, version, selector(asked), input.with_decryption.into()));
                }
                Err(_) => unknown.push(asked),
            }
        }
        Ok(json!({ "Parameters": found, "InvalidParameters": unknown }))
    }

    pub(super) fn get_by_path(&self, place: &Place, input: &ByPath) -> Result<Value, Fault> {
        if !input.path.starts_with('/') {
            return Err(invalid(
                "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \
                 \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the \
                 following symbols: . (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if \
                 specified, must use the forward slash symbol \"/\". Valid example: /get/parameters2-/by1./path0_.",
            ));
        }
        let below = |name: &str| {
            let name = format!("/{}", name.trim_start_matches('/'));
            let rest = name.strip_prefix(&format!("{}/", input.path.trim_end_matches('/'))).map(str::to_owned);
            rest.is_some_and(|rest| input.recursive || !rest.contains('/'))
        };
        let mut found = Vec::new();
        for (name, parameter) in self.parameters.iter().filter(|(name, _)| below(name)) {
            let wanted = match input.parameter_filters.iter().find_map(Filter::labels) {
                None => parameter.latest(),
                Some(asked) => {
                    let labelled = |version: &&Version| version.labels.iter().any(|label| asked.contains(label));
                    parameter.versions.iter().rfind(labelled)
                }
            };
            let others = input.parameter_filters.iter().filter(|filter| filter.labels().is_none());
            if meets_all(others, name, parameter)?
                && let Some(version) = wanted
            {
                found.push(show(place, name, parameter, version, None, input.with_decryption.into()));
            }
        }
        page("Parameters", found, input.next_token.as_deref(), input.max_results, 10)
    }

    pub(super) fn describe(&self, place: &Place, input: &Describe) -> Result<Value, Fault> {
        if !input.filters.is_empty() && !input.parameter_filters.is_empty() {
            return Err(invalid(
                "You can use either Filters or ParameterFilters in a single request, but not both of them.",
            ));
        }
        let mut found = Vec::new();
        for (name, parameter) in &self.parameters {
            if !meets_all(&input.filters, name, parameter)? || !meets_all(&input.parameter_filters, name, parameter)? {
                continue;
            }
            let Some(version) = parameter.latest() else { continue };
            let mut shown = metadata(place, name, parameter, version);
            shown["ARN"] = json!(arn(place, name));
            found.push(shown);
        }
        page("Parameters", found, input.next_token.as_deref(), input.max_results, 50)
    }

    pub(super) fn history(&self, place: &Place, input: &History) -> Result<Value, Fault> {
        let (name, parameter) = self.find(&input.name).ok_or_else(not_found)?;
        let shown = |version: &Version| {
            let mut shown = metadata(place, name, parameter, version);
            shown["Value"] = json!(value(parameter, version, input.with_decryption.into()));
            shown["Labels"] = json!(version.labels);
            shown
        };
        let all = parameter.versions.iter().map(shown).collect();
        page("Parameters", all, input.next_token.as_deref(), input.max_results, 50)
    }

    /// The parameter and the version that `/jobs/db:3` or `/jobs/db:live` names; with neither it is the latest.
    pub(super) fn select(&self, asked: &str) -> Result<(&str, &Parameter, &Version), Fault> {
        let plain = selector(asked).map_or(asked, |selector| asked.strip_suffix(selector).unwrap_or(asked));
        let (name, parameter) = self.find(plain).ok_or_else(not_found)?;
        let Some(which) = selector(asked).map(|selector| &selector[1..]) else {
            return parameter.latest().map(|latest| (name, parameter, latest)).ok_or_else(not_found);
        };
        let is_meant = |version: &&Version| {
            version.number.to_string() == which || version.labels.iter().any(|label| label == which)
        };
        let wanted = parameter.versions.iter().find(is_meant);
        wanted.map(|version| (name, parameter, version)).ok_or_else(|| {
            fault(
                "ParameterVersionNotFound",
                format!("Systems Manager could not find version {which} of {name}. Verify the version and try again."),
            )
        })
    }
}

/// `:3` of `/jobs/db:3`; the colons of an ARN are none.
fn selector(asked: &str) -> Option<&str> {
    let path = asked.rfind(":parameter/").map_or(0, |at| at + ":parameter/".len());
    asked[path..].find(':').map(|at| &asked[path + at..])
}

/// What is shown of a `SecureString` to whoever does not ask for its value: the same for the same value, as nobody can read it.
fn value(parameter: &Parameter, version: &Version, shown: Shown) -> String {
    let value = version.value.expose();
    match (parameter.kind, shown) {
        (Kind::SecureString, Shown::Encrypted) => {
            let blurred = Sha256::digest(format!("{}\0{}\0{value}", version.at, version.number));
            format!("AQICAH{}", STANDARD.encode(blurred))
        }
        (Kind::SecureString, Shown::Decrypted) | (Kind::String | Kind::StringList, _) => value.to_owned(),
    }
}

fn show(
    place: &Place,
    name: &str,
    parameter: &Parameter,
    version: &Version,
    selector: Option<&str>,
    shown: Shown,
) -> Value {
    present(json!({
        "Name": name, "Type": parameter.kind.word(), "Value": value(parameter, version, shown), "Version": version.number,
        "Selector": selector, "LastModifiedDate": seconds(version.at), "ARN": arn(place, name), "DataType": parameter.data_type
    }))
}

fn metadata(place: &Place, name: &str, parameter: &Parameter, version: &Version) -> Value {
    let Parameter { kind, tier, data_type, description, key, allowed_pattern, tags: _, versions: _ } = parameter;
    present(json!({
        "Name": name, "Type": kind.word(), "KeyId": key, "LastModifiedDate": seconds(version.at),
        "LastModifiedUser": format!("arn:aws:iam::{}:user/sandbox", place.account), "Description": description,
        "AllowedPattern": allowed_pattern, "Version": version.number, "Tier": tier.word(), "Policies": [],
        "DataType": data_type
    }))
}

fn page(under: &str, all: Vec<Value>, token: Option<&str>, size: Option<usize>, most: usize) -> Result<Value, Fault> {
    let size = size.unwrap_or(most);
    if !(1..=most).contains(&size) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: Member must have value less \
             than or equal to {most}"
        )));
    }
    let (found, next) =
        part(all, token, size).ok_or_else(|| fault("InvalidNextToken", "The specified token isn't valid."))?;
    Ok(present(json!({ under: found, "NextToken": next })))
}
