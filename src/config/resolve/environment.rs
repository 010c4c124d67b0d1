//! `[environments.…]` and what goes before it: flags, our variables, those of the AWS tools.

use super::{Own, Resolver, Scope, Typed, value::is_ecs_name};
use crate::{
    config::{
        error::{Mistake, Place},
        file::Written,
        spec::{self, Confirm, Environment},
    },
    env,
    id::Arn,
};

/// How the console calls the regions.
const CITIES: [(&str, &str); 24] = [
    ("virginia", "us-east-1"),
    ("ohio", "us-east-2"),
    ("california", "us-west-1"),
    ("oregon", "us-west-2"),
    ("montreal", "ca-central-1"),
    ("paulo", "sa-east-1"),
    ("ireland", "eu-west-1"),
    ("dublin", "eu-west-1"),
    ("london", "eu-west-2"),
    ("paris", "eu-west-3"),
    ("frankfurt", "eu-central-1"),
    ("zurich", "eu-central-2"),
    ("stockholm", "eu-north-1"),
    ("milan", "eu-south-1"),
    ("spain", "eu-south-2"),
    ("mumbai", "ap-south-1"),
    ("singapore", "ap-southeast-1"),
    ("sydney", "ap-southeast-2"),
    ("jakarta", "ap-southeast-3"),
    ("melbourne", "ap-southeast-4"),
    ("tokyo", "ap-northeast-1"),
    ("seoul", "ap-northeast-2"),
    ("osaka", "ap-northeast-3"),
    ("cape-town", "af-south-1"),
];

impl Resolver<'_> {
    pub(super) fn environment(&mut self, typed: &Typed) -> Option<Environment> {
        let table = self.table.clone();
        let own = Own::of(format!("environments.{}", self.name.unwrap_or_default()), &table);
        for (key, span) in [
            ("confirm", table.confirm.as_ref().map(|written| &written.span)),
            ("sandbox", table.sandbox.as_ref().map(|written| &written.span)),
            ("promote_from", table.promote_from.as_ref().map(|written| &written.span)),
        ] {
            self.origins.extend(span.map(|span| (key.to_owned(), Place::File(span.clone()))));
        }
        let place = match &table.sandbox {
            Some(Written { value: true, .. }) => spec::Place::Sandbox,
            Some(Written { value: false, .. }) | None => spec::Place::Aws,
        };
        let before = self.errors.len();

        // Region and profile of the AWS tools say nothing about the sandbox, and with them its services
        // would lie in another region for each terminal.
        let fallbacks = |names: &'static [&'static str]| match (&place, self.scope) {
            (spec::Place::Aws, Scope::Here) => names,
            (spec::Place::Sandbox, _) | (spec::Place::Aws, Scope::Source | Scope::Elsewhere) => &[],
        };
        let region_fallbacks = fallbacks(&[env::AWS_REGION, env::AWS_DEFAULT_REGION]);
        let profile_fallbacks = fallbacks(&[env::AWS_PROFILE]);

        let account = self.first(("account", "\"111111111111\""), None, None, table.account.as_ref(), &[], &own);
        if let Some((account, at)) = &account
            && !is_account(account)
        {
            self.mistake(Mistake::BadAccount { written: account.clone() }, at.clone());
        }
        self.keep("account", account.as_ref());
        self.account = account.map(|(account, _)| account);

        let region = self.first(
            ("region", "\"eu-west-1\""),
            typed.region.as_deref().map(|region| (region, "--region")),
            Some(env::ECS_SHIP_REGION),
            table.region.as_ref(),
            region_fallbacks,
            &own,
        );
        if let Some((region, at)) = &region
            && !is_region(region)
        {
            let meant = guess_region(region);
            let write = match at {
                Place::File(_) | Place::Nowhere => format!("region = \"{meant}\""),
                Place::Flag(name) => format!("{name} {meant}"),
                Place::Variable(name) => format!("{name}={meant}"),
            };
            self.mistake(Mistake::BadRegion { written: region.clone(), write }, at.clone());
        }
        self.keep("region", region.as_ref());
        self.region = region.map(|(region, _)| region);

        let profile = self.first(
            ("profile", "\"jobs-staging\""),
            typed.profile.as_deref().map(|profile| (profile, "--profile")),
            Some(env::ECS_SHIP_PROFILE),
            table.profile.as_ref(),
            profile_fallbacks,
            &own,
        );
        self.keep("profile", profile.as_ref());
        let profile = profile.map(|(profile, _)| profile);

        let role = self.first(
            ("role_arn", "\"arn:aws:iam::111111111111:role/ship\""),
            None,
            None,
            table.role_arn.as_ref(),
            &[],
            &own,
        );
        self.keep("role_arn", role.as_ref());
        if let Some((role, at)) = &role {
            self.judge_role(role, at);
        }

        self.judge_promotion(&table);

        (self.errors.len() == before).then(|| Environment {
            name: self.name.map(ToOwned::to_owned),
            place,
            region: self.region.clone(),
            profile,
            role_arn: role.map(|(role, _)| role),
            account: self.account.clone(),
            confirm: match &table.confirm {
                Some(Written { value: true, .. }) => Confirm::Ask,
                Some(Written { value: false, .. }) | None => Confirm::Never,
            },
        })
    }

    fn keep(&mut self, key: &str, found: Option<&(String, Place)>) {
        self.origins.extend(found.map(|(_, place)| (key.to_owned(), place.clone())));
    }

    fn judge_role(&mut self, role: &str, at: &Place) {
        let is_role = |arn: &Arn| {
            let named = arn.resource.strip_prefix("role/").is_some_and(|name| !name.is_empty());
            arn.service == "iam" && arn.region.is_empty() && is_account(&arn.account) && named
        };
        let Some(Arn { account: of_role, .. }) = role.parse::<Arn>().ok().filter(is_role) else {
            // `arn:aws:sts::111111111111:assumed-role/ship/ann` is a session of the role.
            let name = match role.split_once(":assumed-role/") {
                Some((_, session)) => session.split('/').next(),
                None => role.rsplit('/').next(),
            };
            let name = name.filter(|name| is_ecs_name(name)).unwrap_or("ship");
            let said = role.split(':').nth(4).filter(|account| is_account(account));
            let account =
                said.or(self.account.as_deref()).filter(|account| is_account(account)).unwrap_or("111111111111");
            let write = format!("arn:aws:iam::{account}:role/{name}");
            self.mistake(Mistake::BadRole { written: role.to_owned(), write }, at.clone());
            return;
        };
        if let Some(account) = self.account.clone().filter(|account| is_account(account) && *account != of_role) {
            self.mistake(Mistake::RoleOfOtherAccount { of_role, account }, at.clone());
        }
    }

    /// The first of flag, our variable, the file and the variables of others that says something.
    fn first(
        &mut self,
        (key, example): (&str, &str),
        flag: Option<(&str, &'static str)>,
        ours: Option<&'static str>,
        written: Option<&Written<String>>,
        others: &[&'static str],
        own: &Own,
    ) -> Option<(String, Place)> {
        if let Some((value, name)) = flag {
            return Some((value.to_owned(), Place::Flag(name)));
        }
        let variable = |name: &'static str| {
            // Only this run's environment is steered by variables; the others are judged as written.
            (self.scope == Scope::Here).then_some(())?;
            self.facts.set(name).map(|value| (value.to_owned(), Place::Variable(name)))
        };
        if let Some(found) = ours.and_then(variable) {
            return Some(found);
        }
        match written {
            Some(written) => {
                let text = self.expand(written, own)?;
                let place = Place::File(written.span.clone());
                if written.value.trim().is_empty() {
                    let mistake = Mistake::Empty { key: key.to_owned(), example: example.to_owned() };
                    self.mistake(mistake, place);
                    return None;
                }
                Some((text, place))
            }
            None => others.iter().find_map(|name| variable(name)),
        }
    }
}

pub(super) fn is_account(account: &str) -> bool {
    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
}

/// `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`: words and a number.
pub(super) fn is_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 => {
            words.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

pub(super) fn guess_region(written: &str) -> String {
    let lower = written.trim().to_ascii_lowercase().replace('_', "-");
    if let Some((_, region)) = CITIES.iter().find(|(city, _)| lower.contains(city)) {
        return (*region).to_owned();
    }
    // `eu-west-1a` is an availability zone of eu-west-1.
    let zone = lower.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    [lower.as_str(), zone].into_iter().find(|guess| is_region(guess)).unwrap_or("eu-west-1").to_owned()
}
