//! The one integration binary: scenarios, architecture, the real program.

mod engine;
