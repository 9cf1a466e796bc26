//! What an account shows: the values that its records say together.
//!
//! What businesses share with people is picked by the tenant's rules for contacts: the name under the rule of
//! `organization`, the domain under that of `company_domain`. Domains, previous names and technologies are united; the
//! industry is the latest that is said. A name that a record had before, as its history knows, is a previous name: it is shown
//! and no key, so that correcting a wrong name undoes what rested on it. A source that wants an old name to be a key says
//! it in `previous_names`.

use crate::model::record::Fields;
use crate::normalize::domain::registrable;
use crate::normalize::organization::organization;
use crate::resolve::edit::versions;
use crate::resolve::survive::{Golden, Rules, golden, newest_first};
use crate::store::shard::{BusinessVersion, Entity, Shard, Version};

/// An account's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenAccount {
    /// What businesses share with people: the name is `organization`, the domain `company_domain`.
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

/// Puts together what an account's records say. `shard` is that of the accounts; the rules are the tenant's of today.
pub fn golden_account(shard: &Shard, entity: &Entity, rules: Rules<'_>) -> GoldenAccount {
    let (mut sources, _) = versions(shard, entity);
    let shared = golden(&sources, &[], rules);
    newest_first(&mut sources);
    let of: Vec<&BusinessVersion> = sources.iter().filter_map(|version| version.business.as_deref()).collect();
    let mut domains: Vec<String> = of.iter().flat_map(|of| of.business.domains.iter().cloned()).collect();
    domains.sort_unstable();
    domains.dedup();
    let shown = shared.fields.company_domain.as_deref().and_then(registrable).filter(|domain| domains.contains(domain));
    // A record may have nothing but alternate domains: the latest one's first is the key then.
    let domain_normalized = shown.or_else(|| of.iter().find_map(|of| of.business.domains.first().cloned()));
    domains.retain(|domain| domain_normalized.as_ref() != Some(domain));
    let mut technologies: Vec<String> = of.iter().flat_map(|of| of.business.technologies.iter().cloned()).collect();
    technologies.sort_unstable();
    technologies.dedup();
    let name = shared.fields.organization.clone().or_else(|| domain_normalized.clone()).unwrap_or_default();
    GoldenAccount {
        previous_names: previous_names(shard, entity, &shared.fields),
        industry: of.iter().find_map(|of| of.business.industry.clone()),
        alternate_domains: domains,
        technologies,
        domain_normalized,
        name,
        shared,
    }
}

/// What its records call previous names, and what they were called themselves before, each once, without the present
/// name in any spelling.
fn previous_names(shard: &Shard, entity: &Entity, shown: &Fields) -> Vec<String> {
    let folded = |name: &str| organization(name).map(|name| name.tokens);
    let present = shown.organization.as_deref().and_then(folded);
    let mut found: Vec<(u64, &String)> = Vec::new();
    for at in entity.members.iter().filter_map(|slot| shard.slot(*slot)) {
        let Some(current) = &at.current else { continue };
        let before = at.past.iter().filter_map(|past| past.version.as_ref());
        for version in before.filter(|version| !version.put.stale && version.seq <= current.seq) {
            let old = version.put.record.fields.organization.iter().filter(|_| version.seq < current.seq);
            found.extend(old.map(|name| (version.seq.0, name)));
        }
        let said = current.business.iter().flat_map(|of| &of.business.previous_names);
        found.extend(said.map(|name| (first_said(at.past.iter().filter_map(|p| p.version.as_deref()), name), name)));
    }
    found.sort();
    let mut names: Vec<String> = Vec::new();
    let mut known = vec![present];
    for (_, name) in found {
        let read = folded(name);
        if read.is_some() && !known.contains(&read) {
            known.push(read);
            names.push(name.clone());
        }
    }
    names
}

/// When a record called a name a previous one first.
fn first_said<'a>(past: impl Iterator<Item = &'a Version>, name: &str) -> u64 {
    let says = |version: &&Version| {
        version.business.as_ref().is_some_and(|of| of.business.previous_names.iter().any(|said| said == name))
    };
    let mut past = past;
    past.find(says).map_or(u64::MAX, |version| version.seq.0)
}
