//! What the server runs on.
//!
//! [`raw`] is what the user wrote, each value optional: a TOML file, `SELFSAME_*` variables, command-line
//! options. [`checked`] is what follows from it: every value present, typed and within its bounds, with all
//! defaults in one place. Parse once, then never validate again.

pub mod checked;
pub mod raw;

pub use checked::{Durability, LogFormat, Secret, ServerConfig};
pub use raw::RawConfig;
