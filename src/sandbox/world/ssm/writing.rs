//! Parameters that are put and deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::hidden::Hidden;
use super::super::{Fault, Millis};
use super::tags::{Tag, by_key};
use super::{DEFAULT_KEY, Kind, Parameter, Ssm, Tier, VERSIONS, Version, fault, invalid, not_found, pattern};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    name: String,
    value: Hidden,
    r#type: Option<String>,
    description: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    overwrite: bool,
    allowed_pattern: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    tier: Option<String>,
    data_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Several {
    names: Vec<String>,
}

impl Ssm {
    pub(super) fn put(&mut self, input: Put, now: Millis) -> Result<Value, Fault> {
        let Put { name, value, r#type, description, key_id, overwrite, allowed_pattern, tags, tier, data_type } = input;
        check_name(&name)?;
        // Said and empty is not said: Terraform's provider sends all that it has.
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (description, key_id, allowed_pattern) = (said(description), said(key_id), said(allowed_pattern));
        if overwrite && !tags.is_empty() {
            return Err(invalid(
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
                 overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
            ));
        }
        let kind = r#type.as_deref().map(kind).transpose()?;
        let known = self.parameters.get(&name);
        if known.is_some() && !overwrite {
            return Err(fault(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        let tier = match (tier.as_deref(), known) {
            (Some("Advanced"), _) => Tier::Advanced,
            // "Intelligent-Tiering … if the parameter does not contain any of the options [of] an advanced parameter":
            // the size is what decides here.
            (Some("Intelligent-Tiering"), _) if value.expose().len() > Tier::Standard.longest() => Tier::Advanced,
            (None, Some(known)) => known.tier,
            (Some("Standard" | "Intelligent-Tiering") | None, _) => Tier::Standard,
            (Some(other), _) => return Err(not_of(other, "tier", "Standard, Advanced, Intelligent-Tiering")),
        };
        check_value(value.expose(), tier)?;
        let wanted = allowed_pattern.as_ref().or(known.and_then(|known| known.allowed_pattern.as_ref()));
        if let Some(text) = wanted {
            let pattern = pattern(text).ok_or_else(|| {
                fault(
                    "InvalidAllowedPatternException",
                    format!("The request does not meet the regular expression requirement: {text}"),
                )
            })?;
            if !pattern.is_match(value.expose()) {
                return Err(fault(
                    "ParameterPatternMismatchException",
                    format!("Parameter value, cannot be validated against allowedPattern: {text}"),
                ));
            }
        }
        let version = |number| Version { number, value, at: now, labels: Vec::new() };
        let (tier_word, number) =
            (tier.word(), known.and_then(Parameter::latest).map_or(1, |latest| latest.number + 1));
        known.map_or(Ok(()), |known| may_forget_oldest(&name, known))?;
        if let Some(known) = self.parameters.get_mut(&name) {
            if kind.is_some_and(|kind| kind != known.kind) {
                return Err(fault(
                    "HierarchyTypeMismatchException",
                    "Parameter Store doesn't support changing a parameter type in a hierarchy. For example, you can't change \
                         a parameter from a String type to a SecureString type. You must create a new, unique parameter.",
                ));
            }
            known.tier = tier;
            known.versions.push(version(number));
            if known.versions.len() > VERSIONS {
                known.versions.remove(0);
            }
            known.description = description.or(known.description.take());
            known.allowed_pattern = allowed_pattern.or(known.allowed_pattern.take());
            if known.kind == Kind::SecureString {
                known.key = key_id.or(known.key.take());
            }
        } else {
            let kind = kind.ok_or_else(|| invalid("A parameter type is required when you create a parameter."))?;
            let key = match (kind, key_id) {
                (Kind::SecureString, key) => Some(key.unwrap_or_else(|| DEFAULT_KEY.to_owned())),
                (Kind::String | Kind::StringList, None) => None,
                (Kind::String | Kind::StringList, Some(_)) => {
                    return Err(invalid(format!("KeyId is not applicable for type {}.", kind.word())));
                }
            };
            let parameter = Parameter {
                kind,
                tier,
                data_type: data_type.unwrap_or_else(|| "text".to_owned()),
                description,
                key,
                allowed_pattern,
                tags: by_key(tags, BTreeMap::new())?,
                versions: vec![version(number)],
            };
            self.parameters.insert(name, parameter);
        }
        self.changed();
        Ok(json!({ "Version": number, "Tier": tier_word }))
    }

    pub(super) fn delete(&mut self, input: &Named) -> Result<Value, Fault> {
        let name = self.find(&input.name).ok_or_else(not_found)?.0.to_owned();
        self.parameters.remove(&name);
        Ok(self.changed())
    }

    pub(super) fn delete_several(&mut self, input: &Several) -> Value {
        let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
        for name in &input.names {
            let found = self.find(name).map(|(name, _)| name.to_owned());
            match found.and_then(|found| self.parameters.remove(&found)) {
                Some(_) => deleted.push(name),
                None => invalid.push(name),
            }
        }
        let answer = json!({ "DeletedParameters": deleted, "InvalidParameters": invalid });
        self.changed();
        answer
    }
}

/// "If you've created 100 versions of a parameter … and the oldest version has a label, Parameter Store won't let you create a
/// new version": the label would vanish unseen.
fn may_forget_oldest(name: &str, known: &Parameter) -> Result<(), Fault> {
    match known.versions.first() {
        Some(oldest) if known.versions.len() >= VERSIONS && !oldest.labels.is_empty() => Err(fault(
            "ParameterMaxVersionLimitExceeded",
            format!(
                "You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. Version {}, \
                 the oldest version, can't be deleted because it has a label associated with it. Move the label to another version \
                 of the parameter, and try again.",
                oldest.number
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn kind(word: &str) -> Result<Kind, Fault> {
    match word {
        "String" => Ok(Kind::String),
        "StringList" => Ok(Kind::StringList),
        "SecureString" => Ok(Kind::SecureString),
        other => Err(not_of(other, "type", "String, StringList, SecureString")),
    }
}

fn not_of(word: &str, member: &str, words: &str) -> Fault {
    invalid(format!(
        "1 validation error detected: Value '{word}' at '{member}' failed to satisfy constraint: Member must satisfy enum value \
         set: [{words}]"
    ))
}

fn check_value(value: &str, tier: Tier) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater \
             than or equal to 1",
        ));
    }
    if value.chars().count() <= tier.longest() {
        return Ok(());
    }
    Err(invalid(match tier {
        Tier::Standard => {
            "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, \
             upgrade the parameter to use the advanced-parameter tier. For more information, see \
             https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
        }
        Tier::Advanced => "Advanced tier parameters support a maximum parameter value of 8192 characters.",
    }))
}

/// The naming rules of `PutParameter`.
fn check_name(name: &str) -> Result<(), Fault> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    let first = name.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with("aws") && name.starts_with('/') {
        return Err(fault("AccessDeniedException", format!("No access to reserved parameter name: {name}.")));
    }
    let reserved = first.starts_with("aws") || first.starts_with("ssm");
    if name.is_empty()
        || name.len() > 1011
        || name.ends_with('/')
        || name.contains("//")
        || reserved
        || !name.bytes().all(legal)
    {
        return Err(invalid(
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed as a path, it can consist of \
             sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 \
             symbols .-_",
        ));
    }
    if name.matches('/').count() > 15 {
        return Err(fault(
            "HierarchyLevelLimitExceededException",
            "The hierarchy can have a maximum of 15 levels. For more information, see Requirements and constraints for parameter \
             names in the AWS Systems Manager User Guide.",
        ));
    }
    Ok(())
}
