//! The canonical schema of fields that an application fills: category codes and times. What does not fit is kept as it was
//! said and remarked on; it never displaces a value that fits.

use crate::formats::json::lenient_time;
use crate::model::issue::Issue;
use crate::model::record::Fields;

/// Whether a text is a category code: one capital letter, `A`.
pub fn is_category(text: &str) -> bool {
    matches!(text.as_bytes(), [b'A'..=b'Z'])
}

/// Whether a text is a subcategory code: the letter of its category, a number without leading zero, and words in capitals,
/// each behind `_`: `A1_IMMEDIATE_FAMILY`.
pub fn is_subcategory(text: &str) -> bool {
    let mut parts = text.split('_');
    let code = parts.next().and_then(|code| code.strip_prefix(|c: char| c.is_ascii_uppercase()));
    let number = |code: &str| code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0') && !code.is_empty();
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let mut words = parts.peekable();
    code.is_some_and(number) && words.peek().is_some() && words.all(word)
}

/// Whether a text is a relationship category: words in lower case with `_` between them, `close_friend`.
pub fn is_relationship(text: &str) -> bool {
    text.split('_').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// Remarks on what does not fit the schema, in the order of the contract's fields.
pub fn check(fields: &Fields, issues: &mut Vec<Issue>) {
    for (name, value) in [
        ("last_activity_at", &fields.last_activity_at),
        ("first_seen", &fields.first_seen),
        ("last_seen", &fields.last_seen),
    ] {
        if value.as_deref().is_some_and(|text| lenient_time(text).is_none()) {
            let message = "this is no ISO 8601 time; write it as 2026-01-27T10:00:00Z";
            issues.push(Issue::new(name, "time_invalid", message));
        }
    }
    let mut remark = |fits: bool, field: &str, code, message| {
        if !fits {
            issues.push(Issue::new(field, code, message));
        }
    };
    let (category, subcategory) = (fields.category_code.as_deref(), fields.subcategory_code.as_deref());
    let message = "a category code is one capital letter, for example A";
    remark(category.is_none_or(is_category), "category_code", "category_invalid", message);
    let message = "a subcategory code is the letter of its category, a number and words in capitals, for example \
                   A1_IMMEDIATE_FAMILY";
    remark(subcategory.is_none_or(is_subcategory), "subcategory_code", "subcategory_invalid", message);
    if let (Some(category), Some(subcategory)) = (category, subcategory) {
        let both_fit = is_category(category) && is_subcategory(subcategory);
        let message =
            "this subcategory belongs to another category_code: its first letter says which; change one of the two";
        remark(!both_fit || subcategory.starts_with(category), "subcategory_code", "subcategory_mismatch", message);
    }
    let message = "a relationship category is words in lower case with _ between them, for example close_friend";
    let relationship = fields.relationship_category.as_deref();
    remark(relationship.is_none_or(is_relationship), "relationship_category", "relationship_invalid", message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_times_are_checked_by_field() {
        let said = |field: &str, text: &str| {
            let mut fields = Fields::default();
            let place = match field {
                "category_code" => &mut fields.category_code,
                "subcategory_code" => &mut fields.subcategory_code,
                "relationship_category" => &mut fields.relationship_category,
                "first_seen" => &mut fields.first_seen,
                "last_seen" => &mut fields.last_seen,
                _ => &mut fields.last_activity_at,
            };
            *place = Some(text.to_owned());
            let mut issues = Vec::new();
            check(&fields, &mut issues);
            assert!(issues.iter().all(|issue| issue.field == field && !issue.message.contains("nonsense")));
            issues.iter().map(|issue| issue.code).collect::<Vec<_>>()
        };
        for (field, good, bad, code) in [
            ("category_code", &["A", "Z"][..], &["a", "AB", "1", "Ä", "nonsense"][..], "category_invalid"),
            (
                "subcategory_code",
                &["A1_IMMEDIATE_FAMILY", "B12_X", "C3_TEAM_2"],
                &["A1", "A_FAMILY", "a1_family", "A1_", "A1__B", "A01_X", "1_X", "A1-X", "nonsense"],
                "subcategory_invalid",
            ),
            (
                "relationship_category",
                &["family", "close_friend"],
                &["Family", "close friend", "_", "x_"],
                "relationship_invalid",
            ),
            (
                "first_seen",
                &["2026-01-27T10:00:00Z", "2026-01-27", "2026-01-27T10:00:00+02:00"],
                &["27.1.2026", "nonsense", "2026-13-01"],
                "time_invalid",
            ),
            ("last_seen", &["2026-01-27"], &["yesterday"], "time_invalid"),
            ("last_activity_at", &["2026-01-27"], &["1769508000"], "time_invalid"),
        ] {
            good.iter().for_each(|text| assert!(said(field, text).is_empty(), "{field} {text}"));
            bad.iter().for_each(|text| assert_eq!(said(field, text), [code], "{field} {text}"));
        }
    }

    #[test]
    fn a_subcategory_fits_its_category() {
        let codes = |category: &str, subcategory: &str| {
            let fields = Fields {
                category_code: Some(category.into()),
                subcategory_code: Some(subcategory.into()),
                ..Fields::default()
            };
            let mut issues = Vec::new();
            check(&fields, &mut issues);
            issues.into_iter().map(|issue| issue.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("A", "A1_IMMEDIATE_FAMILY"), Vec::<&str>::new());
        assert_eq!(codes("B", "A1_IMMEDIATE_FAMILY"), ["subcategory_mismatch"]);
        assert_eq!(codes("b", "A1_IMMEDIATE_FAMILY"), ["category_invalid"], "what is no code can fit none");
    }
}
