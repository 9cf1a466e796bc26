//! Private contact discovery: [`lookup`] is exact look-ups of trusted back ends, and the rotation of keys.

pub(in crate::http) mod lookup;
