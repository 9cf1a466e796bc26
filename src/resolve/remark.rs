//! Remarks that a decision makes beside those of normalising: a code each, whose sentence follows from it. So a kept answer
//! needs the code only to be repeated word for word.

use crate::model::issue::Issue;

/// A deleted contact is back.
pub const REVIVED: &str = "contact_revived";
/// Another contact or account holds a business key.
pub const TAKEN: &str = "identifier_taken";
/// The source said something else under the same version and time.
pub const CONFLICT: &str = "version_conflict";
/// The same, but a person has picked the other one.
pub const CONFLICT_SETTLED: &str = "version_conflict_settled";
/// A source that callers may not use.
pub const RESERVED: &str = "source_reserved";

/// The contact is stored only.
pub const RESTRICTED: &str = "contact_restricted";

/// All remarks with their sentences.
const ALL: [(&str, &str); 6] = [
    (
        RESTRICTED,
        "the record was stored; its contact is restricted, so nothing uses it until the restriction is lifted",
    ),
    (REVIVED, "the contact was deleted; this record has news, so the contact is back"),
    (
        TAKEN,
        "another one holds a value of this field and the mode is strict, so nothing was written; repeat it with mode \
         merge to let resolution join or separate the two, merge them by hand, or leave the value out",
    ),
    (
        CONFLICT,
        "the source said something else before under the same version and time; one of the two counts until somebody picks \
         (GET conflicts, POST conflicts/{record_id}/decision) or a higher version comes",
    ),
    (
        CONFLICT_SETTLED,
        "a person picked another content of this version, so this one was not taken; send a higher version to change the \
         record",
    ),
    (RESERVED, "the source `manual` is for edits by hand: send them as PATCH, or name another source"),
];

/// A remark on a field. An unknown code says nothing more.
pub fn remark(code: &'static str, field: impl Into<String>) -> Issue {
    let sentence = ALL.iter().find(|(known, _)| *known == code).map_or("", |(_, sentence)| sentence);
    Issue::new(field, code, sentence)
}

/// The remark of a kept code. `None`: no remark is called so.
pub fn again(code: &str, field: &str) -> Option<Issue> {
    ALL.iter().find(|(known, _)| *known == code).map(|(code, sentence)| Issue::new(field, code, *sentence))
}
