//! What is odd about a value. An issue never refuses a record: it is shown beside the answer.

/// One remark on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The field as the contract names it, with an index where there are several: `phones[1]`.
    pub field: String,
    /// A stable word for programs, for example `phone_invalid`.
    pub code: &'static str,
    /// A sentence for people. It does not repeat the value.
    pub message: String,
}

impl Issue {
    /// Makes an issue.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}
