//! Which records could match at all: the token dictionary and the text index.

pub mod text;
pub mod tokens;
