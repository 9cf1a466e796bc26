//! Groups that somebody put or deleted. A group that records name and nobody put or deleted is not in here: it follows from
//! the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::event::{GroupDeleted, GroupPut};
use crate::model::ids::{Millis, Seq};

/// The longest slug, in bytes.
pub const SLUG_BYTES_MAX: usize = 128;

/// The slug of a group's name: letters and digits in lower case, one `-` for everything between them. Empty when the name
/// has neither.
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase) {
        let c = if c.is_alphanumeric() { c } else { '-' };
        if slug.len() + c.len_utf8() > SLUG_BYTES_MAX {
            break;
        }
        if c != '-' || !(slug.is_empty() || slug.ends_with('-')) {
            slug.push(c);
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// What people say of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is called.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// First put or deleted.
    pub created_at: Millis,
    /// When it was put or deleted, oldest first; never empty.
    pub moments: Vec<GroupMoment>,
}

/// One change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMoment {
    /// When, in the tenant's order.
    pub seq: Seq,
    /// When, by our clock.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// Deleted, else put.
    pub deleted: bool,
}

/// All groups that somebody put or deleted, by slug. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    by_slug: Arc<BTreeMap<String, Group>>,
}

impl Groups {
    /// One of them, deleted or not.
    pub fn get(&self, slug: &str) -> Option<&Group> {
        self.by_slug.get(slug)
    }

    /// All of them by slug, the deleted ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.by_slug.iter()
    }

    /// How many there are, the deleted ones included.
    pub fn len(&self) -> usize {
        self.by_slug.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_slug.is_empty()
    }

    /// Whether a slug was deleted as of a seq.
    pub fn is_gone(&self, slug: &str, seq: Seq) -> bool {
        let last = |group: &Group| group.moments.iter().rev().find(|moment| moment.seq <= seq).map(|last| last.deleted);
        self.by_slug.get(slug).and_then(last).unwrap_or(false)
    }

    /// Deletions and what took them back: the changes that contacts can depend on.
    pub fn moments(&self) -> impl Iterator<Item = &GroupMoment> {
        let deleted = self.by_slug.values().filter(|group| group.moments.iter().any(|moment| moment.deleted));
        deleted.flat_map(|group| &group.moments)
    }

    pub(in crate::store) fn put(&mut self, put: GroupPut, seq: Seq) {
        let GroupPut { slug, name, description, at, actor } = put;
        let moment = GroupMoment { seq, at, actor, deleted: false };
        let groups = Arc::make_mut(&mut self.by_slug);
        let group = groups.entry(slug).or_insert_with(|| Group {
            name: String::new(),
            description: None,
            created_at: at,
            moments: Vec::new(),
        });
        (group.name, group.description) = (name, description);
        group.add(moment);
    }

    pub(in crate::store) fn deleted(&mut self, gone: GroupDeleted, seq: Seq) {
        let GroupDeleted { slug, at, actor } = gone;
        let moment = GroupMoment { seq, at, actor, deleted: true };
        let groups = Arc::make_mut(&mut self.by_slug);
        let new = || Group { name: slug.clone(), description: None, created_at: at, moments: Vec::new() };
        groups.entry(slug.clone()).or_insert_with(new).add(moment);
    }

    pub(in crate::store) fn restore(&mut self, slug: String, group: Group) {
        Arc::make_mut(&mut self.by_slug).insert(slug, group);
    }
}

impl Group {
    /// Whether it is deleted now.
    pub fn is_gone(&self) -> bool {
        self.moments.last().is_some_and(|last| last.deleted)
    }

    /// The last change.
    pub fn changed(&self) -> Option<&GroupMoment> {
        self.moments.last()
    }

    /// A put after a put only changes words, which no contact shows: the newest is enough.
    fn add(&mut self, moment: GroupMoment) {
        if let Some(last) = self.moments.last_mut().filter(|last| !last.deleted && !moment.deleted) {
            *last = moment;
        } else {
            self.moments.push(moment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for (name, wanted) in [
            ("family", "family"),
            ("  Book Club! ", "book-club"),
            ("Freunde & Bekannte", "freunde-bekannte"),
            ("Équipe_2", "équipe-2"),
            ("家族", "家族"),
            ("---", ""),
        ] {
            assert_eq!(slug(name), wanted, "{name}");
            assert_eq!(slug(wanted), wanted, "a slug is its own slug");
        }
        let long = slug(&"é-".repeat(100));
        assert!(long.len() <= SLUG_BYTES_MAX && !long.ends_with('-') && slug(&long) == long, "{long}");
    }

    #[test]
    fn a_group_is_gone_from_its_deletion_to_the_next_put() {
        let mut groups = Groups::default();
        let put = |groups: &mut Groups, name: &str, seq: u64| {
            let put =
                GroupPut { slug: "a".into(), name: name.into(), description: None, at: Millis(0), actor: "me".into() };
            groups.put(put, Seq(seq));
        };
        put(&mut groups, "A", 1);
        put(&mut groups, "B", 2);
        groups.deleted(GroupDeleted { slug: "a".into(), at: Millis(0), actor: "me".into() }, Seq(5));
        put(&mut groups, "C", 9);
        let gone: Vec<u64> = (0..12).filter(|seq| groups.is_gone("a", Seq(*seq))).collect();
        assert_eq!(gone, [5, 6, 7, 8]);
        assert_eq!(groups.get("a").unwrap().name, "C");
        assert!(!groups.is_gone("b", Seq(9)));
    }
}
