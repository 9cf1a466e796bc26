//! What an account shows: the values that its records say together.
//!
//! What businesses share with people is picked by the tenant's rules for contacts: the name under the rule of
//! `organization`, the domain under that of `company_domain`. Domains, previous names and technologies are united; the
//! industry is the latest that is said. A name that a record had before, as its history knows, is a previous name: it is shown
//! and no key, so that correcting a wrong name undoes what rested on it. A source that wants an old name to be a key says
//! it in `previous_names`. What people edit by hand stands before what sources say and is no key either.

use crate::model::ids::Seq;
use crate::model::record::Fields;
use crate::normalize::domain::registrable;
use crate::normalize::organization::organization;
use crate::resolve::edit::versions;
use crate::resolve::survive::{Golden, MANUAL, Provenance, Rules, golden, newest_first};
use crate::store::shard::{BusinessVersion, Entity, Past, Shard};
use crate::store::stored::{Opened, Stored};

/// An account's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenAccount {
    /// What businesses share with people: the name is `organization`, the domain `company_domain`. Its provenance is that
    /// of all fields.
    pub shared: Golden,
    /// Its name; its domain where nobody named it; else empty.
    pub name: String,
    /// The registrable domain of the one that is shown; missing: it has none that is its own.
    pub domain_normalized: Option<String>,
    /// Its other registrable domains, sorted.
    pub alternate_domains: Vec<String>,
    /// Names it had before, in the order in which they were first said.
    pub previous_names: Vec<String>,
    /// Industry.
    pub industry: Option<String>,
    /// Technologies, sorted.
    pub technologies: Vec<String>,
}

/// A record as of some moment, and everything that ever happened to it.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// The version that counts then.
    pub now: Opened,
    /// Its past, and what came after.
    pub past: &'a [Past],
}

/// Puts together what an account's records say. `shard` is that of the accounts; the rules are the tenant's of today.
pub fn golden_account(shard: &Shard, entity: &Entity, rules: Rules<'_>) -> GoldenAccount {
    let known = |slot: &u32| {
        let at = shard.slot(*slot)?;
        Some(Known { now: at.current.as_ref()?.stored.open(), past: &at.past })
    };
    let members: Vec<Known<'_>> = entity.members.iter().filter_map(known).collect();
    put_together(&members, &versions(shard, entity).1, rules)
}

/// Puts together what records say, and what was edited by hand.
pub fn put_together(members: &[Known<'_>], manual: &[Opened], rules: Rules<'_>) -> GoldenAccount {
    let (mut sources, mut edits): (Vec<&Opened>, Vec<&Opened>) =
        (members.iter().map(|known| &known.now).collect(), manual.iter().collect());
    let shared = golden(sources.iter().copied(), edits.iter().copied(), rules);
    newest_first(&mut sources);
    newest_first(&mut edits);
    let mut pick = Pick { sources, edits, shared };
    let domains = pick.domains();
    let shown = pick.shared.fields.company_domain.as_deref().and_then(registrable);
    // A record may have nothing but alternate domains: the latest one's first is the key then.
    let shown = shown.filter(|domain| domains.contains(domain));
    if let Some(from) = pick.shared.provenance.get("company_domain").filter(|_| shown.is_some()).cloned() {
        pick.shared.provenance.insert("domain_normalized".to_owned(), from);
    }
    let domain_normalized = shown.or_else(|| pick.first_domain(&domains));
    let alternate_domains = domains.into_iter().filter(|domain| domain_normalized.as_ref() != Some(domain)).collect();
    let name = pick.shared.fields.organization.clone().or_else(|| domain_normalized.clone()).unwrap_or_default();
    GoldenAccount {
        previous_names: pick.previous_names(members),
        industry: pick.industry(),
        alternate_domains: pick
            .sourced("alternate_domains", alternate_domains, |of, domain| of.business.domains.contains(domain)),
        technologies: pick.technologies(),
        domain_normalized,
        name,
        shared: pick.shared,
    }
}

/// The values that only businesses have, being picked.
struct Pick<'a> {
    /// Newest first.
    sources: Vec<&'a Opened>,
    /// Manual edits, newest first.
    edits: Vec<&'a Opened>,
    shared: Golden,
}

/// The spelling under which an edit notes a value of a list as taken away.
pub fn folded_value(field: &str, value: &str) -> String {
    match field {
        "alternate_domains" => registrable(value).unwrap_or_else(|| value.to_lowercase()),
        "previous_names" => organization(value).map_or_else(|| value.to_lowercase(), |name| name.tokens.join(" ")),
        _ => value.trim().to_lowercase(),
    }
}

impl<'a> Pick<'a> {
    fn business(version: &'a Opened) -> Option<&'a BusinessVersion> {
        version.business.as_deref()
    }

    /// What edits say, then what records say, newest first.
    fn all(&self) -> impl Iterator<Item = (&'a Opened, &'a BusinessVersion)> + use<'a, '_> {
        self.edits.iter().chain(&self.sources).filter_map(|version| Some((*version, Self::business(version)?)))
    }

    /// Whether an edit took a value away; the empty value stands for all of a field.
    fn suppressed(&self, field: &str, value: &str) -> bool {
        let gone = |(name, gone): &(String, String)| name == field && gone == value;
        self.edits.iter().any(|edit| edit.put.suppressed.iter().any(gone))
    }

    fn note(&mut self, field: String, version: &Opened, rule: &'static str) {
        let from = Provenance {
            source: version.put.record.key.source.to_string(),
            record_id: version.put.record_id,
            rule: if version.put.anchor.is_some() { MANUAL } else { rule },
            at: version.put.received_at,
        };
        self.shared.provenance.insert(field, from);
    }

    /// All domains that are shown, sorted. What edits took away stays in its record, and a key.
    fn domains(&self) -> Vec<String> {
        let no_main = self.suppressed("company_domain", "");
        let mut domains: Vec<String> = Vec::new();
        for (version, of) in self.all() {
            let main = version.put.record.fields.company_domain.as_deref().and_then(registrable);
            for domain in &of.business.domains {
                let is_main = Some(domain) == main.as_ref();
                let gone = if is_main { no_main } else { self.suppressed("alternate_domains", domain) };
                if version.put.anchor.is_some() || !gone {
                    domains.push(domain.clone());
                }
            }
        }
        domains.sort_unstable();
        domains.dedup();
        domains
    }

    fn first_domain(&mut self, shown: &[String]) -> Option<String> {
        let first = |of: &'a BusinessVersion| of.business.domains.iter().find(|domain| shown.contains(domain));
        let (from, domain) = self.all().find_map(|(version, of)| Some((version, first(of)?)))?;
        self.note("domain_normalized".to_owned(), from, "prefer_new_if_not_null");
        Some(domain.clone())
    }

    /// A list with who said each value: the newest that does.
    fn sourced(
        &mut self,
        field: &str,
        list: Vec<String>,
        says: impl Fn(&BusinessVersion, &String) -> bool,
    ) -> Vec<String> {
        for (at, value) in list.iter().enumerate() {
            let from = self.all().find(|(_, of)| says(of, value)).map(|(version, _)| version);
            if let Some(version) = from {
                self.note(format!("{field}[{at}]"), version, "union");
            }
        }
        list
    }

    fn industry(&mut self) -> Option<String> {
        let said = |version: &&'a Opened| Some((*version, Self::business(version)?.business.industry.clone()?));
        let edited = self.edits.iter().find_map(said);
        let gone = self.suppressed("industry", "");
        let (from, industry) = edited.or_else(|| self.sources.iter().filter(|_| !gone).find_map(said))?;
        self.note("industry".to_owned(), from, "prefer_new_if_not_null");
        Some(industry)
    }

    fn technologies(&mut self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (version, of) in self.all() {
            let gone = |value: &String| {
                version.put.anchor.is_none() && self.suppressed("technologies", &folded_value("technologies", value))
            };
            found.extend(of.business.technologies.iter().filter(|value| !gone(value)).cloned());
        }
        found.sort_unstable();
        found.dedup();
        self.sourced("technologies", found, |of, value| of.business.technologies.contains(value))
    }

    /// What records call previous names, and what they were called themselves before, each once, without the present
    /// name in any spelling.
    fn previous_names(&mut self, members: &[Known<'_>]) -> Vec<String> {
        let before = |known: &Known<'_>| -> Vec<Opened> {
            let stored = known.past.iter().filter_map(|past| past.put.as_deref());
            stored.filter(|put| !put.stale && put.seq < known.now.seq).map(Stored::open).collect()
        };
        let before: Vec<Opened> = members.iter().flat_map(before).collect();
        let mut found: Vec<(Seq, &str, &Opened)> = Vec::new();
        for version in &before {
            found.extend(version.put.record.fields.organization.iter().map(|name| (version.seq, &**name, version)));
        }
        for known in members {
            let said = known.now.business.iter().flat_map(|of| &of.business.previous_names);
            found.extend(said.map(|name| (first_said(known.past, name), &**name, &known.now)));
        }
        for edit in &self.edits {
            let said = edit.business.iter().flat_map(|of| &of.business.previous_names);
            found.extend(said.map(|name| (Seq(u64::MAX), &**name, *edit)));
        }
        found.sort_by_key(|(seq, name, _)| (*seq, *name));
        let read = |name: &str| organization(name).map(|name| name.tokens);
        let mut seen = vec![present(&self.shared.fields).and_then(read)];
        let mut names = Vec::new();
        for (_, name, version) in found {
            let folded = read(name);
            let gone = version.put.anchor.is_none()
                && self.suppressed("previous_names", &folded_value("previous_names", name));
            if folded.is_some() && !gone && !seen.contains(&folded) {
                seen.push(folded);
                self.note(format!("previous_names[{}]", names.len()), version, "union");
                names.push(name.to_owned());
            }
        }
        names
    }
}

fn present(shown: &Fields) -> Option<&str> {
    shown.organization.as_deref()
}

/// When a record called a name a previous one first.
fn first_said(past: &[Past], name: &str) -> Seq {
    let says = |put: &&Stored| {
        put.business.as_ref().is_some_and(|of| of.business.previous_names.iter().any(|said| said == name))
    };
    let mut past = past.iter().filter_map(|past| past.put.as_deref());
    past.find(says).map_or(Seq(u64::MAX), |put| put.seq)
}
