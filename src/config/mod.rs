//! What the server runs on.
//!
//! [`raw`] is what the user wrote, each value optional: a TOML file, `SELFSAME_*` variables, command-line
//! options. [`checked`] is what follows from it: every value present, typed and within its bounds, with all
//! defaults in one place; `keys` are the API keys of both. Parse once, then never validate again.

pub mod checked;
mod checks;
mod keys;
pub mod raw;

pub use checked::{Durability, LogFormat, Secret, ServerConfig, TlsFiles};
pub use checks::ValidatorConfig;
pub use keys::RawKey;
pub use raw::RawConfig;
