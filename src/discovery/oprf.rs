//! Oblivious evaluation: a caller learns the keyed value of its identifier, the server learns nothing of either.
//!
//! RFC 9497, ristretto255-SHA512, mode VOPRF (1). The caller hashes its input to a point and multiplies it with a random
//! number ("blinds" it), the server multiplies with its key, the caller divides by its number and hashes: both have computed
//! one keyed function, and all the server saw is a uniformly random point.
//!
//! ```text
//! (sk, pk) = DeriveKeyPair(seed of tenant and epoch, "selfsame/" || tenant || "/" || epoch)      see `tag`
//! x        = "selfsame1" || kind byte || inner        inner: SHA-256 in the primary dialect, so that digests can take part
//! Y        = Evaluate(sk, x), 64 bytes                Y[0..8] is the bucket tag, Y[8..24] the reveal key, the rest is dropped
//! ```
//!
//! Always the context of mode VOPRF, also where the caller wants no proof: the group operation is the same, so the element
//! without a proof is the identical one at half the cost, and there is one set of outputs. Outputs of mode OPRF differ.
//!
//! [`client`] is the caller's side, [`set`] what is compared with, [`crate::discovery::filter`] its downloadable form.

pub mod client;
pub mod set;

use rand_core::{CryptoRng, RngCore};
use voprf::{BlindedElement, OprfServer, Ristretto255, VoprfServer};

use crate::discovery::tag::{Master, oprf_info};
use crate::discovery::{Inner, Kind};

/// The suite's name in RFC 9497.
pub const SUITE: &str = "ristretto255-SHA512";
/// Bytes of a blinded or evaluated element.
pub const ELEMENT_BYTES: usize = 32;
/// Bytes of a proof.
pub const PROOF_BYTES: usize = 64;
/// Bytes of a reveal key.
pub const REVEAL_BYTES: usize = 16;
/// Elements of one request at most: about 45 ms of one core with a proof.
pub const BATCH_MAX: usize = 1000;
/// Bytes of an input: a word, the kind, a digest.
pub const INPUT_BYTES: usize = 9 + 1 + 32;

/// What stands before every input, so that no other use of the key can meet one.
const INPUT_WORD: &[u8; 9] = b"selfsame1";

/// A blinded or evaluated element as it travels.
pub type Element = [u8; ELEMENT_BYTES];

/// What is evaluated for an identifier.
#[must_use]
pub fn input(kind: Kind, inner: &Inner) -> [u8; INPUT_BYTES] {
    let mut bytes = [0; INPUT_BYTES];
    let parts = INPUT_WORD.iter().copied().chain([kind.byte()]).chain(inner.0);
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    bytes
}

/// What of an output is used. As good as the identifier to whoever has the key, and to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Output {
    /// Y[0..8], read big-endian: its first bits are the bucket, all of it is compared with buckets and filter.
    pub tag: u64,
    /// Y[8..24]: what `reveal` asks with.
    pub reveal: [u8; REVEAL_BYTES],
}

impl Output {
    /// Bytes in which it is kept.
    pub const BYTES: usize = 8 + REVEAL_BYTES;

    /// Out of Y, or the first 24 bytes of it; `None`: shorter.
    #[must_use]
    pub fn of(y: &[u8]) -> Option<Self> {
        let (tag, rest) = y.split_first_chunk::<8>()?;
        Some(Self { tag: u64::from_be_bytes(*tag), reveal: *rest.first_chunk()? })
    }

    /// Y[0..24].
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (tag, reveal) = bytes.split_at_mut(8);
        tag.copy_from_slice(&self.tag.to_be_bytes());
        reveal.copy_from_slice(&self.reveal);
        bytes
    }
}

/// Outputs name identifiers to whoever has the key, so they never show in a log.
impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output(..)")
    }
}

/// Elements that somebody evaluated, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The elements.
    pub elements: Vec<Element>,
    /// That all of them were multiplied with the key behind the public key; missing: not asked for.
    pub proof: Option<[u8; PROOF_BYTES]>,
}

/// Which element of a request is none: not 32 bytes of a canonical encoding, or the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub usize);

/// Random bytes that a caller brought, stretched: what must not be guessed here is one number per proof.
pub struct Dice(blake3::OutputReader);

impl Dice {
    /// From 32 random bytes, which must never be used twice.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_derive_key("selfsame 2026-01 dice").update(seed).finalize_xof())
    }
}

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

/// The seed is random and BLAKE3's stream cannot be told from random.
impl CryptoRng for Dice {}

/// The key pair of a tenant in an epoch.
#[derive(Clone)]
pub struct EpochKey {
    epoch: u32,
    proving: VoprfServer<Ristretto255>,
    plain: OprfServer<Ristretto255>,
    public: Element,
}

impl EpochKey {
    /// The key pair of a tenant in an epoch. `None` would take a hash to be zero 256 times in a row.
    #[must_use]
    pub fn derive(master: &Master, tenant: &str, epoch: u32) -> Option<Self> {
        Self::from_seed(&*master.oprf_seed(tenant, epoch), oprf_info(tenant, epoch).as_bytes(), epoch)
    }

    /// DeriveKeyPair of the RFC. `None` when seed and info are longer than 65,532 bytes together.
    #[must_use]
    pub fn from_seed(seed: &[u8], info: &[u8], epoch: u32) -> Option<Self> {
        let proving = VoprfServer::<Ristretto255>::new_from_seed(seed, info).ok()?;
        let pair = proving.serialize();
        let (secret, public) = pair.split_first_chunk::<32>()?;
        let plain = OprfServer::new_with_key(secret).ok()?;
        Some(Self { epoch, plain, public: *public.first_chunk()?, proving })
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The public key: what a client pins.
    #[must_use]
    pub fn public_key(&self) -> &Element {
        &self.public
    }

    /// The output of a known identifier, as the set needs it: 29 us.
    #[must_use]
    pub fn output(&self, kind: Kind, inner: &Inner) -> Option<Output> {
        Output::of(&self.proving.evaluate(&input(kind, inner)).ok()?)
    }

    /// Evaluates what somebody blinded, in order. With `dice` there is one proof for all; of none there is none to prove.
    #[must_use]
    pub fn evaluate(&self, points: &Points, dice: Option<Dice>) -> Evaluated {
        match dice {
            Some(mut dice) => self.evaluate_proven(points, &mut dice),
            None => self.evaluate_plain(points),
        }
    }

    fn evaluate_plain(&self, points: &Points) -> Evaluated {
        let evaluated = points.0.iter().map(|element| self.plain.blind_evaluate(element).serialize().into());
        Evaluated { elements: evaluated.collect(), proof: None }
    }

    fn evaluate_proven(&self, points: &Points, dice: &mut (impl RngCore + CryptoRng)) -> Evaluated {
        match self.proving.batch_blind_evaluate(dice, &points.0) {
            Ok(done) => {
                let elements = done.messages.iter().map(|element| element.serialize().into()).collect();
                Evaluated { elements, proof: Some(done.proof.serialize().into()) }
            }
            // The library refuses more than 65,535 elements, which `Points::read` never lets through.
            Err(_) => Evaluated { elements: Vec::new(), proof: None },
        }
    }
}

/// Blinded elements that were checked: canonical encodings of points that are not the identity.
pub struct Points(Vec<BlindedElement<Ristretto255>>);

impl Points {
    /// Reads at most [`BATCH_MAX`] elements; whoever calls bounds them.
    ///
    /// # Errors
    /// The first that is no element.
    pub fn read(blinded: &[Element]) -> Result<Self, Malformed> {
        if blinded.len() > BATCH_MAX {
            return Err(Malformed(BATCH_MAX));
        }
        let read = |(at, bytes): (usize, &Element)| BlindedElement::deserialize(bytes).map_err(|_| Malformed(at));
        blinded.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// The secret part never shows in a log.
impl std::fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "oprf/tests.rs"]
mod tests;
