//! Private contact discovery over HTTP: [`lookup`] is exact look-ups of trusted back ends and the rotation of keys, [`evaluate`],
//! [`oprf`] and [`reveal`] are oblivious look-ups, [`matrix`] is the Matrix identity service.

pub(super) mod evaluate;
pub(super) mod gate;
pub(in crate::http) mod lookup;
pub(super) mod matrix;
pub(super) mod oprf;
pub(super) mod reveal;

#[cfg(test)]
mod tests;
