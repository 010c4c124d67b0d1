//! Transforms of rules: what of a request is written anew before a target sees it.

use super::super::super::super::wire::query::{Form, Xml};
use super::super::super::Fault;
use super::super::fault;
use super::super::listener::{Rewritten, Transform};
use super::super::regular::Regular;
use super::required;

/// The transforms that are asked for; nothing where the call does not speak of them.
pub(super) fn asked(form: &Form) -> Result<Option<Vec<Transform>>, Fault> {
    let written = form.members("Transforms");
    if form.get("ResetTransforms") == Some("true") {
        return if written.is_empty() {
            Ok(Some(Vec::new()))
        } else {
            Err(fault::validation("You cannot specify both Transforms and ResetTransforms"))
        };
    }
    if !form.contains("Transforms") {
        return Ok(None);
    }
    let mut all = Vec::<Transform>::new();
    for one in &written {
        let transform = read(one)?;
        // "You can add one host header rewrite transform and one URL rewrite transform per rule."
        if all.iter().any(|other| other.of == transform.of) {
            return Err(fault::validation(format!(
                "A rule can have only one transform of type '{}'",
                transform.of.as_str()
            )));
        }
        all.push(transform);
    }
    Ok(Some(all))
}

fn read(form: &Form) -> Result<Transform, Fault> {
    let of = match required(form, "Type")? {
        "host-header-rewrite" => Rewritten::Host,
        "url-rewrite" => Rewritten::Url,
        other => {
            return Err(fault::validation(format!(
                "1 validation error detected: Value '{other}' at 'transforms.1.member.type' failed to satisfy constraint: Member must \
                 satisfy enum value set: [host-header-rewrite, url-rewrite]"
            )));
        }
    };
    let rewrites = form.group(member(of)).members("Rewrites");
    let [rewrite] = rewrites.as_slice() else {
        return Err(fault::validation(format!("A transform of type '{}' must have one rewrite", of.as_str())));
    };
    let text = required(rewrite, "Regex")?;
    let pattern = Regular::parse(text)
        .ok_or_else(|| fault::validation(format!("'{text}' is not a valid regular expression for a transform")))?;
    Ok(Transform { of, pattern, replacement: rewrite.get("Replace").unwrap_or_default().to_owned() })
}

fn member(of: Rewritten) -> &'static str {
    match of {
        Rewritten::Host => "HostHeaderRewriteConfig",
        Rewritten::Url => "UrlRewriteConfig",
    }
}

pub(super) fn write(transforms: &[Transform], xml: &mut Xml) {
    xml.list("Transforms", transforms, |xml, Transform { of, pattern, replacement }| {
        xml.text("Type", of.as_str()).nest(member(*of), |xml| {
            xml.list("Rewrites", [()], |xml, ()| {
                xml.text("Regex", pattern.as_str()).text("Replace", replacement);
            });
        });
    });
}
