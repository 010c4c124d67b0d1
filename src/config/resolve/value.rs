//! Single values: texts, words of a short list, numbers, durations, amounts.

use std::{collections::BTreeMap, time::Duration};

use super::{Own, Resolver};
use crate::config::{
    duration,
    error::{Doubt, Home, Mistake, Place, Seen},
    file::Written,
    secrets::looks_secret,
};

impl Resolver<'_> {
    /// Every text of a list that can be read.
    pub(super) fn each<T>(
        &mut self,
        list: Option<&Written<Vec<Written<String>>>>,
        mut read: impl FnMut(&mut Self, &Written<String>) -> Option<T>,
    ) -> Vec<T> {
        list.iter().flat_map(|list| &list.value).filter_map(|written| read(self, written)).collect()
    }

    /// One of a few words; the default where nothing is written.
    pub(super) fn word<T: Copy + Default>(
        &mut self,
        key: &'static str,
        written: Option<&Written<String>>,
        own: &Own,
        meanings: &[(&'static str, T)],
        words: &'static [&'static str],
    ) -> T {
        let Some(written) = written else { return T::default() };
        let Some(text) = self.expand(written, own) else { return T::default() };
        if let Some((_, meaning)) = meanings.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        self.mistake(Mistake::BadWord { key, written: text, words }, Place::File(written.span.clone()));
        T::default()
    }

    pub(super) fn texts(
        &mut self,
        entries: &BTreeMap<String, Written<String>>,
        own: &Own,
        home: Home,
    ) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (name, written) in entries {
            let in_the_file = looks_secret(name, &written.value);
            if in_the_file {
                let doubt = Doubt::LooksSecret { key: name.clone(), seen: Seen::InTheFile, home };
                self.doubt(doubt, written.span.clone());
            }
            if let Some(text) = self.expand(written, own) {
                // It is no secret any more where it goes.
                let seen = match home {
                    Home::Service => Some(Seen::InTheTask),
                    Home::Build => Some(Seen::InTheImage),
                    Home::Sandbox => None,
                };
                if let Some(seen) = seen
                    && !in_the_file
                    // Without a variable nothing has changed.
                    && text != written.value
                    && looks_secret(name, &text.replace("${", ""))
                {
                    self.doubt(Doubt::LooksSecret { key: name.clone(), seen, home }, written.span.clone());
                }
                texts.insert(name.clone(), text);
            }
        }
        texts
    }

    pub(super) fn not_empty(
        &mut self,
        key: &str,
        written: Option<&Written<String>>,
        own: &Own,
        example: &str,
    ) -> Option<String> {
        let written = written?;
        let text = self.expand(written, own)?;
        if text.trim().is_empty() {
            let mistake = Mistake::Empty { key: key.to_owned(), example: example.to_owned() };
            self.mistake(mistake, Place::File(written.span.clone()));
            return None;
        }
        Some(text)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        written: Option<&Written<String>>,
        own: &Own,
        (least, most, source_of_limits): (u64, u64, &'static str),
    ) -> Option<Duration> {
        let written = written?;
        let text = self.expand(written, own)?;
        let place = Place::File(written.span.clone());
        let Some(read) = duration::parse(&text) else {
            let write = duration::guess(&text).unwrap_or_else(|| "5m".to_owned());
            self.mistake(Mistake::BadDuration { written: text, write }, place);
            return None;
        };
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        if read < least || read > most {
            let mistake = Mistake::OutOfRange {
                key,
                written: text,
                least: duration::print(least),
                most: duration::print(most),
                source_of_limits,
            };
            self.mistake(mistake, place);
            return None;
        }
        Some(read)
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        written: Option<&Written<i64>>,
        (least, most, source_of_limits): (i64, i64, &'static str),
    ) -> Option<T> {
        let written = written?;
        if let Ok(number) = T::try_from(written.value)
            && (least..=most).contains(&written.value)
        {
            return Some(number);
        }
        let mistake = Mistake::OutOfRange {
            key,
            written: written.value.to_string(),
            least: least.to_string(),
            most: most.to_string(),
            source_of_limits,
        };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    /// CPU units or MiB, which ECS takes as a text; also in its larger units (`1 vCPU`, `2 GB`), but told in the smaller
    /// ones, as ECS itself does.
    pub(super) fn amount(&mut self, key: &'static str, written: Option<&Written<String>>, own: &Own) -> Option<String> {
        let written = written?;
        let text = self.expand(written, own)?;
        if let Some(amount) = in_small_units(key, &text) {
            return Some(amount.to_string());
        }
        self.mistake(Mistake::BadAmount { key, written: text }, Place::File(written.span.clone()));
        None
    }
}

/// `512`, `.5 vCPU` and `1GB` (`RegisterTaskDefinition` takes them all) as a number of CPU units or MiB.
fn in_small_units(key: &str, text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = if key == "cpu" { "vcpu" } else { "gb" };
    let Some(number) = lower.strip_suffix(unit) else {
        return lower.parse().ok().filter(|amount| *amount > 0);
    };
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.get(..3).unwrap_or(fraction);
    let thousandths = digits.parse::<u32>().ok()? * 10_u32.pow(3 - u32::try_from(digits.len()).ok()?);
    let amount = whole.checked_mul(1024)?.checked_add(thousandths * 1024 / 1000)?;
    (amount > 0).then_some(amount)
}

pub(super) fn is_ecs_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
