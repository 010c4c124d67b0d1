//! Lifecycle policies: read, previewed, and applied once a day.
//!
//! "All rules are evaluated at the same time, regardless of rule priority. After all rules are evaluated, they are then
//! applied based on rule priority" — ECR user guide, "Lifecycle policy evaluation rules". An image is expired by one rule or
//! none, and one that a rule has its eye on is not expired by a rule behind that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::repositories::{Repository, matches};
use super::{Ecr, Fault, Millis, Page, Paging, Place, fault, timestamp, with_next};
use crate::sandbox::world::Pace;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What a policy says, in order of priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    priority: u64,
    tags: Tags,
    count: Count,
}

/// Which images a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    Untagged,
    /// Images that have a tag for each of these wildcards.
    Like(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    MoreThan(usize),
    DaysSincePushed(u64),
    /// Since it was pushed, if it never was pulled.
    DaysSincePulled(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRule {
    rule_priority: u64,
    selection: Selection,
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: String,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    tag_pattern_list: Vec<String>,
    count_type: String,
    count_unit: Option<String>,
    count_number: u64,
}

#[derive(Deserialize)]
struct Action {
    #[serde(rename = "type")]
    kind: String,
}

impl Policy {
    /// Reads a policy, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |why: String| {
            fault(
                "InvalidParameterException",
                format!(
                    "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: {why}'"
                ),
            )
        };
        let Written { rules } = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if rules.is_empty() {
            return Err(wrong("object has missing required properties ([\"rules\"])".to_owned()));
        }
        let mut read = rules.into_iter().map(Rule::read).collect::<Result<Vec<Rule>, String>>().map_err(&wrong)?;
        read.sort_by_key(|rule| rule.priority);
        if read.windows(2).any(|two| two[0].priority == two[1].priority) {
            return Err(wrong("rulePriority must be unique".to_owned()));
        }
        let (last, others) = read.split_last().expect("there is a rule");
        if others.iter().any(|rule| rule.tags == Tags::Any) {
            return Err(wrong(format!(
                "a rule with tagStatus 'any' must have the highest rulePriority, and {} is not the last",
                last.priority
            )));
        }
        Ok(Self(read))
    }

    /// The images that it expires, each with the rule that does it.
    pub(super) fn expires(&self, repository: &Repository, speed: Pace, now: Millis) -> BTreeMap<String, u64> {
        let mut doomed = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for Rule { priority, tags, count } in &self.0 {
            let mut looked_at: Vec<(&str, Millis, Millis)> = repository
                .images()
                .filter(|(digest, _)| !seen.contains(*digest) && tags.hold(&repository.tags_of(digest)))
                .map(|(digest, image)| (digest, image.pushed_at, image.pulled_at.unwrap_or(image.pushed_at)))
                .collect();
            // Newest first; of equals the digest decides, so that a preview says what will be.
            looked_at.sort_by_key(|(digest, pushed, _)| (std::cmp::Reverse(*pushed), *digest));
            for (at, (digest, pushed, pulled)) in looked_at.into_iter().enumerate() {
                seen.insert(digest);
                let older = |since: Millis, days: u64| now.saturating_sub(since) > speed.millis(days * DAY_SECONDS);
                let due = match count {
                    Count::MoreThan(most) => at >= *most,
                    Count::DaysSincePushed(days) => older(pushed, *days),
                    Count::DaysSincePulled(days) => older(pulled, *days),
                };
                if due {
                    doomed.insert(digest.to_owned(), *priority);
                }
            }
        }
        doomed
    }
}

impl Rule {
    fn read(written: WrittenRule) -> Result<Self, String> {
        let WrittenRule { rule_priority: priority, selection, action } = written;
        let Selection { tag_status, tag_prefix_list, tag_pattern_list, count_type, count_unit, count_number } =
            selection;
        if priority == 0 || count_number == 0 {
            return Err("numeric instance is lower than the required minimum (minimum: 1, found: 0)".to_owned());
        }
        if action.kind != "expire" {
            return Err(format!("the sandbox does not emulate lifecycle actions of type '{}'", action.kind));
        }
        let wildcards: Vec<String> =
            tag_prefix_list.iter().map(|prefix| format!("{prefix}*")).chain(tag_pattern_list.iter().cloned()).collect();
        let tags = match tag_status.as_str() {
            "any" | "untagged" if !wildcards.is_empty() => {
                return Err(format!("tagPrefixList and tagPatternList need tagStatus 'tagged', not '{tag_status}'"));
            }
            "any" => Tags::Any,
            "untagged" => Tags::Untagged,
            "tagged" if tag_prefix_list.is_empty() == tag_pattern_list.is_empty() => {
                return Err("tagStatus 'tagged' needs one of tagPrefixList and tagPatternList".to_owned());
            }
            "tagged" => Tags::Like(wildcards),
            other => {
                return Err(format!(
                    "instance value (\"{other}\") not found in enum (possible values: [\"any\",\"tagged\",\"untagged\"])"
                ));
            }
        };
        let in_days = count_unit.as_deref() == Some("days");
        let count = match count_type.as_str() {
            "imageCountMoreThan" => Count::MoreThan(usize::try_from(count_number).unwrap_or(usize::MAX)),
            "sinceImagePushed" if in_days => Count::DaysSincePushed(count_number),
            "sinceImagePulled" if in_days => Count::DaysSincePulled(count_number),
            "sinceImagePushed" | "sinceImagePulled" => {
                return Err(format!("countType '{count_type}' needs countUnit 'days'"));
            }
            other => return Err(format!("the sandbox does not emulate countType '{other}'")),
        };
        Ok(Self { priority, tags, count })
    }
}

impl Tags {
    fn hold(&self, tags: &[&str]) -> bool {
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Like(wildcards) => {
                !tags.is_empty() && wildcards.iter().all(|wildcard| tags.iter().any(|tag| matches(wildcard, tag)))
            }
        }
    }
}

/// What a preview found, kept until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Preview {
    text: String,
    at: Millis,
    expires: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartPreview {
    repository_name: String,
    lifecycle_policy_text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetPreview {
    repository_name: String,
    #[serde(flatten)]
    paging: Paging,
}

impl Ecr {
    pub(super) fn start_lifecycle_policy_preview(
        &mut self,
        place: &Place,
        input: StartPreview,
        speed: Pace,
        now: Millis,
    ) -> Result<Value, Fault> {
        let StartPreview { repository_name: name, lifecycle_policy_text } = input;
        let repository = self.existing(place, &name)?;
        let text = lifecycle_policy_text.or_else(|| repository.lifecycle.clone());
        let text = text.ok_or_else(|| super::policies::no_lifecycle(place, &name))?;
        let expires = Policy::parse(&text)?.expires(repository, speed, now);
        self.existing_mut(place, &name)?.preview = Some(Preview { text: text.clone(), at: now, expires });
        Ok(json!({
            "registryId": place.account, "repositoryName": name, "lifecyclePolicyText": text, "status": "IN_PROGRESS",
        }))
    }

    pub(super) fn get_lifecycle_policy_preview(&self, place: &Place, input: GetPreview) -> Result<Value, Fault> {
        let name = input.repository_name;
        let repository = self.existing(place, &name)?;
        let Some(Preview { text, at: _, expires }) = &repository.preview else {
            let account = &place.account;
            return Err(fault(
                "LifecyclePolicyPreviewNotFoundException",
                format!(
                    "Lifecycle policy preview does not exist for the repository with name '{name}' in the registry with id '{account}'"
                ),
            ));
        };
        let results = expires.iter().filter_map(|(digest, priority)| {
            let (_, image) = repository.image(digest)?;
            let result = json!({
                "imageTags": repository.tags_of(digest),
                "imageDigest": digest,
                "imagePushedAt": timestamp(image.pushed_at),
                "action": { "type": "EXPIRE" },
                "appliedRulePriority": priority,
            });
            Some((digest.clone(), result))
        });
        let page = Page::cut(results, input.paging.next_token.as_deref(), input.paging.max_results)?;
        Ok(with_next(
            json!({
                "registryId": place.account,
                "repositoryName": name,
                "lifecyclePolicyText": text,
                "status": "COMPLETE",
                "previewResults": page.items,
                "summary": { "expiringImageTotalCount": expires.len() },
            }),
            page.next,
        ))
    }

    /// Applies the policies whose day is over. "Once a lifecycle policy is created, images become expired within 24 hours".
    pub fn expire(&mut self, speed: Pace, now: Millis) {
        let day = speed.millis(DAY_SECONDS);
        let mut removed = false;
        for repository in self.repositories.values_mut() {
            let Some(text) = &repository.lifecycle else { continue };
            if now < repository.evaluated_at.saturating_add(day) {
                continue;
            }
            repository.evaluated_at = now;
            // It was read before it was kept.
            let Ok(policy) = Policy::parse(text) else { continue };
            for digest in policy.expires(repository, speed, now).into_keys() {
                // One that an index stands on stays until the index has gone.
                removed |= repository.remove_image(&digest);
            }
        }
        if removed {
            self.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_ecr_does_not_take() {
        let rule = |selection: &str| {
            format!(r#"{{"rules":[{{"rulePriority":1,"selection":{{{selection}}},"action":{{"type":"expire"}}}}]}}"#)
        };
        for (text, words) in [
            ("{".to_owned(), "EOF"),
            (r#"{"rules":[]}"#.to_owned(), "missing required properties"),
            (rule(r#""tagStatus":"old","countType":"imageCountMoreThan","countNumber":1"#), "\"old\""),
            (rule(r#""tagStatus":"tagged","countType":"imageCountMoreThan","countNumber":1"#), "needs one of"),
            (rule(r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":0"#), "required minimum"),
            (rule(r#""tagStatus":"any","countType":"sinceImagePushed","countNumber":3"#), "countUnit"),
            (
                rule(r#""tagStatus":"any","tagPrefixList":["v"],"countType":"imageCountMoreThan","countNumber":1"#),
                "need tagStatus 'tagged'",
            ),
        ] {
            let refused = Policy::parse(&text).unwrap_err();
            assert_eq!(refused.code, "InvalidParameterException");
            assert!(refused.message.contains(words), "{text}: {}", refused.message);
        }
        let any = r#"{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1}"#;
        let two = |first: u32, second: u32| {
            let rule = |at: u32| format!(r#"{{"rulePriority":{at},"selection":{any},"action":{{"type":"expire"}}}}"#);
            Policy::parse(&format!(r#"{{"rules":[{},{}]}}"#, rule(first), rule(second)))
        };
        assert!(two(1, 1).unwrap_err().message.contains("unique"));
        assert!(two(1, 2).unwrap_err().message.contains("'any'"));
    }
}
